/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_OBJECT_H
#define SISCI_OBJECT_H

/*
 * What all objects of the interface have in common. A program's handle is a number of the table of
 * client/handle.h in a pointer's clothes: nothing is read through it, and a stale, foreign or
 * invented one is found out.
 *
 * Life: object_new() gives the program its handle and holds one reference. Every call takes another
 * (object_get) and gives it back (object_put). object_end() takes the handle away, ends the
 * object's callbacks and wakes who waits on it (SCI_ERR_CANCELLED); the last reference calls its
 * release(). What an object depends on it holds a reference to: its descriptor, a map its segment
 * …; how many depend on it (n_users) decides about BUSY.
 *
 * Locks: an object's own lock is for what its file says. No lock of this library is held while a
 * callback runs. After fork a child has none of these objects: every handle is stale there.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"
#include "client/handle.h"
#include <sisci_api.h>

#define OBJECT_ENDING 0x80000000u

enum sisci_kind {
	SISCI_DESC = 1,
	SISCI_LOCAL_SEGMENT,
	SISCI_REMOTE_SEGMENT,
	SISCI_MAP,
	SISCI_SEQUENCE,
	SISCI_DMA_QUEUE,
	SISCI_DMA_CHANNEL,
	SISCI_LOCAL_INTERRUPT,
	SISCI_REMOTE_INTERRUPT,
	SISCI_LOCAL_DATA_INTERRUPT,
	SISCI_REMOTE_DATA_INTERRUPT,
	SISCI_BLOCK_TRANSFER,
};

struct object {
	enum sisci_kind kind;
	_Atomic uint32_t refs;
	_Atomic uint32_t n_users; /* live objects that depend on this one; OBJECT_ENDING */
	_Atomic bool ended;
	_Atomic uint32_t n_waiting;		    /* threads in object_wait() */
	const _Atomic uint32_t *_Atomic waiting_on; /* where one of them sleeps */
	cw_handle handle;
	struct object *desc; /* its descriptor, referenced; NULL of a descriptor */
	struct list all;     /* every live object, in the order of making; under the list's lock */
	pthread_mutex_t lock;
	struct dispatch *dispatch; /* its callbacks; NULL: it has none. dispatch.h */
	/* NULL, or: does it keep its descriptor from being closed? */
	bool (*busy)(struct object *);
	void (*end)(struct object *);	  /* NULL, or the rest of object_end() */
	void (*release)(struct object *); /* frees what it has, and itself */
};

/* o is zeroed memory that begins with it; busy, end and release are set. desc: NULL for a
 * descriptor. -ENOMEM, -ENOSPC, STATUS_BAD_HANDLE (the descriptor is being closed): o is still the
 * caller's. After success it can be found: all else
 * comes before, but for dispatch_add(). */
int object_new(struct object *o, enum sisci_kind kind, struct object *desc);

/* With a reference, or NULL. */
void *object_get(const void *handle, enum sisci_kind kind);
void object_ref(struct object *o);
void object_put(struct object *o); /* NULL is fine */

/* For who depends on it, as long as it does, besides a reference: false once it ends. */
bool object_use(struct object *o);
void object_unuse(struct object *o);
/* Nobody may use it any more. False: somebody does, or it ends already. */
bool object_begin_end(struct object *o);

/* False: somebody else has ended it before. Waits until a callback of it that is running is over,
 * unless that is who calls. */
bool object_end(struct object *o);

/* What Remove…() and Disconnect…() of most objects are. SCI_ERR_ILLEGAL_PARAMETER. */
sci_error_t object_remove(const void *handle, enum sisci_kind kind);

/* The handle as the program knows it. */
static inline void *object_handle(const struct object *o)
{
	return (void *)(uintptr_t)o->handle;
}

/* Visits all live objects, the youngest first, with a reference each; visit may end them. */
void object_for_each(void (*visit)(struct object *o, void *data), void *data);

static inline void object_put_p(void *p)
{
	object_put(*(struct object **)p);
}
#define _cleanup_object_ __attribute__((cleanup(object_put_p)))

#endif
