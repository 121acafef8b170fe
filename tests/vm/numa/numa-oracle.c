/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stranger to the library, for tests that want one: another program that attaches segments.
 *
 *   numa-oracle touch SHMID NODE [FIRST N]   writes to pages from a processor of the node
 *   numa-oracle count SHMID                  "pages on 0: 12, 1: 0, …, absent: 3"
 *   numa-oracle hog NODE MEGABYTES           memory of the node, held until it is killed
 *   numa-oracle fill SHMID NODE MEGABYTES    as touch, all of it; each 16 pages it takes pages of
 * the node for itself, too, up to so much
 */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MPOL_BIND 2
#define PAGE	  ((size_t)sysconf(_SC_PAGESIZE))

static char *private_memory(int node, size_t bytes)
{
	unsigned long mask = 1ul << node;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || syscall(SYS_mbind, p, bytes, MPOL_BIND, &mask, 65, 0) < 0)
		exit(2);
	return p;
}

static void hog(int node, size_t megabytes)
{
	char *p = private_memory(node, megabytes << 20);

	for (size_t at = 0; at < megabytes << 20; at += PAGE)
		p[at] = 1;
	puts("held");
	fflush(stdout);
	pause();
}

static void fill(int shmid, int node, size_t megabytes)
{
	size_t own = (megabytes << 20) / PAGE, taken = 0, n;
	char *p = own ? private_memory(node, own * PAGE) : NULL, *segment = shmat(shmid, NULL, 0);
	struct shmid_ds d;

	if (segment == (char *)-1 || shmctl(shmid, IPC_STAT, &d) < 0)
		exit(2);
	n = d.shm_segsz / PAGE;
	for (size_t i = 0; i < n; i++) {
		segment[i * PAGE] = 1;
		for (; taken < own * (i + 1) / n; taken++)
			p[taken * PAGE] = 1;
	}
	shmdt(segment);
	for (int i = 0; i < 16; i++)
		if (oracle_free(i))
			printf("%zu\n", oracle_free(i));
}

static void print_count(int shmid)
{
	struct oracle_count c = oracle_count(shmid, 0, 0);

	printf("pages on");
	for (int node = 0; node < ORACLE_NODES; node++)
		if (c.on[node] || oracle_free(node))
			printf(" %d: %zu,", node, c.on[node]);
	printf(" absent: %zu\n", c.absent);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int first = argc > 2 ? atoi(argv[2]) : -1, node = argc > 3 ? atoi(argv[3]) : 0;

	if (!strcmp(what, "touch") && argc >= 4) {
		oracle_run_on(node);
		oracle_touch(first, argc > 5 ? strtoul(argv[4], NULL, 10) : 0,
			argc > 5 ? strtoul(argv[5], NULL, 10) : (size_t)-1 / 2);
	} else if (!strcmp(what, "count") && argc == 3) {
		print_count(first);
	} else if (!strcmp(what, "hog") && argc == 4) {
		hog(first, (size_t)node);
	} else if (!strcmp(what, "fill") && argc == 5) {
		fill(first, node, strtoul(argv[4], NULL, 10));
	} else {
		fprintf(stderr, "usage: see the head of numa-oracle.c\n");
		return 2;
	}
	return 0;
}
