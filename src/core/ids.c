/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ids.h"

#include <assert.h>
#include <stdlib.h>

#define IDS_BUCKETS_MIN 64u

int ids_init(struct ids *ids)
{
	EngineSegment **buckets = calloc(IDS_BUCKETS_MIN, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	*ids = (struct ids){.buckets = buckets, .n_buckets = IDS_BUCKETS_MIN};
	return 0;
}

void ids_deinit(struct ids *ids)
{
	free(ids->buckets);
	ids->buckets = NULL;
}

static EngineSegment **ids_bucket(const struct ids *ids, uint32_t space, uint32_t id)
{
	uint64_t hash = ((uint64_t)space << 32 | id) * 0x9e3779b97f4a7c15ull;

	return &ids->buckets[hash >> 32 & (ids->n_buckets - 1)];
}

static void ids_link(struct ids *ids, EngineSegment *segment)
{
	EngineSegment **bucket = ids_bucket(ids, segment->space, segment->id);

	segment->next_id = *bucket;
	*bucket = segment;
}

static void ids_grow(struct ids *ids)
{
	struct ids old = *ids;
	EngineSegment **buckets, *s, *next;

	if (old.n_buckets > UINT32_MAX / 2)
		return;
	buckets = calloc((size_t)old.n_buckets * 2, sizeof(*buckets));
	if (!buckets)
		return;
	ids->buckets = buckets;
	ids->n_buckets = old.n_buckets * 2;
	for (uint32_t i = 0; i < old.n_buckets; i++) {
		for (s = old.buckets[i]; s; s = next) {
			next = s->next_id;
			ids_link(ids, s);
		}
	}
	ids_deinit(&old);
}

EngineSegment *ids_find(const struct ids *ids, uint32_t space, uint32_t id)
{
	EngineSegment *s = *ids_bucket(ids, space, id);

	while (s && (s->space != space || s->id != id))
		s = s->next_id;
	return s;
}

void ids_add(struct ids *ids, EngineSegment *segment)
{
	if (ids->n_used >= ids->n_buckets)
		ids_grow(ids);
	ids_link(ids, segment);
	ids->n_used++;
}

void ids_remove(struct ids *ids, EngineSegment *segment)
{
	EngineSegment **at = ids_bucket(ids, segment->space, segment->id);

	while (*at != segment) {
		assert(*at);
		at = &(*at)->next_id;
	}
	*at = segment->next_id;
	segment->next_id = NULL;
	ids->n_used--;
}
