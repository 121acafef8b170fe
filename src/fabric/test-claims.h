/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TEST_CLAIMS_H
#define FABRIC_TEST_CLAIMS_H

/*
 * A directory for tests: memory whose pages are elsewhere now and then. What is behind the keys is
 * a mapping that nobody can touch but within a claim, so that whoever does is found out at once: by
 * a signal, or by EFAULT. Claims are made by the data thread; the rest is for any thread.
 */

#include "fabric/test-suite.h"

#define CLAIM_PAGE 4096u

struct claims;

/* One key's part of the memory: fabric_region.coherent. */
struct claims_part {
	struct claims *claims;
	uint64_t offset;
};

struct claims *claims_new(int memory_fd);
/* Nothing may be claimed. */
void claims_free(struct claims *claims);
/* Where the memory is for the target. */
uint8_t *claims_memory(struct claims *claims);
/* Whose claims are refused is told to this target's fabric_target_retry() at once if a claim is
 * refused by chance. NULL: nobody, and nothing is refused by chance. */
void claims_set_chance(struct claims *claims, FabricTarget *target);

/* From now on the page is not here, until claims_give(). */
void claims_take(struct claims *claims, uint64_t page);
void claims_give(struct claims *claims, uint64_t page);
/* How many claims were refused so far. */
unsigned int claims_refused(struct claims *claims);

size_t claims_claim(struct claims_part *part, uint64_t off, size_t n, bool write);
void claims_unclaim(struct claims_part *part, uint64_t off, size_t n);

#endif
