/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_DMA_H
#define SISCI_DMA_H

/*
 * DMA queues. A queue has one transfer at a time: pieces between local memory and remote segments,
 *all carried out by the work thread or, with SCI_FLAG_DMA_WAIT, by the caller. As long as it is
 *posted the segments of its pieces are in use.
 *
 *	IDLE ── start ── POSTED ── DONE, ERROR, ABORTED ── start ── …
 *	  └─ enqueue ─ GATHER ─ post ──┘
 */

#include "api/sisci/segment.h"
#include "api/sisci/work.h"

struct dma_piece {
	struct local_segment *local; /* referenced and used; NULL: memory of the program's */
	struct remote_segment *remote;
	uint8_t *address; /* the local side */
	uint64_t remote_offset, size;
	bool read;
};

struct dma_queue {
	struct object object;
	uint32_t max_entries;

	/* under the object's lock, but that the state may be read */
	_Atomic uint32_t state;	  /* sci_dma_queue_state_t */
	_Atomic uint32_t changes; /* of it: what waiters sleep on */
	struct dma_piece *pieces;
	uint32_t n_pieces, max_pieces;
	sci_cb_dma_t callback; /* of the transfer; NULL: none */
	void *callback_arg;
	bool called_for; /* it is done, and the callback has not been called */
	sci_error_t result;

	struct work work;
	_Atomic bool abort;
};

/* The queue with a reference, or NULL. */
static inline struct dma_queue *dma_queue_get(sci_dma_queue_t dq)
{
	return object_get(dq, SISCI_DMA_QUEUE);
}

/* --- dma.c, for dma-start.c --- */

/* Adds a piece to the queue, which is locked and not posted; everything is checked. */
sci_error_t dma_add(struct dma_queue *q, const struct dma_piece *piece);
/* Forgets the pieces. */
void dma_clear(struct dma_queue *q);
/* Posts what was added: unlocks the queue. */
sci_error_t dma_post(
	struct dma_queue *q, sci_cb_dma_t callback, void *callback_arg, unsigned int flags);

/* dma-copy.c: carries the pieces out, one after the other; *abort is looked at now and then.
 * SCI_ERR_TRANSFER_FAILED; SCI_ERR_CANCELLED: aborted. */
sci_error_t dma_carry_out(const struct dma_piece *pieces, uint32_t n, const _Atomic bool *abort);

#endif
