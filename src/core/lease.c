/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <string.h>

/*
 * The lease on the pages of a home: whether what this node has of them may still be believed
 * (docs/design/0007-coherent-maps.md).
 *
 * It is as old as the latest LEASE that was answered, from when that one was said: whatever time
 * the answer took, the home had heard of us no earlier. The home gives our pages away a whole
 * detection time after it heard of us last, so at three quarters of it we lose the session
 * ourselves: before.
 *
 * A successor does not know what its predecessor said, so its lease is doubtful until the home
 * answers; until then nothing is given to anybody who waits for a page.
 */

static bool held(const EnginePeer *peer)
{
	return peer->lease.n_maps > 0 && peer->session;
}

uint64_t engine_peer_lease_end(const EnginePeer *peer)
{
	return held(peer) ? peer->lease.since + peer->detection / 4 * 3 : 0;
}

static void tell(EnginePeer *peer, bool good)
{
	Engine *engine = peer->engine;

	peer->lease.good = good;
	engine->ops->peer_lease(engine->userdata, peer, good, engine_peer_lease_end(peer));
}

void engine_peer_hold_lease(EnginePeer *peer, uint32_t n_maps, uint64_t now)
{
	struct engine_lease *lease = &peer->lease;

	if (lease->n_maps == 0) {
		lease->good = false;
		lease->answered = lease->number;
		lease->since = now;
		lease->said = 0;
	}
	lease->n_maps = n_maps;
	engine_timer_touch(peer);
}

void engine_peer_has_maps(EnginePeer *peer, bool has)
{
	if (peer->has_maps == (has && peer->session))
		return;
	peer->has_maps = !peer->has_maps;
	engine_timer_touch(peer);
}

static void renew(EnginePeer *peer, uint64_t now)
{
	struct engine_lease *lease = &peer->lease;
	const struct wire_message m = {
		.type = WIRE_PEER_LEASE, .peer_lease = {.number = ++lease->number}};

	lease->said = lease->times[lease->number % ELEMENTS(lease->times)] = now;
	engine_peer_say(peer, &m);
}

static bool to_be_renewed(const EnginePeer *peer)
{
	return held(peer) && peer->state == WIRE_PEER_UP;
}

void engine_lease_review(EnginePeer *peer, uint64_t now)
{
	struct engine_lease *lease = &peer->lease;

	if (!held(peer))
		return;
	if (engine_passed(lease->since, peer->detection / 4 * 3, now)) {
		engine_peer_lose(peer);
		return;
	}
	if (lease->good && engine_passed(lease->since, peer->detection / 2, now))
		tell(peer, false);
	if (to_be_renewed(peer) &&
		(lease->said == 0 || engine_passed(lease->said, peer->detection / 6, now)))
		renew(peer, now);
}

uint64_t engine_lease_next(const EnginePeer *peer)
{
	const struct engine_lease *lease = &peer->lease;
	uint64_t due;

	if (!held(peer))
		return UINT64_MAX;
	due = lease->since + (lease->good ? peer->detection / 2 : peer->detection / 4 * 3);
	if (to_be_renewed(peer))
		due = MIN(due, lease->said ? lease->said + peer->detection / 6 : 0);
	return due;
}

void engine_lease_up(EnginePeer *peer)
{
	peer->lease.said = 0;
}

void engine_lease_end(EnginePeer *peer)
{
	peer->lease.n_maps = 0;
	peer->lease.good = false;
	peer->has_maps = false;
}

void engine_lease_answer(EnginePeer *peer, const struct wire_message *message)
{
	const struct wire_message m = {.type = WIRE_PEER_LEASE_REPLY,
		.serial = message->serial,
		.peer_lease_reply = {.number = message->peer_lease.number}};

	engine_peer_say(peer, &m);
}

void engine_lease_answered(
	EnginePeer *peer, const struct wire_peer_lease_reply *reply, uint64_t now)
{
	struct engine_lease *lease = &peer->lease;

	if (!held(peer) || reply->number <= lease->answered || reply->number > lease->number ||
		lease->number - reply->number >= ELEMENTS(lease->times))
		return;
	lease->answered = reply->number;
	lease->since = lease->times[reply->number % ELEMENTS(lease->times)];
	tell(peer, !engine_passed(lease->since, peer->detection / 2, now));
	engine_timer_touch(peer);
}
