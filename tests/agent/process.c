/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the process itself: fork, exec, identity, limits, signals. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t n_sigchld;

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		_exit(3);
	return s;
}

/* fork SOCKET → pid: the child takes its requests from a stream socket that listens there */
static void fork_agent(struct request *q)
{
	pid_t pid = fork();

	if (pid == 0) {
		agent_move(dial(q->argument[0]));
		q->answered = true; /* by the parent */
		return;
	}
	answer(q, pid < 0 ? AGENT_BAD_REQUEST : 0, "%d", (int)pid);
}

/* reap PID → wait status */
static void reap(struct request *q)
{
	int status = -1;
	pid_t pid = waitpid((pid_t)number(q, 0), &status, 0);

	answer(q, pid < 0 ? errno : 0, "%d", status);
}

/* exec: the program starts anew, its answer is that of the new one's first request */
static void exec_agent(struct request *q)
{
	answer(q, 0, NULL);
	execl("/proc/self/exe", "agent", (char *)NULL);
	_exit(4);
}

/* exit: as programs end, with everything still open */
static void exit_agent(struct request *q)
{
	answer(q, 0, NULL);
	exit(0);
}

/* seteuid UID, setegid GID, setresuid UID → errno */
static void set_euid(struct request *q)
{
	int r = seteuid((uid_t)number(q, 0)) ? errno : 0;

	prctl(PR_SET_DUMPABLE, 1); /* the test reads our /proc */
	answer(q, r, NULL);
}

static void set_egid(struct request *q)
{
	int r = setegid((gid_t)number(q, 0)) ? errno : 0;

	prctl(PR_SET_DUMPABLE, 1);
	answer(q, r, NULL);
}

static void set_resuid(struct request *q)
{
	uid_t u = (uid_t)number(q, 0);
	int r = setresuid(u, u, u) ? errno : 0;

	prctl(PR_SET_DUMPABLE, 1);
	answer(q, r, NULL);
}

/* descriptors N: how many the process may have */
static void descriptors(struct request *q)
{
	struct rlimit l = {.rlim_cur = number(q, 0), .rlim_max = number(q, 0)};

	answer(q, setrlimit(RLIMIT_NOFILE, &l) ? errno : 0, NULL);
}

/* use_descriptors, free_descriptors: all that are left are used up, and given back */
static int used[4096];
static int n_used;

static void use_descriptors(struct request *q)
{
	while (n_used < 4096 && (used[n_used] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n_used++;
	answer(q, 0, "%d", n_used);
}

static void free_descriptors(struct request *q)
{
	while (n_used)
		close(used[--n_used]);
	answer(q, 0, NULL);
}

/* setenv NAME VALUE, unsetenv NAME */
static void set_environment(struct request *q)
{
	answer(q, setenv(q->argument[0], q->argument[1], 1), NULL);
}

static void unset_environment(struct request *q)
{
	answer(q, unsetenv(q->argument[0]), NULL);
}

static void count_sigchld(int sig)
{
	n_sigchld++;
}

/* watch_children: from now on SIGCHLD is counted */
static void watch_children(struct request *q)
{
	struct sigaction sa = {.sa_handler = count_sigchld, .sa_flags = SA_RESTART};

	answer(q, sigaction(SIGCHLD, &sa, NULL), NULL);
}

/* children → SIGCHLDs counted, children that are or were there */
static void children(struct request *q)
{
	int n = 0;

	while (waitpid(-1, NULL, WNOHANG | __WALL) >= 0)
		if (++n > 100)
			break;
	answer(q, 0, "%d %d", (int)n_sigchld, n);
}

static void nothing(int sig)
{
}

/* catch: SIGUSR1 interrupts and does nothing */
static void catch_signal(struct request *q)
{
	struct sigaction sa = {.sa_handler = nothing};

	answer(q, sigaction(SIGUSR1, &sa, NULL), NULL);
}

/* pid → pid, euid */
static void who(struct request *q)
{
	answer(q, 0, "%d %d", (int)getpid(), (int)geteuid());
}

const struct verb process_verbs[] = {
	{"fork", fork_agent},
	{"reap", reap},
	{"exec", exec_agent},
	{"exit", exit_agent},
	{"seteuid", set_euid},
	{"setegid", set_egid},
	{"setresuid", set_resuid},
	{"descriptors", descriptors},
	{"use_descriptors", use_descriptors},
	{"free_descriptors", free_descriptors},
	{"setenv", set_environment},
	{"unsetenv", unset_environment},
	{"watch_children", watch_children},
	{"children", children},
	{"catch", catch_signal},
	{"who", who},
	{NULL, NULL},
};
