/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/private-node.h"

#include <config.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
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

#define START_TIMEOUT_MS 10000
#define END_TIMEOUT	 (10 * NSEC_PER_SEC) /* then SIGKILL */
#define LOG_NAME	 "/log"

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

/* The causewayd to start: the one that the environment names, else the one beside this tool, else
 * the one that was installed with it. */
static const char *find_daemon(char buf[PATH_MAX])
{
	const char *given = secure_getenv("CAUSEWAY_DAEMON");
	ssize_t len = readlink("/proc/self/exe", buf, PATH_MAX - sizeof("causewayd"));
	char *slash;

	if (given)
		return given;
	if (len > 0) {
		buf[len] = '\0';
		slash = strrchr(buf, '/');
		strcpy(slash + 1, "causewayd");
		if (access(buf, X_OK) == 0)
			return buf;
	}
	return CAUSEWAY_DAEMON_PATH;
}

/* In the child; parent is who must live. */
static void become_daemon(
	const struct private_node *n, const char *path, int ready, bool verbose, pid_t parent)
{
	char fd_text[16], log_path[sizeof(n->dir) + sizeof(LOG_NAME)];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = STDERR_FILENO;
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
	if (!verbose) {
		snprintf(log_path, sizeof(log_path), "%s" LOG_NAME, n->dir);
		log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
		dup2(null, STDOUT_FILENO) < 0 || fcntl(ready, F_SETFD, 0) < 0)
		_exit(EXIT_FAILED);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(fd_text, sizeof(fd_text), "%d", ready);
	execl(path, path, "--socket", n->socket, "--ready-fd", fd_text, (char *)NULL);
	cli_fail("cannot execute %s: %s", path, strerror(errno));
	_exit(EXIT_FAILED);
}

/* Shows why it did not start. */
static int show_log(const struct private_node *n, const char *path, const char *what)
{
	char log_path[sizeof(n->dir) + sizeof(LOG_NAME)], line[512];
	FILE *log;

	cli_fail("%s %s%s", path, what,
		access(path, X_OK) < 0 ? "; set CAUSEWAY_DAEMON to the causewayd to use" : "");
	snprintf(log_path, sizeof(log_path), "%s" LOG_NAME, n->dir);
	log = fopen(log_path, "re");
	while (log && fgets(line, sizeof(line), log))
		fprintf(stderr, "  %s", line);
	if (log)
		fclose(log);
	return EXIT_FAILED;
}

static int wait_ready(const struct private_node *n, const char *path, int ready, int stop)
{
	struct pollfd fds[] = {{.fd = ready, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
	uint64_t end = clock_now() + START_TIMEOUT_MS * NSEC_PER_MSEC, now;
	char byte;
	int r = 0;

	while (r == 0 && (now = clock_now()) < end) {
		r = poll(fds, ELEMENTS(fds), (int)((end - now) / NSEC_PER_MSEC) + 1);
		if (r < 0 && errno == EINTR)
			r = 0;
	}
	if (r < 0)
		return cli_fail("cannot wait for causewayd: %s", strerror(errno));
	if (r == 0)
		return show_log(n, path, "is not ready after 10 s");
	if (fds[1].revents)
		return cli_fail("interrupted before the node was ready");
	if (read(ready, &byte, 1) != 1)
		return show_log(n, path, "ended before it was ready");
	return 0;
}

int private_node_start(struct private_node *n, bool verbose, int stop)
{
	_cleanup_close_ int reader = -1, writer = -1;
	char buf[PATH_MAX];
	const char *path = find_daemon(buf);
	pid_t self = getpid(), pid;
	int pipe_fds[2], r;

	r = make_dir(n);
	if (r)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cli_fail("cannot make a pipe: %s", strerror(errno));
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return cli_fail("cannot start a process: %s", strerror(errno));
	if (pid == 0)
		become_daemon(n, path, writer, verbose, self);
	setpgid(pid, pid); /* the child does the same: whoever comes first */
	n->group = pid;
	writer = fd_close(writer);
	return wait_ready(n, path, reader, stop);
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
