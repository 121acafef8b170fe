/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_ADOPTER_H
#define MEMORY_ADOPTER_H

/*
 * Inside of adoption: how one piece of memory is held still while it is copied and switched.
 *
 * Alone in the process nothing is needed but blocked signals, since a handler might store. With
 * other threads the piece is write-protected; where userfaultfd refuses the range, or is not to be
 * had, the other threads are stopped. While a piece is held the calling thread works with nothing
 * but its registers, the stack frames below it, and the copy: the piece may hold any other data of
 * the process, and must not be stored to, or is for a moment not there.
 */

#include <stdbool.h>
#include <stdint.h>
#include "memory/adopt.h"
#include "memory/stop.h"

struct MemoryAdopter {
	int fd;		  /* userfaultfd with its UFFDIO_API done, or -1 */
	bool unpopulated; /* protects pages that do not exist yet */
	bool user_only;	  /* system calls that store into protected memory get EFAULT */
};

/* Threads of this process; where that cannot be known, more than any has. */
int memory_count_threads(void);

/* How pieces of one range may be held. */
struct holder {
	const MemoryAdopter *adopter;
	bool alone;	 /* the process had one thread when the work began */
	bool watched;	 /* the range is registered with the adopter's userfaultfd */
	bool regardless; /* if nothing helps, go on without */
};

/* A range of addresses, page aligned. */
struct range {
	uint64_t start, end;
};

static inline uint64_t range_length(const struct range *r)
{
	return r->end - r->start;
}

/* True if the running function's stack lies in the range. */
bool range_has_stack(const struct range *range);

/* Mappings held back so that a process at its limit of them can still finish. */
struct spare {
	uint64_t address; /* 0: none */
};

int spare_get(struct spare *spare);
/* True if there was something to give back. */
bool spare_put(struct spare *spare);

enum hold_mode {
	HOLD_ALONE,	 /* there is nobody else */
	HOLD_REGARDLESS, /* nothing can be done about the others */
	HOLD_PROTECTED,
	HOLD_STOPPED,
};

struct hold {
	enum hold_mode mode;
	int uffd;
	struct range range;
	uint64_t signals;
	struct stop stop;
};

/* Results: 0, MEMORY_NO_RIGHT, negative errno; then nothing is held. */
int hold_begin(struct hold *hold, const struct holder *holder, const struct range *range);
/* switched: other memory is mapped there now. */
void hold_end(struct hold *hold, bool switched);

/* Bytes of a piece at most: few if others may have to wait for it. */
uint64_t holder_chunk(const struct holder *holder);

/* Registers range, if that can be. Results: 0 (whether it worked or not), MEMORY_BUSY. */
int holder_watch(struct holder *holder, const struct range *range);
void holder_unwatch(const struct holder *holder, const struct range *range);

/*
 * Moves range, readable, piece by piece: to a shared map of memfd, where address origin is at
 * offset 0; or to private memory, in which case memfd is what range maps now, or -1 where that
 * cannot be reached. *done, at first range->start, follows: up to there it has moved, even on
 * failure.
 */
int range_to_memory(const struct holder *holder, const struct range *range, int protection,
	int memfd, uint64_t origin, uint64_t *done);
int range_to_private(const struct holder *holder, const struct range *range, int protection,
	int memfd, uint64_t origin, uint64_t *done);

#endif
