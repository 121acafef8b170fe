/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "memory/adopter.h"
#include "memory/sys.h"
#include "memory/uffd.h"

#define HOLD_PATIENCE	8	     /* attempts of calls that have no reason to fail */
#define HOLD_CHUNK_FREE (32ul << 20) /* bytes; bounds how long signals are blocked */
#define SPARE_PAGES	8
#define STACK_BELOW	(64ul << 10) /* bytes that the functions of this folder may need */

int memory_count_threads(void)
{
	struct statx st;

	/* A folder's links: itself, its entry above, and one for each thread. Unknown counts as
	 * many. */
	if (memory_syscall(SYS_statx, AT_FDCWD, (long)"/proc/self/task", 0, STATX_NLINK, (long)&st,
		    0) < 0 ||
		st.stx_nlink < 3)
		return INT_MAX;
	return (int)st.stx_nlink - 2;
}

bool range_has_stack(const struct range *range)
{
	uint64_t here = (uintptr_t)__builtin_frame_address(0);

	return here >= range->start && here - STACK_BELOW < range->end;
}

uint64_t holder_chunk(const struct holder *holder)
{
	return holder->watched && !holder->alone ? MEMORY_CHUNK : HOLD_CHUNK_FREE;
}

int holder_watch(struct holder *holder, const struct range *range)
{
	int r = -EAGAIN;

	if (holder->adopter->fd < 0)
		return 0;
	/* Nobody shall be stopped, let alone go unheld, for what was only a moment's lack. */
	for (int i = 0; i < HOLD_PATIENCE && r < 0 && r != -EBUSY; i++)
		r = uffd_register_wp(holder->adopter->fd, range->start, range_length(range));
	holder->watched = r == 0;
	return r == -EBUSY ? MEMORY_BUSY : 0;
}

void holder_unwatch(const struct holder *holder, const struct range *range)
{
	if (holder->watched)
		(void)uffd_unregister(holder->adopter->fd, range->start, range_length(range));
}

/* Every second page of a small map with another protection: each page is a mapping of its own. */
int spare_get(struct spare *spare)
{
	long address = sys_mmap(0, SPARE_PAGES * 4096, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sys_failed(address))
		return (int)address;
	spare->address = (uint64_t)address;
	for (uint64_t i = 1; i < SPARE_PAGES; i += 2) {
		int r = sys_mprotect(spare->address + i * 4096, 4096, PROT_READ);

		if (r < 0) {
			(void)spare_put(spare);
			return r;
		}
	}
	return 0;
}

bool spare_put(struct spare *spare)
{
	if (!spare->address)
		return false;
	(void)sys_munmap(spare->address, SPARE_PAGES * 4096);
	spare->address = 0;
	return true;
}

static int hold_protect(struct hold *hold, const MemoryAdopter *adopter)
{
	uint64_t start = hold->range.start, length = range_length(&hold->range);
	int r;

	/* Older kernels cannot protect a page that does not exist. */
	r = adopter->unpopulated ? 0 : sys_madvise(start, length, MADV_POPULATE_READ);
	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < HOLD_PATIENCE && r == -EAGAIN; i++)
		r = uffd_protect(hold->uffd, start, length, true);
	return r;
}

static void hold_unprotect(struct hold *hold, bool switched)
{
	uint64_t start = hold->range.start, length = range_length(&hold->range);
	int r = -EAGAIN;

	for (int i = 0; i < HOLD_PATIENCE && r < 0; i++)
		r = switched ? uffd_wake(hold->uffd, start, length)
			     : uffd_protect(hold->uffd, start, length, false);
}

static int hold_stop(struct hold *hold, const struct holder *holder)
{
	int r, attempts = holder->regardless ? HOLD_PATIENCE : 1;

	hold->mode = HOLD_STOPPED;
	do
		r = stop_others(&hold->stop);
	while (r && --attempts > 0);
	return r;
}

static int hold_others(struct hold *hold, const struct holder *holder)
{
	int r = MEMORY_NO_RIGHT;

	/* Where system calls of other threads would fail on protected memory, better stop them. */
	if (!holder->watched || holder->adopter->user_only)
		r = hold_stop(hold, holder);
	if (r && holder->watched) {
		hold->mode = HOLD_PROTECTED;
		r = hold_protect(hold, holder->adopter);
		if (r < 0)
			hold_unprotect(hold, false);
	} else if (r && holder->regardless) {
		hold->mode = HOLD_REGARDLESS;
		r = 0;
	}
	return r;
}

int hold_begin(struct hold *hold, const struct holder *holder, const struct range *range)
{
	int r;

	*hold = (struct hold){.mode = HOLD_ALONE, .uffd = holder->adopter->fd, .range = *range};
	r = sys_block_signals(&hold->signals);
	if (r < 0)
		return r;
	if (memory_count_threads() > 1)
		r = hold_others(hold, holder);
	if (r)
		sys_restore_signals(hold->signals);
	return r;
}

void hold_end(struct hold *hold, bool switched)
{
	if (hold->mode == HOLD_PROTECTED)
		hold_unprotect(hold, switched);
	else if (hold->mode == HOLD_STOPPED)
		stop_release(&hold->stop);
	sys_restore_signals(hold->signals);
}
