/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/private-node.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/daemon-start.h"

#define END_TIMEOUT (10 * NSEC_PER_SEC) /* then SIGKILL */
#define LOG_NAME    "/log"

/* A runtime directory is used only if it is ours: somebody else could take ours away in it. */
static bool is_own_dir(const char *path)
{
	struct stat st;

	return path && path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

static int make_dir(struct private_node *n)
{
	static const char name[] = "/causeway-run.XXXXXX";
	const char *parent = getenv("XDG_RUNTIME_DIR");
	char dir[sizeof(n->dir)];

	if (!is_own_dir(parent) || strlen(parent) + sizeof(name) > sizeof(dir))
		parent = "/tmp";
	snprintf(dir, sizeof(dir), "%s%s", parent, name);
	if (!mkdtemp(dir))
		return cli_fail(
			"cannot make a directory for the node in %s: %s", parent, strerror(errno));
	strcpy(n->dir, dir);
	snprintf(n->socket, sizeof(n->socket), "%s/socket", dir);
	return 0;
}

/* In the child; parent is who must live. */
static void become_daemon(const struct daemon_start *s, pid_t parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
	daemon_exec(s);
}

int private_node_start(struct private_node *n, bool verbose, int stop)
{
	_cleanup_close_ int reader = -1, writer = -1;
	char path[PATH_MAX], log[sizeof(n->dir) + sizeof(LOG_NAME)];
	struct daemon_start start = {
		.path = daemon_path(path), .socket = n->socket, .log = verbose ? NULL : log};
	pid_t self = getpid(), pid;
	int pipe_fds[2], r;

	r = make_dir(n);
	if (r)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cli_fail("cannot make a pipe: %s", strerror(errno));
	reader = pipe_fds[0];
	writer = start.ready = pipe_fds[1];
	snprintf(log, sizeof(log), "%s" LOG_NAME, n->dir);
	pid = fork();
	if (pid < 0)
		return cli_fail("cannot start a process: %s", strerror(errno));
	if (pid == 0)
		become_daemon(&start, self);
	setpgid(pid, pid); /* the child does the same: whoever comes first */
	n->group = pid;
	writer = fd_close(writer);
	return daemon_wait_ready(&start, reader, stop);
}

/* Waits until the group has no member left, at most until end. True: none is left. */
static bool wait_group(pid_t group, uint64_t end)
{
	const struct timespec pause = {.tv_nsec = 2 * NSEC_PER_MSEC};

	for (;;) {
		pid_t r = waitpid(-group, NULL, WNOHANG);

		if (r < 0 && errno == ECHILD)
			return true;
		if (r > 0)
			continue;
		if (clock_now() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void private_node_end(struct private_node *n)
{
	/* The group's number is taken as long as its leader has not been waited for. */
	if (n->group) {
		kill(-n->group, SIGTERM);
		if (!wait_group(n->group, clock_now() + END_TIMEOUT)) {
			cli_fail("the node did not end within 10 s and was killed");
			kill(-n->group, SIGKILL);
			wait_group(n->group, clock_now() + END_TIMEOUT);
		}
	}
	if (n->dir[0] && nftw(n->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		cli_fail("cannot remove %s: %s", n->dir, strerror(errno));
	*n = (struct private_node){0};
}
