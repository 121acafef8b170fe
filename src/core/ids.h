/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_IDS_H
#define CORE_IDS_H

/*
 * Published segments by (space, id): a hash table with chains through segment->next_id. It grows
 * with its content; when there is no memory for that it gets slower, never wrong, so only its birth
 * can fail.
 */

#include "core/engine.h"

struct ids {
	EngineSegment **buckets;
	uint32_t n_buckets; /* a power of 2 */
	uint32_t n_used;
};

int ids_init(struct ids *ids);
void ids_deinit(struct ids *ids);
EngineSegment *ids_find(const struct ids *ids, uint32_t space, uint32_t id);
/* segment->space and id are set and not in the table. */
void ids_add(struct ids *ids, EngineSegment *segment);
void ids_remove(struct ids *ids, EngineSegment *segment);

#endif
