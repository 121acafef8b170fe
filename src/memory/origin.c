/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/origin.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "memory/sys.h"
#include "memory/vma.h"

struct origin_search {
	const struct origin *origin;
	uint64_t address;
	struct origin_piece piece;
};

static int origin_visit(const struct vma *v, void *userdata)
{
	struct origin_search *s = userdata;
	const struct origin *o = s->origin;

	if (!v->shared || v->inode != o->inode || v->device != o->device ||
		v->start - o->range.start != v->offset)
		return 0;
	s->piece.range.start = MAX(v->start, s->address);
	s->piece.range.end = MIN(v->end, o->range.end);
	s->piece.protection = (v->readable ? PROT_READ : 0) | (v->writable ? PROT_WRITE : 0);
	return 1;
}

int origin_find(const struct origin *origin, uint64_t address, struct origin_piece *ret_piece)
{
	struct origin_search s = {.origin = origin, .address = address};
	int r = vma_for_each(address, origin->range.end, origin_visit, &s);

	if (r > 0)
		*ret_piece = s.piece;
	return r;
}

int origin_piece_open(const struct origin_piece *piece)
{
	if (piece->protection & PROT_READ)
		return 0;
	return sys_mprotect(piece->range.start, range_length(&piece->range), PROT_READ);
}

int origin_descriptor(const struct origin *origin, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != origin->device ||
		st.st_ino != origin->inode)
		return -1;
	return fd;
}

/* A second map of the whole file, made without a descriptor: a shared mapping is duplicated by an
 * mremap() from length 0, and remap_file_pages() turns it to the beginning of the file. */
static int origin_alias(
	const struct origin *origin, const struct origin_piece *piece, uint64_t *ret_alias)
{
	uint64_t length = range_length(&origin->range);
	long alias = sys_mremap(piece->range.start, 0, length, MREMAP_MAYMOVE, 0), r;

	if (sys_failed(alias))
		return (int)alias;
	r = memory_syscall(SYS_remap_file_pages, alias, (long)length, 0, 0, 0, 0);
	if (r == 0)
		r = sys_mprotect((uint64_t)alias, length, PROT_READ);
	if (r < 0) {
		(void)sys_munmap((uint64_t)alias, length);
		return (int)r;
	}
	*ret_alias = (uint64_t)alias;
	return 0;
}

/* Copies what lies between the pieces. */
static int origin_carry(const struct origin *origin, int memfd, uint64_t alias)
{
	uint64_t start = origin->range.start, at = start;
	struct origin_piece piece;
	int r = 0;

	while (at < origin->range.end && (r = origin_find(origin, at, &piece)) > 0) {
		r = sys_pwrite_all(memfd, alias + (at - start), piece.range.start - at, at - start);
		if (r < 0)
			return r;
		at = piece.range.end;
	}
	if (r < 0)
		return r;
	return sys_pwrite_all(memfd, alias + (at - start), origin->range.end - at, at - start);
}

int origin_carry_lost(const struct origin *origin, int memfd)
{
	struct origin_piece piece;
	uint64_t alias = 0;
	int r = origin_find(origin, origin->range.start, &piece);

	if (r <= 0 || range_length(&piece.range) == range_length(&origin->range))
		return r < 0 ? r : 0;
	r = origin_alias(origin, &piece, &alias);
	if (r < 0)
		return r;
	r = origin_carry(origin, memfd, alias);
	(void)sys_munmap(alias, range_length(&origin->range));
	return r;
}
