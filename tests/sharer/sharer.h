/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SHARER_H
#define TESTS_SHARER_H

/*
 * A program that shares memory with others of its kind, here and on other nodes, by plain loads and
 * stores: one of them exports it, the rest import and map it. Which work they do together is the
 * first argument. tests/system/test_coherent*.py starts them and judges what they print.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* The segment: the first page is for meeting, the results follow, the rest is the work's. */
#define MEETING_PAGE 0u
#define WORK_PAGE    1u

struct sharer {
	const char *work;
	unsigned int worker, n_workers; /* the exporter is 0 */
	uint32_t rounds;
	uint64_t seed;
	uint8_t *memory;
	size_t pages;
};

/* The word at the beginning of a page of the work's. */
static inline _Atomic uint32_t *word_of(const struct sharer *s, unsigned int page)
{
	return (_Atomic uint32_t *)(s->memory + (size_t)(WORK_PAGE + page) * PAGE);
}

/* All workers are here. */
void meet(struct sharer *s);
/* Gives the processor away, so that daemons get on: what every loop that waits here does. */
void relax(void);
uint32_t draw(struct sharer *s, uint32_t below);
/* A short time of no particular length. */
void dawdle(struct sharer *s);
uint64_t now_us(void);

/* Each returns whether all was right as far as this worker can tell, and prints what others must
 * compare, one line. */
bool work_store_buffering(struct sharer *s);
bool work_load_buffering(struct sharer *s);
bool work_iriw(struct sharer *s);
bool work_message_passing(struct sharer *s);
bool work_coherence(struct sharer *s);
bool work_peterson(struct sharer *s);
bool work_counter(struct sharer *s);
bool work_random(struct sharer *s);

#endif
