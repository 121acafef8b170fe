/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-ranges [RANGES]: what it costs to give each page of a System V segment a policy of its own,
 * as a hard stripe does. On a machine of one node neighbours get different policies instead of
 * different nodes, so that the kernel cannot join them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>
#include "base/clock.h"
#include "placement/kernel.h"
#include "placement/plan.h"

#define AT_ONCE 16384ul /* as libshmbind: maps of one attach */

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "bench-ranges: %s: %s\n", what, strerror(-r));
		exit(1);
	}
}

static void bind_all(int id, unsigned long n, size_t page)
{
	struct nodeset node = nodeset_of(0);
	char *p = shmat(id, NULL, 0);

	for (unsigned long i = 0; i < n; i++) {
		if (i && i % AT_ONCE == 0)
			p = shmat(id, p, SHM_REMAP);
		check(kernel_bind(p + i * page, page, i % 2 ? KERNEL_BIND : KERNEL_PREFERRED_MANY,
			      &node),
			"mbind");
	}
	shmdt(p);
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : PLAN_STRIPES_MAX;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int id = shmget(IPC_PRIVATE, n * page, IPC_CREAT | SHM_NORESERVE | 0600);
	uint64_t begin, bound, removed;

	check(id, "shmget");
	begin = clock_now();
	bind_all(id, n, page);
	bound = clock_now();
	shmctl(id, IPC_RMID, NULL);
	removed = clock_now();
	printf("%lu ranges: %.3f s, %.2f us each; removed in %.3f s\n", n,
		(double)(bound - begin) / 1e9, (double)(bound - begin) / 1e3 / (double)n,
		(double)(removed - bound) / 1e9);
	return 0;
}
