/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/tcp/gate.h"

#include <limits.h>

void gate_sleep(struct gate *g)
{
	while (atomic_exchange_explicit(&g->word, 2, memory_order_acquire))
		syscall(SYS_futex, &g->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void gate_enter_wanted(struct gate *g)
{
	atomic_fetch_add_explicit(&g->wanted, 1, memory_order_relaxed);
	gate_sleep(g);
	if (atomic_fetch_sub_explicit(&g->wanted, 1, memory_order_relaxed) == 1)
		syscall(SYS_futex, &g->wanted, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Once: who has always somebody behind it must come to its turn all the same. */
void gate_give_way(struct gate *g)
{
	unsigned int wanted;

	gate_leave(g);
	wanted = atomic_load_explicit(&g->wanted, memory_order_relaxed);
	if (wanted)
		syscall(SYS_futex, &g->wanted, FUTEX_WAIT_PRIVATE, wanted, NULL, NULL, 0);
	if (!gate_try(g))
		gate_sleep(g);
}
