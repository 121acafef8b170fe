/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/dma.h"

#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/node.h"
#include "api/sisci/wait.h"
#include "base/cleanup.h"

/* DMA queues: life, states, what is waited for. Beginning of transfers: dma-start.c. */

static struct dma_queue *queue_of(struct object *o)
{
	return container_of(o, struct dma_queue, object);
}

/* pieces */

static void piece_release(struct dma_piece *p)
{
	if (p->local) {
		object_unuse(&p->local->object);
		object_put(&p->local->object);
	}
	object_unuse(&p->remote->object);
	object_put(&p->remote->object);
}

void dma_clear(struct dma_queue *q)
{
	for (uint32_t i = 0; i < q->n_pieces; i++)
		piece_release(&q->pieces[i]);
	q->n_pieces = 0;
}

static int make_room(struct dma_queue *q)
{
	uint32_t max = MAX(8u, q->max_pieces * 2);
	struct dma_piece *pieces;

	if (q->n_pieces < q->max_pieces)
		return 0;
	pieces = reallocarray(q->pieces, max, sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	q->pieces = pieces;
	q->max_pieces = max;
	return 0;
}

sci_error_t dma_add(struct dma_queue *q, const struct dma_piece *piece)
{
	if (make_room(q) < 0)
		return SCI_ERR_NOSPC;
	if (piece->local && !object_use(&piece->local->object))
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!object_use(&piece->remote->object)) {
		if (piece->local)
			object_unuse(&piece->local->object);
		return SCI_ERR_ILLEGAL_PARAMETER;
	}
	if (piece->local)
		object_ref(&piece->local->object);
	object_ref(&piece->remote->object);
	q->pieces[q->n_pieces++] = *piece;
	return SCI_ERR_OK;
}

/* the end of a transfer */

static sci_dma_queue_state_t state_after(sci_error_t result)
{
	if (result == SCI_ERR_CANCELLED)
		return SCI_DMAQUEUE_ABORTED;
	return result ? SCI_DMAQUEUE_ERROR : SCI_DMAQUEUE_DONE;
}

/* The segments are free and the queue is done before anybody hears of it. */
static void finish_locked(struct dma_queue *q, sci_error_t result)
{
	dma_clear(q);
	q->result = result;
	q->called_for = q->callback;
	atomic_store(&q->state, state_after(result));
	atomic_fetch_add(&q->changes, 1);
	wake_word(&q->changes);
	if (q->called_for)
		dispatch_kick();
}

static void finish(struct dma_queue *q, sci_error_t result)
{
	pthread_mutex_lock(&q->object.lock);
	finish_locked(q, result);
	pthread_mutex_unlock(&q->object.lock);
}

/* Nobody changes the pieces of a posted transfer. */
static sci_error_t carry_out(struct dma_queue *q)
{
	sci_error_t result = dma_carry_out(q->pieces, q->n_pieces, &q->abort);

	finish(q, result);
	return result;
}

static void run_work(struct work *work)
{
	struct dma_queue *q = container_of(work, struct dma_queue, work);

	(void)carry_out(q);
	object_put(&q->object);
}

/* callbacks */

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct dma_queue *q = queue_of(o);
	sci_cb_dma_t callback = NULL;
	sci_error_t result;
	void *arg;

	pthread_mutex_lock(&o->lock);
	if (q->called_for) {
		callback = q->callback;
		arg = q->callback_arg;
		result = q->result;
		q->called_for = false;
		q->callback = NULL;
	}
	pthread_mutex_unlock(&o->lock);
	if (!callback)
		return false;
	/* a later transfer may have another callback, so nothing is cancelled for good */
	(void)callback(arg, object_handle(o), result);
	return true;
}

static const struct dispatch_ops callbacks = {.run = run_callback};

/* beginning */

static sci_error_t post_locked(struct dma_queue *q, sci_cb_dma_t callback, void *arg, bool wait)
{
	int r;

	if (callback && !q->object.dispatch) {
		r = dispatch_add(&q->object, &callbacks);
		if (r < 0)
			return code_of(CODE_CREATE, r);
	}
	q->callback = callback;
	q->callback_arg = arg;
	q->called_for = false;
	atomic_store(&q->abort, false);
	atomic_store(&q->state, SCI_DMAQUEUE_POSTED);
	if (wait)
		return SCI_ERR_OK;
	q->work.run = run_work;
	object_ref(&q->object);
	r = work_submit(&q->work);
	if (r < 0) {
		q->callback = NULL;
		finish_locked(q, SCI_ERR_TRANSFER_FAILED);
		object_put(&q->object);
	}
	return code_of(CODE_CREATE, r);
}

sci_error_t dma_post(struct dma_queue *q, sci_cb_dma_t callback, void *arg, unsigned int flags)
{
	bool wait = flags & SCI_FLAG_DMA_WAIT;
	sci_error_t e;

	e = post_locked(q, flags & SCI_FLAG_USE_CALLBACK ? callback : NULL, arg, wait);
	pthread_mutex_unlock(&q->object.lock);
	return e || !wait ? e : carry_out(q);
}

/* life */

static bool queue_busy(struct object *o)
{
	return atomic_load(&queue_of(o)->state) == SCI_DMAQUEUE_POSTED;
}

/* SCITerminate() ends also what is under way. */
static void queue_end(struct object *o)
{
	struct dma_queue *q = queue_of(o);

	atomic_store(&q->abort, true);
	pthread_mutex_lock(&o->lock);
	if (atomic_load(&q->state) != SCI_DMAQUEUE_POSTED)
		dma_clear(q);
	pthread_mutex_unlock(&o->lock);
}

static void queue_release(struct object *o)
{
	struct dma_queue *q = queue_of(o);

	dma_clear(q);
	free(q->pieces);
	free(q);
}

static sci_error_t queue_create(
	sci_desc_t sd, sci_dma_queue_t *dq, unsigned int adapter, unsigned int max_entries)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	sci_error_t e = adapter_check(adapter);
	struct dma_queue *q;
	int r;

	if (!desc || !dq || max_entries == 0)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (e)
		return e;
	q = calloc(1, sizeof(*q));
	if (!q)
		return SCI_ERR_NOSPC;
	q->max_entries = max_entries;
	list_init(&q->work.queue);
	q->object.busy = queue_busy;
	q->object.end = queue_end;
	q->object.release = queue_release;
	r = object_new(&q->object, SISCI_DMA_QUEUE, desc);
	if (r) {
		free(q);
		return code_of(CODE_CREATE, r);
	}
	*dq = object_handle(&q->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCICreateDMAQueue(sci_desc_t sd, sci_dma_queue_t *dq, unsigned int localAdapterNo,
	unsigned int maxEntries, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : queue_create(sd, dq, localAdapterNo, maxEntries));
}

static sci_error_t queue_remove(sci_dma_queue_t dq)
{
	_cleanup_object_ struct dma_queue *q = dma_queue_get(dq);

	if (!q)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (queue_busy(&q->object))
		return SCI_ERR_ILLEGAL_OPERATION;
	return object_end(&q->object) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIRemoveDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : queue_remove(dq));
}

/* states */

SCI_CALL sci_dma_queue_state_t SCIDMAQueueState(sci_dma_queue_t dq)
{
	_cleanup_object_ struct dma_queue *q = dma_queue_get(dq);

	return q ? (sci_dma_queue_state_t)atomic_load(&q->state) : SCI_DMAQUEUE_ERROR;
}

static sci_error_t take_end(struct object *o, void *arg)
{
	uint32_t *state = arg;

	*state = atomic_load(&queue_of(o)->state);
	return *state == SCI_DMAQUEUE_POSTED ? WAIT_MORE : SCI_ERR_OK;
}

static const _Atomic uint32_t *changes_word(struct object *o)
{
	return &queue_of(o)->changes;
}

static const struct wait_ops waiting = {.take = take_end, .word = changes_word};

/* Who has nothing to do but to wait does the work, if its turn has come. Not who waits for a
 * limited time: a transfer may take longer. */
static void help(struct dma_queue *q)
{
	if (queue_busy(&q->object))
		(void)work_do(&q->work);
}

SCI_CALL sci_dma_queue_state_t SCIWaitForDMAQueue(
	sci_dma_queue_t dq, unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);
	uint32_t state = SCI_DMAQUEUE_ERROR;
	struct dma_queue *q;

	if (!e) {
		q = dma_queue_get(dq);
		if (q && timeout == SCI_INFINITE_TIMEOUT)
			help(q);
		e = q ? object_wait(&q->object, &waiting, &state, timeout)
		      : SCI_ERR_ILLEGAL_PARAMETER;
	}
	call_end(error, e);
	return (sci_dma_queue_state_t)state;
}

/* A transfer that has not begun ends here, one that has soon. */
static sci_error_t queue_abort(sci_dma_queue_t dq)
{
	struct dma_queue *q = dma_queue_get(dq);
	uint32_t state;

	if (!q)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!queue_busy(&q->object)) {
		pthread_mutex_lock(&q->object.lock);
		if (atomic_load(&q->state) == SCI_DMAQUEUE_GATHER) {
			dma_clear(q);
			atomic_store(&q->state, SCI_DMAQUEUE_ABORTED);
		}
		pthread_mutex_unlock(&q->object.lock);
		object_put(&q->object);
		return SCI_ERR_OK;
	}
	atomic_store(&q->abort, true);
	if (work_withdraw(&q->work)) {
		finish(q, SCI_ERR_CANCELLED);
		object_put(&q->object);
	}
	return object_wait(&q->object, &waiting, &state, SCI_INFINITE_TIMEOUT);
}

SCI_CALL void SCIAbortDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : queue_abort(dq));
}
