/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench-adopt [MiB] [writers] [rounds]: time of adoption and undo, next to a plain copy of the same
 * memory in the same round, and how long writers stood still.
 */

#include <sys/mman.h>
#include <sys/stat.h>
#include <stdio.h>
#include "memory/adopt.h"
#include "memory/memfd.h"
#include "memory/test-writers.h"

static double ms(uint64_t from, uint64_t to)
{
	return (double)(to - from) / NSEC_PER_MSEC;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void print_stalls(const char *what, struct writers *w)
{
	for (unsigned int i = 0; i < w->n; i++) {
		struct writer *one = &w->writer[i];
		unsigned int n = one->n_stalls;

		qsort(one->stalls, n, sizeof(one->stalls[0]), compare);
		if (n)
			printf("; %s stalls %u, median %.2f, longest %.2f ms", what, n,
				ms(0, one->stalls[n / 2]), ms(0, one->stalls[n - 1]));
		one->n_stalls = 0;
	}
}

static void forget_stalls(struct writers *w)
{
	for (unsigned int i = 0; i < w->n; i++)
		w->writer[i].n_stalls = 0;
}

/* How long the machine takes to copy one piece, median of 9. */
static double piece_copy(const char *from, int fd)
{
	double t[9];

	for (int i = 0; i < 9; i++) {
		uint64_t t0 = clock_now();

		if (pwrite(fd, from, MEMORY_CHUNK, 0) != (ssize_t)MEMORY_CHUNK)
			abort();
		t[i] = ms(t0, clock_now());
		for (int k = i; k > 0 && t[k] < t[k - 1]; k--) {
			double swap = t[k];

			t[k] = t[k - 1];
			t[k - 1] = swap;
		}
	}
	return t[4];
}

static void round_of(MemoryAdopter *adopter, char *p, size_t size, struct writers *w)
{
	uint64_t t0, t1, t2, t3;
	double scale = 1024.0 * (1 << 20) / (double)size;
	struct stat st;
	int fd, plain;

	if (memfd_new("bench", size, &fd) < 0 || memfd_reserve(fd, 0, size) < 0 ||
		memfd_new("bench", size, &plain) < 0 || memfd_reserve(plain, 0, size) < 0 ||
		fstat(fd, &st) < 0)
		abort();
	t0 = clock_now();
	for (size_t o = 0; o < size; o += MEMORY_CHUNK)
		if (pwrite(plain, p + o, MEMORY_CHUNK, (off_t)o) < 0)
			abort();
	t1 = clock_now();
	forget_stalls(w);
	t2 = clock_now();
	if (memory_adopt(adopter, p, size, fd))
		abort();
	t3 = clock_now();
	printf("copy %.0f, adopt %.0f ms/GiB", ms(t0, t1) * scale, ms(t2, t3) * scale);
	print_stalls("adopt", w);
	forget_stalls(w);
	t2 = clock_now();
	if (memory_move(adopter, p, size, st.st_dev, st.st_ino, fd, -1))
		abort();
	t3 = clock_now();
	printf(", undo %.0f ms/GiB", ms(t2, t3) * scale);
	print_stalls("undo", w);
	if (w->n)
		printf("; copy of a piece %.2f ms", piece_copy(p, plain));
	printf("\n");
	close(fd);
	close(plain);
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 0) : 256) << 20;
	unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 0;
	int rounds = argc > 3 ? atoi(argv[3]) : 5;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct writers w = {0};
	MemoryAdopter *adopter;

	if (p == MAP_FAILED || n > WRITERS_MAX || memory_adopter_new(-1, &adopter) < 0)
		return 1;
	memset(p, 0, size);
	if (n)
		writers_start(&w, p, size, n);
	for (int i = 0; i < rounds; i++)
		round_of(adopter, p, size, &w);
	if (n)
		printf("lost: %lu words\n", (unsigned long)writers_finish(&w));
	memory_adopter_free(adopter);
	munmap(p, size);
	return 0;
}
