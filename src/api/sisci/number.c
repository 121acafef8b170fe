/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/sisci/codes.h"
#include "api/sisci/interrupt.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "client/offer.h"
#include "client/signal.h"
#include "wire/status.h"

/* Numbers of interrupts, taken and connected. */

#define MODE 0666u /* as segments: who can reach the node can trigger */

static int find_cell(struct number *n)
{
	n->export = cw_export_ref(n->side);
	if (!n->export)
		n->import = cw_import_ref(n->side);
	return cw_signal_cell(n->side, &n->cell);
}

static int own(uint32_t space, uint64_t size, unsigned int flags, bool shared, struct number *n)
{
	uint32_t offer = flags & SCI_FLAG_FIXED_INTNO ? 0 : WIRE_OFFER_AUTO;
	int r;

	r = cw_export_make(space, size, MODE, 0, true, &n->memory, &n->side);
	if (r)
		return r;
	r = cw_export_offer(n->side, &n->number, offer);
	if (!r && shared)
		r = cw_export_share(n->side);
	if (!r)
		r = find_cell(n);
	/* nobody can trigger it before everything is there */
	if (!r)
		r = cw_offer_open(n->side, true, 0);
	return r;
}

static int attach(uint32_t space, struct number *n)
{
	int r = cw_import_attach_offer(space, n->number, &n->side);

	return r ? r : find_cell(n);
}

sci_error_t number_take(uint32_t space, uint64_t size, unsigned int flags, unsigned int number,
	bool shared, struct number *ret_number)
{
	struct number n = {.number = flags & SCI_FLAG_FIXED_INTNO ? number : INTERRUPT_FIRST};
	int r = own(space, size, flags, shared, &n);

	if (r == STATUS_ID_IN_USE && shared) {
		number_end(&n);
		number_release(&n);
		n = (struct number){.number = number};
		r = attach(space, &n);
		/* there is one, which shares with nobody */
		if (r == STATUS_DENIED)
			r = STATUS_ID_IN_USE;
	}
	if (r) {
		number_end(&n);
		number_release(&n);
		return code_of(CODE_CREATE, r);
	}
	*ret_number = n;
	return SCI_ERR_OK;
}

void number_end(struct number *n)
{
	if (n->side && cw_handle_kind(n->side) == CW_IMPORT_SEGMENT)
		(void)cw_import_disconnect(n->side);
	else if (n->side)
		(void)cw_export_leave(n->side, true);
}

void number_release(struct number *n)
{
	cw_export_put(n->export);
	cw_import_put(n->import);
}

sci_error_t number_take_trigger(const struct number *n)
{
	int r = cw_signal_wait(n->side, 0);

	if (r == STATUS_TIMED_OUT || r == STATUS_INTERRUPTED)
		return SCI_ERR_TIMEOUT;
	return r ? SCI_ERR_CANCELLED : SCI_ERR_OK;
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
