/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-cluster.h"

#include <stdlib.h>

/*
 * What happens in a simulated cluster, one event after the other.
 */

/* What happens */

static void up(struct cluster *c, EnginePeer *peer, struct connection *n)
{
	struct ends *ends = cluster_ends(peer);
	uint32_t node = engine_node(peer->engine);

	if (ends->dial == n)
		ends->dial = NULL;
	connection_let_go(c, node, &ends->dial);
	connection_let_go(c, node, &ends->up);
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
		connection_let_go(c, n->node[0], &cluster_ends(peer)->dial);
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
	if (cluster_is_cut(c, n->node[0], n->node[1])) {
		e->time = c->now + 1 + cluster_random(c, DELAY_MAX);
		cluster_event_add(c, *e);
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
	cluster_event_add(c, *e);
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
	connection_tell_down(c, n, 1);
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
		cluster_daemon_start(c, number);
		break;
	}
	return cluster_node(c, number)->engine ? number : 0;
}

void cluster_run(struct cluster *c, uint64_t until, cluster_look look)
{
	while (c->n_events > 0 && c->events[0].time <= until) {
		struct event e = cluster_event_take(c);
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
	c->nodes = cluster_allocate(n_nodes, sizeof(*c->nodes));
	c->cut = cluster_allocate(n_nodes, n_nodes);
	for (uint32_t i = 1; i <= n_nodes; i++)
		cluster_daemon_start(c, i);
}

void cluster_deinit(struct cluster *c)
{
	struct connection *n, *next;

	for (uint32_t i = 1; i <= c->n_nodes; i++) {
		if (cluster_node(c, i)->engine)
			cluster_daemon_end(c, i, true);
		cluster_records_free(cluster_node(c, i)->records);
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
