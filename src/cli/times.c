/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/times.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void times_sort(uint64_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), by_value);
}

uint64_t times_percentile(const uint64_t *sorted, size_t n, unsigned int percent)
{
	return sorted[(n * percent + 99) / 100 - 1];
}
