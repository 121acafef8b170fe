/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain loads and stores through a map of an import beside the same on shared anonymous memory: in
 * order, and at random places (every place a cache and TLB miss).
 */

#include <sys/mman.h>
#include "segment.h"

#define SIZE  (256ul << 20)
#define WORDS (SIZE / sizeof(uint64_t))

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

/* Both memories are new in each round, now the one first, now the other: which physical pages they
 * got is worth some per cent. */
void group_mapped(struct bench *bench)
{
	int channel = bench_partner(export_again, NULL).channel;
	struct bench_row *rows[N_PATTERNS];

	for (size_t i = 0; i < N_PATTERNS; ++i)
		rows[i] = bench_row(bench, patterns[i].name, "ns", 1, BENCH_RATIO, 1.03);
	while (bench_round(bench)) {
		bool ours_first = bench_round_number(bench) % 2;
		void *anonymous, *mapped = NULL;
		rsm_memseg_import_handle_t import;

		bench_pin(0, bench_cpu(1));
		anonymous = ours_first ? NULL : bench_shared_memory(SIZE);
		bench_send(channel, 0);
		import = bench_import((rsm_memseg_id_t)bench_receive(channel));
		bench_rsm(rsm_memseg_import_map(
				  import, &mapped, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE),
			"rsm_memseg_import_map");
		touch(mapped);
		if (!anonymous)
			anonymous = bench_shared_memory(SIZE);
		sample(rows, mapped, anonymous);
		munmap(anonymous, SIZE);
		bench_rsm(rsm_memseg_import_unmap(import), "rsm_memseg_import_unmap");
		bench_rsm(rsm_memseg_import_disconnect(import), "rsm_memseg_import_disconnect");
		bench_send(channel, 0);
		bench_receive(channel);
	}
}
