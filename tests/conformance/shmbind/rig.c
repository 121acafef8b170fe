/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEGMENTS_MAX 64

static int segments[SEGMENTS_MAX], n_segments;

struct mask mask_of(int node)
{
	struct mask m = {{0}};

	mask_add(&m, node);
	return m;
}

void mask_add(struct mask *m, int node)
{
	m->bits[node / LONG_BITS] |= 1ul << node % LONG_BITS;
}

struct mask memory_nodes(void)
{
	FILE *f = fopen("/sys/devices/system/node/has_memory", "r");
	struct mask m = {{0}};
	int first, last;

	if (!f)
		return mask_of(0);
	while (fscanf(f, "%d", &first) == 1) {
		if (fscanf(f, "-%d", &last) != 1)
			last = first;
		for (; first <= last; first++)
			mask_add(&m, first);
		if (fgetc(f) != ',')
			break;
	}
	fclose(f);
	return m;
}

int first_node(void)
{
	struct mask m = memory_nodes();
	int node = 0;

	while (!(m.bits[node / LONG_BITS] >> node % LONG_BITS & 1))
		node++;
	return node;
}

int absent_node(void)
{
	struct mask m = memory_nodes();
	int node = 0;

	while (m.bits[node / LONG_BITS] >> node % LONG_BITS & 1)
		node++;
	return node;
}

int new_segment(size_t size, int mode)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | mode);

	assert_true(id >= 0);
	assert_true(n_segments < SEGMENTS_MAX);
	segments[n_segments++] = id;
	return id;
}

int remove_segments(void **state)
{
	while (n_segments > 0)
		shmctl(segments[--n_segments], IPC_RMID, NULL);
	return 0;
}

struct shmid_ds state_of(int shmid)
{
	struct shmid_ds d;

	memset(&d, 0, sizeof(d));
	shmctl(shmid, IPC_STAT, &d);
	return d;
}

void need_policies(void)
{
	if (access("/sys/devices/system/node/online", F_OK) < 0) {
		print_message("skip: a kernel without NUMA\n");
		skip();
	}
}

void need_root(void)
{
	if (geteuid() != 0) {
		print_message("skip: needs root to be other users\n");
		skip();
	}
}

int in_child(unsigned int id, int (*work)(void *), void *data)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (id && (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 ||
				  setresuid(id, id, id) < 0))
			_exit(99);
		_exit(work(data));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void assert_untouched(int shmid, const struct shmid_ds *before)
{
	struct shmid_ds now = state_of(shmid);

	assert_int_equal(now.shm_nattch, before->shm_nattch);
	assert_int_equal(now.shm_atime, before->shm_atime);
	assert_int_equal(now.shm_dtime, before->shm_dtime);
	assert_int_equal(now.shm_lpid, before->shm_lpid);
}

void assert_unbound(int shmid)
{
	size_t size = state_of(shmid).shm_segsz, page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = shmat(shmid, NULL, SHM_RDONLY);

	assert_ptr_not_equal(p, (void *)-1);
	for (size_t at = 0; at < size; at += page) {
		int mode = -1;

		/* get_mempolicy(MPOL_F_ADDR): MPOL_DEFAULT is 0 */
		assert_int_equal(syscall(SYS_get_mempolicy, &mode, NULL, 0, p + at, 2), 0);
		assert_int_equal(mode, 0);
	}
	shmdt(p);
}

void assert_bound(int shmid, int policy, const struct mask *mask)
{
	struct mask got;
	int flags = -1;

	memset(&got, 0xff, sizeof(got));
	assert_int_equal(shmbind_get(shmid, &flags, got.bits, MASK_BITS), 0);
	assert_int_equal(flags, policy);
	assert_memory_equal(&got, mask, sizeof(got));
}
