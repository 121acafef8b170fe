/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_SEQUENCE_H
#define SISCI_SEQUENCE_H

/*
 * Sequences: what tells whether the stores to a map have arrived. A map that is unmapped leaves its
 * sequences inert.
 */

#include "api/sisci/map.h"

struct sequence {
	struct object object;
	struct map *map; /* referenced */
	/* of the segment's note and of its stores that were discarded, up to which all has been
	 * told; under the object's lock */
	uint32_t discards;
};

#endif
