/* SPDX-License-Identifier: Apache-2.0 */
#include "client/handle.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"

_Static_assert(sizeof(void *) == sizeof(cw_handle), "handles travel as pointers");

struct cw_handle_entry *_Atomic cw_handle_chunks[CW_HANDLE_CHUNKS];
__thread struct cw_slot *cw_slot_self;

/* What only the table's lock protects. */
static struct {
	pthread_mutex_t lock;
	uint32_t n_entries; /* ever used */
	uint64_t generation;
	uint32_t *free; /* stack of indices to use again */
	uint32_t n_free, max_free;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct cw_slot *_Atomic slots;
static pthread_key_t slot_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_slot_key;
bool cw_enter_fences;

/* At the end of a thread: its slot is free for another one. */
static void slot_release(void *p)
{
	struct cw_slot *s = p;

	cw_slot_self = NULL;
	atomic_store(&s->busy, 0);
	atomic_store(&s->used, 0);
}

static void init(void)
{
	have_slot_key = pthread_key_create(&slot_key, slot_release) == 0;
	cw_enter_fences =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0;
}

/*
 * Runs a full barrier on every processor that runs a thread of this process. A sandbox that was put
 * up after init() may forbid it: then taking rights from a page that was just written makes the
 * kernel interrupt those processors.
 */
static void barrier_everywhere(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	atomic_thread_fence(memory_order_seq_cst);
	if (cw_enter_fences || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
		return;
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return;
	*(volatile char *)p = 1;
	mprotect(p, page, PROT_READ);
	munmap(p, page);
}

struct cw_slot *cw_slot_get(void)
{
	struct cw_slot *s;

	pthread_once(&once, init);
	for (s = atomic_load(&slots); s; s = atomic_load(&s->next)) {
		uint32_t unused = 0;

		if (atomic_compare_exchange_strong(&s->used, &unused, 1))
			break;
	}
	if (!s) {
		struct cw_slot *first = atomic_load(&slots);

		s = aligned_alloc(64, 64);
		if (!s)
			return NULL;
		*s = (struct cw_slot){.used = 1};
		do
			atomic_store(&s->next, first);
		while (!atomic_compare_exchange_weak(&slots, &first, s));
	}
	if (!have_slot_key || pthread_setspecific(slot_key, s)) {
		atomic_store(&s->used, 0);
		return NULL;
	}
	cw_slot_self = s;
	return s;
}

static struct cw_handle_entry *entry_locked(uint32_t index)
{
	struct cw_handle_entry *_Atomic *chunk = &cw_handle_chunks[index / CW_HANDLE_CHUNK];
	struct cw_handle_entry *entries = atomic_load(chunk);

	if (!entries) {
		entries = calloc(CW_HANDLE_CHUNK, sizeof(*entries));
		if (!entries)
			return NULL;
		atomic_store_explicit(chunk, entries, memory_order_release);
	}
	return &entries[index % CW_HANDLE_CHUNK];
}

/* Room in the stack for every index that is in use, so that a retire never fails. */
static int reserve_free_locked(uint32_t n)
{
	uint32_t max = MAX(64u, table.max_free * 2);
	uint32_t *grown;

	if (n <= table.max_free)
		return 0;
	grown = reallocarray(table.free, max, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	table.free = grown;
	table.max_free = max;
	return 0;
}

static int handle_new_locked(enum cw_kind kind, void *object, cw_handle *ret_handle)
{
	uint32_t index = table.n_free ? table.free[table.n_free - 1] : table.n_entries;
	struct cw_handle_entry *e;
	cw_handle h;
	int r;

	if (index >= CW_HANDLE_CHUNK * CW_HANDLE_CHUNKS)
		return -ENOSPC;
	r = reserve_free_locked(table.n_entries + 1);
	if (r < 0)
		return r;
	e = entry_locked(index);
	if (!e)
		return -ENOMEM;
	if (table.n_free)
		table.n_free--;
	else
		table.n_entries++;
	h = (cw_handle)++table.generation << 24 | (cw_handle)index << 3 | kind;
	e->object = object;
	atomic_store_explicit(&e->handle, h, memory_order_release);
	*ret_handle = h;
	return 0;
}

int cw_handle_new(enum cw_kind kind, void *object, cw_handle *ret_handle)
{
	int r;

	pthread_once(&once, init);
	pthread_mutex_lock(&table.lock);
	r = handle_new_locked(kind, object, ret_handle);
	pthread_mutex_unlock(&table.lock);
	return r;
}

static void wait_until_unused(cw_handle h)
{
	for (struct cw_slot *s = atomic_load(&slots); s; s = atomic_load(&s->next)) {
		unsigned int turns = 0;

		while (s != cw_slot_self && atomic_load(&s->busy) == h) {
			if (turns++ < 100)
				cpu_relax();
			else if (turns < 200)
				sched_yield();
			else
				usleep(100);
		}
	}
}

bool cw_handle_retire(cw_handle h)
{
	struct cw_handle_entry *chunk, *e;
	cw_handle expected = h;

	chunk = atomic_load(&cw_handle_chunks[cw_handle_index(h) / CW_HANDLE_CHUNK]);
	if (!h || !chunk)
		return false;
	e = &chunk[cw_handle_index(h) % CW_HANDLE_CHUNK];
	if (!atomic_compare_exchange_strong(&e->handle, &expected, 0))
		return false;
	barrier_everywhere();
	wait_until_unused(h);
	pthread_mutex_lock(&table.lock);
	table.free[table.n_free++] = cw_handle_index(h);
	pthread_mutex_unlock(&table.lock);
	return true;
}

void cw_handle_for_each(enum cw_kind kind, void (*visit)(void *object))
{
	for (uint32_t i = 0; i < table.n_entries; i++) {
		struct cw_handle_entry *chunk = atomic_load(&cw_handle_chunks[i / CW_HANDLE_CHUNK]);
		struct cw_handle_entry *e = &chunk[i % CW_HANDLE_CHUNK];
		cw_handle h = atomic_load(&e->handle);

		if (h && cw_handle_kind(h) == kind)
			visit(e->object);
	}
}

void cw_handle_fork_prepare(void)
{
	pthread_mutex_lock(&table.lock);
}

void cw_handle_fork_parent(void)
{
	pthread_mutex_unlock(&table.lock);
}

void cw_handle_fork_child(void)
{
	pthread_mutex_unlock(&table.lock);
	for (struct cw_slot *s = atomic_load(&slots); s; s = atomic_load(&s->next)) {
		atomic_store(&s->busy, 0);
		atomic_store(&s->used, s == cw_slot_self);
	}
	/* membarrier registration belongs to the address space that was copied, but not on all
	 * kernels */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}
