/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rings.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "memory/memfd.h"
#include "wire/message.h"

static int reserve(const struct status_page *p, const volatile void *at, size_t size)
{
	int r = memfd_reserve(p->fd, (uint64_t)((uintptr_t)at - (uintptr_t)p->map), size);

	return r == -ENOSPC ? -ENOMEM : r;
}

/* One more, for who sleeps on it. */
static void count_up(_Atomic uint32_t *word)
{
	atomic_fetch_add_explicit(word, 1, memory_order_release);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static struct wire_ring *ring_of(const struct status_page *p, uint32_t side, uint32_t index)
{
	if (index >= WIRE_CLIENT_RINGS)
		return NULL;
	return side == WIRE_SIDE_IMPORT ? &p->map->import_rings[index]
					: &p->map->export_rings[index];
}

int ring_reserve(struct status_page *p, uint32_t side, uint32_t index)
{
	struct wire_ring *ring = ring_of(p, side, index);
	int r;

	if (!ring)
		return -ENOSPC;
	r = reserve(p, &p->map->events, sizeof(p->map->events));
	return r < 0 ? r : reserve(p, ring, sizeof(*ring));
}

void ring_add(struct status_page *p, uint32_t side, uint32_t index, uint32_t event, uint32_t node)
{
	struct wire_ring *ring = ring_of(p, side, index);
	uint32_t n = atomic_load_explicit(&ring->count, memory_order_relaxed);

	atomic_store_explicit(&ring->entries[n % WIRE_RING_SIZE], (uint64_t)event << 32 | node,
		memory_order_release);
	count_up(&ring->count);
	count_up(&p->map->events);
}

int note_reserve(struct status_page *p, uint32_t import)
{
	int r = reserve(p, &p->map->events, sizeof(p->map->events));

	if (r == 0)
		r = reserve(p, &p->map->notes[import], sizeof(p->map->notes[import]));
	if (r == 0)
		atomic_store(&p->map->notes[import], 0);
	return r;
}

static void note(struct status_page *p, uint32_t import, uint32_t value)
{
	atomic_store_explicit(&p->map->notes[import], value, memory_order_release);
	syscall(SYS_futex, &p->map->notes[import], FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	count_up(&p->map->events);
}

void note_leave(struct status_page *p, uint32_t import)
{
	uint32_t now = atomic_load(&p->map->notes[import]);

	if (!(now & WIRE_NOTE_LEAVE))
		note(p, import, now | WIRE_NOTE_LEAVE);
}

void note_turn(struct status_page *p, uint32_t import, bool away)
{
	uint32_t now = atomic_load(&p->map->notes[import]);

	if (!(now & WIRE_NOTE_TURN) == away)
		note(p, import, now + WIRE_NOTE_TURN);
}

void note_state(struct status_page *p)
{
	count_up(&p->map->events);
}
