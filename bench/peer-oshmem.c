/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer: OpenSHMEM (Open MPI's oshmem) between two processes of this machine. The target sleeps:
 * over shared memory nothing depends on it.
 */

#include <shmem.h>
#include <unistd.h>
#include "peer-loop.h"

static char *remote, *local;
static volatile uint64_t sink;

static void put64(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		shmem_uint64_p((uint64_t *)remote + i % (PEER_WINDOW / 8), i, 1);
	shmem_quiet();
}

static void get64(size_t size, unsigned long n)
{
	uint64_t sum = 0;

	for (unsigned long i = 0; i < n; ++i)
		sum += shmem_uint64_g((uint64_t *)remote + i % (PEER_WINDOW / 8), 1);
	sink = sum;
}

static void put(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		shmem_putmem(remote, local, size, 1);
	shmem_quiet();
}

static void get(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		shmem_getmem(local, remote, size, 1);
}

static const struct peer_operation operations[] = {
	{"put64", put64},
	{"get64", get64},
	{"put", put},
	{"get", get},
	{0},
};

int main(void)
{
	setenv("SHMEM_SYMMETRIC_SIZE", "600M", 1);
	shmem_init();
	remote = shmem_malloc(PEER_MEMORY);
	local = malloc(PEER_MEMORY);
	if (!remote || !local)
		return 1;
	memset(remote, 1, PEER_MEMORY);
	memset(local, 1, PEER_MEMORY);
	shmem_barrier_all();
	if (shmem_my_pe() == 1)
		for (;;)
			pause();
	peer_begin();
	peer_loop(operations);
	shmem_global_exit(0); /* shmem_finalize of Debian 12's version crashes */
}
