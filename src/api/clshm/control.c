/* SPDX-License-Identifier: Apache-2.0 */
/* xp_shmctl(). */
#include <xp_shm.h>

#include <stdarg.h>
#include <stdlib.h>
#include "api/clshm/call.h"
#include "api/clshm/number.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/usercopy.h"
#include "wire/status.h"

#define MODE_MASK 0777

static time_t seconds(uint64_t ns)
{
	return (time_t)(ns / NSEC_PER_SEC);
}

static void fill(const struct wire_shm_row *row, struct shmid_ds *ds)
{
	unsigned int mode = row->mode & MODE_MASK;

	if (row->flags & WIRE_SHM_REMOVED)
		mode |= SHM_DEST;
	if (row->flags & WIRE_SHM_LOCKED)
		mode |= SHM_LOCKED;
	*ds = (struct shmid_ds){
		.shm_perm = {.__key = (key_t)row->key,
			.uid = row->uid,
			.gid = row->gid,
			.cuid = row->cuid,
			.cgid = row->cgid,
			.mode = (unsigned short)mode},
		.shm_segsz = row->size,
		.shm_atime = seconds(row->attached),
		.shm_dtime = seconds(row->detached),
		.shm_ctime = seconds(row->changed),
		.shm_cpid = (pid_t)row->cpid,
		.shm_lpid = (pid_t)row->lpid,
		.shm_nattch = row->n_attached,
	};
}

static int get_state(int shmid, struct shmid_ds *buf)
{
	struct wire_message m = {.type = WIRE_SHM_STAT, .shm_stat = {.shmid = (uint32_t)shmid}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	struct wire_shm_row row;
	struct shmid_ds ds;
	const uint8_t *at;
	int r;

	if (!reply)
		return -ENOMEM;
	r = session_ask(&m, reply);
	if (r)
		return r;
	at = reply->message.tail;
	if (!wire_get_shm_row(at, at + reply->message.tail_size, &row))
		return STATUS_VERSION;
	fill(&row, &ds);
	return user_write(buf, &ds, sizeof(ds));
}

static int command(int shmid, enum wire_shm_command command)
{
	struct wire_message m = {.type = WIRE_SHM_CONTROL,
		.shm_control = {.shmid = (uint32_t)shmid, .command = command}};

	return session_tell(&m);
}

static int set_rights(int shmid, const struct shmid_ds *buf)
{
	struct wire_message m = {.type = WIRE_SHM_CONTROL};
	struct shmid_ds ds;
	int r;

	r = user_read(&ds, buf, sizeof(ds));
	if (r < 0)
		return r;
	m.shm_control = (struct wire_shm_control){.shmid = (uint32_t)shmid,
		.command = WIRE_SHM_SET,
		.uid = ds.shm_perm.uid,
		.gid = ds.shm_perm.gid,
		.mode = ds.shm_perm.mode & MODE_MASK};
	return session_tell(&m);
}

static int control(int shmid, int cmd, struct shmid_ds *buf)
{
	if (!number_is_possible(shmid))
		return -EINVAL;
	switch (cmd) {
	case IPC_RMID:
		return command(shmid, WIRE_SHM_REMOVE);
	case IPC_AUTORMID:
		return command(shmid, WIRE_SHM_AUTOREMOVE);
	case IPC_STAT:
		return get_state(shmid, buf);
	case IPC_SET:
		return set_rights(shmid, buf);
	case SHM_LOCK:
		return command(shmid, WIRE_SHM_LOCK);
	case SHM_UNLOCK:
		return command(shmid, WIRE_SHM_UNLOCK);
	default:
		return -EINVAL;
	}
}

CLSHM_API int xp_shmctl(int shmid, int cmd, ...)
{
	struct shmid_ds *buf = NULL;
	va_list arguments;
	int r;

	/* nothing else has a third argument */
	if (cmd == IPC_STAT || cmd == IPC_SET) {
		va_start(arguments, cmd);
		buf = va_arg(arguments, struct shmid_ds *);
		va_end(arguments);
	}
	call_begin();
	r = control(shmid, cmd, buf);
	return (int)call_end("xp_shmctl", CODE_SEGMENT, r, 0);
}
