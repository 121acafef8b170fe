/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include "base/clock.h"
#include "memory/adopter.h"
#include "memory/sys.h"
#include "memory/vma.h"

#define MOVE_PATIENCE 1000 /* milliseconds until a move that has begun is given up */

/* The adopted memory as it was: where it begins, and of which file. */
struct move_origin {
	uint64_t address;
	dev_t device;
	ino_t inode;
};

struct move_piece {
	const struct move_origin *origin;
	struct range bounds; /* searched */
	struct range range;  /* found */
	int protection;
	bool readable;
};

static int move_visit(const struct vma *v, void *userdata)
{
	struct move_piece *p = userdata;

	if (!v->shared || v->inode != p->origin->inode || v->device != p->origin->device ||
		v->start - p->origin->address != v->offset)
		return 0;
	p->range = (struct range){MAX(v->start, p->bounds.start), MIN(v->end, p->bounds.end)};
	p->readable = v->readable;
	p->protection = (v->readable ? PROT_READ : 0) | (v->writable ? PROT_WRITE : 0);
	return 1;
}

/* First piece in bounds that still is the origin's. 1: found, 0: none, negative errno. */
static int move_find(
	const struct move_origin *origin, const struct range *bounds, struct move_piece *ret_piece)
{
	*ret_piece = (struct move_piece){.origin = origin, .bounds = *bounds};
	return vma_for_each(bounds->start, bounds->end, move_visit, ret_piece);
}

/* A piece that nobody may read cannot be copied; its protection comes back with the new memory. */
static int move_open(const struct move_piece *piece)
{
	if (piece->readable)
		return 0;
	return sys_mprotect(piece->range.start, range_length(&piece->range), PROT_READ);
}

static void move_pause(void)
{
	struct timespec t = {.tv_nsec = NSEC_PER_MSEC};

	(void)memory_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&t, 0, 0, 0);
}

/* begun: something has moved already, so that there is no way back. Then the only thing that can be
 * missing are mappings, which other threads use up at this moment: try again. */
static int move_piece(
	const struct holder *holder, const struct move_piece *piece, int fd_to, bool begun)
{
	struct range rest = piece->range;
	int r = move_open(piece);

	for (int i = 0; r == 0 && i < MOVE_PATIENCE; i++) {
		r = fd_to < 0 ? range_to_anonymous(holder, &rest, piece->protection, &rest.start)
			      : range_to_memory(holder, &rest, piece->protection, fd_to,
					piece->origin->address, &rest.start);
		if (r == 0 || (rest.start == piece->range.start && !begun))
			return r;
		move_pause();
		r = 0;
	}
	return -ENOMEM;
}

static int move_all(const MemoryAdopter *adopter, const struct move_origin *origin,
	const struct range *range, int fd_to)
{
	struct range rest = *range;
	struct move_piece piece;
	bool begun = false;
	int r;

	while ((r = move_find(origin, &rest, &piece)) > 0) {
		struct holder holder = {.adopter = adopter, .regardless = true};

		(void)holder_watch(&holder, &piece.range);
		r = move_piece(&holder, &piece, fd_to, begun);
		if (r) {
			holder_unwatch(&holder, &piece.range);
			return r;
		}
		begun = true;
		rest.start = piece.range.end;
	}
	return r;
}

int memory_move(
	MemoryAdopter *adopter, void *address, size_t size, dev_t device, ino_t inode, int fd_to)
{
	struct range range = {(uintptr_t)address, (uintptr_t)address + size};
	struct move_origin origin = {range.start, device, inode};

	if (!size || range.end < range.start || (range.start | size) % 4096)
		return -EINVAL;
	if (range_has_stack(&range))
		return -EDEADLK;
	return move_all(adopter, &origin, &range, fd_to);
}

static int private_piece(const struct move_piece *piece, int fd)
{
	static const MemoryAdopter nobody = {.fd = -1};
	struct holder holder = {.adopter = &nobody, .regardless = true};
	const struct range *range = &piece->range;
	uint64_t done = range->start;
	long r;

	if (fd < 0) {
		r = move_open(piece);
		return r ? (int)r : range_to_anonymous(&holder, range, piece->protection, &done);
	}
	r = sys_mmap(range->start, range_length(range), piece->protection, MAP_PRIVATE | MAP_FIXED,
		fd, range->start - piece->origin->address);
	return sys_failed(r) ? (int)r : 0;
}

int memory_make_private(void *address, size_t size, dev_t device, ino_t inode, int fd)
{
	struct range rest = {(uintptr_t)address, (uintptr_t)address + size};
	struct move_origin origin = {rest.start, device, inode};
	struct move_piece piece;
	int r;

	while ((r = move_find(&origin, &rest, &piece)) > 0) {
		r = private_piece(&piece, fd);
		if (r)
			return r;
		rest.start = piece.range.end;
	}
	return r;
}
