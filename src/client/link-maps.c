/* SPDX-License-Identifier: Apache-2.0 */
#include "client/link.h"

#include <stdlib.h>
#include "base/error.h"

/* The maps of the client page: where the daemon finds what it must watch or move. */

static int map_reserve_locked(struct cw_link *link, uint32_t *ret_slot)
{
	uint32_t n = atomic_load(&link->client_page->n_maps);

	if (link->n_free_maps) {
		*ret_slot = link->free_maps[--link->n_free_maps];
		return 0;
	}
	if (n >= WIRE_CLIENT_MAPS)
		return -ENOSPC;
	/* room to give every slot back, so that clearing cannot fail */
	if (n >= link->max_free_maps) {
		uint32_t max = MAX(16u, link->max_free_maps * 2);
		uint32_t *grown = reallocarray(link->free_maps, max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		link->free_maps = grown;
		link->max_free_maps = max;
	}
	atomic_store(&link->client_page->n_maps, n + 1);
	*ret_slot = n;
	return 0;
}

int cw_link_map_reserve(struct cw_link *link, uint32_t *ret_slot)
{
	int r;

	pthread_mutex_lock(&link->map_lock);
	r = map_reserve_locked(link, ret_slot);
	pthread_mutex_unlock(&link->map_lock);
	return r;
}

void cw_link_map_set(struct cw_link *link, uint32_t slot, const void *address, uint64_t length,
	uint64_t offset, uint32_t side, uint32_t index)
{
	struct wire_map *m = &link->client_page->maps[slot];

	m->address = (uintptr_t)address;
	m->offset = offset;
	m->side = side;
	m->index = index;
	atomic_store_explicit(&m->length, length, memory_order_release);
}

void cw_link_map_clear(struct cw_link *link, uint32_t slot)
{
	if (atomic_load(&link->inherited))
		return;
	atomic_store(&link->client_page->maps[slot].length, 0);
	pthread_mutex_lock(&link->map_lock);
	link->free_maps[link->n_free_maps++] = slot;
	pthread_mutex_unlock(&link->map_lock);
}
