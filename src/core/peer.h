/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PEER_H
#define CORE_PEER_H

/*
 * Peers: the other nodes, as the engine sees them. For each of the node list there is a name; an
 * EnginePeer exists only while there is something to know of it: a connection wanted or there, a
 * session, imports either way. So the state of a node is that of its own connections.
 *
 * The engine decides what is said to whom and what an answer or a silence means
 * (docs/design/0005-several-nodes.md); the caller carries packets. Time is what the caller says:
 * now, CLOCK_BOOTTIME-like ns that never go back.
 *
 * How the caller uses it:
 *
 *   engine_set_self()           once, before anything of a peer
 *   engine_set_nodes()          at the start and at each reload
 *   ops->peer_wanted(peer)      dial; what is below ends in engine_peer_down() or engine_peer_up()
 *   engine_peer_get(node)       for who has proved to be that node
 *   engine_peer_hello()         on the HELLO of a dialler
 *   engine_peer_hello_answer()  on the reply to ours
 *   engine_peer_receive()       every other packet of a session
 *   engine_peer_down()          the connection broke, or could not be made
 *   ops->peer_send(peer, m)     send on the connection
 *   ops->peer_close(peer)       close it: nothing in common any more, or lost
 *   engine_next(), engine_tick()  time
 *
 * Calls that are not told the time leave what depends on it to engine_tick(): after any call
 * engine_next() may be 0, and engine_tick() is due at once. Peers are freed by engine_tick() and
 * engine_free() alone, after ops->peer_free(), so a pointer is good until the next tick.
 *
 * A peer that has a session but no connection may be dialled by both sides; a caller's attempt that
 * hears nothing ends by itself (a second or two) with engine_peer_down().
 */

#include "core/engine.h"
#include "wire/status.h"

/* Our lease on the pages of a home; see lease.c. */
struct engine_lease {
	uint32_t n_maps; /* that need it; 0: there is none */
	bool good;
	uint64_t number;   /* of the last LEASE that was said */
	uint64_t answered; /* the latest that was answered */
	uint64_t since;	   /* when that one was said, or when the lease was wanted */
	uint64_t said;	   /* the last one; 0: at once */
	uint64_t times[8]; /* when the last ones were said, by number */
};

struct EnginePeer {
	Engine *engine;
	struct tree_node node;	/* engine->peers, by number */
	struct tree_node timer; /* engine->timers, by time; see timer.c */
	uint64_t due;		/* in engine->timers for then; 0: at once; UINT64_MAX: not there */
	uint32_t number;
	enum wire_peer_state state;
	bool listed;	      /* in the node list */
	uint64_t session;     /* 0: none */
	uint64_t incarnation; /* of the peer in this session */
	uint64_t detection;   /* ns: the smaller of the two while there is a session */
	uint64_t heard, said; /* when last, ns; said: the last PING */
	uint64_t since;	      /* imports wait for an answer since; 0: not known yet, or none does */
	uint64_t idle;	      /* nothing in common since; 0: not known yet, or there is */
	uint64_t retry;	      /* not dialled again before */
	uint64_t keep_retry;  /* the same, if that is only to keep a session */
	uint64_t backoff;     /* ns, next time */
	bool dialling;	      /* peer_wanted was said, and has not ended yet */
	bool hello_sent;      /* ours, on the connection that we dial, not answered yet */
	bool resumed;	      /* the connection that comes up goes on with the session */
	bool holds_due;	      /* HOLDS has not been heard to its end on a resumed connection */
	uint64_t holds;	      /* number of the HOLDS that is being heard; 0: no first part yet */
	bool told_away;	      /* all imports either way know that there is no contact at present */
	bool ending;	      /* the session, and with it its guests */
	bool keeps;	      /* it keeps the session; restored: perhaps */
	uint32_t uid;	      /* not 0: the peer speaks for this user only */
	struct list imports;  /* EngineImport.home_link: ours of its segments, not over */
	struct list guests;   /* EngineClient.guest_link */
	struct tree guest_numbers; /* EngineClient.guest_node */
	uint32_t n_imports;
	uint32_t n_waiting; /* of them: not granted yet */
	uint32_t n_wanted;  /* queries of the caller's that keep the connection */
	struct engine_lease lease;
	bool has_maps;	    /* of segments of this node */
	EngineUser account; /* what its guests have: account.n_imports, account.n_clients */
	void *userdata;	    /* the caller's */
};

/* Who this node is to others. uid: 0, or the daemon's if it speaks for no other user. secret:
 * random, for the shape of trees whose keys are chosen by peers. */
void engine_set_self(Engine *engine, uint64_t incarnation, uint32_t uid, uint64_t secret);

/* The node list without this node; replaces the former. Peers that are not in it any more are lost
 * at once. -ENOMEM: nothing has changed. */
int engine_set_nodes(Engine *engine, const uint32_t *nodes, uint32_t n_nodes, uint64_t now);
bool engine_has_node(const Engine *engine, uint32_t node); /* this one, too */
uint32_t engine_count_nodes(const Engine *engine);	   /* with this one */

/* The peer if there is one at present. */
EnginePeer *engine_peer_find(Engine *engine, uint32_t node);
/* The peer, made if need be. STATUS_NODE_UNKNOWN, -ENOMEM. */
int engine_peer_get(Engine *engine, uint32_t node, EnginePeer **ret_peer);
/* The peer with the smallest number above, or NULL. */
EnginePeer *engine_peer_next(Engine *engine, uint32_t above);

/* A query of the caller's needs the connection, or needs it no more. How long it waits is the
 * caller's to decide. */
void engine_peer_want(EnginePeer *peer, uint64_t now);
void engine_peer_unwant(EnginePeer *peer, uint64_t now);

/*
 * There is to be a session with each node of the list, this and later ones, whose number is below
 * this, whatever else there is in common: who is not there is dialled once in the detection time.
 * 0: that is over. Again at any time. -ENOMEM: not with all of them.
 */
int engine_keep_sessions(Engine *engine, uint32_t below, uint64_t now);
/* The peer does the same, as it says on each connection, or does it no more. */
void engine_peer_keeps(EnginePeer *peer, bool keeps);

/*
 * This node has so many maps of the peer's segments from now on. While there are any it renews a
 * lease and says by ops->peer_lease() how that stands: the first time when the home has answered;
 * without an answer for half the detection time it is doubtful, and after three quarters the
 * session is lost. That ends all maps; so does any other end of the session.
 */
void engine_peer_hold_lease(EnginePeer *peer, uint32_t n_maps, uint64_t now);
/* The peer has maps of segments of this node: the session is needed, also when its imports are over
 * and it still gives back what it had. The end of the session ends that. */
void engine_peer_has_maps(EnginePeer *peer, bool has);
/* When it ends if no other answer comes; 0: there is none. */
uint64_t engine_peer_lease_end(const EnginePeer *peer);

/* What we say first on a connection that we have made. */
void engine_peer_say_hello(EnginePeer *peer, struct wire_peer_hello *ret_hello);
/*
 * The other's hello, on a connection that it made and on which it has proved to be the peer. Fills
 * the answer, also to a refusal (the caller sets its header's status). 0: this connection is the
 * peer's from now on (the caller closes any other, also one that it is dialling, without
 * engine_peer_down()); a status to refuse with: STATUS_IN_USE (ours stays), STATUS_VERSION,
 * STATUS_NODE_UNKNOWN (does not mean us, or is not in the list), STATUS_BAD_REQUEST.
 */
int engine_peer_hello(EnginePeer *peer, const struct wire_peer_hello *hello, uint64_t now,
	struct wire_peer_hello_reply *ret_reply);
/* The answer to ours, when that was not a refusal (then: engine_peer_down()). STATUS_VERSION,
 * STATUS_BAD_REQUEST: close, engine_peer_down(). After either, if it was 0, the caller sends the
 * answer first, and then calls: */
int engine_peer_hello_answer(
	EnginePeer *peer, const struct wire_peer_hello_reply *reply, uint64_t now);
/* The connection is ready: what was waiting is sent. */
void engine_peer_up(EnginePeer *peer, uint64_t now);

/* A packet of the session. STATUS_BAD_REQUEST: the peer breaks the protocol; the caller closes the
 * connection and calls engine_peer_down(). Answers to the caller's own requests (PEER_*_REPLY but
 * CONNECT's) are not given to the engine. */
int engine_peer_receive(EnginePeer *peer, const struct wire_message *message, uint64_t now);
/* Anything at all was heard. */
void engine_peer_heard(EnginePeer *peer, uint64_t now);

/* The connection broke, or a dial attempt failed. refused: nobody listens there: imports that wait
 * for a first session fail at once; else the engine will want it again. */
void engine_peer_down(EnginePeer *peer, bool refused, uint64_t now);

/* When engine_tick() must be called next (perhaps there is nothing to do then); 0: at once;
 * UINT64_MAX: never. */
uint64_t engine_next(const Engine *engine);
void engine_tick(Engine *engine, uint64_t now);

/* This node ends in order: BYE to all. */
void engine_peers_leave(Engine *engine, uint64_t now);

/* --- imports of other nodes: engine_import_connect() begins one --- */

/* The caller has opened the route of this import, whose home has granted it (ops->import_granted).
 * Nothing happens if it is over, or connected already. */
void engine_import_ready(EngineImport *import);
/* It could not. The home is told. */
void engine_import_fail(EngineImport *import, enum wire_status status);
/* Its route is stuck: as if its node were lost. The home is told. */
void engine_import_lose(EngineImport *import);

/* --- guests --- */

/* The guest that is this client of the peer; NULL: none. */
EngineClient *engine_guest_find(EnginePeer *peer, uint64_t client);

/* The import that the peer knows by these numbers; NULL: none. */
EngineImport *engine_guest_import_find(
	EnginePeer *peer, uint64_t client, uint32_t index, uint32_t generation);

/* The tail of CONNECT, LIST, SHOW: identity and groups. */
#define ENGINE_IDENTITY_RECORD 32u
#define ENGINE_IDENTITY_SIZE   (ENGINE_IDENTITY_RECORD + 4u * ENGINE_GROUPS_MAX)
/* Returns how many bytes it took. */
size_t engine_identity_encode(
	const struct engine_identity *identity, uint8_t ret_tail[ENGINE_IDENTITY_SIZE]);
/* The whole tail. STATUS_BAD_REQUEST. */
int engine_identity_decode(const void *tail, size_t size, struct engine_identity *ret_identity);

/* --- records --- */

struct engine_peer_record {
	uint32_t number, uid;
	uint64_t session, incarnation, detection;
};
void engine_peer_save(const EnginePeer *peer, struct engine_peer_record *ret);
/* Before clients and imports, after engine_set_nodes(). In state AWAY, heard at now. -EBADMSG. */
int engine_peer_restore(Engine *engine, const struct engine_peer_record *record, uint64_t now,
	EnginePeer **ret_peer);

#endif
