/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMBERSHIP_STATIC_STATIC_H
#define MEMBERSHIP_STATIC_STATIC_H

#include "membership/membership.h"

/* The list as given, in any order. -EINVAL: a number is 0 or comes twice. */
int membership_static_new(
	const struct member *members, uint32_t n_members, Membership **ret_membership);

#endif
