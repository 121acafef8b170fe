/* SPDX-License-Identifier: Apache-2.0 */
/* The partitions: part_getid(), part_getcount(), part_getlist(), part_gethostname(),
 * part_getpart(). */
#include "api/clshm/partitions.h"

#include <stdlib.h>
#include <xp_shm.h>
#include "api/clshm/call.h"
#include "api/clshm/number.h"
#include "api/clshm/session.h"
#include "api/clshm/text.h"
#include "base/cleanup.h"
#include "wire/status.h"

static int read_list(const struct wire_message *reply, struct partitions *p)
{
	const uint8_t *at = reply->tail, *end = at + reply->tail_size;

	if (reply->shm_partition_list_reply.n > ELEMENTS(p->list))
		return STATUS_VERSION;
	for (p->n = 0; p->n < reply->shm_partition_list_reply.n; p->n++) {
		struct wire_shm_partition *one = &p->list[p->n];

		at = wire_get_shm_partition(at, end, one);
		if (!at || one->partition >= MAX_PARTITIONS)
			return STATUS_VERSION;
	}
	return 0;
}

int partitions_get(struct partitions *ret_partitions)
{
	struct wire_message m = {.type = WIRE_SHM_PARTITION_LIST};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	r = session_ask(&m, reply);
	return r ? r : read_list(&reply->message, ret_partitions);
}

CLSHM_API partid_t part_getid(void)
{
	uint32_t partition = 0;
	int r;

	call_begin();
	r = session_partition(&partition);
	return (partid_t)call_end("part_getid", CODE_PARTITION, r, (intptr_t)partition);
}

CLSHM_API int part_getcount(void)
{
	struct partitions p = {0};
	int r;

	call_begin();
	r = partitions_get(&p);
	return (int)call_end("part_getcount", CODE_PARTITION, r, p.n);
}

static int get_list(partid_t *list, int max, int *ret_n)
{
	partid_t ids[MAX_PARTITIONS];
	struct partitions p;
	int r;

	r = partitions_get(&p);
	if (r)
		return r;
	if (max < 0 || p.n > (unsigned int)max)
		return -EINVAL;
	for (unsigned int i = 0; i < p.n; i++)
		ids[i] = (partid_t)p.list[i].partition;
	r = user_write(list, ids, p.n * sizeof(*ids));
	if (!r)
		*ret_n = (int)p.n;
	return r;
}

CLSHM_API int part_getlist(partid_t *list, int max)
{
	int n = 0, r;

	call_begin();
	r = get_list(list, max, &n);
	return (int)call_end("part_getlist", CODE_PARTITION, r, n);
}

static int get_host(partid_t part, char *name, int max)
{
	struct partitions p;
	int r;

	if (part < 0 || max <= 0)
		return -EINVAL;
	r = partitions_get(&p);
	if (r)
		return r;
	for (unsigned int i = 0; i < p.n; i++)
		if (p.list[i].partition == (uint32_t)part)
			return text_write(name, max, p.list[i].host);
	return -EINVAL;
}

CLSHM_API int part_gethostname(partid_t part, char *name, int max)
{
	int r;

	call_begin();
	r = get_host(part, name, max);
	return (int)call_end("part_gethostname", CODE_PARTITION, r, 0);
}

CLSHM_API int part_gethostnames(partid_t part, char *name, int max)
{
	return part_gethostname(part, name, max);
}

CLSHM_API partid_t part_getpart(int shmid)
{
	int r;

	call_begin();
	r = number_is_possible(shmid) ? 0 : -EINVAL;
	return (partid_t)call_end("part_getpart", CODE_SEGMENT, r, SHMID_TO_PARTITION(shmid));
}
