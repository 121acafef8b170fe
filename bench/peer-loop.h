/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PEER_LOOP_H
#define BENCH_PEER_LOOP_H

/*
 * A peer whose other half is on another node finds its network namespace in PEER_NETWORK and its
 * address in PEER_ADDRESS; the half there makes progress only while it is the peer's turn.
 *
 * What every peer program does: read a CPU, say "ready", then answer each line "OPERATION SIZE N"
 * with the ns of one operation: the median of repetitions, timed as our own are. Returns at the end
 * of the input. Before "ready" the peer calls peer_begin().
 */

#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PEER_MEMORY (256ul << 20) /* bytes: the largest transfer */
#define PEER_WINDOW 32768u	  /* bytes that element operations walk through */
#define PEER_SPREAD (1ul << 20)	  /* bytes that they jump about in */

struct peer_operation {
	const char *name;
	void (*run)(size_t size, unsigned long n);
};

static volatile int *peer_turn; /* shared with the other half */

__attribute__((unused)) static void peer_turn_begin(void)
{
	const char *path = getenv("PEER_TURN"); /* for halves that are no relatives */
	int fd = path ? open(path, O_RDWR) : -1;

	peer_turn = mmap(NULL, sizeof(*peer_turn), PROT_READ | PROT_WRITE,
		MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (peer_turn == MAP_FAILED)
		exit(1);
}

/* The other half moves to its network, if that is another one, and to the first CPU. */
__attribute__((unused)) static void peer_go_there(void)
{
	const char *network = getenv("PEER_NETWORK");
	cpu_set_t set;
	int fd;

	if (!network)
		return;
	fd = open(network, O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		exit(1);
	close(fd);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* An aligned offset below PEER_SPREAD. */
__attribute__((unused)) static uint64_t peer_random(uint64_t i)
{
	return (i * 0x9e3779b97f4a7c15u >> 40) * 8 % PEER_SPREAD;
}

static uint64_t peer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int peer_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double peer_time(void (*run)(size_t size, unsigned long n), size_t size, unsigned long n)
{
	static double times[4000];
	uint64_t begin = peer_now();
	size_t repeats = 0;

	while (repeats < 4000 && (repeats < 9 || peer_now() - begin < 20000000)) {
		uint64_t start = peer_now();

		run(size, n);
		times[repeats++] = (double)(peer_now() - start) / (double)n;
	}
	qsort(times, repeats, sizeof(*times), peer_compare);
	return (times[(repeats - 1) / 2] + times[repeats / 2]) / 2;
}

static void peer_begin(void)
{
	cpu_set_t set;
	int cpu;

	if (scanf("%d", &cpu) != 1)
		exit(1);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void peer_loop(const struct peer_operation *operations)
{
	char name[16];
	unsigned long n;
	size_t size;

	puts("ready");
	fflush(stdout);
	while (scanf("%15s %zu %lu", name, &size, &n) == 3) {
		const struct peer_operation *operation = operations;

		while (operation->name && strcmp(operation->name, name))
			++operation;
		if (!operation->name || size > PEER_MEMORY || !n)
			return;
		if (peer_turn)
			*peer_turn = 1;
		printf("%.3f\n", peer_time(operation->run, size, n));
		if (peer_turn)
			*peer_turn = 0;
		fflush(stdout);
	}
}

#endif
