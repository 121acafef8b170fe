/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include "base/clock.h"
#include "memory/adopter.h"
#include "memory/origin.h"
#include "memory/sys.h"

#define MOVE_PATIENCE 1000 /* milliseconds until a move that has begun is given up */

static void move_pause(void)
{
	struct timespec t = {.tv_nsec = NSEC_PER_MSEC};

	(void)memory_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&t, 0, 0, 0);
}

/* Descriptors of what the content lies in and where it goes; -1: see memory_move(). */
struct way {
	int from, to;
};

static int move_rest(const struct holder *holder, const struct origin *origin,
	const struct origin_piece *piece, const struct way *way, uint64_t *done)
{
	struct range rest = {*done, piece->range.end};
	uint64_t start = origin->range.start;

	if (way->to < 0)
		return range_to_private(holder, &rest, piece->protection, way->from, start, done);
	return range_to_memory(holder, &rest, piece->protection, way->to, start, done);
}

/* begun: something has moved already, so that there is no way back. What can still be missing then
 * are mappings, which other threads use up at this moment: try again. */
static int move_piece(const struct holder *holder, const struct origin *origin,
	const struct origin_piece *piece, const struct way *way, bool begun)
{
	uint64_t done = piece->range.start;
	int r = origin_piece_open(piece);

	for (int i = 0; i < MOVE_PATIENCE; i++) {
		if (r == 0)
			r = move_rest(holder, origin, piece, way, &done);
		if (r == 0)
			return 0;
		if (done == piece->range.start && !begun)
			break;
		move_pause();
		r = origin_piece_open(
			&(struct origin_piece){{done, piece->range.end}, piece->protection});
	}
	if (done == piece->range.start && !(piece->protection & PROT_READ))
		(void)sys_mprotect(done, piece->range.end - done, piece->protection);
	return -ENOMEM;
}

/* As origin_find(), but does not give up once the move has begun. */
static int move_find(const struct origin *origin, uint64_t at, struct origin_piece *ret_piece)
{
	int r = origin_find(origin, at, ret_piece);

	for (int i = 0; i < MOVE_PATIENCE && r < 0 && at > origin->range.start; i++) {
		move_pause();
		r = origin_find(origin, at, ret_piece);
	}
	return r < 0 ? -ENOMEM : r;
}

static int move_all(
	const MemoryAdopter *adopter, const struct origin *origin, const struct way *way)
{
	bool alone = memory_count_threads() == 1;
	uint64_t at = origin->range.start;

	while (at < origin->range.end) {
		struct holder holder = {.adopter = adopter, .alone = alone, .regardless = true};
		struct origin_piece piece;
		int r = move_find(origin, at, &piece);

		if (r <= 0)
			return r;
		if (!alone)
			(void)holder_watch(&holder, &piece.range);
		r = move_piece(&holder, origin, &piece, way, at > origin->range.start);
		if (r) {
			holder_unwatch(&holder, &piece.range);
			return r;
		}
		at = piece.range.end;
	}
	return 0;
}

static int origin_init(struct origin *origin, void *address, size_t size, dev_t device, ino_t inode)
{
	uint64_t start = (uintptr_t)address;

	if (!size || start + size < start || (start | size) % 4096)
		return -EINVAL;
	*origin = (struct origin){{start, start + size}, device, inode};
	return 0;
}

int memory_move(MemoryAdopter *adopter, void *address, size_t size, dev_t device, ino_t inode,
	int fd_from, int fd_to)
{
	struct origin origin;
	struct way way;
	int r = origin_init(&origin, address, size, device, inode);

	if (r < 0)
		return r;
	if (range_has_stack(&origin.range))
		return -EDEADLK;
	if (fd_to >= 0) {
		r = origin_carry_lost(&origin, fd_to);
		if (r < 0)
			return -ENOMEM;
	}
	way = (struct way){origin_descriptor(&origin, fd_from), fd_to};
	return move_all(adopter, &origin, &way);
}

static int private_piece(const struct origin *origin, const struct origin_piece *piece, int fd)
{
	static const MemoryAdopter nobody = {.fd = -1};
	struct holder holder = {.adopter = &nobody, .regardless = true};
	const struct range *range = &piece->range;
	uint64_t done = range->start;
	long r;

	if (fd < 0) {
		r = origin_piece_open(piece);
		if (r == 0)
			r = range_to_private(
				&holder, range, piece->protection, -1, range->start, &done);
		return (int)r;
	}
	r = sys_mmap(range->start, range_length(range), piece->protection, MAP_PRIVATE | MAP_FIXED,
		fd, range->start - origin->range.start);
	return sys_failed(r) ? (int)r : 0;
}

int memory_make_private(void *address, size_t size, dev_t device, ino_t inode, int fd)
{
	struct origin_piece piece;
	struct origin origin;
	int r = origin_init(&origin, address, size, device, inode);

	if (r < 0)
		return r;
	fd = origin_descriptor(&origin, fd);
	for (uint64_t at = origin.range.start; at < origin.range.end; at = piece.range.end) {
		r = origin_find(&origin, at, &piece);
		if (r <= 0)
			return r;
		r = private_piece(&origin, &piece, fd);
		if (r)
			return r;
	}
	return 0;
}
