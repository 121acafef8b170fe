/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round trips of signals between two processes, each of which has a segment that the other imports:
 * post to the import, the exporter waits. Beside it the least that gives the same: a byte in a
 * pipe, poll() of two descriptors (a waiter also watches for the end of the other side) and read().
 *
 * Each variant is a pair of processes of its own, pinned before they first call the library, since
 * whether a waiter may spin depends on the CPUs it is allowed. The second answers for ever; the
 * first measures when told.
 */

#include <poll.h>
#include <unistd.h>
#include "segment.h"

enum placement {
	SAME_CORE,
	ACROSS,
	SPINNING, /* wait again and again with a timeout of 1 ms, each on a core of its own */
};

struct pair {
	enum placement placement;
	bool pipes;
};

/* One side of a pair. */
struct side {
	const struct pair *pair;
	struct bench_export own;
	rsm_memseg_import_handle_t other;
	int in, out, watched; /* pipes */
};

static void post(struct side *side)
{
	if (side->pair->pipes) {
		if (write(side->out, "", 1) != 1)
			bench_fail("write: %m");
	} else {
		bench_rsm(rsm_intr_signal_post(side->other, 0), "rsm_intr_signal_post");
	}
}

static void wait_in_poll(struct side *side)
{
	struct pollfd fds[] = {
		{.fd = side->in, .events = POLLIN},
		{.fd = side->watched, .events = POLLIN},
	};
	char byte;

	if (poll(fds, 2, -1) != 1 || !(fds[0].revents & POLLIN) || read(side->in, &byte, 1) != 1)
		bench_fail("the other process is gone");
}

/* Sleeps for good after 20 ms without a signal, so that pairs which are not measured do not
 * disturb. */
static void wait_spinning(struct side *side)
{
	int code = RSMERR_TIMEOUT;

	for (int i = 0; i < 20 && code == RSMERR_TIMEOUT; ++i)
		code = rsm_intr_signal_wait(side->own.handle, 1);
	if (code == RSMERR_TIMEOUT)
		code = rsm_intr_signal_wait(side->own.handle, -1);
	bench_rsm(code, "rsm_intr_signal_wait");
}

static void wait(struct side *side)
{
	if (side->pair->pipes)
		wait_in_poll(side);
	else if (side->pair->placement == SPINNING)
		wait_spinning(side);
	else
		bench_rsm(rsm_intr_signal_wait(side->own.handle, -1), "rsm_intr_signal_wait");
}

/* Before the library is first called, or, where it shall spin, after it has seen that it may. */
static void pin(const struct side *side, bool met, unsigned int cpu)
{
	if (met != (side->pair->placement == SPINNING))
		return;
	if (met && rsm_intr_signal_wait(side->own.handle, 1) != RSMERR_TIMEOUT)
		bench_fail("a signal that nobody posted");
	bench_pin(0, bench_cpu(cpu));
}

/* Exchanges what the two sides need of each other. */
static void meet(struct side *side, int channel)
{
	if (side->pair->pipes)
		return;
	side->own = bench_export(4096);
	bench_send(channel, side->own.id);
	side->other = bench_import((rsm_memseg_id_t)bench_receive(channel));
	bench_send(channel, 0);
	bench_receive(channel);
}

static void answer(int channel, void *context)
{
	struct side *side = context;

	unsigned int cpu = side->pair->placement == SAME_CORE ? 1 : 0;

	pin(side, false, cpu);
	meet(side, channel);
	pin(side, true, cpu);
	bench_send(channel, 0);
	for (;;) {
		wait(side);
		post(side);
	}
}

static void trips(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i) {
		post(context);
		wait(context);
	}
}

/* In pipes' variant the ends cross: what one writes the other reads. */
static void make_pipes(struct side *here, struct side *there)
{
	int forth[2], back[2], watched[2];

	if (pipe(forth) || pipe(back) || pipe(watched))
		bench_fail("pipe: %m");
	*here = (struct side){.pair = here->pair, .in = back[0], .out = forth[1]};
	*there = (struct side){.pair = here->pair, .in = forth[0], .out = back[1]};
	here->watched = there->watched = watched[0];
}

static void measure(int channel, void *context)
{
	struct side here = {.pair = context}, there = {.pair = context};
	struct bench_partner partner;

	if (here.pair->pipes)
		make_pipes(&here, &there);
	pin(&here, false, 1);
	partner = bench_partner(answer, &there);
	meet(&here, partner.channel);
	pin(&here, true, 1);
	bench_receive(partner.channel);
	for (;;) {
		double median, p99;

		bench_send(channel, 0);
		bench_receive(channel);
		median = bench_time(trips, &here, here.pair->placement == SPINNING ? 100 : 1, &p99);
		bench_send(channel, (uint64_t)(median * 1000)); /* ps */
		bench_send(channel, (uint64_t)(p99 * 1000));
	}
}

static void sample(struct bench_row *row, const char *contender, int channel)
{
	double median, p99;

	bench_receive(channel);
	bench_send(channel, 0);
	median = (double)bench_receive(channel) / 1000;
	p99 = (double)bench_receive(channel) / 1000;
	bench_sample(row, contender, median, p99);
}

void group_signals(struct bench *bench)
{
	static struct pair pairs[] = {
		{SAME_CORE, false},
		{SAME_CORE, true},
		{ACROSS, false},
		{ACROSS, true},
		{SPINNING, false},
	};
	static const char *const pipes = "pipe, poll of 2, read";
	struct bench_row *same, *across, *spinning;
	int channels[5];

	for (size_t i = 0; i < 5; ++i)
		channels[i] = bench_partner(measure, &pairs[i]).channel;
	same = bench_row(
		bench, "signal round trip, asleep, same core", "us", 1000, BENCH_RATIO, 1.15);
	across = bench_row(
		bench, "signal round trip, asleep, across", "us", 1000, BENCH_RATIO, 1.15);
	spinning = bench_row(bench, "signal round trip, spinning", "ns", 1, BENCH_RATIO, 5);
	while (bench_round(bench)) {
		sample(same, "causeway", channels[0]);
		sample(same, pipes, channels[1]);
		sample(across, "causeway", channels[2]);
		sample(across, pipes, channels[3]);
		sample(spinning, "causeway", channels[4]);
		bench_sample(
			spinning, "cache-line ping-pong", bench_round_pingpong(bench), BENCH_NONE);
	}
}
