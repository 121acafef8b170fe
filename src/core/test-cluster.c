/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random schedules of a small cluster. After every event the invariants of the engine that it
 * concerned, and what two nodes must agree on; at the end everything heals, and then all pairs of
 * nodes must agree exactly.
 *
 * CLUSTER_SEED=n runs only that schedule, CLUSTER_SCHEDULES=n so many.
 */

#include "core/test-cluster.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES	  8
#define CLIENTS	  3 /* of a node */
#define ACTIONS	  120
#define SCHEDULES 1000
#define FIRST_ID  0x400000u
#define IDS	  5u

static const struct engine_limits limits = {
	.max_segment_bytes = 1ull << 30,
	.max_bytes_per_user = 1ull << 40,
	.max_segments_per_user = 1000,
	.max_imports_per_user = 60,
	.max_clients_per_user = 1000,
	.max_imports_per_peer = 12,
	.detection = DETECTION,
};

/* What happens */

struct world {
	struct cluster cluster;
	uint64_t clients[NODES][CLIENTS]; /* ids, 0: none */
};

static EngineClient *any_client(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	uint64_t id = w->clients[node - 1][cluster_random(c, CLIENTS)];

	return id ? engine_client_find(cluster_node(c, node)->engine, id) : NULL;
}

static void *any_of(struct cluster *c, const struct idtable *t)
{
	return t->n_slots ? idtable_get(t, cluster_random(c, t->n_slots)) : NULL;
}

static void do_client(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	uint64_t *slot = &w->clients[node - 1][cluster_random(c, CLIENTS)];
	Engine *engine = cluster_node(c, node)->engine;
	struct engine_identity who = {.pid = 1, .gid = 100};
	EngineClient *client = *slot ? engine_client_find(engine, *slot) : NULL;

	if (client && cluster_random(c, 4))
		return;
	*slot = 0;
	if (client) {
		engine_client_free(client);
		return;
	}
	who.uid = cluster_random(c, 10) ? 1000 : 666;
	who.n_groups = cluster_random(c, 3);
	HOLDS(c, engine_client_new(engine, &who, &client) == 0);
	*slot = client->id;
}

static void do_publish(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	EngineClient *client = any_client(w, node);
	struct wire_access access = {.node = 1 + cluster_random(c, NODES), .mode = 0666};
	uint32_t id;
	EngineSegment *s;

	if (!client)
		return;
	s = any_of(c, &client->segments);
	if (!s)
		HOLDS(c, engine_segment_create(client, 1, PAGE, 0666, 0, 0, &s) == 0);
	engine_segment_publish(
		s, FIRST_ID + cluster_random(c, IDS), &access, cluster_random(c, 8) == 0, &id);
}

static void do_unpublish(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	EngineClient *client = any_client(w, node);
	EngineSegment *s = client ? any_of(c, &client->segments) : NULL;
	bool move;

	if (!s)
		return;
	if (cluster_random(c, 2))
		engine_segment_unpublish(s, &move);
	else
		engine_segment_destroy(s);
}

/* Mostly one that is there. */
static uint32_t any_id(struct cluster *c, uint32_t node)
{
	Engine *engine = cluster_node(c, node)->engine;
	uint32_t id = FIRST_ID + cluster_random(c, IDS);

	for (int i = 0; i < 20 && engine && !engine_segment_find(engine, 1, id); i++)
		id = FIRST_ID + cluster_random(c, IDS);
	return id;
}

static void do_connect(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	EngineClient *client = any_client(w, node);
	uint32_t home = 1 + cluster_random(c, NODES);
	EngineImport *i;
	int r;

	if (!client)
		return;
	r = engine_import_connect(client, 1, WIRE_CONTROLLER_TCP, home, any_id(c, home),
		2 * cluster_random(c, 4), &i);
	HOLDS(c, r >= 0);
}

static void do_disconnect(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	EngineClient *client = any_client(w, node);
	EngineImport *i = client ? any_of(c, &client->imports) : NULL;

	if (!i)
		return;
	if (cluster_random(c, 6) == 0)
		engine_import_lose(i);
	else
		engine_import_disconnect(i);
}

static void do_want(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	Engine *engine = cluster_node(c, node)->engine;
	EnginePeer *p;

	if (engine_peer_get(engine, 1 + cluster_random(c, NODES), &p))
		return;
	if (p->n_wanted)
		engine_peer_unwant(p, c->now);
	else
		engine_peer_want(p, c->now);
}

static void do_break(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	struct connection *n;

	list_for_each (n, &c->connections, link) {
		if (cluster_random(c, 8))
			continue;
		cluster_break(c, n);
		return;
	}
}

static void do_cut(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	uint32_t other = 1 + cluster_random(c, NODES);

	if (other != node)
		cluster_cut(c, node, other, cluster_random(c, 3) == 0);
}

static void do_restart(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;

	cluster_restart(c, node, cluster_random(c, 2 * DETECTION));
}

static void do_kill(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;

	cluster_kill(c, node, cluster_random(c, 4) ? cluster_random(c, 2 * DETECTION) : UINT64_MAX,
		cluster_random(c, 2));
	for (int i = 0; i < CLIENTS; i++)
		w->clients[node - 1][i] = 0;
}

static void do_leave(struct world *w, uint32_t node)
{
	engine_peers_leave(cluster_node(&w->cluster, node)->engine, w->cluster.now);
}

static void do_nodes(struct world *w, uint32_t node)
{
	struct cluster *c = &w->cluster;
	Engine *engine = cluster_node(c, node)->engine;
	uint32_t nodes[NODES], without = 1 + cluster_random(c, NODES), n = 0;

	for (uint32_t i = 1; i <= NODES; i++)
		if (i != without)
			nodes[n++] = i;
	HOLDS(c, engine_set_nodes(engine, nodes, n, c->now) == 0);
	engine_check(engine);
	cluster_after(c, node);
	for (uint32_t i = 0; i < NODES; i++)
		nodes[i] = i + 1;
	HOLDS(c, engine_set_nodes(engine, nodes, NODES, c->now) == 0);
}

static const struct {
	void (*act)(struct world *w, uint32_t node);
	uint32_t weight;
} actions[] = {
	{do_client, 12},
	{do_publish, 20},
	{do_unpublish, 10},
	{do_connect, 45},
	{do_disconnect, 10},
	{do_want, 2},
	{do_break, 4},
	{do_cut, 5},
	{do_restart, 3},
	{do_kill, 1},
	{do_leave, 1},
	{do_nodes, 1},
};

static void act(struct world *w)
{
	struct cluster *c = &w->cluster;
	uint32_t sum = 0, at, node = 1 + cluster_random(c, NODES);

	for (size_t i = 0; i < ELEMENTS(actions); i++)
		sum += actions[i].weight;
	at = cluster_random(c, sum);
	for (size_t i = 0; i < ELEMENTS(actions); i++) {
		if (at < actions[i].weight) {
			if (cluster_node(c, node)->engine)
				actions[i].act(w, node);
			break;
		}
		at -= actions[i].weight;
	}
	if (!cluster_node(c, node)->engine)
		return;
	cluster_after(c, node);
	cluster_check_node(c, node);
}

/* The end: everybody hears everybody again */

static void heal(struct world *w)
{
	struct cluster *c = &w->cluster;
	EnginePeer *p = NULL;

	for (uint32_t a = 1; a <= NODES; a++)
		for (uint32_t b = 1; b <= NODES; b++)
			cluster_cut(c, a, b, false);
	cluster_run(c, c->now + 3 * DETECTION, cluster_check_node);
	for (uint32_t a = 1; a <= NODES; a++) {
		if (!cluster_node(c, a)->engine)
			continue;
		while ((p = engine_peer_next(cluster_node(c, a)->engine, p ? p->number : 0)))
			while (p->n_wanted)
				engine_peer_unwant(p, c->now);
		cluster_after(c, a);
	}
	cluster_run(c, c->now + 30 * NSEC_PER_SEC, cluster_check_node);
}

static struct {
	uint64_t granted, lost, failed, revoked;
} seen;

static void count_states(struct cluster *c)
{
	for (uint32_t a = 1; a <= NODES; a++) {
		const struct tree_node *n;
		Engine *engine = cluster_node(c, a)->engine;
		const EngineImport *i;
		uint32_t index;

		for (n = engine ? tree_above(&engine->clients, 0) : NULL; n;
			n = tree_above(&engine->clients, n->key)) {
			idtable_for_each (&container_of(n, EngineClient, node)->imports, index, i) {
				seen.granted += i->state == WIRE_IMPORT_CONNECTED && i->home;
				seen.lost += i->state == WIRE_IMPORT_NODE_LOST;
				seen.failed += i->state == WIRE_IMPORT_FAILED;
				seen.revoked += i->state == WIRE_IMPORT_REVOKED && i->node;
			}
		}
	}
}

static void run_schedule(uint32_t number)
{
	struct world w = {};
	struct cluster *c = &w.cluster;

	cluster_init(c, NODES, number, &limits);
	for (uint32_t i = 0; i < 3 * NODES; i++)
		do_client(&w, 1 + i % NODES);
	for (uint32_t i = 0; i < 3 * NODES; i++)
		do_publish(&w, 1 + i % NODES);
	for (int i = 0; i < ACTIONS; i++) {
		/* Now in the middle of everything, now when all has come to rest. */
		cluster_run(c,
			c->now + cluster_random(
					 c, cluster_random(c, 4) ? DETECTION / 50 : DETECTION / 2),
			cluster_check_node);
		act(&w);
	}
	heal(&w);
	cluster_check_end(c);
	count_states(c);
	cluster_deinit(c);
}

static void nodes_agree_whatever_happens(void **state)
{
	const char *one = getenv("CLUSTER_SEED"), *n = getenv("CLUSTER_SCHEDULES");
	uint32_t schedules = n ? (uint32_t)atoi(n) : SCHEDULES;

	if (one) {
		run_schedule((uint32_t)atoi(one));
		return;
	}
	for (uint32_t i = 1; i <= schedules; i++)
		run_schedule(i);
	print_message("imports at the ends: %llu connected, %llu lost, %llu failed, %llu revoked\n",
		(unsigned long long)seen.granted, (unsigned long long)seen.lost,
		(unsigned long long)seen.failed, (unsigned long long)seen.revoked);
	assert_true(seen.granted > schedules / 10 && seen.lost > schedules / 10);
	assert_true(seen.failed > schedules / 10 && seen.revoked > schedules / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_agree_whatever_happens),
	};

	return cmocka_run_group_tests_name("a cluster of engines", tests, NULL, NULL);
}
