/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clshm for people and tests that look where its pages are; each is a program that ends:
 *
 *   numa-clshm make BYTES [NODE]          a key of this partition, placed by part_setpmo, and its
 * segment; prints the shmid
 *   numa-clshm bind SHMID POLICY NODES    xp_shmbind; NODES: the mask, a number
 *   numa-clshm touch SHMID NODE FIRST N   writes to pages from a processor of the node
 *   numa-clshm count SHMID N              "pages on 0: 12, 1: 0, …, absent: 3" of the first N
 *   numa-clshm node SHMID                 part_getnode
 *   numa-clshm lock|unlock|remove SHMID
 *
 * What fails says the name of its errno, and ends with 1.
 */
#include <xp_shm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "oracle.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

static int must(int r)
{
	if (r == -1) {
		puts(strerrorname_np(errno));
		exit(1);
	}
	return r;
}

static char *attach(int id)
{
	void *memory = xp_shmat(id, NULL, 0);

	must(memory == (void *)-1 ? -1 : 0);
	return memory;
}

static void make(size_t bytes, const char *node)
{
	key_t key = must(xp_ftok(NULL, CLSHM_IF_ID_DEFAULT));

	if (node)
		must(part_setpmo(key, atoi(node), __PMO_MLD));
	printf("%d\n", must(xp_shmget(key, bytes, 0666)));
}

static void touch(int id, int node, size_t first, size_t n)
{
	char *memory = attach(id);

	oracle_run_on(node);
	for (size_t i = first; i < first + n; i++)
		memory[i * PAGE] = 1;
}

static void count(int id, size_t n)
{
	struct oracle_count c = oracle_count_at(attach(id), n);

	printf("pages on");
	for (int node = 0; node < ORACLE_NODES; node++)
		if (c.on[node] || oracle_free(node))
			printf(" %d: %zu,", node, c.on[node]);
	printf(" absent: %zu\n", c.absent);
}

static void show_node(int id)
{
	char path[64];

	must(part_getnode(id, path, sizeof(path)));
	puts(path);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	int id = argc > 2 ? atoi(argv[2]) : -1;
	unsigned long mask = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;

	if (!strcmp(what, "make"))
		make(strtoul(argv[2], NULL, 10), argc > 3 ? argv[3] : NULL);
	else if (!strcmp(what, "bind") && argc == 5)
		must(xp_shmbind(id, atoi(argv[3]), &mask, 8 * (int)sizeof(mask)));
	else if (!strcmp(what, "touch") && argc == 6)
		touch(id, atoi(argv[3]), strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
	else if (!strcmp(what, "count") && argc == 4)
		count(id, strtoul(argv[3], NULL, 10));
	else if (!strcmp(what, "node"))
		show_node(id);
	else if (!strcmp(what, "lock"))
		must(xp_shmctl(id, SHM_LOCK));
	else if (!strcmp(what, "unlock"))
		must(xp_shmctl(id, SHM_UNLOCK));
	else if (!strcmp(what, "remove"))
		must(xp_shmctl(id, IPC_RMID));
	else
		return 2;
	return 0;
}
