/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-peer.h"

#include <string.h>
#include "daemon/log.h"
#include "daemon/query.h"
#include "daemon/shm.h"
#include "wire/status.h"

/* What a process of this node asks of another partition: query.c carries it. */

/* As many as a policy can name; see PEER_SHM_PLACE. */
#define NUMA_NODES_MAX 1024u

#define ROW_FLAGS (WIRE_SHM_AUTO | WIRE_SHM_REMOVED | WIRE_SHM_LOCKED | WIRE_SHM_PLACED)

bool shm_is_question(uint32_t type)
{
	switch (type) {
	case WIRE_SHM_KEY:
	case WIRE_SHM_GET:
	case WIRE_SHM_CONTROL:
	case WIRE_SHM_STAT:
	case WIRE_SHM_PLACE:
	case WIRE_SHM_NODE:
	case WIRE_SHM_LIST:
		return true;
	default:
		return false;
	}
}

int shm_ask(ManagerClient *c, const struct request *request, uint32_t partition)
{
	const ManagerPeer *p = manager_peer_find(c->manager, partition);

	if (partition >= WIRE_SHM_PARTITIONS || !p || !p->listed)
		return STATUS_NODE_UNKNOWN;
	if (shm_peer_is_foreign(p))
		return STATUS_NODE_UNREACHABLE;
	return query_begin(c, request, partition);
}

/* Questions */

static void fill_get(
	const ManagerClient *c, const struct wire_message *asked, struct wire_peer_shm_get *to)
{
	*to = (struct wire_peer_shm_get){
		.client = c->engine->id,
		.serial = asked->serial,
		.key = asked->shm_get.key,
		.size = asked->shm_get.size,
		.mode = asked->shm_get.mode,
		.flags = asked->shm_get.flags,
	};
}

static void fill_control(
	const ManagerClient *c, const struct wire_message *asked, struct wire_peer_shm_control *to)
{
	*to = (struct wire_peer_shm_control){
		.client = c->engine->id,
		.serial = asked->serial,
		.shmid = asked->shm_control.shmid,
		.command = asked->shm_control.command,
		.uid = asked->shm_control.uid,
		.gid = asked->shm_control.gid,
		.mode = asked->shm_control.mode,
	};
}

static void fill_place(
	const ManagerClient *c, const struct wire_message *asked, struct wire_peer_shm_place *to)
{
	*to = (struct wire_peer_shm_place){
		.client = c->engine->id,
		.serial = asked->serial,
		.shmid = asked->shm_place.shmid,
		.order = asked->shm_place.order,
		.hard = asked->shm_place.hard,
	};
	memcpy(to->nodes, asked->shm_place.nodes, sizeof(to->nodes));
}

void shm_fill_question(
	ManagerClient *c, uint32_t node, const struct wire_message *asked, struct wire_message *m)
{
	switch (asked->type) {
	case WIRE_SHM_KEY:
		m->type = WIRE_PEER_SHM_KEY;
		m->peer_shm_key = (struct wire_peer_shm_key){
			.client = c->engine->id, .serial = asked->serial};
		c->shm_keys |= 1ull << node;
		break;
	case WIRE_SHM_GET:
		m->type = WIRE_PEER_SHM_GET;
		fill_get(c, asked, &m->peer_shm_get);
		break;
	case WIRE_SHM_CONTROL:
		m->type = WIRE_PEER_SHM_CONTROL;
		fill_control(c, asked, &m->peer_shm_control);
		break;
	case WIRE_SHM_STAT:
		m->type = WIRE_PEER_SHM_STAT;
		m->peer_shm_stat = (struct wire_peer_shm_stat){.shmid = asked->shm_stat.shmid};
		break;
	case WIRE_SHM_PLACE:
		m->type = WIRE_PEER_SHM_PLACE;
		fill_place(c, asked, &m->peer_shm_place);
		break;
	case WIRE_SHM_NODE:
		m->type = WIRE_PEER_SHM_NODE;
		m->peer_shm_node = (struct wire_peer_shm_node){.shmid = asked->shm_node.shmid};
		break;
	default:
		m->type = WIRE_PEER_SHM_LIST;
		m->peer_shm_list = (struct wire_peer_shm_list){.cursor = asked->shm_list.cursor};
		break;
	}
	/* the first field of all of them */
	m->peer_shm_hello.version = CLSHM_DAEM_VERSION;
}

/* Answers */

static bool is_of(uint32_t partition, uint32_t key_or_shmid)
{
	return WIRE_SHM_PARTITION(key_or_shmid) == partition && WIRE_SHM_NUMBER(key_or_shmid) != 0;
}

static bool row_is_of(uint32_t partition, const struct wire_shm_row *row)
{
	return is_of(partition, row->shmid) && (row->key == 0 || is_of(partition, row->key)) &&
	       !(row->mode & ~0777u) && !(row->flags & ~ROW_FLAGS);
}

/* n rows and nothing else. */
static bool pass_rows(
	uint32_t partition, const struct wire_message *from, uint32_t n, struct reply *to)
{
	const uint8_t *at = from->tail, *end = at + from->tail_size;
	uint8_t *put = to->tail;
	struct wire_shm_row row;

	for (uint32_t i = 0; i < n && at && put; i++) {
		at = wire_get_shm_row(at, end, &row);
		if (!at || !row_is_of(partition, &row))
			return false;
		put = wire_put_shm_row(put, reply_tail_end(to), &row);
	}
	if (at != end || !put)
		return false;
	reply_set_tail(to, put);
	return true;
}

static bool pass_stat(uint32_t partition, const struct wire_message *asked,
	const struct wire_message *from, struct reply *to)
{
	struct wire_shm_row row;

	if (!pass_rows(partition, from, 1, to))
		return false;
	wire_get_shm_row(to->tail, to->tail + to->message.tail_size, &row);
	return row.shmid == asked->shm_stat.shmid;
}

/* A list has an end: its cursor goes up. */
static bool pass_list(uint32_t partition, const struct wire_message *asked,
	const struct wire_message *from, struct reply *to)
{
	const struct wire_peer_shm_list_reply *p = &from->peer_shm_list_reply;

	if (p->next != 0 && p->next <= asked->shm_list.cursor)
		return false;
	to->message.shm_list_reply = (struct wire_shm_list_reply){.next = p->next, .n = p->n};
	return pass_rows(partition, from, p->n, to);
}

static bool pass(uint32_t partition, const struct wire_message *asked,
	const struct wire_message *from, struct reply *to)
{
	switch (asked->type) {
	case WIRE_SHM_KEY:
		to->message.shm_key_reply.key = from->peer_shm_key_reply.key;
		return is_of(partition, from->peer_shm_key_reply.key);
	case WIRE_SHM_GET:
		to->message.shm_get_reply.shmid = from->peer_shm_get_reply.shmid;
		return is_of(partition, from->peer_shm_get_reply.shmid);
	case WIRE_SHM_STAT:
		return pass_stat(partition, asked, from, to);
	case WIRE_SHM_NODE:
		to->message.shm_node_reply.node = from->peer_shm_node_reply.node;
		return from->peer_shm_node_reply.node < NUMA_NODES_MAX;
	case WIRE_SHM_LIST:
		return pass_list(partition, asked, from, to);
	default:
		return true;
	}
}

int shm_pass(uint32_t node, const struct wire_message *asked, const struct wire_message *from,
	struct reply *to)
{
	if (pass(node, asked, from, to))
		return 0;
	log_limited("node %u answers %s with what cannot be", node, wire_type_name(asked->type));
	return STATUS_NODE_UNREACHABLE;
}

/* Whatever else is wrong between the daemons: for the process that partition is not up. */
int shm_pass_status(int status)
{
	switch (status) {
	case STATUS_NOT_FOUND:
	case STATUS_WITHDRAWN:
	case STATUS_BAD_SIZE:
	case STATUS_BAD_REQUEST:
	case STATUS_ID_IN_USE:
	case STATUS_DENIED:
	case STATUS_NOT_CREATOR:
	case STATUS_WRONG_STATE:
	case STATUS_QUOTA_BYTES:
	case STATUS_NO_RESOURCES:
	case STATUS_NO_MEMORY:
	case STATUS_NODE_UNKNOWN:
	case STATUS_TIMED_OUT:
		return status;
	default:
		return STATUS_NODE_UNREACHABLE;
	}
}
