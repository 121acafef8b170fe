/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-rdma-pingpong NODE [SIZE...]: two programs, one on each of two nodes, each with the other's
 * number; they put to and fro, and each waits for the last byte in its own memory. Half a round
 * trip, as ib_write_lat counts it. The one on the node with the lower number prints.
 */

#include <rsmapi.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096u
#define MEMORY (64u << 10)
#define ROUNDS 300u
#define FIRST  50u /* that do not count */
#define ID     0x600000u

static unsigned char *memory, *source;
static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier; /* every put waits until it is done */

static void must(int code, const char *what)
{
	if (code == RSM_SUCCESS)
		return;
	fprintf(stderr, "bench-rdma-pingpong: %s: %d\n", what, code);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void say(size_t size, unsigned char value)
{
	source[size - 1] = value;
	must(rsm_memseg_import_put(import, 0, source, size), "put");
}

static void hear(size_t size, unsigned char value)
{
	while (__atomic_load_n(&memory[size - 1], __ATOMIC_ACQUIRE) != value)
		;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(size_t size, int first)
{
	static double times[ROUNDS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < FIRST + ROUNDS; i++) {
		unsigned char value = (unsigned char)(i % 250 + 1);
		double begin = now();

		if (first)
			say(size, value);
		hear(size, value);
		if (!first)
			say(size, value);
		if (i >= FIRST)
			times[n++] = (now() - begin) / 2;
	}
	memory[size - 1] = 0;
	if (!first)
		return;
	qsort(times, n, sizeof(times[0]), by_value);
	printf("%6zu bytes  min %.2f  typical %.2f  99%% %.2f µs\n", size, times[0], times[n / 2],
		times[n * 99 / 100]);
	fflush(stdout);
}

static void connect_to(rsmapi_controller_handle_t controller, rsm_node_id_t node)
{
	int code;

	do {
		code = rsm_memseg_import_connect(controller, node, ID, RSM_PERM_RDWR, &import);
		usleep(10000);
	} while (code == RSMERR_SEG_NOT_PUBLISHED || code == RSMERR_REMOTE_NODE_UNREACHABLE);
	must(code, "connect");
	must(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier), "barrier");
}

int main(int argc, char **argv)
{
	rsm_node_id_t other = argc > 1 ? (rsm_node_id_t)atoi(argv[1]) : 0;
	rsm_memseg_export_handle_t export;
	rsmapi_controller_handle_t controller;
	rsm_memseg_id_t id = ID;
	rsm_topology_t *topology;
	char name[] = "sci0"; /* the fastest there is */
	int first;

	umask(0);
	if (argc < 2) {
		fprintf(stderr, "Usage: bench-rdma-pingpong NODE [SIZE...]\n");
		return 2;
	}
	must(rsm_get_controller(name, &controller), "controller");
	must(rsm_get_interconnect_topology(&topology), "topology");
	first = topology->topology_hdr.local_nodeid < other;
	rsm_free_interconnect_topology(topology);
	memory = aligned_alloc(PAGE, MEMORY);
	source = calloc(1, MEMORY);
	memset(memory, 0, MEMORY);
	must(rsm_memseg_export_create(controller, &export, memory, MEMORY, 0), "create");
	must(rsm_memseg_export_publish(export, &id, NULL, 0), "publish");
	connect_to(controller, other);
	say(MEMORY, 1); /* both are there, and what is made at first is made */
	hear(MEMORY, 1);
	sleep(1);
	for (int i = 2; i < argc; i++)
		run((size_t)atoi(argv[i]), first);
	sleep(1);
	return 0;
}
