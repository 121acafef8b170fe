/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pieces change their memory one after the other. At each moment the content of a piece is complete
 * in the memory that is mapped there, or, where nobody else can look, in the memfd.
 */

#include <string.h>
#include <sys/mman.h>
#include "memory/adopter.h"
#include "memory/sys.h"

#define TRANSFER_PATIENCE 8 /* attempts of calls that have no reason to fail */

/* A way to move pieces, and what it needs. */
struct transfer {
	int (*take)(const struct transfer *t, const struct range *piece);
	bool alone; /* only while there is nobody else */
	uint64_t chunk;
	int protection;
	int memfd;	 /* where pieces go to or come from; -1: they come from where they are */
	uint64_t origin; /* address that is at offset 0 of memfd */
	uint64_t temporary, start; /* anonymous memory, and the address that it is for */
};

static long map_memfd(const struct transfer *t, const struct range *range, int sharing)
{
	return sys_mmap(range->start, range_length(range), t->protection, sharing | MAP_FIXED,
		t->memfd, range->start - t->origin);
}

static int take_shared(const struct transfer *t, const struct range *piece)
{
	int r = sys_pwrite_all(
		t->memfd, piece->start, range_length(piece), piece->start - t->origin);
	long p;

	if (r < 0)
		return r;
	p = map_memfd(t, piece, MAP_SHARED);
	return sys_failed(p) ? (int)p : 0;
}

static int fill_in_place(const struct transfer *t, const struct range *piece)
{
	uint64_t length = range_length(piece);
	long p = sys_mmap(piece->start, length, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	int r;

	if (sys_failed(p))
		return (int)p;
	/* Pages that could not be populated are missing here at the latest. */
	r = sys_pread_all(t->memfd, piece->start, length, piece->start - t->origin);
	if (r == 0 && t->protection != (PROT_READ | PROT_WRITE))
		r = sys_mprotect(piece->start, length, t->protection);
	return r;
}

/* Quickest: no second mapping, no fault. Meanwhile the content is in the memfd only. */
static int take_in_place(const struct transfer *t, const struct range *piece)
{
	int r = fill_in_place(t, piece);

	for (int i = 0; i < TRANSFER_PATIENCE && r < 0; i++)
		if (!sys_failed(map_memfd(t, piece, MAP_SHARED)))
			break;
	return r;
}

static int take_temporary(const struct transfer *t, const struct range *piece)
{
	uint64_t length = range_length(piece), from = t->temporary + (piece->start - t->start);
	int r = 0;
	long p;

	/* Reading the file spares the faults of a range that has not been touched. */
	if (t->memfd >= 0)
		r = sys_pread_all(t->memfd, from, length, piece->start - t->origin);
	else
		memcpy((void *)(uintptr_t)from, (const void *)(uintptr_t)piece->start, length);
	if (r == 0 && t->protection != (PROT_READ | PROT_WRITE))
		r = sys_mprotect(from, length, t->protection);
	if (r < 0)
		return r;
	p = sys_mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, piece->start);
	return sys_failed(p) ? (int)p : 0;
}

static int transfer_piece(
	const struct transfer *t, const struct holder *holder, const struct range *piece)
{
	struct hold hold;
	int r = hold_begin(&hold, holder, piece);

	if (r)
		return r;
	r = t->alone && hold.mode != HOLD_ALONE ? -EAGAIN : t->take(t, piece);
	hold_end(&hold, r == 0);
	return r;
}

static uint64_t piece_end(const struct transfer *t, const struct range *range)
{
	uint64_t next = (range->start / t->chunk + 1) * t->chunk;

	return MIN(next, range->end);
}

static int transfer(const struct transfer *t, const struct holder *holder,
	const struct range *range, uint64_t *done)
{
	struct spare spare = {0};
	int r = 0;

	if (piece_end(t, range) < range->end)
		r = spare_get(&spare);
	while (r == 0 && *done < range->end) {
		struct range piece = {*done, range->end};

		piece.end = piece_end(t, &piece);
		r = transfer_piece(t, holder, &piece);
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
	struct transfer t = {.take = take_shared,
		.chunk = holder_chunk(holder),
		.protection = protection,
		.memfd = memfd,
		.origin = origin};

	return transfer(&t, holder, range, done);
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

static int through_temporary(
	struct transfer t, const struct holder *holder, const struct range *range, uint64_t *done)
{
	int r = temporary_new(range->start, range_length(range), &t.temporary);

	if (r < 0)
		return r;
	t.take = take_temporary;
	t.chunk = holder_chunk(holder);
	t.start = range->start;
	r = transfer(&t, holder, range, done);
	/* What has moved may be other people's addresses by now. */
	trim(t.temporary + (*done - range->start), t.temporary + range_length(range));
	return r;
}

/* In pieces that stay in the cache between the kernel's clearing of their pages and the copy. */
static int in_place(
	struct transfer t, const struct holder *holder, const struct range *range, uint64_t *done)
{
	t.take = take_in_place;
	t.alone = true;
	t.chunk = MEMORY_CHUNK;
	return transfer(&t, holder, range, done);
}

/* Needs no memory, and as a single system call nobody to be held: every store is in the memfd. */
static int by_private_map(const struct transfer *t, const struct range *range, uint64_t *done)
{
	long p = -ENOMEM;

	for (int i = 0; i < TRANSFER_PATIENCE && sys_failed(p); i++)
		p = map_memfd(t, range, MAP_PRIVATE);
	if (sys_failed(p))
		return (int)p;
	*done = range->end;
	return 0;
}

int range_to_private(const struct holder *holder, const struct range *range, int protection,
	int memfd, uint64_t origin, uint64_t *done)
{
	struct transfer t = {.protection = protection, .memfd = memfd, .origin = origin};
	struct holder careful = *holder;
	int r = -EAGAIN;

	/* The last way loses no store, unlike a copy while others go on. */
	if (memfd >= 0)
		careful.regardless = false;
	if (memfd >= 0 && holder->alone)
		r = in_place(t, &careful, range, done);
	if (r)
		r = through_temporary(t, &careful, &(struct range){*done, range->end}, done);
	if (r && memfd >= 0)
		r = by_private_map(&t, &(struct range){*done, range->end}, done);
	return r;
}
