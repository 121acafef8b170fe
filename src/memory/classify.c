/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include "memory/adopt.h"
#include "memory/sys.h"
#include "memory/vma.h"

struct classify {
	uint64_t next; /* seen up to there */
	bool started;
	enum memory_kind kind;
	uint64_t inode; /* of shared memory: all from one object */
};

/* Device memory and other special maps cannot be populated. */
static bool classify_is_special(const struct vma *v)
{
	return v->inode && sys_madvise(v->start, 4096, MADV_POPULATE_READ) == -EINVAL;
}

static int classify_kind(const struct vma *v, enum memory_kind *ret_kind)
{
	if (v->stack || v->hugetlb)
		return MEMORY_WRONG_KIND;
	if (v->sysv)
		*ret_kind = MEMORY_SYSV;
	else if (v->unlinked_zero)
		*ret_kind = MEMORY_SHARED_ANON;
	else if (v->shared || classify_is_special(v))
		return MEMORY_WRONG_KIND;
	else
		*ret_kind = MEMORY_PRIVATE;
	return 0;
}

static int classify_visit(const struct vma *v, void *userdata)
{
	struct classify *c = userdata;
	enum memory_kind kind;
	uint64_t inode;
	int r;

	if (v->start > c->next || !v->readable || !v->writable)
		return MEMORY_BAD_ADDRESS;
	r = classify_kind(v, &kind);
	if (r)
		return r;
	inode = v->shared ? v->inode : 0;
	if (c->started && (kind != c->kind || inode != c->inode))
		return MEMORY_WRONG_KIND;
	c->started = true;
	c->kind = kind;
	c->inode = inode;
	c->next = v->end;
	return 0;
}

int memory_classify(void *address, size_t size, enum memory_kind *ret_kind)
{
	uint64_t start = (uintptr_t)address;
	struct classify c = {.next = start};
	uint64_t end = start + size;
	int r;

	if (!size || end < start)
		return MEMORY_BAD_ADDRESS;
	r = vma_for_each(start, end, classify_visit, &c);
	if (r)
		return r;
	if (c.next < end)
		return MEMORY_BAD_ADDRESS;
	*ret_kind = c.kind;
	return 0;
}
