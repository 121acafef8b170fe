/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>
#include "memory/adopter.h"
#include "memory/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Where pieces go. */
struct target {
	int protection;
	int memfd;	 /* or -1: temporary */
	uint64_t origin; /* address that is at offset 0 of memfd, or at temporary */
	uint64_t temporary;
};

static int target_take_shared(const struct target *t, const struct range *range)
{
	uint64_t offset = range->start - t->origin;
	long r = sys_pwrite_all(t->memfd, range->start, range_length(range), offset);

	if (r < 0)
		return (int)r;
	r = sys_mmap(range->start, range_length(range), t->protection, MAP_SHARED | MAP_FIXED,
		t->memfd, offset);
	return sys_failed(r) ? (int)r : 0;
}

static int target_take_anonymous(const struct target *t, const struct range *range)
{
	uint64_t length = range_length(range), from = t->temporary + (range->start - t->origin);
	long r;

	memcpy((void *)(uintptr_t)from, (const void *)(uintptr_t)range->start, length);
	if (t->protection != (PROT_READ | PROT_WRITE)) {
		r = sys_mprotect(from, length, t->protection);
		if (r < 0)
			return (int)r;
	}
	r = sys_mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, range->start);
	return sys_failed(r) ? (int)r : 0;
}

static int transfer_piece(
	const struct holder *holder, const struct range *piece, const struct target *target)
{
	struct hold hold;
	int r = hold_begin(&hold, holder, piece);

	if (r)
		return r;
	r = target->memfd >= 0 ? target_take_shared(target, piece)
			       : target_take_anonymous(target, piece);
	hold_end(&hold, r == 0);
	return r;
}

static int transfer(const struct holder *holder, const struct range *range,
	const struct target *target, uint64_t *done)
{
	struct spare spare = {0};
	int r = 0;

	if (holder_piece_end(holder, range) < range->end)
		r = spare_get(&spare);
	while (r == 0 && *done < range->end) {
		struct range piece = {*done, range->end};

		piece.end = holder_piece_end(holder, &piece);
		r = transfer_piece(holder, &piece, target);
		if (r == 0)
			*done = piece.end;
		else if (spare_put(&spare) && r == -ENOMEM)
			r = 0;
	}
	(void)spare_put(&spare);
	return r;
}

int range_to_memory(const struct holder *holder, const struct range *range, int protection,
	int memfd, uint64_t origin, uint64_t *done)
{
	struct target target = {.protection = protection, .memfd = memfd, .origin = origin};

	return transfer(holder, range, &target, done);
}

static void trim(uint64_t start, uint64_t end)
{
	if (start < end)
		(void)sys_munmap(start, end - start);
}

/* Congruent to address modulo MEMORY_CHUNK, so that the kernel moves whole page tables, and
 * populated, so that nothing is missing once the move has begun. */
static int temporary_new(uint64_t address, uint64_t length, uint64_t *ret_temporary)
{
	uint64_t room = length < MEMORY_CHUNK ? length : length + MEMORY_CHUNK, start;
	long base = sys_mmap(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (sys_failed(base))
		return (int)base;
	start = (uint64_t)base;
	if (room > length) {
		start += (address - start) % MEMORY_CHUNK;
		trim((uint64_t)base, start);
		trim(start + length, (uint64_t)base + room);
	}
	if (sys_madvise(start, length, MADV_POPULATE_WRITE) < 0) {
		trim(start, start + length);
		return -ENOMEM;
	}
	*ret_temporary = start;
	return 0;
}

int range_to_anonymous(
	const struct holder *holder, const struct range *range, int protection, uint64_t *done)
{
	struct target target = {.protection = protection, .memfd = -1, .origin = range->start};
	int r = temporary_new(range->start, range_length(range), &target.temporary);

	if (r < 0)
		return r;
	r = transfer(holder, range, &target, done);
	/* What has moved may be other people's addresses by now. */
	trim(target.temporary + (*done - range->start), target.temporary + range_length(range));
	return r;
}
