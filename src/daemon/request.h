/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

/*
 * What clients ask. Each handler gets the decoded request and fills the reply's body, tail and
 * descriptors; it returns 0, an enum wire_status or a negative errno. On failure nothing has
 * changed.
 */

#include "daemon/manager-import.h"

#define REPLY_FDS_MAX 4

struct request {
	struct wire_message message;
	int fds[8]; /* -1: taken by the handler */
	unsigned int n_fds;
};

struct reply {
	struct wire_message message;
	int fds[REPLY_FDS_MAX]; /* closed once they are sent */
	unsigned int n_fds;
	uint8_t tail[WIRE_PACKET_MAX];
};

enum request_flags {
	REQUEST_QUERY = 1,  /* no effect that a successor must know of: said again, done again */
	REQUEST_ENDS = 2,   /* the effect is the end of an object, announced in the record */
	REQUEST_HAS_FD = 4, /* exactly one descriptor comes along */
};

/* Of a handler: the answer comes when another node has answered. */
#define REQUEST_LATER 0x10000
/* The request, which has no tail, is to be done once more when manager_client_go_on() is called;
 * until then nothing else of this client is. */
#define REQUEST_AGAIN 0x10001

struct request_type {
	int (*handle)(ManagerClient *client, struct request *request, struct reply *reply);
	unsigned int flags;
};

/* NULL: not supported */
const struct request_type *request_type(uint32_t type);

/* What the client is told of a handler's result. */
uint32_t request_status(int r);

/* Where the tail must end so that the packet still fits. */
static inline const uint8_t *reply_tail_end(const struct reply *reply)
{
	return reply->tail + sizeof(reply->tail) - WIRE_HEADER_SIZE - sizeof(reply->message);
}

static inline void reply_set_tail(struct reply *reply, const uint8_t *end)
{
	reply->message.tail = reply->tail;
	reply->message.tail_size = (size_t)(end - reply->tail);
}

static inline void reply_add_fd(struct reply *reply, int fd)
{
	reply->fds[reply->n_fds++] = fd;
}

/* client-packets.c; also manager_client_ask_again() */
void manager_client_reply(ManagerClient *client, const struct reply *reply);
/* Not freed here: the packet that is being dealt with is in its hands. */
void manager_client_cut(ManagerClient *client, const char *reason);
/* What returned REQUEST_AGAIN is done again. */
void manager_client_go_on(ManagerClient *client);
/* From now on its packets are dealt with. */
int manager_client_listen(ManagerClient *client);

/* Between manager-client.c and hello.c */
/* The handshake is over: it becomes one of the manager's clients. */
int manager_client_enter(ManagerClient *client);
/* The groups of client->identity that do not fit the record; their old slot stays as it is. */
int manager_client_save_groups(ManagerClient *client);

/* request-segment.c */
int request_segment_create(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_publish(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_republish(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_unpublish(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_destroy(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_memory(ManagerClient *c, struct request *q, struct reply *a);

/* request-import.c */
int request_import_connect(ManagerClient *c, struct request *q, struct reply *a);
int request_import_disconnect(ManagerClient *c, struct request *q, struct reply *a);
int request_import_memory(ManagerClient *c, struct request *q, struct reply *a);
int request_import_result(ManagerClient *c, struct request *q, struct reply *a);

/* What request-inherit.c needs of it: room for one more; all that the daemon has of one that the
 * engine has made, or its end; the answer to whoever asked for it, or its end. */
int request_import_reserve(ManagerClient *c);
int request_import_begin(ManagerClient *c, EngineImport *import, uint64_t serial);
int request_import_reply(EngineImport *import, struct reply *a);

/* What request-offer.c needs of it: the import that a predecessor made for this request; all that
 * the daemon has of one; the memory into the answer. */
EngineImport *request_import_find(ManagerClient *c, uint64_t serial);
int request_import_equip(ManagerClient *c, EngineImport *import, uint64_t serial);
int request_import_reply_memory(const EngineImport *import, struct reply *a);

/* request-inherit.c */
int request_shm_inherit(ManagerClient *c, struct request *q, struct reply *a);

/* request-offer.c */
int request_segment_offer(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_open(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_share(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_leave(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_attach(ManagerClient *c, struct request *q, struct reply *a);
/* Finishes a leave that was announced. */
void manager_segment_leave(ManagerClient *c, EngineSegment *segment);

/* request-route.c */
int request_route(ManagerClient *c, struct request *q, struct reply *a);
int request_route_renew(ManagerClient *c, struct request *q, struct reply *a);

/* request-rdma.c */
int request_rdma(ManagerClient *c, struct request *q, struct reply *a);
int request_rdma_status(ManagerClient *c, struct request *q, struct reply *a);

/* request-signal.c */
int request_cells(ManagerClient *c, struct request *q, struct reply *a);
int request_pipe(ManagerClient *c, struct request *q, struct reply *a);
int request_poke(ManagerClient *c, struct request *q, struct reply *a);

/* request-query.c */
int request_ping(ManagerClient *c, struct request *q, struct reply *a);
int request_controller(ManagerClient *c, struct request *q, struct reply *a);
int request_list(ManagerClient *c, struct request *q, struct reply *a);
int request_show(ManagerClient *c, struct request *q, struct reply *a);
int request_node_status(ManagerClient *c, struct request *q, struct reply *a);

/* request-nodes.c */
int request_nodes(ManagerClient *c, struct request *q, struct reply *a);
int request_reload(ManagerClient *c, struct request *q, struct reply *a);
int request_topology(ManagerClient *c, struct request *q, struct reply *a);

/* request-stat.c */
int request_stat(ManagerClient *c, struct request *q, struct reply *a);

/* request-binding.c */
int request_binding_add(ManagerClient *c, struct request *q, struct reply *a);
int request_binding_done(ManagerClient *c, struct request *q, struct reply *a);
int request_binding_list(ManagerClient *c, struct request *q, struct reply *a);

/* request-coherent.c */
int request_remote_memory(ManagerClient *c, EngineImport *import, uint64_t serial, struct reply *a);
int request_map_watch(ManagerClient *c, struct request *q, struct reply *a);
int request_advise(ManagerClient *c, struct request *q, struct reply *a);
int request_owners(ManagerClient *c, struct request *q, struct reply *a);
int request_coherent_stat(ManagerClient *c, struct request *q, struct reply *a);
int request_segment_hold(ManagerClient *c, struct request *q, struct reply *a);
/* Before the segment's memory moves or goes. 0 or REQUEST_AGAIN. */
int request_recall(ManagerClient *c, EngineSegment *segment);

/* request-shm.c */
int request_shm_hello(ManagerClient *c, struct request *q, struct reply *a);
int request_shm(ManagerClient *c, struct request *q, struct reply *a);
int request_shm_partitions(ManagerClient *c, struct request *q, struct reply *a);
int request_shm_configure(ManagerClient *c, struct request *q, struct reply *a);

/* request-map.c */
int request_watch(ManagerClient *c, struct request *q, struct reply *a);
int request_check_map(ManagerClient *c, struct request *q, struct reply *a);

#endif
