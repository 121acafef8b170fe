/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/test-attach.h"

/*
 * Locks of glibc in memory that processes of several nodes have attached: node 1 has the segment.
 * Whoever is not woken for ever is ended by an alarm, which fails the test. argv[1]: causewayd.
 */

#define PAGE	4096u
#define SIZE	(16 * PAGE)
#define RW	(WIRE_READ | WIRE_WRITE)
#define PATIENT 60u

static const char *program;

static const char config[] =
	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=10s\n";

struct shared {
	_Atomic uint32_t ready, go;
	uint64_t count; /* in the same page */
	pthread_mutex_t mutex, robust;
	pthread_rwlock_t rwlock;
};

struct scene {
	struct nodes nodes;
	struct client a;
	int uffd;
	uint32_t shmid;
	struct attach at;
	struct shared *shared;
};

static void make_locks(struct shared *s)
{
	pthread_rwlockattr_t rwlock;
	pthread_mutexattr_t mutex;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &mutex);
	pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->robust, &mutex);
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&s->rwlock, &rwlock);
}

static int begin(void **state)
{
	struct scene *s = *state = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 3, config);
	client_new(&s->a, &s->nodes.node[1]);
	s->uffd = map_watch_begin(&s->a);
	shm_hello(&s->a);
	s->shmid = shm_make(&s->a, SIZE, 0600);
	attach_open(&s->at, &s->a, s->shmid, RW);
	s->shared = (struct shared *)s->at.map.at;
	make_locks(s->shared);
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	attach_close(&s->at);
	(void)shm_remove(&s->a, s->shmid);
	client_close(&s->a);
	nodes_stop(&s->nodes);
	close(s->uffd);
	free(s);
	return 0;
}

typedef void (*round_call)(struct shared *s, unsigned int round);

/* A process of this node that begins with the others. */
static pid_t start(struct scene *s, unsigned int node, round_call call, unsigned int rounds)
{
	const char *patience = getenv("PATIENCE"); /* where all is slow */
	struct shared *shared;
	struct attach at;
	struct client c;
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(patience ? (unsigned int)atoi(patience) : PATIENT);
	client_new(&c, &s->nodes.node[node]);
	map_watch_begin(&c);
	attach_open(&at, &c, s->shmid, RW);
	shared = (struct shared *)at.map.at;
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		usleep(1000);
	for (unsigned int i = 0; i < rounds; i++)
		call(shared, i);
	_exit(0);
}

/* All have it attached: who asks the daemon now says nothing again when that is killed. */
static void let_go(struct scene *s, unsigned int n)
{
	while (atomic_load(&s->shared->ready) < n)
		usleep(1000);
	atomic_store(&s->shared->go, 1);
}

static void assert_all_end(const pid_t *pids, unsigned int n)
{
	int status;

	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

/* n processes, one after the other on nodes 1, 2, 3. */
static void run(struct scene *s, round_call call, unsigned int n, unsigned int rounds)
{
	pid_t pids[9];

	for (unsigned int i = 0; i < n; i++)
		pids[i] = start(s, 1 + i % 3, call, rounds);
	let_go(s, n);
	assert_all_end(pids, n);
	assert_int_equal(s->shared->count, n * rounds);
}

static void count_under_mutex(struct shared *s, unsigned int round)
{
	if (pthread_mutex_lock(&s->mutex))
		_exit(1);
	s->count++;
	if (round % 4 == 0)
		usleep(200); /* so that the others sleep */
	pthread_mutex_unlock(&s->mutex);
}

static void count_under_robust_mutex(struct shared *s, unsigned int round)
{
	if (pthread_mutex_lock(&s->robust))
		_exit(1);
	s->count++;
	if (round % 4 == 0)
		usleep(200);
	pthread_mutex_unlock(&s->robust);
}

static void count_under_rwlock(struct shared *s, unsigned int round)
{
	uint64_t before;

	if (pthread_rwlock_rdlock(&s->rwlock))
		_exit(1);
	before = s->count;
	usleep(100);
	if (s->count != before)
		_exit(2);
	pthread_rwlock_unlock(&s->rwlock);
	if (pthread_rwlock_wrlock(&s->rwlock))
		_exit(1);
	s->count++;
	usleep(100);
	pthread_rwlock_unlock(&s->rwlock);
}

static void a_mutex_is_handed_from_node_to_node(void **state)
{
	run(*state, count_under_mutex, 6, 200);
}

static void a_robust_mutex_is_handed_from_node_to_node(void **state)
{
	run(*state, count_under_robust_mutex, 6, 200);
}

static void a_rwlock_is_handed_from_node_to_node(void **state)
{
	run(*state, count_under_rwlock, 6, 50);
}

/* Each sleeps long before the other unlocks: nothing but the wake-up brings it on. */
static void take_turns(struct shared *s, unsigned int round)
{
	if (pthread_mutex_lock(&s->mutex))
		_exit(1);
	s->count++;
	usleep(30000);
	pthread_mutex_unlock(&s->mutex);
	usleep(1000);
}

static void who_sleeps_long_is_woken(void **state)
{
	run(*state, take_turns, 3, 10);
}

/* What a daemon that dies had noted down, its successor does. */
static void locks_are_handed_on_when_daemons_die(void **state)
{
	struct scene *s = *state;
	struct client clients[2];
	pid_t pids[6];

	for (unsigned int i = 0; i < 2; i++)
		client_new(&clients[i], &s->nodes.node[2 + i]);
	for (unsigned int i = 0; i < ELEMENTS(pids); i++)
		pids[i] = start(s, 1 + i % 3, i < 3 ? take_turns : count_under_mutex, 20);
	let_go(s, ELEMENTS(pids));
	for (unsigned int i = 0; i < 24; i++) {
		usleep(40000);
		nodes_kill_daemon(i % 3 ? &clients[i % 3 - 1] : &s->a);
	}
	assert_all_end(pids, ELEMENTS(pids));
	assert_int_equal(s->shared->count, 20 * ELEMENTS(pids));
	for (unsigned int i = 0; i < 2; i++)
		client_close(&clients[i]);
}

/* The last other node leaves while somebody at the home sleeps. */
static void sleepers_are_woken_when_a_node_is_done(void **state)
{
	struct scene *s = *state;

	for (unsigned int i = 0; i < 5; i++) {
		struct client c;
		struct attach at;
		pid_t pid;

		client_new(&c, &s->nodes.node[2]);
		attach_connect(&at, &c, s->shmid, RW);
		close(map_watch_begin(&c));
		attach_map(&at);
		assert_int_equal(pthread_mutex_lock(&((struct shared *)at.map.at)->mutex), 0);
		atomic_store(&s->shared->go, 1);
		s->shared->count = i;
		pid = start(s, 1, count_under_mutex, 1);
		usleep(50000);
		pthread_mutex_unlock(&((struct shared *)at.map.at)->mutex);
		attach_close(&at);
		client_close(&c);
		assert_all_end(&pid, 1);
	}
}

int main(int argc, char **argv)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_mutex_is_handed_from_node_to_node),
		TEST(a_robust_mutex_is_handed_from_node_to_node),
		TEST(a_rwlock_is_handed_from_node_to_node),
		TEST(who_sleeps_long_is_woken),
		TEST(locks_are_handed_on_when_daemons_die),
		TEST(sleepers_are_woken_when_a_node_is_done),
	};

	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
