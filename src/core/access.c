/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

/*
 * Who may do what: nodes, access lists and the classes of a mode.
 */

#define ACCESS_MODE_MAX 0666u

bool engine_node_resolve(const Engine *engine, uint32_t node, uint32_t *ret_node)
{
	if (node == 0)
		node = engine->node;
	if (!engine_has_node(engine, node))
		return false;
	*ret_node = node;
	return true;
}

int engine_access_check(const Engine *engine, const struct wire_access *access, uint32_t n_access)
{
	uint32_t node;

	if (n_access > ENGINE_ACCESS_MAX || n_access > engine_count_nodes(engine))
		return STATUS_BAD_ACCESS_LIST;
	for (uint32_t i = 0; i < n_access; i++) {
		if (!engine_node_resolve(engine, access[i].node, &node))
			return STATUS_BAD_ACCESS_LIST;
		if (access[i].mode > ACCESS_MODE_MAX)
			return STATUS_BAD_ACCESS_LIST;
	}
	return 0;
}

/* Nodes may have left the list since. */
bool engine_access_record_valid(const struct wire_access *access, uint32_t n_access)
{
	if (n_access > ENGINE_ACCESS_MAX)
		return false;
	for (uint32_t i = 0; i < n_access; i++)
		if (access[i].mode > ACCESS_MODE_MAX)
			return false;
	return true;
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

/* Of clshm, the creator's classes are his as well. */
bool engine_access_is_owner(const EngineSegment *segment, uid_t uid)
{
	return uid == segment->uid || (segment->shm && uid == segment->shm->cuid);
}

static bool is_of_group(const EngineSegment *segment, const struct engine_identity *identity)
{
	return in_group(identity, segment->gid) ||
	       (segment->shm && in_group(identity, segment->shm->cgid));
}

/* Classes exclude each other: an owner whom the owner's digit refuses is refused. */
static uint32_t digit_of_class(
	uint32_t mode, const EngineSegment *segment, const struct engine_identity *identity)
{
	if (engine_access_is_owner(segment, identity->uid))
		return mode >> 6;
	if (is_of_group(segment, identity))
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

int engine_access_judge(Engine *engine, uint32_t node, const struct engine_identity *identity,
	uint32_t space, uint32_t id, uint64_t instance, uint32_t rights,
	EngineSegment **ret_segment)
{
	bool group = space == WIRE_SPACE_SISCI_GROUP;
	EngineSegment *segment = ids_find(&engine->ids, group ? WIRE_SPACE_SISCI : space, id);
	uint32_t allowed;
	int r;

	if (!segment || (instance && segment->instance != instance))
		return STATUS_NOT_FOUND;
	r = engine_access_rights(segment, node, identity, &allowed);
	if (r)
		return r;
	/* asking for nothing opens nothing to those who may nothing: a connection can also signal
	 */
	if (rights & ~allowed || !allowed)
		return STATUS_DENIED;
	r = engine_offer_judge(segment, space);
	if (r == 0)
		r = engine_shm_judge(segment, rights);
	if (r)
		return r;
	*ret_segment = segment;
	return 0;
}

bool engine_segment_visible_from(
	const EngineSegment *segment, uint32_t node, const struct engine_identity *identity)
{
	uint32_t rights;

	if (identity->uid == 0)
		return true;
	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return false;
	if (engine_access_rights(segment, node, identity, &rights))
		return false;
	return rights != 0;
}

bool engine_segment_visible(const EngineSegment *segment, const EngineClient *client)
{
	return segment->owner == client ||
	       engine_segment_visible_from(segment, client->engine->node, &client->identity);
}
