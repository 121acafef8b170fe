/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_INTERRUPT_H
#define SISCI_INTERRUPT_H

/*
 * What both kinds of interrupts have in common: a segment whose id is the number, in a space of its
 * own. A trigger is a signal to it; every trigger counts.
 *
 * Handlers that share a number (SCI_FLAG_SHARED_INT): one owns the segment, the others are attached
 * to it. Triggers reach the owner, who passes each on to all. When he ends, the others learn it by
 * their imports: one of them takes the number anew, the rest attach to that, and who had been
 * connected finds it at the next trigger.
 */

#include "api/sisci/object.h"
#include "client/export.h"
#include "client/import.h"
#include "wire/shared.h"

#define INTERRUPT_FIRST 0x10000u /* where numbers begin that the library chooses */

struct number {
	cw_handle side;		  /* export, or an attached import */
	struct cw_export *export; /* one of these two, referenced */
	struct cw_import *import;
	struct wire_cell *cell; /* where its signals come */
	uint32_t number;
	void *memory; /* the owner's */
};

/* Takes a number: *number with SCI_FLAG_FIXED_INTNO, else one of ours. shared: perhaps together
 * with others. SCI_ERR_INTNO_USED, SCI_ERR_NOSPC … */
sci_error_t number_take(uint32_t space, uint64_t size, unsigned int flags, unsigned int number,
	bool shared, struct number *ret_number);
/* Nobody triggers it any more. Of one that has ended, or of none, too. */
void number_end(struct number *n);
void number_release(struct number *n);
/* One trigger, or SCI_ERR_TIMEOUT: there is none; SCI_ERR_CANCELLED: nor will there be, because the
 * owner of a shared number is gone, or the node. */
sci_error_t number_take_trigger(const struct number *n);

struct dispatch_ops;

/* A local interrupt of either kind begins with this. */
struct handler {
	struct object object;
	struct number n;
};
/* Its cell, for waits and callbacks. */
const _Atomic uint32_t *handler_word(struct object *o);
_Atomic uint32_t *handler_sleepers(struct object *o);
/* It can be found from here on. callbacks: NULL, or what runs them. *ret_interrupt (a handle of the
 * interrupt's type) and *ret_number are told before the first callback, which may remove it; they
 * stay as they are on failure, after which h is gone. */
sci_error_t handler_enter(struct handler *h, enum sisci_kind kind, struct object *desc,
	const struct dispatch_ops *callbacks, void *ret_interrupt, unsigned int *ret_number);

/* The other side: a connection to a number of a node, as a handle. */
sci_error_t number_connect(uint32_t space, unsigned int node_id, unsigned int adapter,
	uint32_t number, unsigned int milliseconds, cw_handle *ret_import);
/* Is it one that handlers share? */
bool number_is_shared(cw_handle import);

#endif
