/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_BUDGET_H
#define CLIENT_BUDGET_H

/*
 * How many descriptors of segments the library keeps open in somebody else's process: at most an
 * eighth of the soft limit, so that a program with 10,000 segments and 1,024 descriptors works.
 */

#include <stdbool.h>
#include "base/cleanup.h"

/* May one more descriptor be kept? If so it is counted. */
bool budget_take(void);
/* Closes a kept descriptor; -1 is fine. Returns -1. */
int budget_close(int fd);

#endif
