/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/listen.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/log.h"

#define LOCK_PATH_MAX (LISTEN_PATH_MAX + sizeof(".lock"))

/* The directory, ours and nobody else's to write. */
static int directory_make(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		int r = negative_errno();

		log_error("the directory %s cannot be made: %s", path, strerror(-r));
		return r;
	}
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
		(st.st_mode & 022)) {
		log_error("%s is not a directory that only you may write to; remove it or choose "
			  "another place with --socket",
			path);
		return -EPERM;
	}
	/* mkdir obeys the umask */
	return chmod(path, mode) < 0 ? negative_errno() : 0;
}

static int user_directory(char *path, size_t size)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	if (runtime && runtime[0] == '/') {
		n = snprintf(path, size, "%s/causeway", runtime);
	} else {
		n = snprintf(path, size, "/run/user/%u", geteuid());
		if (stat(path, &st) == 0)
			n = snprintf(path, size, "/run/user/%u/causeway", geteuid());
		else
			n = snprintf(path, size, "/tmp/causeway-%u", geteuid());
	}
	if (n < 0 || (size_t)n >= size) {
		log_error("XDG_RUNTIME_DIR is too long for a socket; use --socket");
		return -ENAMETOOLONG;
	}
	return directory_make(path, 0700);
}

int listen_default_path(char path[LISTEN_PATH_MAX])
{
	char directory[LISTEN_PATH_MAX - sizeof("/socket")];
	int r;

	if (geteuid() == 0) {
		strcpy(directory, "/run/causeway");
		r = directory_make(directory, 0755);
	} else {
		r = user_directory(directory, sizeof(directory));
	}
	if (r == 0)
		snprintf(path, LISTEN_PATH_MAX, "%s/socket", directory);
	return r;
}

static void lock_path(const char *path, char lock[LOCK_PATH_MAX])
{
	snprintf(lock, LOCK_PATH_MAX, "%s.lock", path);
}

static void say_locked(const char *path, int lock)
{
	char pid[16] = "";
	ssize_t n = pread(lock, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = 0;
	pid[strcspn(pid, "\n")] = 0;
	log_error("another node (pid %s) already serves %s; stop it, or give this one another "
		  "--socket",
		pid[0] ? pid : "unknown", path);
}

/* Locks a file that is still there when it is locked: its last owner removes it. */
static int lock_take(const char *path, int *ret_lock)
{
	char name[LOCK_PATH_MAX];
	int r;

	lock_path(path, name);
	for (;;) {
		_cleanup_close_ int fd =
			open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat opened, named;

		if (fd < 0) {
			r = negative_errno();
			log_error("the lock file %s cannot be opened: %s", name, strerror(-r));
			return r;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			r = negative_errno();
			say_locked(path, fd);
			return r;
		}
		if (fstat(fd, &opened) == 0 && stat(name, &named) == 0 &&
			opened.st_ino == named.st_ino && opened.st_dev == named.st_dev) {
			*ret_lock = take_fd(&fd);
			return 0;
		}
	}
}

static int remove_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : negative_errno();
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s exists and is not a socket; remove it, or choose another --socket",
			path);
		return -EEXIST;
	}
	return unlink(path) < 0 ? negative_errno() : 0;
}

static int socket_open(const char *path, int *ret_listen)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int r;

	strcpy(address.sun_path, path);
	r = remove_stale(path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return negative_errno();
	/* Whoever has not said hello has nothing to give. */
	fd_let_pass(fd, false);
	/* Everybody may connect to root's node; who somebody is, the kernel says. */
	if (chmod(path, geteuid() == 0 ? 0666 : 0600) < 0 || listen(fd, SOMAXCONN) < 0)
		return negative_errno();
	*ret_listen = take_fd(&fd);
	return 0;
}

int listen_open(const char *path, int *ret_lock, int *ret_listen)
{
	char name[LOCK_PATH_MAX];
	_cleanup_close_ int lock = -1;
	int r;

	if (strlen(path) >= LISTEN_PATH_MAX) {
		log_error("the socket's path is longer than %zu characters: %s",
			LISTEN_PATH_MAX - 1, path);
		return -ENAMETOOLONG;
	}
	r = lock_take(path, &lock);
	if (r < 0)
		return r;
	listen_sign(lock);
	r = socket_open(path, ret_listen);
	if (r < 0) {
		log_error("cannot listen on %s: %s", path, strerror(-r));
		lock_path(path, name);
		unlink(name);
		return r;
	}
	*ret_lock = take_fd(&lock);
	return 0;
}

void listen_sign(int lock)
{
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%d\n", getpid());

	if (ftruncate(lock, 0) < 0 || pwrite(lock, pid, (size_t)n, 0) != n)
		log_warning("the pid could not be written to the lock file");
}

void listen_remove(const char *path)
{
	char name[LOCK_PATH_MAX];

	lock_path(path, name);
	unlink(path);
	unlink(name);
}
