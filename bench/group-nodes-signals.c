/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal to an exporter on another node, which answers in the same way; both sleep in between,
 * each on the CPU of its node. Beside it what that cannot do without: a round trip over plain TCP
 * whose ends sleep, and two hops of local signals between two processes of one CPU.
 */

#include <unistd.h>
#include "nodes.h"

struct side {
	rsm_memseg_export_handle_t own;
	rsm_memseg_import_handle_t other;
};

/* Exchanges what the two sides need of each other. */
static void meet(struct side *side, int channel, unsigned int other)
{
	bench_send(channel, node_export(4096, &side->own));
	side->other = node_import(other, (rsm_memseg_id_t)bench_receive(channel));
	bench_send(channel, 0);
	bench_receive(channel);
}

static void answer(int channel, void *context)
{
	unsigned int node = *(unsigned int *)context;
	struct side side;

	node_enter(node);
	bench_pin_process(getpid(), bench_cpu(node == 1));
	meet(&side, channel, 1);
	for (;;) {
		bench_rsm(rsm_intr_signal_wait(side.own, -1), "rsm_intr_signal_wait");
		bench_rsm(rsm_intr_signal_post(side.other, 0), "rsm_intr_signal_post");
	}
}

static void trips(void *context, unsigned long n)
{
	struct side *side = context;

	for (unsigned long i = 0; i < n; ++i) {
		bench_rsm(rsm_intr_signal_post(side->other, 0), "rsm_intr_signal_post");
		bench_rsm(rsm_intr_signal_wait(side->own, -1), "rsm_intr_signal_wait");
	}
}

static void put_plain(void *context, unsigned long n)
{
	uint64_t word = 1;

	for (unsigned long i = 0; i < n; ++i)
		bare_put(context, &word, sizeof(word));
}

void group_nodes_signals(struct bench *bench)
{
	unsigned int here = 1, there = 2;
	struct bench_partner near = bench_partner(answer, &here);
	struct bench_partner far = bench_partner(answer, &there);
	struct bench_row *row = bench_row(
		bench, "signal round trip to another node, asleep", "µs", 1000, BENCH_RATIO, 1.15);
	struct side local, remote;
	struct nodes nodes;

	nodes_begin(&nodes); /* pins us first: who may not spin sleeps */
	nodes_pin(false);
	meet(&local, near.channel, 1);
	meet(&remote, far.channel, 2);
	nodes_pin(true);
	while (bench_round(bench)) {
		double p99, hops, plain, value = bench_time(trips, &remote, 1, &p99);

		bench_sample(row, "Causeway", value, p99);
		plain = bench_time(put_plain, &nodes.asleep, 1, NULL);
		hops = bench_time(trips, &local, 1, NULL);
		bench_sample(row, "plain TCP + two local hops", plain + hops, BENCH_NONE);
		bench_sample(row, "plain TCP", plain, BENCH_NONE);
	}
}
