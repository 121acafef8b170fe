/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-attach.h"

/*
 * What becomes of who has memory attached whose partition is lost, each way ([Clshm] OnLoss). Node
 * 1 has the segment; b attaches it on node 2, as do processes that are forked for it. argv[1]:
 * causewayd.
 */

#define PAGE   4096u
#define PAGES  64u
#define SIZE   (PAGES * PAGE)
#define RW     (WIRE_READ | WIRE_WRITE)
#define NOBODY 65534

static const char *program;

/* DETECTION: more, where all is slow. */
static const char *config_of(const char *loss)
{
	static char text[256];
	const char *detection = getenv("DETECTION");

	snprintf(text, sizeof(text),
		"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=%s\n"
		"[Clshm]\nOnLoss=%s\n",
		detection ? detection : "1s", loss);
	return text;
}

struct scene {
	struct nodes nodes;
	struct client a, b;
	uint32_t shmid;
	int uffd[2];
	struct attach at;
	bool lost;
};

static int begin(void **state, const char *config)
{
	struct scene *s = *state = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(&s->nodes, program, 2, 2, config);
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	s->uffd[0] = map_watch_begin(&s->a);
	s->uffd[1] = map_watch_begin(&s->b);
	shm_hello(&s->a);
	shm_hello(&s->b);
	s->shmid = shm_make(&s->a, SIZE, 0600);
	return 0;
}

static int begin_sigbus(void **state)
{
	return begin(state, config_of("sigbus"));
}

static int begin_kill(void **state)
{
	return begin(state, config_of("kill"));
}

static int begin_zero(void **state)
{
	return begin(state, config_of("zero"));
}

static int end(void **state)
{
	struct scene *s = *state;

	map_close(&s->at.map);
	client_close(&s->b);
	if (!s->lost)
		(void)shm_remove(&s->a, s->shmid);
	client_close(&s->a);
	nodes_stop(&s->nodes);
	close(s->uffd[0]);
	close(s->uffd[1]);
	free(s);
	return 0;
}

static void lose(struct scene *s)
{
	nodes_kill(&s->nodes, 1, &s->a);
	s->lost = true;
}

static void lose_and_wait(struct scene *s)
{
	lose(s);
	client_wait_import(&s->b, s->at.import, WIRE_IMPORT_NODE_LOST);
	/* that is shown before the memory goes */
	usleep(100000);
}

/* Accesses */

static __thread sigjmp_buf hit;

static void on_hit(int signal)
{
	siglongjmp(hit, 1);
}

static void catch_hits(void)
{
	(void)signal(SIGBUS, on_hit);
}

static bool load_hits(const struct attach *a, unsigned int page)
{
	if (sigsetjmp(hit, 1))
		return true;
	(void)atomic_load(attach_word(a, page));
	return false;
}

static bool store_hits(const struct attach *a, unsigned int page)
{
	if (sigsetjmp(hit, 1))
		return true;
	atomic_store(attach_word(a, page), 1);
	return false;
}

/* Signals that are not the kernel's end a call later than they come. */
static int call_fails(const struct attach *a, unsigned int page)
{
	uint64_t eight = 8;
	volatile int failed = 0; /* it is used behind a jump */
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	if (sigsetjmp(hit, 1))
		failed += 1;
	else if (write(fds[1], a->map.at + page * PAGE, 8) < 0 && errno == EFAULT)
		failed += 1;
	assert_int_equal(write(fds[1], &eight, 8), 8);
	if (sigsetjmp(hit, 1))
		failed += 1;
	else if (read(fds[0], a->map.at + (page + 1) * PAGE, 8) < 0 && errno == EFAULT)
		failed += 1;
	close(fds[0]);
	close(fds[1]);
	return failed;
}

/* In no order, so that no others come with them. */
static void touch_some(const struct scene *s)
{
	static const unsigned int pages[] = {7, 2, 11, 5, 0, 9, 3};

	for (unsigned int i = 0; i < ELEMENTS(pages); i++) {
		atomic_store(attach_word(&s->at, pages[i]), 1);
		(void)atomic_load(attach_word(&s->at, 12 + pages[i]));
	}
}

static void assert_lost(const struct attach *a, unsigned int step)
{
	for (unsigned int i = 0; i < PAGES - 2; i += step) {
		assert_true(load_hits(a, i));
		assert_true(a->write ? store_hits(a, i) : load_hits(a, i));
	}
	assert_int_equal(call_fails(a, 1), 2);
}

/* sigbus */

static void every_access_raises_a_signal(void **state)
{
	struct scene *s = *state;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	lose_and_wait(s);
	assert_lost(&s->at, 1);
	/* and it ends as any other */
	attach_close(&s->at);
}

static void so_do_loads_of_who_may_only_read(void **state)
{
	struct scene *s = *state;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, WIRE_READ);
	(void)atomic_load(attach_word(&s->at, 3));
	lose_and_wait(s);
	assert_lost(&s->at, 1);
	attach_close(&s->at);
}

struct waiter {
	pthread_t thread;
	const struct attach *at;
	unsigned int page;
	bool store, call;
	_Atomic bool done;
	bool hit;
};

static void *wait_for_page(void *userdata)
{
	struct waiter *w = userdata;

	if (w->call)
		w->hit = call_fails(w->at, w->page) == 2;
	else
		w->hit = w->store ? store_hits(w->at, w->page) : load_hits(w->at, w->page);
	atomic_store(&w->done, true);
	return NULL;
}

static void who_waits_at_that_moment_is_hit(void **state)
{
	struct scene *s = *state;
	struct wire_node_status_reply status;
	struct waiter w[6];

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	status = client_node_status(&s->a);
	assert_int_equal(kill((pid_t)status.daemon_pid, SIGSTOP), 0);
	usleep(20000); /* until all its threads have */
	for (unsigned int i = 0; i < ELEMENTS(w); i++) {
		w[i] = (struct waiter){
			.at = &s->at, .page = 40 + 4 * i, .store = i % 2, .call = i >= 4};
		assert_int_equal(pthread_create(&w[i].thread, NULL, wait_for_page, &w[i]), 0);
	}
	usleep(100000);
	for (unsigned int i = 0; i < ELEMENTS(w); i++)
		assert_false(atomic_load(&w[i].done));
	client_wait_import(&s->b, s->at.import, WIRE_IMPORT_NODE_LOST);
	for (unsigned int i = 0; i < ELEMENTS(w); i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_true(w[i].hit);
	}
	/* where the kernel cannot poison, what system calls wait for is there for a moment */
	usleep(50000);
	assert_lost(&s->at, 7);
	assert_int_equal(kill((pid_t)status.daemon_pid, SIGCONT), 0);
}

static void who_does_not_catch_it_ends_of_it(void **state)
{
	struct scene *s = *state;
	int status;
	pid_t pid;

	(void)signal(SIGBUS, SIG_DFL);
	attach_open(&s->at, &s->b, s->shmid, RW);
	lose_and_wait(s);
	for (unsigned int blocks = 0; blocks < 3; blocks++) {
		pid = fork();
		if (pid == 0) {
			sigset_t set;

			sigemptyset(&set);
			sigaddset(&set, SIGBUS);
			if (blocks == 1)
				sigprocmask(SIG_BLOCK, &set, NULL);
			else if (blocks == 2)
				(void)signal(SIGBUS, SIG_IGN);
			atomic_store(attach_word(&s->at, 50), 1);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_true(WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGKILL);
	}
}

static void children_are_hit_like_their_parents(void **state)
{
	struct scene *s = *state;
	int status, fds[2], back[2];
	pid_t pid;
	char c;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(back), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		(void)atomic_load(attach_word(&s->at, 1));
		assert_int_equal(write(back[1], "", 1), 1);
		(void)!read(fds[0], &c, 1);
		assert_lost(&s->at, 3);
		_exit(0);
	}
	close(fds[0]);
	assert_int_equal(read(back[0], &c, 1), 1);
	close(back[0]);
	close(back[1]);
	lose_and_wait(s);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pid = fork();
	if (pid == 0) {
		assert_lost(&s->at, 3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_successor_knows_what_is_lost(void **state)
{
	struct scene *s = *state;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	lose_and_wait(s);
	assert_true(load_hits(&s->at, 3));
	for (unsigned int i = 0; i < 3; i++) {
		nodes_kill_daemon(&s->b);
		assert_true(load_hits(&s->at, 3));
		assert_true(load_hits(&s->at, 10 + i));
		assert_true(store_hits(&s->at, 20 + i));
		assert_int_equal(call_fails(&s->at, 30 + 2 * i), 2);
	}
	attach_close(&s->at);
	nodes_kill_daemon(&s->b);
}

static void restart_home(struct scene *s)
{
	client_close(&s->a);
	close(s->uffd[0]);
	nodes_start_one(&s->nodes, program, 1, config_of("sigbus"));
	client_new(&s->a, &s->nodes.node[1]);
	s->uffd[0] = map_watch_begin(&s->a);
	shm_hello(&s->a);
}

static void a_node_that_comes_back_has_nothing_of_the_old(void **state)
{
	struct scene *s = *state;
	struct attach at, again;
	uint32_t shmid;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	lose_and_wait(s);
	restart_home(s);
	shmid = shm_make(&s->a, SIZE, 0600);
	s->lost = false;
	s->shmid = shmid;
	for (int i = 0; i < 200 && attach_connect(&at, &s->b, shmid, RW); i++)
		usleep(20000);
	attach_map(&at);
	assert_int_equal(atomic_load(attach_word(&at, 3)), 0);
	assert_true(load_hits(&s->at, 3));
	atomic_store(attach_word(&at, 3), 5);
	attach_open(&again, &s->a, shmid, RW);
	assert_int_equal(atomic_load(attach_word(&again, 3)), 5);
	nodes_kill_daemon(&s->b);
	assert_true(store_hits(&s->at, 4));
	atomic_store(attach_word(&again, 4), 6);
	assert_int_equal(atomic_load(attach_word(&at, 4)), 6);
	attach_close(&s->at);
	atomic_store(attach_word(&again, 4), 7);
	assert_int_equal(atomic_load(attach_word(&at, 4)), 7);
	attach_close(&at);
	attach_close(&again);
}

static void what_is_removed_is_not_lost(void **state)
{
	struct scene *s = *state;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	assert_int_equal(shm_remove(&s->a, s->shmid), STATUS_OK);
	for (unsigned int i = 0; i < PAGES; i++) {
		assert_false(load_hits(&s->at, i));
		assert_false(store_hits(&s->at, i));
	}
	attach_close(&s->at);
}

static void nothing_else_is_hit_by_a_loss(void **state)
{
	struct scene *s = *state;
	uint32_t segment, id, own;
	struct test_map map, home;
	struct attach mine;
	struct remote r;
	int fd;

	catch_hits();
	/* RSM's, of the node that is lost */
	assert_int_equal(client_create(&s->a, SIZE, &segment, &fd), STATUS_OK);
	map_export(&home, &s->a, segment, fd, SIZE);
	assert_int_equal(client_publish(&s->a, segment, 0, &id), STATUS_OK);
	assert_int_equal(remote_connect(&r, &s->b, 1, id, RW), STATUS_OK);
	map_remote(&map, &s->b, r.import, SIZE, true);
	memset(map.at, 1, SIZE);
	/* clshm's, of this node */
	own = shm_make(&s->b, SIZE, 0600);
	attach_open(&mine, &s->b, own, RW);
	atomic_store(attach_word(&mine, 1), 3);
	map_close(&home);
	lose(s);
	client_wait_import(&s->b, r.import, WIRE_IMPORT_NODE_LOST);
	assert_int_equal(map.at[5 * PAGE], 0);
	map.at[5 * PAGE] = 1;
	assert_int_equal(atomic_load(attach_word(&mine, 1)), 3);
	attach_close(&mine);
	map_close(&map);
	assert_int_equal(shm_remove(&s->b, own), STATUS_OK);
}

/* kill */

/* A process on node 2 in a group of its own, with a companion in it: *ret_mate. */
static pid_t start_attached(struct scene *s, uid_t mates_uid, pid_t *ret_mate)
{
	int ready[2];
	struct client c;
	struct attach at;
	pid_t pid, mate;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		(void)setpgid(0, 0);
		mate = fork();
		if (mate == 0) {
			if (mates_uid && (setgroups(0, NULL) < 0 || setgid(mates_uid) < 0 ||
						 setuid(mates_uid) < 0))
				_exit(1);
			assert_int_equal(write(ready[1], "", 1), 1);
			sleep(60);
			_exit(0);
		}
		client_new(&c, &s->nodes.node[2]);
		map_watch_begin(&c);
		attach_open(&at, &c, s->shmid, RW);
		atomic_store(attach_word(&at, 1), 1);
		assert_int_equal(write(ready[1], &mate, sizeof(mate)), sizeof(mate));
		sleep(60);
		_exit(0);
	}
	for (size_t got = 0, want = 1 + sizeof(mate); got < want;) {
		char buffer[8];
		ssize_t n = read(ready[0], buffer, sizeof(buffer));

		assert_true(n > 0);
		/* either may be first */
		if (n >= (ssize_t)sizeof(mate))
			memcpy(ret_mate,
				buffer + (got == 0 && n > (ssize_t)sizeof(mate) && buffer[0] == 0),
				sizeof(mate));
		got += (size_t)n;
	}
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* Nobody may collect it soon: its parent is dead, too. */
static bool is_alive(pid_t pid)
{
	char path[32], stat[256] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	state = fgets(stat, sizeof(stat), f) ? strrchr(stat, ')') : NULL;
	fclose(f);
	return state && strncmp(state, ") Z", 3) && strncmp(state, ") X", 3);
}

static void assert_killed(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void the_process_group_is_killed(void **state)
{
	struct scene *s = *state;
	pid_t pid, mate;

	pid = start_attached(s, 0, &mate);
	assert_true(is_alive(mate));
	lose(s);
	assert_killed(pid);
	for (int i = 0; i < 400 && is_alive(mate); i++)
		usleep(10000);
	assert_false(is_alive(mate));
}

static void another_users_process_in_the_group_saves_all_but_who_has_it_attached(void **state)
{
	struct scene *s = *state;
	pid_t pid, mate;

	pid = start_attached(s, NOBODY, &mate);
	lose(s);
	assert_killed(pid);
	usleep(100000);
	assert_true(is_alive(mate));
	assert_int_equal(kill(mate, SIGKILL), 0);
}

/* The daemon's own process group is this test's, too, so that nobody else is killed. */
static void children_that_are_no_clients_are_killed_when_they_touch_it(void **state)
{
	struct scene *s = *state;
	pid_t pid, child;
	int fds[2], back[2];
	char c;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(back), 0);
	pid = fork();
	if (pid == 0) {
		client_new(&s->b, &s->nodes.node[2]);
		map_watch_begin(&s->b);
		attach_open(&s->at, &s->b, s->shmid, RW);
		child = fork();
		if (child == 0) {
			(void)setpgid(0, 0);
			(void)atomic_load(attach_word(&s->at, 1));
			assert_int_equal(write(back[1], "", 1), 1);
			close(fds[1]);
			(void)!read(fds[0], &c, 1);
			(void)atomic_load(attach_word(&s->at, 2));
			assert_int_equal(write(back[1], "", 1), 1);
			_exit(0);
		}
		sleep(60);
		_exit(0);
	}
	close(back[1]);
	assert_int_equal(read(back[0], &c, 1), 1);
	lose(s);
	assert_killed(pid);
	close(fds[1]);
	assert_int_equal(read(back[0], &c, 1), 0);
	close(back[0]);
	close(fds[0]);
}

/* zero */

static void zeros_come_and_stores_stay_here(void **state)
{
	struct scene *s = *state;

	catch_hits();
	attach_open(&s->at, &s->b, s->shmid, RW);
	touch_some(s);
	lose_and_wait(s);
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_int_equal(atomic_load(attach_word(&s->at, (unsigned int)i)), 0);
		atomic_store(attach_word(&s->at, (unsigned int)i), i);
		assert_int_equal(atomic_load(attach_word(&s->at, (unsigned int)i)), i);
	}
	attach_close(&s->at);
}

int main(int argc, char **argv)
{
#define SIGBUS_TEST(test) cmocka_unit_test_setup_teardown(test, begin_sigbus, end)
#define KILL_TEST(test)	  cmocka_unit_test_setup_teardown(test, begin_kill, end)
	const struct CMUnitTest tests[] = {
		SIGBUS_TEST(every_access_raises_a_signal),
		SIGBUS_TEST(so_do_loads_of_who_may_only_read),
		SIGBUS_TEST(who_waits_at_that_moment_is_hit),
		SIGBUS_TEST(who_does_not_catch_it_ends_of_it),
		SIGBUS_TEST(children_are_hit_like_their_parents),
		SIGBUS_TEST(a_successor_knows_what_is_lost),
		SIGBUS_TEST(a_node_that_comes_back_has_nothing_of_the_old),
		SIGBUS_TEST(what_is_removed_is_not_lost),
		SIGBUS_TEST(nothing_else_is_hit_by_a_loss),
		KILL_TEST(the_process_group_is_killed),
		KILL_TEST(another_users_process_in_the_group_saves_all_but_who_has_it_attached),
		KILL_TEST(children_that_are_no_clients_are_killed_when_they_touch_it),
		cmocka_unit_test_setup_teardown(zeros_come_and_stores_stay_here, begin_zero, end),
	};

	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
