/* SPDX-License-Identifier: Apache-2.0 */
#include "client/map-again.h"

#include <sys/mman.h>
#include "client/coherent.h"
#include "client/export.h"
#include "client/import.h"
#include "wire/status.h"

/* Which segment it is to the daemon. */
struct place {
	struct cw_link *link;
	enum wire_side side;
	uint32_t index;
	bool remote; /* of another node's segment */
};

static int find(cw_handle handle, struct place *ret)
{
	const struct cw_import *import = cw_handle_peek(handle, CW_IMPORT_SEGMENT);
	const struct cw_export *export = cw_handle_peek(handle, CW_EXPORT_SEGMENT);

	if (import)
		*ret = (struct place){
			import->link, WIRE_SIDE_IMPORT, import->index, import->remote};
	else if (export)
		*ret = (struct place){export->link, WIRE_SIDE_EXPORT, export->index, false};
	else
		return STATUS_BAD_HANDLE;
	return 0;
}

/* The kernel makes a second mapping of shared pages when it is asked to move none of them. Nobody
 * can use it yet. */
static void *duplicate(void *from, uint64_t length, void *address)
{
	int flags = MREMAP_MAYMOVE | (address ? MREMAP_FIXED : 0);
	void *p = mremap(from, 0, length, flags, address);

	if (p != MAP_FAILED && mprotect(p, length, PROT_NONE) < 0) {
		munmap(p, length);
		return MAP_FAILED;
	}
	return p;
}

int cw_map_again(cw_handle side, void *base, uint64_t offset, uint64_t length, void *address,
	int prot, struct cw_map_again *ret_map)
{
	struct cw_map_again map = {.length = length};
	struct place place;
	int r = find(side, &place);

	if (r)
		return r;
	if (cw_link_map_reserve(place.link, &map.slot) < 0)
		return STATUS_NO_RESOURCES;
	map.address = duplicate((uint8_t *)base + offset, length, address);
	if (map.address == MAP_FAILED) {
		cw_link_map_clear(place.link, map.slot);
		return STATUS_MAP_FAILED;
	}
	cw_link_map_set(place.link, map.slot, map.address, length, offset, place.side, place.index);
	map.link = cw_link_ref(place.link);
	r = coherent_watch(place.link, map.slot, place.side, place.index, place.remote);
	if (r || mprotect(map.address, length, prot) < 0) {
		cw_map_again_end(&map);
		return STATUS_MAP_FAILED;
	}
	*ret_map = map;
	return 0;
}

void cw_map_again_end(struct cw_map_again *map)
{
	cw_link_map_clear(map->link, map->slot);
	munmap(map->address, map->length);
	cw_link_put(map->link);
}
