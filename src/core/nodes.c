/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * The node list: the numbers of the others, in order, each once.
 */

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool other_node(const Engine *engine, uint32_t node)
{
	return engine->n_nodes > 0 && bsearch(&node, engine->nodes, engine->n_nodes, sizeof(node),
					      compare_numbers) != NULL;
}

bool engine_has_node(const Engine *engine, uint32_t node)
{
	return node == engine->node || other_node(engine, node);
}

uint32_t engine_count_nodes(const Engine *engine)
{
	return engine->n_nodes + 1;
}

void engine_set_self(Engine *engine, uint64_t incarnation, uint32_t uid, uint64_t secret)
{
	engine->incarnation = incarnation;
	engine->uid = uid;
	engine->secret = secret;
}

static uint32_t without_repetition(const Engine *engine, uint32_t *nodes, uint32_t n)
{
	uint32_t kept = 0;

	qsort(nodes, n, sizeof(*nodes), compare_numbers);
	for (uint32_t i = 0; i < n; i++) {
		if (nodes[i] == engine->node || nodes[i] == 0)
			continue;
		if (kept == 0 || nodes[kept - 1] != nodes[i])
			nodes[kept++] = nodes[i];
	}
	return kept;
}

static void mark_peer(EnginePeer *peer, uint64_t now)
{
	peer->listed = other_node(peer->engine, peer->number);
	if (peer->listed)
		return;
	engine_peer_say_bare(peer, WIRE_PEER_BYE);
	engine_peer_close(peer);
	engine_session_end(peer);
	engine_remote_fail_waiting(peer, STATUS_NODE_UNKNOWN);
	engine_peer_settle(peer);
}

/* A peer for each node with which a session is to be kept. */
static int make_kept(Engine *engine)
{
	EnginePeer *peer;
	int result = 0, r;

	for (uint32_t i = 0; i < engine->n_nodes && engine->nodes[i] < engine->keep_below; i++) {
		r = engine_peer_get(engine, engine->nodes[i], &peer);
		if (r)
			result = r;
	}
	return result;
}

int engine_keep_sessions(Engine *engine, uint32_t below, uint64_t now)
{
	EnginePeer *peer = NULL;

	engine->keep_below = below;
	while ((peer = engine_peer_next(engine, peer ? peer->number : 0)))
		engine_timer_touch(peer);
	return make_kept(engine);
}

int engine_set_nodes(Engine *engine, const uint32_t *nodes, uint32_t n_nodes, uint64_t now)
{
	uint32_t *copy = calloc(MAX(n_nodes, 1u), sizeof(*copy));
	EnginePeer *peer = NULL;

	if (!copy)
		return -ENOMEM;
	if (n_nodes > 0)
		memcpy(copy, nodes, n_nodes * sizeof(*copy));
	free(engine->nodes);
	engine->nodes = copy;
	engine->n_nodes = without_repetition(engine, copy, n_nodes);
	while ((peer = engine_peer_next(engine, peer ? peer->number : 0))) {
		mark_peer(peer, now);
		engine_timer_touch(peer);
	}
	/* without memory: when the caller keeps them again */
	(void)make_kept(engine);
	return 0;
}
