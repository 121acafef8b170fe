/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/sisci/codes.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/interrupt.h"

/* What local interrupts of both kinds do alike. */

static struct handler *handler_of(struct object *o)
{
	return container_of(o, struct handler, object);
}

const _Atomic uint32_t *handler_word(struct object *o)
{
	return &handler_of(o)->n.cell->word;
}

_Atomic uint32_t *handler_sleepers(struct object *o)
{
	return &handler_of(o)->n.cell->sleepers;
}

sci_error_t handler_enter(struct handler *h, enum sisci_kind kind, struct object *desc,
	const struct dispatch_ops *callbacks, void *ret_interrupt, unsigned int *ret_number)
{
	const unsigned int old_number = *ret_number;
	void *old, *handle;
	int r = object_new(&h->object, kind, desc);

	if (r) {
		number_end(&h->n);
		h->object.release(&h->object);
		return code_of(CODE_CREATE, r);
	}
	handle = object_handle(&h->object);
	memcpy(&old, ret_interrupt, sizeof(old));
	memcpy(ret_interrupt, &handle, sizeof(handle));
	*ret_number = h->n.number;
	if (callbacks)
		r = dispatch_add(&h->object, callbacks);
	if (r < 0) {
		memcpy(ret_interrupt, &old, sizeof(old));
		*ret_number = old_number;
		object_end(&h->object);
	}
	return code_of(CODE_CREATE, r);
}
