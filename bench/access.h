/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ACCESS_H
#define BENCH_ACCESS_H

/*
 * Plain loads and stores on two memories by turns: in order, and at random places (every place a
 * cache and TLB miss).
 */

#include "bench.h"

#define ACCESS_SIZE	(256ul << 20)
#define ACCESS_PATTERNS 4

/* "WHAT: loads in order" and so on; ours <= limit × the other. */
void access_rows(struct bench *bench, const char *what, double limit,
	struct bench_row *rows[ACCESS_PATTERNS]);
void access_sample(
	struct bench_row *const *rows, const char *const names[2], void *ours, void *theirs);
/* Every page. */
void access_touch(void *memory);

/* Memory by make() that lies in about as many physical frames, if we can see that: memory that has
 * just been given back by somebody is scattered, and access to it slower by a tenth. */
void *access_memory_like(size_t n_frames, void *(*make)(void), void (*drop)(void *memory));

#endif
