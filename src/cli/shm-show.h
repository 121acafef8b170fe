/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SHM_SHOW_H
#define CLI_SHM_SHOW_H

/* Where the pages of a System V segment are, drawn or as JSON. */

#include "cli/command.h"

/* "stripe" or "?" for order, an enum placement_order */
const char *placement_order_name(uint32_t order);

/* Returns an exit status, after it said what failed. Attaches the segment for a moment. */
int shm_show(int shmid, const struct invocation *in);

#endif
