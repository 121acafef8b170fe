/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_GATE_H
#define FABRIC_TCP_GATE_H

/*
 * A lock between one who takes it again and again (large transfers in pieces, the turns of the data
 * thread) and others who want it now and then: who comes back to it by gate_return() lets those in
 * that have been waiting, where a plain mutex would mostly be taken again before they are awake.
 */

#include <pthread.h>
#include <stdatomic.h>

struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t left;
	atomic_uint wanted; /* by gate_enter(), which waits */
};

static inline int gate_init(struct gate *g)
{
	int r = -pthread_mutex_init(&g->mutex, NULL);

	atomic_init(&g->wanted, 0);
	return r ? r : -pthread_cond_init(&g->left, NULL);
}

static inline void gate_deinit(struct gate *g)
{
	pthread_cond_destroy(&g->left);
	pthread_mutex_destroy(&g->mutex);
}

static inline void gate_enter(struct gate *g)
{
	if (pthread_mutex_trylock(&g->mutex) == 0)
		return;
	atomic_fetch_add(&g->wanted, 1);
	pthread_mutex_lock(&g->mutex);
	/* under the mutex, so that who waits for it in gate_return() misses nothing */
	if (atomic_fetch_sub(&g->wanted, 1) == 1)
		pthread_cond_broadcast(&g->left);
}

static inline void gate_return(struct gate *g)
{
	pthread_mutex_lock(&g->mutex);
	/* once: who has always somebody behind it must come to its turn all the same */
	if (atomic_load_explicit(&g->wanted, memory_order_relaxed))
		pthread_cond_wait(&g->left, &g->mutex);
}

static inline void gate_leave(struct gate *g)
{
	pthread_mutex_unlock(&g->mutex);
}

#endif
