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
	struct object object;
	struct number n; /* of one that is shared: the callback thread's */
	sci_cb_interrupt_t callback;
	void *callback_arg;
	bool shared;
	bool had_enough;	/* a callback of one that is shared, which was cancelled */
	_Atomic bool lost;	/* nobody could take the shared number on */
	_Atomic uint32_t count; /* of triggers of one that is shared, for those who wait */
};

static struct local_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct local_interrupt, object);
}

/* What others who share the number have not got yet is theirs. */
static void interrupt_end(struct object *o)
{
	struct local_interrupt *i = interrupt_of(o);

	while (i->shared && i->n.export && number_take_trigger(&i->n) == SCI_ERR_OK)
		(void)cw_signal_post(i->n.side, true);
	number_end(&i->n);
}

static void interrupt_release(struct object *o)
{
	struct local_interrupt *i = interrupt_of(o);

	number_release(&i->n);
	free(i);
}

/* triggers */

static const _Atomic uint32_t *cell_word(struct object *o)
{
	return &interrupt_of(o)->n.cell->word;
}

static _Atomic uint32_t *cell_sleepers(struct object *o)
{
	return &interrupt_of(o)->n.cell->sleepers;
}

static sci_error_t take_trigger(struct object *o, void *unused)
{
	sci_error_t e = number_take_trigger(&interrupt_of(o)->n);

	return e == SCI_ERR_TIMEOUT ? WAIT_MORE : e;
}

static const struct wait_ops waiting = {
	.take = take_trigger, .word = cell_word, .sleepers = cell_sleepers};

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_interrupt *i = interrupt_of(o);

	if (number_take_trigger(&i->n))
		return false;
	*ret_action = i->callback(i->callback_arg, object_handle(o), SCI_ERR_OK);
	return true;
}

static const struct dispatch_ops callbacks = {
	.word = cell_word, .sleepers = cell_sleepers, .run = run_callback};

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
		action = i->callback(i->callback_arg, object_handle(&i->object), SCI_ERR_OK);
		i->had_enough = action == SCI_CALLBACK_CANCEL;
	}
}

/* The owner is gone: to own the number, or to attach to who does. False: somebody has it for
 * himself, or there is no daemon. */
static bool succeed_owner(struct local_interrupt *i)
{
	struct number n;

	number_end(&i->n);
	if (number_take(
		    WIRE_SPACE_SISCI_INT, NUMBER_SIZE, SCI_FLAG_FIXED_INTNO, i->n.number, true, &n))
		return false;
	number_release(&i->n);
	i->n = n;
	return true;
}

static bool run_shared(struct object *o, sci_callback_action_t *ret_action)
{
	struct local_interrupt *i = interrupt_of(o);
	sci_error_t e = number_take_trigger(&i->n);

	if (e == SCI_ERR_TIMEOUT)
		return false;
	if (e == SCI_ERR_OK) {
		if (i->n.export)
			(void)cw_signal_post(i->n.side, true);
		deliver(i);
	} else if (!succeed_owner(i)) {
		i->lost = true;
		wake_word(&i->count);
		*ret_action = SCI_CALLBACK_CANCEL;
	}
	return true;
}

static const struct dispatch_ops sharing = {
	.word = cell_word, .sleepers = cell_sleepers, .run = run_shared};

/* create */

/* A callback may come, and remove it, before this returns: what the program is told is there first.
 */
static sci_error_t interrupt_enter(struct local_interrupt *i, struct object *desc,
	sci_local_interrupt_t *interrupt, unsigned int *number)
{
	sci_local_interrupt_t old = *interrupt;
	const unsigned int old_number = *number;
	int r = object_new(&i->object, SISCI_LOCAL_INTERRUPT, desc);

	if (r) {
		interrupt_end(&i->object);
		interrupt_release(&i->object);
		return code_of(CODE_CREATE, r);
	}
	*interrupt = object_handle(&i->object);
	*number = i->n.number;
	if (i->callback || i->shared)
		r = dispatch_add(&i->object, i->shared ? &sharing : &callbacks);
	if (r < 0) {
		*interrupt = old;
		*number = old_number;
		object_end(&i->object);
	}
	return code_of(CODE_CREATE, r);
}

static sci_error_t interrupt_create(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int adapter, unsigned int *number, sci_cb_interrupt_t callback, void *arg,
	unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	bool shared = flags & SCI_FLAG_SHARED_INT;
	sci_error_t e = adapter_check(adapter);
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
	e = number_take(WIRE_SPACE_SISCI_INT, NUMBER_SIZE, flags, *number, shared, &i->n);
	if (e) {
		free(i);
		return e;
	}
	if (flags & SCI_FLAG_USE_CALLBACK)
		i->callback = callback;
	i->callback_arg = arg;
	i->shared = shared;
	i->object.end = interrupt_end;
	i->object.release = interrupt_release;
	return interrupt_enter(i, desc, interrupt, number);
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

static sci_error_t interrupt_remove(sci_local_interrupt_t interrupt)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_LOCAL_INTERRUPT);

	return o && object_end(o) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIRemoveInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : interrupt_remove(interrupt));
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
