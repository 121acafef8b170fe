/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page costs that a daemon of the same node gives or takes, without any network: the least
 * that a coherent map can cost. A process touches pages that are absent or protected; this one
 * answers through its userfaultfd, as a daemon does.
 */

#include <stdlib.h>
#include <sys/mman.h>
#include "watched.h"

#define TAKEN	    256u /* pages that are taken away one by one */
#define MAPPERS_MAX 3u

/* The same where all is there and nobody watches: what the kernel itself needs. */
static double rate_present(const struct page_store *store, bool write_it)
{
	volatile uint64_t *memory =
		mmap(NULL, WATCHED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, store->memory, 0);
	double result;

	if (memory == MAP_FAILED)
		bench_fail("mmap: %m");
	result = (double)WATCHED_SIZE / (double)watched_touch_all(memory, WATCHED_SIZE, write_it);
	munmap((void *)memory, WATCHED_SIZE);
	return result;
}

/* A page that is written, or only read, is taken from this many processes: median ns. */
static double take(struct page_store *store, struct watched *ones, unsigned int n, bool written)
{
	double times[TAKEN];
	char content[WATCHED_PAGE];

	if (page_store_reserve(store, 0, TAKEN * WATCHED_PAGE))
		bench_fail("fallocate: %m");
	for (unsigned int i = 0; i < n; i++) {
		if (written)
			mapper_allow(&ones[i].mapper, 0, TAKEN * WATCHED_PAGE);
		watched_order(&ones[i], written ? STORE_ALL : LOAD_ALL, TAKEN * WATCHED_PAGE);
		(void)bench_receive(ones[i].partner.channel);
	}
	for (unsigned int page = 0; page < TAKEN; page++) {
		uint64_t start = bench_now(), offset = page * WATCHED_PAGE;

		for (unsigned int i = 0; written && i < n; i++)
			mapper_protect(&ones[i].mapper, offset, WATCHED_PAGE);
		if (written)
			page_store_read(store, offset, content, WATCHED_PAGE);
		page_store_punch(store, offset, WATCHED_PAGE);
		for (unsigned int i = 0; i < n; i++)
			mapper_protect(&ones[i].mapper, offset, WATCHED_PAGE);
		times[page] = (double)(bench_now() - start);
	}
	return bench_median(times, TAKEN);
}

static const struct {
	const char *name;
	size_t pages;
} runs[] = {
	{"runs of 128", 128},
	{"runs of 64", 64},
	{"runs of 16", 16},
	{"runs of 4", 4},
	{"single pages", 1},
};

#define N_RUNS (sizeof(runs) / sizeof(*runs))

static void sample_rates(struct bench_row *row, struct watched_server *s, enum watched_order what)
{
	for (unsigned int i = 0; i < N_RUNS; i++)
		bench_sample(row, runs[i].name, watched_rate(s, what, runs[i].pages), BENCH_NONE);
	/* the last run left few pages */
	s->run = WATCHED_RUN_MAX * WATCHED_PAGE;
	watched_order(&s->one, what, WATCHED_SIZE);
	(void)watched_serve(s, false);
	bench_sample(row, "all there, not watched", rate_present(&s->store, what == STORE_ALL),
		BENCH_NONE);
}

static void sample_faults(struct bench_row *const rows[3], struct watched_server *s)
{
	static const char *const ways[] = {"answered from poll", "answered spinning"};

	for (unsigned int spin = 0; spin < 2; spin++) {
		watched_empty(s);
		bench_sample(
			rows[0], ways[spin], watched_time_each(s, LOAD_EACH, spin), BENCH_NONE);
		/* now they are there to be read */
		bench_sample(
			rows[1], ways[spin], watched_time_each(s, STORE_EACH, spin), BENCH_NONE);
		watched_empty(s);
		bench_sample(
			rows[2], ways[spin], watched_time_each(s, STORE_EACH, spin), BENCH_NONE);
	}
	/* The second process of a node: the page is there. */
	watched_order(&s->one, FORGET, 0);
	(void)watched_serve(s, false);
	bench_sample(rows[0], "there, watched", watched_time_each(s, LOAD_EACH, false), BENCH_NONE);
}

void group_pages(struct bench *bench)
{
	static const char *const from[MAPPERS_MAX] = {
		"from 1 process", "from 2 processes", "from 3 processes"};
	struct bench_row *faults[3], *loads, *stores, *written, *clean;
	struct watched ones[MAPPERS_MAX];
	struct page_store shared;
	struct watched_server s;

	watched_server_start(&s);
	if (page_store_new(WATCHED_SIZE, &shared))
		bench_fail("out of memory");
	for (unsigned int i = 0; i < MAPPERS_MAX; i++)
		watched_start(&ones[i], &shared);
	faults[0] = bench_row(bench, "load of an absent page", "us", 1000, BENCH_SHOWN, 0);
	faults[1] =
		bench_row(bench, "store to a page there to be read", "us", 1000, BENCH_SHOWN, 0);
	faults[2] = bench_row(bench, "store to an absent page", "us", 1000, BENCH_SHOWN, 0);
	loads = bench_row(bench, "loads in order: local fill and wake", "GB/s", 1, BENCH_SHOWN, 0);
	stores = bench_row(
		bench, "stores in order: local fill and allow", "GB/s", 1, BENCH_SHOWN, 0);
	written = bench_row(bench, "taking a written page away", "us", 1000, BENCH_SHOWN, 0);
	clean = bench_row(bench, "taking a page that was only read", "us", 1000, BENCH_SHOWN, 0);
	while (bench_round(bench)) {
		bench_pin(0, bench_cpu(1));
		sample_faults(faults, &s);
		sample_rates(loads, &s, LOAD_ALL);
		sample_rates(stores, &s, STORE_ALL);
		for (unsigned int n = 1; n <= MAPPERS_MAX; n++) {
			bench_sample(
				written, from[n - 1], take(&shared, ones, n, true), BENCH_NONE);
			bench_sample(clean, from[n - 1], take(&shared, ones, n, false), BENCH_NONE);
		}
	}
	bench_note(loads, "the limit of sequential reads of another node's memory, at runs of so "
			  "many pages");
}
