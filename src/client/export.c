/* SPDX-License-Identifier: Apache-2.0 */
#include "client/export.h"

#include <search.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "client/budget.h"
#include "client/pollfd.h"
#include "memory/adopt.h"
#include "memory/memfd.h"
#include "wire/status.h"

/* All exports, from before their memory is touched; and the adopter that works for all of them. */
static struct {
	pthread_mutex_t lock;
	void *ranges; /* tsearch tree, ordered by address; overlapping ranges count as equal */
	MemoryAdopter *adopter;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void release(struct cw_export *export)
{
	export->fd = budget_close(export->fd);
	cw_pollfd_close(&export->cells);
	cw_cells_unmap(&export->cells);
	cw_link_put(export->link);
	pthread_mutex_destroy(&export->lock);
	free(export);
}

void cw_export_put(struct cw_export *export)
{
	if (export && atomic_fetch_sub(&export->refs, 1) == 1)
		release(export);
}

DEFINE_CLEANUP(struct cw_export *, cw_export_put);

struct cw_export *cw_export_ref(cw_handle handle)
{
	struct cw_export *export = cw_enter(handle, CW_EXPORT_SEGMENT);

	if (!export)
		return NULL;
	atomic_fetch_add(&export->refs, 1);
	cw_leave();
	return export;
}

/* --- memory ------------------------------------------------------------------------------------------- */

static int adopter_get(struct cw_link *link, MemoryAdopter **ret_adopter)
{
	int r = 0;

	pthread_mutex_lock(&all.lock);
	if (!all.adopter)
		r = memory_adopter_new(link->uffd_device, &all.adopter);
	*ret_adopter = all.adopter;
	pthread_mutex_unlock(&all.lock);
	return r;
}

static int memory_status(int outcome)
{
	switch (outcome) {
	case MEMORY_OK:
		return STATUS_OK;
	case MEMORY_BAD_ADDRESS:
		return STATUS_BAD_ADDRESS;
	case MEMORY_WRONG_KIND:
	case MEMORY_BUSY:
		return STATUS_NOT_ADOPTABLE;
	case MEMORY_NO_RIGHT:
	case -ENOMEM:
	case -ENOSPC:
		return STATUS_NO_MEMORY;
	default:
		return outcome < 0 ? outcome : STATUS_NOT_ADOPTABLE;
	}
}

static int adopt(struct cw_export *export, int fd)
{
	MemoryAdopter *adopter;
	struct stat st;
	int r;

	r = adopter_get(export->link, &adopter);
	if (r < 0)
		return memory_status(r);
	if (fstat(fd, &st) < 0)
		return negative_errno();
	export->device = st.st_dev;
	export->inode = st.st_ino;
	r = memfd_reserve(fd, 0, export->size);
	if (!r)
		r = memory_adopt(adopter, export->address, export->size, fd);
	return memory_status(r);
}

/* Moves the content to other memory: fd, which is consumed, or private memory (fd -1). */
static int move(struct cw_export *export, int fd)
{
	MemoryAdopter *adopter;
	struct stat st;
	int r;

	r = adopter_get(export->link, &adopter);
	if (!r && fd >= 0) {
		r = fstat(fd, &st) < 0 ? negative_errno() : memfd_reserve(fd, 0, export->size);
	}
	if (!r)
		r = memory_move(adopter, export->address, export->size, export->device, export->inode,
			export->fd, fd);
	if (r || fd < 0) {
		fd_close(fd);
		return memory_status(r);
	}
	export->device = st.st_dev;
	export->inode = st.st_ino;
	export->fd = budget_close(export->fd);
	if (budget_take())
		export->fd = fd;
	else
		fd_close(fd);
	return 0;
}

/* --- create and destroy ------------------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
	const struct cw_export *x = a, *y = b;
	uintptr_t xs = (uintptr_t)x->address, ys = (uintptr_t)y->address;

	if (xs + x->size <= ys)
		return -1;
	return ys + y->size <= xs;
}

/* Enters the export in the tree unless its range touches another's. */
static int claim_range(struct cw_export *export)
{
	struct cw_export **found;
	uintptr_t end;
	int r;

	if (__builtin_add_overflow((uintptr_t)export->address, export->size, &end))
		return STATUS_BAD_SIZE;
	pthread_mutex_lock(&all.lock);
	found = tsearch(export, &all.ranges, compare_ranges);
	r = !found ? -ENOMEM : *found == export ? 0 : STATUS_BAD_ADDRESS;
	pthread_mutex_unlock(&all.lock);
	return r;
}

static void unclaim_range(struct cw_export *export)
{
	if (export->forked)
		return;
	pthread_mutex_lock(&all.lock);
	tdelete(export, &all.ranges, compare_ranges);
	pthread_mutex_unlock(&all.lock);
}

static void request_destroy(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_DESTROY};

	m.segment_destroy.segment = export->index;
	(void)cw_link_post(export->link, &m);
}

static int request_create(struct cw_export *export, uint32_t space, uint32_t mode, uint32_t flags,
	int *ret_fd)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_create.space = space;
	m.segment_create.mode = mode;
	m.segment_create.size = export->size;
	m.segment_create.flags = flags;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (r)
		return r;
	if (reply->n_fds != 1 || reply->message.segment_create_reply.segment >= WIRE_CLIENT_EXPORTS) {
		fd_close(reply->n_fds ? reply->fds[0] : -1);
		return STATUS_VERSION;
	}
	export->index = reply->message.segment_create_reply.segment;
	*ret_fd = reply->fds[0];
	return 0;
}

/* Has the daemon make the segment, then moves the program's memory into it. */
static int make_segment(struct cw_export *export, uint32_t space, uint32_t mode, uint32_t flags)
{
	int fd, r;

	r = cw_link_map_reserve(export->link, &export->map_slot);
	if (r < 0)
		return STATUS_NO_RESOURCES;
	r = request_create(export, space, mode, flags, &fd);
	if (r)
		goto clear;
	r = adopt(export, fd);
	if (r) {
		request_destroy(export);
		fd_close(fd);
		goto clear;
	}
	if (budget_take())
		export->fd = fd;
	else
		fd_close(fd);
	cw_link_map_set(export->link, export->map_slot, export->address, export->size, 0,
		WIRE_SIDE_EXPORT, export->index);
	return 0;
clear:
	cw_link_map_clear(export->link, export->map_slot);
	return r;
}

static void unmake_segment(struct cw_export *export)
{
	cw_link_map_clear(export->link, export->map_slot);
	(void)move(export, -1);
	request_destroy(export);
}

static int create_claimed(struct cw_export *export, uint32_t space, uint32_t mode, uint32_t flags)
{
	enum memory_kind kind;
	int r;

	r = memory_status(memory_classify(export->address, export->size, &kind));
	if (r)
		return r;
	if (kind != MEMORY_PRIVATE)
		return STATUS_NOT_ADOPTABLE;
	cw_link_watch(export->link);
	r = make_segment(export, space, mode, flags);
	if (r)
		return r;
	r = cw_handle_new(CW_EXPORT_SEGMENT, export, &export->handle);
	if (r)
		unmake_segment(export);
	return r;
}

int cw_export_create(uint32_t space, void *address, uint64_t size, uint32_t mode, uint32_t flags,
	cw_handle *ret_handle)
{
	_cleanup_(cw_export_put_p) struct cw_export *export = calloc(1, sizeof(*export));
	int r;

	if (!export)
		return -ENOMEM;
	export->refs = 1;
	export->fd = -1;
	export->cells.pipe = CW_NO_PIPE;
	export->address = address;
	export->size = size;
	export->flags = flags;
	pthread_mutex_init(&export->lock, NULL);
	r = cw_link_get(&export->link);
	if (r)
		return r;
	r = claim_range(export);
	if (r)
		return r;
	r = create_claimed(export, space, mode, flags);
	if (r) {
		unclaim_range(export);
		return r;
	}
	*ret_handle = export->handle;
	take_ptr(export);
	return 0;
}

/* Tells the daemon and waits for the answer: after it no importer's call succeeds any more. */
static void destroy_published(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_DESTROY};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	m.segment_destroy.segment = export->index;
	if (!reply || cw_link_call(export->link, &m, NULL, 0, reply) < 0)
		(void)cw_link_post(export->link, &m);
}

static void destroy_locked(struct cw_export *export)
{
	cw_link_map_clear(export->link, export->map_slot);
	if (export->published)
		destroy_published(export);
	else
		request_destroy(export);
	(void)move(export, -1);
	export->published = false;
	cw_cells_look(&export->cells);
}

/* Nobody else can use or destroy it from here on. */
static int begin_destroy(struct cw_export *export)
{
	int r = 0;

	pthread_mutex_lock(&export->lock);
	if (export->closed)
		r = STATUS_BAD_HANDLE;
	else if (export->cells.pollfd_refs)
		r = STATUS_IN_USE;
	else
		atomic_store(&export->closed, true);
	pthread_mutex_unlock(&export->lock);
	return r;
}

int cw_export_destroy(cw_handle handle)
{
	_cleanup_(cw_export_put_p) struct cw_export *export = cw_export_ref(handle);
	int r = export ? begin_destroy(export) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	cw_handle_retire(handle);
	pthread_mutex_lock(&export->lock);
	if (!export->forked)
		destroy_locked(export);
	pthread_mutex_unlock(&export->lock);
	unclaim_range(export);
	cw_export_put(export); /* the handle's */
	return 0;
}

/* --- names and rights ------------------------------------------------------------------------------------ */

static int encode_access(const struct wire_access *access, uint32_t n, uint8_t *buf, size_t size,
	struct wire_message *m)
{
	uint8_t *at = buf;

	for (uint32_t i = 0; i < n; i++)
		at = wire_put_access(at, buf + size, &access[i]);
	if (!at)
		return STATUS_BAD_ACCESS_LIST;
	m->tail = buf;
	m->tail_size = (size_t)(at - buf);
	return 0;
}

static int publish_locked(struct cw_export *export, uint32_t *id, const struct wire_access *access,
	uint32_t n_access)
{
	struct wire_message m = {.type = WIRE_SEGMENT_PUBLISH};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	uint8_t tail[1024];
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_publish.segment = export->index;
	m.segment_publish.id = *id;
	m.segment_publish.n_access = n_access;
	r = encode_access(access, n_access, tail, sizeof(tail), &m);
	if (!r)
		r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (r)
		return r;
	export->published = true;
	export->id = *id = reply->message.segment_publish_reply.id;
	return 0;
}

static int republish_locked(struct cw_export *export, const struct wire_access *access, uint32_t n_access)
{
	struct wire_message m = {.type = WIRE_SEGMENT_REPUBLISH};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	uint8_t tail[1024];
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_republish.segment = export->index;
	m.segment_republish.n_access = n_access;
	r = encode_access(access, n_access, tail, sizeof(tail), &m);
	return r ? r : cw_link_call(export->link, &m, NULL, 0, reply);
}

static int unpublish_locked(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_unpublish.segment = export->index;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (r)
		return r;
	export->published = false;
	if (!reply->message.segment_unpublish_reply.moved || reply->n_fds != 1)
		return 0;
	return move(export, reply->fds[0]);
}

/* Takes the export and its lock: 0, STATUS_BAD_HANDLE, STATUS_FORKED. */
static int export_lock(cw_handle handle, struct cw_export **ret_export)
{
	struct cw_export *export = cw_export_ref(handle);

	if (!export)
		return STATUS_BAD_HANDLE;
	if (export->forked) {
		cw_export_put(export);
		return STATUS_FORKED;
	}
	pthread_mutex_lock(&export->lock);
	*ret_export = export;
	return 0;
}

static void export_unlock(struct cw_export *export)
{
	pthread_mutex_unlock(&export->lock);
	cw_export_put(export);
}

int cw_export_publish(
	cw_handle handle, uint32_t *id, const struct wire_access *access, uint32_t n_access)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = export->closed ? STATUS_BAD_HANDLE : publish_locked(export, id, access, n_access);
	export_unlock(export);
	return r;
}

int cw_export_republish(cw_handle handle, const struct wire_access *access, uint32_t n_access)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = export->closed ? STATUS_BAD_HANDLE : republish_locked(export, access, n_access);
	export_unlock(export);
	return r;
}

int cw_export_unpublish(cw_handle handle)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = export->closed ? STATUS_BAD_HANDLE : unpublish_locked(export);
	export_unlock(export);
	return r;
}

void cw_export_fork_prepare(void)
{
	pthread_mutex_lock(&all.lock);
}

void cw_export_fork_parent(void)
{
	pthread_mutex_unlock(&all.lock);
}

static void inherit(const void *node, VISIT visit, void *unused)
{
	struct cw_export *export = *(struct cw_export *const *)node;

	if (visit != preorder && visit != leaf)
		return;
	pthread_mutex_init(&export->lock, NULL);
	atomic_store(&export->refs, 1); /* other holders were threads of the parent */
	export->forked = true;
	if (export->inode)
		(void)memory_make_private(
			export->address, export->size, export->device, export->inode, export->fd);
}

void cw_export_fork_child(void)
{
	twalk_r(all.ranges, inherit, NULL);
	/* what the child exports has nothing to do with the parent's; the tree's nodes stay allocated */
	all.ranges = NULL;
	memory_adopter_free(all.adopter);
	all.adopter = NULL;
	pthread_mutex_unlock(&all.lock);
}
