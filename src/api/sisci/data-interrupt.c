/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/interrupt.h"
#include "api/sisci/lane.h"
#include "api/sisci/node.h"
#include "api/sisci/wait.h"

/* Local data interrupts: messages are taken from the lanes; the cell tells when to look. */

#define COUNT_MAX 0x10000u /* of triggers without messages */

struct local_data_interrupt {
	struct handler handler;
	sci_cb_data_interrupt_t callback;
	void *callback_arg;

	struct lane_reader reader;	   /* under the object's lock; area NULL: it has ended */
	uint8_t message[LANE_MESSAGE_MAX]; /* the callback's */
};

static struct local_data_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct local_data_interrupt, handler.object);
}

/* The memory goes with the number. */
static void interrupt_end(struct object *o)
{
	struct local_data_interrupt *i = interrupt_of(o);

	pthread_mutex_lock(&o->lock);
	i->reader.area = NULL;
	pthread_mutex_unlock(&o->lock);
	number_end(&i->handler.n);
}

static void interrupt_release(struct object *o)
{
	struct local_data_interrupt *i = interrupt_of(o);

	number_release(&i->handler.n);
	free(i);
}

/* messages */

/* A trigger each, if it has come: so the count stays about that of the messages, and never reaches
 * its end. Waiting needs no more of it than that it changes. */
static int take_locked(struct local_data_interrupt *i, void *to)
{
	int length = i->reader.area ? lane_reader_take(&i->reader, to) : -1;

	if (length >= 0)
		(void)number_take_trigger(&i->handler.n);
	else if (atomic_load(&i->handler.n.cell->word) > COUNT_MAX)
		while (number_take_trigger(&i->handler.n) == SCI_ERR_OK)
			;
	return length;
}

struct taking {
	void *to;
	unsigned int size;
	unsigned int length;
};

/* A message that does not fit is cut. */
static sci_error_t take_message(struct object *o, void *arg)
{
	uint8_t message[LANE_MESSAGE_MAX];
	struct taking *t = arg;
	int length;

	pthread_mutex_lock(&o->lock);
	length = take_locked(interrupt_of(o), message);
	pthread_mutex_unlock(&o->lock);
	if (length < 0)
		return WAIT_MORE;
	t->length = MIN((unsigned int)length, t->size);
	memcpy(t->to, message, t->length);
	return SCI_ERR_OK;
}

static const struct wait_ops waiting = {
	.take = take_message, .word = handler_word, .sleepers = handler_sleepers};

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_data_interrupt *i = interrupt_of(o);
	int length;

	pthread_mutex_lock(&o->lock);
	length = take_locked(i, i->message);
	pthread_mutex_unlock(&o->lock);
	if (length < 0)
		return false;
	*ret_action = i->callback(
		i->callback_arg, object_handle(o), i->message, (unsigned int)length, SCI_ERR_OK);
	return true;
}

static const struct dispatch_ops callbacks = {
	.word = handler_word, .sleepers = handler_sleepers, .run = run_callback};

/* create */

static sci_error_t interrupt_create(sci_desc_t sd, sci_local_data_interrupt_t *interrupt,
	unsigned int adapter, unsigned int *number, sci_cb_data_interrupt_t callback, void *arg,
	unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	sci_error_t e = adapter_check(adapter);
	struct local_data_interrupt *i;

	if (!desc || !interrupt || !number || (flags & SCI_FLAG_USE_CALLBACK && !callback))
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (e)
		return e;
	i = calloc(1, sizeof(*i));
	if (!i)
		return SCI_ERR_NOSPC;
	e = number_take(
		WIRE_SPACE_SISCI_DATA, LANE_AREA_SIZE, flags, *number, false, &i->handler.n);
	if (e) {
		free(i);
		return e;
	}
	i->reader.area = i->handler.n.memory;
	if (flags & SCI_FLAG_USE_CALLBACK)
		i->callback = callback;
	i->callback_arg = arg;
	i->handler.object.end = interrupt_end;
	i->handler.object.release = interrupt_release;
	return handler_enter(&i->handler, SISCI_LOCAL_DATA_INTERRUPT, desc,
		i->callback ? &callbacks : NULL, interrupt, number);
}

SCI_CALL void SCICreateDataInterrupt(sci_desc_t sd, sci_local_data_interrupt_t *interrupt,
	unsigned int localAdapterNo, unsigned int *interruptNo, sci_cb_data_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = interrupt_create(
			sd, interrupt, localAdapterNo, interruptNo, callback, callbackArg, flags);
	call_end(error, e);
}

SCI_CALL void SCIRemoveDataInterrupt(
	sci_local_data_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(interrupt, SISCI_LOCAL_DATA_INTERRUPT));
}

static sci_error_t interrupt_wait(sci_local_data_interrupt_t interrupt, void *data,
	unsigned int *length, unsigned int milliseconds)
{
	struct object *o = object_get(interrupt, SISCI_LOCAL_DATA_INTERRUPT);
	struct taking t = {.to = data, .size = length ? *length : 0};
	sci_error_t e = SCI_ERR_OK;

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (interrupt_of(o)->callback)
		e = SCI_ERR_ILLEGAL_OPERATION;
	else if (!length || (!data && t.size > 0))
		e = SCI_ERR_ILLEGAL_PARAMETER;
	if (e) {
		object_put(o);
		return e;
	}
	e = object_wait(o, &waiting, &t, milliseconds);
	if (!e)
		*length = t.length;
	return e;
}

SCI_CALL void SCIWaitForDataInterrupt(sci_local_data_interrupt_t interrupt, void *data,
	unsigned int *length, unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : interrupt_wait(interrupt, data, length, timeout));
}
