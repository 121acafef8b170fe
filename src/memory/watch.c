/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/watch.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <time.h>
#include "base/cleanup.h"
#include "memory/uffd.h"
#include "memory/watch-private.h"

#define WATCH_FEATURES                                                                             \
	(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |                             \
		UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_EVENT_FORK |                        \
		UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |  \
		UFFD_FEATURE_THREAD_ID)
#define WATCH_BATCH   16u		    /* messages read at once */
#define WATCH_PATIENT 16u		    /* times that O_NONBLOCK is set again */
#define WATCH_REFILL  4u		    /* a quarter of the time that passes */
#define WATCH_STALE   (10 * NSEC_PER_MSEC)  /* a caller that calls again does so sooner */
#define WATCH_NOTABLE (100 * NSEC_PER_MSEC) /* the machine itself pauses for less */
#define WATCH_TOLL    (2 * NSEC_PER_MSEC)   /* of each change that comes in between */
#define WATCH_SPINS   20u
#define WATCH_LOOK    (200 * NSEC_PER_USEC) /* a reader that waits for the lock reads so often */
#define PAGE_MASK     4095ull
#define WATCH_BLOCK   (5 * NSEC_PER_MSEC) /* a read that must not block does so long at most */
#define WATCH_SIGNAL  SIGURG		  /* harmless where it has no handler */

struct Watch {
	int uffd;
	/* True from before a message is read until it is stored: the holder looks at it after an
	 * operation of the kernel that would have been refused before the message was read. */
	atomic_bool reading;
	atomic_bool stopping, left; /* the reader is to leave, and has left */
	atomic_bool began;	    /* there is a reader, and its two values are set */
	pthread_t reader;
	timer_t timer; /* interrupts it, if has_timer */
	bool has_timer;
	unsigned int n_cleared; /* of the reader: O_NONBLOCK was */

	pthread_mutex_t lock; /* for what follows; never held over a system call that may wait */
	struct watch_event changes[WATCH_CHANGES], faults[WATCH_FAULTS];
	unsigned int first_change, n_changes, first_fault, n_faults;
	bool forgotten;

	/* of the holder */
	bool gone;
	struct watch_credit own, *credit;
	uint64_t stuck; /* when the last operation failed, if it did */
};

int watch_begin(int uffd)
{
	return uffd_api(uffd, WATCH_FEATURES);
}

const char *watch_impossible(int device)
{
	_cleanup_close_ int uffd = -1;
	enum uffd_kind kind;
	int r = uffd_new(device, &kind, &uffd);

	if (r == -EPERM)
		return "userfaultfd is not allowed here (a container's profile?)";
	if (r < 0)
		return "this kernel has no userfaultfd";
	if (kind != UFFD_FULL)
		return "only root, or who may open /dev/userfaultfd, can watch faults in system "
		       "calls";
	r = watch_begin(uffd);
	if (r == -EPERM)
		return "the daemon needs CAP_SYS_PTRACE to follow processes that fork";
	if (r < 0)
		return "this kernel cannot protect shared memory (Linux 5.19 or later can)";
	return NULL;
}

int watch_new(int uffd, Watch **ret_watch)
{
	int flags = fcntl(uffd, F_GETFL);
	Watch *watch;

	if (flags < 0 || fcntl(uffd, F_SETFL, flags | O_NONBLOCK) < 0)
		return negative_errno();
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->uffd = uffd;
	pthread_mutex_init(&watch->lock, NULL);
	watch->credit = &watch->own;
	watch_credit_init(&watch->own);
	*ret_watch = watch;
	return 0;
}

void watch_free(Watch *watch)
{
	struct watch_event event;

	if (!watch)
		return;
	while (watch_change(watch, &event))
		if (event.type == WATCH_FORK)
			fd_close(event.uffd);
	if (watch->has_timer)
		timer_delete(watch->timer);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

int watch_uffd(const Watch *watch)
{
	return watch->uffd;
}

/* --- the reader --- */

static bool event_from_message(const struct uffd_msg *message, struct watch_event *ret_event)
{
	struct watch_event event = {.uffd = -1};
	uint64_t flags;

	switch (message->event) {
	case UFFD_EVENT_PAGEFAULT:
		flags = message->arg.pagefault.flags;
		event.type = WATCH_FAULT;
		event.address = message->arg.pagefault.address & ~PAGE_MASK;
		event.end = event.address + PAGE_MASK + 1;
		event.missing = !(flags & UFFD_PAGEFAULT_FLAG_WP);
		event.write = !event.missing || flags & UFFD_PAGEFAULT_FLAG_WRITE;
		event.thread = (pid_t)message->arg.pagefault.feat.ptid;
		break;
	case UFFD_EVENT_FORK:
		event.type = WATCH_FORK;
		event.uffd = (int)message->arg.fork.ufd;
		/* A hostile client's has not. */
		(void)fcntl(event.uffd, F_SETFD, FD_CLOEXEC);
		break;
	case UFFD_EVENT_REMAP:
		event.type = WATCH_MOVED;
		event.address = message->arg.remap.from;
		event.end = message->arg.remap.from + message->arg.remap.len;
		event.to = message->arg.remap.to;
		break;
	case UFFD_EVENT_UNMAP:
	case UFFD_EVENT_REMOVE:
		event.type = message->event == UFFD_EVENT_UNMAP ? WATCH_UNMAPPED : WATCH_REMOVED;
		event.address = message->arg.remove.start;
		event.end = message->arg.remove.end;
		break;
	default:
		return false;
	}
	*ret_event = event;
	return true;
}

/* A fault that a signal interrupts is told again and again. */
static bool fault_known_locked(const Watch *watch, const struct watch_event *event)
{
	for (unsigned int i = 0; i < watch->n_faults; i++) {
		const struct watch_event *f =
			&watch->faults[(watch->first_fault + i) % WATCH_FAULTS];

		if (f->address == event->address && f->write == event->write &&
			f->missing == event->missing && f->thread == event->thread)
			return true;
	}
	return false;
}

static void store_locked(Watch *watch, const struct watch_event *event)
{
	if (event->type != WATCH_FAULT)
		watch->changes[(watch->first_change + watch->n_changes++) % WATCH_CHANGES] = *event;
	else if (fault_known_locked(watch, event))
		return;
	else if (watch->n_faults == WATCH_FAULTS)
		watch->forgotten = true;
	else
		watch->faults[(watch->first_fault + watch->n_faults++) % WATCH_FAULTS] = *event;
}

static bool has_room(Watch *watch)
{
	bool room;

	pthread_mutex_lock(&watch->lock);
	room = watch->n_changes + WATCH_BATCH <= WATCH_CHANGES;
	pthread_mutex_unlock(&watch->lock);
	return room;
}

static int poll_once(int uffd, int timeout, short *ret_events)
{
	struct pollfd p = {uffd, POLLIN, 0};
	int r = poll(&p, 1, timeout);

	*ret_events = p.revents;
	return r < 0 && errno != EINTR ? negative_errno() : 0;
}

/* How many messages were read; -EAGAIN: none. */
static int read_some(Watch *watch)
{
	struct uffd_msg messages[WATCH_BATCH];
	struct watch_event event;
	ssize_t r;

	atomic_store(&watch->reading, true);
	r = read(watch->uffd, messages, sizeof(messages));
	if (r < 0)
		r = negative_errno();
	if (r > 0) {
		pthread_mutex_lock(&watch->lock);
		for (size_t i = 0; i < (size_t)r / sizeof(*messages); i++)
			if (event_from_message(&messages[i], &event))
				store_locked(watch, &event);
		pthread_mutex_unlock(&watch->lock);
	}
	atomic_store(&watch->reading, false);
	return r < 0 ? (int)r : (int)((size_t)r / sizeof(*messages));
}

/* Polling a userfaultfd that would block is an error. */
static int make_nonblocking(Watch *watch)
{
	int flags = fcntl(watch->uffd, F_GETFL);

	if (flags < 0 || watch->n_cleared++ == WATCH_PATIENT)
		return -EPROTO;
	return fcntl(watch->uffd, F_SETFL, flags | O_NONBLOCK) < 0 ? negative_errno() : 0;
}

static void interrupt(int signal)
{
}

/* From now on the signal interrupts what the reader waits for. */
static void reader_begin(Watch *watch)
{
	struct sigaction action = {.sa_handler = interrupt};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WATCH_SIGNAL};
	sigset_t set;

	(void)sigaction(WATCH_SIGNAL, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, WATCH_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	event._sigev_un._tid = gettid();
	watch->has_timer = timer_create(CLOCK_MONOTONIC, &event, &watch->timer) == 0;
	watch->reader = pthread_self();
	atomic_store(&watch->began, true);
}

static void interrupt_every(Watch *watch, uint64_t ns)
{
	const struct itimerspec t = {clock_timespec(ns), clock_timespec(ns)};

	(void)timer_settime(watch->timer, 0, &t, NULL);
}

/*
 * The reader is the holder now, and waits in mapper_protect() for what only it can read. With the
 * caller's lock it must not block, whatever the client does with O_NONBLOCK.
 */
static void read_as_holder(Watch *watch)
{
	short events;

	if (!watch->has_timer || !has_room(watch) || poll_once(watch->uffd, 0, &events) < 0)
		return;
	if (events & POLLERR)
		(void)make_nonblocking(watch);
	if (!(events & POLLIN))
		return;
	interrupt_every(watch, WATCH_BLOCK);
	(void)read_some(watch);
	interrupt_every(watch, 0);
}

static int wait_for_events(Watch *watch)
{
	short events;
	int r;

	while (!atomic_load(&watch->stopping)) {
		if (!has_room(watch)) {
			(void)poll_once(-1, 1, &events);
			continue;
		}
		r = poll_once(watch->uffd, -1, &events);
		if (r < 0)
			return r;
		if (events & POLLERR) {
			r = make_nonblocking(watch);
			if (r < 0)
				return r;
		}
		if (!(events & POLLIN))
			continue;
		r = read_some(watch);
		if (r > 0)
			return 0;
		if (error_is_shortage(r) && r != -EAGAIN) /* a child's userfaultfd */
			(void)poll_once(-1, 1, &events);
		else if (r < 0 && r != -EAGAIN && r != -EINTR)
			return r;
	}
	return -ECANCELED;
}

/* Whoever waits for an event to be read does so for ever after this, if his process has a
 * reference to the userfaultfd. */
static void leave(Watch *watch)
{
	short events;

	while (has_room(watch) && poll_once(watch->uffd, 0, &events) == 0 && events & POLLIN)
		if (read_some(watch) <= 0)
			break;
	atomic_store(&watch->left, true);
}

int watch_wait(Watch *watch)
{
	int r;

	if (!atomic_load(&watch->began))
		reader_begin(watch);
	r = wait_for_events(watch);
	if (r < 0)
		leave(watch);
	return r;
}

/* False: not in time. */
static bool lock_soon(pthread_mutex_t *lock)
{
	struct timespec end;

#ifdef __SANITIZE_THREAD__ /* which does not know clocklock */
	clock_gettime(CLOCK_REALTIME, &end);
	end = clock_timespec(
		(uint64_t)end.tv_sec * NSEC_PER_SEC + (uint64_t)end.tv_nsec + WATCH_LOOK);
	return pthread_mutex_timedlock(lock, &end) == 0;
#else
	end = clock_timespec(clock_now() + WATCH_LOOK);
	return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &end) == 0;
#endif
}

int watch_lock(Watch *watch, pthread_mutex_t *lock)
{
	short events;

	while (!lock_soon(lock)) {
		if (atomic_load(&watch->stopping)) {
			leave(watch);
			return -ECANCELED;
		}
		if (has_room(watch) && poll_once(watch->uffd, 0, &events) == 0 && events & POLLIN)
			(void)read_some(watch);
	}
	return 0;
}

void watch_stop(Watch *watch, pthread_t reader)
{
	struct timespec pause = clock_timespec(NSEC_PER_MSEC);

	atomic_store(&watch->stopping, true);
	/* It may have looked at stopping just before it went to sleep: again, then. */
	while (!atomic_load(&watch->left)) {
		if (atomic_load(&watch->began))
			(void)pthread_kill(reader, WATCH_SIGNAL);
		nanosleep(&pause, NULL);
	}
	pthread_join(reader, NULL);
}

/* --- the holder --- */

bool watch_change(Watch *watch, struct watch_event *ret_event)
{
	bool found;

	pthread_mutex_lock(&watch->lock);
	found = watch->n_changes > 0;
	if (found) {
		*ret_event = watch->changes[watch->first_change];
		watch->first_change = (watch->first_change + 1) % WATCH_CHANGES;
		watch->n_changes--;
	}
	pthread_mutex_unlock(&watch->lock);
	return found;
}

bool watch_fault(Watch *watch, struct watch_event *ret_event)
{
	bool found = true;

	pthread_mutex_lock(&watch->lock);
	if (watch->n_faults) {
		*ret_event = watch->faults[watch->first_fault];
		watch->first_fault = (watch->first_fault + 1) % WATCH_FAULTS;
		watch->n_faults--;
	} else if (watch->forgotten) {
		*ret_event = (struct watch_event){.type = WATCH_FAULTS_FORGOTTEN, .uffd = -1};
		watch->forgotten = false;
	} else {
		found = false;
	}
	pthread_mutex_unlock(&watch->lock);
	return found;
}

enum watch_settled watch_settled(Watch *watch)
{
	bool reading, changed;

	/* The kernel's answer before this, and what was read before that. */
	atomic_thread_fence(memory_order_seq_cst);
	reading = atomic_load(&watch->reading);
	pthread_mutex_lock(&watch->lock);
	changed = watch->n_changes > 0;
	pthread_mutex_unlock(&watch->lock);
	return changed ? WATCH_CHANGED : reading ? WATCH_READING : WATCH_SETTLED;
}

bool watch_gone(const Watch *watch)
{
	return watch->gone;
}

void watch_set_gone(Watch *watch)
{
	watch->gone = true;
}

bool watch_probe(Watch *watch, uint64_t address)
{
	if (uffd_protect(watch->uffd, address & ~PAGE_MASK, PAGE_MASK + 1, true) == -ESRCH)
		watch->gone = true;
	return watch->gone;
}

/* --- credit --- */

void watch_credit_init(struct watch_credit *credit)
{
	credit->left = WATCH_CREDIT;
	credit->at = clock_now();
}

void watch_share_credit(Watch *watch, struct watch_credit *credit)
{
	watch->credit = credit;
}

void watch_forgive(Watch *watch)
{
	watch_credit_init(&watch->own);
	watch->credit = &watch->own;
	watch->stuck = 0;
}

static bool credit_charge(struct watch_credit *credit, uint64_t now, uint64_t ns)
{
	uint64_t left = credit->left + (now - credit->at) / WATCH_REFILL;

	left = MIN(left, WATCH_CREDIT);
	credit->at = now;
	credit->left = ns > left ? 0 : left - ns;
	return ns <= left;
}

void watch_trial_begin(Watch *watch, struct watch_trial *trial)
{
	trial->from = clock_now();
	trial->n = 0;
	if (watch->stuck && trial->from - watch->stuck < WATCH_STALE)
		trial->from = watch->stuck;
	watch->stuck = 0;
}

bool watch_trial_again(Watch *watch, struct watch_trial *trial)
{
	uint64_t now;

	if (atomic_load(&watch->began) && pthread_equal(watch->reader, pthread_self()))
		read_as_holder(watch);
	if (trial->n++ < WATCH_SPINS) {
		sched_yield();
	} else {
		struct timespec t = clock_timespec(50 * NSEC_PER_USEC);

		nanosleep(&t, NULL);
	}
	now = clock_now();
	if (!credit_charge(watch->credit, now, now - trial->from))
		return false;
	trial->from = now;
	return true;
}

void watch_trial_done(Watch *watch, const struct watch_trial *trial)
{
	uint64_t now = clock_now();

	if (now - trial->from > WATCH_NOTABLE)
		(void)credit_charge(watch->credit, now, now - trial->from);
}

bool watch_trial_changed(Watch *watch, const struct watch_trial *trial)
{
	watch->stuck = clock_now();
	return credit_charge(watch->credit, watch->stuck, watch->stuck - trial->from + WATCH_TOLL);
}
