/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/rdma.h"
#include "daemon/shm-peer.h"
#include "daemon/shm.h"
#include "daemon/view.h"

struct query {
	ManagerClient *client; /* NULL: gone */
	Manager *manager;
	uint32_t node;
	struct wire_message asked; /* by the client */
	uint64_t since;		   /* of an echo: when it was said on a connection that was up; 0 */
};

/* One at a time; too large for the stack. */
static struct reply answer;

static const uint8_t *answer_end(void)
{
	return reply_tail_end(&answer);
}

/* --- asking --- */

bool query_is_remote(const ManagerClient *c, uint32_t node)
{
	return node && node != engine_node(c->manager->engine);
}

void query_forget(struct query *q)
{
	if (q)
		q->client = NULL;
}

static void query_free(struct query *q)
{
	if (q->client)
		q->client->query = NULL;
	free(q);
}

/* Rows of the peer's, which is believed only what concerns itself. */
static const uint8_t *pass_rows(
	const struct query *q, const uint8_t *at, const uint8_t *end, uint32_t n, uint8_t **to)
{
	struct wire_list_row row;

	for (uint32_t i = 0; i < n && at && *to; i++) {
		at = wire_get_list_row(at, end, &row);
		row.node = q->node;
		if (at)
			*to = wire_put_list_row(*to, answer_end(), &row);
	}
	return at;
}

static int pass_list(const struct query *q, const struct wire_message *reply)
{
	const struct wire_peer_list_reply *p = &reply->peer_list_reply;
	const uint8_t *at = reply->tail, *end = at + reply->tail_size;
	uint8_t *to = answer.tail;

	at = pass_rows(q, at, end, p->n, &to);
	if (at != end || !to)
		return STATUS_BAD_REQUEST;
	answer.message.list_reply = (struct wire_list_reply){.next = p->next, .n = p->n};
	reply_set_tail(&answer, to);
	return 0;
}

static int pass_show(const struct query *q, const struct wire_message *reply)
{
	const struct wire_peer_show_reply *p = &reply->peer_show_reply;
	const uint8_t *at = reply->tail, *end = at + reply->tail_size;
	uint8_t *to = answer.tail;
	struct wire_show_import import;
	struct wire_access access;

	at = pass_rows(q, at, end, 1, &to);
	for (uint32_t i = 0; i < p->n_access && at && to; i++) {
		at = wire_get_access(at, end, &access);
		to = wire_put_access(to, answer_end(), &access);
	}
	for (uint32_t i = 0; i < p->n_imports && at && to; i++) {
		at = wire_get_show_import(at, end, &import);
		to = wire_put_show_import(to, answer_end(), &import);
	}
	if (at != end || !to)
		return STATUS_BAD_REQUEST;
	answer.message.show_reply = (struct wire_show_reply){
		.n_access = p->n_access, .n_imports = p->n_imports, .flags = p->flags};
	reply_set_tail(&answer, to);
	return 0;
}

static void pass_status(const struct query *q, const struct wire_message *reply)
{
	const struct wire_peer_status_reply *p = &reply->peer_status_reply;
	const EnginePeer *peer = engine_peer_find(q->manager->engine, q->node);
	struct wire_node_status_reply *to = &answer.message.node_status_reply;

	*to = (struct wire_node_status_reply){
		.node = q->node,
		.uid = p->uid,
		.n_clients = p->n_clients,
		.n_segments = p->n_segments,
		.n_imports = p->n_imports,
		.restarts = p->restarts,
		.bytes = p->bytes,
		.incarnation = peer ? peer->incarnation : 0,
		.started = p->started,
		.flags = p->flags,
	};
	memcpy(to->version, p->version, sizeof(to->version));
}

static int pass(const struct query *q, const struct wire_message *reply)
{
	if (shm_is_question(q->asked.type))
		return shm_pass(q->node, &q->asked, reply, &answer);
	switch (reply->type) {
	case WIRE_PEER_LIST_REPLY:
		return pass_list(q, reply);
	case WIRE_PEER_SHOW_REPLY:
		return pass_show(q, reply);
	case WIRE_PEER_STATUS_REPLY:
		pass_status(q, reply);
		return 0;
	case WIRE_PEER_RDMA_REPLY:
		return rdma_pass(q->manager, &reply->peer_rdma_reply, &answer.message.rdma_reply);
	default:
		answer.message.ping_reply.round_trip = clock_now() - q->since;
		return 0;
	}
}

static void query_done(void *userdata, int status, const struct wire_message *reply);

/* The first echo may have waited for a connection: the second one is measured. */
static bool ask_echo_again(struct query *q, const struct wire_message *reply)
{
	struct wire_message m = {.type = WIRE_PEER_ECHO};

	if (reply->type != WIRE_PEER_ECHO_REPLY || q->since)
		return false;
	q->since = clock_now();
	return manager_peer_request(q->manager, q->node, &m, query_done, q) == 0;
}

static void begin_answer(const struct query *q)
{
	answer.n_fds = 0;
	answer.message = (struct wire_message){
		.type = q->asked.type | WIRE_REPLY_BIT, .serial = q->asked.serial};
}

static void query_done(void *userdata, int status, const struct wire_message *reply)
{
	struct query *q = userdata;
	ManagerClient *c = q->client;

	if (c && status == 0 && ask_echo_again(q, reply))
		return;
	begin_answer(q);
	if (c && status == 0)
		status = pass(q, reply);
	/* what is not believed is not passed on, either */
	if (status)
		begin_answer(q);
	/* to a client that would be its own node */
	if (status == STATUS_NODE_LOST)
		status = STATUS_NODE_UNREACHABLE;
	if (status && shm_is_question(q->asked.type))
		status = shm_pass_status(status);
	answer.message.status = (uint32_t)status;
	query_free(q);
	if (!c)
		return;
	manager_client_reply(c, &answer);
	if (c->cut)
		manager_client_free(c);
}

static int fill_question(
	ManagerClient *c, uint32_t node, const struct wire_message *asked, struct wire_message *m)
{
	if (shm_is_question(asked->type)) {
		shm_fill_question(c, node, asked, m);
		return 0;
	}
	switch (asked->type) {
	case WIRE_RDMA:
		return rdma_fill_question(c, &asked->rdma, m);
	case WIRE_LIST:
		m->type = WIRE_PEER_LIST;
		m->peer_list = (struct wire_peer_list){
			.space = asked->list.space, .cursor = asked->list.cursor};
		break;
	case WIRE_SHOW:
		m->type = WIRE_PEER_SHOW;
		m->peer_show = (struct wire_peer_show){.space = asked->show.space,
			.id = asked->show.id,
			.instance = asked->show.instance};
		break;
	case WIRE_NODE_STATUS:
		m->type = WIRE_PEER_STATUS;
		break;
	default:
		m->type = WIRE_PEER_ECHO;
		break;
	}
	return 0;
}

/* Does it depend on who asks? */
static bool says_who(const struct wire_message *m)
{
	return m->type == WIRE_PEER_LIST || m->type == WIRE_PEER_SHOW ||
	       (m->type > WIRE_PEER_SHM_HELLO && m->type < WIRE_PEER_SHM_GONE);
}

static int ask(struct query *q, const struct wire_message *m)
{
	Manager *manager = q->manager;

	if (shm_is_question(q->asked.type))
		return manager_peer_request_within(
			manager, q->node, m, shm_settings(manager)->timeout, query_done, q);
	return manager_peer_request(manager, q->node, m, query_done, q);
}

int query_begin(ManagerClient *c, const struct request *request, uint32_t node)
{
	struct wire_message m = {.type = 0};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct query *q;
	int r;

	if (c->query || (request->message.flags & WIRE_ONEWAY))
		return STATUS_NO_RESOURCES;
	r = fill_question(c, node, &request->message, &m);
	if (r)
		return r;
	if (says_who(&m)) {
		m.tail = tail;
		m.tail_size = engine_identity_encode(&c->identity, tail);
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->manager = c->manager;
	q->client = c;
	q->node = node;
	q->asked = request->message;
	r = ask(q, &m);
	if (r) {
		free(q);
		return r;
	}
	c->query = q;
	return REQUEST_LATER;
}

/* --- answering --- */

int query_identity(
	ManagerPeer *p, const struct wire_message *m, struct engine_identity *ret_identity)
{
	struct engine_identity identity;
	int r = engine_identity_decode(m->tail, m->tail_size, &identity);

	if (r == 0)
		r = manager_guest_identity(p->peers->manager, p->engine, &identity);
	if (r == 0)
		*ret_identity = identity;
	return r;
}

static int begin_viewer(ManagerPeer *p, const struct wire_message *m, struct viewer *ret_viewer)
{
	struct viewer viewer = {.node = p->number};
	int r = query_identity(p, m, &viewer.identity);

	if (r == 0)
		*ret_viewer = viewer;
	return r;
}

static int serve_list(ManagerPeer *p, const struct wire_message *m)
{
	struct wire_peer_list_reply *to = &answer.message.peer_list_reply;
	struct viewer viewer;
	int r = begin_viewer(p, m, &viewer);

	if (r == 0)
		reply_set_tail(&answer,
			view_list(p->peers->manager, &viewer, m->peer_list.space,
				m->peer_list.cursor, answer.tail, answer_end(), &to->next, &to->n));
	return r;
}

static int serve_show(ManagerPeer *p, const struct wire_message *m)
{
	const struct wire_peer_show *asked = &m->peer_show;
	struct wire_peer_show_reply *to = &answer.message.peer_show_reply;
	EngineSegment *segment;
	struct viewer viewer;
	int r = begin_viewer(p, m, &viewer);

	if (r == 0)
		r = view_find(p->peers->manager, &viewer, asked->space, asked->id, asked->instance,
			&segment);
	if (r)
		return r;
	reply_set_tail(&answer,
		view_show(segment, answer.tail, answer_end(), &to->n_access, &to->n_imports));
	to->flags = view_show_flags();
	return 0;
}

static int serve_status(ManagerPeer *p)
{
	struct wire_peer_status_reply *to = &answer.message.peer_status_reply;
	struct wire_node_status_reply status;

	view_status(p->peers->manager, &status);
	*to = (struct wire_peer_status_reply){
		.uid = status.uid,
		.n_clients = status.n_clients,
		.n_segments = status.n_segments,
		.n_imports = status.n_imports,
		.restarts = status.restarts,
		.bytes = status.bytes,
		.started = status.started,
		.flags = status.flags,
	};
	memcpy(to->version, status.version, sizeof(to->version));
	return 0;
}

bool query_serve(ManagerPeer *p, const struct wire_message *m)
{
	int r = 0;

	answer.message =
		(struct wire_message){.type = m->type | WIRE_REPLY_BIT, .serial = m->serial};
	switch (m->type) {
	case WIRE_PEER_ECHO:
		answer.message.peer_echo_reply.value = m->peer_echo.value;
		break;
	case WIRE_PEER_LIST:
		r = serve_list(p, m);
		break;
	case WIRE_PEER_SHOW:
		r = serve_show(p, m);
		break;
	case WIRE_PEER_STATUS:
		r = serve_status(p);
		break;
	case WIRE_PEER_RDMA:
		rdma_serve(p, m);
		return true;
	default:
		return false;
	}
	answer.message.status = request_status(r);
	peer_link_send(p->link, &answer.message);
	return true;
}
