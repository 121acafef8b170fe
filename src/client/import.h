/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_IMPORT_H
#define CLIENT_IMPORT_H

/*
 * Imports: a connection to a segment, its mapping, and the data path. Data calls are inline:
 *
 *	import = cw_enter(handle, CW_IMPORT_SEGMENT);
 *	cw_import_range(import, offset, len)	0 or STATUS_BAD_SIZE, STATUS_BAD_OFFSET
 *	r = cw_import_base(import, &base)	0, or why there is no memory: STATUS_REVOKED …
 *	… copy to or from base + offset …
 *	r = cw_import_ready(import);		was it connected all the time?
 *	cw_leave();
 *
 * The object lives until its handle is retired and the last reference is gone.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "client/handle.h"
#include "client/link.h"
#include "client/signal.h"
#include "wire/status.h"

struct cw_remote;

/* No status word is ever this: a generation never is all ones. */
#define CW_IMPORT_NEVER UINT64_MAX

struct cw_import {
	/* read by every data call; written only while no call can be inside, or in a forked child
	 */
	const _Atomic uint64_t *status; /* our word in the status page */
	uint64_t connected;		/* its value while all is well */
	uint8_t *_Atomic base;		/* the whole segment; NULL until first used by put or get */
	uint64_t size;
	struct wire_traffic *_Atomic traffic; /* our counts in the client page */
	uint32_t rights;
	bool foreign_endian; /* the exporter has the other byte order */
	struct cw_link *link;
	struct cw_remote *remote; /* of another node's segment (client/remote.h): base stays NULL */

	/* the interface's own, set through the handle by any thread */
	_Atomic uint32_t api_mode;
	_Atomic uint32_t api_epoch;

	_Atomic uint32_t discards; /* that have been told */
	_Atomic uint32_t refs;
	_Atomic cw_handle handle;     /* 0: disconnected */
	_Atomic bool forked;	      /* made by the parent: must connect anew */
	uint32_t parents_generation;  /* if so: its number there is this and index */
	pthread_mutex_t lock;	      /* of what follows */
	bool known;		      /* to the daemon, who is told of the end */
	struct cw_link *parents_link; /* in a child that has connected anew, else NULL */
	bool read_only;		      /* the memory must be mapped MAP_PRIVATE */
	bool sysv;		      /* the memory is a System V segment that must be attached */
	int shmid;
	uint64_t memory_offset; /* of the segment in the memory */
	int fd;			/* -1: not kept */
	uint32_t index;		/* at the daemon */
	uint32_t space, controller, node, id;
	uint64_t instance;
	uint32_t home_cell; /* in the segment, wherever that is; 0: an older daemon did not say */
	uint8_t *whole;	    /* the mapping behind base, also while base is NULL */
	uint32_t whole_slot, map_slot; /* in the client page */
	uint8_t *_Atomic map;	       /* the program's mapping, or NULL */
	_Atomic uint64_t map_offset, map_size;
	int map_prot;
	struct cw_cells cells;
};

/* Connects; to another node's segment it waits for that node's answer. rights: WIRE_READ |
 * WIRE_WRITE. Statuses as the daemon says, STATUS_NO_DAEMON, STATUS_INTERRUPTED (a signal handler
 * ran during the wait) … */
CW_EXPORT int cw_import_connect(uint32_t space, uint32_t controller, uint32_t node, uint32_t id,
	uint32_t rights, cw_handle *ret_handle);

/* STATUS_BAD_HANDLE; STATUS_IN_USE: mapped by cw_import_map(); STATUS_WRONG_STATE: its pollfd is in
 * use. Calls in other threads end first;
 * a thread that sleeps in cw_signal_wait() gets STATUS_BAD_HANDLE. */
CW_EXPORT int cw_import_disconnect(cw_handle handle);

/*
 * Maps [offset, offset + size) for the program. fixed: exactly at address, replacing what is there;
 * else address is a hint. prot: PROT_… within the rights. STATUS_BAD_HANDLE, STATUS_WRONG_STATE
 * (mapped already), STATUS_REVOKED, STATUS_NODE_LOST, STATUS_NO_RESOURCES, STATUS_MAP_FAILED.
 * Ranges and rights are the caller's to check. Another node's segment is mapped coherently: that
 * takes the right to a full userfaultfd on both nodes, else STATUS_MAP_FAILED.
 */
CW_EXPORT int cw_import_map(cw_handle handle, void *address, bool fixed, int prot, uint64_t offset,
	uint64_t size, void **ret_address);
/* Also forgets that put or get have mapped the segment. STATUS_BAD_HANDLE, STATUS_WRONG_STATE (not
 * mapped, by neither). */
CW_EXPORT int cw_import_unmap(cw_handle handle);
/* By the program; not by put or get. */
CW_EXPORT bool cw_import_is_mapped(cw_handle handle);

/* How a range of another node's segment, which is mapped, will be used: enum wire_advice; value: of
 * WIRE_ADVICE_HOLD, ns. Nothing to do for a segment of this node. STATUS_BAD_HANDLE,
 * STATUS_WRONG_STATE (not mapped), STATUS_BAD_REQUEST, STATUS_REVOKED … */
CW_EXPORT int cw_import_advise(
	cw_handle handle, uint32_t advice, uint64_t offset, uint64_t length, uint64_t value);

/* A reference that keeps the object when the handle ends; NULL: bad handle. */
CW_EXPORT struct cw_import *cw_import_ref(cw_handle handle);
CW_EXPORT void cw_import_put(struct cw_import *import);

/* On 4 or 8 bytes at a multiple of that, atomic to all who have the segment. STATUS_BAD_HANDLE,
 * STATUS_DENIED (both rights are needed), STATUS_BAD_SIZE, STATUS_BAD_OFFSET, STATUS_NOT_SUPPORTED
 * (the exporter has the other byte order), STATUS_REVOKED, STATUS_NODE_LOST; STATUS_BROKEN: it may
 * have been done or not. */
CW_EXPORT int cw_import_fetch_add(
	cw_handle handle, uint64_t offset, unsigned int width, uint64_t value, uint64_t *ret_old);
CW_EXPORT int cw_import_compare_swap(cw_handle handle, uint64_t offset, unsigned int width,
	uint64_t expected, uint64_t value, uint64_t *ret_old);

/* Why the fast check failed: 0 after all, having mended what fork broke, or the reason. */
CW_EXPORT int cw_import_check(struct cw_import *import);
/* Has nothing that was stored to the segment been discarded since this was told last, and may what
 * its map has shown be believed? STATUS_NODE_LOST: a node was lost, with the latest stores to pages
 * that it owned; take: that is told now and not again. Waits where the daemon is not sure yet;
 * otherwise three loads and a clock. */
CW_EXPORT int cw_import_believe(struct cw_import *import, bool take);
/* Maps the segment for put and get, if it is connected. */
CW_EXPORT int cw_import_attach(struct cw_import *import, uint8_t **ret_base);

static inline bool cw_import_connected(const struct cw_import *import)
{
	return atomic_load_explicit(import->status, memory_order_acquire) == import->connected;
}

/* Why it is not connected any more: of another node's segment it may be the node. */
static inline int cw_import_reason(const struct cw_import *import)
{
	uint32_t state = (uint32_t)atomic_load(import->status);

	return state == WIRE_IMPORT_NODE_LOST ? STATUS_NODE_LOST : STATUS_REVOKED;
}

/* 0, STATUS_REVOKED, STATUS_NODE_LOST, … Two loads when all is well. */
static inline int cw_import_ready(struct cw_import *import)
{
	if (likely(cw_import_connected(import) && !cw_link_suspect(import->link)))
		return 0;
	return cw_import_check(import);
}

static inline int cw_import_base(struct cw_import *import, uint8_t **ret_base)
{
	uint8_t *base = atomic_load_explicit(&import->base, memory_order_acquire);

	if (unlikely(!base))
		return cw_import_attach(import, ret_base);
	*ret_base = base;
	return 0;
}

static inline int cw_import_range(const struct cw_import *import, uint64_t offset, uint64_t len)
{
	if (likely(range_within(offset, len, import->size)))
		return 0;
	return len > import->size ? STATUS_BAD_SIZE : STATUS_BAD_OFFSET;
}

/* Counts a transfer, for people who watch. */
static inline void cw_import_count(const struct cw_import *import, bool put, uint64_t bytes)
{
	struct wire_traffic *t = atomic_load_explicit(&import->traffic, memory_order_relaxed);

	wire_count(put ? &t->puts : &t->gets, 1);
	wire_count(put ? &t->put_bytes : &t->get_bytes, bytes);
}

/* The same n bytes by their address behind base where they lie in the program's own map of this
 * segment, so that memmove(3) can see an overlap. */
static inline void *cw_import_unalias(
	const struct cw_import *import, uint8_t *base, void *p, uint64_t n)
{
	uint8_t *map = atomic_load_explicit(&import->map, memory_order_acquire);
	uintptr_t at = (uintptr_t)p - (uintptr_t)map;

	if (likely(!map || !range_within(at, n, import->map_size)))
		return p;
	return base + import->map_offset + at;
}

void cw_import_fork_child(void *object);

#endif
