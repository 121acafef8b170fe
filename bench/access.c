/* SPDX-License-Identifier: Apache-2.0 */
#include "access.h"

#include <assert.h>
#include <stdio.h>

#define WORDS	   (ACCESS_SIZE / sizeof(uint64_t))
#define CANDIDATES 8

static volatile uint64_t sink;
static uint64_t place = 1; /* goes on from sample to sample, so that no place is met twice soon */

static void load_in_order(void *context, unsigned long n)
{
	const volatile uint64_t *memory = context;
	uint64_t sum = 0;

	for (unsigned long i = 0; i < n; ++i)
		sum += memory[i];
	sink = sum;
}

static void store_in_order(void *context, unsigned long n)
{
	volatile uint64_t *memory = context;

	for (unsigned long i = 0; i < n; ++i)
		memory[i] = i;
}

static inline uint64_t next_place(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % WORDS;
}

static void load_at_random(void *context, unsigned long n)
{
	const volatile uint64_t *memory = context;
	uint64_t sum = 0, state = place;

	for (unsigned long i = 0; i < n; ++i)
		sum += memory[next_place(&state)];
	place = state;
	sink = sum;
}

static void store_at_random(void *context, unsigned long n)
{
	volatile uint64_t *memory = context;
	uint64_t state = place;

	for (unsigned long i = 0; i < n; ++i)
		memory[next_place(&state)] = i;
	place = state;
}

static const struct {
	const char *name;
	bench_work work;
	unsigned long n;
} patterns[] = {
	{"loads in order", load_in_order, WORDS / 16},
	{"stores in order", store_in_order, WORDS / 16},
	{"loads at random", load_at_random, 200000},
	{"stores at random", store_at_random, 200000},
};

static_assert(sizeof(patterns) / sizeof(*patterns) == ACCESS_PATTERNS, "a row each");

void access_touch(void *at)
{
	volatile uint64_t *memory = at;

	for (size_t i = 0; i < WORDS; i += 512)
		memory[i] = i;
}

void access_rows(struct bench *bench, const char *what, double limit,
	struct bench_row *rows[ACCESS_PATTERNS])
{
	static char names[2][ACCESS_PATTERNS][64];
	static unsigned int n;

	assert(n < 2);
	for (size_t i = 0; i < ACCESS_PATTERNS; ++i) {
		snprintf(names[n][i], sizeof(names[n][i]), "%s: %s", what, patterns[i].name);
		rows[i] = bench_row(bench, names[n][i], "ns", 1, BENCH_RATIO, limit);
	}
	n++;
}

void access_sample(
	struct bench_row *const *rows, const char *const names[2], void *ours, void *theirs)
{
	for (size_t i = 0; i < ACCESS_PATTERNS; ++i) {
		struct bench_side sides[2] = {
			{.work = patterns[i].work, .context = ours},
			{.work = patterns[i].work, .context = theirs},
		};

		bench_sample_two(rows[i], names, sides, patterns[i].n);
	}
}

static size_t distance(size_t a, size_t b)
{
	return a > b ? a - b : b - a;
}

void *access_memory_like(size_t n_frames, void *(*make)(void), void (*drop)(void *))
{
	void *best = make();
	size_t best_distance = distance(bench_frames(best, ACCESS_SIZE), n_frames);
	void *kept[CANDIDATES];
	int n_kept = 0;

	for (int i = 1; i < CANDIDATES && n_frames && best_distance > n_frames / 50; ++i) {
		void *next = make(), *worse = next;
		size_t next_distance = distance(bench_frames(next, ACCESS_SIZE), n_frames);

		if (next_distance < best_distance) {
			worse = best;
			best = next;
			best_distance = next_distance;
		}
		kept[n_kept++] = worse;
	}
	while (n_kept)
		drop(kept[--n_kept]);
	return best;
}
