/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/dispatch.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "api/sisci/thread.h"
#include "api/sisci/wait.h"
#include "base/clock.h"

/*
 * An object's place here is added and removed by others, and used by the thread. The list's lock is
 * not held while a callback runs: the thread marks the place as running, and who removes it waits
 * until it is not.
 */

#define WORDS_MAX 127u /* the kernel takes 128 in one call */
#define LOOK_NS	  NSEC_PER_MSEC

struct dispatch {
	struct list all; /* under the lock, as all of this */
	struct object *object;
	const struct dispatch_ops *ops;
	bool removed; /* no callback begins any more */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* running has changed */
	struct list places;
	struct dispatch *running;
	bool started;
	pthread_t thread;
	_Atomic uint32_t kicks; /* what the thread sleeps on, besides the objects' words */
} dispatcher = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.idle = PTHREAD_COND_INITIALIZER,
	.places = {&dispatcher.places, &dispatcher.places}};

void dispatch_kick(void)
{
	atomic_fetch_add(&dispatcher.kicks, 1);
	wake_word(&dispatcher.kicks);
}

bool dispatch_is_self(void)
{
	return dispatcher.started && pthread_equal(pthread_self(), dispatcher.thread);
}

/* The place after before that may run, marked as running; NULL: the end. Drops the mark of before.
 */
static struct dispatch *next_place(struct dispatch *before)
{
	struct dispatch *d = NULL, *gone = NULL;
	struct list *at;

	pthread_mutex_lock(&dispatcher.lock);
	at = before ? before->all.next : dispatcher.places.next;
	if (before && before->removed) {
		list_unlink(&before->all);
		if (before->object->dispatch == before)
			before->object->dispatch = NULL;
		gone = before;
	}
	for (; at != &dispatcher.places; at = at->next) {
		d = list_entry(at, struct dispatch, all);
		if (!d->removed)
			break;
		d = NULL;
	}
	dispatcher.running = d;
	pthread_cond_broadcast(&dispatcher.idle);
	pthread_mutex_unlock(&dispatcher.lock);
	if (gone)
		object_put(gone->object);
	free(gone);
	return d;
}

static void cancel(struct dispatch *d)
{
	pthread_mutex_lock(&dispatcher.lock);
	d->removed = true;
	pthread_mutex_unlock(&dispatcher.lock);
}

static bool is_removed(struct dispatch *d)
{
	bool removed;

	pthread_mutex_lock(&dispatcher.lock);
	removed = d->removed;
	pthread_mutex_unlock(&dispatcher.lock);
	return removed;
}

/* One event of each object; true if there was any. */
static bool run_all(void)
{
	struct dispatch *d = NULL;
	bool any = false;

	while ((d = next_place(d))) {
		sci_callback_action_t action = SCI_CALLBACK_CONTINUE;

		if (!is_removed(d) && d->ops->run(d->object, &action))
			any = true;
		if (action == SCI_CALLBACK_CANCEL)
			cancel(d);
	}
	return any;
}

/* What the thread sleeps on. */
struct words {
	struct futex_waitv wait[WORDS_MAX + 1];
	_Atomic uint32_t *sleepers[WORDS_MAX + 1];
	struct object *objects[WORDS_MAX + 1]; /* whose memory that is, referenced; or NULL */
	unsigned int n;
	bool all; /* not one is missing */
};

static void words_add(
	struct words *w, const _Atomic uint32_t *word, _Atomic uint32_t *sleepers, struct object *o)
{
	for (unsigned int i = 0; i < w->n; i++)
		if (w->wait[i].uaddr == (uintptr_t)word && w->sleepers[i] == sleepers)
			return;
	if (w->n >= WORDS_MAX) {
		w->all = false;
		return;
	}
	w->wait[w->n] = (struct futex_waitv){
		.uaddr = (uintptr_t)word, .val = atomic_load(word), .flags = FUTEX_32};
	w->sleepers[w->n] = sleepers;
	w->objects[w->n++] = o;
	if (o)
		object_ref(o);
}

static void words_forget(struct words *w)
{
	for (unsigned int i = 0; i < w->n; i++)
		object_put(w->objects[i]);
	w->n = 0;
}

/* Values first, then a look at everything, then the sleep: so nothing is missed. An object may lose
 * its place meanwhile: its words are there until we have forgotten them. */
static void words_collect(struct words *w)
{
	struct dispatch *d;

	w->all = true;
	words_add(w, &dispatcher.kicks, NULL, NULL);
	pthread_mutex_lock(&dispatcher.lock);
	list_for_each (d, &dispatcher.places, all)
		if (!d->removed && d->ops->word)
			words_add(w, d->ops->word(d->object),
				d->ops->sleepers ? d->ops->sleepers(d->object) : NULL, d->object);
	pthread_mutex_unlock(&dispatcher.lock);
}

static void count_sleeper(const struct words *w, uint32_t n)
{
	for (unsigned int i = 0; i < w->n; i++)
		if (w->sleepers[i])
			atomic_fetch_add(w->sleepers[i], n);
}

static void words_sleep(struct words *w)
{
	struct timespec end = clock_timespec(clock_now() + (w->all ? NSEC_PER_SEC : LOOK_NS));
	struct timespec nap = clock_timespec(LOOK_NS);
	long r;

	count_sleeper(w, 1);
	r = syscall(SYS_futex_waitv, w->wait, w->n, 0, &end, CLOCK_MONOTONIC);
	if (r < 0 && errno != EAGAIN && errno != ETIMEDOUT && errno != EINTR)
		nanosleep(&nap, NULL);
	count_sleeper(w, (uint32_t)-1);
}

static void *dispatch_thread(void *unused)
{
	struct words *words = unused;

	for (;;) {
		words_collect(words);
		if (!run_all())
			words_sleep(words);
		words_forget(words);
	}
	return NULL;
}

static int start_locked(void)
{
	struct words *words;
	int r;

	if (dispatcher.started)
		return 0;
	words = calloc(1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	r = thread_start("sisci-callback", dispatch_thread, words, &dispatcher.thread);
	if (r < 0) {
		free(words);
		return r;
	}
	dispatcher.started = true;
	return 0;
}

int dispatch_add(struct object *o, const struct dispatch_ops *ops)
{
	struct dispatch *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->object = o;
	d->ops = ops;
	list_init(&d->all);
	pthread_mutex_lock(&dispatcher.lock);
	r = start_locked();
	if (r == 0) {
		object_ref(o);
		o->dispatch = d;
		list_append(&dispatcher.places, &d->all);
	}
	pthread_mutex_unlock(&dispatcher.lock);
	if (r < 0)
		free(d);
	else
		dispatch_kick();
	return r;
}

/* The thread frees a place that it is at; any other is freed here. */
void dispatch_remove(struct object *o)
{
	struct dispatch *d;
	bool mine;

	pthread_mutex_lock(&dispatcher.lock);
	d = o->dispatch;
	if (!d) {
		pthread_mutex_unlock(&dispatcher.lock);
		return;
	}
	o->dispatch = NULL;
	d->removed = true;
	mine = dispatcher.running != d;
	if (mine)
		list_unlink(&d->all);
	while (!mine && dispatcher.running == d && !dispatch_is_self())
		pthread_cond_wait(&dispatcher.idle, &dispatcher.lock);
	pthread_mutex_unlock(&dispatcher.lock);
	if (mine) {
		free(d);
		object_put(o);
		/* who may sleep on its words lets go of them */
		dispatch_kick();
	}
}

/* In a forked child there is no such thread. */
void dispatch_fork_child(void)
{
	pthread_mutex_init(&dispatcher.lock, NULL);
	pthread_cond_init(&dispatcher.idle, NULL);
	list_init(&dispatcher.places);
	dispatcher.running = NULL;
	dispatcher.started = false;
}
