/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_MASK_H
#define PLACEMENT_MASK_H

/* The program's masks of any length. */

#include "placement/nodeset.h"

/* The bits [0, length). *ret_beyond: one is set that no set has room for. -EFAULT. */
int mask_read(const unsigned long *mask, int length, struct nodeset *ret_set, bool *ret_beyond);

/* All of the mask's longs. -EINVAL: it has no room for the highest node; -EFAULT. */
int mask_write(unsigned long *mask, int length, const struct nodeset *set);

#endif
