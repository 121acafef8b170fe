/* SPDX-License-Identifier: Apache-2.0 */
#include "client/export-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/coherent.h"
#include "client/offer.h"
#include "client/pollfd.h"
#include "client/route.h"
#include "client/side.h"
#include "wire/status.h"

static void release(struct cw_export *export)
{
	backing_put(export->backing);
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

/* create and destroy */

static void request_destroy(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_DESTROY};

	m.segment_destroy.segment = export->index;
	(void)cw_link_post(export->link, &m);
}

/* Whether the daemon itself said r, so that no more comes of the request; reply began as 0. */
static bool is_answer(const struct wire_message *m, const struct cw_reply *reply, int r)
{
	return !r || (reply->message.serial == m->serial && reply->message.status == (uint32_t)r);
}

int export_catch_up(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_MEMORY};
	_cleanup_free_ struct cw_reply *reply = NULL;
	int r;

	if (!export->backing->behind)
		return 0;
	reply = malloc(sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	m.segment_memory.segment = export->index;
	r = cw_link_call_for_fd(export->link, &m, reply);
	return r ? r : backing_move(export->backing, export->link, reply->fds[0], true);
}

static struct cw_export *sibling(const struct cw_backing *backing)
{
	return list_first(&backing->exports, struct cw_export, on_backing);
}

/* Ours, or what a test makes us claim. */
static uint32_t byte_order(void)
{
	const char *claim = secure_getenv("CAUSEWAY_TEST_BYTE_ORDER");

	if (claim)
		return strcmp(claim, "big") ? 0 : WIRE_SEGMENT_BIG_ENDIAN;
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? WIRE_SEGMENT_BIG_ENDIAN : 0;
}

static int request_create(struct cw_export *export, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_create.space = export->backing->rights.space;
	m.segment_create.mode = export->backing->rights.mode;
	m.segment_create.size = export->backing->size;
	m.segment_create.flags = (export->flags & ~WIRE_SEGMENT_BIG_ENDIAN) | byte_order();
	if (export->backing->shared)
		m.segment_create.address = (uintptr_t) export->backing->address;
	else if (sibling(export->backing))
		m.segment_create.same = sibling(export->backing)->index + 1;
	r = cw_link_call_for_fd(export->link, &m, reply);
	if (r)
		return r;
	if (reply->message.segment_create_reply.segment >= WIRE_CLIENT_EXPORTS) {
		fd_close(reply->fds[0]);
		return STATUS_VERSION;
	}
	export->index = reply->message.segment_create_reply.segment;
	*ret_fd = reply->fds[0];
	return 0;
}

void export_show_map(struct cw_export *export)
{
	cw_link_map_set(export->link, export->map_slot, export->backing->address,
		export->backing->size, 0, WIRE_SIDE_EXPORT, export->index);
}

/* The same, and has it watched if it must be. */
static int watch_map(struct cw_export *export)
{
	export_show_map(export);
	return coherent_watch(
		export->link, export->map_slot, WIRE_SIDE_EXPORT, export->index, false);
}

/* The last export of a backing takes its memory back. */
static void leave_backing(struct cw_export *export)
{
	struct cw_backing *backing = export->backing;
	bool wary = backing->handed_out;

	list_unlink(&export->on_backing);
	if (!list_empty(&backing->exports) || backing->shared || backing->made)
		return;
	/* where there is no memory for a copy: others can change some pages, instead of all */
	if (backing_move(backing, export->link, -1, wary) && wary)
		(void)backing_move(backing, export->link, -1, false);
}

static void unmake_segment(struct cw_export *export)
{
	cw_link_map_clear(export->link, export->map_slot);
	leave_backing(export);
	request_destroy(export);
}

/* Has the daemon make the segment, then moves the program's memory into it, unless it is there. */
static int make_segment(struct cw_export *export)
{
	struct cw_backing *backing = export->backing;
	int fd, r;

	r = cw_link_map_reserve(export->link, &export->map_slot);
	if (r < 0)
		return STATUS_NO_RESOURCES;
	r = request_create(export, &fd);
	if (r)
		goto clear;
	if (backing->made)
		r = backing_map(backing, fd, export->reserved);
	else if (list_empty(&backing->exports) && !backing->shared)
		r = backing_adopt(backing, export->link, fd, true);
	else
		fd_close(fd);
	if (r) {
		request_destroy(export);
		fd_close(fd);
		goto clear;
	}
	list_append(&backing->exports, &export->on_backing);
	r = watch_map(export);
	if (r)
		unmake_segment(export);
	return r;
clear:
	cw_link_map_clear(export->link, export->map_slot);
	return r;
}

/* With the backing locked. */
static int create_on_backing(struct cw_export *export)
{
	struct cw_backing *backing = export->backing;
	int r = 0;

	if (backing->made)
		r = 0;
	else if (list_empty(&backing->exports))
		r = backing_check(backing->address, backing->size, &backing->shared);
	else if (sibling(backing)->link != export->link)
		r = STATUS_BAD_ADDRESS; /* its node was lost, and the memory with it */
	else
		r = export_catch_up(sibling(backing));
	if (!r && !backing->made && !list_empty(&backing->exports))
		r = backing_look(backing);
	if (r)
		return r;
	cw_link_watch(export->link);
	r = make_segment(export);
	if (r)
		return r;
	r = cw_handle_new(CW_EXPORT_SEGMENT, export, &export->handle);
	if (r)
		unmake_segment(export);
	return r;
}

/* What a program exports, or what was made for it. */
struct source {
	void *address;
	uint64_t size;
	bool made, reserved;
};

static void source_free(const struct source *source)
{
	if (source->made)
		munmap(source->address, source->size);
}

/* What was made is the export's, or gone. */
static int create(const struct source *source, uint32_t space, uint32_t mode, uint32_t flags,
	cw_handle *ret_handle)
{
	_cleanup_(cw_export_put_p) struct cw_export *export = calloc(1, sizeof(*export));
	struct cw_backing_rights rights = {space, mode, geteuid(), getegid()};
	int r;

	if (!export) {
		source_free(source);
		return -ENOMEM;
	}
	export->refs = 1;
	export->cells.pipe = CW_NO_PIPE;
	export->flags = flags;
	export->reserved = source->reserved;
	list_init(&export->on_backing);
	pthread_mutex_init(&export->lock, NULL);
	route_flush_all();
	r = cw_link_get(&export->link);
	if (!r)
		r = backing_claim(
			source->address, source->size, &rights, source->made, &export->backing);
	if (r) {
		source_free(source);
		return r;
	}
	export->backing->made = source->made;
	r = create_on_backing(export);
	pthread_mutex_unlock(&export->backing->lock);
	if (r)
		return r;
	*ret_handle = export->handle;
	take_ptr(export);
	return 0;
}

int cw_export_create(uint32_t space, void *address, uint64_t size, uint32_t mode, uint32_t flags,
	cw_handle *ret_handle)
{
	const struct source source = {.address = address, .size = size};

	return create(&source, space, mode, flags, ret_handle);
}

int cw_export_make(uint32_t space, uint64_t size, uint32_t mode, uint32_t flags, bool reserve,
	void **ret_address, cw_handle *ret_handle)
{
	struct source source = {.size = size, .made = true, .reserved = reserve};
	int r;

	source.address = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (source.address == MAP_FAILED)
		return STATUS_NO_MEMORY;
	r = create(&source, space, mode, flags, ret_handle);
	if (!r)
		*ret_address = source.address;
	return r;
}

/* An export's memory is changed by none of its siblings while it is published or ends.
 * STATUS_BAD_HANDLE: it is closed, and may have no backing any more. */
static int object_lock(struct cw_export *export)
{
	pthread_mutex_lock(&export->lock);
	if (export->closed) {
		pthread_mutex_unlock(&export->lock);
		return STATUS_BAD_HANDLE;
	}
	pthread_mutex_lock(&export->backing->lock);
	return 0;
}

static void object_unlock(struct cw_export *export)
{
	pthread_mutex_unlock(&export->backing->lock);
	pthread_mutex_unlock(&export->lock);
}

/* Tells the daemon and waits for the answer: after it no importer's call succeeds any more. */
static void destroy_published(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_DESTROY};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	m.segment_destroy.segment = export->index;
	r = reply ? cw_link_call(export->link, &m, NULL, 0, reply) : -ENOMEM;
	/* Only what was not sent is said again. What was sent and not answered will be done, and a
	 * second one could meet the next segment of this index. */
	if (r < 0 || r == STATUS_NO_DAEMON)
		request_destroy(export);
}

/* Others keep what they have of it. */
static void request_leave(struct cw_export *export, bool end)
{
	struct wire_message m = {.type = WIRE_SEGMENT_LEAVE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	m.segment_leave.segment = export->index;
	m.segment_leave.end = end;
	r = reply ? cw_link_call(export->link, &m, NULL, 0, reply) : -ENOMEM;
	/* as in destroy_published() */
	if (r < 0 || r == STATUS_NO_DAEMON)
		(void)cw_link_post(export->link, &m);
}

static int unpublish_locked(struct cw_export *export);

static void destroy_locked(struct cw_export *export)
{
	bool shared = !export_is_alone(export->backing);

	cw_link_map_clear(export->link, export->map_slot);
	if (export->offered) {
		request_leave(export, export->ends_all);
		leave_backing(export);
		cw_cells_look(&export->cells);
		return;
	}
	/* where other exports keep the memory the importers of this one are left behind first */
	if (shared && export->published)
		(void)unpublish_locked(export);
	if (export->published)
		destroy_published(export);
	else
		request_destroy(export);
	leave_backing(export);
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

/* Its memory may be exported anew at once, though threads still sleep on its cell. */
static void end(struct cw_export *export)
{
	struct cw_backing *backing;

	pthread_mutex_lock(&export->lock);
	backing = export->backing;
	pthread_mutex_lock(&backing->lock);
	destroy_locked(export);
	export->backing = NULL;
	backing_release(backing);
	pthread_mutex_unlock(&export->lock);
}

static int export_end(cw_handle handle, bool ends_all)
{
	_cleanup_(cw_export_put_p) struct cw_export *export = cw_export_ref(handle);
	int r = export ? begin_destroy(export) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	export->ends_all = ends_all;
	route_flush_all();
	cw_handle_retire(handle);
	if (!export->forked)
		end(export);
	cw_export_put(export); /* the handle's */
	return 0;
}

int cw_export_destroy(cw_handle handle)
{
	return export_end(handle, true);
}

int cw_export_leave(cw_handle handle, bool end)
{
	return export_end(handle, end);
}

/* names and rights */

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

static int publish_locked(
	struct cw_export *export, uint32_t *id, const struct wire_access *access, uint32_t n_access)
{
	struct wire_message m = {.type = WIRE_SEGMENT_PUBLISH};
	_cleanup_free_ struct cw_reply *reply = calloc(1, sizeof(*reply));
	uint8_t tail[1024];
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_publish.segment = export->index;
	m.segment_publish.id = *id;
	m.segment_publish.n_access = n_access;
	r = encode_access(access, n_access, tail, sizeof(tail), &m);
	if (!r)
		r = export_catch_up(export);
	if (r)
		return r;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (!r || !is_answer(&m, reply, r))
		export->published = export->backing->handed_out = true;
	if (!r)
		export->id = *id = reply->message.segment_publish_reply.id;
	return r;
}

static int republish_locked(
	struct cw_export *export, const struct wire_access *access, uint32_t n_access)
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

/* The daemon has unpublished it; the memory that came with the answer, if any, is where to move. */
static int follow(struct cw_export *export, struct cw_reply *reply)
{
	struct cw_backing *backing = export->backing;

	if (!reply->message.segment_unpublish_reply.moved) {
		/* so nobody has it, unless a sibling's importers do */
		if (export_is_alone(backing))
			backing->handed_out = false;
		return 0;
	}
	backing->behind = true;
	if (reply->n_fds == 1)
		return backing_move(backing, export->link, reply->fds[0], true);
	fd_close_many(reply->fds, reply->n_fds);
	return export_catch_up(export);
}

static int unpublish_locked(struct cw_export *export)
{
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH};
	_cleanup_free_ struct cw_reply *reply = calloc(1, sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	r = export_catch_up(export);
	if (r)
		return r;
	m.segment_unpublish.segment = export->index;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (!r)
		r = follow(export, reply);
	else if (!is_answer(&m, reply, r))
		export->backing->behind = !export->backing->shared;
	else if (r == STATUS_NOT_PUBLISHED && export->published)
		r = 0; /* what a call before this one began is complete now */
	if (!r)
		export->published = false;
	return r;
}

int export_lock(cw_handle handle, struct cw_export **ret_export)
{
	struct cw_export *export = cw_export_ref(handle);
	int r;

	if (!export)
		return STATUS_BAD_HANDLE;
	if (export->forked) {
		cw_export_put(export);
		return STATUS_FORKED;
	}
	route_flush_all();
	r = object_lock(export);
	if (r) {
		cw_export_put(export);
		return r;
	}
	*ret_export = export;
	return 0;
}

void export_unlock(struct cw_export *export)
{
	object_unlock(export);
	cw_export_put(export);
}

int cw_export_publish(
	cw_handle handle, uint32_t *id, const struct wire_access *access, uint32_t n_access)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = publish_locked(export, id, access, n_access);
	export_unlock(export);
	return r;
}

int cw_export_republish(cw_handle handle, const struct wire_access *access, uint32_t n_access)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = republish_locked(export, access, n_access);
	export_unlock(export);
	return r;
}

int cw_export_unpublish(cw_handle handle)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = unpublish_locked(export);
	export_unlock(export);
	return r;
}

/* its memory, for others */

int cw_export_with_memory(
	cw_handle handle, int (*work)(void *address, uint64_t size, void *data), void *data)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = export_catch_up(export);
	if (!r)
		r = work(export->backing->address, export->backing->size, data);
	export_unlock(export);
	return r;
}

/* fork */

void cw_export_fork_child(void *object)
{
	struct cw_export *export = object;

	pthread_mutex_init(&export->lock, NULL);
	atomic_store(&export->refs, 1); /* other holders were threads of the parent */
	export->forked = true;
	cw_cells_fork_child(&export->cells);
}
