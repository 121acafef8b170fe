/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SHMBIND_SEGMENT_H
#define API_SHMBIND_SEGMENT_H

/* A System V segment and this process: rights, and a map of it for as long as it takes. */

#include "placement/sysv.h"

#define SEGMENT_READ  04u
#define SEGMENT_WRITE 02u

/* The kernel's list entry. -EINVAL: no such segment. */
int segment_find(int shmid, struct sysv_segment *ret_segment);

/* 0, or -EPERM: this process lacks one of these rights. */
int segment_check_rights(const struct sysv_segment *s, uint32_t rights);

struct attachment {
	int shmid;
	char *address;	  /* NULL: none */
	uint64_t size;	  /* bytes, as asked for at shmget() */
	uint64_t n_pages; /* what the segment has */
	uint64_t page;	  /* bytes of a page as far as policies go: larger for huge pages */
	bool writable;
};

/* -EPERM, -EINVAL (it is gone), -ENOMEM … */
int attachment_make(const struct sysv_segment *s, bool writable, struct attachment *ret_attachment);
/* A new map in place of the old one, without a moment in between. */
int attachment_renew(struct attachment *a);
/* Finds out whether it has huge pages. */
int attachment_measure(struct attachment *a);
/* True if nobody else has it attached. The kernel counts maps, and each range with a policy of its
 * own is one, as is each part after measuring: to be asked before. */
bool attachment_is_only_one(const struct attachment *a);
/* NULL address is fine. */
void attachment_deinit(struct attachment *a);

bool attachment_is_huge(const struct attachment *a);

static inline uint64_t attachment_bytes(const struct attachment *a)
{
	return a->n_pages * a->page;
}

#endif
