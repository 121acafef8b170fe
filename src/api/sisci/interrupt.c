/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/interrupt.h"

#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/node.h"
#include "api/sisci/wait.h"
#include "client/signal.h"

#define NUMBER_SIZE 4096u

/* Local interrupts. Triggers of one that handlers share go through the callback thread, which
 * passes them on and counts them for those who wait. */

struct local_interrupt {
	struct handler handler; /* of one that is shared: the callback thread's */
	sci_cb_interrupt_t callback;
	void *callback_arg;
	bool shared;
	bool had_enough;	/* a callback of one that is shared, which was cancelled */
	_Atomic bool lost;	/* nobody could take the shared number on */
	_Atomic uint32_t count; /* of triggers of one that is shared, for those who wait */
};

static struct local_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct local_interrupt, handler.object);
}

/* What others who share the number have not got yet is theirs. */
static void interrupt_end(struct object *o)
{
	struct local_interrupt *i = interrupt_of(o);

	while (i->shared && i->handler.n.export && number_take_trigger(&i->handler.n) == SCI_ERR_OK)
		(void)cw_signal_post(i->handler.n.side, true);
	number_end(&i->handler.n);
}

static void interrupt_release(struct object *o)
{
	struct local_interrupt *i = interrupt_of(o);

	number_release(&i->handler.n);
	free(i);
}

/* triggers */

static sci_error_t take_trigger(struct object *o, void *unused)
{
	sci_error_t e = number_take_trigger(&interrupt_of(o)->handler.n);

	return e == SCI_ERR_TIMEOUT ? WAIT_MORE : e;
}

static const struct wait_ops waiting = {
	.take = take_trigger, .word = handler_word, .sleepers = handler_sleepers};

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_interrupt *i = interrupt_of(o);

	if (number_take_trigger(&i->handler.n))
		return false;
	*ret_action = i->callback(i->callback_arg, object_handle(o), SCI_ERR_OK);
	return true;
}

static const struct dispatch_ops callbacks = {
	.word = handler_word, .sleepers = handler_sleepers, .run = run_callback};

/* triggers of a number that is shared */

static const _Atomic uint32_t *count_word(struct object *o)
{
	return &interrupt_of(o)->count;
}

static sci_error_t take_count(struct object *o, void *unused)
{
	struct local_interrupt *i = interrupt_of(o);
	uint32_t n = atomic_load(&i->count);

	while (n > 0)
		if (atomic_compare_exchange_weak(&i->count, &n, n - 1))
			return SCI_ERR_OK;
	return i->lost ? SCI_ERR_CANCELLED : WAIT_MORE;
}

static const struct wait_ops waiting_for_count = {.take = take_count, .word = count_word};

static void deliver(struct local_interrupt *i)
{
	sci_callback_action_t action;

	if (!i->callback) {
		atomic_fetch_add(&i->count, 1);
		wake_word(&i->count);
	} else if (!i->had_enough) {
		action =
			i->callback(i->callback_arg, object_handle(&i->handler.object), SCI_ERR_OK);
		i->had_enough = action == SCI_CALLBACK_CANCEL;
	}
}

/* The owner is gone: to own the number, or to attach to who does. False: somebody has it for
 * himself, or there is no daemon. */
static bool succeed_owner(struct local_interrupt *i)
{
	struct number n;

	number_end(&i->handler.n);
	if (number_take(WIRE_SPACE_SISCI_INT, NUMBER_SIZE, SCI_FLAG_FIXED_INTNO,
		    i->handler.n.number, true, &n))
		return false;
	number_release(&i->handler.n);
	i->handler.n = n;
	return true;
}

static bool run_shared(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_interrupt *i = interrupt_of(o);
	sci_error_t e = number_take_trigger(&i->handler.n);

	if (e == SCI_ERR_TIMEOUT)
		return false;
	if (e == SCI_ERR_OK) {
		if (i->handler.n.export)
			(void)cw_signal_post(i->handler.n.side, true);
		deliver(i);
	} else if (!succeed_owner(i)) {
		i->lost = true;
		wake_word(&i->count);
		*ret_action = SCI_CALLBACK_CANCEL;
	}
	return true;
}

static const struct dispatch_ops sharing = {
	.word = handler_word, .sleepers = handler_sleepers, .run = run_shared};

/* create */

static sci_error_t interrupt_create(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int adapter, unsigned int *number, sci_cb_interrupt_t callback, void *arg,
	unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	bool shared = flags & SCI_FLAG_SHARED_INT;
	sci_error_t e = adapter_check(adapter);
	const struct dispatch_ops *ops;
	struct local_interrupt *i;

	if (!desc || !interrupt || !number || (flags & SCI_FLAG_USE_CALLBACK && !callback))
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (flags & SCI_FLAG_CONDITIONAL_INTERRUPT)
		return SCI_ERR_FLAG_NOT_IMPLEMENTED;
	if (e)
		return e;
	i = calloc(1, sizeof(*i));
	if (!i)
		return SCI_ERR_NOSPC;
	e = number_take(WIRE_SPACE_SISCI_INT, NUMBER_SIZE, flags, *number, shared, &i->handler.n);
	if (e) {
		free(i);
		return e;
	}
	if (flags & SCI_FLAG_USE_CALLBACK)
		i->callback = callback;
	i->callback_arg = arg;
	i->shared = shared;
	i->handler.object.end = interrupt_end;
	i->handler.object.release = interrupt_release;
	ops = i->callback ? &callbacks : NULL;
	if (shared)
		ops = &sharing;
	return handler_enter(&i->handler, SISCI_LOCAL_INTERRUPT, desc, ops, interrupt, number);
}

SCI_CALL void SCICreateInterrupt(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int localAdapterNo, unsigned int *interruptNo, sci_cb_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = interrupt_create(
			sd, interrupt, localAdapterNo, interruptNo, callback, callbackArg, flags);
	call_end(error, e);
}

SCI_CALL void SCIRemoveInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(interrupt, SISCI_LOCAL_INTERRUPT));
}

static sci_error_t interrupt_wait(sci_local_interrupt_t interrupt, unsigned int milliseconds)
{
	struct object *o = object_get(interrupt, SISCI_LOCAL_INTERRUPT);
	const struct local_interrupt *i = interrupt_of(o);

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (i->callback) {
		object_put(o);
		return SCI_ERR_ILLEGAL_OPERATION;
	}
	return object_wait(o, i->shared ? &waiting_for_count : &waiting, NULL, milliseconds);
}

SCI_CALL void SCIWaitForInterrupt(sci_local_interrupt_t interrupt, unsigned int timeout,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : interrupt_wait(interrupt, timeout));
}
