/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/mapper.h"

#include "memory/uffd.h"
#include "memory/watch-private.h"

#define PAGE	  4096ull
#define PAGE_MASK (PAGE - 1)

/* A part of a mapper, as addresses of the process. */
struct piece {
	uint64_t address, length; /* 0: nothing */
};

static struct piece piece_of(const struct mapper *mapper, uint64_t offset, uint64_t length)
{
	uint64_t start = MAX(offset, mapper->offset);
	uint64_t end = MIN(offset + length, mapper->offset + mapper->length);

	if (start >= end)
		return (struct piece){0, 0};
	return (struct piece){mapper->address + (start - mapper->offset), end - start};
}

static bool mapper_makes_sense(const struct mapper *mapper)
{
	return mapper->length &&
	       !((mapper->address | mapper->offset | mapper->length) & PAGE_MASK) &&
	       range_within(mapper->address, mapper->length, INT64_MAX) &&
	       range_within(mapper->offset, mapper->length, INT64_MAX);
}

typedef int (*piece_call)(int uffd, uint64_t address, uint64_t length);

/*
 * The kernel stops at the first gap (ENOENT, EINVAL; before Linux 6.3 also at several mappings):
 * then one half, and the other. What has no mapping of ours in the end is left out.
 */
static int piece_apply(int uffd, piece_call call, uint64_t address, uint64_t length)
{
	uint64_t half = length / 2 & ~PAGE_MASK;
	int r = call(uffd, address, length), r2;

	if (r != -ENOENT && r != -EINVAL)
		return r;
	if (!half)
		return 0;
	r = piece_apply(uffd, call, address, half);
	if (r == -ESRCH)
		return r;
	r2 = piece_apply(uffd, call, address + half, length - half);
	return r < 0 ? r : r2;
}

static int piece_protect(int uffd, uint64_t address, uint64_t length)
{
	return uffd_write_protect(uffd, address, length, true);
}

static int piece_allow(int uffd, uint64_t address, uint64_t length)
{
	return uffd_write_protect(uffd, address, length, false);
}

/* Until the kernel has done it, and no change is known that it may have missed. */
static int protect(Watch *watch, const struct piece *piece)
{
	enum watch_settled settled;
	struct watch_trial trial;
	int r;

	watch_trial_begin(watch, &trial);
	do {
		r = piece_apply(watch_uffd(watch), piece_protect, piece->address, piece->length);
		if (r == -ESRCH) {
			watch_set_gone(watch);
			return MAPPER_OK;
		}
		settled = watch_settled(watch);
		if (settled == WATCH_CHANGED)
			return watch_trial_changed(watch, &trial) ? MAPPER_CHANGED : -EBUSY;
		if (r == 0 && settled == WATCH_SETTLED) {
			watch_trial_done(watch, &trial);
			return MAPPER_OK;
		}
	} while (watch_trial_again(watch, &trial));
	return -EBUSY;
}

static int arm(const struct mapper *mapper, bool again)
{
	const struct piece first = {mapper->address, PAGE};
	const struct piece all = {mapper->address, mapper->length};
	int uffd = watch_uffd(mapper->watch), r;

	if (!mapper_makes_sense(mapper))
		return -EINVAL;
	/* Is there a change that is older than this mapping, perhaps of what was here before? */
	r = protect(mapper->watch, &first);
	if (r != MAPPER_OK || watch_gone(mapper->watch))
		return r;
	r = mapper->read_only ? uffd_register_missing(uffd, mapper->address, mapper->length)
			      : uffd_register_coherent(uffd, mapper->address, mapper->length);
	/* so the kernel says, too, of a process that has ended since */
	if (r == -ENOMEM && watch_probe(mapper->watch, mapper->address))
		return MAPPER_OK;
	if (r < 0 || mapper->read_only)
		return r;
	r = protect(mapper->watch, &all);
	if (r != MAPPER_OK && !again)
		mapper_disarm(mapper);
	return r;
}

int mapper_arm(const struct mapper *mapper)
{
	return arm(mapper, false);
}

int mapper_arm_again(const struct mapper *mapper)
{
	return arm(mapper, true);
}

void mapper_disarm(const struct mapper *mapper)
{
	int uffd = watch_uffd(mapper->watch);

	(void)piece_apply(uffd, uffd_unregister, mapper->address, mapper->length);
	(void)uffd_wake(uffd, mapper->address, mapper->length);
}

int mapper_protect(const struct mapper *mapper, uint64_t offset, uint64_t length)
{
	struct piece piece = piece_of(mapper, offset, length);

	if (mapper->read_only || !piece.length || watch_gone(mapper->watch))
		return MAPPER_OK;
	return protect(mapper->watch, &piece);
}

void mapper_allow(const struct mapper *mapper, uint64_t offset, uint64_t length)
{
	struct piece piece = piece_of(mapper, offset, length);
	int uffd = watch_uffd(mapper->watch), r;

	if (!piece.length || watch_gone(mapper->watch))
		return;
	r = mapper->read_only ? -EPERM
			      : piece_apply(uffd, piece_allow, piece.address, piece.length);
	/* Otherwise the kernel has woken them. */
	if (r < 0)
		(void)uffd_wake(uffd, piece.address, piece.length);
}

void mapper_wake(const struct mapper *mapper, uint64_t offset, uint64_t length)
{
	struct piece piece = piece_of(mapper, offset, length);

	if (piece.length)
		(void)uffd_wake(watch_uffd(mapper->watch), piece.address, piece.length);
}

bool mapper_can_poison(int device)
{
	return uffd_features(device) & UFFD_HAS_POISON;
}

/* The kernel poisons nothing that has a mark: it goes first. */
void mapper_poison(const struct mapper *mapper, uint64_t offset)
{
	struct piece piece = piece_of(mapper, offset, PAGE);
	int uffd = watch_uffd(mapper->watch);

	if (!piece.length || watch_gone(mapper->watch))
		return;
	if (!mapper->read_only)
		(void)uffd_write_protect(uffd, piece.address, piece.length, false);
	if (uffd_poison(uffd, piece.address, piece.length) < 0)
		(void)uffd_wake(uffd, piece.address, piece.length);
}

bool mapper_find(const struct mapper *mapper, uint64_t address, uint64_t *ret_offset)
{
	if (address < mapper->address || address - mapper->address >= mapper->length)
		return false;
	*ret_offset = mapper->offset + (address - mapper->address);
	return true;
}

/* The part of mapper in [start, end), moved by to - start; false: none. */
static bool mapper_cut(const struct mapper *mapper, uint64_t start, uint64_t end, uint64_t to,
	struct mapper *ret_part)
{
	uint64_t first = MAX(start, mapper->address);
	uint64_t last = MIN(end, mapper->address + mapper->length);

	if (first >= last)
		return false;
	*ret_part = *mapper;
	ret_part->address = to + (first - start);
	ret_part->offset = mapper->offset + (first - mapper->address);
	ret_part->length = last - first;
	return true;
}

unsigned int mapper_change(
	const struct mapper *mapper, const struct watch_event *change, struct mapper ret_pieces[2])
{
	unsigned int n = 0;

	switch (change->type) {
	case WATCH_MOVED:
		/* The old place may still be mapped (MREMAP_DONTUNMAP); otherwise the kernel says
		 * so next. */
		ret_pieces[n++] = *mapper;
		n += mapper_cut(mapper, change->address, change->end, change->to, &ret_pieces[n]);
		return n;
	case WATCH_UNMAPPED:
		n += mapper_cut(mapper, 0, change->address, 0, &ret_pieces[n]);
		n += mapper_cut(mapper, change->end, UINT64_MAX, change->end, &ret_pieces[n]);
		return n;
	default:
		ret_pieces[0] = *mapper;
		return 1;
	}
}
