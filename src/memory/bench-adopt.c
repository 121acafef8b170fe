/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench-adopt [KiB] [writers] [rounds]: what classification, adoption and undo take, beside a plain
 * copy of the same memory in the same round, and how long writers stood still. Medians.
 */

#include <sys/mman.h>
#include <sys/stat.h>
#include <stdio.h>
#include "memory/adopt.h"
#include "memory/memfd.h"
#include "memory/test-writers.h"

#define ROUNDS_MAX 10000

enum step {
	STEP_COPY,
	STEP_CLASSIFY,
	STEP_RESERVE,
	STEP_ADOPT,
	STEP_UNDO,
	STEP_UNDO_BLIND, /* without a descriptor */
	N_STEPS,
};

static const char *const step_names[] = {
	"copy", "classify", "reserve", "adopt", "undo", "undo without descriptor"};

static struct bench {
	MemoryAdopter *adopter;
	char *memory;
	size_t size;
	struct writers writers;
	uint64_t times[N_STEPS][ROUNDS_MAX];
	uint64_t stalls[N_STEPS][WRITERS_STALLS];
	unsigned int n_stalls[N_STEPS];
} bench;

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void forget_stalls(void)
{
	for (unsigned int i = 0; i < bench.writers.n; i++)
		bench.writers.writer[i].n_stalls = 0;
}

static void keep_stalls(enum step step)
{
	for (unsigned int i = 0; i < bench.writers.n; i++) {
		struct writer *w = &bench.writers.writer[i];

		for (unsigned int k = 0; k < w->n_stalls; k++)
			if (bench.n_stalls[step] < WRITERS_STALLS)
				bench.stalls[step][bench.n_stalls[step]++] = w->stalls[k];
	}
}

#define MEASURE(step, round, call)                                                                 \
	do {                                                                                       \
		uint64_t t0;                                                                       \
		forget_stalls();                                                                   \
		t0 = clock_now();                                                                  \
		if (call)                                                                          \
			abort();                                                                   \
		bench.times[step][round] = clock_now() - t0;                                       \
		keep_stalls(step);                                                                 \
	} while (0)

static void round_of(int i, bool blind)
{
	char *p = bench.memory;
	size_t size = bench.size;
	enum memory_kind kind;
	struct stat st;
	int fd, plain;

	if (memfd_new("bench", size, &fd) < 0 || fstat(fd, &st) < 0 ||
		memfd_new("bench", size, &plain) < 0 || memfd_reserve(plain, 0, size) < 0)
		abort();
	MEASURE(STEP_COPY, i, pwrite(plain, p, size, 0) != (ssize_t)size);
	close(plain);
	MEASURE(STEP_CLASSIFY, i, memory_classify(p, size, &kind));
	MEASURE(STEP_RESERVE, i, memfd_reserve(fd, 0, size));
	MEASURE(STEP_ADOPT, i, memory_adopt(bench.adopter, p, size, fd));
	MEASURE(blind ? STEP_UNDO_BLIND : STEP_UNDO, i,
		memory_move(bench.adopter, p, size, st.st_dev, st.st_ino, blind ? -1 : fd, -1));
	close(fd);
}

static double median(uint64_t *values, unsigned int n)
{
	const size_t middle = n / 2;

	qsort(values, n, sizeof(values[0]), compare);
	return (double)values[middle] / NSEC_PER_USEC;
}

static void print_step(enum step step, unsigned int rounds)
{
	unsigned int n = bench.n_stalls[step];

	printf("%-24s%12.2f us", step_names[step], median(bench.times[step], rounds));
	if (n) {
		printf("; %u stalls, median %.0f", n, median(bench.stalls[step], n));
		printf(", longest %.0f us", (double)bench.stalls[step][n - 1] / NSEC_PER_USEC);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 0) : 64) << 10;
	unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 0;
	int rounds = argc > 3 ? atoi(argv[3]) : 1000;

	bench.size = size;
	bench.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bench.memory == MAP_FAILED || n > WRITERS_MAX || rounds < 1 || rounds > ROUNDS_MAX ||
		memory_adopter_new(-1, &bench.adopter) < 0)
		return 1;
	memset(bench.memory, 0, size);
	if (n)
		writers_start(&bench.writers, bench.memory, size, n);
	for (int i = 0; i < rounds; i++) {
		round_of(i, true);
		round_of(i, false);
	}
	for (enum step step = 0; step < N_STEPS; step++)
		print_step(step, (unsigned int)rounds);
	if (n)
		printf("lost: %lu words\n", (unsigned long)writers_finish(&bench.writers));
	memory_adopter_free(bench.adopter);
	munmap(bench.memory, size);
	return 0;
}
