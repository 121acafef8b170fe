/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PIN_H
#define DAEMON_PIN_H

/*
 * The process that keeps one segment locked in memory: it has it mapped and locked, and brings in
 * the pages that are not there yet, as long as there is memory for them. Should there be none in
 * spite of that, the kernel kills it first. It ends when the other end of its socket is closed.
 */

#include <stdint.h>
#include "placement/nodeset.h"

/* From the daemon, with the segment's memory. */
struct pin_order {
	uint64_t size;
	uint8_t nodes[NODESET_BYTES]; /* of a hard binding; empty: any */
};

/* The whole life of it; returns an exit status. */
int pin_run(int link);

#endif
