/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

/*
 * Who may do what: nodes, access lists and the classes of a mode.
 */

#define ACCESS_MODE_MAX 0666u

/* The nodes that there are: without peers, this one. */
static uint32_t node_count(const Engine *engine)
{
	return 1;
}

static bool node_exists(const Engine *engine, uint32_t node)
{
	return node == engine->node;
}

bool engine_node_resolve(const Engine *engine, uint32_t node, uint32_t *ret_node)
{
	if (node == 0)
		node = engine->node;
	if (!node_exists(engine, node))
		return false;
	*ret_node = node;
	return true;
}

int engine_access_check(const Engine *engine, const struct wire_access *access, uint32_t n_access)
{
	uint32_t node;

	if (n_access > ENGINE_ACCESS_MAX || n_access > node_count(engine))
		return STATUS_BAD_ACCESS_LIST;
	for (uint32_t i = 0; i < n_access; i++) {
		if (!engine_node_resolve(engine, access[i].node, &node))
			return STATUS_BAD_ACCESS_LIST;
		if (access[i].mode > ACCESS_MODE_MAX)
			return STATUS_BAD_ACCESS_LIST;
	}
	return 0;
}

static int mode_for_node(const EngineSegment *segment, uint32_t node, uint32_t *ret_mode)
{
	const Engine *engine = segment->owner->engine;
	uint32_t listed;

	if (segment->n_access == 0) {
		*ret_mode = segment->mode;
		return 0;
	}
	for (uint32_t i = 0; i < segment->n_access; i++) {
		if (!engine_node_resolve(engine, segment->access[i].node, &listed) ||
			listed != node)
			continue;
		*ret_mode = segment->access[i].mode;
		return 0;
	}
	return STATUS_NOT_LISTED;
}

static bool in_group(const struct engine_identity *identity, gid_t gid)
{
	if (identity->gid == gid)
		return true;
	for (uint32_t i = 0; i < identity->n_groups; i++)
		if (identity->groups[i] == gid)
			return true;
	return false;
}

/* Classes exclude each other: an owner whom the owner's digit refuses is refused. */
static uint32_t digit_of_class(
	uint32_t mode, const EngineSegment *segment, const struct engine_identity *identity)
{
	if (identity->uid == segment->uid)
		return mode >> 6;
	if (in_group(identity, segment->gid))
		return mode >> 3;
	return mode;
}

int engine_access_rights(const EngineSegment *segment, uint32_t node,
	const struct engine_identity *identity, uint32_t *ret_rights)
{
	uint32_t mode;
	int r;

	r = mode_for_node(segment, node, &mode);
	if (r)
		return r;
	*ret_rights = WIRE_READ | WIRE_WRITE;
	if (identity->uid != 0)
		*ret_rights &= digit_of_class(mode, segment, identity);
	return 0;
}

bool engine_segment_visible(const EngineSegment *segment, const EngineClient *client)
{
	uint32_t rights;

	if (segment->owner == client || client->identity.uid == 0)
		return true;
	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return false;
	if (engine_access_rights(segment, client->engine->node, &client->identity, &rights))
		return false;
	return rights != 0;
}
