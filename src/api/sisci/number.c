/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/sisci/codes.h"
#include "api/sisci/interrupt.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "client/offer.h"
#include "client/remote.h"
#include "client/signal.h"
#include "wire/status.h"

/* Numbers of interrupts, taken and connected. */

#define MODE	    0666u	/* as segments: who can reach the node can trigger */
#define SHARED_MARK 0x64726873u /* first in the memory of a number that handlers share */
#define TRIES	    100		/* for one whose owner comes and goes */

static int find_cell(struct number *n)
{
	n->export = cw_export_ref(n->side);
	if (!n->export)
		n->import = cw_import_ref(n->side);
	return cw_signal_cell(n->side, &n->cell);
}

static int own(uint32_t space, uint64_t size, uint32_t offer, struct number *n)
{
	/* most of a data interrupt's lanes stay unused */
	bool reserve = space == WIRE_SPACE_SISCI_INT;
	int r = cw_export_make(space, size, MODE, 0, reserve, &n->memory, &n->side);

	if (r)
		return r;
	if (offer & WIRE_OFFER_SHARED)
		*(uint32_t *)n->memory = SHARED_MARK;
	r = cw_export_offer(n->side, &n->number, offer);
	if (!r)
		r = find_cell(n);
	/* nobody can trigger it before everything is there */
	return r ? r : cw_offer_open(n->side, true, 0);
}

static int attach(uint32_t space, struct number *n)
{
	int r = cw_import_attach_offer(space, n->number, &n->side);

	/* somebody has it for himself */
	if (r == STATUS_DENIED)
		return STATUS_ID_IN_USE;
	return r ? r : find_cell(n);
}

static void drop(struct number *n)
{
	number_end(n);
	number_release(n);
	*n = (struct number){.number = n->number};
}

/* NOT_FOUND: who shares it has just left. */
static int take(uint32_t space, uint64_t size, uint32_t offer, struct number *n)
{
	int r = own(space, size, offer, n);

	if (r == STATUS_ID_IN_USE && offer & WIRE_OFFER_SHARED) {
		drop(n);
		r = attach(space, n);
	}
	if (r)
		drop(n);
	return r;
}

sci_error_t number_take(uint32_t space, uint64_t size, unsigned int flags, unsigned int number,
	bool shared, struct number *ret_number)
{
	bool fixed = flags & SCI_FLAG_FIXED_INTNO;
	uint32_t offer = (fixed ? 0 : WIRE_OFFER_AUTO) | (shared ? WIRE_OFFER_SHARED : 0);
	struct number n = {.number = fixed ? number : INTERRUPT_FIRST};
	int r = STATUS_NOT_FOUND;

	for (int i = 0; i < TRIES && r == STATUS_NOT_FOUND; i++)
		r = take(space, size, offer, &n);
	if (r)
		return code_of(CODE_CREATE, r);
	*ret_number = n;
	return SCI_ERR_OK;
}

void number_end(struct number *n)
{
	if (n->side && cw_handle_kind(n->side) == CW_IMPORT_SEGMENT)
		(void)cw_import_disconnect(n->side);
	else if (n->side)
		(void)cw_export_leave(n->side, true);
	n->side = 0;
}

void number_release(struct number *n)
{
	cw_export_put(n->export);
	cw_import_put(n->import);
}

static bool is_over(const struct number *n)
{
	if (n->import)
		return cw_import_ready(n->import) != 0;
	return cw_link_suspect(n->export->link) && cw_link_is_lost(n->export->link);
}

sci_error_t number_take_trigger(const struct number *n)
{
	uint32_t w = atomic_load(&n->cell->word);

	while (w & WIRE_CELL_COUNT)
		if (atomic_compare_exchange_weak(&n->cell->word, &w, w - 1))
			return SCI_ERR_OK;
	return is_over(n) ? SCI_ERR_CANCELLED : SCI_ERR_TIMEOUT;
}

/* connecting */

struct attempt {
	uint32_t space, node, number;
	cw_handle import;
};

static sci_error_t attempt(void *data)
{
	struct attempt *a = data;
	uint32_t controller = a->node ? WIRE_CONTROLLER_TCP : WIRE_CONTROLLER_LOOPBACK;
	int r;

	do
		r = cw_import_connect(a->space, controller, a->node, a->number,
			WIRE_READ | WIRE_WRITE, &a->import);
	while (r == STATUS_INTERRUPTED);
	return code_of(CODE_CONNECT, r);
}

sci_error_t number_connect(uint32_t space, unsigned int node_id, unsigned int adapter,
	uint32_t number, unsigned int milliseconds, cw_handle *ret_import)
{
	struct attempt a = {.space = space, .number = number};
	sci_error_t e = adapter_check(adapter);

	if (!e)
		e = node_number(node_id, &a.node);
	if (!e)
		e = connect_patiently(attempt, &a, milliseconds);
	if (!e)
		*ret_import = a.import;
	return e;
}

bool number_is_shared(cw_handle handle)
{
	struct cw_import *import = cw_import_ref(handle), *entered;
	uint32_t mark = 0;
	uint8_t *base;
	int r = STATUS_BAD_HANDLE;

	if (import && import->remote) {
		entered = cw_enter(handle, CW_IMPORT_SEGMENT);
		if (entered)
			r = cw_remote_get(entered, 0, &mark, sizeof(mark), 0);
	} else if (import) {
		r = cw_import_base(import, &base);
		if (!r)
			memcpy(&mark, base, sizeof(mark));
	}
	cw_import_put(import);
	return !r && mark == SHARED_MARK;
}
