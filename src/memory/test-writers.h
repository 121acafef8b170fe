/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_TEST_WRITERS_H
#define MEMORY_TEST_WRITERS_H

/*
 * Threads that store into a range and notice every store of their own that got lost: each owns
 * every n-th word and remembers what it stored there last. The last WRITERS_KERNEL bytes belong to
 * a thread that lets the kernel store, by read(2).
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

#define WRITERS_MAX    4
#define WRITERS_KERNEL 65536
#define WRITERS_BLOCK  512
#define WRITERS_STALL  (50 * NSEC_PER_USEC)
#define WRITERS_STALLS 4096

struct writers {
	char *memory;
	size_t size;
	unsigned int n;
	atomic_bool stop;
	atomic_uint started;
	struct writer {
		struct writers *all;
		pthread_t thread;
		unsigned int number;
		uint64_t *model;
		uint64_t lost, stores;
		uint64_t stalls[WRITERS_STALLS]; /* ns without a store, if longer than usual */
		atomic_uint n_stalls;
	} writer[WRITERS_MAX];
	pthread_t kernel_thread;
	unsigned char kernel_model[WRITERS_KERNEL / WRITERS_BLOCK];
	uint64_t kernel_failed, kernel_done;
};

static inline uint64_t writers_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 20;
}

static inline void *writers_store(void *userdata)
{
	struct writer *w = userdata;
	size_t words = (w->all->size - WRITERS_KERNEL) / 8 / w->all->n;
	uint64_t random = 99 + w->number, last = clock_now();

	atomic_fetch_add(&w->all->started, 1);
	while (!atomic_load_explicit(&w->all->stop, memory_order_relaxed)) {
		size_t i = writers_random(&random) % words;
		volatile uint64_t *p = (uint64_t *)w->all->memory + i * w->all->n + w->number;
		uint64_t now;

		if (*p != w->model[i])
			w->lost++;
		*p = w->model[i] = random;
		if (++w->stores % 64)
			continue;
		now = clock_now();
		if (now - last > WRITERS_STALL && w->n_stalls < WRITERS_STALLS)
			w->stalls[w->n_stalls++] = now - last;
		last = now;
	}
	return NULL;
}

static inline void *writers_read_into(void *userdata)
{
	struct writers *all = userdata;
	char *base = all->memory + all->size - WRITERS_KERNEL, block[WRITERS_BLOCK];
	uint64_t random = 5;
	int p[2];

	if (pipe(p) < 0)
		abort();
	atomic_fetch_add(&all->started, 1);
	while (!atomic_load_explicit(&all->stop, memory_order_relaxed)) {
		size_t i = writers_random(&random) % (WRITERS_KERNEL / WRITERS_BLOCK);

		memset(block, (int)(random >> 40), sizeof(block));
		if (write(p[1], block, sizeof(block)) != sizeof(block))
			break;
		if (read(p[0], base + i * WRITERS_BLOCK, WRITERS_BLOCK) == WRITERS_BLOCK) {
			all->kernel_model[i] = (unsigned char)(random >> 40);
			all->kernel_done++;
		} else {
			all->kernel_failed++;
			if (read(p[0], block, sizeof(block)) < 0)
				break;
		}
	}
	close(p[0]);
	close(p[1]);
	return NULL;
}

/* The range must be zero. Returns when all are at work, whatever else the machine does. */
static inline void writers_start(struct writers *w, void *memory, size_t size, unsigned int n)
{
	memset(w, 0, sizeof(*w));
	w->memory = memory;
	w->size = size;
	w->n = n;
	for (unsigned int i = 0; i < n; i++) {
		w->writer[i].all = w;
		w->writer[i].number = i;
		w->writer[i].model = calloc(size / 8 / n, 8);
		if (!w->writer[i].model ||
			pthread_create(&w->writer[i].thread, NULL, writers_store, &w->writer[i]))
			abort();
	}
	if (pthread_create(&w->kernel_thread, NULL, writers_read_into, w))
		abort();
	while (atomic_load(&w->started) <= n)
		usleep(100);
}

/* Stops them; how many words are not what was stored last. */
static inline uint64_t writers_finish(struct writers *w)
{
	size_t words = (w->size - WRITERS_KERNEL) / 8 / w->n;
	unsigned char *kernel = (unsigned char *)w->memory + w->size - WRITERS_KERNEL;
	uint64_t lost = 0;

	atomic_store(&w->stop, true);
	for (unsigned int i = 0; i < w->n; i++) {
		pthread_join(w->writer[i].thread, NULL);
		lost += w->writer[i].lost;
		for (size_t k = 0; k < words; k++)
			lost += ((uint64_t *)w->memory)[k * w->n + i] != w->writer[i].model[k];
		free(w->writer[i].model);
	}
	pthread_join(w->kernel_thread, NULL);
	for (size_t i = 0; i < WRITERS_KERNEL; i++)
		lost += kernel[i] != w->kernel_model[i / WRITERS_BLOCK];
	return lost;
}

#endif
