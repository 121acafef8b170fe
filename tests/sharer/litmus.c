/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classic small tests of memory models. x and y are on pages of their own. A round: all meet,
 * each does its few accesses, all meet; what each has read is printed as a string of digits, a
 * character a round, for whoever started us to lay beside the others'.
 */
#include "sharer.h"

#include <stdio.h>
#include <stdlib.h>

static char *results_new(const struct sharer *s)
{
	char *results = calloc(1, (size_t)s->rounds + 1);

	if (!results)
		abort();
	return results;
}

static void results_print(char *results)
{
	printf("results %s\n", results);
	free(results);
}

struct round {
	_Atomic uint32_t *x, *y;
};

/* The words of a round are never used again, so nobody has to set them back. */
static struct round begin_round(struct sharer *s, uint32_t i)
{
	struct round r;

	r.x = word_of(s, 0) + i % (PAGE / 4);
	r.y = word_of(s, 1) + i % (PAGE / 4);
	meet(s);
	if (i && i % (PAGE / 4) == 0) {
		if (s->worker == 0)
			for (uint32_t k = 0; k < PAGE / 4; k++) {
				atomic_store(word_of(s, 0) + k, 0);
				atomic_store(word_of(s, 1) + k, 0);
			}
		meet(s);
	}
	dawdle(s);
	return r;
}

static char pair(uint32_t first, uint32_t second)
{
	return (char)('0' + first + 2 * second);
}

bool work_store_buffering(struct sharer *s)
{
	char *results = results_new(s);

	for (uint32_t i = 0; i < s->rounds; i++) {
		struct round r = begin_round(s, i);

		atomic_store(s->worker % 2 ? r.y : r.x, 1);
		results[i] = (char)('0' + atomic_load(s->worker % 2 ? r.x : r.y));
	}
	results_print(results);
	return true;
}

bool work_load_buffering(struct sharer *s)
{
	char *results = results_new(s);

	for (uint32_t i = 0; i < s->rounds; i++) {
		struct round r = begin_round(s, i);

		results[i] = (char)('0' + atomic_load(s->worker % 2 ? r.x : r.y));
		atomic_store(s->worker % 2 ? r.y : r.x, 1);
	}
	results_print(results);
	return true;
}

/* Workers 0 and 1 write, the others read, every second one the other way round. */
bool work_iriw(struct sharer *s)
{
	char *results = results_new(s);

	for (uint32_t i = 0; i < s->rounds; i++) {
		struct round r = begin_round(s, i);
		uint32_t first, second;

		results[i] = '-';
		if (s->worker < 2) {
			atomic_store(s->worker ? r.y : r.x, 1);
			continue;
		}
		first = atomic_load(s->worker % 2 ? r.y : r.x);
		second = atomic_load(s->worker % 2 ? r.x : r.y);
		results[i] = s->worker % 2 ? pair(second, first) : pair(first, second);
	}
	results_print(results);
	return true;
}

/* Worker 0 writes data, then says so, all the time; nobody may see that it was said, and old data.
 */
bool work_message_passing(struct sharer *s)
{
	_Atomic uint32_t *data = word_of(s, 0), *flag = word_of(s, 1);
	uint32_t changes = 0, last = 0;

	if (s->worker == 0) {
		for (uint32_t i = 1; i <= s->rounds; i++) {
			atomic_store_explicit(data, i, memory_order_relaxed);
			atomic_store_explicit(flag, i, memory_order_release);
			dawdle(s);
		}
		return true;
	}
	while (last < s->rounds) {
		uint32_t said = atomic_load_explicit(flag, memory_order_acquire);
		uint32_t found = atomic_load_explicit(data, memory_order_relaxed);

		if (found < said || said < last) {
			printf("said %u found %u last %u\n", said, found, last);
			return false;
		}
		changes += said != last;
		last = said;
		relax();
	}
	printf("changes %u\n", changes);
	return true;
}

/* All write one word, their own number and a count; nobody may see a writer's count go back. */
bool work_coherence(struct sharer *s)
{
	_Atomic uint32_t *word = word_of(s, 0);
	uint32_t seen[64] = {0}, others = 0;

	for (uint32_t i = 1; i <= s->rounds; i++) {
		atomic_store(word, s->worker << 24 | i);
		for (int k = 0; k < 3; k++) {
			uint32_t found = atomic_load(word), who = found >> 24;
			uint32_t count = found & 0xffffff;

			if (who >= s->n_workers || count < seen[who]) {
				printf("worker %u went back from %u to %u\n", who, seen[who],
					count);
				return false;
			}
			/* what I have written I have seen */
			if (who == s->worker && count != i) {
				printf("own %u after %u\n", count, i);
				return false;
			}
			others += who != s->worker;
			seen[who] = count;
		}
		if (draw(s, 4) == 0)
			relax();
	}
	printf("others %u\n", others);
	return true;
}
