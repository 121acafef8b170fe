/* SPDX-License-Identifier: Apache-2.0 */
/* Other memory of the program for a segment that keeps its own. */
#include "client/export-private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "client/budget.h"
#include "client/coherent.h"
#include "wire/status.h"

/* A descriptor of the segment's memory; *ret_own: to close. */
static int memory_fd(struct cw_export *export, int *ret_fd, bool *ret_own)
{
	struct wire_message m = {.type = WIRE_SEGMENT_MEMORY};
	_cleanup_free_ struct cw_reply *reply = NULL;
	int r;

	*ret_own = export->backing->fd < 0;
	*ret_fd = export->backing->fd;
	if (!*ret_own)
		return 0;
	reply = malloc(sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	m.segment_memory.segment = export->index;
	r = cw_link_call_for_fd(export->link, &m, reply);
	if (!r)
		*ret_fd = reply->fds[0];
	return r;
}

/* What was made holds nothing yet, or nothing any more that anybody wants. */
static int give_up(struct cw_backing *from, struct cw_link *link)
{
	return from->made ? backing_unmap(from) : backing_move(from, link, -1, true);
}

static int take_back(struct cw_backing *from, struct cw_link *link, int fd)
{
	return from->made ? backing_map(from, fd, false) : backing_adopt(from, link, fd, false);
}

/*
 * The segment keeps its memory, which importers have mapped and go on using: the old range goes
 * back to being private with what it holds, then the new one's content is written into the memory
 * and that is mapped there. If that fails the old range goes back; what importers stored meanwhile
 * is lost.
 */
static int exchange(struct cw_export *export, struct cw_backing *to)
{
	struct cw_backing *from = export->backing;
	bool handed_out = from->handed_out; /* wherever it is mapped */
	_cleanup_close_ int again = -1;
	bool own;
	int fd, r;

	r = memory_fd(export, &fd, &own);
	if (r)
		return r;
	again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own)
		fd_close(fd);
	if (again < 0)
		return STATUS_NO_RESOURCES;
	/* where threads cannot be held there is no way back either */
	r = backing_adopt_try(to, export->link);
	if (!r)
		r = give_up(from, export->link);
	if (r)
		return r;
	from->fd = budget_close(from->fd);
	r = backing_adopt(to, export->link, again, from->made);
	if (r && take_back(from, export->link, again))
		return r;
	(r ? from : to)->handed_out = handed_out;
	take_fd(&again);
	return r;
}

/* Both backings are locked; nobody else knows of to. */
static void change_backing(struct cw_export *export, struct cw_backing *to)
{
	list_unlink(&export->on_backing);
	list_append(&to->exports, &export->on_backing);
	export->backing = to;
	export_show_map(export);
}

/* Other nodes that have it mapped wait meanwhile. */
static int exchange_held(struct cw_export *export, struct cw_backing *to)
{
	int r = coherent_hold(export->link, export->index, true);

	if (r)
		return r;
	r = exchange(export, to);
	if (!r)
		change_backing(export, to);
	(void)coherent_hold(export->link, export->index, false);
	return r;
}

static int rebind_locked(struct cw_export *export, void *address, uint64_t size)
{
	struct cw_backing *from = export->backing, *to;
	bool shared;
	int r;

	if (size != from->size)
		return STATUS_BAD_SIZE;
	if (address == from->address)
		return 0;
	if ((uintptr_t)address % (size_t)sysconf(_SC_PAGESIZE))
		return STATUS_BAD_ADDRESS;
	/* others need the memory where it is */
	if (from->shared || !export_is_alone(from))
		return STATUS_NO_RESOURCES;
	r = export_catch_up(export);
	if (!r)
		r = backing_check(address, size, &shared);
	if (!r && shared)
		r = STATUS_NOT_ADOPTABLE;
	if (!r)
		r = backing_claim(address, size, &from->rights, true, &to);
	if (r)
		return r;
	r = exchange_held(export, to);
	if (r) {
		backing_release(to);
		return r;
	}
	/* object_unlock() will unlock the new one */
	backing_release(from);
	return 0;
}

int cw_export_rebind(cw_handle handle, void *address, uint64_t size)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = rebind_locked(export, address, size);
	export_unlock(export);
	return r;
}
