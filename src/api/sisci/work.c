/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/work.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include "api/sisci/thread.h"
#include "api/sisci/wait.h"
#include "base/clock.h"

#define SETTLE_NS NSEC_PER_SEC /* at most: somebody may not be reached */
#define YIELD_NS  (5 * NSEC_PER_MSEC)
#define NAP_NS	  (200 * NSEC_PER_USEC)

static struct {
	pthread_mutex_t lock; /* of all but calls */
	pthread_cond_t done;  /* running has changed */
	struct list queue;    /* struct work */
	struct list ticks;    /* struct work_tick */
	struct work_tick *running;
	bool busy; /* somebody carries out the first of the queue, which is not in it any more */
	pthread_cond_t idle;
	bool started;
	pthread_t thread;
	_Atomic uint32_t calls; /* what the thread sleeps on */
	_Atomic bool asleep;
	_Atomic uint32_t passes; /* of all ticks */
} worker = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
	.idle = PTHREAD_COND_INITIALIZER,
	.queue = {&worker.queue, &worker.queue},
	.ticks = {&worker.ticks, &worker.ticks}};

_Atomic uint32_t work_n_ticks;

/* Runs all ticks soon. Never sleeps, takes no lock. */
static void work_tick_hurry(void)
{
	atomic_fetch_add(&worker.calls, 1);
	if (atomic_load(&worker.asleep))
		wake_word(&worker.calls);
}

/* Work that was taken out of the queue; one at a time, so that it is done in its order. */
static void carry_out(struct work *w)
{
	w->run(w);
	pthread_mutex_lock(&worker.lock);
	worker.busy = false;
	pthread_cond_signal(&worker.idle);
	pthread_mutex_unlock(&worker.lock);
}

static bool run_one(void)
{
	struct work *w;

	pthread_mutex_lock(&worker.lock);
	while (worker.busy)
		pthread_cond_wait(&worker.idle, &worker.lock);
	w = list_first(&worker.queue, struct work, queue);
	if (w)
		list_unlink(&w->queue);
	worker.busy = w;
	pthread_mutex_unlock(&worker.lock);
	if (w)
		carry_out(w);
	return w;
}

bool work_do(struct work *w)
{
	bool first;

	pthread_mutex_lock(&worker.lock);
	first = !worker.busy && list_first(&worker.queue, struct work, queue) == w;
	if (first) {
		list_unlink(&w->queue);
		worker.busy = true;
	}
	pthread_mutex_unlock(&worker.lock);
	if (first)
		carry_out(w);
	return first;
}

/* The tick after before, marked as running. */
static struct work_tick *next_tick(struct work_tick *before)
{
	struct list *at;

	pthread_mutex_lock(&worker.lock);
	at = before ? before->all.next : worker.ticks.next;
	worker.running = at == &worker.ticks ? NULL : list_entry(at, struct work_tick, all);
	pthread_cond_broadcast(&worker.done);
	before = worker.running;
	pthread_mutex_unlock(&worker.lock);
	return before;
}

/* Returns when the next turn is due, ns from now. */
static uint64_t run_ticks(void)
{
	struct work_tick *t = NULL;
	uint64_t due = NSEC_PER_SEC;

	while ((t = next_tick(t)))
		due = MIN(due, t->run(t));
	atomic_fetch_add(&worker.passes, 1);
	return due;
}

/* A pass that is under way may have been behind what was stored. No lock: the calling thread may be
 * cancelled anywhere. */
void work_tick_settle(void)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	uint32_t before = atomic_load(&worker.passes);
	uint64_t begin = clock_now(), now = begin;

	work_tick_hurry();
	while (atomic_load(&worker.passes) - before < 2 && now - begin < SETTLE_NS) {
		if (now - begin < YIELD_NS)
			sched_yield();
		else
			nanosleep(&nap, NULL);
		work_tick_hurry();
		now = clock_now();
	}
}

static void *work_thread(void *unused)
{
	for (;;) {
		uint32_t calls = atomic_load(&worker.calls);
		uint64_t due;

		if (run_one())
			continue;
		due = run_ticks();
		if (due == 0)
			continue;
		atomic_store(&worker.asleep, true);
		wait_on_word(&worker.calls, calls, due);
		atomic_store(&worker.asleep, false);
	}
	return NULL;
}

static int start_locked(void)
{
	int r;

	if (worker.started)
		return 0;
	r = thread_start("sisci-work", work_thread, NULL, &worker.thread);
	worker.started = r == 0;
	return r;
}

int work_submit(struct work *w)
{
	int r;

	pthread_mutex_lock(&worker.lock);
	r = start_locked();
	list_init(&w->queue);
	if (r == 0)
		list_append(&worker.queue, &w->queue);
	pthread_mutex_unlock(&worker.lock);
	if (r == 0)
		work_tick_hurry();
	return r;
}

bool work_withdraw(struct work *w)
{
	bool waiting;

	pthread_mutex_lock(&worker.lock);
	waiting = !list_empty(&w->queue);
	list_unlink(&w->queue);
	pthread_mutex_unlock(&worker.lock);
	return waiting;
}

int work_tick_add(struct work_tick *t)
{
	int r;

	list_init(&t->all);
	pthread_mutex_lock(&worker.lock);
	r = start_locked();
	if (r == 0) {
		list_append(&worker.ticks, &t->all);
		work_n_ticks++;
	}
	pthread_mutex_unlock(&worker.lock);
	if (r == 0)
		work_tick_hurry();
	return r;
}

/* The thread goes on from the tick that it is at: so that one leaves the list only afterwards. */
void work_tick_remove(struct work_tick *t)
{
	pthread_mutex_lock(&worker.lock);
	while (worker.running == t)
		pthread_cond_wait(&worker.done, &worker.lock);
	list_unlink(&t->all);
	work_n_ticks--;
	pthread_mutex_unlock(&worker.lock);
}

void work_fork_child(void)
{
	pthread_mutex_init(&worker.lock, NULL);
	pthread_cond_init(&worker.done, NULL);
	list_init(&worker.queue);
	list_init(&worker.ticks);
	pthread_cond_init(&worker.idle, NULL);
	worker.running = NULL;
	worker.busy = false;
	worker.started = false;
	work_n_ticks = 0;
}
