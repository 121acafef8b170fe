/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	TIME_LIMIT = 20000,
	EXIT_FAILED = 1,
	EXIT_SKIPPED = 77,
};

static atomic_int n_failures;

int64_t rig_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void rig_sleep(int milliseconds)
{
	int64_t end = rig_now() + milliseconds;

	/* A signal must not shorten it. */
	for (int64_t left = milliseconds; left > 0; left = end - rig_now())
		poll(NULL, 0, (int)left);
}

void rig_failed(const char *file, int line, const char *text)
{
	atomic_fetch_add(&n_failures, 1);
	dprintf(STDOUT_FILENO, "# %s:%d: %s\n", file, line, text);
}

void rig_check(const char *file, int line, const char *what, bool holds)
{
	if (!holds)
		rig_failed(file, line, what);
}

void rig_equal(const char *file, int line, const char *l, const char *r, uint64_t a, uint64_t b)
{
	char text[512];

	if (a == b)
		return;
	snprintf(text, sizeof(text), "%.200s is %#jx, %.200s is %#jx", l, (uintmax_t)a, r,
		(uintmax_t)b);
	rig_failed(file, line, text);
}

void rig_need(const char *file, int line, const char *what, int got)
{
	char text[512];

	if (got == 0)
		return;
	snprintf(text, sizeof(text), "%.300s: is %#x, cannot go on", what, (unsigned int)got);
	rig_failed(file, line, text);
	_exit(EXIT_FAILED);
}

void rig_skip(const char *reason)
{
	dprintf(STDOUT_FILENO, "# skipped: %s\n", reason);
	_exit(EXIT_SKIPPED);
}

void rig_skip_under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
	rig_skip("TSan has a thread and system calls of its own");
#endif
}

/* The exit status of a child, or -1 when its time is over. */
static int await(pid_t pid, int64_t end)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (rig_now() > end)
			return -1;
		rig_sleep(1);
	}
	return status;
}

static int run_one(const rig_test_t *test)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		test->run();
		_exit(n_failures ? EXIT_FAILED : 0);
	}
	if (pid < 0)
		return EXIT_FAILED;
	setpgid(pid, pid);
	status = await(pid, rig_now() + TIME_LIMIT);
	/* The test is over: so are its agents and children, which are in its group. */
	kill(-pid, SIGKILL);
	if (status == -1) {
		waitpid(pid, &status, 0);
		printf("# no end within %d ms\n", TIME_LIMIT);
		return EXIT_FAILED;
	}
	if (WIFSIGNALED(status)) {
		printf("# killed by signal %d\n", WTERMSIG(status));
		return EXIT_FAILED;
	}
	return WEXITSTATUS(status);
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc <= 1;
}

int rig_main(const rig_test_t *tests, size_t n_tests, int argc, char **argv)
{
	int n_failed = 0;

	printf("1..%zu\n", n_tests);
	for (size_t i = 0; i < n_tests; i++) {
		int result = wanted(tests[i].name, argc, argv) ? run_one(&tests[i]) : EXIT_SKIPPED;

		printf("%s %zu - %s%s\n", result == 0 || result == EXIT_SKIPPED ? "ok" : "not ok",
			i + 1, tests[i].name, result == EXIT_SKIPPED ? " # SKIP" : "");
		n_failed += result != 0 && result != EXIT_SKIPPED;
	}
	return n_failed > 0;
}

/* other processes */

static int toward[2], from[2];

static rig_peer_t start(int node, void (*part)(void *data), void *data)
{
	char name[32];
	const char *socket;
	rig_peer_t peer;
	int down[2], up[2];

	NEED_TRUE(pipe(down) == 0 && pipe(up) == 0);
	peer = (rig_peer_t){.to = down[1], .from = up[0], .pid = fork()};
	NEED_TRUE(peer.pid >= 0);
	if (peer.pid == 0) {
		n_failures = 0;
		toward[1] = up[1];
		from[0] = down[0];
		close(down[1]);
		close(up[0]);
		snprintf(name, sizeof(name), "RIG_NODE%d_SOCKET", node);
		socket = node ? getenv(name) : NULL;
		if (socket)
			setenv("CAUSEWAY_SOCKET", socket, 1);
		part(data);
		_exit(n_failures ? EXIT_FAILED : 0);
	}
	close(down[0]);
	close(up[1]);
	return peer;
}

rig_peer_t rig_here(void (*part)(void *data), void *data)
{
	return start(0, part, data);
}

rig_peer_t rig_there(int node, void (*part)(void *data), void *data)
{
	char name[32];

	snprintf(name, sizeof(name), "RIG_NODE%d_SOCKET", node);
	if (!getenv(name))
		rig_skip("needs several nodes");
	return start(node, part, data);
}

static unsigned int hear(int fd)
{
	unsigned int value;

	if (read(fd, &value, sizeof(value)) != sizeof(value))
		NEED_TRUE(!"the other process ended");
	return value;
}

static void tell(int fd, unsigned int value)
{
	NEED_TRUE(write(fd, &value, sizeof(value)) == sizeof(value));
}

void rig_tell(rig_peer_t peer, unsigned int value)
{
	tell(peer.to, value);
}

unsigned int rig_hear(rig_peer_t peer)
{
	return hear(peer.from);
}

void rig_tell_parent(unsigned int value)
{
	tell(toward[1], value);
}

unsigned int rig_hear_parent(void)
{
	unsigned int value;

	return read(from[0], &value, sizeof(value)) == sizeof(value) ? value : 0;
}

void rig_end(rig_peer_t peer)
{
	close(peer.to);
	close(peer.from);
	rig_join(peer.pid);
}

void rig_kill(rig_peer_t peer)
{
	kill(peer.pid, SIGKILL);
	waitpid(peer.pid, NULL, 0);
	close(peer.to);
	close(peer.from);
}

void rig_cluster(const char *what)
{
	const char *command = getenv(what);

	if (!command)
		rig_skip("needs several nodes of this implementation");
	NEED_TRUE(system(command) == 0);
}

pid_t rig_fork(void (*part)(void *data), void *data)
{
	pid_t child = fork();

	if (child == 0) {
		n_failures = 0;
		part(data);
		_exit(n_failures ? EXIT_FAILED : 0);
	}
	NEED_TRUE(child > 0);
	return child;
}

void rig_join(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		dprintf(STDOUT_FILENO, "# child killed by signal %d\n", WTERMSIG(status));
	rig_check(__FILE__, __LINE__, "a child failed", status == 0);
}

void rig_in_child(void (*part)(void *data), void *data)
{
	rig_join(rig_fork(part, data));
}
