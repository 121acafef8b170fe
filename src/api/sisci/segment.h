/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_SEGMENT_H
#define SISCI_SEGMENT_H

/*
 * Local and remote segments. Memory of either is mapped as one piece at first use and stays so
 * until the object is freed; maps (map.h) and DMA are places in it.
 */

#include "api/sisci/object.h"
#include "api/sisci/work.h"
#include "client/export.h"
#include "client/import.h"
#include "client/offer.h"

struct group; /* group.h */

struct local_segment {
	struct object object;
	uint32_t id;
	uint64_t asked; /* bytes, as at create */
	uint64_t size;	/* rounded up to pages: what ranges are checked against */
	unsigned int flags;
	bool is_private;
	cw_handle side;		/* an export, or an attacher's import */
	struct cw_import *peek; /* that import's object, referenced; NULL of an owner */
	bool force;		/* when it ends: connections to it, too */
	_Atomic bool available;
	_Atomic bool prepared;
	uint8_t *_Atomic base; /* NULL: EMPTY, and no memory yet */

	sci_cb_local_segment_t callback;
	void *callback_arg;
	const struct wire_ring *ring;
	uint32_t seen; /* events taken; under the object's lock */
};

/* The bytes [offset, offset + size) for DMA and copies: SCI_ERR_OUT_OF_RANGE; ILLEGAL_OPERATION: it
 * has no memory yet. Prepared or not is for the caller to ask. */
sci_error_t local_segment_range(
	struct local_segment *s, uint64_t offset, uint64_t size, uint8_t **ret_address);

enum remote_state { REMOTE_CONNECTING, REMOTE_CONNECTED, REMOTE_FAILED };

struct remote_segment {
	struct object object;
	unsigned int node_id; /* SISCI's */
	uint32_t id;
	uint64_t size;
	_Atomic uint32_t state;	  /* enum remote_state: of an asynchronous connect */
	_Atomic cw_handle import; /* 0: a group, or not connected */
	struct cw_import *peek;	  /* the import's object, referenced; there before the import is */
	struct group *group;	  /* of a multicast connection, else NULL */
	uint8_t *_Atomic base;	  /* all of it, mapped; NULL: not yet */

	struct work connecting; /* of an asynchronous connect */
	sci_error_t failure;	/* how it ended */
	_Atomic uint32_t kicks; /* who waits for that sleeps here */

	/* what has been told; under the object's lock */
	uint32_t seen; /* of the note */
	bool told_connect, told_leave, told_end;

	sci_cb_remote_segment_t callback;
	void *callback_arg;
};

/* SCI_ERR_OK while data can be moved: SCI_ERR_SEGMENT_NOT_CONNECTED (an asynchronous connect that
 * is not done), SCI_ERR_NOT_CONNECTED (its owner or node is gone, or cut off). */
sci_error_t remote_segment_ready(struct remote_segment *s);
/* SCI_ERR_OUT_OF_RANGE, against the size rounded up to pages. */
sci_error_t remote_segment_range(const struct remote_segment *s, uint64_t offset, uint64_t size);

/*
 * Moves bytes, and returns when they are there (write) or here (read): for DMA and copies. Of
 * another node's by the fabric, else by memcpy. SCI_ERR_TRANSFER_FAILED; ranges are the caller's.
 * Of a group: written to all members.
 */
sci_error_t remote_segment_write(
	struct remote_segment *s, uint64_t offset, const void *from, uint64_t size);
sci_error_t remote_segment_read(struct remote_segment *s, uint64_t offset, void *to, uint64_t size);

/* Shorthand: a reference, or NULL. */
static inline struct local_segment *local_segment_get(sci_local_segment_t segment)
{
	return object_get(segment, SISCI_LOCAL_SEGMENT);
}

static inline struct remote_segment *remote_segment_get(sci_remote_segment_t segment)
{
	return object_get(segment, SISCI_REMOTE_SEGMENT);
}

/* --- between the files of segments --- */

/* Connects, again and again if the user wants timeouts to mean something (CAUSEWAY_SISCI_CONNECT).
 */
sci_error_t connect_patiently(
	sci_error_t (*attempt)(void *data), void *data, unsigned int milliseconds);

/* Its events by callback from now on, if flags say so. */
sci_error_t local_segment_listen(struct local_segment *s);
sci_error_t remote_segment_listen(struct remote_segment *s);

#endif
