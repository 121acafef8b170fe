/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/error.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int get_groups(int socket, struct engine_identity *identity)
{
	socklen_t size = sizeof(identity->groups);
	_cleanup_free_ gid_t *many = NULL;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, identity->groups, &size) == 0) {
		identity->n_groups = size / sizeof(gid_t);
		return 0;
	}
	if (errno != ERANGE)
		return negative_errno();
	/* More than we keep: the first ones count. size is now what it takes. */
	many = malloc(size);
	if (!many)
		return -ENOMEM;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, many, &size) < 0)
		return negative_errno();
	memcpy(identity->groups, many, sizeof(identity->groups));
	identity->n_groups = ENGINE_GROUPS_MAX;
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
	if (r < 0)
		return r;
	get_command(cred.pid, identity.command);
	r = open_process(socket, cred.pid, ret_process);
	if (r < 0)
		return r;
	*ret_identity = identity;
	return 0;
}
