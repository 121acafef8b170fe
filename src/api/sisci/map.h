/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_MAP_H
#define SISCI_MAP_H

/*
 * Maps: where a program sees a part of a segment. Most are places in the one mapping of the segment
 * that the library has anyway; a fixed address or read-only pages are mappings of their own.
 */

#include "api/sisci/segment.h"
#include "client/map-again.h"

struct map {
	struct object object;
	struct local_segment *local; /* one of these two, referenced and counted as a user */
	struct remote_segment *remote;
	uint64_t offset, size; /* in the segment */
	uint8_t *address;
	uint8_t *own; /* a mapping of its own, page aligned; NULL: a place in the segment's */
	struct cw_map_again again;
};

/* [offset, offset + size) of the map. SCI_ERR_OUT_OF_RANGE. */
sci_error_t map_range(const struct map *m, uint64_t offset, uint64_t size, uint8_t **ret_address);

/* Whole memory of a remote segment, mapped; the one place that knows how another node's is. */
sci_error_t remote_segment_base(struct remote_segment *s, uint8_t **ret_base);

#endif
