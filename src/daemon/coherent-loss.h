/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COHERENT_LOSS_H
#define DAEMON_COHERENT_LOSS_H

/*
 * What becomes of who has memory of a lost node attached (clshm, [Clshm] OnLoss; docs/design/0011).
 * Elsewhere zeros come and stores stay here, which coherent-guest.c does alone.
 *
 * Under the lock, as all of coherent*.c.
 */

#include "daemon/coherent-private.h"

/* The guest is lost, and its memory has been emptied. True: it stays, as a part that is over, until
 * nobody has it mapped any more; who touches it gets what is due. False: nobody has it mapped, or
 * what is mapped is to be released. By the main thread. */
bool coherent_loss_begin(CoherentGuest *guest);

/* A process waits for a page of such a part. */
void coherent_loss_fault(CoherentMapper *mapper, uint64_t page, const struct watch_event *fault);

/* part->turn may have come. */
void coherent_loss_tick(CoherentPart *part);

/* The part has lost a mapper. */
void coherent_loss_unmapped(CoherentPart *part);

#endif
