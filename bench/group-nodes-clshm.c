/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clshm between two partitions: attach, in round trips, which are counted on the wire, and in time
 * beside plain TCP's; memory that is handed over by storing to all of it, in either direction.
 */

#include <signal.h>
#include <unistd.h>
#include <xp_shm.h>
#include "nodes.h"
#include "sniffer.h"

#define SIZE  (64ul << 20)
#define WORDS (SIZE / sizeof(uint64_t))
#define PAGE  4096u
#define SMALL 65536u
#define TRIPS 256u

static int must(int r, const char *what)
{
	if (r == -1)
		bench_fail("%s: %m", what);
	return r;
}

static void *attach(int id)
{
	void *memory = xp_shmat(id, NULL, 0);

	if (memory == (void *)-1)
		bench_fail("xp_shmat: %m");
	return memory;
}

/* To every word. Returns the time of it. */
static uint64_t store(volatile uint64_t *memory, uint64_t value)
{
	uint64_t start = bench_now();

	for (size_t i = 0; i < WORDS; i++)
		memory[i] = value;
	return bench_now() - start;
}

static void check(const volatile uint64_t *memory, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i += PAGE / sizeof(uint64_t))
		if (memory[i] != value)
			bench_fail("a page has another value than was stored last");
}

static int new_segment(size_t size)
{
	/* root of another node is nobody here */
	return must(xp_shmget(must(xp_ftok(NULL, CLSHM_IF_ID_DEFAULT), "xp_ftok"), size, 0666),
		"xp_shmget");
}

/* Where the segments are, on node 2. */
static void serve(int channel, void *context)
{
	volatile uint64_t *memory;
	uint16_t port;
	int id, listener;

	node_enter(2);
	bench_pin_process(getpid(), bench_cpu(0));
	id = new_segment(SIZE);
	memory = attach(id);
	bench_send(channel, (uint64_t)id);
	bench_send(channel, (uint64_t)new_segment(SMALL));
	listener = bare_listen(&port);
	bench_send(channel, port);
	bare_serve(bare_accept(listener), false, bench_memory(NODES_MEMORY));
	for (;;) {
		uint64_t value = bench_receive(channel);

		check(memory, value - 1);
		bench_send(channel, store(memory, value));
	}
}

/* A new process of node 1: its first attach, then another one. */
static void attach_twice(int channel, void *context)
{
	int id = *(int *)context;

	node_enter(1);
	bench_pin_process(getpid(), bench_cpu(1));
	must(part_getcount(), "part_getcount");
	bench_send(channel, 0);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t start;

		bench_receive(channel);
		start = bench_now();
		attach(id);
		bench_send(channel, bench_now() - start);
	}
}

struct rows {
	struct bench_row *trips[2], *attaches[2], *there, *back;
};

static double round_trip(const struct bare *bare)
{
	double times[TRIPS];
	uint64_t word;

	for (unsigned int i = 0; i < TRIPS; i++) {
		uint64_t start = bench_now();

		bare_get(bare, &word, sizeof(word));
		times[i] = (double)(bench_now() - start);
	}
	return bench_median(times, TRIPS);
}

static void sample_attaches(const struct rows *rows, int id, const struct bare *bare, int sniffer)
{
	struct bench_partner partner = bench_partner(attach_twice, &id);
	double trip = round_trip(bare);

	bench_receive(partner.channel);
	for (unsigned int i = 0; i < 2; i++) {
		usleep(20000);
		sniffer_round_trips(sniffer);
		bench_send(partner.channel, 0);
		bench_sample(rows->attaches[i], "Causeway", (double)bench_receive(partner.channel),
			BENCH_NONE);
		usleep(20000);
		bench_sample(rows->trips[i], "Causeway", sniffer_round_trips(sniffer), BENCH_NONE);
		bench_sample(rows->attaches[i], "plain TCP round trip", trip, BENCH_NONE);
	}
	kill(partner.pid, SIGKILL);
}

/* Both ends have stored to all of it when this returns. */
static void hand_over(
	const struct rows *rows, volatile uint64_t *memory, const struct bench_partner *home)
{
	static uint64_t value;
	double pages = SIZE / PAGE;

	bench_sample(rows->there, "Causeway", (double)store(memory, ++value) / pages, BENCH_NONE);
	bench_send(home->channel, ++value);
	bench_sample(
		rows->back, "Causeway", (double)bench_receive(home->channel) / pages, BENCH_NONE);
}

void group_nodes_clshm(struct bench *bench)
{
	const struct rows rows = {
		.trips = {bench_row(bench, "clshm: a process's first attach of a partition's",
				  "round trips", 1, BENCH_ABSOLUTE, 3),
			bench_row(bench, "clshm: its second", "round trips", 1, BENCH_ABSOLUTE, 3)},
		.attaches = {bench_row(bench, "clshm: a first attach", "µs", 1000, BENCH_SHOWN, 0),
			bench_row(bench, "clshm: a second attach", "µs", 1000, BENCH_SHOWN, 0)},
		.there = bench_row(bench, "clshm: 64 MiB handed to another partition, a page", "µs",
			1000, BENCH_ABSOLUTE, 8200),
		.back = bench_row(
			bench, "clshm: and back, a page", "µs", 1000, BENCH_ABSOLUTE, 8200),
	};
	struct bench_partner home = bench_partner(serve, NULL);
	volatile uint64_t *memory;
	struct bare bare;
	int sniffer, id, small;

	nodes_pin(false);
	node_enter(1);
	id = (int)bench_receive(home.channel);
	small = (int)bench_receive(home.channel);
	bare = (struct bare){
		bare_connect(NODES_ADDRESS, (uint16_t)bench_receive(home.channel)), false};
	sniffer = sniffer_open();
	memory = attach(id);
	nodes_pin(true);
	bench_pin_process(getpid(), bench_cpu(1));
	bench_note(rows.there, "8.2 µs a page are 0.5 GB/s");
	while (bench_round(bench)) {
		sample_attaches(&rows, small, &bare, sniffer);
		hand_over(&rows, memory, &home);
	}
}
