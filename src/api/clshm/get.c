/* SPDX-License-Identifier: Apache-2.0 */
/* xp_shmget(): the segment of a key, made the first time. */
#include <xp_shm.h>

#include <stdlib.h>
#include "api/clshm/call.h"
#include "api/clshm/known.h"
#include "api/clshm/number.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/error.h"

#define MODE_MASK 0777

/* Would who makes a segment with this mode get it once more with it? The daemon has checked only
 * what was there. */
static bool is_repeatable(uint32_t mode)
{
	uint32_t wanted = (mode >> 6 | mode >> 3 | mode) & 7;

	return !(wanted & ~(mode >> 6));
}

static int ask(const struct session *s, const struct known_question *q, int flags, int *ret_shmid)
{
	struct wire_message m = {.type = WIRE_SHM_GET};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.shm_get = (struct wire_shm_get){.key = q->key,
		.size = q->size,
		.mode = q->mode,
		.flags = flags & IPC_EXCL ? WIRE_SHM_EXCLUSIVE : 0};
	r = session_call(s, &m, reply);
	if (!r)
		*ret_shmid = (int)reply->message.shm_get_reply.shmid;
	return r;
}

static int ask_and_remember(const struct known_question *q, int flags, int *ret_shmid)
{
	_cleanup_(session_put) struct session s = {0};
	uint64_t changes;
	bool known;
	int r;

	r = session_get(&s);
	if (r)
		return r;
	known = WIRE_SHM_PARTITION(q->key) == s.node.partition && !(flags & IPC_EXCL) &&
		is_repeatable(q->mode) && cw_link_shm_changes(s.link, &changes);
	r = ask(&s, q, flags, ret_shmid);
	if (!r && known)
		known_add(s.link, changes, q, *ret_shmid);
	return r;
}

static int get(key_t key, size_t size, int flags, int *ret_shmid)
{
	struct known_question q = {
		.key = (uint32_t)key, .mode = (uint32_t)flags & MODE_MASK, .size = size};

	if (!number_is_possible(key) || !size || flags & ~(MODE_MASK | IPC_CREAT | IPC_EXCL))
		return -EINVAL;
	if (!(flags & IPC_EXCL) && known_find(&q, ret_shmid) == 0)
		return 0;
	return ask_and_remember(&q, flags, ret_shmid);
}

CLSHM_API int xp_shmget(key_t key, size_t size, int shmflg)
{
	int shmid = -1, r;

	call_begin();
	r = get(key, size, shmflg, &shmid);
	return (int)call_end("xp_shmget", CODE_SEGMENT, r, shmid);
}
