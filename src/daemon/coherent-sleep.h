/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COHERENT_SLEEP_H
#define DAEMON_COHERENT_SLEEP_H

/*
 * Who sleeps at a lock in a page that goes to another node (clshm; docs/design/0011). The kernel
 * wakes the sleepers of its own node alone. So a page with such that goes is asked for again, to be
 * read; when it is here they are woken, and look. If nothing has changed they sleep again, with the
 * page here, and whoever changes it must take it away first. Under the lock.
 */

#include "daemon/coherent-private.h"

/* These pages, whose content is still here, are about to go. */
void coherent_sleep_leave(CoherentPart *part, uint64_t page, unsigned int n);
/* Something may have happened to the part's pages. Not within an operation of the pager. */
void coherent_sleep_settle(CoherentPart *part);
/* When that is due besides; UINT64_MAX: it is not. */
uint64_t coherent_sleep_next(const CoherentPart *part);

/* The part is lost, and its pages are still here: who sleeps is to look, and finds that out. Before
 * and after the memory has been emptied. */
void coherent_sleep_lose(CoherentPart *part);
void coherent_sleep_lost(CoherentPart *part);

/* A predecessor's, that is in this row. -EBADMSG: it makes no sense. */
int coherent_sleep_restore(CoherentPart *part, uint64_t page, uint32_t row, void **ret_sleeping);

/* The part ends. wake: its memory is there. */
void coherent_sleep_end(CoherentPart *part, bool wake);

#endif
