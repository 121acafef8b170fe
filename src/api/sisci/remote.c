/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/group.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "api/sisci/wait.h"
#include "base/clock.h"
#include "wire/status.h"

/* Remote segments: connect, disconnect, what they are. */

#define RETRY_NS (2 * NSEC_PER_MSEC) /* with CAUSEWAY_SISCI_CONNECT=wait */

static struct remote_segment *remote_of(struct object *o)
{
	return container_of(o, struct remote_segment, object);
}

static void remote_release(struct object *o)
{
	struct remote_segment *s = remote_of(o);

	if (s->import)
		(void)cw_import_unmap(s->import);
	cw_import_put(s->peek);
	if (s->import)
		(void)cw_import_disconnect(s->import);
	group_free(s->group);
	free(s);
}

/* The connection ends at once, though a transfer may still hold the object. */
static void remote_end(struct object *o)
{
	struct remote_segment *s = remote_of(o);
	cw_handle import;

	pthread_mutex_lock(&o->lock);
	import = s->import;
	s->import = 0;
	pthread_mutex_unlock(&o->lock);
	if (!import)
		return;
	(void)cw_import_unmap(import);
	(void)cw_import_disconnect(import);
}

/* connecting */

static int connect_once(uint32_t node, uint32_t id, cw_handle *ret_import)
{
	uint32_t controller = node ? WIRE_CONTROLLER_TCP : WIRE_CONTROLLER_LOOPBACK;
	int r;

	do
		r = cw_import_connect(
			WIRE_SPACE_SISCI, controller, node, id, WIRE_READ | WIRE_WRITE, ret_import);
	while (r == STATUS_INTERRUPTED);
	return r;
}

static sci_error_t connect_one(struct remote_segment *s)
{
	cw_handle import;
	uint32_t node;
	sci_error_t e = node_number(s->node_id, &node);
	int r;

	if (e)
		return e;
	r = connect_once(node, s->id, &import);
	if (r)
		return code_of(CODE_CONNECT, r);
	s->peek = cw_import_ref(import);
	s->size = s->peek->size;
	s->import = import;
	return SCI_ERR_OK;
}

static sci_error_t connect_any(struct remote_segment *s, unsigned int flags)
{
	if (!(flags & SCI_FLAG_BROADCAST))
		return connect_one(s);
	return group_connect(s->id, &s->group, &s->size);
}

/* Users who want the timeout to mean something say so; the original answers at once. */
static bool does_wait(void)
{
	const char *how = secure_getenv("CAUSEWAY_SISCI_CONNECT");

	return how && how[0] == 'w';
}

sci_error_t connect_patiently(
	sci_error_t (*attempt)(void *data), void *data, unsigned int milliseconds)
{
	uint64_t end = clock_now() + milliseconds * NSEC_PER_MSEC;
	const struct timespec nap = {.tv_nsec = RETRY_NS};
	sci_error_t e = attempt(data);

	while (e == SCI_ERR_NO_SUCH_SEGMENT && does_wait() &&
		(milliseconds == SCI_INFINITE_TIMEOUT || clock_now() < end)) {
		nanosleep(&nap, NULL);
		e = attempt(data);
	}
	return e;
}

struct attempt {
	struct remote_segment *segment;
	unsigned int flags;
};

static sci_error_t attempt(void *data)
{
	const struct attempt *a = data;

	return connect_any(a->segment, a->flags);
}

static struct remote_segment *remote_new(unsigned int node, unsigned int id,
	sci_cb_remote_segment_t callback, void *callback_arg, unsigned int flags)
{
	struct remote_segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->node_id = node;
	s->id = id;
	s->state = REMOTE_CONNECTED;
	if (flags & SCI_FLAG_USE_CALLBACK)
		s->callback = callback;
	s->callback_arg = callback_arg;
	s->object.end = remote_end;
	s->object.release = remote_release;
	return s;
}

static sci_error_t remote_enter(
	struct remote_segment *s, struct object *desc, sci_remote_segment_t *ret_segment)
{
	sci_error_t e;
	int r = object_new(&s->object, SISCI_REMOTE_SEGMENT, desc);

	if (r) {
		remote_release(&s->object);
		return code_of(CODE_CREATE, r);
	}
	/* before: a callback may want it, and may disconnect */
	*ret_segment = object_handle(&s->object);
	e = remote_segment_listen(s);
	if (e) {
		*ret_segment = NULL;
		object_end(&s->object);
	}
	return e;
}

static sci_error_t connect_now(struct remote_segment *s, struct object *desc,
	sci_remote_segment_t *ret_segment, unsigned int milliseconds, unsigned int flags)
{
	struct attempt a = {.segment = s, .flags = flags};
	sci_error_t e = connect_patiently(attempt, &a, milliseconds);

	if (e) {
		free(s);
		return e;
	}
	return remote_enter(s, desc, ret_segment);
}

/* asynchronous */

static void connect_work(struct work *work)
{
	struct remote_segment *s = container_of(work, struct remote_segment, connecting);
	struct object *o = &s->object;
	sci_error_t e = connect_one(s);

	s->failure = e;
	atomic_store(&s->state, e ? REMOTE_FAILED : REMOTE_CONNECTED);
	/* who disconnected meanwhile found nothing to end */
	if (atomic_load(&o->ended))
		remote_end(o);
	atomic_fetch_add(&s->kicks, 1);
	wake_word(&s->kicks);
	dispatch_kick();
	object_put(o);
}

static sci_error_t connect_later(
	struct remote_segment *s, struct object *desc, sci_remote_segment_t *ret_segment)
{
	sci_error_t e;
	int r;

	s->state = REMOTE_CONNECTING;
	s->connecting.run = connect_work;
	e = remote_enter(s, desc, ret_segment);
	if (e)
		return e;
	object_ref(&s->object);
	r = work_submit(&s->connecting);
	if (r < 0) {
		object_end(&s->object);
		object_put(&s->object);
	}
	return code_of(CODE_CREATE, r);
}

/* Groups are connected at once: that takes no longer than their members need to answer. */
static sci_error_t remote_connect(sci_desc_t sd, sci_remote_segment_t *segment, unsigned int node,
	unsigned int id, unsigned int adapter, sci_cb_remote_segment_t callback, void *callback_arg,
	unsigned int milliseconds, unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	bool later = flags & SCI_FLAG_ASYNCHRONOUS_CONNECT && !(flags & SCI_FLAG_BROADCAST);
	sci_error_t e = adapter_check(adapter);
	struct remote_segment *s;
	uint32_t number;

	if (!desc || !segment || (flags & SCI_FLAG_USE_CALLBACK && !callback))
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!e && !(flags & SCI_FLAG_BROADCAST))
		e = node_number(node, &number);
	if (e)
		return e;
	s = remote_new(node, id, callback, callback_arg, flags);
	if (!s)
		return SCI_ERR_NOSPC;
	return later ? connect_later(s, desc, segment)
		     : connect_now(s, desc, segment, milliseconds, flags);
}

SCI_CALL void SCIConnectSegment(sci_desc_t sd, sci_remote_segment_t *segment, unsigned int nodeId,
	unsigned int segmentId, unsigned int localAdapterNo, sci_cb_remote_segment_t callback,
	void *callbackArg, unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = remote_connect(sd, segment, nodeId, segmentId, localAdapterNo, callback,
			callbackArg, timeout, flags);
	call_end(error, e);
}

/* disconnecting */

static sci_error_t remote_disconnect(sci_remote_segment_t segment)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!object_begin_end(&s->object))
		return SCI_ERR_BUSY;
	return object_end(&s->object) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIDisconnectSegment(
	sci_remote_segment_t segment, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : remote_disconnect(segment));
}

/* what it is */

SCI_CALL size_t SCIGetRemoteSegmentSize(sci_remote_segment_t segment)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(segment);

	return s && atomic_load(&s->state) == REMOTE_CONNECTED ? s->size : 0;
}

SCI_CALL unsigned int SCIGetRemoteSegmentId(sci_remote_segment_t segment)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(segment);

	return s ? s->id : 0;
}

SCI_CALL unsigned int SCIGetRemoteSegmentNodeId(sci_remote_segment_t segment)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(segment);
	unsigned int node = 0;

	if (!s)
		return 0;
	if (s->node_id != SCI_LOCAL_HOST)
		return s->node_id;
	(void)node_sisci_id(0, &node);
	return node;
}
