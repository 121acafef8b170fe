/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include "base/clock.h"

/*
 * Sessions: hello, what is said on a connection, and the end.
 *
 * A session's number says in its lowest bit which side has given it, so that two sides never mean
 * different sessions by one number.
 */

/* A peer cannot make us send more heartbeats than this asks for. */
#define DETECTION_MIN (10 * NSEC_PER_MSEC)

uint64_t engine_session_detection(const Engine *engine, uint64_t theirs)
{
	return MAX(MIN(engine->limits.detection, theirs), DETECTION_MIN);
}

static void tell(EnginePeer *peer)
{
	Engine *engine = peer->engine;

	engine->ops->peer_session(engine->userdata, peer);
}

void engine_session_end(EnginePeer *peer)
{
	if (!peer->session)
		return;
	engine_offer_turn(peer, true);
	peer->ending = true;
	engine_remote_lose_granted(peer);
	engine_guests_free(peer);
	engine_lease_end(peer);
	peer->ending = peer->told_away = peer->keeps = false;
	peer->session = peer->incarnation = 0;
	peer->resumed = peer->holds_due = false;
	tell(peer);
	engine_peer_settle(peer);
	engine_timer_touch(peer);
}

/* The lowest bit of those that this side numbers. */
static uint64_t our_bit(const EnginePeer *peer)
{
	return peer->engine->node > peer->number;
}

bool engine_session_is_ours(const EnginePeer *peer)
{
	return (peer->session & 1) == our_bit(peer);
}

static uint64_t next_session(EnginePeer *peer)
{
	return ++peer->engine->counters.last_session << 1 | our_bit(peer);
}

static void begin(EnginePeer *peer, uint64_t session, uint64_t incarnation)
{
	engine_session_end(peer);
	peer->session = session;
	peer->incarnation = incarnation;
}

/* A connection is there, and what both sides know of each other has been compared. */
static void agree(EnginePeer *peer, uint64_t detection, uint32_t uid, bool resumed, uint64_t now)
{
	peer->detection = engine_session_detection(peer->engine, detection);
	peer->uid = uid;
	peer->resumed = resumed;
	peer->dialling = peer->hello_sent = false;
	peer->state = WIRE_PEER_AWAY;
	peer->heard = now;
	tell(peer);
	engine_timer_touch(peer);
}

/* Hello */

void engine_peer_say_hello(EnginePeer *peer, struct wire_peer_hello *ret_hello)
{
	const Engine *engine = peer->engine;

	peer->hello_sent = true;
	*ret_hello = (struct wire_peer_hello){
		.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.node = engine->node,
		.to = peer->number,
		.incarnation = engine->incarnation,
		.session = peer->session,
		.peer_incarnation = peer->incarnation,
		.detection = engine->limits.detection,
		.uid = engine->uid,
	};
}

static int judge_hello(const EnginePeer *peer, const struct wire_peer_hello *hello)
{
	const Engine *engine = peer->engine;

	if (hello->major != WIRE_MAJOR)
		return STATUS_VERSION;
	if (hello->node != peer->number || hello->incarnation == 0)
		return STATUS_BAD_REQUEST;
	if (hello->to != engine->node || !peer->listed)
		return STATUS_NODE_UNKNOWN;
	return peer->hello_sent && engine->node < peer->number ? STATUS_IN_USE : 0;
}

static bool same_session(const EnginePeer *peer, const struct wire_peer_hello *hello)
{
	return peer->session && hello->session == peer->session &&
	       hello->incarnation == peer->incarnation &&
	       hello->peer_incarnation == peer->engine->incarnation;
}

int engine_peer_hello(EnginePeer *peer, const struct wire_peer_hello *hello, uint64_t now,
	struct wire_peer_hello_reply *ret_reply)
{
	const Engine *engine = peer->engine;
	bool same = same_session(peer, hello);
	int r;

	*ret_reply = (struct wire_peer_hello_reply){
		.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.node = engine->node,
		.uid = engine->uid,
		.incarnation = engine->incarnation,
		.detection = engine->limits.detection,
	};
	r = judge_hello(peer, hello);
	if (r)
		return r;
	/* What ends with the old session is not said on the new connection. */
	peer->state = WIRE_PEER_AWAY;
	if (!same)
		begin(peer, next_session(peer), hello->incarnation);
	agree(peer, hello->detection, hello->uid, same, now);
	ret_reply->session = peer->session;
	ret_reply->resumed = same;
	return 0;
}

int engine_peer_hello_answer(
	EnginePeer *peer, const struct wire_peer_hello_reply *reply, uint64_t now)
{
	if (reply->major != WIRE_MAJOR)
		return STATUS_VERSION;
	if (!peer->hello_sent || reply->node != peer->number)
		return STATUS_BAD_REQUEST;
	if (reply->session == 0 || reply->incarnation == 0 || reply->resumed > 1)
		return STATUS_BAD_REQUEST;
	if (!reply->resumed && (reply->session & 1) == our_bit(peer))
		return STATUS_BAD_REQUEST;
	if (reply->resumed &&
		(reply->session != peer->session || reply->incarnation != peer->incarnation))
		return STATUS_BAD_REQUEST;
	if (!reply->resumed)
		begin(peer, reply->session, reply->incarnation);
	agree(peer, reply->detection, reply->uid, reply->resumed, now);
	return 0;
}

void engine_peer_up(EnginePeer *peer, uint64_t now)
{
	/* Lost again while the caller sent its answer. */
	if (!peer->session) {
		engine_peer_close(peer);
		return;
	}
	peer->state = WIRE_PEER_UP;
	peer->heard = peer->said = now;
	peer->idle = peer->retry = peer->keep_retry = 0;
	peer->backoff = ENGINE_BACKOFF_MIN;
	peer->keeps = false;
	peer->holds = 0;
	peer->holds_due = peer->resumed;
	engine_remote_say_all(peer);
	engine_lease_up(peer);
	if (peer->resumed)
		engine_guests_resume(peer);
	engine_offer_turn(peer, false);
	engine_timer_touch(peer);
}

/* Packets */

/* Whatever waits for a grant begins anew; whoever has ended is found out when nobody listens. */
static void receive_bye(EnginePeer *peer, uint64_t now)
{
	engine_peer_close(peer);
	engine_session_end(peer);
	peer->retry = now + peer->backoff;
	peer->keep_retry = now + peer->engine->limits.detection;
}

int engine_peer_receive(EnginePeer *peer, const struct wire_message *message, uint64_t now)
{
	if (peer->state != WIRE_PEER_UP)
		return STATUS_BAD_REQUEST;
	engine_peer_heard(peer, now);
	switch (message->type) {
	case WIRE_PEER_PING:
		return 0;
	case WIRE_PEER_BYE:
		receive_bye(peer, now);
		return 0;
	case WIRE_PEER_CONNECT:
		return engine_guest_connect(peer, message);
	case WIRE_PEER_CONNECT_REPLY:
		return engine_remote_granted(peer, message, now);
	case WIRE_PEER_DISCONNECT:
		engine_guest_disconnect(peer, &message->peer_disconnect);
		return 0;
	case WIRE_PEER_DATA:
		engine_guest_data(peer, message);
		return 0;
	case WIRE_PEER_LOST:
		return engine_remote_lost(peer, &message->peer_lost);
	case WIRE_PEER_SIGNAL:
		engine_remote_signal(peer, &message->peer_signal);
		return 0;
	case WIRE_PEER_NOTE:
		return engine_remote_note(peer, &message->peer_note);
	case WIRE_PEER_HOLDS:
		return engine_guest_holds(peer, message);
	case WIRE_PEER_LEASE:
		engine_lease_answer(peer, message);
		return 0;
	case WIRE_PEER_LEASE_REPLY:
		engine_lease_answered(peer, &message->peer_lease_reply, now);
		return 0;
	default:
		return STATUS_BAD_REQUEST;
	}
}

void engine_peers_leave(Engine *engine, uint64_t now)
{
	EnginePeer *peer = NULL;

	engine->keep_below = 0;
	while ((peer = engine_peer_next(engine, peer ? peer->number : 0))) {
		engine_peer_say_bare(peer, WIRE_PEER_BYE);
		engine_peer_close(peer);
		engine_session_end(peer);
		engine_remote_fail_waiting(peer, STATUS_NODE_UNREACHABLE);
	}
}
