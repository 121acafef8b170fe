/* SPDX-License-Identifier: Apache-2.0 */
/* Mutual exclusion by memory alone, and counting. */
#include "sharer.h"

#include <stdio.h>

/* Workers 0 and 1; each variable on a page of its own, the plain counter as well. */
bool work_peterson(struct sharer *s)
{
	_Atomic uint32_t *wants[2] = {word_of(s, 0), word_of(s, 1)}, *turn = word_of(s, 2);
	volatile uint32_t *counter = (volatile uint32_t *)word_of(s, 3);
	unsigned int me = s->worker, other = !me;

	for (uint32_t i = 0; me < 2 && i < s->rounds; i++) {
		uint32_t before;

		atomic_store(wants[me], 1);
		atomic_store(turn, other);
		while (atomic_load(wants[other]) && atomic_load(turn) == other)
			relax();
		before = *counter;
		dawdle(s);
		*counter = before + 1;
		atomic_store(wants[me], 0);
	}
	meet(s);
	printf("counter %u\n", *counter);
	return *counter == 2 * s->rounds;
}

/* Everybody adds until all together have counted so far; the printed shares tell who got on. */
bool work_counter(struct sharer *s)
{
	_Atomic uint32_t *word = word_of(s, 0);
	uint32_t own = 0, last = 0, end = s->rounds;
	uint64_t began = now_us();
	bool right = true;

	while (last < end) {
		uint32_t old = atomic_fetch_add(word, 1);

		right = right && old >= last;
		last = old + 1;
		own++;
	}
	printf("own %u us %llu\n", own, (unsigned long long)(now_us() - began));
	return right;
}
