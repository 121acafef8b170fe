/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"

/* The library's beginning and end, and descriptors. */

struct desc {
	struct object object;
};

static sci_error_t initialize(void)
{
	int r = cw_connect(NULL);

	if (r == 0)
		call_initialize();
	return code_of(CODE_OPERATE, r);
}

SCI_CALL void SCIInitialize(unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e == SCI_ERR_OK || e == SCI_ERR_NOT_INITIALIZED ? initialize() : e);
}

static void end_object(struct object *o, void *unused)
{
	object_end(o);
}

SCI_CALL void SCITerminate(void)
{
	if (call_begin(0) == SCI_ERR_OK && call_terminate())
		object_for_each(end_object, NULL);
	call_end(NULL, SCI_ERR_OK);
}

static void desc_release(struct object *o)
{
	free(container_of(o, struct desc, object));
}

static sci_error_t desc_open(sci_desc_t *sd)
{
	struct desc *d;
	int r;

	if (!sd)
		return SCI_ERR_ILLEGAL_PARAMETER;
	d = calloc(1, sizeof(*d));
	if (!d)
		return SCI_ERR_NOSPC;
	d->object.release = desc_release;
	r = object_new(&d->object, SISCI_DESC, NULL);
	if (r < 0) {
		free(d);
		return code_of(CODE_OPERATE, r);
	}
	*sd = object_handle(&d->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCIOpen(sci_desc_t *sd, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : desc_open(sd));
}

struct closing {
	struct object *desc;
	bool busy;
};

static void look_whether_busy(struct object *o, void *data)
{
	struct closing *c = data;

	if (o->desc == c->desc && o->busy && o->busy(o))
		c->busy = true;
}

static void end_if_of(struct object *o, void *data)
{
	struct closing *c = data;

	if (o->desc == c->desc)
		object_end(o);
}

static sci_error_t desc_close(sci_desc_t sd)
{
	_cleanup_object_ struct object *desc = object_get(sd, SISCI_DESC);
	struct closing c = {.desc = desc};

	if (!desc)
		return SCI_ERR_ILLEGAL_PARAMETER;
	object_for_each(look_whether_busy, &c);
	if (c.busy)
		return SCI_ERR_BUSY;
	object_for_each(end_if_of, &c);
	return object_end(desc) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIClose(sci_desc_t sd, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : desc_close(sd));
}
