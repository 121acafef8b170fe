/* SPDX-License-Identifier: Apache-2.0 */
#include "client/locate.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "config.h"

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int set_path(struct locate_place *p, const char *format, const char *s, unsigned int uid)
{
	char path[256];
	int n = s ? snprintf(path, sizeof(path), format, s)
		  : snprintf(path, sizeof(path), format, uid);

	if (n < 0 || (size_t)n >= sizeof(p->socket))
		return -ENAMETOOLONG;
	memcpy(p->socket, path, (size_t)n + 1);
	return 0;
}

/* The user's own directory: $XDG_RUNTIME_DIR, /run/user/UID, or one of ours in /tmp. */
static int user_place(struct locate_place *p)
{
	const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();
	char run[64];

	p->may_spawn = true;
	if (xdg && xdg[0] == '/' && is_directory(xdg))
		return set_path(p, "%s/causeway/socket", xdg, 0);
	snprintf(run, sizeof(run), "/run/user/%u", uid);
	if (is_directory(run))
		return set_path(p, "%s/causeway/socket", run, 0);
	return set_path(p, "/tmp/causeway-%u/socket", NULL, uid);
}

int locate(struct locate_place *ret_place)
{
	const char *given = secure_getenv("CAUSEWAY_SOCKET");
	struct locate_place p = {0};
	int r;

	if (given && *given) {
		r = set_path(&p, "%s", given, 0);
	} else if (is_directory(LOCATE_SYSTEM_DIR)) {
		p.wait = true;
		r = set_path(&p, "%s/socket", LOCATE_SYSTEM_DIR, 0);
	} else {
		r = user_place(&p);
	}
	if (r == 0)
		*ret_place = p;
	return r;
}

unsigned int locate_all(struct locate_place places[4])
{
	const char *given = secure_getenv("CAUSEWAY_SOCKET");
	unsigned int n = 0;

	memset(places, 0, 4 * sizeof(*places));
	if (given && *given && set_path(&places[n], "%s", given, 0) == 0)
		n++;
	if (set_path(&places[n], "%s/socket", LOCATE_SYSTEM_DIR, 0) == 0)
		n++;
	if (user_place(&places[n]) == 0)
		n++;
	return n;
}

static bool trusted(uid_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[1024];

	if (uid == 0 || uid == geteuid())
		return true;
	return getpwnam_r("causeway", &pw, buf, sizeof(buf), &found) == 0 && found &&
	       found->pw_uid == uid;
}

int locate_dial(const char *socket_path, uint64_t timeout_ns, int *ret_sock)
{
	struct timeval tv = {.tv_sec = (time_t)(timeout_ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC)};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int s = -1;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (strlen(socket_path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, socket_path);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s < 0)
		return negative_errno();
	if (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
		setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return negative_errno();
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		return negative_errno();
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return negative_errno();
	if (!trusted(cred.uid))
		return -EACCES;
	*ret_sock = take_fd(&s);
	return 0;
}

/* Makes the directory of a socket that we may make, checks its owner. */
static int prepare_directory(const char *socket_path)
{
	char dir[108];
	struct stat st;
	char *slash;

	strcpy(dir, socket_path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return -EINVAL;
	*slash = 0;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return negative_errno();
	if (lstat(dir, &st) < 0)
		return negative_errno();
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return -EPERM;
	return 0;
}

/* In the process that becomes the daemon: everything of the program is left behind. */
static void become_daemon(const char *const argv[], int ready, int log)
{
	static char *env[] = {
		(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LANG=C.UTF-8", NULL};
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") < 0 || null < 0)
		_exit(127);
	/* above what is about to be overwritten */
	ready = fcntl(ready, F_DUPFD, 10);
	log = fcntl(log < 0 ? null : log, F_DUPFD, 10);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0 || dup2(ready, 3) < 0)
		_exit(127);
	syscall(SYS_close_range, 4, ~0u, 0);
	execve(argv[0], (char *const *)argv, env);
	_exit(127);
}

/*
 * Two forks, so that the daemon is nobody's child; both without a signal at their end, and without
 * running the program's atfork handlers.
 */
static int spawn_detached(const char *const argv[], int ready, int log)
{
	int status;
	pid_t pid;

	pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
	if (pid < 0)
		return negative_errno();
	if (pid == 0) {
		syscall(SYS_setsid);
		pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
		if (pid == 0)
			become_daemon(argv, ready, log);
		_exit(pid < 0);
	}
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return negative_errno();
	return status ? -EAGAIN : 0;
}

static int wait_ready(int fd, uint64_t timeout_ns)
{
	uint64_t end = clock_now() + timeout_ns;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	for (;;) {
		uint64_t now = clock_now();
		int n;

		if (now >= end)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((end - now) / NSEC_PER_MSEC) + 1);
		if (n < 0 && errno != EINTR)
			return negative_errno();
		if (n > 0)
			return read(fd, &c, 1) == 1 ? 0 : -ECHILD;
	}
}

static int spawn_locked(const char *socket_path, int log, uint64_t timeout_ns)
{
	const char *given = secure_getenv("CAUSEWAY_DAEMON");
	const char *argv[] = {given ? given : CAUSEWAY_DAEMON_PATH, "--embedded", "--socket",
		socket_path, "--ready-fd", "3", NULL};
	_cleanup_close_ int reader = -1, writer = -1;
	int pipefd[2], r;

	if (access(argv[0], X_OK) < 0)
		return -ENOENT;
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return negative_errno();
	reader = pipefd[0];
	writer = pipefd[1];
	r = spawn_detached(argv, writer, log);
	if (r < 0)
		return r;
	writer = fd_close(writer);
	return wait_ready(reader, timeout_ns);
}

/* Opens NAME beside the socket. */
static int open_beside(const char *socket_path, const char *name, int flags)
{
	char path[128];
	int fd;

	strcpy(path, socket_path);
	snprintf(strrchr(path, '/'), 20, "/%s", name);
	fd = open(path, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? negative_errno() : fd;
}

int locate_spawn(const char *socket_path, uint64_t timeout_ns)
{
	uint64_t end = clock_now() + timeout_ns;
	_cleanup_close_ int lock = -1, log = -1, sock = -1;
	int r;

	if (getauxval(AT_SECURE))
		return -EPERM;
	r = prepare_directory(socket_path);
	if (r < 0)
		return r;
	lock = open_beside(socket_path, "spawn.lock", O_RDWR);
	if (lock < 0)
		return lock;
	while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return negative_errno();
		if (clock_now() > end)
			return -ETIMEDOUT;
		usleep(5000);
	}
	/* somebody else may have been faster */
	if (locate_dial(socket_path, timeout_ns, &sock) == 0)
		return 0;
	log = open_beside(socket_path, "causewayd.log", O_WRONLY | O_APPEND);
	return spawn_locked(socket_path, log, timeout_ns);
}
