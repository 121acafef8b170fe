/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/work.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "api/sisci/thread.h"
#include "api/sisci/wait.h"
#include "base/clock.h"

#define SETTLE_NS (5 * NSEC_PER_MSEC)

static struct {
	pthread_mutex_t lock; /* of all but calls */
	pthread_cond_t done;  /* running has changed */
	struct list queue;    /* struct work */
	struct list ticks;    /* struct work_tick */
	struct work_tick *running;
	bool started;
	pthread_t thread;
	_Atomic uint32_t calls; /* what the thread sleeps on */
	_Atomic bool asleep;
	_Atomic uint32_t passes; /* of all ticks */
} worker = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
	.queue = {&worker.queue, &worker.queue},
	.ticks = {&worker.ticks, &worker.ticks}};

_Atomic uint32_t work_n_ticks;

void work_tick_hurry(void)
{
	atomic_fetch_add(&worker.calls, 1);
	if (atomic_load(&worker.asleep))
		wake_word(&worker.calls);
}

static bool run_one(void)
{
	struct work *w;

	pthread_mutex_lock(&worker.lock);
	w = list_first(&worker.queue, struct work, queue);
	if (w)
		list_unlink(&w->queue);
	pthread_mutex_unlock(&worker.lock);
	if (w)
		w->run(w);
	return w;
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

/* A pass that is under way may have been behind what was stored. */
void work_tick_settle(void)
{
	uint32_t before = atomic_load(&worker.passes);
	uint64_t end = clock_now() + SETTLE_NS;

	work_tick_hurry();
	while (atomic_load(&worker.passes) - before < 2 && clock_now() < end) {
		sched_yield();
		work_tick_hurry();
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

	list_init(&w->queue);
	pthread_mutex_lock(&worker.lock);
	r = start_locked();
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
	worker.running = NULL;
	worker.started = false;
	work_n_ticks = 0;
}
