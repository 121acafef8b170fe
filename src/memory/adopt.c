/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/adopt.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "memory/adopter.h"
#include "memory/uffd.h"

DEFINE_CLEANUP(MemoryAdopter *, memory_adopter_free);

int memory_adopter_new(int device, MemoryAdopter **ret_adopter)
{
	_cleanup_(memory_adopter_free_p) MemoryAdopter *adopter = calloc(1, sizeof(*adopter));
	uint64_t features = uffd_features(device);
	enum uffd_kind kind;
	int r;

	if (!adopter)
		return -ENOMEM;
	adopter->fd = -1;
	adopter->unpopulated = features & UFFD_WANT_WP_UNPOPULATED;
	/* Shared memory that is given back must be protected too. */
	if (features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM &&
		uffd_new(device, &kind, &adopter->fd) == 0) {
		r = uffd_api(adopter->fd,
			UFFD_FEATURE_WP_HUGETLBFS_SHMEM | (features & UFFD_WANT_WP_UNPOPULATED));
		if (r < 0)
			return r;
		adopter->user_only = kind == UFFD_USER_ONLY;
	}
	*ret_adopter = take_ptr(adopter);
	return 0;
}

void memory_adopter_free(MemoryAdopter *adopter)
{
	if (!adopter)
		return;
	fd_close(adopter->fd);
	free(adopter);
}

static void adopt_undo(struct holder holder, const struct range *range, int memfd)
{
	uint64_t done = range->start;

	(void)holder_watch(&holder, range);
	(void)range_to_private(&holder, range, PROT_READ | PROT_WRITE, memfd, range->start, &done);
}

int memory_adopt(MemoryAdopter *adopter, void *address, size_t size, int memfd)
{
	struct range range = {(uintptr_t)address, (uintptr_t)address + size};
	struct holder holder = {.adopter = adopter, .alone = memory_count_threads() == 1};
	uint64_t done = range.start;
	int r;

	if (!size || range.end < range.start || (range.start | size) % 4096)
		return -EINVAL;
	if (range_has_stack(&range))
		return MEMORY_WRONG_KIND;
	r = holder_watch(&holder, &range);
	if (r)
		return r;
	r = range_to_memory(&holder, &range, PROT_READ | PROT_WRITE, memfd, range.start, &done);
	if (r) {
		holder_unwatch(&holder, &range);
		if (done > range.start)
			adopt_undo(holder, &(struct range){range.start, done}, memfd);
	}
	return r == -EFAULT ? MEMORY_BAD_ADDRESS : r;
}

int memory_adopt_try(MemoryAdopter *adopter, void *address, size_t size)
{
	struct range range = {(uintptr_t)address, (uintptr_t)address + size};
	struct holder holder = {.adopter = adopter, .alone = memory_count_threads() == 1};
	struct hold hold;
	int r;

	if (!size || range.end < range.start || (range.start | size) % 4096)
		return -EINVAL;
	if (range_has_stack(&range))
		return MEMORY_WRONG_KIND;
	r = holder_watch(&holder, &range);
	if (r)
		return r;
	r = hold_begin(&hold, &holder, &(struct range){range.start, range.start + 4096});
	if (r == 0)
		hold_end(&hold, false);
	holder_unwatch(&holder, &range);
	return r;
}
