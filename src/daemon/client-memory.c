/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/client-memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "placement/sysv.h"
#include "wire/status.h"

struct mapping {
	uint64_t start, end, offset, inode;
	bool usable; /* rw-s */
	bool sysv;   /* inode is its id */
	bool anonymous;
};

/* "start-end rwxs offset major:minor inode    name" */
static bool mapping_parse(const char *line, struct mapping *ret)
{
	struct mapping m = {0};
	char rights[5];
	int name = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &m.start,
		    &m.end, rights, &m.offset, &m.inode, &name) != 5)
		return false;
	m.usable = rights[0] == 'r' && rights[1] == 'w' && rights[3] == 's';
	m.sysv = name && !strncmp(line + name, "/SYSV", strlen("/SYSV"));
	m.anonymous = name && !strcmp(line + name, "/dev/zero (deleted)\n");
	*ret = m;
	return true;
}

static int mapping_find(int process, uint64_t address, struct mapping *ret_mapping)
{
	int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC), r = STATUS_BAD_ADDRESS;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f) {
		fd_close(fd);
		return STATUS_NOT_ADOPTABLE;
	}
	while (getline(&line, &size, f) > 0) {
		struct mapping m;

		if (mapping_parse(line, &m) && m.start <= address && address < m.end) {
			*ret_mapping = m;
			r = 0;
			break;
		}
	}
	fclose(f);
	return r;
}

/*
 * Who asks must be who owns that memory. The process behind the socket may have executed another
 * program meanwhile, with other rights: then its files belong to somebody else.
 */
static bool is_still_the_client(const ManagerClient *c, int process)
{
	struct stat st;

	return fstatat(process, "maps", &st, 0) == 0 && st.st_uid == c->identity.uid &&
	       manager_client_alive(c);
}

static int mapping_open(int process, const struct mapping *m, int *ret_fd)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	fd = openat(process, path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	*ret_fd = fd;
	return 0;
}

/* What the kernel itself calls the file: the mapping that was opened may be another one than was
 * read of before, put there by another thread of the client, and a segment that he may only read
 * besides. */
static bool is_of_kind(int fd, const struct mapping *m)
{
	char path[32], name[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = 0;
	return m->sysv ? !strncmp(name, "/SYSV", strlen("/SYSV"))
		       : !strcmp(name, "/dev/zero (deleted)");
}

/* Ids are per namespace, so only ours can be asked about. */
static bool shares_sysv(int process)
{
	struct stat theirs, ours;

	return fstatat(process, "ns/ipc", &theirs, 0) == 0 &&
	       stat("/proc/self/ns/ipc", &ours) == 0 && theirs.st_ino == ours.st_ino &&
	       theirs.st_dev == ours.st_dev;
}

bool client_memory_may_use_sysv(const struct engine_identity *identity, int shmid)
{
	const struct sysv_user user = {
		.uid = identity->uid,
		.gid = identity->gid,
		.groups = identity->groups,
		.n_groups = identity->n_groups,
		.privileged = identity->uid == 0,
	};
	struct sysv_segment s;

	return sysv_find(shmid, &s) == 0 && sysv_lacks(&s, &user, 06) == 0;
}

/*
 * The kernel judges a System V segment by its own rights; map_files would not. Nor does it say that
 * the mapping is one: a file may have such a name, and any inode, where its owner has mounted it.
 */
static bool may_use(const ManagerClient *c, int process, const struct mapping *m)
{
	if (!m->sysv)
		return m->anonymous;
	return m->inode <= INT32_MAX && shares_sysv(process) &&
	       client_memory_may_use_sysv(&c->identity, (int)m->inode);
}

/* Memory of the kernel's own, of the kind that was seen, never one of our sealed memfds, large
 * enough; from now on a description that can only read cannot be opened anew for writing. */
static int check_and_harden(const ManagerClient *c, int fd, const struct mapping *m, uint64_t end)
{
	struct stat memory, own;

	if (fstat(fd, &memory) < 0 || fstat(c->status.fd, &own) < 0)
		return negative_errno();
	if (memory.st_dev != own.st_dev || memory.st_ino != m->inode || !S_ISREG(memory.st_mode))
		return STATUS_NOT_ADOPTABLE;
	if (!is_of_kind(fd, m) || fcntl(fd, F_GET_SEALS) != F_SEAL_SEAL)
		return STATUS_NOT_ADOPTABLE;
	if (end > (uint64_t)memory.st_size)
		return STATUS_BAD_ADDRESS;
	return fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, 0600) < 0 ? STATUS_NOT_ADOPTABLE
									    : 0;
}

static int memory_open(const ManagerClient *c, int process, const struct mapping *m, uint64_t end,
	struct client_memory *ret_memory)
{
	_cleanup_close_ int fd = -1;
	int r = mapping_open(process, m, &fd);

	if (r == 0)
		r = check_and_harden(c, fd, m, end);
	if (!is_still_the_client(c, process))
		return STATUS_NOT_ADOPTABLE;
	if (r == 0)
		ret_memory->fd = take_fd(&fd);
	else if (m->sysv)
		ret_memory->shmid = (int)m->inode;
	else
		return STATUS_NOT_ADOPTABLE;
	return 0;
}

int client_memory_open(
	const ManagerClient *c, uint64_t address, uint64_t size, struct client_memory *ret_memory)
{
	_cleanup_close_ int process = -1;
	struct client_memory memory = {.fd = -1, .shmid = -1, .foreign = true};
	struct mapping m;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d", (int)c->identity.pid);
	process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process < 0 || !is_still_the_client(c, process))
		return STATUS_NOT_ADOPTABLE;
	r = mapping_find(process, address, &m);
	if (r)
		return r;
	if (!range_within(address - m.start, size, m.end - m.start))
		return STATUS_BAD_ADDRESS;
	if (!m.usable || !may_use(c, process, &m))
		return STATUS_NOT_ADOPTABLE;
	memory.offset = m.offset + (address - m.start);
	r = memory_open(c, process, &m, memory.offset + size, &memory);
	if (r == 0)
		*ret_memory = memory;
	return r;
}
