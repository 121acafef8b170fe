/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects to a segment that is not there, which SISCI programs repeat without a pause until it is:
 * how often something goes over the wire, how long one takes beside SCIProbeNode, and what others
 * notice of a program that does nothing else: one of the other node that asks its daemon, and one
 * of a third node that puts there.
 */

#include <sys/mman.h>
#include <unistd.h>
#include "nodes.h"
#include "sisci.h"
#include "sniffer.h"

#define MISSING 0xdeadu /* nobody's id */

static void connect_in_vain(void *context, unsigned long n)
{
	unsigned int node = *(unsigned int *)context;
	sci_remote_segment_t segment;
	sci_error_t e;

	for (unsigned long i = 0; i < n; i++) {
		SCIConnectSegment(sisci_desc(), &segment, node, MISSING, 0, NULL, NULL,
			SCI_INFINITE_TIMEOUT, 0, &e);
		if (e != SCI_ERR_NO_SUCH_SEGMENT)
			bench_fail("connect to what is not there: %s", SCIGetErrorString(e));
	}
}

static void probe(void *context, unsigned long n)
{
	sci_error_t e;

	for (unsigned long i = 0; i < n; i++) {
		SCIProbeNode(sisci_desc(), 0, *(unsigned int *)context, 0, &e);
		bench_sisci(e, "SCIProbeNode");
	}
}

/* Tries without a pause while the word in shared memory says so. */
static void try_forever(int channel, void *context)
{
	volatile uint32_t *go = context;
	unsigned int node;

	node_enter(1);
	bench_pin_process(getpid(), bench_cpu(1));
	node = (unsigned int)bench_receive(channel);
	for (;;)
		if (*go)
			connect_in_vain(&node, 1);
		else
			usleep(1000);
}

/* --- others --- */

static void put_word(void *context, unsigned long n)
{
	rsm_memseg_import_handle_t *import = context;
	uint64_t word = 1;

	for (unsigned long i = 0; i < n; i++)
		bench_rsm(rsm_memseg_import_put64(*import, 0, &word, 1), "put64");
}

static void measure_for(int channel, bench_work work, void *context)
{
	double p99, value;

	for (;;) {
		bench_receive(channel);
		value = bench_time(work, context, 1, &p99);
		bench_send(channel, (uint64_t)value);
		bench_send(channel, (uint64_t)p99);
	}
}

static void ask_at_home(int channel, void *context)
{
	unsigned int node;

	node_enter(2);
	bench_pin_process(getpid(), bench_cpu(0));
	node = sisci_node();
	bench_send(channel, node);
	measure_for(channel, connect_in_vain, &node);
}

static void put_from_third(int channel, void *context)
{
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;

	node_enter(3);
	import = node_import(2, (rsm_memseg_id_t)bench_receive(channel));
	bench_rsm(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier),
		"rsm_memseg_import_init_barrier");
	measure_for(channel, put_word, &import);
}

static double ask(const struct bench_partner *p, double *ret_p99)
{
	double value;

	bench_send(p->channel, 0);
	value = (double)bench_receive(p->channel);
	*ret_p99 = (double)bench_receive(p->channel);
	return value;
}

/* Somebody who tries all the time, and does so while *go. */
struct trier {
	struct bench_partner partner;
	volatile uint32_t *go;
};

static struct trier trier_start(unsigned int node)
{
	struct trier t = {.go = bench_shared_memory(4096)};

	*t.go = 0;
	t.partner = bench_partner(try_forever, (void *)t.go);
	bench_send(t.partner.channel, node);
	return t;
}

static void sample_other(
	struct bench_row *row, const struct bench_partner *other, const struct trier *trier)
{
	double p99, value;

	*trier->go = 1;
	usleep(20000);
	value = ask(other, &p99);
	bench_sample(row, "Causeway", value, p99);
	*trier->go = 0;
	usleep(20000);
	value = ask(other, &p99);
	bench_sample(row, "when nobody tries", value, p99);
}

static void sample_round_trips(struct bench_row *row, unsigned int node, int sniffer)
{
	const unsigned long n = 10;

	(void)sniffer_round_trips(sniffer);
	connect_in_vain(&node, n);
	usleep(20000);
	bench_sample(row, "Causeway", (double)sniffer_round_trips(sniffer) / (double)n, BENCH_NONE);
}

void group_nodes_sisci_connect(struct bench *bench)
{
	struct bench_row *trips = bench_row(bench, "connect to a segment that is not there",
		"round trips", 1, BENCH_ABSOLUTE, 1);
	struct bench_row *row = bench_row(bench, "connect to a segment that is not there, time",
		"µs", 1000, BENCH_RATIO, 1.15);
	struct bench_row *request = bench_row(bench,
		"a request of the other node, while somebody tries", "µs", 1000, BENCH_SHOWN, 0);
	struct bench_row *put = bench_row(bench, "a third node's put there, while somebody tries",
		"µs", 1000, BENCH_SHOWN, 0);
	struct bench_partner asking = bench_partner(ask_at_home, NULL);
	struct bench_partner putting = bench_partner(put_from_third, NULL);
	unsigned int node = (unsigned int)bench_receive(asking.channel);
	struct trier trier = trier_start(node);
	struct nodes nodes;
	int sniffer;

	nodes_begin(&nodes);
	bench_send(putting.channel, nodes.id);
	sniffer = sniffer_open();
	while (bench_round(bench)) {
		struct bench_side sides[2] = {
			{.work = connect_in_vain, .context = &node},
			{.work = probe, .context = &node},
		};
		static const char *const names[2] = {"Causeway", "SCIProbeNode"};

		sample_round_trips(trips, node, sniffer);
		bench_sample_two(row, names, sides, 1);
		sample_other(request, &asking, &trier);
		sample_other(put, &putting, &trier);
	}
}
