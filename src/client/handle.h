/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_HANDLE_H
#define CLIENT_HANDLE_H

/*
 * Handles: what programs hold instead of pointers. A handle is generation, index and kind in one
 * word; the table never shrinks and generations never come again, so a stale, foreign or invented
 * handle is found out without touching anything it might point to.
 *
 * A data call marks the handle it works on in a slot of its thread, with plain stores only:
 *
 *	object = cw_enter(handle, kind);	NULL: bad handle
 *	… use object …
 *	cw_leave();
 *
 * cw_handle_retire() takes the handle out of the table, has the kernel run a barrier on every
 * thread (membarrier), and waits until no slot shows the handle. After it nobody uses the object.
 * Enter and leave do not nest, and nothing between them may sleep for long.
 */

#include <stdatomic.h>
#include <stdint.h>
#include "base/error.h"
#include "client/connection.h"

enum cw_kind {
	CW_CONTROLLER = 1,
	CW_EXPORT_SEGMENT = 2,
	CW_IMPORT_SEGMENT = 3,
	CW_LOCAL_MEMORY = 4,
	CW_TRANSFER = 5,
	CW_SISCI = 6, /* every object of that interface */
};

/* bits: kind 0 … 2, index 3 … 23, generation 24 … 63; never 0 */
typedef uint64_t cw_handle;

#define CW_HANDLE_CHUNK	 1024u
#define CW_HANDLE_CHUNKS 2048u

static inline uint32_t cw_handle_kind(cw_handle h)
{
	return h & 7;
}

static inline uint32_t cw_handle_index(cw_handle h)
{
	return (uint32_t)(h >> 3) & (CW_HANDLE_CHUNK * CW_HANDLE_CHUNKS - 1);
}

struct cw_handle_entry {
	_Atomic cw_handle handle; /* 0: retired or never used */
	void *object;
};

/* Entries by index / CW_HANDLE_CHUNK; a chunk once made stays. */
CW_EXPORT extern struct cw_handle_entry *_Atomic cw_handle_chunks[CW_HANDLE_CHUNKS];

struct cw_slot {
	_Atomic cw_handle busy; /* written by its thread only */
	struct cw_slot *_Atomic next;
	_Atomic uint32_t used; /* by a living thread */
};

CW_EXPORT extern __thread struct cw_slot *cw_slot_self __attribute__((tls_model("initial-exec")));

/* True where the kernel offers no membarrier: then every cw_enter() has a fence of its own. */
CW_EXPORT extern bool cw_enter_fences;

/* Gives the calling thread a slot. NULL: out of memory. */
CW_EXPORT struct cw_slot *cw_slot_get(void);

/* The object of a handle, without any protection against its end: for callers that hold a reference
 * or lock otherwise. */
static inline void *cw_handle_peek(cw_handle h, enum cw_kind kind)
{
	struct cw_handle_entry *chunk, *e;

	if (cw_handle_kind(h) != kind)
		return NULL;
	chunk = atomic_load_explicit(
		&cw_handle_chunks[cw_handle_index(h) / CW_HANDLE_CHUNK], memory_order_acquire);
	if (!chunk)
		return NULL;
	e = &chunk[cw_handle_index(h) % CW_HANDLE_CHUNK];
	if (atomic_load_explicit(&e->handle, memory_order_acquire) != h)
		return NULL;
	return e->object;
}

static inline void cw_leave(void)
{
	atomic_store_explicit(&cw_slot_self->busy, 0, memory_order_release);
}

static inline void *cw_enter(cw_handle h, enum cw_kind kind)
{
	struct cw_slot *slot = cw_slot_self;
	void *object;

	if (unlikely(!slot)) {
		slot = cw_slot_get();
		if (!slot)
			return NULL;
	}
	/* release: whoever sees this knows that the call before is over */
	atomic_store_explicit(&slot->busy, h, memory_order_release);
	/* the processor's part of this fence is the membarrier of cw_handle_retire() */
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(cw_enter_fences))
		atomic_thread_fence(memory_order_seq_cst);
	object = cw_handle_peek(h, kind);
	if (unlikely(!object))
		cw_leave();
	return object;
}

/* A handle for object. -ENOMEM, -ENOSPC (2 million live handles). */
CW_EXPORT int cw_handle_new(enum cw_kind kind, void *object, cw_handle *ret_handle);

/* Ends the handle and waits until no call uses it. True for the one caller who ended it. */
CW_EXPORT bool cw_handle_retire(cw_handle handle);

/* Calls visit for each live handle of this kind. In a forked child only, or with the table quiet.
 */
void cw_handle_for_each(enum cw_kind kind, void (*visit)(void *object));

/* fork: locks the table in the parent; frees it again in both; the child also forgets the slots of
 * threads that it does not have. */
void cw_handle_fork_prepare(void);
void cw_handle_fork_parent(void);
void cw_handle_fork_child(void);

#endif
