/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/stop.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "memory/adopt.h"
#include "memory/sys.h"

#define STOP_THREADS 4096
#define STOP_STACK   (64ul << 10) /* bytes */
#define STOP_PATIENCE                                                                              \
	(5 * NSEC_PER_SEC) /* a starved thread is stopped late, one that waits for a disk never */
#define STOP_REFUSALS 3	   /* rounds in which a thread may refuse because it is about to end */

enum stop_state {
	STOP_CREATED,
	STOP_WORKING,
	STOP_STOPPED,
	STOP_FAILED,
	STOP_RELEASE,
};

/* In a mapping of its own: the helper must not depend on the memory that is moved. The helper
 * shares the caller's thread-local storage, therefore it uses nothing but memory_syscall(). */
struct stop_control {
	atomic_int state; /* futex; caller and helper */
	pid_t caller;
	int tasks; /* the folder of threads */
	uint64_t deadline;
	unsigned int n;
	struct stop_thread {
		pid_t tid;  /* 0: ended */
		int signal; /* that was on its way to the thread, delivered when it goes on */
		bool stopped;
	} threads[STOP_THREADS];
	char names[4096] __attribute__((aligned(8)));
	char stack[STOP_STACK] __attribute__((aligned(16)));
};

static long call(long number, long a, long b, long c, long d)
{
	return memory_syscall(number, a, b, c, d, 0, 0);
}

static void state_set(struct stop_control *c, int state)
{
	atomic_store(&c->state, state);
	(void)call(SYS_futex, (long)&c->state, FUTEX_WAKE, 1, 0);
}

/* Sleeps while the state is this one, a little while at most. */
static void state_wait(struct stop_control *c, int state)
{
	struct timespec t = {.tv_nsec = 10 * NSEC_PER_MSEC};

	(void)call(SYS_futex, (long)&c->state, FUTEX_WAIT, state, (long)&t);
}

static bool helper_knows(const struct stop_control *c, pid_t tid)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->threads[i].tid == tid)
			return true;
	return false;
}

static int helper_seize(struct stop_control *c, pid_t tid)
{
	long r;

	if (tid == c->caller || helper_knows(c, tid))
		return 0;
	if (c->n == STOP_THREADS)
		return -E2BIG;
	r = call(SYS_ptrace, PTRACE_SEIZE, tid, 0, 0);
	if (r == 0)
		r = call(SYS_ptrace, PTRACE_INTERRUPT, tid, 0, 0);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return (int)r;
	c->threads[c->n++] = (struct stop_thread){.tid = tid};
	return 0;
}

/* Number of a thread, 0 for "." and "..". */
static pid_t name_number(const char *name)
{
	pid_t v = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		v = v * 10 + (*name - '0');
	return v;
}

struct stop_entry {
	uint64_t inode;
	int64_t next;
	uint16_t length;
	unsigned char type;
	char name[];
};

/* Attaches to the threads that are not known yet. */
static int helper_seize_all(struct stop_control *c)
{
	long n = call(SYS_lseek, c->tasks, 0, SEEK_SET, 0);

	if (n < 0)
		return (int)n;
	while ((n = call(SYS_getdents64, c->tasks, (long)c->names, sizeof(c->names), 0)) > 0) {
		for (long at = 0; at < n;) {
			struct stop_entry *e = (struct stop_entry *)(c->names + at);
			pid_t tid = name_number(e->name);
			int r = tid ? helper_seize(c, tid) : 0;

			if (r < 0)
				return r;
			at += e->length;
		}
	}
	return (int)n;
}

static int helper_await(struct stop_control *c, struct stop_thread *t)
{
	int status = 0;

	while (t->tid && !t->stopped) {
		long r = call(SYS_wait4, t->tid, (long)&status, __WALL | WNOHANG, 0);

		if (r == t->tid && WIFSTOPPED(status)) {
			t->stopped = true;
			t->signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
		} else if (r == t->tid || r == -ECHILD) {
			t->tid = 0;
		} else if (clock_now() > c->deadline) {
			return -ETIMEDOUT;
		} else {
			struct timespec pause = {.tv_nsec = 20 * NSEC_PER_USEC};

			(void)call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&pause, 0);
		}
	}
	return 0;
}

/* Until a look at all threads finds none that is not stopped: those still running may make new
 * ones. */
static int helper_stop_all(struct stop_control *c)
{
	unsigned int refusals = 0;

	for (unsigned int before = ~0u; before != c->n || refusals;) {
		int r;

		before = c->n;
		r = helper_seize_all(c);
		if (r == -EPERM && ++refusals < STOP_REFUSALS)
			(void)call(SYS_sched_yield, 0, 0, 0, 0);
		else if (r < 0)
			return r;
		else
			refusals = 0;
		for (unsigned int i = 0; i < c->n; i++) {
			r = helper_await(c, &c->threads[i]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* What is not detached here is when the helper ends. */
static void helper_detach_all(struct stop_control *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->threads[i].tid && c->threads[i].stopped)
			(void)call(SYS_ptrace, PTRACE_DETACH, c->threads[i].tid, 0,
				c->threads[i].signal);
}

static int helper_main(void *userdata)
{
	struct stop_control *c = userdata;

	(void)call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
	while (atomic_load(&c->state) == STOP_CREATED)
		state_wait(c, STOP_CREATED);
	if (helper_stop_all(c) < 0) {
		helper_detach_all(c);
		state_set(c, STOP_FAILED);
	} else {
		state_set(c, STOP_STOPPED);
		while (atomic_load(&c->state) != STOP_RELEASE)
			state_wait(c, STOP_STOPPED);
		helper_detach_all(c);
	}
	return 0;
}

/* True if the helper has ended. */
static bool helper_reap(pid_t helper, int flags)
{
	long r;

	do
		r = call(SYS_wait4, helper, 0, __WALL | flags, 0);
	while (r != helper && r != -ECHILD && !(flags & WNOHANG));
	return r == helper || r == -ECHILD;
}

static void stop_free(struct stop *stop)
{
	(void)call(SYS_close, stop->control->tasks, 0, 0, 0);
	(void)sys_munmap((uintptr_t)stop->control, sizeof(*stop->control));
}

static int stop_prepare(struct stop *stop)
{
	long p = sys_mmap(0, sizeof(*stop->control), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int tasks;

	if (sys_failed(p))
		return (int)p;
	stop->control = (struct stop_control *)p;
	tasks = (int)call(SYS_openat, AT_FDCWD, (long)"/proc/self/task",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (tasks < 0) {
		(void)sys_munmap((uint64_t)p, sizeof(*stop->control));
		return tasks;
	}
	stop->control->tasks = tasks;
	stop->control->caller = (pid_t)call(SYS_gettid, 0, 0, 0, 0);
	if (stop->control->caller <= 0) {
		stop_free(stop);
		return -ESRCH;
	}
	stop->control->deadline = clock_now() + STOP_PATIENCE;
	return 0;
}

static int stop_await(struct stop *stop)
{
	struct stop_control *c = stop->control;

	while (atomic_load(&c->state) == STOP_WORKING) {
		state_wait(c, STOP_WORKING);
		if (atomic_load(&c->state) == STOP_WORKING && helper_reap(stop->helper, WNOHANG))
			return MEMORY_NO_RIGHT;
	}
	if (atomic_load(&c->state) == STOP_STOPPED)
		return 0;
	(void)helper_reap(stop->helper, 0);
	return MEMORY_NO_RIGHT;
}

int stop_others(struct stop *stop)
{
	struct stop_control *c;
	int r = stop_prepare(stop);

	if (r < 0)
		return r;
	c = stop->control;
	/* No exit signal: the program's wait() does not see this child. */
	stop->helper = clone(helper_main, c->stack + sizeof(c->stack),
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, c);
	if (stop->helper < 0) {
		stop_free(stop);
		return MEMORY_NO_RIGHT;
	}
	/* Yama's usual mode wants to be told; elsewhere the call does not exist. */
	(void)call(SYS_prctl, PR_SET_PTRACER, stop->helper, 0, 0);
	state_set(c, STOP_WORKING);
	r = stop_await(stop);
	if (r) {
		(void)call(SYS_prctl, PR_SET_PTRACER, 0, 0, 0);
		stop_free(stop);
	}
	return r;
}

void stop_release(struct stop *stop)
{
	state_set(stop->control, STOP_RELEASE);
	(void)helper_reap(stop->helper, 0);
	(void)call(SYS_prctl, PR_SET_PTRACER, 0, 0, 0);
	stop_free(stop);
}
