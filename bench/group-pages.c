/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page costs that a daemon of the same node gives or takes, without any network: the least
 * that a coherent map can cost. A process touches pages that are absent or protected; this one
 * answers through its userfaultfd, as a daemon does.
 */

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "bench.h"
#include "memory/mapper.h"
#include "memory/page-store.h"
#include "memory/uffd.h"

#define PAGE	    4096ul
#define SIZE	    (64ul << 20)
#define SINGLE	    (8ul << 20) /* of what is answered page by page */
#define RUN_MAX	    128ul
#define TAKEN	    256u /* pages that are taken away one by one */
#define MAPPERS_MAX 3u
#define N_PAGES	    1024u /* faults of one kind in a round */

/* The process that maps. */

enum order {
	LOAD_EACH,  /* N_PAGES pages: the median time of a load, ns */
	STORE_EACH, /* of a store */
	LOAD_ALL,   /* this many bytes in order: ns */
	STORE_ALL,
	FORGET, /* its page tables: what is there is mapped anew */
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t touch_each(volatile uint64_t *memory, bool store)
{
	static uint64_t times[N_PAGES];

	for (unsigned int i = 0; i < N_PAGES; i++) {
		volatile uint64_t *word = memory + i * (PAGE / sizeof(uint64_t));
		uint64_t start = bench_now();

		if (store)
			*word = i;
		else
			(void)*word;
		times[i] = bench_now() - start;
	}
	qsort(times, N_PAGES, sizeof(*times), by_value);
	return times[N_PAGES / 2];
}

static uint64_t touch_all(volatile uint64_t *memory, size_t size, bool store)
{
	uint64_t start = bench_now(), sum = 0;

	for (size_t i = 0; i < size / sizeof(uint64_t); i += PAGE / sizeof(uint64_t)) {
		if (store)
			memory[i] = i;
		else
			sum += memory[i];
	}
	(void)sum;
	return bench_now() - start;
}

static void give_userfaultfd(int channel, void *memory)
{
	uint64_t address = (uintptr_t)memory;
	enum uffd_kind kind;
	int uffd;

	if (uffd_new(-1, &kind, &uffd) || kind != UFFD_FULL ||
		fd_send(channel, &address, sizeof(address), &uffd, 1, 0))
		bench_fail("cannot give a userfaultfd");
}

static void map_and_touch(int channel, void *context)
{
	const struct page_store *store = context;
	void *memory;

	bench_pin(0, bench_cpu(0));
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, store->memory, 0);
	if (memory == MAP_FAILED)
		bench_fail("mmap: %m");
	give_userfaultfd(channel, memory);
	for (;;) {
		enum order order = (enum order)bench_receive(channel);
		size_t size = bench_receive(channel);
		uint64_t answer = 0;

		switch (order) {
		case LOAD_EACH:
		case STORE_EACH:
			answer = touch_each(memory, order == STORE_EACH);
			break;
		case LOAD_ALL:
		case STORE_ALL:
			answer = touch_all(memory, size, order == STORE_ALL);
			break;
		case FORGET:
			madvise(memory, SIZE, MADV_DONTNEED);
			break;
		}
		bench_send(channel, answer);
	}
}

/* The daemon. */

struct one {
	struct bench_partner partner;
	struct mapper mapper;
};

static void one_start(struct one *one, struct page_store *store)
{
	int fds[FD_PACKET_MAX], uffd;
	unsigned int n;

	one->partner = bench_partner(map_and_touch, store);
	one->mapper = (struct mapper){.length = SIZE};
	if (fd_recv(one->partner.channel, &one->mapper.address, sizeof(uint64_t), fds, &n, 0) !=
			sizeof(uint64_t) ||
		n != 1)
		bench_fail("a process gave no userfaultfd");
	uffd = fds[0];
	/* No events: they would have to be read, and nothing here forks or unmaps. */
	if (uffd_api(uffd, UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MISSING_SHMEM) ||
		watch_new(uffd, &one->mapper.watch) || mapper_arm(&one->mapper))
		bench_fail("a process cannot be watched");
}

static void order(struct one *one, enum order what, size_t size)
{
	bench_send(one->partner.channel, what);
	bench_send(one->partner.channel, size);
}

struct server {
	struct page_store store;
	struct one one;
	size_t run; /* bytes filled at once */
	char *content;
};

/* fills a run and wakes, or allows stores */
static void answer_fault(struct server *s, const struct uffd_msg *message)
{
	uint64_t offset = message->arg.pagefault.address - s->one.mapper.address;
	uint64_t flags = message->arg.pagefault.flags;
	size_t n = s->run;

	offset -= offset % PAGE;
	n = n < SIZE - offset ? n : SIZE - offset;
	if (!(flags & UFFD_PAGEFAULT_FLAG_WP) && page_store_write(&s->store, offset, s->content, n))
		bench_fail("pwrite: %m");
	if (flags & (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE))
		mapper_allow(&s->one.mapper, offset, n);
	else
		mapper_wake(&s->one.mapper, offset, PAGE);
}

/* Until the process has done what it was told: its answer. */
static uint64_t serve(struct server *s, bool spin)
{
	int uffd = watch_uffd(s->one.mapper.watch), channel = s->one.partner.channel;
	struct pollfd p[2] = {{uffd, POLLIN, 0}, {channel, POLLIN, 0}};
	struct uffd_msg message;
	unsigned int turns = 0;
	uint64_t answer;

	for (;;) {
		if (!spin && poll(p, 2, -1) < 0)
			bench_fail("poll: %m");
		if (read(uffd, &message, sizeof(message)) == sizeof(message))
			answer_fault(s, &message);
		else if ((!spin || ++turns % 64 == 0) &&
			 recv(channel, &answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer))
			return answer;
	}
}

static void empty(struct server *s)
{
	if (page_store_punch(&s->store, 0, SIZE) || mapper_protect(&s->one.mapper, 0, SIZE))
		bench_fail("the pages cannot be taken away");
}

static double time_each(struct server *s, enum order what, bool spin)
{
	s->run = PAGE;
	order(&s->one, what, 0);
	return (double)serve(s, spin);
}

/* GB/s */
static double rate(struct server *s, enum order what, size_t pages)
{
	size_t size = pages > 4 ? SIZE : SINGLE;

	empty(s);
	s->run = pages * PAGE;
	order(&s->one, what, size);
	return (double)size / (double)serve(s, false);
}

/* The same where all is there and nobody watches: what the kernel itself needs. */
static double rate_present(const struct page_store *store, bool write_it)
{
	volatile uint64_t *memory =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, store->memory, 0);
	double result;

	if (memory == MAP_FAILED)
		bench_fail("mmap: %m");
	result = (double)SIZE / (double)touch_all(memory, SIZE, write_it);
	munmap((void *)memory, SIZE);
	return result;
}

/* A page that is written, or only read, is taken from this many processes: median ns. */
static double take(struct page_store *store, struct one *ones, unsigned int n, bool written)
{
	double times[TAKEN];
	char content[PAGE];

	if (page_store_reserve(store, 0, TAKEN * PAGE))
		bench_fail("fallocate: %m");
	for (unsigned int i = 0; i < n; i++) {
		if (written)
			mapper_allow(&ones[i].mapper, 0, TAKEN * PAGE);
		order(&ones[i], written ? STORE_ALL : LOAD_ALL, TAKEN * PAGE);
		(void)bench_receive(ones[i].partner.channel);
	}
	for (unsigned int page = 0; page < TAKEN; page++) {
		uint64_t start = bench_now(), offset = page * PAGE;

		for (unsigned int i = 0; written && i < n; i++)
			mapper_protect(&ones[i].mapper, offset, PAGE);
		if (written)
			page_store_read(store, offset, content, PAGE);
		page_store_punch(store, offset, PAGE);
		for (unsigned int i = 0; i < n; i++)
			mapper_protect(&ones[i].mapper, offset, PAGE);
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

static void sample_rates(struct bench_row *row, struct server *s, enum order what)
{
	for (unsigned int i = 0; i < N_RUNS; i++)
		bench_sample(row, runs[i].name, rate(s, what, runs[i].pages), BENCH_NONE);
	/* the last run left few pages */
	s->run = RUN_MAX * PAGE;
	order(&s->one, what, SIZE);
	(void)serve(s, false);
	bench_sample(row, "all there, not watched", rate_present(&s->store, what == STORE_ALL),
		BENCH_NONE);
}

static void sample_faults(struct bench_row *const rows[3], struct server *s)
{
	static const char *const ways[] = {"answered from poll", "answered spinning"};

	for (unsigned int spin = 0; spin < 2; spin++) {
		empty(s);
		bench_sample(rows[0], ways[spin], time_each(s, LOAD_EACH, spin), BENCH_NONE);
		/* now they are there to be read */
		bench_sample(rows[1], ways[spin], time_each(s, STORE_EACH, spin), BENCH_NONE);
		empty(s);
		bench_sample(rows[2], ways[spin], time_each(s, STORE_EACH, spin), BENCH_NONE);
	}
	/* The second process of a node: the page is there. */
	order(&s->one, FORGET, 0);
	(void)serve(s, false);
	bench_sample(rows[0], "there, watched", time_each(s, LOAD_EACH, false), BENCH_NONE);
}

void group_pages(struct bench *bench)
{
	static const char *const from[MAPPERS_MAX] = {
		"from 1 process", "from 2 processes", "from 3 processes"};
	struct bench_row *faults[3], *loads, *stores, *written, *clean;
	struct one ones[MAPPERS_MAX];
	struct page_store shared;
	struct server s;
	const char *why = watch_impossible(-1);

	if (why)
		bench_fail("%s", why);
	s.content = bench_memory(RUN_MAX * PAGE);
	if (page_store_new(SIZE, &s.store) || page_store_new(SIZE, &shared))
		bench_fail("out of memory");
	one_start(&s.one, &s.store);
	for (unsigned int i = 0; i < MAPPERS_MAX; i++)
		one_start(&ones[i], &shared);
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
