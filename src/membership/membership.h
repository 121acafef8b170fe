/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMBERSHIP_MEMBERSHIP_H
#define MEMBERSHIP_MEMBERSHIP_H

/*
 * Who belongs to the nodes, and where each is found. A list does not change; when the members do,
 * whoever makes lists (static/: from what the configuration says) makes another. Who of them is up
 * is not known here: the sessions tell. Thread safe: read only.
 */

#include <stdint.h>
#include "base/cleanup.h"

struct member {
	uint32_t node; /* not 0 */
	uint32_t port;
	const char *host; /* the list's */
};

typedef struct Membership Membership;

void membership_free(Membership *membership); /* NULL is fine */
DEFINE_CLEANUP(Membership *, membership_free);

uint32_t membership_count(const Membership *membership);
/* NULL: not a member. */
const struct member *membership_find(const Membership *membership, uint32_t node);
/* The one with the smallest number above, or NULL. */
const struct member *membership_next(const Membership *membership, uint32_t above);

#endif
