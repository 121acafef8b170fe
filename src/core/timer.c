/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

/*
 * When which peer must be looked at: a tree by time, so that a tick costs only what is due. A peer
 * may be looked at too early (it has been heard meanwhile), never too late.
 *
 * Keys of a tree are unique: of several peers for the same nanosecond all but one come a little
 * later, by a random distance that grows with the tries, so that many find their places fast.
 */

static uint64_t free_key(const Engine *engine, const EnginePeer *peer, uint64_t due)
{
	uint64_t key = MAX(due, (uint64_t)1), random = peer->number;
	unsigned int bits = 0;

	while (tree_get(&engine->timers, key)) {
		bits = MIN(bits + 1, 32u);
		random = (random + 1) * 0x9e3779b97f4a7c15ull;
		key += 1 + (random >> (64 - bits));
	}
	return key;
}

void engine_timer_set(EnginePeer *peer, uint64_t due)
{
	Engine *engine = peer->engine;

	if (peer->due != UINT64_MAX)
		tree_remove(&engine->timers, &peer->timer);
	peer->due = due;
	if (due == UINT64_MAX)
		return;
	peer->timer.key = free_key(engine, peer, due);
	tree_insert(&engine->timers, &peer->timer);
}

void engine_timer_touch(EnginePeer *peer)
{
	if (peer->due != 0)
		engine_timer_set(peer, 0);
}

static EnginePeer *first(const Engine *engine)
{
	struct tree_node *n = tree_above(&engine->timers, 0);

	return n ? container_of(n, EnginePeer, timer) : NULL;
}

uint64_t engine_next(const Engine *engine)
{
	const EnginePeer *peer = first(engine);

	if (!peer)
		return UINT64_MAX;
	return peer->due == 0 ? 0 : peer->timer.key;
}

void engine_tick(Engine *engine, uint64_t now)
{
	while (engine_next(engine) <= now)
		engine_peer_review(first(engine), now);
}
