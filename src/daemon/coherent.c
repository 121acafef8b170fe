/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/coherent-loss.h"
#include "daemon/coherent-sleep.h"
#include "daemon/log.h"
#include "memory/page-guard.h"

/* The lock, the page thread, time, and what other threads want of the main one. */

#define PRIORITY (-10)
#define SLICE	 (100 * NSEC_PER_USEC)
#define SPIN	 (20 * NSEC_PER_USEC) /* with two processors or more */
#define EVENTS	 32

/* The lock */

void coherent_locked(Coherent *c)
{
	c->now = clock_now();
}

void coherent_lock(Coherent *c)
{
	pthread_mutex_lock(&c->lock);
	coherent_locked(c);
}

static void set_timer(Coherent *c, uint64_t next)
{
	/* 0 would be no time at all */
	const struct itimerspec t = {.it_value = clock_timespec(MAX(next, (uint64_t)1))};
	const struct itimerspec never = {.it_value = {0, 0}};

	c->armed = next;
	timerfd_settime(c->timer, TFD_TIMER_ABSTIME, next == UINT64_MAX ? &never : &t, NULL);
}

static uint64_t part_next(const CoherentPart *part)
{
	uint64_t next = part->pager ? pager_next(part->pager) : UINT64_MAX;

	if (part->turn)
		next = MIN(next, part->turn);
	if (part->n_sleeping)
		next = MIN(next, coherent_sleep_next(part));
	return part->home ? MIN(next, coherent_home_next(part)) : next;
}

void coherent_touch(CoherentPart *part)
{
	if (list_empty(&part->touched))
		list_append(&part->coherent->touched, &part->touched);
}

/* Groups become empty in the midst of what a pager does; it is told afterwards. */
static void tell_emptied(CoherentPart *part)
{
	uint64_t emptied = part->emptied;

	part->emptied = 0;
	for (unsigned int i = 0; emptied && i < PAGER_GROUPS; i++)
		if ((emptied >> i & 1) && part->n_mappers[i] == 0 && part->pager)
			pager_group_set(part->pager, i, false, part->coherent->now);
}

static void parts_settle(Coherent *c, uint64_t *next)
{
	CoherentPart *part;

	while ((part = list_first(&c->touched, CoherentPart, touched))) {
		list_unlink(&part->touched);
		if (part->emptied)
			tell_emptied(part);
		coherent_sleep_settle(part);
		*next = MIN(*next, part_next(part));
	}
}

static void settle(Coherent *c)
{
	uint64_t next = UINT64_MAX;

	do
		parts_settle(c, &next);
	while (coherent_links_settle(c));
	next = MIN(next, c->look);
	if (next < c->armed)
		set_timer(c, next);
}

void coherent_unlock(Coherent *c)
{
	settle(c);
	pthread_mutex_unlock(&c->lock);
}

/* Telling other threads */

static void ring(int fd)
{
	const uint64_t one = 1;

	/* a full counter has been rung */
	if (write(fd, &one, sizeof(one)) < 0)
		errno = 0;
}

static void hear(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		errno = 0;
}

void coherent_wake(Coherent *c)
{
	ring(c->wake);
}

void coherent_note(Coherent *c)
{
	ring(c->notes);
}

static int on_noted(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Manager *m = userdata;

	hear(fd);
	coherent_watches_look(m);
	coherent_guests_look(m);
	coherent_homes_look(m);
	coherent_dials_look(m);
	return 0;
}

/* The page thread */

static void part_tick(CoherentPart *part)
{
	Coherent *c = part->coherent;
	CoherentHome *home = part->home ? coherent_home_of(part) : NULL;

	if (part->pager && pager_next(part->pager) <= c->now)
		pager_tick(part->pager, c->now);
	if (home)
		coherent_home_tick(home);
	coherent_loss_tick(part);
	coherent_touch(part);
}

/* Whoever unlocks sets the timer anew. */
static void tick(Coherent *c)
{
	CoherentPart *part;

	hear(c->timer);
	c->armed = UINT64_MAX;
	list_for_each (part, &c->parts, link)
		part_tick(part);
	if (c->look <= c->now) {
		c->look = UINT64_MAX;
		coherent_links_look(c);
		coherent_watches_sweep(c);
	}
}

static void handle(Coherent *c, const struct epoll_event *e)
{
	if (e->data.ptr == &c->wake)
		hear(c->wake);
	else if (e->data.ptr == &c->timer)
		hear(c->timer);
	else
		coherent_link_ready(e->data.ptr, e->events);
}

/* Links are freed here alone, when none of their events is in our hands. */
static bool turn(Coherent *c, int timeout)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(c->epoll, events, EVENTS, timeout);

	/* whoever spins keeps nobody from the lock */
	if (n <= 0 && atomic_load(&c->armed) > clock_now())
		return false;
	for (int i = 0; i < n; i++)
		handle(c, &events[i]);
	coherent_lock(c);
	if (c->armed <= c->now)
		tick(c);
	coherent_links_reap(c);
	coherent_unlock(c);
	return n > 0;
}

static void *run(void *userdata)
{
	Coherent *c = userdata;
	uint64_t until;

	prctl(PR_SET_NAME, "causeway-pages");
	while (!atomic_load(&c->stopping)) {
		if (!turn(c, -1) || !c->spins)
			continue;
		until = clock_now() + SPIN;
		while (clock_now() < until && !atomic_load(&c->stopping))
			if (turn(c, 0))
				until = clock_now() + SPIN;
	}
	return NULL;
}

/* Beginning and end */

struct start {
	void *(*run)(void *);
	void *userdata;
};

/* As the kernel has it; its header and sched.h do not go together everywhere. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#define KEEP_POLICY 8u /* SCHED_FLAG_KEEP_POLICY */

/* This thread alone. Who may not, does without. With a short slice (Linux 6.12) whoever has been
 * woken goes before those who only compute. */
static void raise_thread(void)
{
	const struct attributes attributes = {
		.size = sizeof(attributes),
		.flags = KEEP_POLICY,
		.nice = PRIORITY,
		.runtime = SLICE,
	};

	(void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void *run_raised(void *userdata)
{
	struct start start = *(struct start *)userdata;

	free(userdata);
	raise_thread();
	return start.run(start.userdata);
}

int coherent_thread(void *(*run)(void *), void *userdata, pthread_t *ret_thread)
{
	struct start *start = malloc(sizeof(*start));
	sigset_t all, old;
	int r;

	if (!start)
		return -ENOMEM;
	*start = (struct start){run, userdata};
	sigfillset(&all);
	r = -pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r == 0) {
		r = -pthread_create(ret_thread, NULL, run_raised, start);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (r < 0)
		free(start);
	return r;
}

static bool several_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

static void discard(Coherent *c)
{
	sd_event_source_disable_unref(c->noted);
	fd_close(c->epoll);
	fd_close(c->timer);
	fd_close(c->wake);
	fd_close(c->notes);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
DEFINE_CLEANUP(Coherent *, discard);

static int watch_fd(Coherent *c, int *fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, *fd, &e) < 0 ? negative_errno() : 0;
}

static int open_descriptors(Coherent *c)
{
	int r;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->notes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll < 0 || c->timer < 0 || c->wake < 0 || c->notes < 0)
		return negative_errno();
	r = watch_fd(c, &c->timer);
	if (r == 0)
		r = watch_fd(c, &c->wake);
	if (r == 0)
		r = sd_event_add_io(
			c->manager->event, &c->noted, c->notes, EPOLLIN, on_noted, c->manager);
	return MIN(r, 0);
}

static void init(Coherent *c, Manager *m)
{
	struct list *lists[] = {&c->parts, &c->touched, &c->links, &c->unsent, &c->watches,
		&c->ended, &c->users, &c->dials, &c->grants, &c->opens, &c->questions};

	c->manager = m;
	c->epoll = c->timer = c->wake = c->notes = -1;
	c->armed = c->look = UINT64_MAX;
	c->spins = several_processors();
	/* numbers of a former daemon's are never used again */
	c->last_map = m->node_page->starts << 20;
	c->last_number = (uint64_t)m->node_page->starts << 32;
	pthread_mutex_init(&c->lock, NULL);
	for (size_t i = 0; i < ELEMENTS(lists); i++)
		list_init(lists[i]);
}

uint64_t coherent_number(Coherent *c)
{
	uint64_t number;

	pthread_mutex_lock(&c->lock);
	number = ++c->last_number;
	pthread_mutex_unlock(&c->lock);
	return number;
}

/* (the guard's thread) */
static void on_guard(pid_t pid)
{
	if (pid)
		log_warning(
			"process %d kept a write to memory of a segment from ending: it is killed",
			(int)pid);
	else
		log_warning("a write to memory of a segment does not end, and it cannot be seen "
			    "because of whom");
}

int coherent_new(Manager *m)
{
	_cleanup_(discard_p) Coherent *c = NULL;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	init(c, m);
	r = open_descriptors(c);
	page_guard_tell(on_guard);
	if (r == 0)
		r = coherent_thread(run, c, &c->thread);
	if (r == 0)
		m->coherent = take_ptr(c);
	return r;
}

int coherent_need(Manager *m)
{
	int r = m->coherent ? 0 : coherent_new(m);

	return r < 0 ? r : coherent_rows_need(m);
}

/* The node ends: what the threads of clients do then is of no interest, and objects stay. */
void coherent_free(Coherent *c)
{
	if (!c)
		return;
	atomic_store(&c->stopping, true);
	coherent_wake(c);
	pthread_join(c->thread, NULL);
}
