/* SPDX-License-Identifier: Apache-2.0 */
#include "client/backing.h"

#include <search.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "client/budget.h"
#include "client/coherent.h"
#include "client/export.h"
#include "memory/memfd.h"
#include "memory/vma.h"
#include "wire/status.h"

/* All backings, from before their memory is touched; and the adopter that works for all of them. */
static struct {
	pthread_mutex_t lock;
	void *tree; /* tsearch, ordered by address; overlapping ranges count as equal */
	MemoryAdopter *adopter;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* the tree */

static int compare(const void *a, const void *b)
{
	const struct cw_backing *x = a, *y = b;
	uintptr_t xs = (uintptr_t)x->address, ys = (uintptr_t)y->address;

	if (xs + x->size <= ys)
		return -1;
	return ys + y->size <= xs;
}

static bool is_same(const struct cw_backing *x, const struct cw_backing *y)
{
	return x->address == y->address && x->size == y->size &&
	       x->rights.space == y->rights.space && x->rights.mode == y->rights.mode &&
	       x->rights.uid == y->rights.uid && x->rights.gid == y->rights.gid;
}

static void backing_free(struct cw_backing *b)
{
	b->fd = budget_close(b->fd);
	if (b->made)
		munmap(b->address, b->size);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct cw_backing *backing_new(
	void *address, uint64_t size, const struct cw_backing_rights *rights)
{
	struct cw_backing *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->address = address;
	b->size = size;
	b->rights = *rights;
	b->refs = 1;
	b->fd = b->next.fd = -1;
	list_init(&b->exports);
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

/* own comes locked, so that whoever finds it in the tree waits until it is what it will be. */
static int claim_locked(struct cw_backing *own, bool alone, struct cw_backing **ret_backing)
{
	struct cw_backing **found = tsearch(own, &all.tree, compare);

	if (!found)
		return -ENOMEM;
	if (*found != own && (alone || !is_same(*found, own)))
		return STATUS_BAD_ADDRESS;
	if (*found != own)
		(*found)->refs++;
	*ret_backing = *found;
	return 0;
}

int backing_claim(void *address, uint64_t size, const struct cw_backing_rights *rights, bool alone,
	struct cw_backing **ret_backing)
{
	struct cw_backing *own, *b = NULL;
	uintptr_t end;
	int r;

	if (__builtin_add_overflow((uintptr_t)address, size, &end))
		return STATUS_BAD_SIZE;
	own = backing_new(address, size, rights);
	if (!own)
		return -ENOMEM;
	pthread_mutex_lock(&own->lock);
	pthread_mutex_lock(&all.lock);
	r = claim_locked(own, alone, &b);
	pthread_mutex_unlock(&all.lock);
	if (b != own) {
		pthread_mutex_unlock(&own->lock);
		backing_free(own);
	}
	if (r)
		return r;
	if (b != own)
		pthread_mutex_lock(&b->lock);
	*ret_backing = b;
	return 0;
}

void backing_put(struct cw_backing *b)
{
	bool last;

	if (!b)
		return;
	pthread_mutex_lock(&all.lock);
	last = --b->refs == 0;
	if (last && !b->inherited)
		tdelete(b, &all.tree, compare);
	pthread_mutex_unlock(&all.lock);
	if (last)
		backing_free(b);
}

void backing_release(struct cw_backing *b)
{
	pthread_mutex_unlock(&b->lock);
	backing_put(b);
}

/* memory */

static int adopter_get(struct cw_link *link, MemoryAdopter **ret_adopter)
{
	int r = 0;

	pthread_mutex_lock(&all.lock);
	if (!all.adopter)
		r = memory_adopter_new(link->uffd_device, &all.adopter);
	*ret_adopter = all.adopter;
	pthread_mutex_unlock(&all.lock);
	return r;
}

static int memory_status(int outcome)
{
	switch (outcome) {
	case MEMORY_OK:
		return STATUS_OK;
	case MEMORY_BAD_ADDRESS:
		return STATUS_BAD_ADDRESS;
	case MEMORY_WRONG_KIND:
	case MEMORY_BUSY:
		return STATUS_NOT_ADOPTABLE;
	case MEMORY_NO_RIGHT:
	case -ENOMEM:
	case -ENOSPC:
		return STATUS_NO_MEMORY;
	default:
		return outcome < 0 ? outcome : STATUS_NOT_ADOPTABLE;
	}
}

int backing_check(const void *address, uint64_t size, bool *ret_shared)
{
	enum memory_kind kind;
	int r = memory_status(memory_classify((void *)address, size, &kind));

	if (!r)
		*ret_shared = kind != MEMORY_PRIVATE;
	return r;
}

/* The memory at address is that of fd, which is ours from now on. */
static void settle_on(struct cw_backing *b, int fd)
{
	b->fd = budget_close(b->fd);
	if (budget_take())
		b->fd = fd;
	else
		fd_close(fd);
}

int backing_adopt(struct cw_backing *b, struct cw_link *link, int fd, bool reserve)
{
	MemoryAdopter *adopter;
	struct stat st;
	int r;

	r = adopter_get(link, &adopter);
	if (r < 0)
		return memory_status(r);
	if (fstat(fd, &st) < 0)
		return negative_errno();
	if (reserve)
		r = memfd_reserve(fd, 0, b->size);
	/* before the first piece is switched, for the sake of a fork */
	b->device = st.st_dev;
	b->inode = st.st_ino;
	if (!r)
		r = memory_adopt(adopter, b->address, b->size, fd);
	if (r) {
		b->inode = 0;
		return memory_status(r);
	}
	settle_on(b, fd);
	return 0;
}

int backing_map(struct cw_backing *b, int fd, bool reserve)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return negative_errno();
	r = reserve ? memfd_reserve(fd, 0, b->size) : 0;
	if (r)
		return memory_status(r);
	if (mmap(b->address, b->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		MAP_FAILED)
		return STATUS_NO_MEMORY;
	b->device = st.st_dev;
	b->inode = st.st_ino;
	settle_on(b, fd);
	return 0;
}

int backing_unmap(struct cw_backing *b)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	if (mmap(b->address, b->size, PROT_NONE, flags, -1, 0) == MAP_FAILED)
		return STATUS_NO_MEMORY;
	b->inode = 0;
	return 0;
}

int backing_adopt_try(const struct cw_backing *b, struct cw_link *link)
{
	MemoryAdopter *adopter;
	int r = adopter_get(link, &adopter);

	return memory_status(r < 0 ? r : memory_adopt_try(adopter, b->address, b->size));
}

/* What is mapped at address is this file from here on. */
static void change_file(struct cw_backing *b, int fd, const struct stat *st)
{
	b->device = st->st_dev;
	b->inode = st->st_ino;
	b->handed_out = b->behind = false;
	if (fd >= 0)
		settle_on(b, fd);
	b->next.fd = -1;
	b->next.inode = 0;
}

static bool is_mapped_file(const struct cw_backing *b, const struct stat *st)
{
	return b->inode && b->device == st->st_dev && b->inode == st->st_ino;
}

static int move_to(
	struct cw_backing *b, MemoryAdopter *adopter, int fd, const struct stat *st, bool wary)
{
	int r = fd < 0 ? 0 : memfd_reserve(fd, 0, b->size);

	if (r)
		return r;
	/* before the first piece moves, for the sake of a fork */
	b->next.fd = fd;
	b->next.device = st->st_dev;
	b->next.inode = st->st_ino;
	r = memory_move(adopter, b->address, b->size, b->device, b->inode, wary ? -1 : b->fd, fd);
	if (r)
		b->next.fd = -1;
	return r;
}

int backing_move(struct cw_backing *b, struct cw_link *link, int fd, bool wary)
{
	MemoryAdopter *adopter;
	struct stat st = {0};
	int r;

	r = adopter_get(link, &adopter);
	if (!r && fd >= 0 && fstat(fd, &st) < 0)
		r = negative_errno();
	if (!r && fd >= 0 && is_mapped_file(b, &st)) {
		fd_close(fd);
		b->behind = false;
		return 0;
	}
	if (!r)
		r = move_to(b, adopter, fd, &st, wary);
	if (r) {
		fd_close(fd);
		return memory_status(r);
	}
	change_file(b, fd, &st);
	return 0;
}

struct look {
	const struct cw_backing *backing;
	uint64_t next; /* whole up to there */
};

static int look_at(const struct vma *v, void *userdata)
{
	struct look *look = userdata;
	const struct cw_backing *b = look->backing;
	uint64_t start = (uintptr_t)b->address;

	if (v->start > look->next || !v->shared || v->inode != b->inode || v->device != b->device ||
		v->start - v->offset != start)
		return STATUS_BAD_ADDRESS;
	look->next = v->end;
	return 0;
}

int backing_look(const struct cw_backing *b)
{
	uint64_t start = (uintptr_t)b->address;
	struct look look = {b, start};
	int r;

	if (b->shared)
		return 0;
	r = vma_for_each(start, start + b->size, look_at, &look);
	if (!r && look.next < start + b->size)
		r = STATUS_BAD_ADDRESS;
	return r;
}

/* fork */

void backing_fork_prepare(void)
{
	pthread_mutex_lock(&all.lock);
}

void backing_fork_parent(void)
{
	pthread_mutex_unlock(&all.lock);
}

/* Other nodes may have pages of it, which are not in the memory then, but can be read through the
 * map. A backing that somebody is at work on is not asked for its exports. */
static bool is_coherent(struct cw_backing *b)
{
	const struct cw_export *export;
	bool coherent = false;

	if (pthread_mutex_trylock(&b->lock))
		return false;
	list_for_each (export, &b->exports, on_backing)
		coherent |= coherent_is_export(export->link, export->index);
	return coherent;
}

static void inherit(const void *node, VISIT visit, void *unused)
{
	struct cw_backing *b = *(struct cw_backing *const *)node;
	int fd;

	if (visit != preorder && visit != leaf)
		return;
	fd = is_coherent(b) ? -1 : b->fd;
	pthread_mutex_init(&b->lock, NULL);
	b->inherited = true;
	if (b->inode)
		(void)memory_make_private(b->address, b->size, b->device, b->inode, fd);
	if (b->next.inode)
		(void)memory_make_private(
			b->address, b->size, b->next.device, b->next.inode, b->next.fd);
}

void backing_fork_child(void)
{
	twalk_r(all.tree, inherit, NULL);
	/* what the child exports has nothing to do with the parent's; the tree's nodes stay
	 * allocated */
	all.tree = NULL;
	memory_adopter_free(all.adopter);
	all.adopter = NULL;
	pthread_mutex_unlock(&all.lock);
}
