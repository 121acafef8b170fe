/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_GATE_H
#define FABRIC_TCP_GATE_H

/*
 * A lock between one who takes it again and again (large transfers in pieces, the turns of the data
 * thread) and others who want it now and then: who comes back to it by gate_return() lets those in
 * that have been waiting, where a plain mutex would mostly be taken again before they are awake.
 * And inline, because a put that a span collects costs little more than its lock.
 */

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

struct gate {
	atomic_uint word;   /* 0: free; 1: taken; 2: and somebody may sleep for it */
	atomic_uint wanted; /* how many sleep for it in gate_enter() */
};

static inline void gate_init(struct gate *g)
{
	atomic_init(&g->word, 0);
	atomic_init(&g->wanted, 0);
}

static inline bool gate_try(struct gate *g)
{
	unsigned int is_free = 0;

	return atomic_compare_exchange_strong_explicit(
		&g->word, &is_free, 1, memory_order_acquire, memory_order_relaxed);
}

static inline void gate_leave(struct gate *g)
{
	if (__builtin_expect(atomic_exchange_explicit(&g->word, 0, memory_order_release) == 2, 0))
		syscall(SYS_futex, &g->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* gate.c */
void gate_sleep(struct gate *g);
void gate_enter_wanted(struct gate *g);
void gate_give_way(struct gate *g);

static inline void gate_enter(struct gate *g)
{
	if (__builtin_expect(!gate_try(g), 0))
		gate_enter_wanted(g);
}

static inline void gate_return(struct gate *g)
{
	if (!gate_try(g))
		gate_sleep(g);
	if (atomic_load_explicit(&g->wanted, memory_order_relaxed))
		gate_give_way(g);
}

#endif
