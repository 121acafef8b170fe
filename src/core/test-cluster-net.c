/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-cluster.h"

#include <stdlib.h>
#include <string.h>

/*
 * The simulated network: chance, the queue of events, connections.
 */

/* xorshift64* */
uint32_t cluster_random(struct cluster *c, uint32_t below)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return (uint32_t)((c->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

uint64_t cluster_delay(struct cluster *c)
{
	return 1 + cluster_random(c, DELAY_MAX);
}

void *cluster_allocate(size_t n, size_t size)
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

void cluster_event_add(struct cluster *c, struct event e)
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

struct event cluster_event_take(struct cluster *c)
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

void connection_drop(struct connection *n)
{
	struct packet *p, *tmp;

	for (int side = 0; side < 2; side++) {
		list_for_each_safe (p, tmp, &n->queue[side], link) {
			list_unlink(&p->link);
			free(p);
		}
	}
}

void connection_put(struct connection *n)
{
	if (n->open[0] || n->open[1] || n->n_events > 0)
		return;
	connection_drop(n);
	list_unlink(&n->link);
	free(n);
}

struct connection *connection_new(struct cluster *c, uint32_t from, uint32_t to)
{
	struct connection *n = cluster_allocate(1, sizeof(*n));

	list_append(&c->connections, &n->link);
	for (int side = 0; side < 2; side++) {
		n->node[side] = side ? to : from;
		n->open[side] = true;
		list_init(&n->queue[side]);
	}
	return n;
}

unsigned int connection_side(const struct connection *n, uint32_t node)
{
	return n->node[1] == node;
}

void connection_send(
	struct cluster *c, struct connection *n, unsigned int from, const struct wire_message *m)
{
	uint8_t bytes[WIRE_PACKET_MAX];
	ssize_t size = wire_encode(m, bytes, sizeof(bytes));
	unsigned int to = !from;
	struct packet *p;

	assert_true(size > 0);
	p = cluster_allocate(1, sizeof(*p) + (size_t)size);
	memcpy(p->bytes, bytes, (size_t)size);
	assert_int_equal(wire_decode(p->bytes, (size_t)size, &p->message), 0);
	c->n_packets++;
	if (n->broken || !n->open[to]) {
		free(p);
		return;
	}
	list_append(&n->queue[to], &p->link);
	n->latest[to] = MAX(n->latest[to], c->now + cluster_delay(c));
	cluster_event_add(c,
		(struct event){
			.kind = EVENT_PACKET, .time = n->latest[to], .connection = n, .side = to});
}

void connection_tell_down(struct cluster *c, struct connection *n, unsigned int side)
{
	if (!n->open[side])
		return;
	n->latest[side] = MAX(n->latest[side], c->now + cluster_delay(c));
	cluster_event_add(c, (struct event){.kind = EVENT_DOWN,
				     .time = n->latest[side],
				     .connection = n,
				     .side = side});
}

/* The other side reads what is on its way, and then the end. */
void connection_close(struct cluster *c, struct connection *n, unsigned int side)
{
	if (!n->open[side])
		return;
	n->open[side] = false;
	connection_tell_down(c, n, !side);
	connection_put(n);
}

void cluster_break(struct cluster *c, struct connection *n)
{
	if (n->broken)
		return;
	n->broken = true;
	connection_drop(n);
	n->latest[0] = n->latest[1] = 0;
	connection_tell_down(c, n, 0);
	connection_tell_down(c, n, 1);
}

void cluster_cut(struct cluster *c, uint32_t a, uint32_t b, bool cut)
{
	c->cut[(a - 1) * c->n_nodes + b - 1] = cut;
	c->cut[(b - 1) * c->n_nodes + a - 1] = cut;
}

bool cluster_is_cut(const struct cluster *c, uint32_t a, uint32_t b)
{
	return c->cut[(a - 1) * c->n_nodes + b - 1];
}

/* A node's part */

struct ends *cluster_ends(EnginePeer *peer)
{
	if (!peer->userdata)
		peer->userdata = cluster_allocate(1, sizeof(struct ends));
	return peer->userdata;
}

struct connection *cluster_common(struct cluster *c, EnginePeer *a, EnginePeer *b)
{
	struct connection *n = cluster_ends(a)->up;

	if (!n || n != cluster_ends(b)->up || n->broken)
		return NULL;
	return a->state == WIRE_PEER_UP && b->state == WIRE_PEER_UP ? n : NULL;
}

void connection_let_go(struct cluster *c, uint32_t node, struct connection **at)
{
	struct connection *n = *at;

	*at = NULL;
	if (n)
		connection_close(c, n, connection_side(n, node));
}
