/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <assert.h>
#include <stdlib.h>
#include "base/clock.h"

/*
 * Peers: which there are, and what time does to them. Everything that depends on the time is
 * decided in engine_peer_review(), which the timer calls; other calls only note what has happened
 * and have the timer look at once.
 */

#define BACKOFF_MAX (1 * NSEC_PER_SEC)
#define LINGER	    (10 * NSEC_PER_SEC)
/* For an answer to CONNECT on a connection that is up: the home's main thread is slow, or hostile.
 */
#define ANSWER (10 * NSEC_PER_SEC)

EnginePeer *engine_peer_find(Engine *engine, uint32_t node)
{
	struct tree_node *n = tree_get(&engine->peers, node);

	return n ? container_of(n, EnginePeer, node) : NULL;
}

EnginePeer *engine_peer_next(Engine *engine, uint32_t above)
{
	struct tree_node *n = tree_above(&engine->peers, above);

	return n ? container_of(n, EnginePeer, node) : NULL;
}

static EnginePeer *peer_new(Engine *engine, uint32_t number)
{
	EnginePeer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->engine = engine;
	peer->number = number;
	peer->listed = true;
	peer->backoff = ENGINE_BACKOFF_MIN;
	list_init(&peer->imports);
	list_init(&peer->guests);
	peer->node.key = number;
	tree_insert(&engine->peers, &peer->node);
	peer->due = UINT64_MAX;
	engine_timer_touch(peer);
	return peer;
}

void engine_peer_free(EnginePeer *peer)
{
	Engine *engine = peer->engine;

	assert(list_empty(&peer->imports) && list_empty(&peer->guests));
	assert(peer->account.n_clients == 0 && peer->account.n_imports == 0);
	engine->ops->peer_free(engine->userdata, peer);
	engine_timer_set(peer, UINT64_MAX);
	tree_remove(&engine->peers, &peer->node);
	free(peer);
}

int engine_peer_get(Engine *engine, uint32_t node, EnginePeer **ret_peer)
{
	EnginePeer *peer;

	if (node == engine->node || !engine_has_node(engine, node))
		return STATUS_NODE_UNKNOWN;
	peer = engine_peer_find(engine, node);
	if (!peer)
		peer = peer_new(engine, node);
	if (!peer)
		return -ENOMEM;
	*ret_peer = peer;
	return 0;
}

void engine_peer_want(EnginePeer *peer, uint64_t now)
{
	peer->n_wanted++;
	engine_timer_touch(peer);
}

void engine_peer_unwant(EnginePeer *peer, uint64_t now)
{
	assert(peer->n_wanted > 0);
	peer->n_wanted--;
	engine_timer_touch(peer);
}

void engine_peer_keeps(EnginePeer *peer, bool keeps)
{
	peer->keeps = keeps && peer->session;
	engine_timer_touch(peer);
}

void engine_peer_heard(EnginePeer *peer, uint64_t now)
{
	peer->heard = MAX(peer->heard, now);
	if (peer->told_away && peer->state == WIRE_PEER_UP)
		engine_offer_turn(peer, false);
}

static bool in_common(const EnginePeer *peer)
{
	return peer->n_wanted > 0 || peer->n_imports > 0 || peer->lease.n_maps > 0 ||
	       peer->has_maps || !list_empty(&peer->guests);
}

/* By us, or by the other side. */
static bool kept(const EnginePeer *peer)
{
	return peer->keeps || (peer->listed && peer->number < peer->engine->keep_below);
}

static bool needed(const EnginePeer *peer)
{
	return in_common(peer) || kept(peer);
}

void engine_peer_settle(EnginePeer *peer)
{
	if (peer->state == WIRE_PEER_UP)
		return;
	if (peer->session)
		peer->state = WIRE_PEER_AWAY;
	else
		peer->state = peer->dialling || needed(peer) ? WIRE_PEER_DIALLING : WIRE_PEER_IDLE;
}

void engine_peer_say(EnginePeer *peer, const struct wire_message *message)
{
	Engine *engine = peer->engine;

	if (peer->state == WIRE_PEER_UP)
		engine->ops->peer_send(engine->userdata, peer, message);
}

void engine_peer_say_bare(EnginePeer *peer, uint16_t type)
{
	const struct wire_message m = {.type = type, .flags = WIRE_ONEWAY};

	engine_peer_say(peer, &m);
}

/* Without a connection the session may still go on. */
static void note_away(EnginePeer *peer)
{
	if (peer->session && peer->state == WIRE_PEER_AWAY)
		engine_offer_turn(peer, true);
}

void engine_peer_close(EnginePeer *peer)
{
	Engine *engine = peer->engine;

	engine->ops->peer_close(engine->userdata, peer);
	peer->dialling = peer->hello_sent = false;
	if (peer->state == WIRE_PEER_UP)
		peer->state = WIRE_PEER_AWAY;
	note_away(peer);
	engine_peer_settle(peer);
	engine_timer_touch(peer);
}

void engine_peer_down(EnginePeer *peer, bool refused, uint64_t now)
{
	peer->dialling = peer->hello_sent = false;
	if (peer->state == WIRE_PEER_UP)
		peer->state = WIRE_PEER_AWAY;
	note_away(peer);
	if (refused && !peer->session)
		engine_remote_fail_waiting(peer, STATUS_NODE_UNREACHABLE);
	peer->retry = now + peer->backoff;
	peer->keep_retry = now + peer->engine->limits.detection;
	peer->backoff = MIN(2 * peer->backoff, BACKOFF_MAX);
	engine_peer_settle(peer);
	engine_timer_touch(peer);
}

/* What time does */

/* A silence after which contact counts as lost, though it may come back: two heartbeats missed. */
static uint64_t silence(const EnginePeer *peer)
{
	return peer->detection - peer->detection / 4;
}

void engine_peer_lose(EnginePeer *peer)
{
	engine_peer_close(peer);
	engine_session_end(peer);
	engine_remote_fail_waiting(peer, STATUS_NODE_UNREACHABLE);
}

static void judge_silence(EnginePeer *peer, uint64_t now)
{
	if (peer->session && engine_passed(peer->heard, silence(peer), now))
		engine_offer_turn(peer, true);
	if (peer->session && engine_passed(peer->heard, peer->detection, now))
		engine_peer_lose(peer);
}

/* How long imports may wait for the home's first word; in a session without a connection silence
 * ends that. */
static uint64_t patience(const EnginePeer *peer)
{
	if (peer->state == WIRE_PEER_UP)
		return peer->detection + ANSWER;
	return peer->session ? UINT64_MAX : peer->engine->limits.detection;
}

static void judge_waiting(EnginePeer *peer, uint64_t now)
{
	if (peer->n_waiting == 0)
		return;
	if (peer->since == 0)
		peer->since = now;
	if (engine_passed(peer->since, patience(peer), now))
		engine_remote_fail_waiting(peer, STATUS_NODE_UNREACHABLE);
}

/* Without a connection there is no reason to stay, with one the next wish may come soon. */
static void judge_idle(EnginePeer *peer, uint64_t now)
{
	if (needed(peer)) {
		peer->idle = 0;
		return;
	}
	if (peer->idle == 0)
		peer->idle = now;
	if (peer->state == WIRE_PEER_UP && !engine_passed(peer->idle, LINGER, now))
		return;
	engine_peer_say_bare(peer, WIRE_PEER_BYE);
	if (peer->state == WIRE_PEER_UP || peer->dialling)
		engine_peer_close(peer);
	engine_session_end(peer);
}

static void keep_alive(EnginePeer *peer, uint64_t now)
{
	if (peer->state != WIRE_PEER_UP || !engine_passed(peer->said, peer->detection / 3, now))
		return;
	peer->said = now;
	engine_peer_say_bare(peer, WIRE_PEER_PING);
}

static bool to_be_dialled(const EnginePeer *peer)
{
	return peer->state != WIRE_PEER_UP && peer->listed && !peer->dialling && needed(peer);
}

static uint64_t dial_time(const EnginePeer *peer)
{
	bool patient = !peer->session && !in_common(peer);

	return patient ? MAX(peer->retry, peer->keep_retry) : peer->retry;
}

static void dial(EnginePeer *peer, uint64_t now)
{
	Engine *engine = peer->engine;

	if (!to_be_dialled(peer) || now < dial_time(peer))
		return;
	peer->dialling = true;
	engine->ops->peer_wanted(engine->userdata, peer);
}

static uint64_t earlier(uint64_t due, uint64_t since, uint64_t span)
{
	return span > UINT64_MAX - since ? due : MIN(due, since + span);
}

static uint64_t next_due(const EnginePeer *peer)
{
	uint64_t due = UINT64_MAX;

	if (peer->session)
		due = earlier(due, peer->heard, peer->told_away ? peer->detection : silence(peer));
	if (peer->n_waiting > 0)
		due = earlier(due, peer->since, patience(peer));
	if (peer->state == WIRE_PEER_UP)
		due = earlier(due, peer->said, peer->detection / 3);
	if (peer->state == WIRE_PEER_UP && !needed(peer))
		due = earlier(due, peer->idle, LINGER);
	if (to_be_dialled(peer))
		due = MIN(due, dial_time(peer));
	return MIN(due, engine_lease_next(peer));
}

void engine_peer_review(EnginePeer *peer, uint64_t now)
{
	judge_silence(peer, now);
	engine_lease_review(peer, now);
	judge_waiting(peer, now);
	judge_idle(peer, now);
	if (!peer->session && !needed(peer)) {
		engine_peer_free(peer);
		return;
	}
	keep_alive(peer, now);
	dial(peer, now);
	engine_peer_settle(peer);
	engine_timer_set(peer, next_due(peer));
}
