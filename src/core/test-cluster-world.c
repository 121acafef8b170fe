/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-cluster.h"

#include <stdlib.h>
#include <string.h>

#define DELAY_MAX    (20 * NSEC_PER_MSEC)
#define DIAL_TIMEOUT NSEC_PER_SEC

/* xorshift64* */
uint32_t cluster_random(struct cluster *c, uint32_t below)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return (uint32_t)((c->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static uint64_t delay(struct cluster *c)
{
	return 1 + cluster_random(c, DELAY_MAX);
}

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	assert_non_null(p);
	return p;
}

/* Events: a heap by time, and by number within a time. */

static bool before(const struct event *a, const struct event *b)
{
	return a->time != b->time ? a->time < b->time : a->number < b->number;
}

static void event_add(struct cluster *c, struct event e)
{
	uint32_t at = c->n_events++;

	if (at == c->events_size) {
		c->events_size = MAX(64u, 2 * c->events_size);
		c->events = reallocarray(c->events, c->events_size, sizeof(e));
		assert_non_null(c->events);
	}
	e.number = ++c->last_event;
	if (e.connection)
		e.connection->n_events++;
	for (; at > 0 && before(&e, &c->events[(at - 1) / 2]); at = (at - 1) / 2)
		c->events[at] = c->events[(at - 1) / 2];
	c->events[at] = e;
}

static struct event event_take(struct cluster *c)
{
	struct event first = c->events[0], last = c->events[--c->n_events];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < c->n_events) {
		if (child + 1 < c->n_events && before(&c->events[child + 1], &c->events[child]))
			child++;
		if (!before(&c->events[child], &last))
			break;
		c->events[at] = c->events[child];
		at = child;
	}
	c->events[at] = last;
	return first;
}

/* Connections */

static void drop_packets(struct connection *n)
{
	struct packet *p, *tmp;

	for (int side = 0; side < 2; side++) {
		list_for_each_safe (p, tmp, &n->queue[side], link) {
			list_unlink(&p->link);
			free(p);
		}
	}
}

static void connection_put(struct connection *n)
{
	if (n->open[0] || n->open[1] || n->n_events > 0)
		return;
	drop_packets(n);
	list_unlink(&n->link);
	free(n);
}

static struct connection *connection_new(struct cluster *c, uint32_t from, uint32_t to)
{
	struct connection *n = allocate(1, sizeof(*n));

	list_append(&c->connections, &n->link);
	for (int side = 0; side < 2; side++) {
		n->node[side] = side ? to : from;
		n->open[side] = true;
		list_init(&n->queue[side]);
	}
	return n;
}

static unsigned int side_of(const struct connection *n, uint32_t node)
{
	return n->node[1] == node;
}

static void connection_send(
	struct cluster *c, struct connection *n, unsigned int from, const struct wire_message *m)
{
	struct packet *p = allocate(1, sizeof(*p) + WIRE_PACKET_MAX);
	unsigned int to = !from;
	ssize_t size = wire_encode(m, p->bytes, WIRE_PACKET_MAX);

	assert_true(size > 0);
	p = realloc(p, sizeof(*p) + (size_t)size);
	assert_non_null(p);
	assert_int_equal(wire_decode(p->bytes, (size_t)size, &p->message), 0);
	c->n_packets++;
	if (n->broken || !n->open[to]) {
		free(p);
		return;
	}
	list_append(&n->queue[to], &p->link);
	n->latest[to] = MAX(n->latest[to], c->now + delay(c));
	event_add(c,
		(struct event){
			.kind = EVENT_PACKET, .time = n->latest[to], .connection = n, .side = to});
}

static void tell_down(struct cluster *c, struct connection *n, unsigned int side)
{
	if (!n->open[side])
		return;
	n->latest[side] = MAX(n->latest[side], c->now + delay(c));
	event_add(c, (struct event){.kind = EVENT_DOWN,
			     .time = n->latest[side],
			     .connection = n,
			     .side = side});
}

/* The other side reads what is on its way, and then the end. */
static void connection_close(struct cluster *c, struct connection *n, unsigned int side)
{
	if (!n->open[side])
		return;
	n->open[side] = false;
	tell_down(c, n, !side);
	connection_put(n);
}

void cluster_break(struct cluster *c, struct connection *n)
{
	if (n->broken)
		return;
	n->broken = true;
	drop_packets(n);
	n->latest[0] = n->latest[1] = 0;
	tell_down(c, n, 0);
	tell_down(c, n, 1);
}

void cluster_cut(struct cluster *c, uint32_t a, uint32_t b, bool cut)
{
	c->cut[(a - 1) * c->n_nodes + b - 1] = cut;
	c->cut[(b - 1) * c->n_nodes + a - 1] = cut;
}

static bool is_cut(const struct cluster *c, uint32_t a, uint32_t b)
{
	return c->cut[(a - 1) * c->n_nodes + b - 1];
}

/* A node's part */

struct ends *cluster_ends(EnginePeer *peer)
{
	if (!peer->userdata)
		peer->userdata = allocate(1, sizeof(struct ends));
	return peer->userdata;
}

struct connection *cluster_common(struct cluster *c, EnginePeer *a, EnginePeer *b)
{
	struct connection *n = cluster_ends(a)->up;

	if (!n || n != cluster_ends(b)->up || n->broken)
		return NULL;
	return a->state == WIRE_PEER_UP && b->state == WIRE_PEER_UP ? n : NULL;
}

static void let_go(struct cluster *c, uint32_t node, struct connection **at)
{
	struct connection *n = *at;

	*at = NULL;
	if (n)
		connection_close(c, n, side_of(n, node));
}

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
	if (other->engine && !is_cut(c, from, to)) {
		e.kind = EVENT_DIALLED;
		e.time = c->now + delay(c);
	} else {
		/* No machine, or the keeper's socket; or a machine without a node. */
		e.kind = EVENT_FAILED;
		e.connection->open[1] = false;
		e.side = other->host && !other->engine && !other->records && !is_cut(c, from, to);
		e.time = c->now + (e.side ? delay(c) : DIAL_TIMEOUT);
	}
	event_add(c, e);
}

static void on_peer_send(void *userdata, EnginePeer *peer, const struct wire_message *m)
{
	struct cluster *c = userdata;
	struct ends *ends = cluster_ends(peer);

	if (c->quiet)
		return;
	assert_non_null(ends->up);
	connection_send(c, ends->up, side_of(ends->up, engine_node(peer->engine)), m);
}

static void on_peer_close(void *userdata, EnginePeer *peer)
{
	struct ends *ends = cluster_ends(peer);
	uint32_t node = engine_node(peer->engine);

	let_go(userdata, node, &ends->up);
	let_go(userdata, node, &ends->dial);
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

	event_add(c, (struct event){.kind = EVENT_READY,
			     .time = c->now + delay(c),
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

static void records_free(struct records *r)
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
	struct records *r = allocate(1, sizeof(*r));
	const struct tree_node *n;
	EngineSegment *s = NULL;
	EnginePeer *p = NULL;

	r->peers = allocate(n_nodes, sizeof(*r->peers));
	r->clients = allocate(counts.n_clients + 1, sizeof(*r->clients));
	r->segments = allocate(counts.n_segments + 1, sizeof(*r->segments));
	r->imports = allocate(counts.n_imports + 1, sizeof(*r->imports));
	r->keys = allocate(counts.n_imports + 1, sizeof(*r->keys));
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

static void daemon_start(struct cluster *c, uint32_t number)
{
	struct sim_node *node = cluster_node(c, number);
	uint32_t *nodes = allocate(c->n_nodes, sizeof(*nodes));

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
	records_free(node->records);
	node->records = NULL;
	engine_check(node->engine);
	cluster_after(c, number);
}

/* The process is gone; its sockets are closed by the kernel, unless that is gone too. */
static void daemon_end(struct cluster *c, uint32_t number, bool silent)
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
		unsigned int side = side_of(n, number);

		if (n->node[side] != number || !n->open[side])
			continue;
		n->open[side] = false;
		if (silent)
			n->broken = true, drop_packets(n);
		else
			tell_down(c, n, !side);
		connection_put(n);
	}
}

void cluster_restart(struct cluster *c, uint32_t number, uint64_t away)
{
	struct sim_node *node = cluster_node(c, number);

	if (!node->engine)
		return;
	node->records = records_save(node->engine, c->n_nodes);
	daemon_end(c, number, false);
	event_add(c, (struct event){.kind = EVENT_START, .time = c->now + away, .node = number});
}

void cluster_kill(struct cluster *c, uint32_t number, uint64_t away, bool silent)
{
	struct sim_node *node = cluster_node(c, number);

	if (!node->engine)
		return;
	daemon_end(c, number, silent);
	node->host = !silent;
	node->died = silent ? c->now : UINT64_MAX;
	if (away != UINT64_MAX)
		event_add(c,
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
	event_add(
		c, (struct event){
			   .kind = EVENT_TICK, .time = next, .node = number, .epoch = node->epoch});
}

/* What happens */

static void up(struct cluster *c, EnginePeer *peer, struct connection *n)
{
	struct ends *ends = cluster_ends(peer);
	uint32_t node = engine_node(peer->engine);

	if (ends->dial == n)
		ends->dial = NULL;
	let_go(c, node, &ends->dial);
	let_go(c, node, &ends->up);
	ends->up = n;
}

static void hear_hello(
	struct cluster *c, Engine *engine, struct connection *n, const struct wire_message *m)
{
	struct wire_message a = {.type = WIRE_PEER_HELLO_REPLY, .serial = m->serial};
	EnginePeer *peer;

	assert_int_equal(engine_peer_get(engine, n->node[0], &peer), 0);
	a.status = (uint32_t)engine_peer_hello(peer, &m->peer_hello, c->now, &a.peer_hello_reply);
	if (!a.status)
		up(c, peer, n);
	connection_send(c, n, 1, &a);
	if (!a.status)
		engine_peer_up(peer, c->now);
	else
		connection_close(c, n, 1);
	assert_true(a.status == 0 || a.status == STATUS_IN_USE);
}

static void hear_answer(
	struct cluster *c, EnginePeer *peer, struct connection *n, const struct wire_message *m)
{
	if (m->status) {
		assert_int_equal(m->status, STATUS_IN_USE);
		let_go(c, n->node[0], &cluster_ends(peer)->dial);
		engine_peer_down(peer, false, c->now);
		return;
	}
	assert_int_equal(engine_peer_hello_answer(peer, &m->peer_hello_reply, c->now), 0);
	up(c, peer, n);
	engine_peer_up(peer, c->now);
}

static void hear(struct cluster *c, Engine *engine, struct connection *n, unsigned int side,
	const struct wire_message *m)
{
	EnginePeer *peer = engine_peer_find(engine, n->node[!side]);

	if (m->type == WIRE_PEER_HELLO) {
		hear_hello(c, engine, n, m);
		return;
	}
	assert_non_null(peer);
	if (m->type == WIRE_PEER_HELLO_REPLY) {
		assert_ptr_equal(cluster_ends(peer)->dial, n);
		hear_answer(c, peer, n, m);
		return;
	}
	assert_ptr_equal(cluster_ends(peer)->up, n);
	assert_int_equal(engine_peer_receive(peer, m, c->now), 0);
}

static bool happen_packet(struct cluster *c, struct event *e)
{
	struct connection *n = e->connection;
	struct sim_node *node = cluster_node(c, n->node[e->side]);
	struct packet *p = list_first(&n->queue[e->side], struct packet, link);

	if (!p)
		return false;
	if (is_cut(c, n->node[0], n->node[1])) {
		e->time = c->now + 1 + cluster_random(c, DELAY_MAX);
		event_add(c, *e);
		return false;
	}
	list_unlink(&p->link);
	if (n->open[e->side])
		hear(c, node->engine, n, e->side, &p->message);
	free(p);
	return true;
}

static void happen_down(struct cluster *c, struct event *e, bool refused)
{
	struct connection *n = e->connection;
	uint32_t number = n->node[e->side];
	EnginePeer *peer;
	struct ends *ends;

	if (!n->open[e->side])
		return;
	n->open[e->side] = false;
	n->broken = true;
	peer = engine_peer_find(cluster_node(c, number)->engine, n->node[!e->side]);
	if (!peer)
		return;
	ends = cluster_ends(peer);
	if (ends->up != n && ends->dial != n)
		return;
	ends->up = ends->dial = NULL;
	engine_peer_down(peer, refused, c->now);
}

static void happen_dialled(struct cluster *c, struct event *e)
{
	struct connection *n = e->connection;
	struct wire_message m = {.type = WIRE_PEER_HELLO, .serial = 1};
	EnginePeer *peer;

	if (!n->open[0])
		return;
	peer = engine_peer_find(cluster_node(c, n->node[0])->engine, n->node[1]);
	assert_ptr_equal(cluster_ends(peer)->dial, n);
	engine_peer_say_hello(peer, &m.peer_hello);
	connection_send(c, n, 0, &m);
	/* No answer in time ends it. */
	e->kind = EVENT_FAILED;
	e->side = 0;
	e->time = c->now + DIAL_TIMEOUT;
	event_add(c, *e);
}

static void happen_failed(struct cluster *c, struct event *e)
{
	struct connection *n = e->connection;
	bool refused = e->side;
	EnginePeer *peer;

	e->side = 0;
	if (!n->open[0])
		return;
	peer = engine_peer_find(cluster_node(c, n->node[0])->engine, n->node[1]);
	if (!peer || cluster_ends(peer)->dial != n)
		return;
	tell_down(c, n, 1);
	happen_down(c, e, refused);
}

static void happen_ready(struct cluster *c, const struct event *e)
{
	struct sim_node *node = cluster_node(c, e->node);
	EngineClient *client;
	EngineImport *i;

	if (node->epoch != e->epoch || !node->engine)
		return;
	client = engine_client_find(node->engine, e->import.client);
	i = client ? engine_import_get(client, e->import.index) : NULL;
	if (!i || i->generation != e->import.generation)
		return;
	if (cluster_random(c, 30) == 0)
		engine_import_fail(i, STATUS_NODE_UNREACHABLE);
	else
		engine_import_ready(i);
}

static void happen_tick(struct cluster *c, const struct event *e)
{
	struct sim_node *node = cluster_node(c, e->node);

	if (node->engine && node->epoch == e->epoch && node->tick == e->time)
		node->tick = UINT64_MAX;
}

/* Returns the node whose engine may have something to do, or 0. */
static uint32_t happen(struct cluster *c, struct event *e)
{
	uint32_t number = e->connection && e->kind != EVENT_FAILED && e->kind != EVENT_DIALLED
				  ? e->connection->node[e->side]
				  : e->node;

	switch (e->kind) {
	case EVENT_TICK:
		happen_tick(c, e);
		break;
	case EVENT_DIALLED:
		happen_dialled(c, e);
		break;
	case EVENT_PACKET:
		if (!happen_packet(c, e))
			return 0;
		break;
	case EVENT_DOWN:
		happen_down(c, e, false);
		break;
	case EVENT_FAILED:
		happen_failed(c, e);
		break;
	case EVENT_READY:
		happen_ready(c, e);
		break;
	case EVENT_START:
		daemon_start(c, number);
		break;
	}
	return cluster_node(c, number)->engine ? number : 0;
}

void cluster_run(struct cluster *c, uint64_t until, cluster_look look)
{
	while (c->n_events > 0 && c->events[0].time <= until) {
		struct event e = event_take(c);
		struct connection *n = e.connection;
		uint32_t number;

		c->now = e.time;
		number = happen(c, &e);
		if (number)
			cluster_after(c, number);
		if (n) {
			n->n_events--;
			connection_put(n);
		}
		if (number && look)
			look(c, number);
	}
	c->now = until;
}

void cluster_init(
	struct cluster *c, uint32_t n_nodes, uint64_t seed, const struct engine_limits *limits)
{
	*c = (struct cluster){.n_nodes = n_nodes,
		.now = NSEC_PER_SEC,
		.seed = seed,
		.random = seed * 0x9e3779b97f4a7c15ull + 1,
		.limits = *limits};
	list_init(&c->connections);
	c->nodes = allocate(n_nodes, sizeof(*c->nodes));
	c->cut = allocate(n_nodes, n_nodes);
	for (uint32_t i = 1; i <= n_nodes; i++)
		daemon_start(c, i);
}

void cluster_deinit(struct cluster *c)
{
	struct connection *n, *next;

	for (uint32_t i = 1; i <= c->n_nodes; i++) {
		if (cluster_node(c, i)->engine)
			daemon_end(c, i, true);
		records_free(cluster_node(c, i)->records);
	}
	list_for_each_safe (n, next, &c->connections, link) {
		n->n_events = 0;
		n->open[0] = n->open[1] = false;
		connection_put(n);
	}
	free(c->events);
	free(c->nodes);
	free(c->cut);
}
