/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exporting 1 GiB that the program already has: how long it takes, and how long a thread that goes
 * on storing into it is held up at a time.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "segment.h"

#define SIZE	    (1ul << 30)
#define CHUNK	    (2ul << 20)
#define STALL_NS    15000 /* a store that takes longer waited; page faults take a tenth of it */
#define MOST_STALLS 65536u

struct writer {
	volatile uint64_t *memory;
	_Atomic bool stop;
	double *stalls; /* ns */
	size_t n_stalls;
};

static void *write_at_random(void *context)
{
	struct writer *writer = context;
	double tick = bench_tick_ns();
	uint64_t state = 1, before;

	bench_pin(0, bench_cpu(0));
	before = bench_ticks();
	while (!atomic_load_explicit(&writer->stop, memory_order_relaxed)) {
		uint64_t now;

		state = state * 6364136223846793005u + 1442695040888963407u;
		writer->memory[(state >> 33) % (SIZE / 8)] = state;
		/* a locked operation waits for the store, so its fault is in this store's time */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		now = bench_ticks();
		if ((double)(now - before) * tick > STALL_NS && writer->n_stalls < MOST_STALLS)
			writer->stalls[writer->n_stalls++] = (double)(now - before) * tick;
		before = now;
	}
	return NULL;
}

static double create(void *memory, rsm_memseg_export_handle_t *ret_export)
{
	uint64_t start = bench_now();

	bench_rsm(rsm_memseg_export_create(bench_controller(), ret_export, memory, SIZE, 0),
		"rsm_memseg_export_create of 1 GiB");
	return (double)(bench_now() - start);
}

static double destroy(rsm_memseg_export_handle_t export)
{
	uint64_t start = bench_now();

	bench_rsm(rsm_memseg_export_destroy(export), "rsm_memseg_export_destroy of 1 GiB");
	return (double)(bench_now() - start);
}

/* What cannot be avoided: new pages, and the copy into them. */
static double copy_to_new_memfd(const void *memory)
{
	uint64_t start = bench_now(), end;
	int fd = memfd_create("bench", MFD_CLOEXEC);
	void *copy;

	if (fd < 0 || ftruncate(fd, (off_t)SIZE))
		bench_fail("memfd: %m");
	copy = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (copy == MAP_FAILED)
		bench_fail("mmap: %m");
	memcpy(copy, memory, SIZE);
	end = bench_now();
	munmap(copy, SIZE);
	close(fd);
	return (double)(end - start);
}

static double copy_of_a_chunk(const void *from, void *to)
{
	double times[SIZE / CHUNK];

	for (size_t i = 0; i < SIZE / CHUNK; ++i) {
		uint64_t start = bench_now();

		memcpy((char *)to + i * CHUNK, (const char *)from + i * CHUNK, CHUNK);
		times[i] = (double)(bench_now() - start);
	}
	return bench_median(times, SIZE / CHUNK);
}

static double create_beside_writer(
	void *memory, struct writer *writer, rsm_memseg_export_handle_t *ret_export)
{
	pthread_t thread;
	double time;

	writer->memory = memory;
	writer->n_stalls = 0;
	atomic_store(&writer->stop, false);
	if (pthread_create(&thread, NULL, write_at_random, writer))
		bench_fail("pthread_create: %m");
	usleep(50000);
	writer->n_stalls = 0; /* a race with the writer at worst keeps one stall more */
	time = create(memory, ret_export);
	atomic_store(&writer->stop, true);
	pthread_join(thread, NULL);
	return time;
}

static void sample_stalls(struct bench_row *row, struct writer *writer)
{
	double median;

	if (!writer->n_stalls) {
		bench_sample(row, "causeway", 0, BENCH_NONE);
		return;
	}
	median = bench_median(writer->stalls, writer->n_stalls);
	bench_sample(
		row, "causeway", median, bench_percentile(writer->stalls, writer->n_stalls, 99));
}

void group_adoption(struct bench *bench)
{
	struct bench_row *alone, *undo, *beside, *stall;
	struct writer writer = {.stalls = calloc(MOST_STALLS, sizeof(double))};
	void *memory = bench_memory(SIZE), *copy = bench_memfd(SIZE, NULL);
	size_t n_stalls = 0;

	if (!writer.stalls)
		bench_fail("out of memory");
	bench_at_most_rounds(bench, 10);
	alone = bench_row(bench, "export of 1 GiB, no writers", "s", 1e9, BENCH_ABSOLUTE, 0.7e9);
	undo = bench_row(bench, "destroy of it: private again", "s", 1e9, BENCH_SHOWN, 0);
	beside = bench_row(bench, "export of 1 GiB, a thread writes", "s", 1e9, BENCH_SHOWN, 0);
	stall = bench_row(bench, "stall of that writer", "us", 1000, BENCH_RATIO, 2);
	while (bench_round(bench)) {
		rsm_memseg_export_handle_t export;

		bench_pin(0, bench_cpu(1));
		bench_sample(alone, "causeway", create(memory, &export), BENCH_NONE);
		bench_sample(undo, "causeway", destroy(export), BENCH_NONE);
		bench_sample(alone, "memcpy to a new memfd", copy_to_new_memfd(memory), BENCH_NONE);
		bench_sample(beside, "causeway", create_beside_writer(memory, &writer, &export),
			BENCH_NONE);
		sample_stalls(stall, &writer);
		n_stalls += writer.n_stalls;
		bench_sample(stall, "copy of 2 MiB", copy_of_a_chunk(memory, copy), BENCH_NONE);
		destroy(export);
	}
	bench_note(stall,
		"stalls above %d us: %zu in all rounds; p99 is over the stalls of a round",
		STALL_NS / 1000, n_stalls);
}
