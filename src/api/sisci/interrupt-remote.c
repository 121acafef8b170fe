/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/interrupt.h"
#include "client/signal.h"

/* Remote interrupts: a trigger is a signal; on one node a store and perhaps a system call, between
 * nodes an operation behind all data that went there before. */

struct remote_interrupt {
	struct object object;
	cw_handle import;
};

static struct remote_interrupt *interrupt_of(struct object *o)
{
	return container_of(o, struct remote_interrupt, object);
}

static void interrupt_end(struct object *o)
{
	(void)cw_import_disconnect(interrupt_of(o)->import);
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
	i->object.end = interrupt_end;
	i->object.release = interrupt_release;
	r = object_new(&i->object, SISCI_REMOTE_INTERRUPT, desc);
	if (r) {
		interrupt_end(&i->object);
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

static sci_error_t interrupt_disconnect(sci_remote_interrupt_t interrupt)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_REMOTE_INTERRUPT);

	return o && object_end(o) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIDisconnectInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : interrupt_disconnect(interrupt));
}

static sci_error_t trigger(sci_remote_interrupt_t interrupt)
{
	_cleanup_object_ struct object *o = object_get(interrupt, SISCI_REMOTE_INTERRUPT);

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	return code_of(CODE_OPERATE, cw_signal_post(interrupt_of(o)->import, true));
}

SCI_CALL void SCITriggerInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : trigger(interrupt));
}
