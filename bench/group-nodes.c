/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put and get to another node through the library, each complete when it returns, and streams of
 * puts in one explicit span; beside plain TCP, and other libraries between the same two networks.
 * Targets spin while it is their turn.
 */

#include "nodes.h"

#define STREAM 16ul

struct work {
	struct nodes nodes;
	size_t size;
	uint8_t *local;
};

static void put(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bench_rsm(w->size == 8
				  ? rsm_memseg_import_put64(
					    w->nodes.import, 0, (uint64_t *)w->local, 1)
				  : rsm_memseg_import_put(w->nodes.import, 0, w->local, w->size),
			"put");
}

static void get(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bench_rsm(w->size == 8
				  ? rsm_memseg_import_get64(
					    w->nodes.import, 0, (uint64_t *)w->local, 1)
				  : rsm_memseg_import_get(w->nodes.import, 0, w->local, w->size),
			"get");
}

static void stream(void *context, unsigned long n)
{
	struct work *w = context;
	int code;

	code = rsm_memseg_import_set_mode(w->nodes.import, RSM_BARRIER_MODE_EXPLICIT);
	code |= rsm_memseg_import_open_barrier(&w->nodes.barrier);
	put(w, n);
	code |= rsm_memseg_import_close_barrier(&w->nodes.barrier);
	code |= rsm_memseg_import_set_mode(w->nodes.import, RSM_BARRIER_MODE_IMPLICIT);
	bench_rsm(code, "a span");
}

static void put_plain(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bare_put(&w->nodes.awake, w->local, w->size);
}

static void get_plain(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bare_get(&w->nodes.awake, w->local, w->size);
}

static void stream_plain(void *context, unsigned long n)
{
	struct work *w = context;

	bare_stream(&w->nodes.awake, w->local, w->size, n);
}

struct line {
	const char *name, *operation;
	size_t size;
	unsigned long n;
	bench_work ours, plain;
	double limit;
};

static const struct line lines[] = {
	{"put to another node, 8 B", "put", 8, 1, put, put_plain, 1.1},
	{"put to another node, 4 KiB", "put", 4096, 1, put, put_plain, 1.1},
	{"put to another node, 64 KiB", "put", 65536, 1, put, put_plain, 1.1},
	{"put to another node, 1 MiB", "put", 1 << 20, 1, put, put_plain, 1.1},
	{"get from another node, 8 B", "get", 8, 1, get, get_plain, 1.1},
	{"get from another node, 4 KiB", "get", 4096, 1, get, get_plain, 1.1},
	{"get from another node, 64 KiB", "get", 65536, 1, get, get_plain, 1.1},
	{"get from another node, 1 MiB", "get", 1 << 20, 1, get, get_plain, 1.1},
	{"puts streamed in a span, 64 KiB", "put", 65536, STREAM, stream, stream_plain, 1 / 0.95},
	{"puts streamed in a span, 1 MiB", "put", 1 << 20, STREAM, stream, stream_plain, 1 / 0.95},
};

#define N_LINES (sizeof(lines) / sizeof(*lines))

static void begin_row(struct bench_row *row, const struct line *line)
{
	if (line->size > 4096)
		return;
	bench_limit_too(row, "libfabric net", 1.05);
	bench_limit_too(row, "libfabric tcp;ofi_rxm", 1.05);
	bench_limit_too(row, "UCX tcp", 1);
	bench_limit_too(row, "Open MPI", 1);
}

static void measure(struct bench_row *row, const struct line *line, struct work *w,
	const struct nodes_peer *peers, struct bench_peer *iperf)
{
	double p99, value;

	w->size = line->size;
	value = bench_time(line->ours, w, line->n, &p99);
	bench_sample(row, "Causeway", value, p99);
	value = bench_time(line->plain, w, line->n, &p99);
	bench_sample(row, "plain TCP", value, p99);
	for (const struct nodes_peer *p = peers; p->name; p++)
		bench_peer_sample(row, p->name, p->peer, line->operation, line->size, line->n);
	if (line->n > 1 && line->size >= 1 << 20)
		bench_peer_sample(row, "iperf3", iperf, line->operation, line->size, line->n);
}

void group_nodes(struct bench *bench)
{
	struct work w = {.local = bench_memory(NODES_MEMORY)};
	struct bench_row *rows[N_LINES];
	const struct nodes_peer *peers;
	struct bench_peer *iperf;

	nodes_begin(&w.nodes);
	peers = nodes_peers();
	iperf = bench_peer_iperf(bench_cpu(1));
	for (size_t i = 0; i < N_LINES; i++) {
		rows[i] = bench_row(bench, lines[i].name, "µs", 1000, BENCH_RATIO, lines[i].limit);
		begin_row(rows[i], &lines[i]);
	}
	bench_limit_too(rows[N_LINES - 1], "iperf3", 1 / 0.95);
	while (bench_round(bench))
		for (size_t i = 0; i < N_LINES; i++)
			measure(rows[i], &lines[i], &w, peers, iperf);
}
