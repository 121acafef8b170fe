/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <assert.h>
#include <string.h>

/*
 * Who asks, as it travels between nodes: a record identity and its groups.
 */

size_t engine_identity_encode(
	const struct engine_identity *identity, uint8_t ret_tail[ENGINE_IDENTITY_SIZE])
{
	struct wire_identity record = {
		.uid = identity->uid,
		.gid = identity->gid,
		.pid = (uint32_t)identity->pid,
		.n_groups = identity->n_groups,
	};
	uint8_t *at = ret_tail;
	const uint8_t *end = ret_tail + ENGINE_IDENTITY_SIZE;

	assert(identity->n_groups <= ENGINE_GROUPS_MAX);
	memcpy(record.command, identity->command, sizeof(record.command));
	at = wire_put_identity(at, end, &record);
	for (uint32_t i = 0; i < identity->n_groups; i++)
		at = wire_put_group(at, end, &(struct wire_group){.gid = identity->groups[i]});
	assert(at);
	return (size_t)(at - ret_tail);
}

int engine_identity_decode(const void *tail, size_t size, struct engine_identity *ret_identity)
{
	const uint8_t *at = tail, *end = at + size;
	struct engine_identity identity = {};
	struct wire_identity record;
	struct wire_group group;

	if (size < ENGINE_IDENTITY_RECORD)
		return STATUS_BAD_REQUEST;
	at = wire_get_identity(at, end, &record);
	if (!at || record.n_groups > ENGINE_GROUPS_MAX || record.pid > INT32_MAX)
		return STATUS_BAD_REQUEST;
	identity.uid = record.uid;
	identity.gid = record.gid;
	identity.pid = (pid_t)record.pid;
	identity.n_groups = record.n_groups;
	memcpy(identity.command, record.command, sizeof(identity.command));
	for (uint32_t i = 0; i < record.n_groups; i++) {
		at = wire_get_group(at, end, &group);
		if (!at)
			return STATUS_BAD_REQUEST;
		identity.groups[i] = group.gid;
	}
	if (at != end)
		return STATUS_BAD_REQUEST;
	*ret_identity = identity;
	return 0;
}
