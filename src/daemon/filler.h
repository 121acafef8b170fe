/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_FILLER_H
#define DAEMON_FILLER_H

/*
 * The process that follows free memory for one segment bound with MOSTFREE: as long as the segment
 * lacks pages it looks which of the nodes has most free memory and has the segment's policy begin
 * there. It has the segment mapped through a descriptor, so nobody counts it as attached, and ends
 * when all pages are there, when the segment has been removed, or with its node. If it dies the
 * kernel keeps what it chose last.
 */

#include <stdint.h>
#include "placement/nodeset.h"

/* From the daemon, with the segment's memory. */
struct filler_order {
	int32_t shmid; /* -1: of clshm; its end closes the link */
	uint32_t hard;
	uint64_t size;
	uint8_t nodes[NODESET_BYTES];
};

enum filler_reason {
	FILLER_FULL = 1,
	FILLER_REMOVED = 2,
	FILLER_FAILED = 3,
};

/* Back, as the last thing. */
struct filler_end {
	uint32_t reason; /* enum filler_reason */
	int32_t error;
};

const char *filler_reason_text(uint32_t reason);

/* The whole life of it; returns an exit status. */
int filler_run(int link);

#endif
