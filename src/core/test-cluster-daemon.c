/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-cluster.h"

#include <stdlib.h>
#include <string.h>

/*
 * The simulated daemons: what an engine's decisions do, how one dies and comes back.
 */

/* Operations of the engines */

static void on_import_state(void *userdata, EngineImport *import)
{
}

static void on_import_free(void *userdata, EngineImport *import)
{
}

static void on_segment(void *userdata, EngineSegment *segment)
{
}

static void on_peer_wanted(void *userdata, EnginePeer *peer)
{
	struct cluster *c = userdata;
	uint32_t from = engine_node(peer->engine), to = peer->number;
	const struct sim_node *other = cluster_node(c, to);
	struct event e = {.connection = NULL};

	assert_null(cluster_ends(peer)->dial);
	assert_null(cluster_ends(peer)->up);
	e.node = from;
	e.epoch = cluster_node(c, from)->epoch;
	e.connection = connection_new(c, from, to);
	cluster_ends(peer)->dial = e.connection;
	if (other->engine && !cluster_is_cut(c, from, to)) {
		e.kind = EVENT_DIALLED;
		e.time = c->now + cluster_delay(c);
	} else {
		/* No machine, or the keeper's socket; or a machine without a node. */
		e.kind = EVENT_FAILED;
		e.connection->open[1] = false;
		e.side = other->host && !other->engine && !other->records &&
			 !cluster_is_cut(c, from, to);
		e.time = c->now + (e.side ? cluster_delay(c) : DIAL_TIMEOUT);
	}
	cluster_event_add(c, e);
}

static void on_peer_send(void *userdata, EnginePeer *peer, const struct wire_message *m)
{
	struct cluster *c = userdata;
	struct ends *ends = cluster_ends(peer);

	if (c->quiet)
		return;
	assert_non_null(ends->up);
	connection_send(c, ends->up, connection_side(ends->up, engine_node(peer->engine)), m);
}

static void on_peer_close(void *userdata, EnginePeer *peer)
{
	struct ends *ends = cluster_ends(peer);
	uint32_t node = engine_node(peer->engine);

	connection_let_go(userdata, node, &ends->up);
	connection_let_go(userdata, node, &ends->dial);
}

static void on_peer_session(void *userdata, EnginePeer *peer)
{
}

static void on_peer_free(void *userdata, EnginePeer *peer)
{
	struct ends *ends = peer->userdata;

	assert_true(!ends || (!ends->up && !ends->dial));
	free(ends);
}

static int on_guest_identity(void *userdata, EnginePeer *peer, struct engine_identity *identity)
{
	return identity->uid == 666 ? STATUS_DENIED : 0;
}

static void key_of(const EngineImport *import, uint8_t ret_key[16])
{
	uint64_t number = (uint64_t)(uintptr_t)import->userdata;

	memset(ret_key, 0, 16);
	memcpy(ret_key, &number, sizeof(number));
}

static int on_guest_equip(void *userdata, EngineImport *import, bool again, bool data,
	uint8_t ret_key[16], uint8_t ret_grant[16])
{
	struct cluster *c = userdata;
	struct sim_node *node = cluster_node(c, engine_node(import->client->engine));

	if (cluster_random(c, 50) == 0)
		return cluster_random(c, 2) ? STATUS_NO_RESOURCES : -ENOMEM;
	if (!again)
		import->userdata = (void *)(uintptr_t)++node->last_key;
	assert_non_null(import->userdata);
	key_of(import, ret_key);
	if (data)
		memset(ret_grant, 1, 16);
	return 0;
}

static void on_guest_free(void *userdata, EngineClient *guest)
{
	assert_null(guest->guest_imports.root);
}

static void on_import_granted(void *userdata, EngineImport *import, const uint8_t grant[16])
{
	struct cluster *c = userdata;
	uint32_t node = engine_node(import->client->engine);

	if (cluster_random(c, 4) == 0) {
		engine_import_ready(import);
		return;
	}
	if (cluster_random(c, 30) == 0) {
		engine_import_fail(import, STATUS_NO_RESOURCES);
		return;
	}
	cluster_event_add(
		c, (struct event){.kind = EVENT_READY,
			   .time = c->now + cluster_delay(c),
			   .node = node,
			   .epoch = cluster_node(c, node)->epoch,
			   .import = {import->client->id, import->index, import->generation}});
}

static bool on_import_has_route(void *userdata, const EngineImport *import)
{
	return import->index % 2;
}

static void on_import_signal(void *userdata, EngineImport *i, uint32_t total, uint32_t once)
{
}

static void on_guest_resumed(void *userdata, EngineImport *import)
{
}

static int on_guest_data(
	void *userdata, EngineClient *guest, uint64_t *ret_done, uint8_t ret_grant[16])
{
	return 0;
}

static const struct engine_ops ops = {
	.import_state = on_import_state,
	.import_free = on_import_free,
	.segment_free = on_segment,
	.segment_cells = on_segment,
	.peer_wanted = on_peer_wanted,
	.peer_send = on_peer_send,
	.peer_close = on_peer_close,
	.peer_session = on_peer_session,
	.peer_free = on_peer_free,
	.guest_identity = on_guest_identity,
	.guest_equip = on_guest_equip,
	.guest_free = on_guest_free,
	.import_granted = on_import_granted,
	.import_has_route = on_import_has_route,
	.import_signal = on_import_signal,
	.guest_resumed = on_guest_resumed,
	.guest_data = on_guest_data,
};

/* Records */

struct records {
	struct engine_counters counters;
	struct engine_peer_record *peers;
	struct engine_client_record *clients;
	struct engine_segment_record *segments;
	struct engine_import_record *imports;
	void **keys; /* of the imports, if guests' */
	uint32_t n_peers, n_clients, n_segments, n_imports;
};

void cluster_records_free(struct records *r)
{
	if (!r)
		return;
	free(r->peers);
	free(r->clients);
	free(r->segments);
	free(r->imports);
	free(r->keys);
	free(r);
}

static void save_import(struct records *r, const EngineImport *i)
{
	engine_import_save(i, &r->imports[r->n_imports]);
	r->keys[r->n_imports++] = i->userdata;
}

static void save_client(struct records *r, const EngineClient *client)
{
	const struct tree_node *n;
	const EngineImport *i;
	uint32_t index;

	engine_client_save(client, &r->clients[r->n_clients++]);
	idtable_for_each (&client->imports, index, i)
		save_import(r, i);
	for (n = tree_above(&client->guest_imports, 0); n;
		n = tree_above(&client->guest_imports, n->key))
		save_import(r, container_of(n, EngineImport, guest_node));
}

static struct records *records_save(Engine *engine, uint32_t n_nodes)
{
	struct engine_counts counts = engine_counts(engine);
	struct records *r = cluster_allocate(1, sizeof(*r));
	const struct tree_node *n;
	EngineSegment *s = NULL;
	EnginePeer *p = NULL;

	r->peers = cluster_allocate(n_nodes, sizeof(*r->peers));
	r->clients = cluster_allocate(counts.n_clients + 1, sizeof(*r->clients));
	r->segments = cluster_allocate(counts.n_segments + 1, sizeof(*r->segments));
	r->imports = cluster_allocate(counts.n_imports + 1, sizeof(*r->imports));
	r->keys = cluster_allocate(counts.n_imports + 1, sizeof(*r->keys));
	engine_counters_save(engine, &r->counters);
	while ((p = engine_peer_next(engine, p ? p->number : 0)))
		if (p->session)
			engine_peer_save(p, &r->peers[r->n_peers++]);
	for (n = tree_above(&engine->clients, 0); n; n = tree_above(&engine->clients, n->key))
		save_client(r, container_of(n, EngineClient, node));
	while ((s = engine_segment_next(engine, s ? s->instance : 0)))
		engine_segment_save(s, &r->segments[r->n_segments++]);
	return r;
}

static void records_restore(Engine *engine, const struct records *r, uint64_t now)
{
	EngineSegment *s;
	EngineClient *c;
	EngineImport *i;
	EnginePeer *p;

	assert_int_equal(engine_counters_restore(engine, &r->counters), 0);
	for (uint32_t n = 0; n < r->n_peers; n++)
		assert_int_equal(engine_peer_restore(engine, &r->peers[n], now, &p), 0);
	for (uint32_t n = 0; n < r->n_clients; n++)
		assert_int_equal(engine_client_restore(engine, &r->clients[n], &c), 0);
	for (uint32_t n = 0; n < r->n_segments; n++)
		assert_int_equal(engine_segment_restore(engine, &r->segments[n], &s), 0);
	for (uint32_t n = 0; n < r->n_imports; n++) {
		assert_int_equal(engine_import_restore(engine, &r->imports[n], &i), 0);
		i->userdata = r->keys[n];
	}
}

/* Daemons */

void cluster_daemon_start(struct cluster *c, uint32_t number)
{
	struct sim_node *node = cluster_node(c, number);
	uint32_t *nodes = cluster_allocate(c->n_nodes, sizeof(*nodes));

	node->host = true;
	node->started = c->now;
	node->epoch++;
	node->tick = UINT64_MAX;
	if (!node->records)
		node->incarnation = (uint64_t)number << 32 | node->epoch;
	for (uint32_t i = 0; i < c->n_nodes; i++)
		nodes[i] = i + 1;
	assert_int_equal(engine_new(number, &c->limits, &ops, c, &node->engine), 0);
	engine_set_self(node->engine, node->incarnation, 0, number * 0x123456789abcdefull);
	assert_int_equal(engine_set_nodes(node->engine, nodes, c->n_nodes, c->now), 0);
	free(nodes);
	if (node->records)
		records_restore(node->engine, node->records, c->now);
	cluster_records_free(node->records);
	node->records = NULL;
	engine_check(node->engine);
	cluster_after(c, number);
}

/* The process is gone; its sockets are closed by the kernel, unless that is gone too. */
void cluster_daemon_end(struct cluster *c, uint32_t number, bool silent)
{
	struct sim_node *node = cluster_node(c, number);
	struct connection *n, *next;
	EnginePeer *p = NULL;
	struct tree_node *client;

	while ((p = engine_peer_next(node->engine, p ? p->number : 0)))
		cluster_ends(p)->up = cluster_ends(p)->dial = NULL;
	c->quiet = true;
	while ((client = tree_above(&node->engine->clients, 0)))
		engine_client_free(container_of(client, EngineClient, node));
	engine_free(node->engine);
	c->quiet = false;
	node->engine = NULL;
	list_for_each_safe (n, next, &c->connections, link) {
		unsigned int side = connection_side(n, number);

		if (n->node[side] != number || !n->open[side])
			continue;
		n->open[side] = false;
		if (silent)
			n->broken = true, connection_drop(n);
		else
			connection_tell_down(c, n, !side);
		connection_put(n);
	}
}

void cluster_restart(struct cluster *c, uint32_t number, uint64_t away)
{
	struct sim_node *node = cluster_node(c, number);

	if (!node->engine)
		return;
	node->records = records_save(node->engine, c->n_nodes);
	cluster_daemon_end(c, number, false);
	cluster_event_add(
		c, (struct event){.kind = EVENT_START, .time = c->now + away, .node = number});
}

void cluster_kill(struct cluster *c, uint32_t number, uint64_t away, bool silent)
{
	struct sim_node *node = cluster_node(c, number);

	if (!node->engine)
		return;
	cluster_daemon_end(c, number, silent);
	node->host = !silent;
	node->died = silent ? c->now : UINT64_MAX;
	if (away != UINT64_MAX)
		cluster_event_add(c,
			(struct event){.kind = EVENT_START, .time = c->now + away, .node = number});
}

void cluster_after(struct cluster *c, uint32_t number)
{
	struct sim_node *node = cluster_node(c, number);
	uint64_t next;

	engine_tick(node->engine, c->now);
	next = engine_next(node->engine);
	assert_true(next > c->now);
	if (next >= node->tick)
		return;
	node->tick = next;
	cluster_event_add(
		c, (struct event){
			   .kind = EVENT_TICK, .time = next, .node = number, .epoch = node->epoch});
}
