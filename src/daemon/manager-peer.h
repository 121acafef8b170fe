/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_PEER_H
#define DAEMON_MANAGER_PEER_H

/*
 * The other nodes: who they are (peers.c), the connections to each (manager-peer.c) and from them
 * (peer-arrival.c), what we ask them (peer-request.c) and whom they may speak for
 * (peer-identity.c). What is said means what the engine says it means (core/peer.h).
 *
 * There is a ManagerPeer for each of the node list, and for one that has left the list until the
 * engine forgets it. A node without [Nodes] has none of this: manager->peers is NULL.
 *
 * All in the main thread. What the engine's operations find out (that a dial cannot even begin,
 * that a request has failed) is told to it afterwards, from the loop.
 */

#include "core/peer.h"
#include "daemon/manager.h"
#include "daemon/peer-keys.h"
#include "daemon/peer-link.h"
#include "daemon/port.h"
#include "daemon/record.h"
#include "daemon/resolve.h"
#include "membership/membership.h"

/* clshm of its node; shm-peer.c. */
struct manager_peer_shm {
	uint32_t version; /* of its daemon, as last said in this session; 0: not up */
	char host[64];
	bool asked;	 /* PEER_SHM_HELLO is not answered yet */
	bool changed;	 /* what it says has changed since */
	bool first;	 /* one of peers->n_shm_first */
	bool anew;	 /* its node has begun anew, and what it had made is still known */
	bool complained; /* of its version */
};

typedef struct ManagerPeer {
	struct Peers *peers;
	uint32_t number;
	bool listed;
	uint8_t key[PEER_KEY_SIZE];
	bool has_key;
	uint32_t minor;	    /* of the protocol, as it last said */
	uint32_t rdma;	    /* enum ofi_kind, as it last said */
	EnginePeer *engine; /* NULL: the engine has none at present */
	PeerLink *link;	    /* of the session; hello has been said */
	bool up;	    /* the engine has been told so */
	uint64_t since;	    /* link */
	PeerLink *dial;	    /* being made; its hello is not answered yet */
	Resolve *resolve;
	int dial_error;		     /* the dial ended in peer_wanted(): to be told */
	struct list deferred;	     /* peers->deferred_peers, so long */
	struct peer_address address; /* where its node was last found; length 0: never */
	uint64_t incarnation;	     /* of its node, when last seen; 0: never */
	bool bye;		     /* said by either in this session */
	uint32_t slot;		     /* RECORD_PEER */
	struct list requests;	     /* PeerRequest */
	uint32_t encryption;	     /* WIRE_ENCRYPTION_…, as our last hello to it said */
	enum wire_encryption data;   /* what follows from that and its own */
	char trouble[160];	     /* why the last attempt failed; or empty */
	struct manager_peer_shm shm;
} ManagerPeer;

typedef struct Peers {
	Manager *manager;
	uint32_t self;
	Membership *members;
	ManagerPeer **by_number; /* sorted */
	uint32_t n;
	int listen; /* kept by the keeper */
	Port *port;
	sd_event_source *tick, *deferred;
	struct list deferred_peers;    /* ManagerPeer.deferred */
	struct list finished_requests; /* PeerRequest */
	uint64_t serial;
	bool leaving;	      /* the node ends */
	bool shm_keep;	      /* clshm is in use here; shm-peer.c */
	uint32_t n_shm_first; /* nodes of which it is not known yet whether they have it */
} Peers;

/* CLOCK_BOOTTIME: the time of the engine. */
uint64_t manager_peers_now(void);

/* --- peers.c --- */

/* Reads list and keys and listens, if there are [Nodes]; after the engine was made and before
 * anything is restored. Failures are logged. */
int manager_peers_begin(Manager *m, struct keeper_stored *stored);
/* Accepts and dials: when everything is restored. */
int manager_peers_start(Manager *m);
/* The node ends in order: says so to all. */
void manager_peers_leave(Manager *m);
/* The port, to a new keeper. */
void manager_peers_store(Manager *m);
/* List and keys anew, all or nothing. -EINVAL: trouble says why not. */
int manager_peers_reload(Manager *m, char *trouble, size_t size);

/* SIGHUP: the same, with a line in the log. */
int manager_peers_on_hangup(
	sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);

/* NULL: not in the list, and unknown to the engine. */
ManagerPeer *manager_peer_find(Manager *m, uint32_t node);

/* --- peer-arrival.c --- */

/* A connection has begun with TLS: for struct port_ops. */
int manager_peer_arrived(void *peers, int fd, Stranger *stranger, void **ret_arrival);
void manager_peer_arrival_cut(void *arrival);

/* --- manager-peer.c --- */

struct peer_link_options manager_peer_link_options(
	Peers *peers, const struct peer_link_ops *ops, void *userdata);
/* The engine has accepted the connection as the peer's only one. reply: NULL if that was the
 * other's to say. */
void manager_peer_take_link(ManagerPeer *p, PeerLink *link, const struct wire_message *reply);
/* Cuts all its connections, without a word to the engine. */
void manager_peer_disconnect(ManagerPeer *p);
/* Tells the engine what could not be told when it happened. */
void manager_peer_tell(ManagerPeer *p);

int manager_peer_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);

/* Where the node is found, for data connections. -EHOSTUNREACH. */
int manager_peer_address(
	const EnginePeer *peer, struct sockaddr_storage *ret_address, socklen_t *ret_length);

/* Operations of the engine */
void manager_peer_wanted(void *userdata, EnginePeer *peer);
void manager_peer_send(void *userdata, EnginePeer *peer, const struct wire_message *message);
void manager_peer_close(void *userdata, EnginePeer *peer);
void manager_peer_session(void *userdata, EnginePeer *peer);
void manager_peer_free(void *userdata, EnginePeer *peer);

/* --- peer-identity.c --- */

int manager_guest_identity(void *userdata, EnginePeer *peer, struct engine_identity *identity);
/* The same of a configuration: node: who asserts; uid: not 0, the only user it may speak for. 0 or
 * STATUS_DENIED. */
int peer_identity_judge(
	const struct config *config, uint32_t node, uint32_t uid, struct engine_identity *identity);

/* --- peer-encryption.c --- */

/* What our hello, or the answer to its own, says of data connections. */
uint32_t manager_peer_offer(ManagerPeer *p);
/* The other has said the same. */
void manager_peer_heard_offer(ManagerPeer *p, uint32_t theirs);
enum wire_encryption manager_peer_data(const EnginePeer *peer);
/* What the two daemons know, and nobody else, of the grant that goes over their connection now.
 * -ENOTCONN. */
int manager_peer_secret(
	const EnginePeer *peer, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE]);

/* --- peer-request.c --- */

/* status: as the peer said, or NODE_UNREACHABLE, NODE_LOST, TIMED_OUT, NOT_SUPPORTED; reply: NULL
 * if there is none. */
typedef void (*peer_request_done)(void *userdata, int status, const struct wire_message *reply);

/*
 * Asks another node's daemon: one of the queries of peer.def, or PEER_DATA. The request may be said
 * more than once. done is called once, from the loop, if this returns 0; what the request's tail
 * points to is copied. Keeps the connection until then. Else: STATUS_NODE_UNKNOWN, -ENOMEM.
 */
int manager_peer_request(Manager *m, uint32_t node, const struct wire_message *request,
	peer_request_done done, void *userdata);
/* The same with another bound for all of it than the default. */
int manager_peer_request_within(Manager *m, uint32_t node, const struct wire_message *request,
	uint64_t timeout, peer_request_done done, void *userdata);

/* The connection is up: says what is waiting. */
void peer_requests_send(ManagerPeer *p);
/* It broke: what was not answered is said again on the next. */
void peer_requests_unsend(ManagerPeer *p);
/* Ends what waits (said: only what has been said in the session) with this status; told from the
 * loop. */
void peer_requests_fail(ManagerPeer *p, bool said, int status);
void peer_requests_answer(ManagerPeer *p, const struct wire_message *reply);
/* Tells those that ended. */
void peer_requests_tell(Peers *peers);

/* --- query.c --- */

/* What a peer asks of this daemon's main thread. False: it is none of these. */
bool query_serve(ManagerPeer *p, const struct wire_message *request);

#endif
