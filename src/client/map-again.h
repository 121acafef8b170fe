/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_MAP_AGAIN_H
#define CLIENT_MAP_AGAIN_H

/*
 * A part of a segment mapped once more, from where this process has it mapped already: at an
 * address that the program wants, or with fewer rights.
 */

#include <stdint.h>
#include "client/handle.h"
#include "client/link.h"

struct cw_map_again {
	void *address;
	uint64_t length;
	uint32_t slot; /* in the client page */
	struct cw_link *link;
};

/* [offset, offset + length), whole pages, of the segment that has its beginning mapped at base.
 * address: exactly there, replacing what is; NULL: anywhere. STATUS_BAD_HANDLE,
 * STATUS_NO_RESOURCES, STATUS_MAP_FAILED. */
CW_EXPORT int cw_map_again(cw_handle side, void *base, uint64_t offset, uint64_t length,
	void *address, int prot, struct cw_map_again *ret_map);
CW_EXPORT void cw_map_again_end(struct cw_map_again *map);

#endif
