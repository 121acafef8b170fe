/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 1,000 importers of one segment: 8 processes of 125 threads, each thread with an import of its own
 * on which it sleeps. The exporter posts one signal; the time is over when the last thread has
 * woken and taken it. Beside it the least that gives the same: a bare futex for each thread. And
 * whether a put of the exporter's process notices how many others there are: into this segment, and
 * into one that nobody else imports.
 */

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "segment.h"

#define PROCESSES 8u
#define THREADS	  125u
#define IMPORTERS (PROCESSES * THREADS)
#define STACK	  65536u
#define PUTS	  10000u

/* Shared by all processes. */
struct crowd {
	_Atomic uint32_t n_waiting, n_woken;
	_Atomic uint64_t last; /* when a thread woke, CLOCK_MONOTONIC */
	_Atomic bool bare;     /* the next wait is for one's own word */
	_Atomic uint32_t n_threads;
	_Atomic uint32_t words[IMPORTERS];
};

static struct crowd *crowd;
static rsm_memseg_id_t crowded;

static long futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void wait_bare(_Atomic uint32_t *word)
{
	while (!atomic_exchange(word, 0))
		futex(word, FUTEX_WAIT, 0);
}

static void *sleep_on_import(void *unused)
{
	rsm_memseg_import_handle_t import = bench_import(crowded);
	_Atomic uint32_t *word = &crowd->words[atomic_fetch_add(&crowd->n_threads, 1)];

	for (;;) {
		bool bare = atomic_load(&crowd->bare);
		uint64_t now, last;

		atomic_fetch_add(&crowd->n_waiting, 1);
		if (bare)
			wait_bare(word);
		else
			bench_rsm(rsm_intr_signal_wait(import, -1), "rsm_intr_signal_wait");
		now = bench_now();
		last = atomic_load(&crowd->last);
		while (now > last && !atomic_compare_exchange_weak(&crowd->last, &last, now))
			;
		atomic_fetch_add(&crowd->n_woken, 1);
	}
	return NULL;
}

static void make_sleepers(int channel, void *unused)
{
	pthread_attr_t attributes;
	pthread_t thread;

	crowded = (rsm_memseg_id_t)bench_receive(channel);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	for (size_t i = 0; i < THREADS; ++i)
		if (pthread_create(&thread, &attributes, sleep_on_import, NULL))
			bench_fail("pthread_create: %m");
	for (;;)
		pause();
}

/* Until all are about to wait, and then until they sleep. */
static void await_sleepers(unsigned int times)
{
	for (int i = 0; i < 10000 && atomic_load(&crowd->n_waiting) < times * IMPORTERS; ++i)
		usleep(1000);
	if (atomic_load(&crowd->n_waiting) != times * IMPORTERS)
		bench_fail("%u of %u importers wait", atomic_load(&crowd->n_waiting) % IMPORTERS,
			IMPORTERS);
	usleep(20000);
}

static void post_bare(void)
{
	for (size_t i = 0; i < IMPORTERS; ++i) {
		atomic_store(&crowd->words[i], 1);
		futex(&crowd->words[i], FUTEX_WAKE, 1);
	}
}

/* The ns until the last one woke. export NULL: by bare futexes. They wait for the other kind then.
 */
static double wake_all(rsm_memseg_export_handle_t export)
{
	uint64_t start;

	atomic_store(&crowd->n_woken, 0);
	atomic_store(&crowd->bare, export != NULL);
	start = bench_now();
	if (export)
		bench_rsm(rsm_intr_signal_post(export, 0), "rsm_intr_signal_post");
	else
		post_bare();
	for (int i = 0; i < 10000 && atomic_load(&crowd->n_woken) < IMPORTERS; ++i)
		usleep(1000);
	if (atomic_load(&crowd->n_woken) != IMPORTERS)
		bench_fail("a signal reached %u of %u importers", atomic_load(&crowd->n_woken),
			IMPORTERS);
	return (double)(atomic_load(&crowd->last) - start);
}

struct putter {
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
};

static void putter_init(struct putter *p, rsm_memseg_id_t id)
{
	p->import = bench_import(id);
	bench_rsm(rsm_memseg_import_init_barrier(p->import, RSM_BAR_DEFAULT, &p->barrier),
		"rsm_memseg_import_init_barrier");
}

static void put64(void *context, unsigned long n)
{
	struct putter *p = context;
	int code = 0;

	for (uint64_t i = 0; i < n; ++i)
		code |= rsm_memseg_import_put64(p->import, (off_t)(i * 8 % 4096), &i, 1);
	bench_rsm(code, "rsm_memseg_import_put64");
}

void group_crowd(struct bench *bench)
{
	static const char *const names[2] = {"causeway", "1 importer"};
	static struct putter putters[2];
	struct bench_side sides[2] = {
		{.work = put64, .context = &putters[0]}, {.work = put64, .context = &putters[1]}};
	struct bench_row *reach, *put;
	struct bench_export segment, lone;
	int channels[PROCESSES];
	unsigned int times = 1;

	crowd = bench_shared_memory(sizeof(*crowd));
	*crowd = (struct crowd){0};
	for (size_t i = 0; i < PROCESSES; ++i)
		channels[i] = bench_partner(make_sleepers, NULL).channel;
	segment = bench_export(4096);
	lone = bench_export(4096);
	for (size_t i = 0; i < PROCESSES; ++i)
		bench_send(channels[i], segment.id);
	putter_init(&putters[0], segment.id);
	putter_init(&putters[1], lone.id);
	reach = bench_row(bench, "a signal to 1,000 importers asleep: until the last is awake",
		"ms", 1e6, BENCH_ABSOLUTE, 5e6);
	put = bench_row(
		bench, "put64, implicit, beside 1,000 importers", "ns", 1, BENCH_RATIO, 1.05);
	await_sleepers(times);
	while (bench_round(bench)) {
		bench_sample(reach, "causeway", wake_all(segment.handle), BENCH_NONE);
		await_sleepers(++times);
		bench_sample(reach, "1,000 bare futexes", wake_all(NULL), BENCH_NONE);
		await_sleepers(++times);
		bench_pin(0, bench_cpu(1));
		bench_sample_two(put, names, sides, PUTS);
		bench_unpin(0);
	}
}
