/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of where this process runs: sandbox, tracing, the directory of the socket. */
#include "cli/doctor.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

/* tracing */

/* A child attaches to us, as a helper does that holds other threads still. 0 or the errno. */
static int try_tracing(void)
{
	int go[2], status, error = 0;
	pid_t child, parent = getpid();
	char c;

	if (pipe2(go, O_CLOEXEC) < 0)
		return errno;
	child = fork();
	if (child == 0) {
		if (read(go[0], &c, 1) != 1)
			_exit(EIO);
		_exit(ptrace(PTRACE_SEIZE, parent, NULL, NULL) == 0 ? 0 : errno);
	}
	if (child < 0) {
		error = errno;
	} else {
		(void)prctl(PR_SET_PTRACER, child, 0, 0, 0); /* only Yama knows it */
		if (write(go[1], "", 1) != 1)
			error = errno;
	}
	fd_close(go[0]);
	fd_close(go[1]);
	if (child > 0 && waitpid(child, &status, 0) == child && !error)
		error = WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
	(void)prctl(PR_SET_PTRACER, 0, 0, 0, 0);
	return error;
}

/* The value of "NAME:" in a file of such lines, without blanks before it; false: none. */
static bool read_field(const char *path, const char *name, char *buf, size_t size)
{
	FILE *in = fopen(path, "re");
	size_t n = strlen(name);
	bool found = false;
	char line[512];

	while (in && !found && fgets(line, sizeof(line), in)) {
		if (strncmp(line, name, n) || line[n] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(buf, size, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
		found = true;
	}
	if (in)
		fclose(in);
	return found;
}

void check_tracing(struct doctor *d, struct finding *f)
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	char scope[8] = "", text[48] = "";
	int error = try_tracing();

	if (fd >= 0 && read(fd, scope, 1) == 1)
		snprintf(text, sizeof(text), "; kernel.yama.ptrace_scope = %s", scope);
	if (!error)
		finding_set(
			f, VERDICT_OK, NULL, "the threads of a program can be held still%s", text);
	else
		finding_set(f, VERDICT_WARNING,
			"sysctl kernel.yama.ptrace_scope=1, allow ptrace in the container's "
			"seccomp "
			"profile, end a debugger that is attached; or let the program export "
			"before it "
			"starts threads",
			"ptrace: %s: programs with several threads cannot export memory that "
			"userfaultfd does not take, such as variables of the program%s",
			strerror(error), text);
}

/* sandbox */

static bool in_user_namespace(void)
{
	unsigned int inside = 1, outside = 1, n = 0;
	FILE *in = fopen("/proc/self/uid_map", "re");
	bool whole = !in || (fscanf(in, "%u %u %u", &inside, &outside, &n) == 3 && !inside &&
				    !outside && n == UINT32_MAX);

	if (in)
		fclose(in);
	return !whole;
}

static uid_t overflow_uid(void)
{
	FILE *in = fopen("/proc/sys/kernel/overflowuid", "re");
	unsigned int uid = 65534;

	if (in) {
		if (fscanf(in, "%u", &uid) != 1)
			uid = 65534;
		fclose(in);
	}
	return uid;
}

void check_sandbox(struct doctor *d, struct finding *f)
{
	char seccomp[8] = "0", privileges[8] = "0", pids[128] = "";
	bool ns = in_user_namespace();

	(void)read_field("/proc/self/status", "Seccomp", seccomp, sizeof(seccomp));
	(void)read_field("/proc/self/status", "NoNewPrivs", privileges, sizeof(privileges));
	(void)read_field("/proc/self/status", "NSpid", pids, sizeof(pids));
	if (ns && !d->connected)
		finding_set(f, VERDICT_WARNING,
			"start a daemon inside; or run the program in the daemon's user and pid "
			"namespace",
			"this is a user namespace: a daemon outside whose user does not exist here "
			"(it "
			"looks like user %u) is not trusted",
			overflow_uid());
	else
		finding_set(f, VERDICT_OK, NULL,
			"seccomp: %s; no_new_privs: %s; %s user namespace%s",
			seccomp[0] == '0' ? "none" : "a filter: what it forbids fails above",
			privileges[0] == '0' ? "no" : "yes (set-user-ID programs get no rights)",
			ns ? "a" : "no", strpbrk(pids, " \t") ? "; an inner pid namespace" : "");
}

/* the directory of the socket */

static bool is_trusted(uid_t uid)
{
	const struct passwd *pw = getpwnam("causeway");

	return uid == 0 || uid == geteuid() || (pw && pw->pw_uid == uid);
}

/* Where the node's socket is, or where one would be made. */
static void socket_directory(const struct doctor *d, char dir[128])
{
	struct cw_attempt attempts[8];
	const char *socket = d->node.connection.socket, *slash;
	unsigned int n;

	if (!d->connected) {
		n = cw_attempts(attempts, ELEMENTS(attempts));
		socket = n ? attempts[n - 1].socket : "";
	}
	slash = strrchr(socket, '/');
	snprintf(dir, 128, "%.*s", slash ? (int)(slash - socket) : 0, socket);
}

/* There is none yet: can it be made? */
static void check_parent(const char *dir, struct finding *f)
{
	const char *slash = strrchr(dir, '/');
	char parent[128];

	snprintf(parent, sizeof(parent), "%.*s", slash && slash > dir ? (int)(slash - dir) : 1,
		slash ? dir : ".");
	if (access(parent, W_OK | X_OK) < 0)
		finding_set(f, VERDICT_FAILED,
			"log in with a session that sets XDG_RUNTIME_DIR, or start causewayd as "
			"root",
			"%s cannot be made in %s: %s", dir, parent, strerror(errno));
	else
		finding_set(f, VERDICT_OK, NULL, "%s does not exist, can be made", dir);
}

static bool is_full(const char *dir)
{
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		return false;
	return (fs.f_blocks && !fs.f_bavail) || (fs.f_files && !fs.f_favail) ||
	       fs.f_flag & ST_RDONLY;
}

void check_runtime_directory(struct doctor *d, struct finding *f)
{
	enum verdict bad = d->connected ? VERDICT_WARNING : VERDICT_FAILED;
	char dir[128], user[64];
	struct stat st;

	socket_directory(d, dir);
	if (lstat(dir, &st) < 0)
		check_parent(dir, f);
	else if (!S_ISDIR(st.st_mode) || !is_trusted(st.st_uid))
		finding_set(f, bad,
			"remove it, or set CAUSEWAY_SOCKET to a path in a directory of yours",
			"%s is %s's%s: not trusted", dir, user_name(st.st_uid, user),
			S_ISDIR(st.st_mode) ? "" : " and no directory");
	else if ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))
		finding_set(f, bad, "chmod go-w that directory",
			"others may replace the socket: %s has the mode %04o", dir,
			st.st_mode & 07777);
	else if (is_full(dir))
		finding_set(f, VERDICT_WARNING, "make room, or mount it writable",
			"%s is full or read-only: no daemon can be started there", dir);
	else
		finding_set(f, VERDICT_OK, NULL, "%s, of %s, mode %04o", dir,
			user_name(st.st_uid, user), st.st_mode & 07777);
}
