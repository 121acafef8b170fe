/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/interrupt.h"
#include "api/sisci/lane.h"
#include "api/sisci/node.h"
#include "client/remote.h"
#include "client/signal.h"
#include "wire/status.h"

/*
 * Remote data interrupts: the writing end of a lane. On one node messages are stored there, between
 * nodes put, without waiting; what has been taken from the lane is looked at when it seems full.
 *
 * One that is connected with SCI_FLAG_BROADCAST has several targets, all interrupts of that number.
 */

#define TARGETS_MAX 64u

struct target {
	cw_handle import;
	struct cw_import *peek; /* its object, referenced */
	struct lane_writer lane;
};

struct remote_data_interrupt {
	struct object object; /* its lock: one message at a time */
	uint32_t n;
	struct target targets[];
};

static struct remote_data_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct remote_data_interrupt, object);
}

/* the lane, read and written */

static int lane_read(struct target *t, uint64_t offset, void *to, uint64_t n)
{
	struct cw_import *import;
	uint8_t *base;
	int r;

	if (t->peek->remote) {
		import = cw_enter(t->import, CW_IMPORT_SEGMENT);
		return import ? cw_remote_get(import, offset, to, n, 0) : STATUS_REVOKED;
	}
	r = cw_import_base(t->peek, &base);
	if (!r)
		memcpy(to, base + offset, n);
	return r;
}

static int remote_put(struct target *t, uint64_t offset, const void *from, uint64_t n)
{
	struct cw_import *import = cw_enter(t->import, CW_IMPORT_SEGMENT);

	return import ? cw_remote_put(import, offset, from, n, 0, true) : STATUS_REVOKED;
}

static int read_mark(struct target *t, uint64_t marks, uint32_t lane, uint64_t ret_mark[2])
{
	return lane_read(
		t, marks + lane * sizeof(struct lane_mark), ret_mark, sizeof(struct lane_mark));
}

static int look_at_tail(struct target *t)
{
	uint64_t seen[2];
	int r = read_mark(t, offsetof(struct lane_area, tails), t->lane.lane, seen);

	if (r)
		return r;
	t->lane.tail = seen[0];
	t->lane.taken = seen[1];
	return 0;
}

static int begin_lane(struct target *t, uint32_t lane)
{
	uint64_t head[2], tail[2];
	int r;

	if (lane >= LANES)
		return STATUS_NO_RESOURCES;
	r = read_mark(t, offsetof(struct lane_area, heads), lane, head);
	if (!r)
		r = read_mark(t, offsetof(struct lane_area, tails), lane, tail);
	if (r)
		return r;
	return lane_writer_begin(&t->lane, lane, head, tail) ? 0 : STATUS_NO_RESOURCES;
}

/* messages */

static int store_here(
	struct target *t, const struct lane_place *place, const void *data, uint32_t length)
{
	const struct lane_writer *w = &t->lane;
	const uint32_t skip = LANE_SKIP;
	struct lane_mark *head;
	uint8_t *base, *lane;
	int r = cw_import_base(t->peek, &base);

	if (r)
		return r;
	head = &((struct lane_area *)base)->heads[w->lane];
	lane = base + lane_offset(w->lane);
	if (place->skip)
		memcpy(lane + w->head % lane_size(w->lane), &skip, sizeof(skip));
	memcpy(lane + place->at, &length, sizeof(length));
	if (length)
		memcpy(lane + place->at + 8, data, length);
	atomic_store_explicit(&head->count, w->count + 1, memory_order_relaxed);
	atomic_store_explicit(&head->position, place->next, memory_order_release);
	return 0;
}

static int store_there(
	struct target *t, const struct lane_place *place, const void *data, uint32_t length)
{
	const struct lane_writer *w = &t->lane;
	uint8_t record[8 + LANE_MESSAGE_MAX] = {0};
	uint64_t head[2] = {place->next, w->count + 1}, lane = lane_offset(w->lane);
	const uint32_t skip = LANE_SKIP;
	int r = 0;

	memcpy(record, &length, sizeof(length));
	if (length)
		memcpy(record + 8, data, length);
	if (place->skip)
		r = remote_put(t, lane + w->head % lane_size(w->lane), &skip, sizeof(skip));
	if (!r)
		r = remote_put(t, lane + place->at, record, 8 + (uint64_t)length);
	if (!r)
		r = remote_put(t,
			offsetof(struct lane_area, heads) + w->lane * sizeof(struct lane_mark),
			head, sizeof(head));
	return r;
}

static sci_error_t send_to(struct target *t, const void *data, uint32_t length)
{
	struct lane_place place;
	int r = cw_import_ready(t->peek);

	if (!r && !lane_writer_find(&t->lane, length, &place)) {
		r = look_at_tail(t);
		if (!r && !lane_writer_find(&t->lane, length, &place))
			return SCI_ERR_NOSPC;
	}
	if (!r)
		r = t->peek->remote ? store_there(t, &place, data, length)
				    : store_here(t, &place, data, length);
	if (r)
		return code_of(CODE_OPERATE, r);
	t->lane.head = place.next;
	t->lane.count++;
	return code_of(CODE_OPERATE, cw_signal_post(t->import, true));
}

/* To all; the first trouble is told. Of several, who is gone is none as long as one is left. */
static sci_error_t send_all(struct remote_data_interrupt *i, const void *data, uint32_t length)
{
	sci_error_t trouble = SCI_ERR_OK, e;
	uint32_t n_gone = 0;

	pthread_mutex_lock(&i->object.lock);
	for (uint32_t n = 0; n < i->n; n++) {
		e = send_to(&i->targets[n], data, length);
		if (e == SCI_ERR_NOT_CONNECTED)
			n_gone++;
		else if (!trouble)
			trouble = e;
	}
	pthread_mutex_unlock(&i->object.lock);
	return n_gone == i->n ? SCI_ERR_NOT_CONNECTED : trouble;
}

static sci_error_t trigger(
	sci_remote_data_interrupt_t interrupt, const void *data, unsigned int length)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_REMOTE_DATA_INTERRUPT);

	if (!o || (!data && length > 0) || length > LANE_MESSAGE_MAX)
		return SCI_ERR_ILLEGAL_PARAMETER;
	return send_all(interrupt_of(o), data, length);
}

SCI_CALL void SCITriggerDataInterrupt(sci_remote_data_interrupt_t interrupt, void *data,
	unsigned int length, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : trigger(interrupt, data, length));
}

/* connect */

static void target_end(struct target *t)
{
	cw_import_put(t->peek);
	(void)cw_import_disconnect(t->import);
}

static void interrupt_end(struct object *o)
{
	struct remote_data_interrupt *i = interrupt_of(o);

	pthread_mutex_lock(&o->lock);
	for (uint32_t n = 0; n < i->n; n++)
		(void)cw_import_disconnect(i->targets[n].import);
	pthread_mutex_unlock(&o->lock);
}

static void interrupt_release(struct object *o)
{
	struct remote_data_interrupt *i = interrupt_of(o);

	for (uint32_t n = 0; n < i->n; n++)
		cw_import_put(i->targets[n].peek);
	free(i);
}

static sci_error_t target_connect(struct target *t, unsigned int node, unsigned int adapter,
	unsigned int number, unsigned int milliseconds)
{
	sci_error_t e;
	int r;

	*t = (struct target){.import = 0};
	e = number_connect(WIRE_SPACE_SISCI_DATA, node, adapter, number, milliseconds, &t->import);
	if (e)
		return e;
	t->peek = cw_import_ref(t->import);
	/* an older daemon does not say which cell we have there */
	r = STATUS_NOT_SUPPORTED;
	if (t->peek->home_cell && t->peek->size >= LANE_AREA_SIZE)
		r = begin_lane(t, t->peek->home_cell - 1);
	if (r)
		target_end(t);
	return code_of(CODE_CONNECT, r);
}

/* Every node that has the number. */
static sci_error_t connect_all(struct remote_data_interrupt *i, unsigned int adapter,
	unsigned int number, unsigned int milliseconds)
{
	uint32_t nodes[TARGETS_MAX], n;
	unsigned int id;
	sci_error_t e = node_list(nodes, TARGETS_MAX, &n);

	for (uint32_t k = 0; k < n && !e; k++) {
		e = node_sisci_id(nodes[k], &id);
		if (!e && !target_connect(&i->targets[i->n], id, adapter, number, 0))
			i->n++;
	}
	return e ? e : i->n ? SCI_ERR_OK : SCI_ERR_NO_SUCH_INTNO;
}

static sci_error_t interrupt_connect(sci_desc_t sd, sci_remote_data_interrupt_t *interrupt,
	unsigned int node, unsigned int adapter, unsigned int number, unsigned int milliseconds,
	unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	bool all = flags & SCI_FLAG_BROADCAST;
	struct remote_data_interrupt *i;
	sci_error_t e;
	int r;

	if (!desc || !interrupt)
		return SCI_ERR_ILLEGAL_PARAMETER;
	i = calloc(1, sizeof(*i) + (all ? TARGETS_MAX : 1) * sizeof(i->targets[0]));
	if (!i)
		return SCI_ERR_NOSPC;
	e = all ? connect_all(i, adapter, number, milliseconds)
		: target_connect(&i->targets[0], node, adapter, number, milliseconds);
	if (e) {
		free(i);
		return e;
	}
	if (!all)
		i->n = 1;
	i->object.end = interrupt_end;
	i->object.release = interrupt_release;
	r = object_new(&i->object, SISCI_REMOTE_DATA_INTERRUPT, desc);
	if (r) {
		for (uint32_t k = 0; k < i->n; k++)
			target_end(&i->targets[k]);
		free(i);
		return code_of(CODE_CREATE, r);
	}
	*interrupt = object_handle(&i->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCIConnectDataInterrupt(sci_desc_t sd, sci_remote_data_interrupt_t *interrupt,
	unsigned int nodeId, unsigned int localAdapterNo, unsigned int interruptNo,
	unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = interrupt_connect(
			sd, interrupt, nodeId, localAdapterNo, interruptNo, timeout, flags);
	call_end(error, e);
}

SCI_CALL void SCIDisconnectDataInterrupt(
	sci_remote_data_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(interrupt, SISCI_REMOTE_DATA_INTERRUPT));
}
