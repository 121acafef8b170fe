/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "oracle: " __VA_ARGS__);                                           \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int first_cpu(int node)
{
	char path[64];
	int cpu = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
	f = fopen(path, "r");
	if (!f)
		FAIL("no node %d", node);
	if (fscanf(f, "%d", &cpu) != 1)
		cpu = -1;
	fclose(f);
	return cpu;
}

bool oracle_has_cpu(int node)
{
	return first_cpu(node) >= 0;
}

void oracle_run_on(int node)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)first_cpu(node), &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		FAIL("cannot run on node %d", node);
}

static char *attach(int shmid, int flags, size_t *n_pages)
{
	struct shmid_ds d;
	char *p = shmat(shmid, NULL, flags);

	if (p == (char *)-1 || shmctl(shmid, IPC_STAT, &d) < 0)
		FAIL("segment %d cannot be attached", shmid);
	*n_pages = (d.shm_segsz + page_size() - 1) / page_size();
	return p;
}

void oracle_touch(int shmid, size_t first, size_t n)
{
	size_t all;
	char *p = attach(shmid, 0, &all);

	for (size_t i = first; i < first + n && i < all; i++)
		p[i * page_size()] = 1;
	shmdt(p);
}

/* The sums of N0=… in the lines of this segment's map. */
static void numa_maps(const char *address, size_t on[ORACLE_NODES])
{
	char line[1024], want[32];
	FILE *f = fopen("/proc/self/numa_maps", "r");

	snprintf(want, sizeof(want), "%lx ", (unsigned long)address);
	memset(on, 0, ORACLE_NODES * sizeof(*on));
	if (!f)
		FAIL("no numa_maps");
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, want, strlen(want)))
			continue;
		for (char *at = line; (at = strstr(at, " N")); at += 2) {
			unsigned int node;
			size_t pages;

			if (sscanf(at, " N%u=%zu", &node, &pages) == 2 && node < ORACLE_NODES)
				on[node] += pages;
		}
	}
	fclose(f);
}

static int node_of(char *p, unsigned char present)
{
	void *page = p;
	int status;

	if (!(present & 1))
		return -1;
	(void)*(volatile char *)p;
	if (syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) < 0 || status < 0)
		FAIL("move_pages does not know the page");
	return status;
}

static struct oracle_count look(char *p, size_t n, const unsigned char *present)
{
	struct oracle_count count = {{0}, 0};

	for (size_t i = 0; i < n; i++) {
		int node = node_of(p + i * page_size(), present[i]);

		if (node < 0)
			count.absent++;
		else
			count.on[node]++;
	}
	return count;
}

/* Where memory is short the kernel moves pages about within their nodes, and for as long as it does
 * that numa_maps leaves them out. */
static struct oracle_count look_twice(char *p, size_t n, const unsigned char *present)
{
	struct oracle_count count;
	size_t seen[ORACLE_NODES];

	for (int tries = 0; tries < 50; tries++) {
		count = look(p, n, present);
		numa_maps(p, seen);
		if (!memcmp(seen, count.on, sizeof(seen)))
			return count;
		usleep(20000);
	}
	FAIL("numa_maps and move_pages do not agree");
}

/* Of huge pages mincore() knows only those that this process has touched. */
static bool is_whole(int shmid, size_t size)
{
	FILE *f = fopen("/proc/sysvipc/shm", "r");
	size_t resident = 0;
	char line[512];
	int id;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d %d %*o %*u %*d %*d %*u %*u %*u %*u %*u %*d %*d %*d %zu", &id,
			    &resident) == 2 &&
			id == shmid)
			break;
	if (f)
		fclose(f);
	return resident >= size;
}

struct oracle_count oracle_count_at(char *p, size_t n)
{
	unsigned char *present = malloc(n);
	struct oracle_count count;

	if (mincore(p, n * page_size(), present) < 0)
		FAIL("mincore");
	count = look_twice(p, n, present);
	free(present);
	return count;
}

struct oracle_count oracle_count(int shmid, size_t first, size_t n)
{
	struct oracle_count count;
	size_t all;
	char *p = attach(shmid, SHM_RDONLY, &all);
	unsigned char *present = malloc(all);

	if (mincore(p, all * page_size(), present) < 0)
		FAIL("mincore");
	if (is_whole(shmid, all * page_size()))
		memset(present, 1, all);
	/* in numa_maps the neighbours of what is touched count, too: only a whole can be compared
	 */
	if (n == 0)
		count = look_twice(p, all, present);
	else
		count = look(p + first * page_size(), n, present + first);
	free(present);
	shmdt(p);
	return count;
}

size_t oracle_free(int node)
{
	char path[64], line[128];
	size_t kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Node %*d MemFree: %zu kB", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024;
}
