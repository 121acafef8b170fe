/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_WORK_H
#define SISCI_WORK_H

/*
 * The library's own work, off the program's threads: DMA transfers, asynchronous connects. One
 * thread, begun with the first piece of work, all signals blocked. Apart from the one that runs
 * callbacks, so that a callback may wait for what is done here. First in, first out.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"

struct work {
	struct list queue;
	/* Frees or reuses itself. An empty struct otherwise. */
	void (*run)(struct work *work);
};

/* Negative: what pthread_create() says; nothing was queued. */
int work_submit(struct work *work);
/* Carries it out in the calling thread, if it is the next and nobody is at work. */
bool work_do(struct work *work);
/* Takes back what has not begun. False: it has. */
bool work_withdraw(struct work *work);

/* Work that comes again, for as long as there are any: run() is called when the queue is empty, at
 * the latest after the number of ns that it returned last (multicast through maps). */
struct work_tick {
	struct list all;
	uint64_t (*run)(struct work_tick *tick);
};
extern _Atomic uint32_t work_n_ticks;
int work_tick_add(struct work_tick *tick);
/* After it run() is not running, nor begins; not from inside of it. */
void work_tick_remove(struct work_tick *tick);
/* Returns when all of them have run from beginning to end since, or after a second. May sleep;
 * takes no lock. */
void work_tick_settle(void);
/* Are there any? */
static inline bool work_has_ticks(void)
{
	return atomic_load_explicit(&work_n_ticks, memory_order_relaxed) > 0;
}

void work_fork_child(void);

#endif
