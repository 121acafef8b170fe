/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-peer.h"

#include <string.h>
#include "daemon/query.h"
#include "daemon/shm.h"
#include "wire/status.h"

/*
 * What processes of other nodes ask of this partition: their daemon says who asks, [Peers] says who
 * that is here, and shm_serve() answers as it does to a process of this node.
 */

/* One at a time; too large for the stack. */
static struct reply answer;

/* Questions */

struct asked {
	struct wire_message question; /* as a process of this node would ask it */
	struct engine_shm_asker asker;
	struct engine_identity identity;
};

static void take_get(const struct wire_peer_shm_get *from, struct asked *a)
{
	a->asker.client = from->client;
	a->asker.serial = from->serial;
	a->question.type = WIRE_SHM_GET;
	a->question.shm_get = (struct wire_shm_get){
		.key = from->key, .size = from->size, .mode = from->mode, .flags = from->flags};
}

static void take_control(const struct wire_peer_shm_control *from, struct asked *a)
{
	a->asker.client = from->client;
	a->asker.serial = from->serial;
	a->question.type = WIRE_SHM_CONTROL;
	a->question.shm_control = (struct wire_shm_control){.shmid = from->shmid,
		.command = from->command,
		.uid = from->uid,
		.gid = from->gid,
		.mode = from->mode};
}

static void take_place(const struct wire_peer_shm_place *from, struct asked *a)
{
	struct wire_shm_place *to = &a->question.shm_place;

	a->asker.client = from->client;
	a->asker.serial = from->serial;
	a->question.type = WIRE_SHM_PLACE;
	*to = (struct wire_shm_place){
		.shmid = from->shmid, .order = from->order, .hard = from->hard};
	memcpy(to->nodes, from->nodes, sizeof(to->nodes));
}

static void take_question(const struct wire_message *m, struct asked *a)
{
	switch (m->type) {
	case WIRE_PEER_SHM_KEY:
		a->asker.client = m->peer_shm_key.client;
		a->asker.serial = m->peer_shm_key.serial;
		a->question.type = WIRE_SHM_KEY;
		a->question.shm_key.partition = WIRE_SHM_HERE;
		break;
	case WIRE_PEER_SHM_GET:
		take_get(&m->peer_shm_get, a);
		break;
	case WIRE_PEER_SHM_CONTROL:
		take_control(&m->peer_shm_control, a);
		break;
	case WIRE_PEER_SHM_STAT:
		a->question.type = WIRE_SHM_STAT;
		a->question.shm_stat.shmid = m->peer_shm_stat.shmid;
		break;
	case WIRE_PEER_SHM_PLACE:
		take_place(&m->peer_shm_place, a);
		break;
	case WIRE_PEER_SHM_NODE:
		a->question.type = WIRE_SHM_NODE;
		a->question.shm_node.shmid = m->peer_shm_node.shmid;
		break;
	default:
		a->question.type = WIRE_SHM_LIST;
		a->question.shm_list = (struct wire_shm_list){
			.partition = WIRE_SHM_HERE, .cursor = m->peer_shm_list.cursor};
		break;
	}
	a->question.serial = a->asker.serial;
}

/* Answers: body and tail are those of an answer to a process. */
static void give_answer(uint32_t asked)
{
	const struct wire_message from = answer.message;
	struct wire_message *to = &answer.message;

	switch (asked) {
	case WIRE_SHM_KEY:
		to->peer_shm_key_reply.key = from.shm_key_reply.key;
		break;
	case WIRE_SHM_GET:
		to->peer_shm_get_reply.shmid = from.shm_get_reply.shmid;
		break;
	case WIRE_SHM_NODE:
		to->peer_shm_node_reply.node = from.shm_node_reply.node;
		break;
	case WIRE_SHM_LIST:
		to->peer_shm_list_reply = (struct wire_peer_shm_list_reply){
			.next = from.shm_list_reply.next, .n = from.shm_list_reply.n};
		break;
	default:
		break;
	}
}

static int serve_question(ManagerPeer *p, const struct wire_message *m)
{
	struct asked a = {.asker = {.identity = &a.identity, .node = p->number, .now = shm_now()}};
	int r = query_identity(p, m, &a.identity);

	if (r)
		return r;
	take_question(m, &a);
	answer.message.type = a.question.type | WIRE_REPLY_BIT;
	r = shm_serve(p->peers->manager, &a.asker, &a.question, &answer);
	if (r == 0)
		give_answer(a.question.type);
	return r;
}

/* The other daemon */

static int serve_hello(ManagerPeer *p, const struct wire_peer_shm_hello *hello)
{
	struct wire_peer_shm_hello_reply *reply = &answer.message.peer_shm_hello_reply;

	engine_peer_keeps(p->engine, hello->keep);
	shm_peer_heard(p, hello->version, hello->host);
	if (hello->version && !shm_peer_speaks(hello->version))
		return STATUS_VERSION;
	reply->version = shm_peer_version(p->peers->manager);
	shm_peer_host(reply->host);
	return 0;
}

/* Without its number all of that node's would be meant, which is not this message's to say. */
static int serve_gone(ManagerPeer *p, const struct wire_peer_shm_gone *gone)
{
	if (!gone->client)
		return STATUS_BAD_REQUEST;
	engine_shm_maker_gone(p->peers->manager->engine, p->number, gone->client);
	return 0;
}

static int serve(ManagerPeer *p, const struct wire_message *m)
{
	if (p->number >= WIRE_SHM_PARTITIONS || p->peers->self >= WIRE_SHM_PARTITIONS)
		return STATUS_NOT_SUPPORTED;
	if (m->type == WIRE_PEER_SHM_HELLO)
		return serve_hello(p, &m->peer_shm_hello);
	/* the first field of all of them */
	if (!shm_peer_speaks(m->peer_shm_hello.version))
		return STATUS_VERSION;
	if (m->type == WIRE_PEER_SHM_GONE)
		return serve_gone(p, &m->peer_shm_gone);
	return serve_question(p, m);
}

bool shm_peer_serve(ManagerPeer *p, const struct wire_message *m)
{
	int r;

	if (m->type < WIRE_PEER_SHM_HELLO || m->type > WIRE_PEER_SHM_GONE)
		return false;
	answer.n_fds = 0;
	answer.message = (struct wire_message){.type = 0};
	r = serve(p, m);
	if (r == REQUEST_AGAIN) {
		r = shm_node_later(p, m);
		if (r == 0)
			return true;
	}
	if (m->flags & WIRE_ONEWAY)
		return true;
	if (r)
		answer.message = (struct wire_message){.status = request_status(r)};
	answer.message.type = m->type | WIRE_REPLY_BIT;
	answer.message.serial = m->serial;
	peer_link_send(p->link, &answer.message);
	return true;
}
