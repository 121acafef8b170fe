/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric over TCP between two namespaces (no wire, no card), beside the same bytes over plain
 * TCP with the same waits: acknowledged puts and gets, streams of large puts, puts collected by a
 * span, vectors. Congestion control is set on both; it is noted below the first row.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "bench.h"
#include "hosts.h"

#define SMALL_PUTS 65536u     /* of a span */
#define SPREAD	   (1u << 20) /* bytes they go to */
#define STREAM	   16u	      /* large puts before one waits */

struct work {
	struct hosts hosts;
	size_t size;
	uint8_t *local;
	uint32_t *order; /* random offsets / 8 */
	struct fabric_piece pieces[16];
};

static void must(int r)
{
	if (r)
		bench_fail("an operation returned %d", r);
}

static void put(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		must(fabric_put(w->hosts.path, &w->hosts.user, 0, w->local, w->size,
			w->size == 8 ? 8 : 0, 0));
}

static void get(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		must(fabric_get(
			w->hosts.path, &w->hosts.user, 0, w->local, w->size, w->size == 8 ? 8 : 0));
}

static void put_plain(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bare_put(&w->hosts.bare, w->local, w->size);
}

static void get_plain(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		bare_get(&w->hosts.bare, w->local, w->size);
}

static void stream(void *context, unsigned long n)
{
	struct work *w = context;

	for (unsigned long i = 0; i < n; i++)
		must(fabric_put(
			w->hosts.path, &w->hosts.user, 0, w->local, w->size, 0, FABRIC_SPAN));
	must(fabric_collect(w->hosts.path, &w->hosts.user));
}

static void stream_plain(void *context, unsigned long n)
{
	struct work *w = context;

	bare_stream(&w->hosts.bare, w->local, w->size, n);
}

/* One after the other, not in turns: a server that still looks for its next operation would take
 * the other's CPU. */
static void sample_two(struct bench_row *row, const char *const contenders[2],
	const bench_work works[2], struct work *w, unsigned long n)
{
	for (unsigned int i = 0; i < 2; i++) {
		double p99, value;

		usleep(1000);
		value = bench_time(works[i], w, n, &p99);
		bench_sample(row, contenders[i], value, p99);
	}
}

/* --- acknowledged, and streams --- */

struct line {
	const char *name;
	size_t size;
	bench_work ours, plain;
	unsigned long n;
};

static const struct line lines[] = {
	{"remote put, 8 B", 8, put, put_plain, 1},
	{"remote put, 4 KiB", 4096, put, put_plain, 1},
	{"remote put, 64 KiB", 65536, put, put_plain, 1},
	{"remote put, 1 MiB", 1 << 20, put, put_plain, 1},
	{"remote get, 8 B", 8, get, get_plain, 1},
	{"remote get, 4 KiB", 4096, get, get_plain, 1},
	{"remote get, 64 KiB", 65536, get, get_plain, 1},
	{"remote get, 1 MiB", 1 << 20, get, get_plain, 1},
	{"remote puts streamed, 64 KiB", 65536, stream, stream_plain, STREAM},
	{"remote puts streamed, 1 MiB", 1 << 20, stream, stream_plain, STREAM},
};

#define N_LINES (sizeof(lines) / sizeof(*lines))

static void begin(struct work *w, bool spin)
{
	*w = (struct work){.local = bench_memory(HOSTS_MEMORY)};
	hosts_begin(&w->hosts, spin);
}

static void measure(struct bench *bench, bool spin)
{
	static const char *const contenders[2] = {"Causeway", "plain TCP"};
	struct bench_row *rows[N_LINES];
	struct work w;

	begin(&w, spin);
	for (size_t i = 0; i < N_LINES; i++)
		rows[i] = bench_row(bench, lines[i].name, "µs", 1000, BENCH_RATIO, 1.15);
	bench_note(rows[0], "two namespaces, no wire; %s; %s", w.hosts.congestion,
		spin ? "both ends look 20 to 50 µs before they sleep" : "both ends sleep");
	while (bench_round(bench))
		for (size_t i = 0; i < N_LINES; i++) {
			const bench_work works[2] = {lines[i].ours, lines[i].plain};

			w.size = lines[i].size;
			sample_two(rows[i], contenders, works, &w, lines[i].n);
		}
}

void group_fabric(struct bench *bench)
{
	measure(bench, true);
}

void group_fabric_asleep(struct bench *bench)
{
	measure(bench, false);
}

/* --- what is collected --- */

static void put_elements(struct work *w, unsigned long n, bool random)
{
	for (unsigned long i = 0; i < n; i++)
		fabric_put(w->hosts.path, &w->hosts.user,
			random ? w->order[i % SMALL_PUTS] * 8ul : i * 8 % SPREAD, w->local, 8, 8,
			FABRIC_SPAN);
	must(fabric_collect(w->hosts.path, &w->hosts.user));
}

static void put_consecutive(void *context, unsigned long n)
{
	put_elements(context, n, false);
}

static void put_random(void *context, unsigned long n)
{
	put_elements(context, n, true);
}

static void put_pieces(void *context, unsigned long n)
{
	struct work *w = context;
	size_t done;

	for (unsigned long i = 0; i < n; i++)
		must(fabric_putv(w->hosts.path, &w->hosts.user, w->pieces, 16, 0, &done));
}

static void fill_offsets(struct work *w)
{
	w->order = malloc(SMALL_PUTS * sizeof(*w->order));
	if (!w->order)
		bench_fail("out of memory");
	srandom(1);
	for (size_t i = 0; i < SMALL_PUTS; i++)
		w->order[i] = (uint32_t)random() % (SPREAD / 8);
	for (size_t i = 0; i < 16; i++)
		w->pieces[i] = (struct fabric_piece){
			.off = i * 65536, .local = w->local + i * 8192, .n = 4096};
}

/* The limits are ten times and three times Open MPI's 4.3 million puts a second. */
void group_fabric_batches(struct bench *bench)
{
	struct bench_row *consecutive = bench_row(
		bench, "64 Ki puts of 8 B in a span, consecutive", "ns", 1, BENCH_ABSOLUTE, 23.2);
	struct bench_row *random = bench_row(bench, "64 Ki puts of 8 B in a span, random in 1 MiB",
		"ns", 1, BENCH_ABSOLUTE, 77.5);
	struct bench_row *few =
		bench_row(bench, "8 puts of 8 B in a span, ordered", "µs", 1000, BENCH_SHOWN, 0);
	struct bench_row *vector =
		bench_row(bench, "putv, 16 × 4 KiB", "µs", 1000, BENCH_RATIO, 1.3);
	double p99;
	struct work w;

	begin(&w, true);
	fill_offsets(&w);
	bench_note(consecutive, "two namespaces, no wire; %s", w.hosts.congestion);
	while (bench_round(bench)) {
		static const bench_work works[2] = {put_pieces, put};
		double value = bench_time(put_consecutive, &w, SMALL_PUTS, &p99);

		bench_sample(consecutive, "Causeway", value, p99);
		value = bench_time(put_random, &w, SMALL_PUTS, &p99);
		bench_sample(random, "Causeway", value, p99);
		value = bench_time(put_random, &w, 8, &p99);
		bench_sample(few, "Causeway", value * 8, p99 * 8);
		w.size = 65536;
		sample_two(vector, (const char *const[2]){"putv", "put of 64 KiB"}, works, &w, 1);
	}
}
