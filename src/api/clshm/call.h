/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_CALL_H
#define API_CLSHM_CALL_H

/*
 * How every function of the interface begins and ends:
 *
 *	call_begin();
 *	r = thing_do(argument, &value);
 *	return call_end("xp_thing", CODE_SEGMENT, r, value);
 *
 * Between the two the thread is not cancelled: it may hold locks, or half an attach.
 */

#include <stdint.h>
#include "api/clshm/codes.h"

#define CLSHM_API __attribute__((visibility("default")))

void call_begin(void);
/* value if result is 0; else -1, and errno is set. Says so if set_debug_level() wants it. */
intptr_t call_end(const char *function, enum code_context context, int result, intptr_t value);

int call_debug_level(void);

#endif
