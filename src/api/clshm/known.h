/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_KNOWN_H
#define API_CLSHM_KNOWN_H

/*
 * What the daemon has said of keys of this partition: who asks the same again is answered without
 * it, as long as it has not removed or changed any segment since. A table in which a key may drive
 * out another one. Thread safe.
 */

#include "client/link.h"

struct known_question {
	uint32_t key;
	uint32_t mode;
	uint64_t size;
};

/* STATUS_NOT_FOUND: the daemon must be asked. */
int known_find(const struct known_question *question, int *ret_shmid);

/* changes: of the node page as it was before the daemon was asked, over link. */
void known_add(
	struct cw_link *link, uint64_t changes, const struct known_question *question, int shmid);

unsigned int known_count(void);

/* For fork.c; the child knows nothing. */
void known_fork_prepare(void);
void known_fork_parent(void);
void known_fork_child(void);

#endif
