/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TIMES_H
#define CLI_TIMES_H

/* Measured times, sorted by times_sort(). */

#include <stddef.h>
#include <stdint.h>

void times_sort(uint64_t *times, size_t n);

/* The smallest that at least percent of them do not exceed; n and percent are not 0. */
uint64_t times_percentile(const uint64_t *sorted, size_t n, unsigned int percent);

#endif
