/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_ATTACHES_H
#define API_CLSHM_ATTACHES_H

/*
 * What this process has attached, by address. Ranges never overlap. Room is reserved before an
 * attach is made, so that nothing can fail when it is there. Thread safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include "client/handle.h"

struct attach {
	char *address;
	size_t size;
	cw_handle import;
	int shmid;
	bool read_only;
	bool here; /* this partition's */
};

/* -ENOMEM. Followed by one attaches_add() or attaches_unreserve(). */
int attaches_reserve(void);
void attaches_unreserve(void);
void attaches_add(const struct attach *a);

/* Takes out the one that begins at address: the caller's to end. */
bool attaches_take(const void *address, struct attach *ret_attach);
/* Takes out one that lies within the range; -EINVAL: one lies in it and outside of it. */
int attaches_take_within(
	const char *address, size_t size, bool *ret_found, struct attach *ret_attach);

/* A copy of the nth; false: there are less. For people: others may come and go between calls. */
bool attaches_nth(unsigned int n, struct attach *ret_attach);

/* For fork.c; the child has them all. */
void attaches_fork_prepare(void);
void attaches_fork_parent(void);
void attaches_fork_child(void);
unsigned int attaches_count_locked(void);
void attaches_for_each_locked(void (*visit)(const struct attach *a));

#endif
