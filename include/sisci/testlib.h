/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_TESTLIB_H
#define SISCI_TESTLIB_H

/* What programs take from testlib.h of the vendor's demos: time, in microseconds. */

#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct timeval timer_start_t;

static __inline__ void StartTimer(timer_start_t *timer_start)
{
	gettimeofday(timer_start, 0);
}

static __inline__ double StopTimer(timer_start_t timer_start)
{
	struct timeval now;

	gettimeofday(&now, 0);
	return (double)(now.tv_sec - timer_start.tv_sec) * 1e6 +
	       (double)(now.tv_usec - timer_start.tv_usec);
}

#ifdef __cplusplus
}
#endif

#endif
