/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/budget.h"
#include "client/coherent.h"
#include "client/connect.h"
#include "client/pollfd.h"
#include "client/remote.h"
#include "client/route.h"
#include "client/side.h"

#define NO_SLOT UINT32_MAX

/* Where imports count that a forked child has not connected anew: nobody looks. */
static struct wire_traffic uncounted;

static void release_memory(struct cw_import *import)
{
	if (import->whole_slot != NO_SLOT)
		cw_link_map_clear(import->link, import->whole_slot);
	if (import->map_slot != NO_SLOT)
		cw_link_map_clear(import->link, import->map_slot);
	import->whole_slot = import->map_slot = NO_SLOT;
	if (import->map)
		munmap(import->map, import->map_size);
	if (import->whole)
		munmap(import->whole, import->size);
	import->base = NULL;
	import->whole = NULL;
	import->fd = budget_close(import->fd);
	cw_pollfd_close(&import->cells);
	cw_cells_unmap(&import->cells);
}

/* The daemon hears of the end last: until then nobody else gets the cell that a thread of ours may
 * still be waiting on. */
void cw_import_put(struct cw_import *import)
{
	if (!import || atomic_fetch_sub(&import->refs, 1) != 1)
		return;
	release_memory(import);
	connection_end(import->link, import->known, import->index, remote_free(import->remote));
	cw_link_put(import->link);
	cw_link_put(import->parents_link);
	pthread_mutex_destroy(&import->lock);
	free(import);
}

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

struct cw_import *cw_import_ref(cw_handle handle)
{
	struct cw_import *import = cw_enter(handle, CW_IMPORT_SEGMENT);

	if (!import)
		return NULL;
	atomic_fetch_add(&import->refs, 1);
	cw_leave();
	return import;
}

/* memory */

static int map_error(int error)
{
	switch (error) {
	case ENOMEM:
		return STATUS_NO_MEMORY;
	case EAGAIN:
	case ENFILE:
	case EMFILE:
		return STATUS_NO_RESOURCES;
	default:
		return STATUS_MAP_FAILED;
	}
}

/* A part of a System V segment: all of it is attached, and that part mapped once more. */
static void *attach_sysv(struct cw_import *import, void *address, int flags, int prot,
	uint64_t offset, uint64_t size)
{
	uint8_t *all = shmat(import->shmid, NULL, import->read_only ? SHM_RDONLY : 0);
	int move = MREMAP_MAYMOVE | (flags & MAP_FIXED ? MREMAP_FIXED : 0);
	struct shmid_ds ds;
	void *part = MAP_FAILED;

	if (all == (void *)-1)
		return MAP_FAILED;
	if (shmctl(import->shmid, IPC_STAT, &ds) < 0 || !range_within(offset, size, ds.shm_segsz))
		errno = EINVAL;
	else
		part = mremap(all + offset, 0, size, move, address);
	if (part != MAP_FAILED && mprotect(part, size, prot) < 0) {
		munmap(part, size);
		part = MAP_FAILED;
	}
	shmdt(all);
	return part;
}

/* Nobody can use it yet. */
static void *place_memory(
	struct cw_import *import, int fd, void *address, int flags, uint64_t offset, uint64_t size)
{
	if (!import->rights)
		return mmap(address, size, PROT_NONE, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (import->sysv)
		return attach_sysv(
			import, address, flags, PROT_NONE, import->memory_offset + offset, size);
	return mmap(address, size, PROT_NONE,
		flags | (import->read_only ? MAP_PRIVATE : MAP_SHARED), fd,
		(off_t)(import->memory_offset + offset));
}

/* Maps a part of the segment, enters it in the client page, and has it watched if need be. */
static int map_memory(struct cw_import *import, int fd, void *address, int flags, int prot,
	uint64_t offset, uint64_t size, void **ret_address, uint32_t *ret_slot)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint32_t slot;
	void *p;
	int r;

	r = cw_link_map_reserve(import->link, &slot);
	if (r < 0)
		return STATUS_NO_RESOURCES;
	p = place_memory(import, fd, address, flags, offset, size);
	if (p == MAP_FAILED) {
		r = map_error(errno);
		cw_link_map_clear(import->link, slot);
		return r;
	}
	/* what is mapped is whole pages */
	cw_link_map_set(import->link, slot, p, (size + page - 1) & ~(page - 1), offset,
		WIRE_SIDE_IMPORT, import->index);
	if (import->rights)
		r = coherent_watch(
			import->link, slot, WIRE_SIDE_IMPORT, import->index, import->remote);
	if (!r && prot && import->rights && mprotect(p, size, prot) < 0)
		r = map_error(errno);
	if (r) {
		cw_link_map_clear(import->link, slot);
		munmap(p, size);
		return r;
	}
	*ret_address = p;
	*ret_slot = slot;
	return 0;
}

/* Maps the whole segment, for put and get when they come. */
static int map_whole(struct cw_import *import, int fd)
{
	int prot = import->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *whole;
	int r;

	r = map_memory(import, fd, NULL, 0, prot, 0, import->size, &whole, &import->whole_slot);
	if (r)
		return r;
	import->whole = whole;
	return 0;
}

/* The memory's descriptor: the one kept at connect, or the daemon's once more (*ret_own: to close);
 * -1 for a connection without rights, which has none. */
static int memory_fd(struct cw_import *import, int *ret_fd, bool *ret_own)
{
	if (import->fd >= 0 || !import->rights) {
		*ret_fd = import->fd;
		*ret_own = false;
		return 0;
	}
	*ret_own = true;
	return coherent_memory(import->link, import->index, &import->read_only, ret_fd);
}

/* connecting */

/* Asks the daemon at the other end of link. */
static int request_connection(const struct cw_import *import, struct cw_link *link,
	bool interruptible, struct connection *ret_connection)
{
	const struct wire_import_connect what = {
		.space = import->space,
		.controller = import->controller,
		.node = import->node,
		.id = import->id,
		.rights = import->rights,
	};

	return connection_make(link, &what, interruptible, ret_connection);
}

/* *ret_remote: NULL for a segment of this node. On failure the connection has been ended. */
static int make_remote(
	const struct cw_import *import, const struct connection *c, struct cw_remote **ret_remote)
{
	int r;

	*ret_remote = NULL;
	r = c->remote ? remote_new(c, import->controller, ret_remote) : 0;
	if (r)
		connection_end(c->link, true, c->got.import, c->route);
	return r;
}

static int make_connection(const struct cw_import *import, struct cw_link *link, bool interruptible,
	struct connection *ret_connection, struct cw_remote **ret_remote)
{
	int r = request_connection(import, link, interruptible, ret_connection);

	return r ? r : make_remote(import, ret_connection, ret_remote);
}

/* The connection becomes the import's; its descriptor stays the caller's. remote: NULL or with the
 * connection's route. */
static void enter_connection(
	struct cw_import *import, const struct connection *c, struct cw_remote *remote)
{
	const struct wire_import_connect_reply *got = &c->got;

	import->link = c->link;
	import->remote = remote;
	import->index = got->import;
	import->instance = got->instance;
	import->size = got->size;
	import->read_only = got->flags & WIRE_IMPORT_READONLY;
	import->sysv = got->flags & WIRE_IMPORT_SYSV;
	import->shmid = (int)got->shmid;
	import->memory_offset = got->offset;
	import->foreign_endian = got->flags & WIRE_IMPORT_FOREIGN_ENDIAN;
	import->cells.own = got->cell;
	import->home_cell = got->home_cell;
	import->known = true;
	import->traffic = &import->link->client_page->imports[got->import];
	import->discards = coherent_discards(import->link, got->import);
	import->status = &import->link->status_page->imports[got->import];
	/* other threads of a child that connects anew believe in it from here on */
	__atomic_store_n(&import->connected,
		WIRE_IMPORT_WORD(got->generation, WIRE_IMPORT_CONNECTED), __ATOMIC_RELEASE);
}

/* Keeps the descriptor for later, or maps the segment now where the process has few of them. */
static int keep_memory(struct cw_import *import, int fd)
{
	int r;

	if (fd < 0)
		return 0;
	if (budget_take()) {
		import->fd = fd;
		return 0;
	}
	r = map_whole(import, fd);
	fd_close(fd);
	return r;
}

static struct cw_import *import_new(void)
{
	struct cw_import *import = calloc(1, sizeof(*import));

	if (!import)
		return NULL;
	import->refs = 1;
	import->fd = -1;
	import->cells.pipe = CW_NO_PIPE;
	import->whole_slot = import->map_slot = NO_SLOT;
	pthread_mutex_init(&import->lock, NULL);
	return import;
}

static int connect_import(struct cw_import *import)
{
	struct cw_remote *remote;
	struct connection c;
	int r;

	r = make_connection(import, import->link, true, &c, &remote);
	if (r)
		return r;
	enter_connection(import, &c, remote);
	return keep_memory(import, c.fd);
}

int cw_import_connect(uint32_t space, uint32_t controller, uint32_t node, uint32_t id,
	uint32_t rights, cw_handle *ret_handle)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = import_new();
	cw_handle handle;
	int r;

	if (!import)
		return -ENOMEM;
	import->space = space;
	import->controller = controller;
	import->node = node;
	import->id = id;
	import->rights = rights;
	r = cw_link_get(&import->link);
	if (r)
		return r;
	cw_link_watch(import->link);
	route_flush_all();
	r = connect_import(import);
	if (!r)
		r = cw_handle_new(CW_IMPORT_SEGMENT, import, &handle);
	if (r)
		return r;
	import->handle = handle;
	*ret_handle = handle;
	take_ptr(import);
	return 0;
}

int import_adopt_connection(struct cw_link *link, uint32_t space, uint32_t id,
	const struct wire_import_connect_reply *got, int fd, cw_handle *ret_handle)
{
	const struct connection c = {.link = link, .fd = fd, .got = *got};
	_cleanup_(cw_import_put_p) struct cw_import *import = import_new();
	cw_handle handle;
	int r;

	if (!import || got->import >= WIRE_CLIENT_IMPORTS) {
		connection_end(link, true, got->import, NULL);
		cw_link_put(link);
		fd_close(fd);
		return import ? STATUS_VERSION : -ENOMEM;
	}
	import->space = space;
	import->controller = WIRE_CONTROLLER_LOOPBACK;
	import->id = id;
	import->rights = got->rights;
	enter_connection(import, &c, NULL);
	r = keep_memory(import, fd);
	if (!r)
		r = cw_handle_new(CW_IMPORT_SEGMENT, import, &handle);
	if (r)
		return r;
	import->handle = handle;
	*ret_handle = handle;
	take_ptr(import);
	return 0;
}

/* Nobody else can map it, ask for its pollfd or disconnect it from here on. */
static int begin_disconnect(struct cw_import *import)
{
	int r = 0;

	pthread_mutex_lock(&import->lock);
	if (!import->handle)
		r = STATUS_BAD_HANDLE;
	else if (import->map)
		r = STATUS_IN_USE;
	else if (import->cells.pollfd_refs)
		r = STATUS_WRONG_STATE;
	else
		import->handle = 0;
	pthread_mutex_unlock(&import->lock);
	return r;
}

int cw_import_disconnect(cw_handle handle)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	int r = import ? begin_disconnect(import) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	cw_handle_retire(handle);
	if (import->remote)
		remote_settle(import);
	pthread_mutex_lock(&import->lock);
	if (!import->forked)
		cw_cells_look(&import->cells);
	pthread_mutex_unlock(&import->lock);
	cw_import_put(import); /* the handle's */
	return 0;
}

/* trouble, and first use */

/* Instances begin anew with a node's next life. */
static bool is_same_segment(
	const struct cw_import *import, const struct connection *c, const struct cw_remote *remote)
{
	if (c->got.instance != import->instance || !remote != !import->remote)
		return false;
	return remote ? remote->incarnation == import->remote->incarnation
		      : c->link->node.hello.incarnation == import->link->node.hello.incarnation;
}

/* The map that the child has inherited goes on being watched; it is believed as long as the new
 * connection has the memory, too. */
static int keep_map(struct cw_import *import, const struct connection *c)
{
	bool read_only;
	int fd, r;

	if (!import->remote || !import->map || !import->rights)
		return 0;
	r = coherent_memory(c->link, c->got.import, &read_only, &fd);
	if (!r)
		fd_close(fd);
	return r;
}

static int replace(struct cw_import *import, const struct connection *c, struct cw_remote *remote,
	int (*keep)(struct cw_import *import, const struct connection *c))
{
	int r = is_same_segment(import, c, remote)
			? cw_pollfd_renew(c->link, c->got.import, import->cells.pipe)
			: STATUS_NOT_FOUND;

	if (!r && keep)
		r = keep(import, c);
	if (r)
		return r;
	cw_cells_unmap(&import->cells);
	import->whole_slot = import->map_slot = NO_SLOT;
	/* another thread of this child may still be looking at the parent's status page; at that of
	 * his parent nobody is */
	cw_link_put(import->parents_link);
	import->parents_link = import->link;
	if (remote)
		remote->parents = import->remote;
	enter_connection(import, c, remote);
	import->forked = false;
	return 0;
}

int import_replace(struct cw_import *import, const struct connection *c,
	int (*keep)(struct cw_import *import, const struct connection *c))
{
	struct cw_remote *remote;
	int r;

	fd_close(c->fd);
	r = make_remote(import, c, &remote);
	if (!r) {
		r = replace(import, c, remote, keep);
		if (r)
			connection_end(c->link, true, c->got.import, remote_free(remote));
	}
	if (r)
		cw_link_put(c->link);
	return r;
}

/* In a child: connects over the child's own link, with the child's rights, to the very same
 * segment. The parent's mapping of it, inherited, stays in use. */
static int reconnect(struct cw_import *import)
{
	struct cw_link *link;
	struct connection c;
	int r;

	r = cw_link_get(&link);
	if (r)
		return r;
	cw_link_watch(link);
	r = request_connection(import, link, false, &c);
	if (r)
		cw_link_put(link);
	else
		r = import_replace(import, &c, keep_map);
	return r <= 0 || r == STATUS_NO_DAEMON ? r : STATUS_REVOKED;
}

/* Is it connected, after all? */
static int connection_locked(struct cw_import *import)
{
	if (import->forked) {
		int r = reconnect(import);

		if (r)
			return r;
	}
	if (cw_link_suspect(import->link) && cw_link_is_lost(import->link))
		return STATUS_NODE_LOST;
	return cw_import_connected(import) ? 0 : cw_import_reason(import);
}

int cw_import_check(struct cw_import *import)
{
	int r;

	pthread_mutex_lock(&import->lock);
	r = connection_locked(import);
	pthread_mutex_unlock(&import->lock);
	return r;
}

static int attach_locked(struct cw_import *import, uint8_t **ret_base)
{
	bool own;
	int fd, r;

	r = connection_locked(import);
	if (!r && !import->whole) {
		r = memory_fd(import, &fd, &own);
		if (r)
			return r;
		r = map_whole(import, fd);
		if (own)
			fd_close(fd);
	}
	if (!r)
		import->base = *ret_base = import->whole;
	return r;
}

int cw_import_attach(struct cw_import *import, uint8_t **ret_base)
{
	int r;

	pthread_mutex_lock(&import->lock);
	r = attach_locked(import, ret_base);
	pthread_mutex_unlock(&import->lock);
	return r;
}

void cw_import_fork_child(void *object)
{
	struct cw_import *import = object;

	pthread_mutex_init(&import->lock, NULL);
	/* not that of a parent that has not connected anew itself */
	if (import->connected != CW_IMPORT_NEVER)
		import->parents_generation = (uint32_t)(import->connected >> 32);
	import->forked = true;
	import->known = false;
	import->connected = CW_IMPORT_NEVER;
	cw_cells_fork_child(&import->cells);
	import->traffic = &uncounted;
	/* other holders were threads of the parent */
	atomic_store(&import->refs, remote_is_inside(import) ? 2 : 1);
}

/* the program's map */

/* What a daemon that is too old says of another node's segment, or one that does not find it. */
static int map_status(const struct cw_import *import, int r)
{
	if (!import->remote || r < 0)
		return r;
	switch (r) {
	case STATUS_NOT_SUPPORTED:
	case STATUS_BAD_REQUEST:
	case STATUS_WRONG_STATE:
	case STATUS_VERSION:
		return STATUS_MAP_FAILED;
	default:
		return r;
	}
}

static int import_map_locked(struct cw_import *import, void *address, bool fixed, int prot,
	uint64_t offset, uint64_t size, void **ret_address)
{
	void *map;
	bool own;
	int fd, r;

	if (import->map)
		return STATUS_WRONG_STATE;
	r = connection_locked(import);
	if (!r)
		r = map_status(import, memory_fd(import, &fd, &own));
	if (r)
		return r;
	r = map_memory(import, fd, address, fixed ? MAP_FIXED : 0, prot, offset, size, &map,
		&import->map_slot);
	if (own)
		fd_close(fd);
	if (r)
		return r;
	import->map_offset = offset;
	import->map_size = size;
	import->map_prot = prot;
	import->map = *ret_address = map;
	return 0;
}

int import_map_in_place(struct cw_import *import)
{
	uint64_t offset = import->map_offset, size = import->map_size;
	uint8_t *address = import->map;
	void *map;
	int r;

	import->map = NULL;
	r = import_map_locked(import, address, true, import->map_prot, offset, size, &map);
	/* what is left there is the parent's, or nothing */
	if (r)
		munmap(address, size);
	return r;
}

int cw_import_map(cw_handle handle, void *address, bool fixed, int prot, uint64_t offset,
	uint64_t size, void **ret_address)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	int r;

	if (!import)
		return STATUS_BAD_HANDLE;
	pthread_mutex_lock(&import->lock);
	r = import->handle == handle
		    ? import_map_locked(import, address, fixed, prot, offset, size, ret_address)
		    : STATUS_BAD_HANDLE;
	pthread_mutex_unlock(&import->lock);
	return r;
}

/* Of another node's segment: have put or get been here since the last time? */
static bool untouch(struct cw_import *import)
{
	return import->remote && atomic_exchange(&import->remote->touched, false);
}

int cw_import_unmap(cw_handle handle)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	int r;

	if (!import)
		return STATUS_BAD_HANDLE;
	pthread_mutex_lock(&import->lock);
	r = import->map || import->base || untouch(import) ? 0 : STATUS_WRONG_STATE;
	import->base = NULL; /* calls that read it before go on with the mapping, which stays */
	if (import->map) {
		if (import->map_slot != NO_SLOT)
			cw_link_map_clear(import->link, import->map_slot);
		/* a watched map is removed only when the daemon has heard of it, if there is one */
		if (cw_link_suspect(import->link))
			(void)cw_link_is_lost(import->link);
		munmap(import->map, import->map_size);
		import->map = NULL;
		import->map_slot = NO_SLOT;
	}
	pthread_mutex_unlock(&import->lock);
	return r;
}

bool cw_import_is_mapped(cw_handle handle)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	bool mapped;

	if (!import)
		return false;
	pthread_mutex_lock(&import->lock);
	mapped = import->map;
	pthread_mutex_unlock(&import->lock);
	return mapped;
}
