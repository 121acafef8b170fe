/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/identity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/error.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/*
 * Ids that our user namespace does not know are shown to us as the overflow id, which may be
 * somebody else's here. Where all ids are known it is a user like any other.
 */
struct unknown {
	bool some;
	uint32_t id; /* is how they are shown */
};

static struct unknown unknown_ids(const char *map, const char *overflow)
{
	struct unknown u = {true, 65534};
	uint32_t inside, outside, n;
	FILE *f = fopen(map, "re");

	if (f) {
		u.some = fscanf(f, "%" SCNu32 "%" SCNu32 "%" SCNu32, &inside, &outside, &n) != 3 ||
			 inside != 0 || outside != 0 || n != UINT32_MAX;
		fclose(f);
	}
	f = fopen(overflow, "re");
	if (f) {
		if (fscanf(f, "%" SCNu32, &n) == 1)
			u.id = n;
		fclose(f);
	}
	return u;
}

static bool is_unknown(const struct unknown *u, uint32_t id)
{
	return u->some && id == u->id;
}

/* A group that is not known here cannot be named here: it gives and takes no rights. */
static void drop_unknown_groups(const struct unknown *u, struct engine_identity *identity)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < identity->n_groups; i++)
		if (!is_unknown(u, identity->groups[i]))
			identity->groups[n++] = identity->groups[i];
	identity->n_groups = n;
}

static int check_ids(struct engine_identity *identity)
{
	static struct unknown users, groups;
	static bool known;

	if (!known) {
		users = unknown_ids("/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
		groups = unknown_ids("/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
		known = true;
	}
	if (is_unknown(&users, identity->uid) || is_unknown(&groups, identity->gid))
		return -EACCES;
	drop_unknown_groups(&groups, identity);
	return 0;
}

/* -E2BIG: more than we keep. A group can also take rights away, so none may be left out. */
static int get_groups(int socket, struct engine_identity *identity)
{
	socklen_t size = sizeof(identity->groups);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, identity->groups, &size) < 0)
		return errno == ERANGE ? -E2BIG : negative_errno();
	identity->n_groups = size / sizeof(gid_t);
	return 0;
}

/* Names the process that connected even if its pid is another's by now (Linux 6.5). */
static int open_process(int socket, pid_t pid, int *ret_process)
{
	socklen_t size = sizeof(*ret_process);
	int fd;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0) {
		if (errno != ENOPROTOOPT)
			return negative_errno();
		fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (fd < 0)
			return negative_errno();
	}
	*ret_process = fd;
	return 0;
}

/* For people only, so a failure does not matter. */
static void get_command(pid_t pid, char command[16])
{
	_cleanup_close_ int fd = -1;
	char path[32];
	ssize_t n;

	memset(command, 0, 16);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, command, 15);
	command[n > 0 ? n : 0] = 0;
	command[strcspn(command, "\n")] = 0;
}

int identity_of_peer(int socket, struct engine_identity *ret_identity, int *ret_process)
{
	struct engine_identity identity = {0};
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int r;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return negative_errno();
	if (cred.pid <= 0)
		return -EACCES;
	identity.pid = cred.pid;
	identity.uid = cred.uid;
	identity.gid = cred.gid;
	r = get_groups(socket, &identity);
	if (r == 0)
		r = check_ids(&identity);
	if (r < 0)
		return r;
	get_command(cred.pid, identity.command);
	r = open_process(socket, cred.pid, ret_process);
	if (r < 0)
		return r;
	*ret_identity = identity;
	return 0;
}
