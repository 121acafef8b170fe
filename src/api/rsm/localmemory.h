/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_LOCALMEMORY_H
#define API_RSM_LOCALMEMORY_H

#include <stdint.h>
#include <rsmapi.h>

/* [offset, offset + length) of the memory behind a handle. RSMERR_BAD_SGIO: no such handle;
 * RSMERR_BAD_LENGTH, RSMERR_BAD_OFFSET: not within it. */
int localmemory_range(
	rsm_localmemory_handle_t handle, uint64_t offset, uint64_t length, void **ret_address);

#endif
