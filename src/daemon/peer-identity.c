/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

/*
 * Whom another node may speak for, and who that is here. A number that has no meaning here becomes
 * nobody's, rather than somebody's by accident. A daemon that is not root's may lie about groups
 * without anybody there having them, so it is believed none.
 */

#define NOBODY 65534u

static bool is_allowed(const struct config *config, uint32_t node, uid_t uid)
{
	const char *at = config->allow_uids;
	struct config_allow word;
	bool named = false;

	while (config_allow_next(&at, &word) > 0) {
		if (word.node && word.node != node)
			continue;
		if (uid >= word.first && uid <= word.last)
			return true;
		named = true;
	}
	return !named;
}

static bool map_uid(const struct config *config, uint32_t node, uid_t *uid)
{
	const char *at = config->map_uids;
	struct config_map word;

	while (config_map_next(&at, &word) > 0) {
		if ((word.node && word.node != node) || word.theirs != *uid)
			continue;
		*uid = word.ours;
		return true;
	}
	return false;
}

/* Groups go with numbers that mean the same on both nodes. */
static void drop_groups(struct engine_identity *identity)
{
	identity->gid = NOBODY;
	identity->n_groups = 0;
}

static void squash(struct engine_identity *identity)
{
	if (identity->uid == 0) {
		identity->uid = NOBODY;
		drop_groups(identity);
	}
	if (identity->gid == 0)
		identity->gid = NOBODY;
	for (uint32_t i = 0; i < identity->n_groups; i++)
		if (identity->groups[i] == 0)
			identity->groups[i] = NOBODY;
}

int peer_identity_judge(
	const struct config *config, uint32_t node, uint32_t uid, struct engine_identity *identity)
{
	if (identity->uid == (uid_t)-1 || identity->gid == (gid_t)-1)
		return STATUS_DENIED;
	if (uid && identity->uid != uid)
		return STATUS_DENIED;
	if (!is_allowed(config, node, identity->uid))
		return STATUS_DENIED;
	if (uid)
		drop_groups(identity);
	if (map_uid(config, node, &identity->uid))
		drop_groups(identity);
	else if (config->root_squash)
		squash(identity);
	return 0;
}

int manager_guest_identity(void *userdata, EnginePeer *peer, struct engine_identity *identity)
{
	Manager *m = userdata;

	return peer_identity_judge(m->options.config, peer->number, peer->uid, identity);
}
