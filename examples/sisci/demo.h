/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_SISCI_DEMO_H
#define EXAMPLES_SISCI_DEMO_H

/* What the demo's two programs agree on. */

#include "common.h"

#define SEGMENT_ID   0x70
#define INTERRUPT_NO 0x71
#define HEADER_SIZE  4096 /* the picture comes behind it */

/* In the first page of the receiver's segment. */
typedef struct {
	volatile uint64_t size; /* of the picture; written by the sender, as the next two */
	volatile uint64_t sum;
	volatile uint32_t way;
	volatile uint32_t checked; /* by the receiver: the way that he has seen, or WRONG */
} header_t;

#define WRONG 0xffffffffu

static const char *const ways[] = {
	"nothing", "stores of the processor (PIO)", "SCIMemCpy with error check", "DMA"};
#define N_WAYS 3u

#endif
