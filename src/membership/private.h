/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMBERSHIP_PRIVATE_H
#define MEMBERSHIP_PRIVATE_H

/* What those who make lists share. */

#include "membership/membership.h"

struct Membership {
	uint32_t n;
	struct member members[]; /* by number */
};

#endif
