/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "api/sisci/wait.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/shared.h"

/* What happens to local segments: the ring, read by who waits or by the callback thread. */

struct event {
	sci_segment_cb_reason_t reason;
	unsigned int node;
	sci_error_t error;
};

static struct local_segment *local_of(struct object *o)
{
	return container_of(o, struct local_segment, object);
}

/* The reasons are numbered as the daemon's. */
static void decode(uint64_t entry, struct event *ret)
{
	static_assert((int)SCI_CB_CONNECT == (int)WIRE_EVENT_CONNECT &&
			      (int)SCI_CB_DISCONNECT == (int)WIRE_EVENT_DISCONNECT &&
			      (int)SCI_CB_NOT_OPERATIONAL == (int)WIRE_EVENT_AWAY &&
			      (int)SCI_CB_OPERATIONAL == (int)WIRE_EVENT_BACK &&
			      (int)SCI_CB_LOST == (int)WIRE_EVENT_LOST,
		"the same numbers");
	ret->reason = (sci_segment_cb_reason_t)(entry >> 32);
	ret->error = SCI_ERR_OK;
	ret->node = 0;
	(void)node_sisci_id((uint32_t)entry, &ret->node);
}

/* The next event; those that were overwritten before they were read are one OVERFLOW. */
static bool take_locked(struct local_segment *s, struct event *ret)
{
	uint32_t count = atomic_load_explicit(&s->ring->count, memory_order_acquire);
	uint64_t entry;

	if (count == s->seen)
		return false;
	entry = atomic_load_explicit(
		&s->ring->entries[s->seen % WIRE_RING_SIZE], memory_order_acquire);
	count = atomic_load_explicit(&s->ring->count, memory_order_acquire);
	if (count - s->seen > WIRE_RING_SIZE) {
		s->seen = count - WIRE_RING_SIZE;
		*ret = (struct event){.error = SCI_ERR_OVERFLOW};
		return true;
	}
	s->seen++;
	decode(entry, ret);
	return true;
}

static bool take_event(struct local_segment *s, struct event *ret)
{
	bool taken;

	if (!s->ring)
		return false;
	pthread_mutex_lock(&s->object.lock);
	taken = take_locked(s, ret);
	pthread_mutex_unlock(&s->object.lock);
	return taken;
}

static const _Atomic uint32_t *ring_word(struct object *o)
{
	return &local_of(o)->ring->count;
}

/* callbacks */

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_segment *s = local_of(o);
	struct event event;

	if (!take_event(s, &event))
		return false;
	*ret_action = s->callback(
		s->callback_arg, object_handle(o), event.reason, event.node, 0, event.error);
	return true;
}

static const struct dispatch_ops callbacks = {.word = ring_word, .run = run_callback};

sci_error_t local_segment_listen(struct local_segment *s)
{
	if (!s->callback || !s->ring)
		return SCI_ERR_OK;
	return code_of(CODE_CREATE, dispatch_add(&s->object, &callbacks));
}

/* waiting */

static sci_error_t take(struct object *o, void *arg)
{
	struct event *event = arg;

	return take_event(local_of(o), event) ? event->error : WAIT_MORE;
}

static const struct wait_ops waiting = {.take = take, .word = ring_word};

static sci_error_t wait_event(
	sci_local_segment_t segment, unsigned int milliseconds, struct event *ret)
{
	struct local_segment *s = local_segment_get(segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (s->callback || !s->ring) {
		object_put(&s->object);
		return SCI_ERR_ILLEGAL_OPERATION;
	}
	return object_wait(&s->object, &waiting, ret, milliseconds);
}

SCI_CALL sci_segment_cb_reason_t SCIWaitForLocalSegmentEvent(sci_local_segment_t segment,
	unsigned int *sourcenodeId, unsigned int *localAdapterNo, unsigned int timeout,
	unsigned int flags, sci_error_t *error)
{
	struct event event = {.reason = 0};
	sci_error_t e = call_begin(flags);

	if (!e)
		e = wait_event(segment, timeout, &event);
	if (!e && sourcenodeId)
		*sourcenodeId = event.node;
	if (!e && localAdapterNo)
		*localAdapterNo = 0;
	call_end(error, e);
	return event.reason;
}
