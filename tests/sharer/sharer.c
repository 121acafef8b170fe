/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	sharer WORK WORKER WORKERS ROUNDS SEED PAGES			exports
 *	sharer WORK WORKER WORKERS ROUNDS SEED PAGES NODE ID [NODE …]	imports
 *
 * The exporter prints "segment ID" first, everybody "met" when all have the memory. Everybody ends
 * with "right" or "wrong", or with exit status 3 and the RSM code of the call that failed.
 */
#include "sharer.h"

#include <rsmapi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct meeting {
	_Atomic uint32_t here, round;
};

static void must(const char *what, int code)
{
	if (!code)
		return;
	printf("failed %s %d\n", what, code);
	fflush(stdout);
	_exit(3);
}

void relax(void)
{
	sched_yield();
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint32_t draw(struct sharer *s, uint32_t below)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return (uint32_t)(s->seed >> 16) % below;
}

void dawdle(struct sharer *s)
{
	uint64_t end = now_us() + draw(s, 60);

	while (now_us() < end)
		;
}

void meet(struct sharer *s)
{
	struct meeting *m = (struct meeting *)(s->memory + (size_t)MEETING_PAGE * PAGE);
	uint32_t round = atomic_load(&m->round);

	if (atomic_fetch_add(&m->here, 1) + 1 == s->n_workers) {
		atomic_store(&m->here, 0);
		atomic_fetch_add(&m->round, 1);
		return;
	}
	while (atomic_load(&m->round) == round)
		relax();
}

static const struct work {
	const char *name;
	bool (*run)(struct sharer *s);
} works[] = {
	{"store-buffering", work_store_buffering},
	{"load-buffering", work_load_buffering},
	{"iriw", work_iriw},
	{"message-passing", work_message_passing},
	{"coherence", work_coherence},
	{"peterson", work_peterson},
	{"counter", work_counter},
	{"random", work_random},
};

static void export_memory(struct sharer *s)
{
	rsmapi_controller_handle_t controller;
	rsm_memseg_export_handle_t segment;
	rsm_memseg_id_t id = 0;

	umask(0); /* whoever is root on another node is nobody here */
	s->memory = mmap(
		NULL, s->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must("rsm_get_controller", rsm_get_controller((char *)"tcp0", &controller));
	must("rsm_memseg_export_create",
		rsm_memseg_export_create(controller, &segment, s->memory, s->pages * PAGE, 0));
	must("rsm_memseg_export_publish", rsm_memseg_export_publish(segment, &id, NULL, 0));
	printf("segment %u\n", id);
	fflush(stdout);
}

static void import_memory(struct sharer *s, rsm_node_id_t node, rsm_memseg_id_t id)
{
	rsmapi_controller_handle_t controller;
	rsm_memseg_import_handle_t segment;
	void *map;

	must("rsm_get_controller", rsm_get_controller((char *)"tcp0", &controller));
	must("rsm_memseg_import_connect",
		rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &segment));
	must("rsm_memseg_import_map", rsm_memseg_import_map(segment, &map, RSM_MAP_NONE,
					      RSM_PERM_RDWR, 0, s->pages * PAGE));
	s->memory = map;
}

int main(int argc, char **argv)
{
	struct sharer s;
	bool right = false;

	if (argc != 7 && argc != 9) {
		fprintf(stderr, "usage: sharer WORK WORKER WORKERS ROUNDS SEED PAGES [NODE ID]\n");
		return 2;
	}
	s = (struct sharer){
		.work = argv[1],
		.worker = (unsigned int)atoi(argv[2]),
		.n_workers = (unsigned int)atoi(argv[3]),
		.rounds = (uint32_t)strtoul(argv[4], NULL, 0),
		.seed = strtoull(argv[5], NULL, 0) * 0x9e3779b97f4a7c15u + 1,
		.pages = WORK_PAGE + strtoul(argv[6], NULL, 0),
	};
	s.seed += s.worker * 0xbf58476d1ce4e5b9u;
	if (argc == 7)
		export_memory(&s);
	else
		import_memory(&s, (rsm_node_id_t)strtoul(argv[7], NULL, 0),
			(rsm_memseg_id_t)strtoul(argv[8], NULL, 0));
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		if (!strcmp(works[i].name, s.work)) {
			meet(&s);
			printf("met\n");
			fflush(stdout);
			right = works[i].run(&s);
			meet(&s);
		}
	printf("%s\n", right ? "right" : "wrong");
	fflush(stdout);
	/* the exporter stays until everybody has left */
	if (argc == 7)
		while (getchar() != EOF)
			;
	return right ? 0 : 1;
}
