/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway run: a node of its own for one command. Signals are blocked here and read from a
 * descriptor, so that nothing interrupts the clean-up; the children get the mask back that we
 * found.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/execute.h"
#include "cli/private-node.h"
#include "cli/table.h"

#define EXIT_SIGNAL 128

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* Blocks what we forward, and SIGCHLD; a descriptor for both. */
static int watch_signals(sigset_t *ret_old, int *ret_fd)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (unsigned int i = 0; i < ELEMENTS(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, ret_old) < 0) {
		fd_close(fd);
		return negative_errno();
	}
	*ret_fd = fd;
	return 0;
}

/* A signalfd for what ends us, without SIGCHLD: the daemon's death shows in its pipe. */
static int watch_stop(int *ret_fd)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (unsigned int i = 0; i < ELEMENTS(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return negative_errno();
	*ret_fd = fd;
	return 0;
}

/* In the child: never returns. */
static void become_command(char **args, const char *socket, const sigset_t *mask)
{
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (setenv("CAUSEWAY_SOCKET", socket, 1) < 0)
		_exit(cli_fail("out of memory"));
	_exit(execute(args));
}

static int status_of(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? info->si_status : EXIT_SIGNAL + info->si_status;
}

/* What came from the terminal reached the command too: it is in our process group. */
static void forward(int signals, pid_t pid)
{
	struct signalfd_siginfo s;

	while (read(signals, &s, sizeof(s)) == sizeof(s))
		if (s.ssi_signo != SIGCHLD && s.ssi_code != SI_KERNEL)
			kill(pid, (int)s.ssi_signo);
}

/* Waits for pid alone: the node's processes stay to be waited for by their group. */
static int wait_command(pid_t pid, int signals)
{
	struct pollfd p = {.fd = signals, .events = POLLIN};
	siginfo_t info = {0};

	for (;;) {
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) < 0)
			return cli_fail("cannot wait for the command: %s", strerror(errno));
		if (info.si_pid == pid)
			return status_of(&info);
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return cli_fail("cannot wait for the command: %s", strerror(errno));
		forward(signals, pid);
	}
}

static int run_command(char **args, const char *socket, int signals, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid < 0)
		return cli_fail("cannot start a process: %s", strerror(errno));
	if (pid == 0)
		become_command(args, socket, mask);
	return wait_command(pid, signals);
}

static void report(const char *socket, int status)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "socket", json_object_new_string(socket));
	json_object_object_add(root, "exit_status", json_object_new_int(status));
	json_print(root, stderr);
}

int run_run(const struct invocation *in)
{
	_cleanup_close_ int signals = -1, stop = -1;
	struct private_node node = {0};
	sigset_t old;
	int r;

	r = watch_signals(&old, &signals);
	if (r == 0)
		r = watch_stop(&stop);
	if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		r = negative_errno();
	if (r < 0)
		return cli_fail("cannot prepare to run a command: %s", strerror(-r));
	r = private_node_start(&node, in->option[OPTION_VERBOSE], stop);
	if (r == 0) {
		r = run_command(in->args, node.socket, signals, &old);
		if (in->option[OPTION_JSON])
			report(node.socket, r);
	}
	private_node_end(&node);
	return r;
}
