/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data interrupt to another node and one back, both sides asleep in between, beside what that
 * cannot do without: a round trip over plain TCP whose ends sleep, and two hops between two
 * processes of one CPU. And a store into the other's memory and one back, each waited for by
 * reading one's own memory: a page moves for each.
 */

#include <sched.h>
#include <string.h>
#include <unistd.h>
#include "nodes.h"
#include "sisci.h"

#define PAGE  4096u
#define TRIPS 200u
#define WARM  20u

#define LOOKS	 1000u
#define PATIENCE 5000000000u /* ns */

struct side {
	sci_local_data_interrupt_t own;
	sci_remote_data_interrupt_t other;
	struct sisci_own word;
	struct sisci_other other_word;
};

/* Exchanges what the two sides need of each other. */
static void meet(struct side *side, int channel)
{
	unsigned int number = 0, node, other;
	sci_error_t e;

	SCICreateDataInterrupt(sisci_desc(), &side->own, 0, &number, NULL, NULL, 0, &e);
	bench_sisci(e, "SCICreateDataInterrupt");
	side->word = sisci_own(PAGE, true);
	memset(side->word.memory, 0, PAGE);
	bench_send(channel, sisci_node());
	bench_send(channel, number);
	bench_send(channel, side->word.id);
	node = (unsigned int)bench_receive(channel);
	other = (unsigned int)bench_receive(channel);
	SCIConnectDataInterrupt(
		sisci_desc(), &side->other, node, 0, other, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIConnectDataInterrupt");
	side->other_word = sisci_other(node, (unsigned int)bench_receive(channel), PAGE, true);
	bench_send(channel, 0);
	bench_receive(channel);
}

/* --- messages --- */

static void say(const struct side *side)
{
	char message[60] = "";
	sci_error_t e;

	SCITriggerDataInterrupt(side->other, message, sizeof(message), 0, &e);
	bench_sisci(e, "SCITriggerDataInterrupt");
}

static void hear(const struct side *side)
{
	unsigned int length = 60;
	char message[60];
	sci_error_t e;

	SCIWaitForDataInterrupt(side->own, message, &length, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIWaitForDataInterrupt");
}

static void messages(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		say(context);
		hear(context);
	}
}

static void answer_messages(int channel, void *context)
{
	unsigned int node = *(unsigned int *)context;
	struct side side;

	node_enter(node);
	bench_pin_process(getpid(), bench_cpu(node == 1));
	meet(&side, channel);
	for (;;) {
		hear(&side);
		say(&side);
	}
}

static void put_plain(void *context, unsigned long n)
{
	char message[60] = "";

	for (unsigned long i = 0; i < n; i++)
		bare_put(context, message, sizeof(message));
}

/* --- stores --- */

static void store(const struct side *side, uint32_t value)
{
	*(volatile uint32_t *)side->other_word.memory = value;
	SCIFlush(NULL, 0);
}

/* Gives way every so often: the daemons that move the page may need this processor. */
static void look(const struct side *side, uint32_t value)
{
	uint64_t end = bench_now() + PATIENCE;

	for (unsigned int turns = 1; *(volatile uint32_t *)side->word.memory != value; turns++) {
		if (turns % LOOKS)
			continue;
		if (bench_now() > end)
			bench_fail("a store does not come: is the machine too busy?");
		sched_yield();
	}
}

static void answer_stores(int channel, void *context)
{
	uint32_t value = 0;
	struct side side;

	node_enter(2);
	bench_pin_process(getpid(), bench_cpu(0));
	meet(&side, channel);
	for (;;) {
		bench_receive(channel);
		for (unsigned int i = 0; i < TRIPS; i++) {
			look(&side, ++value);
			store(&side, value);
		}
	}
}

static double stores(const struct side *side, int channel)
{
	static uint32_t value;
	double times[TRIPS];

	bench_send(channel, 0);
	for (unsigned int i = 0; i < TRIPS; i++) {
		uint64_t start = bench_now();

		store(side, ++value);
		look(side, value);
		times[i] = (double)(bench_now() - start);
	}
	return bench_median(times + WARM, TRIPS - WARM);
}

void group_nodes_sisci_messages(struct bench *bench)
{
	unsigned int here = 1, there = 2;
	struct bench_partner near = bench_partner(answer_messages, &here);
	struct bench_partner far = bench_partner(answer_messages, &there);
	struct bench_row *row = bench_row(bench,
		"data interrupt round trip to another node, asleep", "µs", 1000, BENCH_RATIO, 1.15);
	struct side local, remote;
	struct nodes nodes;

	nodes_begin(&nodes); /* pins us first: who may not spin sleeps */
	nodes_pin(false);
	meet(&local, near.channel);
	meet(&remote, far.channel);
	nodes_pin(true);
	while (bench_round(bench)) {
		double p99, hops, plain, value = bench_time(messages, &remote, 1, &p99);

		bench_sample(row, "Causeway", value, p99);
		plain = bench_time(put_plain, &nodes.asleep, 1, NULL);
		hops = bench_time(messages, &local, 1, NULL);
		bench_sample(row, "plain TCP + two local hops", plain + hops, BENCH_NONE);
		bench_sample(row, "plain TCP", plain, BENCH_NONE);
	}
}

void group_nodes_sisci_stores(struct bench *bench)
{
	struct bench_partner partner = bench_partner(answer_stores, NULL);
	struct bench_row *row =
		bench_row(bench, "stores to and fro between two nodes", "µs", 1000, BENCH_SHOWN, 0);
	struct nodes nodes;
	struct side side;

	nodes_begin(&nodes);
	nodes_pin(false);
	meet(&side, partner.channel);
	nodes_pin(true);
	while (bench_round(bench)) {
		bench_sample(row, "Causeway", stores(&side, partner.channel), BENCH_NONE);
		bench_sample(row, "plain TCP, asleep",
			bench_time(put_plain, &nodes.asleep, 1, NULL), BENCH_NONE);
	}
}
