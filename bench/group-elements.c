/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put64 and get64, the posted rate of one thread: many in a row, walking through 32 KiB, timed as a
 * whole, in implicit mode and inside one explicit span; the span's order and close are in the time.
 */

#include "segment.h"

#define WINDOW 32768u
#define BATCH  10000u

struct elements {
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	int code;
};

static volatile uint64_t sink;

static void put64(void *context, unsigned long n)
{
	struct elements *elements = context;
	int code = 0;

	for (uint64_t i = 0; i < n; ++i)
		code |= rsm_memseg_import_put64(elements->import, (off_t)(i * 8 % WINDOW), &i, 1);
	elements->code |= code;
}

static void get64(void *context, unsigned long n)
{
	struct elements *elements = context;
	uint64_t value = 0, sum = 0;
	int code = 0;

	for (uint64_t i = 0; i < n; ++i) {
		code |= rsm_memseg_import_get64(
			elements->import, (off_t)(i * 8 % WINDOW), &value, 1);
		sum += value;
	}
	elements->code |= code;
	sink = sum;
}

static void in_span(struct elements *elements, bench_work work, unsigned long n)
{
	elements->code |= rsm_memseg_import_set_mode(elements->import, RSM_BARRIER_MODE_EXPLICIT);
	elements->code |= rsm_memseg_import_open_barrier(&elements->barrier);
	work(elements, n);
	elements->code |= rsm_memseg_import_close_barrier(&elements->barrier);
	elements->code |= rsm_memseg_import_set_mode(elements->import, RSM_BARRIER_MODE_IMPLICIT);
}

static void put64_in_span(void *context, unsigned long n)
{
	in_span(context, put64, n);
}

static void get64_in_span(void *context, unsigned long n)
{
	in_span(context, get64, n);
}

static void store64(void *context, unsigned long n)
{
	volatile uint64_t *memory = context;

	for (uint64_t i = 0; i < n; ++i)
		memory[i % (WINDOW / 8)] = i;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void load64(void *context, unsigned long n)
{
	volatile uint64_t *memory = context;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; ++i)
		sum += memory[i % (WINDOW / 8)];
	sink = sum;
}

struct peers {
	struct bench_peer *ucx, *oshmem, *mpi;
};

static void sample(struct bench_row *row, struct elements *elements, bench_work work,
	const struct peers *peers, const char *operation, bench_work bare, void *memory)
{
	bench_sample(row, "causeway", bench_time(work, elements, BATCH, NULL), BENCH_NONE);
	bench_peer_sample(row, "UCX put_nbi/get_nbi", peers->ucx, operation, 8, BATCH);
	bench_peer_sample(row, "OpenSHMEM", peers->oshmem, operation, 8, BATCH);
	bench_peer_sample(row, "Open MPI", peers->mpi, operation, 8, BATCH);
	bench_sample(
		row, "bare loads or stores", bench_time(bare, memory, BATCH, NULL), BENCH_NONE);
}

void group_elements(struct bench *bench)
{
	int cpu = bench_cpu(1);
	rsm_memseg_id_t id = bench_exporter(1 << 20);
	struct peers peers = {bench_peer_ucx(cpu), bench_peer_oshmem(cpu), bench_peer_mpi(cpu)};
	struct elements elements = {.import = bench_import(id)};
	void *memory = bench_memfd(1 << 20, NULL);
	struct bench_row *put, *put_span, *get, *get_span;

	put = bench_row(bench, "put64, implicit", "ns", 1, BENCH_ABSOLUTE, 30);
	put_span = bench_row(bench, "put64, in a span", "ns", 1, BENCH_ABSOLUTE, 12);
	get = bench_row(bench, "get64, implicit", "ns", 1, BENCH_ABSOLUTE, 30);
	get_span = bench_row(bench, "get64, in a span", "ns", 1, BENCH_ABSOLUTE, 12);
	bench_rsm(
		rsm_memseg_import_init_barrier(elements.import, RSM_BAR_DEFAULT, &elements.barrier),
		"rsm_memseg_import_init_barrier");
	while (bench_round(bench)) {
		bench_pin(0, cpu);
		sample(put, &elements, put64, &peers, "put64", store64, memory);
		sample(put_span, &elements, put64_in_span, &peers, "put64", store64, memory);
		sample(get, &elements, get64, &peers, "get64", load64, memory);
		sample(get_span, &elements, get64_in_span, &peers, "get64", load64, memory);
		bench_rsm(elements.code, "put64 or get64");
	}
}
