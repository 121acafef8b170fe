/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and stores on memory of another node: what a page costs that is fetched, taken from a third
 * node, read and written in order, and shared with a neighbour, beside what that cannot do without:
 * plain TCP's round trip with a page, and a fault that a daemon of the same node answers. And how
 * many faults it takes to hand a word over to the other node.
 */

#include <rsm/rsmapi_ext.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>
#include "client/connection.h"
#include "nodes.h"
#include "watched.h"

#define LARGE (256ul << 20)
#define SMALL (WATCHED_EACH * WATCHED_PAGE)

enum far_order {
	FAR_LOAD,  /* each page of the small segment */
	FAR_STORE, /* to each */
	FAR_HAND,  /* takes the word HANDED times, and gives it back; the faults of that */
};

#define HANDED 1000u

/* --- maps --- */

struct map {
	rsm_memseg_import_handle_t import;
	void *memory;
};

static void map_new(struct map *map, rsm_memseg_id_t id, size_t size)
{
	map->import = node_import(2, id);
	bench_rsm(rsm_memseg_import_map(
			  map->import, &map->memory, RSM_MAP_NONE, RSM_PERM_RDWR, 0, size),
		"rsm_memseg_import_map");
}

static void unmap(struct map *map)
{
	bench_rsm(rsm_memseg_import_unmap(map->import), "rsm_memseg_import_unmap");
	bench_rsm(rsm_memseg_import_disconnect(map->import), "rsm_memseg_import_disconnect");
}

/* The home has every page to read, and nobody else has any. */
static void map_anew(struct map *map, rsm_memseg_id_t id, size_t size)
{
	unmap(map);
	map_new(map, id, size);
}

/* One page at a time: each fault is by itself. */
static void expect_no_order(const struct map *map, size_t size)
{
	bench_rsm(rsm_memseg_import_advise(map->import, 0, size, RSM_EXT_ADVICE_RANDOM, 0),
		"rsm_memseg_import_advise");
}

/* --- one word --- */

/* What causeway stat counts, of this node. */
static uint64_t count_faults(rsm_memseg_id_t id)
{
	struct wire_message request = {.type = WIRE_COHERENT_STAT};
	const uint8_t *at, *end;
	static struct cw_reply reply;
	struct wire_coherent_row row;
	uint64_t n = 0;

	if (cw_call(&request, NULL, 0, &reply))
		bench_fail("the counts of the maps cannot be read");
	at = reply.message.tail;
	end = at + reply.message.tail_size;
	for (uint32_t i = 0; i < reply.message.coherent_stat_reply.n && at; i++) {
		at = wire_get_coherent_row(at, end, &row);
		if (at && row.id == id && row.space == WIRE_SPACE_RSM)
			n += row.read_faults + row.write_faults;
	}
	return n;
}

/* Waits for the odd ones, or the even ones, and makes the next one of each. Whoever waits yields,
 * for the node's daemon has the same processor. */
static uint64_t hand_over(void *memory, rsm_memseg_id_t id, uint64_t odd)
{
	_Atomic uint64_t *word = memory;
	uint64_t before = count_faults(id);

	for (unsigned int i = 0; i < HANDED; i++) {
		while ((atomic_load(word) & 1) != odd)
			sched_yield();
		atomic_fetch_add(word, 1);
	}
	return count_faults(id) - before;
}

/* --- the others --- */

/* The exporter, on node 2. */
static void serve_home(int channel, void *context)
{
	rsm_memseg_export_handle_t large, small;
	uint16_t port;
	int listener;

	node_enter(2);
	bench_pin_process(getpid(), bench_cpu(0));
	bench_send(channel, node_export(LARGE, &large));
	bench_send(channel, node_export(SMALL, &small));
	listener = bare_listen(&port);
	bench_send(channel, port);
	bare_serve(bare_accept(listener), false, bench_memory(NODES_MEMORY));
	for (;;)
		pause();
}

/* Another program, on whichever node. */
static void serve_map(int channel, void *context)
{
	unsigned int node = *(unsigned int *)context;
	rsm_memseg_id_t id;
	struct map map;

	node_enter(node);
	bench_pin_process(getpid(), bench_cpu(node == 1));
	id = (rsm_memseg_id_t)bench_receive(channel);
	map_new(&map, id, SMALL);
	expect_no_order(&map, SMALL);
	for (;;) {
		enum far_order what = (enum far_order)bench_receive(channel);

		bench_send(channel, what == FAR_HAND
					    ? hand_over(map.memory, id, 1)
					    : watched_touch_each(map.memory, what == FAR_STORE));
	}
}

static uint64_t far_order(const struct bench_partner *far, enum far_order what)
{
	bench_send(far->channel, what);
	return bench_receive(far->channel);
}

/* --- rows --- */

struct rows {
	struct bench_row *read, *take, *reads, *writes, *second, *hand;
};

struct work {
	rsm_memseg_id_t large, small;
	struct bare bare;
	struct watched_server local;
	struct bench_partner home, neighbour_home, third, second;
	struct map small_map, map;
};

static double page_by_tcp(struct work *w)
{
	static char page[WATCHED_PAGE];
	double times[256];

	for (unsigned int i = 0; i < 256; i++) {
		uint64_t start = bench_now();

		bare_get(&w->bare, page, sizeof(page));
		times[i] = (double)(bench_now() - start);
	}
	return bench_median(times, 256);
}

static void sample_faults(const struct rows *rows, struct work *w)
{
	static const char *const least_name = "TCP round trip + local fault";
	double least, value;

	watched_empty(&w->local);
	least = watched_time_each(&w->local, LOAD_EACH, false) + page_by_tcp(w);
	/* away from here, then to be read at the home */
	(void)far_order(&w->neighbour_home, FAR_STORE);
	(void)far_order(&w->third, FAR_LOAD);
	value = (double)watched_touch_each(w->small_map.memory, false);
	bench_sample(rows->read, "Causeway", value, BENCH_NONE);
	bench_sample(rows->read, least_name, least, BENCH_NONE);

	value = (double)far_order(&w->second, FAR_LOAD);
	watched_order(&w->local.one, FORGET, 0);
	(void)watched_serve(&w->local, false);
	bench_sample(rows->second, "Causeway", value, BENCH_NONE);
	bench_sample(rows->second, "a registered range, all there",
		watched_time_each(&w->local, LOAD_EACH, false), BENCH_NONE);

	(void)far_order(&w->third, FAR_STORE);
	value = (double)watched_touch_each(w->small_map.memory, true);
	bench_sample(rows->take, "Causeway", value, BENCH_NONE);
	bench_sample(rows->take, least_name, least, BENCH_NONE);
}

static void sample_hand_over(const struct rows *rows, struct work *w)
{
	_Atomic uint64_t *word = w->small_map.memory;
	uint64_t faults;

	/* whatever is there, it is this node's turn */
	if (atomic_load(word) & 1)
		atomic_fetch_add(word, 1);
	bench_send(w->neighbour_home.channel, FAR_HAND);
	faults = hand_over(w->small_map.memory, w->small, 0);
	faults += bench_receive(w->neighbour_home.channel);
	bench_sample(rows->hand, "Causeway", (double)faults / (2 * HANDED), BENCH_NONE);
}

/* µs a page: 4.1 is 1 GB/s. */
static double all(struct work *w, bool store)
{
	return (double)watched_touch_all(w->map.memory, LARGE, store) / (LARGE / WATCHED_PAGE);
}

static void sample_rates(const struct rows *rows, struct work *w)
{
	double local[2], ours[2];

	map_anew(&w->map, w->large, LARGE);
	ours[0] = all(w, false);
	map_anew(&w->map, w->large, LARGE);
	ours[1] = all(w, true);
	local[0] = WATCHED_PAGE / watched_rate(&w->local, LOAD_ALL, WATCHED_RUN_MAX);
	local[1] = WATCHED_PAGE / watched_rate(&w->local, STORE_ALL, 64);
	bench_sample(rows->reads, "Causeway", ours[0], BENCH_NONE);
	bench_sample(rows->reads, "local fill and wake", local[0], BENCH_NONE);
	bench_sample(rows->writes, "Causeway", ours[1], BENCH_NONE);
	bench_sample(rows->writes, "local fill and allow", local[1], BENCH_NONE);
}

static void begin(struct work *w)
{
	static unsigned int here = 1, home = 2, third = 3;

	w->home = bench_partner(serve_home, NULL);
	w->neighbour_home = bench_partner(serve_map, &home);
	w->second = bench_partner(serve_map, &here);
	w->third = bench_partner(serve_map, &third);
	nodes_pin(false);
	node_enter(1);
	w->large = (rsm_memseg_id_t)bench_receive(w->home.channel);
	w->small = (rsm_memseg_id_t)bench_receive(w->home.channel);
	w->bare = (struct bare){
		bare_connect(NODES_ADDRESS, (uint16_t)bench_receive(w->home.channel)), false};
	watched_server_start(&w->local);
	map_new(&w->small_map, w->small, SMALL);
	expect_no_order(&w->small_map, SMALL);
	map_new(&w->map, w->large, LARGE);
	bench_send(w->neighbour_home.channel, w->small);
	bench_send(w->second.channel, w->small);
	bench_send(w->third.channel, w->small);
	nodes_pin(true);
}

void group_nodes_maps(struct bench *bench)
{
	const struct rows rows = {
		.read = bench_row(
			bench, "load of another node's page", "µs", 1000, BENCH_RATIO, 1.2),
		.take = bench_row(bench, "store to a page that a third node has", "µs", 1000,
			BENCH_RATIO, 2.4),
		.second = bench_row(bench, "load of a page that a neighbour has fetched", "µs",
			1000, BENCH_RATIO, 1.15),
		.reads = bench_row(
			bench, "loads of 256 MiB in order, a page", "µs", 1000, BENCH_RATIO, 2),
		.writes = bench_row(bench, "stores to 256 MiB in order, a page", "µs", 1000,
			BENCH_ABSOLUTE, 8200),
		.hand = bench_row(bench, "one word to the other node and back, a hand-over",
			"faults", 1, BENCH_ABSOLUTE, 1.2),
	};
	struct work w;

	begin(&w);
	bench_note(rows.reads, "4.1 µs a page are 1 GB/s");
	while (bench_round(bench)) {
		sample_faults(&rows, &w);
		sample_rates(&rows, &w);
		sample_hand_over(&rows, &w);
	}
}
