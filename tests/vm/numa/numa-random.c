/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numa-random CASES [SEED]: hard bindings of random sizes over random sets, filled from a random
 * processor; then every page must be within its set, and no process may have been killed. Prints
 * what it saw as one line.
 */
#include "oracle.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>
#include <shmbind.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

static uint64_t seed;
static int n_nodes, cpu_nodes[ORACLE_NODES], n_cpu_nodes;

static uint64_t dice(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

/* Mostly small, some about as large as the set, some beyond it. */
static size_t random_pages(unsigned long nodes)
{
	size_t have = 0;

	if (dice(200))
		return 1 + dice(dice(8) ? 16 : 600);
	for (int node = 0; node < n_nodes; node++)
		if (nodes >> node & 1)
			have += oracle_free(node);
	return 1 + have / PAGE * (60 + dice(50)) / 100;
}

struct sums {
	size_t cases, refused, pages, outside, large, uneven;
};

static size_t outside(const struct oracle_count *c, unsigned long nodes)
{
	size_t n = 0;

	for (int node = 0; node < ORACLE_NODES; node++)
		if (!(nodes >> node & 1))
			n += c->on[node];
	return n;
}

static size_t unevenness(const struct oracle_count *c, unsigned long nodes)
{
	size_t least = SIZE_MAX, most = 0;

	for (int node = 0; node < n_nodes; node++)
		if (nodes >> node & 1) {
			least = c->on[node] < least ? c->on[node] : least;
			most = c->on[node] > most ? c->on[node] : most;
		}
	return most - least;
}

static void one_case(struct sums *s)
{
	static const int orders[] = {MEM_FIRSTREF, MEM_STRIPE, MEM_MOSTFREE};
	unsigned long nodes = 1 + dice((1ul << n_nodes) - 1);
	size_t pages = random_pages(nodes);
	int order = orders[dice(3)],
	    id = shmget(IPC_PRIVATE, pages * PAGE, IPC_CREAT | SHM_NORESERVE | 0600);
	struct oracle_count c;

	s->cases++;
	oracle_run_on(cpu_nodes[dice((uint64_t)n_cpu_nodes)]);
	if (shmbind(id, order | MEM_HARDBIND | (dice(50) ? 0 : MEM_COMMIT), &nodes, n_nodes) < 0) {
		if (errno != ENOMEM) {
			printf("case %zu: %s\n", s->cases, strerror(errno));
			exit(1);
		}
		s->refused++;
	} else {
		oracle_run_on(cpu_nodes[dice((uint64_t)n_cpu_nodes)]);
		oracle_touch(id, 0, pages);
		c = oracle_count(id, 0, 0);
		s->pages += pages;
		s->large += pages > 600;
		s->outside += outside(&c, nodes) + c.absent;
		s->uneven += order == MEM_STRIPE && unevenness(&c, nodes) > 1;
	}
	shmctl(id, IPC_RMID, NULL);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	struct sums s = {0};

	seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	for (n_nodes = 0; n_nodes < ORACLE_NODES && oracle_free(n_nodes); n_nodes++)
		if (oracle_has_cpu(n_nodes))
			cpu_nodes[n_cpu_nodes++] = n_nodes;
	while (s.cases < n)
		one_case(&s);
	printf("%zu cases, %zu refused, %zu pages, %zu large segments, %zu pages outside, %zu "
	       "uneven "
	       "stripes\n",
		s.cases, s.refused, s.pages, s.large, s.outside, s.uneven);
	return s.outside || s.uneven;
}
