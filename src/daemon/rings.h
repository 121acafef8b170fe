/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_RINGS_H
#define DAEMON_RINGS_H

/*
 * What the daemon tells a client about offered segments and about imports of them: rings and notes
 * in its status page (wire/shared.h). All of it outlives the daemon with the page. One thread.
 */

#include "daemon/pages.h"

/* Before there can be events of this export, or attached import. -ENOSPC: no ring has this index.
 */
int ring_reserve(struct status_page *page, uint32_t side, uint32_t index);
void ring_add(
	struct status_page *page, uint32_t side, uint32_t index, uint32_t event, uint32_t node);

/* A new import's, all zero. */
int note_reserve(struct status_page *page, uint32_t import);
void note_leave(struct status_page *page, uint32_t import);
/* Nothing happens if it says so already. */
void note_turn(struct status_page *page, uint32_t import, bool away);
/* The import's state has changed: for who sleeps on everything. */
void note_state(struct status_page *page);

#endif
