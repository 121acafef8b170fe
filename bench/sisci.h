/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SISCI_H
#define BENCH_SISCI_H

/*
 * What the groups of SISCI share: a segment that others can connect to, a connection with a map,
 * and one step of a copy by each of the ways that there are.
 */

#include <sisci_api.h>
#include "bench.h"

#define SISCI_PIECES 16u /* of a vector; powers of two */

/* Ends the group if a call did not succeed. */
void bench_sisci(sci_error_t error, const char *what);
/* SCIInitialize and a descriptor, once a process. */
sci_desc_t sisci_desc(void);
unsigned int sisci_node(void);

struct sisci_own {
	sci_local_segment_t segment;
	unsigned int id;
	uint8_t *memory;
};
/* available: others can connect. */
struct sisci_own sisci_own(size_t size, bool available);

struct sisci_other {
	sci_remote_segment_t segment;
	sci_map_t map;		  /* or NULL, */
	volatile uint8_t *memory; /* and this */
};
struct sisci_other sisci_other(unsigned int node, unsigned int id, size_t size, bool mapped);

/* A segment here, one there, and the ways from one to the other. */
struct sisci_copy {
	struct sisci_own from;
	struct sisci_other to;
	sci_dma_queue_t queue;
	sci_sequence_t sequence; /* of the map */
	size_t size;
};
void sisci_copy_begin(struct sisci_copy *copy, unsigned int node, unsigned int id,
	size_t segment_size, bool mapped);

/* Work for bench_time, of struct sisci_copy. */
void sisci_dma_write(void *context, unsigned long n); /* started, then waited for */
void sisci_dma_read(void *context, unsigned long n);
void sisci_dma_wait(void *context, unsigned long n);   /* SCI_FLAG_DMA_WAIT */
void sisci_dma_vector(void *context, unsigned long n); /* size in SISCI_PIECES */
void sisci_memcpy_write(void *context, unsigned long n);
void sisci_memcpy_read(void *context, unsigned long n);

#endif
