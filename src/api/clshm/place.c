/* SPDX-License-Identifier: Apache-2.0 */
/* Where a segment's memory comes from: part_setpmo(), xp_shmbind(), part_getnode(). */
#include <xp_shm.h>

#include <shmbind.h>
#include <stdio.h>
#include <stdlib.h>
#include "api/clshm/call.h"
#include "api/clshm/number.h"
#include "api/clshm/session.h"
#include "api/clshm/text.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "placement/mask.h"
#include "placement/plan.h"

static int place_key(key_t key, pmo_handle_t handle, pmo_type_t type)
{
	struct wire_message m = {.type = WIRE_SHM_PLACE};
	struct nodeset nodes = {0};
	uint32_t own;
	int r;

	if (!number_is_possible(key) || (type != __PMO_ANY && type != __PMO_MLD))
		return -EINVAL;
	if (type == __PMO_MLD) {
		if (handle < 0 || handle >= (int)NODES_MAX)
			return -EINVAL;
		nodeset_add(&nodes, (unsigned int)handle);
	}
	r = session_partition(&own);
	if (r)
		return r;
	if (WIRE_SHM_PARTITION(key) != own)
		return -EINVAL;
	m.shm_place = (struct wire_shm_place){.key = (uint32_t)key, .order = PLACE_FIRSTREF};
	nodeset_put_bytes(&nodes, m.shm_place.nodes);
	return session_tell(&m);
}

CLSHM_API int part_setpmo(key_t key, pmo_handle_t handle, pmo_type_t type)
{
	int r;

	call_begin();
	r = place_key(key, handle, type);
	return (int)call_end("part_setpmo", CODE_PLACE, r, 0);
}

/* At most one order and one of hard and soft. */
static int read_policy(int policy, struct wire_shm_place *place)
{
	switch (policy & ~(MEM_HARDBIND | MEM_SOFTBIND)) {
	case 0:
	case MEM_FIRSTREF:
		place->order = PLACE_FIRSTREF;
		break;
	case MEM_STRIPE:
		place->order = PLACE_STRIPE;
		break;
	case MEM_MOSTFREE:
		place->order = PLACE_MOSTFREE;
		break;
	default:
		return -EINVAL;
	}
	place->hard = !!(policy & MEM_HARDBIND);
	return place->hard && policy & MEM_SOFTBIND ? -EINVAL : 0;
}

static int place_segment(int shmid, int policy, const unsigned long *mask, int length)
{
	struct wire_message m = {.type = WIRE_SHM_PLACE};
	struct nodeset nodes;
	bool beyond;
	int r;

	r = read_policy(policy, &m.shm_place);
	if (!r && length <= 0)
		r = -EINVAL;
	if (!r)
		r = mask_read(mask, length, &nodes, &beyond);
	if (!r && (beyond || nodeset_empty(&nodes) || !number_is_possible(shmid)))
		r = -EINVAL;
	if (r)
		return r;
	m.shm_place.shmid = (uint32_t)shmid;
	nodeset_put_bytes(&nodes, m.shm_place.nodes);
	return session_tell(&m);
}

CLSHM_API int xp_shmbind(int shmid, int policy, unsigned long *mask, int mask_len)
{
	int r;

	call_begin();
	r = place_segment(shmid, policy, mask, mask_len);
	return (int)call_end("xp_shmbind", CODE_PLACE, r, 0);
}

static int find_node(int shmid, char *path, int max)
{
	struct wire_message m = {.type = WIRE_SHM_NODE, .shm_node = {.shmid = (uint32_t)shmid}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	char text[64];
	int r;

	if (!reply)
		return -ENOMEM;
	if (!number_is_possible(shmid) || max <= 0)
		return -EINVAL;
	r = session_ask(&m, reply);
	if (r)
		return r;
	snprintf(text, sizeof(text), "/sys/devices/system/node/node%u",
		reply->message.shm_node_reply.node);
	return text_write(path, max, text);
}

CLSHM_API int part_getnode(int shmid, char *path, int max)
{
	int r;

	call_begin();
	r = find_node(shmid, path, max);
	return (int)call_end("part_getnode", CODE_SEGMENT, r, 0);
}
