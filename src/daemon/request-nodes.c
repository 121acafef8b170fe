/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "daemon/manager-peer.h"
#include "daemon/rdma.h"
#include "daemon/request.h"
#include "wire/status.h"

/* The node list, as clients see it. */

#define TCP_CONTROLLER "tcp0"
#define OFI_CONTROLLER "ofi0"

/* RSM's names of what a path may be. */
#define PATH_DOWN   1u
#define PATH_ACTIVE 3u

static void fill_address(const struct member *member, struct wire_node_row *row)
{
	bool v6 = strchr(member->host, ':');

	snprintf(row->address, sizeof(row->address), "%s%.240s%s:%u", v6 ? "[" : "", member->host,
		v6 ? "]" : "", member->port);
}

static void fill_peer(Manager *m, const ManagerPeer *p, struct wire_node_row *row)
{
	const EnginePeer *peer = engine_peer_find(m->engine, p->number);
	uint64_t now = manager_peers_now();

	memcpy(row->trouble, p->trouble, sizeof(row->trouble));
	if (!peer)
		return;
	row->state = peer->state;
	row->incarnation = peer->incarnation;
	row->session = peer->session;
	row->n_imports = peer->n_imports;
	row->n_guests = peer->account.n_imports;
	if (peer->session && peer->heard)
		row->heard = MAX(now - MIN(peer->heard, now), 1u);
}

static void fill_self(Manager *m, struct wire_node_row *row)
{
	row->node = engine_node(m->engine);
	row->state = WIRE_PEER_SELF;
	row->incarnation = journal_incarnation(m->journal);
}

static void fill_row(Manager *m, const struct member *member, struct wire_node_row *row)
{
	const ManagerPeer *p = manager_peer_find(m, member->node);

	*row = (struct wire_node_row){.node = member->node};
	fill_address(member, row);
	if (p)
		fill_peer(m, p, row);
	else
		fill_self(m, row);
}

#define ROWS_MAX 64u /* of a packet, which holds half as many */

struct rows {
	uint8_t *at;
	const uint8_t *end;
	uint32_t n;
	struct wire_node_data data[ROWS_MAX]; /* go behind all rows */
};

/* False: it does not fit any more. */
static bool add_row(Manager *m, struct rows *rows, const struct wire_node_row *row)
{
	const EnginePeer *peer = engine_peer_find(m->engine, row->node);
	size_t data = (rows->n + 1) * WIRE_NODE_DATA_SIZE;
	uint8_t *at;

	if (rows->n == ROWS_MAX || (size_t)(rows->end - rows->at) < data)
		return false;
	at = wire_put_node_row(rows->at, rows->end - data, row);
	if (!at)
		return false;
	rows->at = at;
	rows->data[rows->n++] = (struct wire_node_data){.node = row->node,
		.encryption = peer ? manager_peer_data(peer) : 0,
		.sisci_id = config_sisci_id(m->options.config, row->node)};
	return true;
}

static void put_rows(struct rows *rows, struct reply *a)
{
	for (uint32_t i = 0; i < rows->n; i++)
		rows->at = wire_put_node_data(rows->at, rows->end, &rows->data[i]);
	a->message.nodes_reply.n = rows->n;
	reply_set_tail(a, rows->at);
}

static void answer_alone(Manager *m, struct reply *a)
{
	struct rows rows = {.at = a->tail, .end = reply_tail_end(a)};
	struct wire_node_row row = {.node = 0};

	fill_self(m, &row);
	add_row(m, &rows, &row);
	put_rows(&rows, a);
}

int request_nodes(ManagerClient *c, struct request *q, struct reply *a)
{
	struct rows rows = {.at = a->tail, .end = reply_tail_end(a)};
	uint32_t last = q->message.nodes.cursor;
	const struct member *member;
	Manager *m = c->manager;
	struct wire_node_row row;

	if (!m->peers) {
		answer_alone(m, a);
		return 0;
	}
	while ((member = membership_next(m->peers->members, last))) {
		fill_row(m, member, &row);
		if (!add_row(m, &rows, &row))
			break;
		last = member->node;
	}
	a->message.nodes_reply.next = member ? last : 0;
	put_rows(&rows, a);
	return 0;
}

int request_reload(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_reload_reply *answer = &a->message.reload_reply;
	Manager *m = c->manager;
	int r;

	if (c->identity.uid != 0 && c->identity.uid != geteuid())
		return STATUS_DENIED;
	r = manager_peers_reload(m, answer->trouble, sizeof(answer->trouble));
	answer->n_nodes = engine_count_nodes(m->engine);
	if (r < 0)
		a->message.status = STATUS_BAD_REQUEST;
	return 0;
}

/* As many as fit: there is no second part. A node that has not been tried counts as reachable. */
static uint8_t *add_links(Manager *m, bool rdma, struct reply *a, uint8_t *at)
{
	const Peers *peers = m->peers;

	for (uint32_t i = 0; peers && i < peers->n; i++) {
		const ManagerPeer *p = peers->by_number[i];
		struct wire_topology_link link = {.controller = TCP_CONTROLLER,
			.node = p->number,
			.state = p->trouble[0] && !p->up ? PATH_DOWN : PATH_ACTIVE};
		uint8_t *next;

		if (!p->listed || (rdma && !rdma_may_reach(m, p)))
			continue;
		if (rdma)
			strcpy(link.controller, OFI_CONTROLLER);
		next = wire_put_topology_link(at, reply_tail_end(a), &link);
		if (!next)
			break;
		at = next;
		a->message.topology_reply.n++;
	}
	return at;
}

/* Loopback is never listed; the links of one controller stand together. */
int request_topology(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_topology_reply *answer = &a->message.topology_reply;
	uint8_t *at = a->tail;

	answer->node = engine_node(c->manager->engine);
	if (rdma_kind(c->manager))
		at = add_links(c->manager, true, a, at);
	at = add_links(c->manager, false, a, at);
	reply_set_tail(a, at);
	return 0;
}
