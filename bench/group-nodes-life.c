/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens seldom: connecting, in round trips, which are counted on the wire; a node whose
 * cable is cut; nodes at rest.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "nodes.h"
#include "sniffer.h"

#define DETECTION 2e9 /* the default DetectionTime */
#define REST	  5u  /* s */
#define SETTLING  2u  /* s: for threads that end, and their counts with them */
#define KEPT	  12u /* s: a session with nothing in common ends before */

static bool command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool command(const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	return system(line) == 0;
}

/* --- connecting --- */

/* A new process of node 1: its first import of that node, then a second one. */
static void connect_twice(int channel, void *context)
{
	struct nodes *nodes = context;

	node_controller();
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t start;

		bench_receive(channel);
		start = bench_now();
		node_import(2, nodes->id);
		bench_send(channel, bench_now() - start);
	}
}

static void sample_connects(struct bench_row *const rows[2], struct nodes *nodes, int sniffer)
{
	struct bench_partner partner = bench_partner(connect_twice, nodes);

	for (unsigned int i = 0; i < 2; i++) {
		sniffer_round_trips(sniffer);
		bench_send(partner.channel, 0);
		bench_note(rows[i], "took %.0f us", (double)bench_receive(partner.channel) / 1000);
		usleep(20000);
		bench_sample(rows[i], "Causeway", sniffer_round_trips(sniffer), BENCH_NONE);
	}
}

/* --- at rest --- */

static double switches_at_rest(unsigned int node)
{
	pid_t pids[2];
	unsigned int n = node_processes(node, pids);
	unsigned long before = 0, after = 0;

	sleep(SETTLING);
	for (unsigned int i = 0; i < n; i++)
		before += bench_switches(pids[i]);
	sleep(REST);
	for (unsigned int i = 0; i < n; i++)
		after += bench_switches(pids[i]);
	return ((double)after - (double)before) / REST;
}

/* --- a dead node --- */

/* From the cut until a put says that the node is lost. */
static double notice(struct nodes *nodes)
{
	const char *dir = getenv("BENCH_CLUSTER");
	uint64_t word = 1, start;

	if (!command("causeway cluster cut -d %s -n 2", dir))
		bench_fail("causeway cluster cut");
	start = bench_now();
	while (rsm_memseg_import_put64(nodes->import, 0, &word, 1) == RSM_SUCCESS)
		usleep(1000);
	start = bench_now() - start;
	if (!command("causeway cluster heal -d %s -n 2", dir))
		bench_fail("causeway cluster heal");
	rsm_memseg_import_destroy_barrier(&nodes->barrier);
	rsm_memseg_import_disconnect(nodes->import);
	return (double)start;
}

static void import_again(struct nodes *nodes)
{
	for (unsigned int i = 0; i < 100; i++) {
		if (nodes_import(nodes))
			return;
		usleep(100000);
	}
	bench_fail("the node does not come back");
}

void group_nodes_life(struct bench *bench)
{
	struct bench_row *const connects[2] = {
		bench_row(bench, "connect: a process's first import of a node", "round trips", 1,
			BENCH_ABSOLUTE, 3),
		bench_row(bench, "connect: its second", "round trips", 1, BENCH_ABSOLUTE, 3)};
	struct bench_row *rest = bench_row(
		bench, "node at rest, an import of a peer: switches", "1/s", 1, BENCH_ABSOLUTE, 1);
	struct bench_row *alone = bench_row(
		bench, "node at rest, nothing in common: switches", "1/s", 1, BENCH_ABSOLUTE, 1);
	struct bench_row *dead = bench_row(bench, "a node whose cable is cut is noticed", "s", 1e9,
		BENCH_ABSOLUTE, 1.1 * DETECTION);
	struct nodes nodes;
	int sniffer;

	bench_at_most_rounds(bench, 3);
	nodes_begin(&nodes);
	sniffer = sniffer_open();
	while (bench_round(bench)) {
		double time;

		sample_connects(connects, &nodes, sniffer);
		bench_sample(rest, "Causeway", switches_at_rest(1), BENCH_NONE);
		time = notice(&nodes);
		bench_sample(dead, "Causeway", time, BENCH_NONE);
		if (time < 0.5 * DETECTION)
			bench_note(dead, "too early: %.2f s", time / 1e9);
		sleep(KEPT);
		bench_sample(alone, "Causeway", switches_at_rest(1), BENCH_NONE);
		import_again(&nodes);
	}
}
