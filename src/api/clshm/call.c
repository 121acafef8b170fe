/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/call.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <xp_shm.h>
#include "base/error.h"
#include "wire/status.h"

static _Atomic int debug_level;

/* As the program's thread has it outside of our calls. */
static __thread int cancel_state = PTHREAD_CANCEL_ENABLE;

CLSHM_API void set_debug_level(int level)
{
	atomic_store(&debug_level, level);
}

int call_debug_level(void)
{
	return atomic_load_explicit(&debug_level, memory_order_relaxed);
}

void call_begin(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
}

static void tell(const char *function, int result, int error, intptr_t value)
{
	char text[64];

	if (!result)
		fprintf(stderr, "clshm: %s: %#jx\n", function, (uintmax_t)value);
	else
		fprintf(stderr, "clshm: %s: %s%s%s\n", function,
			strerror_r(error, text, sizeof(text)), result > 0 ? ": " : "",
			result > 0 ? wire_status_text(result) : "");
}

intptr_t call_end(const char *function, enum code_context context, int result, intptr_t value)
{
	int error = result ? code_of(context, result) : 0;

	if (unlikely(call_debug_level() > (result ? 0 : 1)))
		tell(function, result, error, value);
	pthread_setcancelstate(cancel_state, NULL);
	if (!result)
		return value;
	errno = error;
	return -1;
}
