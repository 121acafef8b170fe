/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/dma.h"

/* How transfers begin: one piece, a vector, ordinary memory, and the old way of gathering. */

/* One side each, referenced, as the program named them. */
struct sides {
	struct local_segment *local;
	struct remote_segment *remote;
};

static void sides_release(struct sides *s)
{
	object_put(s->local ? &s->local->object : NULL);
	object_put(s->remote ? &s->remote->object : NULL);
}

static sci_error_t sides_get(
	sci_local_segment_t local, sci_remote_segment_t remote, struct sides *ret_sides)
{
	ret_sides->local = local_segment_get(local);
	ret_sides->remote = remote_segment_get(remote);
	if (!ret_sides->local || !ret_sides->remote)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!atomic_load(&ret_sides->local->prepared))
		return SCI_ERR_SEGMENT_NOT_PREPARED;
	return remote_segment_ready(ret_sides->remote);
}

static sci_error_t make_piece(const struct sides *s, uint64_t local_offset, uint64_t size,
	uint64_t remote_offset, unsigned int flags, struct dma_piece *ret_piece)
{
	sci_error_t e = remote_segment_range(s->remote, remote_offset, size);

	*ret_piece = (struct dma_piece){.local = s->local,
		.remote = s->remote,
		.remote_offset = remote_offset,
		.size = size,
		.read = flags & SCI_FLAG_DMA_READ};
	return e ? e : local_segment_range(s->local, local_offset, size, &ret_piece->address);
}

/* Locked, free for a new transfer. */
static sci_error_t queue_take(sci_dma_queue_t dq, struct dma_queue **ret_queue)
{
	struct dma_queue *q = dma_queue_get(dq);

	if (!q)
		return SCI_ERR_ILLEGAL_PARAMETER;
	pthread_mutex_lock(&q->object.lock);
	if (atomic_load(&q->state) == SCI_DMAQUEUE_POSTED) {
		pthread_mutex_unlock(&q->object.lock);
		object_put(&q->object);
		return SCI_ERR_BUSY;
	}
	dma_clear(q);
	*ret_queue = q;
	return SCI_ERR_OK;
}

static sci_error_t start(sci_dma_queue_t dq, const struct dma_piece *pieces, uint32_t n,
	sci_cb_dma_t callback, void *arg, unsigned int flags)
{
	struct dma_queue *q;
	sci_error_t e;

	if (flags & SCI_FLAG_USE_CALLBACK && !callback)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = queue_take(dq, &q);
	if (e)
		return e;
	for (uint32_t i = 0; i < n && !e; i++)
		e = dma_add(q, &pieces[i]);
	if (e) {
		dma_clear(q);
		pthread_mutex_unlock(&q->object.lock);
	} else {
		e = dma_post(q, callback, arg, flags);
	}
	object_put(&q->object);
	return e;
}

static sci_error_t start_one(sci_dma_queue_t dq, sci_local_segment_t local,
	sci_remote_segment_t remote, uint64_t local_offset, uint64_t size, uint64_t remote_offset,
	sci_cb_dma_t callback, void *arg, unsigned int flags)
{
	struct dma_piece piece;
	struct sides sides;
	sci_error_t e = sides_get(local, remote, &sides);

	if (!e)
		e = make_piece(&sides, local_offset, size, remote_offset, flags, &piece);
	if (!e)
		e = start(dq, &piece, 1, callback, arg, flags);
	sides_release(&sides);
	return e;
}

SCI_CALL void SCIStartDmaTransfer(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t localOffset, size_t size, size_t remoteOffset,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = start_one(dq, localSegment, remoteSegment, localOffset, size, remoteOffset,
			callback, callbackArg, flags);
	call_end(error, e);
}

SCI_CALL void DISStartDmaTransfer(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t localOffset, size_t size, size_t remoteOffset,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error)
{
	SCIStartDmaTransfer(dq, localSegment, remoteSegment, localOffset, size, remoteOffset,
		callback, callbackArg, flags, error);
}

/* vectors */

static sci_error_t start_vector(sci_dma_queue_t dq, sci_local_segment_t local,
	sci_remote_segment_t remote, uint64_t n, const dis_dma_vec_t *vector, sci_cb_dma_t callback,
	void *arg, unsigned int flags)
{
	struct dma_piece pieces[DIS_DMA_MAX_VECLEN];
	struct sides sides;
	sci_error_t e;

	if (n == 0 || !vector)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (n > DIS_DMA_MAX_VECLEN)
		return SCI_ERR_MAX_ENTRIES;
	e = sides_get(local, remote, &sides);
	/* the flags of the pieces are not looked at: programs leave them as they are */
	for (uint64_t i = 0; i < n && !e; i++)
		e = make_piece(&sides, vector[i].local_offset, vector[i].size,
			vector[i].remote_offset, flags, &pieces[i]);
	if (!e)
		e = start(dq, pieces, (uint32_t)n, callback, arg, flags);
	sides_release(&sides);
	return e;
}

SCI_CALL void SCIStartDmaTransferVec(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t vectorLength, dis_dma_vec_t *disDmaVec,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = start_vector(dq, localSegment, remoteSegment, vectorLength, disDmaVec, callback,
			callbackArg, flags);
	call_end(error, e);
}

SCI_CALL void DISStartDmaTransferVec(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t vectorLength, dis_dma_vec_t *disDmaVec,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error)
{
	SCIStartDmaTransferVec(dq, localSegment, remoteSegment, vectorLength, disDmaVec, callback,
		callbackArg, flags, error);
}

/* ordinary memory */

static sci_error_t start_memory(sci_dma_queue_t dq, void *address, sci_remote_segment_t remote,
	uint64_t size, uint64_t offset, sci_cb_dma_t callback, void *arg, unsigned int flags)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(remote);
	struct dma_piece piece = {.remote = s,
		.address = address,
		.remote_offset = offset,
		.size = size,
		.read = flags & SCI_FLAG_DMA_READ};
	sci_error_t e;

	if (!s || (!address && size > 0))
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = remote_segment_ready(s);
	if (!e)
		e = remote_segment_range(s, offset, size);
	return e ? e : start(dq, &piece, 1, callback, arg, flags);
}

SCI_CALL void SCIStartDmaTransferMem(sci_dma_queue_t dq, void *localAddress,
	sci_remote_segment_t remoteSegment, size_t size, size_t remoteOffset, sci_cb_dma_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = start_memory(dq, localAddress, remoteSegment, size, remoteOffset, callback,
			callbackArg, flags);
	call_end(error, e);
}

/* the old way: gather, then post */

static sci_error_t gather_locked(struct dma_queue *q, const struct dma_piece *piece)
{
	uint32_t state = atomic_load(&q->state);

	if (state == SCI_DMAQUEUE_POSTED)
		return SCI_ERR_BUSY;
	if (state != SCI_DMAQUEUE_GATHER)
		dma_clear(q);
	if (q->n_pieces >= q->max_entries)
		return SCI_ERR_MAX_ENTRIES;
	atomic_store(&q->state, SCI_DMAQUEUE_GATHER);
	return dma_add(q, piece);
}

static sci_error_t enqueue(sci_dma_queue_t dq, sci_local_segment_t local,
	sci_remote_segment_t remote, uint64_t local_offset, uint64_t remote_offset, uint64_t size,
	unsigned int flags, sci_dma_queue_state_t *ret_state)
{
	_cleanup_object_ struct dma_queue *q = dma_queue_get(dq);
	struct dma_piece piece;
	struct sides sides;
	sci_error_t e;

	if (!q)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = sides_get(local, remote, &sides);
	if (!e)
		e = make_piece(&sides, local_offset, size, remote_offset, flags, &piece);
	if (!e) {
		pthread_mutex_lock(&q->object.lock);
		e = gather_locked(q, &piece);
		if (!e && flags & SCI_FLAG_DMA_POST)
			e = dma_post(q, NULL, NULL, flags & SCI_FLAG_DMA_WAIT);
		else
			pthread_mutex_unlock(&q->object.lock);
	}
	sides_release(&sides);
	*ret_state = (sci_dma_queue_state_t)atomic_load(&q->state);
	return e;
}

SCI_CALL sci_dma_queue_state_t SCIEnqueueDMATransfer(sci_dma_queue_t dq,
	sci_local_segment_t localSegment, sci_remote_segment_t remoteSegment, size_t localOffset,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error)
{
	sci_dma_queue_state_t state = SCI_DMAQUEUE_ERROR;
	sci_error_t e = call_begin(flags);

	if (!e)
		e = enqueue(dq, localSegment, remoteSegment, localOffset, remoteOffset, size, flags,
			&state);
	call_end(error, e);
	return state;
}

static sci_error_t post(sci_dma_queue_t dq, sci_cb_dma_t callback, void *arg, unsigned int flags)
{
	_cleanup_object_ struct dma_queue *q = dma_queue_get(dq);

	if (!q || (flags & SCI_FLAG_USE_CALLBACK && !callback))
		return SCI_ERR_ILLEGAL_PARAMETER;
	pthread_mutex_lock(&q->object.lock);
	if (atomic_load(&q->state) != SCI_DMAQUEUE_GATHER) {
		pthread_mutex_unlock(&q->object.lock);
		return SCI_ERR_ILLEGAL_OPERATION;
	}
	return dma_post(q, callback, arg, flags);
}

SCI_CALL void SCIPostDMAQueue(sci_dma_queue_t dq, sci_cb_dma_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : post(dq, callback, callbackArg, flags));
}

static sci_error_t reset(sci_dma_queue_t dq)
{
	struct dma_queue *q;
	sci_error_t e = queue_take(dq, &q);

	if (e)
		return e == SCI_ERR_BUSY ? SCI_ERR_ILLEGAL_OPERATION : e;
	atomic_store(&q->state, SCI_DMAQUEUE_IDLE);
	pthread_mutex_unlock(&q->object.lock);
	object_put(&q->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCIResetDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : reset(dq));
}
