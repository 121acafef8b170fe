/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain loads and stores through a map of an import beside the same on shared anonymous memory: in
 * order, and at random places (every place a cache and TLB miss).
 */

#include <sys/mman.h>
#include "segment.h"

#define SIZE	   (256ul << 20)
#define WORDS	   (SIZE / sizeof(uint64_t))
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
	{"mapped: loads in order", load_in_order, WORDS / 16},
	{"mapped: stores in order", store_in_order, WORDS / 16},
	{"mapped: loads at random", load_at_random, 200000},
	{"mapped: stores at random", store_at_random, 200000},
};

#define N_PATTERNS (sizeof(patterns) / sizeof(*patterns))

static void touch(volatile uint64_t *memory)
{
	for (size_t i = 0; i < WORDS; i += 512)
		memory[i] = i;
}

/* Exports anew for each word, and destroys at the next. */
static void export_again(int channel, void *unused)
{
	for (;;) {
		struct bench_export segment;

		bench_receive(channel);
		segment = bench_export(SIZE);
		bench_send(channel, segment.id);
		bench_receive(channel);
		bench_unexport(&segment);
		bench_send(channel, 0);
	}
}

static void sample(struct bench_row *const *rows, void *mapped, void *anonymous)
{
	static const char *const names[2] = {"causeway", "shared anonymous memory"};

	for (size_t i = 0; i < N_PATTERNS; ++i) {
		struct bench_side sides[2] = {
			{.work = patterns[i].work, .context = mapped},
			{.work = patterns[i].work, .context = anonymous},
		};

		bench_sample_two(rows[i], names, sides, patterns[i].n);
	}
}

static size_t distance(size_t a, size_t b)
{
	return a > b ? a - b : b - a;
}

/* Shared anonymous memory that lies in about as many physical frames, if we can see that: memory
 * that has just been given back by somebody is scattered, and access to it slower by a tenth. */
static void *memory_like(size_t n_frames)
{
	void *best = bench_shared_memory(SIZE);
	size_t best_distance = distance(bench_frames(best, SIZE), n_frames);
	void *kept[CANDIDATES];
	int n_kept = 0;

	for (int i = 1; i < CANDIDATES && n_frames && best_distance > n_frames / 50; ++i) {
		void *next = bench_shared_memory(SIZE), *worse = next;
		size_t next_distance = distance(bench_frames(next, SIZE), n_frames);

		if (next_distance < best_distance) {
			worse = best;
			best = next;
			best_distance = next_distance;
		}
		kept[n_kept++] = worse;
	}
	while (n_kept)
		munmap(kept[--n_kept], SIZE);
	return best;
}

/* Both memories are new in each round. */
void group_mapped(struct bench *bench)
{
	int channel = bench_partner(export_again, NULL).channel;
	struct bench_row *rows[N_PATTERNS];
	size_t ours = 0, theirs = 0;

	for (size_t i = 0; i < N_PATTERNS; ++i)
		rows[i] = bench_row(bench, patterns[i].name, "ns", 1, BENCH_RATIO, 1.03);
	while (bench_round(bench)) {
		void *anonymous, *mapped = NULL;
		rsm_memseg_import_handle_t import;

		bench_pin(0, bench_cpu(1));
		bench_send(channel, 0);
		import = bench_import((rsm_memseg_id_t)bench_receive(channel));
		bench_rsm(rsm_memseg_import_map(
				  import, &mapped, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE),
			"rsm_memseg_import_map");
		touch(mapped);
		anonymous = memory_like(bench_frames(mapped, SIZE));
		ours += bench_frames(mapped, SIZE);
		theirs += bench_frames(anonymous, SIZE);
		sample(rows, mapped, anonymous);
		munmap(anonymous, SIZE);
		bench_rsm(rsm_memseg_import_unmap(import), "rsm_memseg_import_unmap");
		bench_rsm(rsm_memseg_import_disconnect(import), "rsm_memseg_import_disconnect");
		bench_send(channel, 0);
		bench_receive(channel);
	}
	bench_note(rows[N_PATTERNS - 1], "physical 2 MiB frames in all rounds: %zu and %zu", ours,
		theirs);
}
