/* SPDX-License-Identifier: Apache-2.0 */
#include "watched.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "memory/uffd.h"

#define SINGLE (8ul << 20) /* of what is answered page by page */

/* The process that maps. */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t watched_touch_each(volatile uint64_t *memory, bool store)
{
	static uint64_t times[WATCHED_EACH];

	for (unsigned int i = 0; i < WATCHED_EACH; i++) {
		volatile uint64_t *word = memory + i * (WATCHED_PAGE / sizeof(uint64_t));
		uint64_t start = bench_now();

		if (store)
			*word = i;
		else
			(void)*word;
		times[i] = bench_now() - start;
	}
	qsort(times, WATCHED_EACH, sizeof(*times), by_value);
	return times[WATCHED_EACH / 2];
}

uint64_t watched_touch_all(volatile uint64_t *memory, size_t size, bool store)
{
	uint64_t start = bench_now(), sum = 0;

	for (size_t i = 0; i < size / sizeof(uint64_t); i += WATCHED_PAGE / sizeof(uint64_t)) {
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
	memory = mmap(NULL, WATCHED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, store->memory, 0);
	if (memory == MAP_FAILED)
		bench_fail("mmap: %m");
	give_userfaultfd(channel, memory);
	for (;;) {
		enum watched_order order = (enum watched_order)bench_receive(channel);
		size_t size = bench_receive(channel);
		uint64_t answer = 0;

		switch (order) {
		case LOAD_EACH:
		case STORE_EACH:
			answer = watched_touch_each(memory, order == STORE_EACH);
			break;
		case LOAD_ALL:
		case STORE_ALL:
			answer = watched_touch_all(memory, size, order == STORE_ALL);
			break;
		case FORGET:
			madvise(memory, WATCHED_SIZE, MADV_DONTNEED);
			break;
		}
		bench_send(channel, answer);
	}
}

/* The daemon. */

void watched_start(struct watched *one, struct page_store *store)
{
	int fds[FD_PACKET_MAX], uffd;
	unsigned int n;

	one->partner = bench_partner(map_and_touch, store);
	one->mapper = (struct mapper){.length = WATCHED_SIZE};
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

void watched_order(struct watched *one, enum watched_order what, size_t size)
{
	bench_send(one->partner.channel, what);
	bench_send(one->partner.channel, size);
}

/* fills a run and wakes, or allows stores */
static void answer_fault(struct watched_server *s, const struct uffd_msg *message)
{
	uint64_t offset = message->arg.pagefault.address - s->one.mapper.address;
	uint64_t flags = message->arg.pagefault.flags;
	size_t n = s->run;

	offset -= offset % WATCHED_PAGE;
	n = n < WATCHED_SIZE - offset ? n : WATCHED_SIZE - offset;
	if (!(flags & UFFD_PAGEFAULT_FLAG_WP) && page_store_write(&s->store, offset, s->content, n))
		bench_fail("pwrite: %m");
	if (flags & (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE))
		mapper_allow(&s->one.mapper, offset, n);
	else
		mapper_wake(&s->one.mapper, offset, WATCHED_PAGE);
}

/* Until the process has done what it was told: its answer. */
uint64_t watched_serve(struct watched_server *s, bool spin)
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

void watched_empty(struct watched_server *s)
{
	if (page_store_punch(&s->store, 0, WATCHED_SIZE) ||
		mapper_protect(&s->one.mapper, 0, WATCHED_SIZE))
		bench_fail("the pages cannot be taken away");
}

double watched_time_each(struct watched_server *s, enum watched_order what, bool spin)
{
	s->run = WATCHED_PAGE;
	watched_order(&s->one, what, 0);
	return (double)watched_serve(s, spin);
}

/* GB/s */
double watched_rate(struct watched_server *s, enum watched_order what, size_t pages)
{
	size_t size = pages > 4 ? WATCHED_SIZE : SINGLE;

	watched_empty(s);
	s->run = pages * WATCHED_PAGE;
	watched_order(&s->one, what, size);
	return (double)size / (double)watched_serve(s, false);
}

void watched_server_start(struct watched_server *s)
{
	const char *why = watch_impossible(-1);

	if (why)
		bench_fail("%s", why);
	s->content = bench_memory(WATCHED_RUN_MAX * WATCHED_PAGE);
	if (page_store_new(WATCHED_SIZE, &s->store))
		bench_fail("out of memory");
	watched_start(&s->one, &s->store);
}
