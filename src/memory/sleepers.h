/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_SLEEPERS_H
#define MEMORY_SLEEPERS_H

/*
 * Who sleeps at the locks of a page? The kernel wakes those of its own node alone, so that whoever
 * moves pages between nodes has to look after them. What is known are glibc's mutexes and rwlocks
 * that processes share, of 64-bit programs, as a whole within the page: by all of their form, so
 * that data which looks like a part of it costs nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#define SLEEPERS_PAGE  4096u
#define SLEEPERS_WORDS 64u

struct sleepers {
	unsigned int n;
	uint16_t words[SLEEPERS_WORDS]; /* of four bytes, by number in the page */
};

/* The words at which somebody may sleep; further ones are left out. page: at a multiple of 8. */
void sleepers_find(const void *page, struct sleepers *ret_sleepers);
/* Adds those of another look. */
void sleepers_add(struct sleepers *sleepers, const struct sleepers *more);

/* Wakes all who sleep at these words of the page at offset of a memory file, which is there: this
 * would make it. Whoever finds nothing changed sleeps on. 0 or a negative errno. */
int sleepers_wake(int memory, uint64_t offset, const struct sleepers *sleepers);
/* The same at all words. */
int sleepers_wake_all(int memory, uint64_t offset);

#endif
