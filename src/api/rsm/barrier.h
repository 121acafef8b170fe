/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_BARRIER_H
#define API_RSM_BARRIER_H

/*
 * What put and get need to know of barriers. Of an import: api_mode is the barrier mode, inverted
 * so that zero means implicit, the default; api_epoch numbers the barrier initialised last, 0:
 * none.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include "client/import.h"

static inline bool barrier_mode_is_explicit(const struct cw_import *import)
{
	return atomic_load_explicit(&import->api_mode, memory_order_relaxed);
}

static inline bool barrier_is_initialised(const struct cw_import *import)
{
	return atomic_load_explicit(&import->api_epoch, memory_order_relaxed);
}

#endif
