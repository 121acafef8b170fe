/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/interrupt.h"
#include "client/signal.h"
#include "wire/status.h"

/* Remote interrupts: a trigger is a signal; on one node a store and perhaps a system call, between
 * nodes an operation behind all data that went there before. */

struct remote_interrupt {
	struct object object; /* its lock: of changing the import */
	_Atomic cw_handle import;
	unsigned int node, adapter, number;
};

static struct remote_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct remote_interrupt, object);
}

static void interrupt_end(struct object *o)
{
	pthread_mutex_lock(&o->lock);
	(void)cw_import_disconnect(interrupt_of(o)->import);
	pthread_mutex_unlock(&o->lock);
}

static void interrupt_release(struct object *o)
{
	free(interrupt_of(o));
}

static sci_error_t interrupt_connect(sci_desc_t sd, sci_remote_interrupt_t *interrupt,
	unsigned int node, unsigned int adapter, unsigned int number, unsigned int milliseconds)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	struct remote_interrupt *i;
	cw_handle import;
	sci_error_t e;
	int r;

	if (!desc || !interrupt)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = number_connect(WIRE_SPACE_SISCI_INT, node, adapter, number, milliseconds, &import);
	if (e)
		return e;
	i = calloc(1, sizeof(*i));
	if (!i) {
		(void)cw_import_disconnect(import);
		return SCI_ERR_NOSPC;
	}
	i->import = import;
	i->node = node;
	i->adapter = adapter;
	i->number = number;
	i->object.end = interrupt_end;
	i->object.release = interrupt_release;
	r = object_new(&i->object, SISCI_REMOTE_INTERRUPT, desc);
	if (r) {
		(void)cw_import_disconnect(import);
		free(i);
		return code_of(CODE_CREATE, r);
	}
	*interrupt = object_handle(&i->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCIConnectInterrupt(sci_desc_t sd, sci_remote_interrupt_t *interrupt,
	unsigned int nodeId, unsigned int localAdapterNo, unsigned int interruptNo,
	unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = interrupt_connect(sd, interrupt, nodeId, localAdapterNo, interruptNo, timeout);
	call_end(error, e);
}

SCI_CALL void SCIDisconnectInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(interrupt, SISCI_REMOTE_INTERRUPT));
}

/* The number is gone, but perhaps it was one that handlers share, and one of them has it now. */
static bool connect_again_locked(struct remote_interrupt *i)
{
	cw_handle found;

	if (i->object.ended ||
		number_connect(WIRE_SPACE_SISCI_INT, i->node, i->adapter, i->number, 0, &found))
		return false;
	if (!number_is_shared(found)) {
		(void)cw_import_disconnect(found);
		return false;
	}
	(void)cw_import_disconnect(i->import);
	i->import = found;
	return true;
}

/* True: there is another import to try. */
static bool connect_again(struct remote_interrupt *i, cw_handle tried)
{
	bool again;

	pthread_mutex_lock(&i->object.lock);
	again = i->import != tried || connect_again_locked(i);
	pthread_mutex_unlock(&i->object.lock);
	return again;
}

static sci_error_t trigger(sci_remote_interrupt_t interrupt)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_REMOTE_INTERRUPT);
	struct remote_interrupt *i = interrupt_of(o);
	cw_handle import;
	int r;

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	do {
		import = i->import;
		r = cw_signal_post(import, true);
	} while ((r == STATUS_REVOKED || r == STATUS_BAD_HANDLE) && connect_again(i, import));
	return code_of(CODE_OPERATE, r);
}

SCI_CALL void SCITriggerInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : trigger(interrupt));
}
