/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/journal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "memory/memfd.h"

#define JOURNAL_MAGIC	0x6c6e726au
#define JOURNAL_VERSION 1u
#define JOURNAL_BYTES	((uint64_t)JOURNAL_SLOTS * sizeof(struct journal_slot))
#define RESERVE_STEP	128u /* slots */

struct journal_slot {
	_Atomic uint32_t selector; /* 0: free; else kind << 1 | body that counts */
	uint32_t reserved[3];
	uint8_t body[2][JOURNAL_BODY_SIZE];
};

static_assert(sizeof(struct journal_slot) == 512, "slots never cross a page");

struct journal_head {
	uint32_t magic;
	uint32_t version;
	uint64_t size;
	uint64_t incarnation;
	uint64_t started;
	_Atomic uint32_t end;	   /* slots in use are below; grows before a slot above is used */
	_Atomic uint32_t reserved; /* slots below have their memory */
};

struct Journal {
	int fd;
	struct journal_head *head;
	struct journal_slot *slots;
	uint32_t *free; /* stack of free slots below head->end; room for all of them */
	uint32_t n_free, free_size;
};

static int journal_map(int fd, struct journal_slot **ret_slots)
{
	void *p = mmap(NULL, JOURNAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return negative_errno();
	*ret_slots = p;
	return 0;
}

/* Memory for the slots below n, and room in the free stack. */
static int journal_reserve(Journal *j, uint32_t n)
{
	uint32_t reserved = atomic_load_explicit(&j->head->reserved, memory_order_relaxed);
	uint32_t size;
	int r;

	if (n > j->free_size) {
		uint32_t *p;

		size = MAX(n, 2 * j->free_size);
		p = realloc(j->free, size * sizeof(*p));
		if (!p)
			return -ENOMEM;
		j->free = p;
		j->free_size = size;
	}
	if (n <= reserved)
		return 0;
	size = (n + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
	r = memfd_reserve(j->fd, (uint64_t)reserved * sizeof(struct journal_slot),
		(uint64_t)(size - reserved) * sizeof(struct journal_slot));
	if (r < 0)
		return r == -ENOSPC ? -ENOMEM : r;
	atomic_store_explicit(&j->head->reserved, size, memory_order_release);
	return 0;
}

int journal_create(uint64_t incarnation, uint64_t started, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct journal_slot *slots;
	struct journal_head *head;
	int r;

	r = memfd_new("causeway-journal", JOURNAL_BYTES, &fd);
	if (r < 0)
		return r;
	r = memfd_reserve(fd, 0, RESERVE_STEP * sizeof(struct journal_slot));
	if (r < 0)
		return r;
	r = journal_map(fd, &slots);
	if (r < 0)
		return r;
	head = (struct journal_head *)slots;
	head->version = JOURNAL_VERSION;
	head->size = JOURNAL_BYTES;
	head->incarnation = incarnation;
	head->started = started;
	head->end = 1;
	head->reserved = RESERVE_STEP;
	head->magic = JOURNAL_MAGIC;
	munmap(slots, JOURNAL_BYTES);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int journal_find_free(Journal *j)
{
	uint32_t end = journal_end(j);
	int r;

	r = journal_reserve(j, end);
	if (r < 0)
		return r;
	for (uint32_t i = end - 1; i >= 1; i--)
		if (!atomic_load_explicit(&j->slots[i].selector, memory_order_relaxed))
			j->free[j->n_free++] = i;
	return 0;
}

int journal_open(int fd, Journal **ret_journal)
{
	Journal *j;
	int r;

	if (memfd_check(fd, JOURNAL_BYTES) < 0)
		return -EBADMSG;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->fd = -1;
	r = journal_map(fd, &j->slots);
	if (r < 0)
		goto fail;
	j->head = (struct journal_head *)j->slots;
	r = -EBADMSG;
	if (j->head->magic != JOURNAL_MAGIC || j->head->version != JOURNAL_VERSION ||
		journal_end(j) < 1 || journal_end(j) > JOURNAL_SLOTS)
		goto fail;
	j->fd = fd;
	r = journal_find_free(j);
	if (r < 0)
		goto fail;
	*ret_journal = j;
	return 0;
fail:
	j->fd = -1;
	journal_close(j);
	return r;
}

void journal_close(Journal *j)
{
	if (!j)
		return;
	if (j->slots)
		munmap(j->slots, JOURNAL_BYTES);
	fd_close(j->fd);
	free(j->free);
	free(j);
}

int journal_fd(const Journal *j)
{
	return j->fd;
}

uint64_t journal_incarnation(const Journal *j)
{
	return j->head->incarnation;
}

uint64_t journal_started(const Journal *j)
{
	return j->head->started;
}

uint32_t journal_end(const Journal *j)
{
	return atomic_load_explicit(&j->head->end, memory_order_acquire);
}

int journal_add(Journal *j, uint32_t kind, const void *record, size_t size, uint32_t *ret_slot)
{
	uint32_t slot, end = journal_end(j);
	int r;

	assert(kind > 0 && kind < 256 && size <= JOURNAL_BODY_SIZE);
	if (j->n_free > 0) {
		slot = j->free[--j->n_free];
	} else {
		if (end >= JOURNAL_SLOTS)
			return -ENOSPC;
		r = journal_reserve(j, end + 1);
		if (r < 0)
			return r;
		slot = end;
		atomic_store_explicit(&j->head->end, end + 1, memory_order_release);
	}
	memcpy(j->slots[slot].body[0], record, size);
	atomic_store_explicit(&j->slots[slot].selector, kind << 1, memory_order_release);
	*ret_slot = slot;
	return 0;
}

void journal_update(Journal *j, uint32_t slot, const void *record, size_t size)
{
	struct journal_slot *s = &j->slots[slot];
	uint32_t selector = atomic_load_explicit(&s->selector, memory_order_relaxed);

	assert(slot > 0 && slot < journal_end(j) && selector && size <= JOURNAL_BODY_SIZE);
	memcpy(s->body[~selector & 1], record, size);
	atomic_store_explicit(&s->selector, selector ^ 1, memory_order_release);
}

void journal_remove(Journal *j, uint32_t slot)
{
	if (slot == JOURNAL_NO_SLOT)
		return;
	assert(slot < journal_end(j) && j->slots[slot].selector);
	atomic_store_explicit(&j->slots[slot].selector, 0, memory_order_release);
	j->free[j->n_free++] = slot;
}

uint32_t journal_read(const Journal *j, uint32_t slot, void *ret_record, size_t size)
{
	const struct journal_slot *s = &j->slots[slot];
	uint32_t selector;

	if (slot == JOURNAL_NO_SLOT || slot >= journal_end(j))
		return 0;
	selector = atomic_load_explicit(&s->selector, memory_order_acquire);
	if (selector)
		memcpy(ret_record, s->body[selector & 1], MIN(size, JOURNAL_BODY_SIZE));
	return selector >> 1;
}
