/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void rig_fails(const char *file, int line, const char *what, intptr_t got, int error)
{
	int now = errno;
	char text[512];

	if (got == -1 && now == error)
		return;
	if (got == -1)
		snprintf(text, sizeof(text), "%.300s: fails with %s, should with %s", what,
			strerrorname_np(now), strerrorname_np(error));
	else
		snprintf(text, sizeof(text), "%.300s: is %#jx, should fail with %s", what,
			(intmax_t)got, strerrorname_np(error));
	rig_failed(file, line, text);
}

void rig_succeeds(const char *file, int line, const char *what, intptr_t got)
{
	int now = errno;
	char text[512];

	if (got != -1)
		return;
	snprintf(text, sizeof(text), "%.300s: fails with %s", what, strerrorname_np(now));
	rig_failed(file, line, text);
}

size_t rig_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

key_t rig_key(void)
{
	return NEED(xp_ftok(NULL, CLSHM_IF_ID_DEFAULT));
}

key_t rig_key_of(partid_t partition)
{
	char path[64];

	snprintf(path, sizeof(path), CLSHM_IF_PART_PATH "%02x", (unsigned int)partition);
	return NEED(xp_ftok(path, CLSHM_IF_ID_DEFAULT));
}

int rig_segment(size_t size, int mode)
{
	return NEED(xp_shmget(rig_key(), size, mode));
}

char *rig_attach(int shmid)
{
	return NEED((char *)xp_shmat(shmid, NULL, 0));
}

struct shmid_ds rig_state(int shmid)
{
	struct shmid_ds ds;

	memset(&ds, 0xee, sizeof(ds));
	NEED(xp_shmctl(shmid, IPC_STAT, &ds));
	return ds;
}

unsigned long rig_attached(int shmid)
{
	return rig_state(shmid).shm_nattch;
}

int rig_signal_of(volatile char *p, bool write)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		if (write)
			*p = *p;
		else
			(void)*p;
		_exit(0);
	}
	NEED_TRUE(child > 0 && waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool rig_is_gone(int shmid)
{
	struct shmid_ds ds;

	return xp_shmctl(shmid, IPC_STAT, &ds) == -1 && errno == EINVAL;
}

/* The beginning of a large one: new maps come from the end of holes. */
char *rig_hole(size_t size)
{
	size_t large = size + ((size_t)64 << 20);
	char *p = mmap(NULL, large, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(p != MAP_FAILED);
	munmap(p, large);
	return p;
}

void *rig_nowhere(void)
{
	void *p = mmap(NULL, rig_page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(p != MAP_FAILED);
	return p;
}

void rig_all_fail(int error)
{
	unsigned long mask = 1;
	struct shmid_ds d;
	partid_t list[MAX_PARTITIONS];
	char text[64];

	memset(&d, 0, sizeof(d));
	FAILS(xp_ftok(NULL, 1), error);
	FAILS(xp_ftok("/hw/clshm/partition/01", 1), error);
	FAILS(xp_shmget(1, 1, 0), error);
	FAILS(xp_shmat(1, NULL, 0), error);
	FAILS(xp_shmctl(1, IPC_STAT, &d), error);
	FAILS(xp_shmctl(1, IPC_SET, &d), error);
	FAILS(xp_shmctl(1, IPC_RMID), error);
	FAILS(xp_shmbind(1, 0, &mask, 64), error);
	FAILS(part_getid(), error);
	FAILS(part_getcount(), error);
	FAILS(part_getlist(list, MAX_PARTITIONS), error);
	FAILS(part_gethostname(0, text, sizeof(text)), error);
	FAILS(part_gethostnames(0, text, sizeof(text)), error);
	FAILS(part_setpmo(1, 0, __PMO_ANY), error);
	FAILS(part_getnode(1, text, sizeof(text)), error);
}

void rig_become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0)
		rig_skip("needs root to be other users");
	NEED_TRUE(setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
		  setresuid(uid, uid, uid) == 0);
}
