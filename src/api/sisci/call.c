/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"

#include <pthread.h>
#include <stdatomic.h>

/* Bits that no flag of any function has. */
#define NO_FLAG 0xc0000000u

static _Atomic unsigned int n_initialized;

/* As the program's thread has it outside of our calls. */
static __thread int cancel_state = PTHREAD_CANCEL_ENABLE;

bool call_initialized(void)
{
	return atomic_load(&n_initialized) > 0;
}

void call_initialize(void)
{
	atomic_fetch_add(&n_initialized, 1);
}

bool call_terminate(void)
{
	unsigned int n = atomic_load(&n_initialized);

	while (n > 0)
		if (atomic_compare_exchange_weak(&n_initialized, &n, n - 1))
			return n == 1;
	return false;
}

sci_error_t call_check(unsigned int flags)
{
	if (flags & NO_FLAG)
		return SCI_ERR_ILLEGAL_FLAG;
	return call_initialized() ? SCI_ERR_OK : SCI_ERR_NOT_INITIALIZED;
}

sci_error_t call_begin(unsigned int flags)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	return call_check(flags);
}

void call_end(sci_error_t *error, sci_error_t result)
{
	if (error)
		*error = result;
	pthread_setcancelstate(cancel_state, NULL);
}

void call_allow_cancel(void)
{
	pthread_setcancelstate(cancel_state, NULL);
}

void call_forbid_cancel(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}
