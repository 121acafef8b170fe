/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many small puts in one explicit span, ended by its close, and vectors. The limits are a tenth and
 * a third of what the same puts take with MPI_Put and one MPI_Win_flush.
 */

#include <stdlib.h>
#include "nodes.h"

#define SPREAD	 (1u << 20) /* bytes that the puts go to */
#define PUTS	 65536ul
#define PIECES	 16u
#define PIECE	 4096u
#define DISTANCE 65536u

struct spans {
	struct nodes nodes;
	off_t *order;
	uint8_t *local;
	rsm_scat_gath_t vector;
	rsm_iovec_t pieces[PIECES];
	int code;
};

static void in_span(struct spans *s, const off_t *order, unsigned long n)
{
	uint64_t value = 1;

	s->code |= rsm_memseg_import_set_mode(s->nodes.import, RSM_BARRIER_MODE_EXPLICIT);
	s->code |= rsm_memseg_import_open_barrier(&s->nodes.barrier);
	for (unsigned long i = 0; i < n; i++)
		s->code |= rsm_memseg_import_put64(s->nodes.import,
			order ? order[i % PUTS] : (off_t)(i * 8 % SPREAD), &value, 1);
	s->code |= rsm_memseg_import_close_barrier(&s->nodes.barrier);
	s->code |= rsm_memseg_import_set_mode(s->nodes.import, RSM_BARRIER_MODE_IMPLICIT);
}

static void put_consecutive(void *context, unsigned long n)
{
	in_span(context, NULL, n);
}

static void put_random(void *context, unsigned long n)
{
	struct spans *s = context;

	in_span(s, s->order, n);
}

static void put_vector(void *context, unsigned long n)
{
	struct spans *s = context;

	for (unsigned long i = 0; i < n; i++)
		s->code |= rsm_memseg_import_putv(&s->vector);
}

static void put_block(void *context, unsigned long n)
{
	struct spans *s = context;

	for (unsigned long i = 0; i < n; i++)
		s->code |= rsm_memseg_import_put(s->nodes.import, 0, s->local, PIECES * PIECE);
}

static void fill(struct spans *s)
{
	s->local = bench_memory(NODES_MEMORY);
	s->order = malloc(PUTS * sizeof(*s->order));
	if (!s->order)
		bench_fail("out of memory");
	srandom(1);
	for (size_t i = 0; i < PUTS; i++)
		s->order[i] = random() % (SPREAD / 8) * 8;
	for (size_t i = 0; i < PIECES; i++) {
		s->pieces[i].io_type = RSM_VA_TYPE;
		s->pieces[i].local.vaddr = (caddr_t)s->local + i * 2 * PIECE;
		s->pieces[i].local_offset = 0;
		s->pieces[i].remote_offset = i * DISTANCE;
		s->pieces[i].transfer_length = PIECE;
	}
	s->vector = (rsm_scat_gath_t){.local_nodeid = 1,
		.io_request_count = PIECES,
		.remote_handle = s->nodes.import,
		.iovec = s->pieces};
}

static void sample(struct bench_row *row, bench_work work, struct spans *s, struct bench_peer *peer,
	const char *operation)
{
	double p99, value = bench_time(work, s, PUTS, &p99);

	bench_rsm(s->code, "a put");
	bench_sample(row, "Causeway", value, p99);
	bench_peer_sample(row, "Open MPI", peer, operation, 8, PUTS);
}

void group_nodes_spans(struct bench *bench)
{
	static const char *const vectors[2] = {"putv", "one put of 64 KiB"};
	struct spans s = {0};
	struct bench_side sides[2] = {
		{.work = put_vector, .context = &s}, {.work = put_block, .context = &s}};
	struct bench_row *consecutive, *random, *vector;
	struct bench_peer *mpi;

	nodes_begin(&s.nodes);
	fill(&s);
	mpi = nodes_mpi();
	consecutive = bench_row(
		bench, "64 Ki put64 in a span, consecutive", "ns", 1, BENCH_RATIO, 1 / 10.0);
	random = bench_row(
		bench, "64 Ki put64 in a span, random in 1 MiB", "ns", 1, BENCH_RATIO, 1 / 3.0);
	vector = bench_row(
		bench, "putv of 16 × 4 KiB to another node", "µs", 1000, BENCH_RATIO, 1.3);
	while (bench_round(bench)) {
		sample(consecutive, put_consecutive, &s, mpi, "put64");
		sample(random, put_random, &s, mpi, "put64r");
		bench_sample_two(vector, vectors, sides, 1);
	}
}
