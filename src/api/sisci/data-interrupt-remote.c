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
	uint32_t lane;
	uint64_t head, count; /* ours */
	uint64_t tail, taken; /* as last seen */
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

static int look_at_tail(struct target *t)
{
	uint64_t seen[2];
	int r = lane_read(t, offsetof(struct lane_area, tails) + t->lane * sizeof(struct lane_tail),
		seen, sizeof(seen));

	if (r)
		return r;
	t->tail = seen[0];
	t->taken = seen[1];
	return 0;
}

/* The lane goes on where the last connection that had it stopped. */
static int begin_lane(struct target *t)
{
	uint64_t seen[2];
	int r;

	r = lane_read(t, offsetof(struct lane_area, heads) + t->lane * sizeof(struct lane_head),
		seen, sizeof(seen));
	if (r)
		return r;
	t->head = seen[0];
	t->count = seen[1];
	return look_at_tail(t);
}

/* messages */

static int store_here(
	struct target *t, const struct lane_place *place, const void *data, uint32_t length)
{
	struct lane_area *area;
	uint8_t *base, *lane;
	uint32_t skip = LANE_SKIP;
	int r = cw_import_base(t->peek, &base);

	if (r)
		return r;
	area = (struct lane_area *)base;
	lane = base + lane_offset(t->lane);
	if (place->skip)
		memcpy(lane + t->head % lane_size(t->lane), &skip, sizeof(skip));
	memcpy(lane + place->at, &length, sizeof(length));
	memcpy(lane + place->at + 8, data, length);
	atomic_store_explicit(&area->heads[t->lane].count, t->count + 1, memory_order_relaxed);
	atomic_store_explicit(&area->heads[t->lane].position, place->next, memory_order_release);
	return 0;
}

static int store_there(
	struct target *t, const struct lane_place *place, const void *data, uint32_t length)
{
	uint8_t record[8 + LANE_MESSAGE_MAX] = {0};
	uint64_t head[2] = {place->next, t->count + 1}, lane = lane_offset(t->lane);
	uint32_t skip = LANE_SKIP;
	int r = 0;

	memcpy(record, &length, sizeof(length));
	memcpy(record + 8, data, length);
	if (place->skip)
		r = remote_put(t, lane + t->head % lane_size(t->lane), &skip, sizeof(skip));
	if (!r)
		r = remote_put(t, lane + place->at, record, 8 + (uint64_t)length);
	if (!r)
		r = remote_put(t,
			offsetof(struct lane_area, heads) + t->lane * sizeof(struct lane_head),
			head, sizeof(head));
	return r;
}

static bool find_place(struct target *t, uint32_t length, struct lane_place *ret_place)
{
	return lane_find(t->lane, t->head, t->tail, t->count, t->taken, length, ret_place);
}

static sci_error_t send_to(struct target *t, const void *data, uint32_t length)
{
	struct lane_place place;
	int r = cw_import_ready(t->peek);

	if (!r && !find_place(t, length, &place)) {
		r = look_at_tail(t);
		if (!r && !find_place(t, length, &place))
			return SCI_ERR_NOSPC;
	}
	if (!r)
		r = t->peek->remote ? store_there(t, &place, data, length)
				    : store_here(t, &place, data, length);
	if (r)
		return code_of(CODE_OPERATE, r);
	t->head = place.next;
	t->count++;
	return code_of(CODE_OPERATE, cw_signal_post(t->import, true));
}

/* To all; the first trouble is told. */
static sci_error_t send_all(struct remote_data_interrupt *i, const void *data, uint32_t length)
{
	sci_error_t first = SCI_ERR_OK, e;

	pthread_mutex_lock(&i->object.lock);
	for (uint32_t n = 0; n < i->n; n++) {
		e = send_to(&i->targets[n], data, length);
		first = first ? first : e;
	}
	pthread_mutex_unlock(&i->object.lock);
	return first;
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

	*t = (struct target){.lane = 0};
	e = number_connect(WIRE_SPACE_SISCI_DATA, node, adapter, number, milliseconds, &t->import);
	if (e)
		return e;
	t->peek = cw_import_ref(t->import);
	t->lane = t->peek->home_cell - 1;
	if (t->lane >= LANES || t->peek->size < LANE_AREA_SIZE)
		r = STATUS_NO_RESOURCES;
	else
		r = begin_lane(t);
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

static sci_error_t interrupt_disconnect(sci_remote_data_interrupt_t interrupt)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_REMOTE_DATA_INTERRUPT);

	return o && object_end(o) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIDisconnectDataInterrupt(
	sci_remote_data_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : interrupt_disconnect(interrupt));
}
