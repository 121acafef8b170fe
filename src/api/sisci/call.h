/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_CALL_H
#define SISCI_CALL_H

/*
 * How every function begins and ends. A function of the interface is a line that calls its inner
 * one, which returns a sci_error_t:
 *
 *	void SCIThing(sci_thing_t thing, unsigned int flags, sci_error_t *error)
 *	{
 *		call_end(error, call_begin(flags) ?: thing_do(thing, flags));
 *	}
 *
 * call_begin(): SCI_ERR_NOT_INITIALIZED, or SCI_ERR_ILLEGAL_FLAG for bits that no flag has
 *(programs pass flags that mean nothing to the function; those are ignored).
 */

#include <stdbool.h>
#include <sisci_api.h>

#define SCI_CALL __attribute__((visibility("default")))

sci_error_t call_begin(unsigned int flags);
/* What call_begin() finds out, of a call that has nothing in it where a thread could be cancelled,
 * and no time for the locked instruction that keeps it from that. No call_end(). */
sci_error_t call_check(unsigned int flags);
/* Also of calls that call_begin() refused. */
void call_end(sci_error_t *error, sci_error_t result);

/* Calls are not cancelled but where they sleep: between these two, if the program's thread allows
 * it. */
void call_allow_cancel(void);
void call_forbid_cancel(void);

/* Has somebody called SCIInitialize(), and not SCITerminate()? */
bool call_initialized(void);
void call_initialize(void);
/* True: it was the last one. */
bool call_terminate(void);

#endif
