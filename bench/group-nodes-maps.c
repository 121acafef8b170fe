/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and stores on memory of another node: what a page costs that is fetched, taken from a third
 * node, read and written in order, and shared with a neighbour, beside what that cannot do without:
 * plain TCP's round trip with a page, and a fault that a daemon of the same node answers.
 */

#include <rsm/rsmapi_ext.h>
#include <unistd.h>
#include "nodes.h"
#include "watched.h"

#define LARGE (256ul << 20)
#define SMALL (WATCHED_EACH * WATCHED_PAGE)

enum far_order {
	FAR_LOAD,  /* each page of the small segment */
	FAR_STORE, /* to each */
};

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
		bool store = bench_receive(channel) == FAR_STORE;

		bench_send(channel, watched_touch_each(map.memory, store));
	}
}

static uint64_t far_order(const struct bench_partner *far, enum far_order what)
{
	bench_send(far->channel, what);
	return bench_receive(far->channel);
}

/* --- rows --- */

struct rows {
	struct bench_row *read, *take, *reads, *writes, *second;
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
	};
	struct work w;

	begin(&w);
	bench_note(rows.reads, "4.1 µs a page are 1 GB/s");
	while (bench_round(bench)) {
		sample_faults(&rows, &w);
		sample_rates(&rows, &w);
	}
}
