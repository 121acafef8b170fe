/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads: clshm.md §3 "fork", "exit, exec and a crash detach", "several threads". */
#include "rig.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 10000u

extern char **environ;

static void wait_for(pid_t child)
{
	int status;

	NEED_TRUE(waitpid(child, &status, 0) == child);
}

/* "the child inherits attaches and they are counted" */
static void a_forked_child_has_what_its_parent_has(void)
{
	int shmid = rig_segment(SIZE, 0), other = rig_segment(SIZE, 0);
	char *a = rig_attach(shmid), *b = rig_attach(shmid), *c = rig_attach(other);
	int go[2];
	pid_t child;

	a[0] = 1;
	NEED_TRUE(pipe(go) == 0);
	child = fork();
	if (child == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		b[1] = 2;
		c[2] = 3;
		_exit(a[0] == 1 ? 0 : 1);
	}
	/* at once: the child has them before fork() returns */
	CHECK_EQUAL(rig_attached(shmid), 4);
	CHECK_EQUAL(rig_attached(other), 2);
	OK(write(go[1], "", 1));
	rig_join(child);
	CHECK_EQUAL(a[1], 2);
	CHECK_EQUAL(c[2], 3);
	EVENTUALLY(rig_attached(shmid) == 2);
	EVENTUALLY(rig_attached(other) == 1);
}

static void use_inherited(void *data)
{
	char *p = data;

	CHECK(!strcmp(p, "inherited"));
	strcpy(p, "given back");
	OK(xp_shmdt(p));
	FAILS(xp_shmdt(p), EINVAL);
}

static void a_child_detaches_for_itself(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);

	strcpy(p, "inherited");
	rig_in_child(use_inherited, p);
	CHECK(!strcmp(p, "given back"));
	EVENTUALLY(rig_attached(shmid) == 1);
	OK(xp_shmdt(p));
	CHECK_EQUAL(rig_attached(shmid), 0);
}

static void a_read_only_attach_is_inherited_as_such(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = NEED((char *)xp_shmat(shmid, NULL, SHM_RDONLY));

	CHECK_EQUAL(rig_signal_of(p, false), 0);
	CHECK_EQUAL(rig_signal_of(p, true), SIGSEGV);
}

static void make_and_leave_to_child(void *data)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);
	pid_t child;

	OK(xp_shmctl(shmid, IPC_AUTORMID));
	p[7] = 7;
	rig_tell_parent((unsigned int)shmid);
	child = fork();
	NEED_TRUE(child >= 0);
	if (child == 0) {
		rig_hear_parent();
		rig_tell_parent((unsigned char)p[7]);
		rig_hear_parent();
		_exit(0);
	}
	_exit(0);
}

/* The parent's end does not end what the child has. */
static void a_child_keeps_what_its_parent_leaves(void)
{
	rig_peer_t peer = rig_here(make_and_leave_to_child, NULL);
	int shmid = (int)rig_hear(peer);

	wait_for(peer.pid);
	EVENTUALLY(rig_attached(shmid) == 1);
	rig_sleep(50);
	CHECK_EQUAL(rig_attached(shmid), 1);
	rig_tell(peer, 1);
	CHECK_EQUAL(rig_hear(peer), 7);
	rig_tell(peer, 1);
	EVENTUALLY(rig_is_gone(shmid));
}

static void what_is_removed_is_inherited_too(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);
	int go[2];
	pid_t child;

	NEED_TRUE(pipe(go) == 0);
	OK(xp_shmctl(shmid, IPC_RMID));
	p[0] = 9;
	child = fork();
	if (child == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		_exit(p[0] == 9 ? 0 : 1);
	}
	OK(xp_shmdt(p));
	/* the child still has it */
	FAILS(xp_shmat(shmid, NULL, 0), EIDRM);
	OK(write(go[1], "", 1));
	rig_join(child);
	EVENTUALLY(rig_is_gone(shmid));
}

static void use_in_grandchild(void *data)
{
	rig_in_child(use_inherited, data);
}

static void grandchildren_inherit_too(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);

	strcpy(p, "inherited");
	rig_in_child(use_in_grandchild, p);
	CHECK(!strcmp(p, "given back"));
	EVENTUALLY(rig_attached(shmid) == 1);
}

static void make_one_of_its_own(void *data)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);

	CHECK_EQUAL(rig_attached(shmid), 1);
	p[0] = 1;
	OK(xp_shmdt(p));
	OK(xp_shmctl(shmid, IPC_RMID));
}

static void a_child_makes_segments_of_its_own(void)
{
	rig_segment(SIZE, 0);
	rig_in_child(make_one_of_its_own, NULL);
}

/* The same after exec, without fork's handlers. */
static void exec_detaches(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *const arguments[] = {(char *)"sleep", (char *)"100", NULL};
	pid_t child;

	rig_attach(shmid);
	child = fork();
	if (child == 0) {
		execv("/bin/sleep", arguments);
		_exit(1);
	}
	EVENTUALLY(rig_attached(shmid) == 1);
	CHECK_EQUAL(waitpid(child, NULL, WNOHANG), 0);
	kill(child, SIGKILL);
	wait_for(child);
	CHECK_EQUAL(rig_attached(shmid), 1);
}

static void spawned_programs_have_nothing(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *const arguments[] = {(char *)"sleep", (char *)"100", NULL};
	char *p = rig_attach(shmid);
	pid_t child;

	NEED_TRUE(posix_spawn(&child, "/bin/sleep", NULL, NULL, arguments, environ) == 0);
	CHECK_EQUAL(rig_attached(shmid), 1);
	OK(xp_shmdt(p));
	CHECK_EQUAL(rig_attached(shmid), 0);
	kill(child, SIGKILL);
	wait_for(child);
}

static void attach_twice_and_wait(void *data)
{
	int shmid = (int)rig_hear_parent();

	rig_attach(shmid);
	rig_attach(shmid);
	rig_tell_parent(1);
	rig_hear_parent();
}

static void exit_and_death_detach(void)
{
	rig_peer_t killed = rig_here(attach_twice_and_wait, NULL);
	rig_peer_t ends = rig_here(attach_twice_and_wait, NULL);
	int shmid = rig_segment(SIZE, 0);

	rig_tell(killed, (unsigned int)shmid);
	rig_tell(ends, (unsigned int)shmid);
	rig_hear(killed);
	rig_hear(ends);
	CHECK_EQUAL(rig_attached(shmid), 4);
	rig_kill(killed);
	EVENTUALLY(rig_attached(shmid) == 2);
	rig_end(ends);
	EVENTUALLY(rig_attached(shmid) == 0);
}

static void fork_with_many_attaches(void)
{
	enum { N = 200 };
	int shmid = rig_segment(rig_page(), 0);
	static char *at[N];
	pid_t child;
	int go[2];

	for (int i = 0; i < N; i++)
		at[i] = rig_attach(shmid);
	NEED_TRUE(pipe(go) == 0);
	child = fork();
	if (child == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		for (int i = 0; i < N; i++)
			if (xp_shmdt(at[i]))
				_exit(1);
		_exit(0);
	}
	CHECK_EQUAL(rig_attached(shmid), 2 * N);
	OK(write(go[1], "", 1));
	rig_join(child);
	EVENTUALLY(rig_attached(shmid) == N);
}

/* A child that can do nothing does not hold its parent up for ever; one that is killed at once not
 * at all. */
static void a_child_that_dies_at_once_is_not_waited_for(void)
{
	int shmid = rig_segment(SIZE, 0);
	int64_t begin = rig_now();

	rig_attach(shmid);
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		kill(child, SIGKILL);
		wait_for(child);
	}
	CHECK(rig_now() - begin < 8000);
	EVENTUALLY(rig_attached(shmid) == 1);
}

static void a_fork_without_descriptors_is_one_all_the_same(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);
	struct rlimit limit, none;
	pid_t child;

	NEED_TRUE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = limit;
	none.rlim_cur = 3;
	NEED_TRUE(setrlimit(RLIMIT_NOFILE, &none) == 0);
	child = fork();
	if (child == 0)
		_exit(p[0]);
	setrlimit(RLIMIT_NOFILE, &limit);
	rig_join(child);
	EVENTUALLY(rig_attached(shmid) == 1);
}

/* threads */

#define THREADS 8

static int common;
static _Atomic int n_done;

static void *attach_and_detach(void *data)
{
	for (int i = 0; i < 200; i++) {
		_Atomic unsigned int *p = xp_shmat(common, NULL, 0);

		if (p == (void *)-1) {
			CHECK(!"attached");
			break;
		}
		atomic_fetch_add(p, 1);
		OK(xp_shmdt((void *)p));
	}
	atomic_fetch_add(&n_done, 1);
	return NULL;
}

static void run_threads(void *(*work)(void *data))
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		NEED_TRUE(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void threads_attach_and_detach(void)
{
	common = rig_segment(SIZE, 0);
	run_threads(attach_and_detach);
	CHECK_EQUAL(rig_attached(common), 0);
	CHECK_EQUAL(*(unsigned int *)rig_attach(common), THREADS * 200);
}

static void *live(void *data)
{
	for (int i = 0; i < 50; i++) {
		key_t key = xp_ftok(NULL, 1);
		int shmid = xp_shmget(key, SIZE, 0);
		char *p = xp_shmat(shmid, NULL, 0);

		CHECK(shmid != -1 && p != (char *)-1);
		CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
		CHECK_EQUAL(p[SIZE - 1], 0);
		p[SIZE - 1] = 1;
		OK(xp_shmctl(shmid, IPC_RMID));
		FAILS(xp_shmget(key, SIZE, 0), EINVAL);
		OK(xp_shmdt(p));
	}
	return NULL;
}

static void threads_have_segments_of_their_own(void)
{
	run_threads(live);
}

/* Of all that detach one address, one is the first. */
static _Atomic(char *) prize;
static _Atomic int n_won;
static pthread_barrier_t start;

static void *race(void *data)
{
	for (int i = 0; i < 100; i++) {
		if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD)
			prize = rig_attach(common);
		pthread_barrier_wait(&start);
		n_won += xp_shmdt(prize) == 0;
	}
	return NULL;
}

static void one_of_many_detaches(void)
{
	common = rig_segment(SIZE, 0);
	pthread_barrier_init(&start, NULL, THREADS);
	run_threads(race);
	CHECK_EQUAL(n_won, 100);
	CHECK_EQUAL(rig_attached(common), 0);
}

static void *fork_now_and_then(void *data)
{
	while (atomic_load(&n_done) < THREADS - 1) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return NULL;
}

static void threads_attach_while_one_forks(void)
{
	pthread_t threads[THREADS];

	common = rig_segment(SIZE, 0);
	for (int i = 0; i < THREADS; i++)
		NEED_TRUE(pthread_create(&threads[i], NULL,
				  i ? attach_and_detach : fork_now_and_then, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EVENTUALLY(rig_attached(common) == 0);
	CHECK_EQUAL(*(unsigned int *)rig_attach(common), (THREADS - 1) * 200);
}

static void *call_for_ever(void *data)
{
	static char name[64]; /* not on a stack that ASan believes in use when the thread is gone */

	for (;;) {
		key_t key = xp_ftok(NULL, 1);
		int shmid = xp_shmget(key, SIZE, 0);
		char *p = xp_shmat(shmid, NULL, 0);

		part_gethostname(part_getid(), name, sizeof(name));
		xp_shmdt(p);
		xp_shmctl(shmid, IPC_RMID);
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled_threads_leave_nothing_locked(void)
{
	pthread_t thread;

	rig_segment(SIZE, 0);
	for (int i = 0; i < 50; i++) {
		NEED_TRUE(pthread_create(&thread, NULL, call_for_ever, NULL) == 0);
		rig_sleep(i % 5);
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	OK(xp_shmget(rig_key(), SIZE, 0));
}

static _Atomic int n_signals;

static void on_signal(int number)
{
	n_signals++;
}

static void signals_interrupt_nothing(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	pid_t self = getpid(), child;

	sigaction(SIGUSR1, &action, NULL);
	child = fork();
	if (child == 0) {
		while (kill(self, SIGUSR1) == 0)
			usleep(100);
		_exit(0);
	}
	for (int i = 0; i < 300; i++) {
		int shmid = rig_segment(SIZE, 0);
		char *p = rig_attach(shmid);

		CHECK_EQUAL(rig_attached(shmid), 1);
		OK(xp_shmdt(p));
		OK(xp_shmctl(shmid, IPC_RMID));
	}
	kill(child, SIGKILL);
	wait_for(child);
	CHECK(n_signals > 0);
}

static const rig_test_t tests[] = {
	TEST(a_forked_child_has_what_its_parent_has),
	TEST(a_child_detaches_for_itself),
	TEST(a_read_only_attach_is_inherited_as_such),
	TEST(a_child_keeps_what_its_parent_leaves),
	TEST(what_is_removed_is_inherited_too),
	TEST(grandchildren_inherit_too),
	TEST(a_child_makes_segments_of_its_own),
	TEST(exec_detaches),
	TEST(spawned_programs_have_nothing),
	TEST(exit_and_death_detach),
	TEST(fork_with_many_attaches),
	TEST(a_child_that_dies_at_once_is_not_waited_for),
	TEST(a_fork_without_descriptors_is_one_all_the_same),
	TEST(threads_attach_and_detach),
	TEST(threads_have_segments_of_their_own),
	TEST(one_of_many_detaches),
	TEST(threads_attach_while_one_forks),
	TEST(cancelled_threads_leave_nothing_locked),
	TEST(signals_interrupt_nothing),
};

RIG_MAIN(tests)
