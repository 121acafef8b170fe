/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/keeper-link.h"
#include "daemon/keeper.h"

/*
 * A keeper with daemons that misbehave. The keeper executes its own program as the daemon, which is
 * this one: with "--daemon-fd" as third argument it plays the part that the second one names.
 */

#define MANY 3000u

/* The daemon's parts */

static int text_new(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(90);
	return fd;
}

static bool text_is(int fd, const char *text)
{
	char got[32] = "";

	return fd >= 0 && pread(fd, got, sizeof(got) - 1, 0) >= 0 && !strcmp(got, text);
}

static void end(int link, bool good)
{
	keeper_link_end(link, good ? 7 : 8);
	_exit(0);
}

static void store_text(int link, uint64_t key, const char *text)
{
	int fd = text_new(text);

	keeper_link_store(link, KEEP_MEMORY, key, fd);
	close(fd);
}

/* First life: stores, replaces, drops, is killed. Second life: looks. */
static void play_keeps(int link, struct keeper_stored *s)
{
	if (s->n_items == 0) {
		for (unsigned int i = 0; i < MANY; i++)
			store_text(link, i, "old");
		store_text(link, 5, "new");
		keeper_link_drop(link, KEEP_MEMORY, 6);
		keeper_link_drop(link, KEEP_MEMORY, 1000000);
		keeper_link_store(link, KEEP_CELLS, 4, link);
		kill(getpid(), SIGKILL);
	}
	end(link, s->n_items == MANY && text_is(keeper_stored_take(s, KEEP_MEMORY, 4), "old") &&
			  text_is(keeper_stored_take(s, KEEP_MEMORY, 5), "new") &&
			  keeper_stored_take(s, KEEP_MEMORY, 6) < 0 &&
			  keeper_stored_take(s, KEEP_CELLS, 4) >= 0 &&
			  keeper_stored_take(s, KEEP_CELLS, 4) < 0);
}

static void play_crash(int link, struct keeper_stored *s)
{
	abort();
}

static void play_flood(int link, struct keeper_stored *s)
{
	static const char garbage[100];
	struct keeper_packet p = {.op = KEEPER_STORE, .kind = KEEP_CELLS, .key = 1};
	int fds[3] = {0, 1, 2};

	if (keeper_stored_take(s, KEEP_MEMORY, 1) >= 0)
		end(link, s->n_items == 1);
	for (int i = 0; i < 2000; i++) {
		fd_send(link, garbage, 3, fds, 3, 0);
		fd_send(link, garbage, sizeof(garbage), NULL, 0, 0);
		fd_send(link, &p, sizeof(p), NULL, 0, 0);
		fd_send(link, &p, sizeof(p), fds, 3, 0);
		p.op = KEEPER_STORE + (uint32_t)i % 3 * 1000;
	}
	store_text(link, 1, "x");
	kill(getpid(), SIGKILL);
}

/* Never reads what it is given. */
static void play_deaf(int link, struct keeper_stored *s)
{
	pause();
}

static void play_ready(int link, struct keeper_stored *s)
{
	keeper_link_ready(link);
	if (s->n_items == 0) {
		store_text(link, 1, "x");
		kill(getpid(), SIGKILL);
	}
	end(link, true);
}

/* Serves once; its successors lack something more often than a daemon may die. */
static void play_poor(int link, struct keeper_stored *s)
{
	if (s->n_items == 6)
		end(link, true);
	keeper_link_ready(link);
	store_text(link, s->n_items, "x");
	_exit(KEEPER_STATUS_SHORTAGE);
}

/* What an adopted keeper starts: it must have what the test stored. */
static void play_heir(int link, struct keeper_stored *s)
{
	end(link, s->n_items == 1 && text_is(keeper_stored_take(s, KEEP_MEMORY, 3), "left"));
}

static const struct {
	const char *name;
	void (*play)(int link, struct keeper_stored *stored);
	bool deaf;
} parts[] = {
	{"keeps", play_keeps, false},
	{"crash", play_crash, false},
	{"flood", play_flood, false},
	{"deaf", play_deaf, true},
	{"ready", play_ready, false},
	{"poor", play_poor, false},
	{"heir", play_heir, false},
};

static int play(const char *name, int link)
{
	struct keeper_stored stored = {0};

	for (size_t i = 0; i < ELEMENTS(parts); i++) {
		if (strcmp(parts[i].name, name))
			continue;
		if (!parts[i].deaf && keeper_link_receive(link, &stored) < 0)
			return 91;
		parts[i].play(link, &stored);
	}
	return 92;
}

/* The test's side */

static void on_ready(void *userdata)
{
	if (write(*(int *)userdata, "r", 1) != 1)
		_exit(93);
}

/* A keeper in a process of its own. n: entries that it has at the start; link: a socketpair, whose
 * second end is that of an adopted keeper. */
static pid_t keeper_start(const char *part, unsigned int n, int ready, const int link[2])
{
	const char *const argv[] = {"test-keeper", part, NULL};
	struct keeper_options options = {
		.argv = argv, .ready = ready >= 0 ? on_ready : NULL, .userdata = &ready};
	Keeper *k;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (keeper_new(&options, &k) < 0)
		_exit(94);
	for (unsigned int i = 0; i < n; i++)
		if (keeper_store(k, KEEP_MEMORY, i, text_new("x")) < 0)
			_exit(95);
	if (link) {
		close(link[0]);
		keeper_adopt(k, link[1]);
	}
	n = (unsigned int)keeper_run(k);
	keeper_free(k);
	_exit((int)n);
}

static int keeper_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void what_is_stored_comes_back_after_a_death(void **state)
{
	assert_int_equal(keeper_wait(keeper_start("keeps", 0, -1, NULL)), 7);
}

static void garbage_from_the_daemon_does_no_harm(void **state)
{
	assert_int_equal(keeper_wait(keeper_start("flood", 0, -1, NULL)), 7);
}

static void a_daemon_that_dies_at_every_start_is_given_up(void **state)
{
	uint64_t begin = clock_now();

	assert_int_equal(keeper_wait(keeper_start("crash", 0, -1, NULL)), EXIT_FAILURE);
	assert_true(clock_now() - begin > 500 * NSEC_PER_MSEC);
}

static void a_daemon_that_lacks_memory_is_started_until_there_is_some(void **state)
{
	assert_int_equal(keeper_wait(keeper_start("poor", 0, -1, NULL)), 7);
}

static void a_keeper_that_is_stopped_between_two_daemons_ends_well(void **state)
{
	pid_t pid = keeper_start("poor", 0, -1, NULL);

	/* in the pause of 800 ms after those of 200 and 400 */
	usleep(900000);
	kill(pid, SIGTERM);
	assert_int_equal(keeper_wait(pid), EXIT_SUCCESS);
}

static void a_daemon_that_does_not_read_does_not_stop_the_keeper(void **state)
{
	pid_t pid = keeper_start("deaf", MANY, -1, NULL);

	usleep(200000);
	kill(pid, SIGTERM);
	assert_int_equal(keeper_wait(pid), EXIT_SUCCESS);
}

static void ready_is_said_once(void **state)
{
	char got[4];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(keeper_wait(keeper_start("ready", 0, fds[1], NULL)), 7);
	close(fds[1]);
	assert_int_equal(read(fds[0], got, sizeof(got)), 1);
	close(fds[0]);
}

static void an_adopted_daemon_is_restarted_when_it_dies(void **state)
{
	int pair[2], pidfd, text = text_new("left");
	pid_t keeper, victim;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	keeper = keeper_start("heir", 0, -1, pair);
	close(pair[1]);
	victim = fork();
	if (victim == 0) {
		pause();
		_exit(0);
	}
	pidfd = (int)syscall(SYS_pidfd_open, victim, 0);
	keeper_link_store(pair[0], KEEPER_KIND_DAEMON, 0, pidfd);
	keeper_link_store(pair[0], KEEP_MEMORY, 3, text);
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	assert_int_equal(keeper_wait(keeper), 7);
	close(pair[0]);
	close(pidfd);
	close(text);
}

static void a_keeper_ends_when_its_daemon_hangs_up_before_it_said_who_it_is(void **state)
{
	int pair[2];
	pid_t keeper;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	keeper = keeper_start("heir", 0, -1, pair);
	close(pair[1]);
	close(pair[0]);
	assert_int_equal(keeper_wait(keeper), EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_comes_back_after_a_death),
		cmocka_unit_test(garbage_from_the_daemon_does_no_harm),
		cmocka_unit_test(a_daemon_that_dies_at_every_start_is_given_up),
		cmocka_unit_test(a_daemon_that_lacks_memory_is_started_until_there_is_some),
		cmocka_unit_test(a_keeper_that_is_stopped_between_two_daemons_ends_well),
		cmocka_unit_test(a_daemon_that_does_not_read_does_not_stop_the_keeper),
		cmocka_unit_test(ready_is_said_once),
		cmocka_unit_test(an_adopted_daemon_is_restarted_when_it_dies),
		cmocka_unit_test(a_keeper_ends_when_its_daemon_hangs_up_before_it_said_who_it_is),
	};

	if (argc == 4 && !strcmp(argv[2], "--daemon-fd"))
		return play(argv[1], atoi(argv[3]));
	fd_raise_limit(1u << 20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
