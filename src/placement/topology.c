/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/topology.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include "base/cleanup.h"
#include "base/error.h"

#define NODE_DIR   "/sys/devices/system/node"
#define PAGE_BLOCK 512u /* pages */

static void file_close_p(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_file_ _cleanup_(file_close_p)

__attribute__((format(printf, 2, 3))) static FILE *open_text(
	const char *root, const char *format, ...)
{
	char path[4096];
	va_list args;
	int n = snprintf(path, sizeof(path), "%s", root);

	va_start(args, format);
	if (n >= 0 && (size_t)n < sizeof(path))
		vsnprintf(path + n, sizeof(path) - (size_t)n, format, args);
	va_end(args);
	return fopen(path, "re");
}

static int read_list(const char *root, const char *name, struct nodeset *ret_set)
{
	_cleanup_file_ FILE *f = open_text(root, NODE_DIR "/%s", name);
	char line[NODESET_TEXT_MAX];

	if (!f)
		return negative_errno();
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	return nodeset_parse(line, ret_set);
}

static int read_distances(struct topology *t, const char *root)
{
	unsigned int from, to, distance;

	nodeset_for_each (&t->online, from) {
		_cleanup_file_ FILE *f = open_text(root, NODE_DIR "/node%u/distance", from);

		if (!f)
			return negative_errno();
		/* one number for each node that is online */
		nodeset_for_each (&t->online, to)
			if (fscanf(f, "%u", &distance) == 1)
				t->distances[from * t->n + to] = (unsigned char)MIN(distance, 255u);
	}
	return 0;
}

/* What /proc/zoneinfo says of one node, in pages. */
struct node_pages {
	uint64_t total, free;
	uint64_t above;		 /* free above the reserves */
	uint64_t low;		 /* sum of the low watermarks */
	uint64_t cache, unclean; /* of files; of it, what must be written first */
};

/* One zone as far as it has been read; protection is what more general allocations leave here. */
struct zone {
	unsigned int node;
	uint64_t free, boost, low, high, protection, managed;
};

/* When whole huge pages run short the kernel raises a zone's watermarks for a while, by half as
 * much again or at least one such page (vm.watermark_boost_factor). What it has raised them by now
 * is in them already. */
static uint64_t reserve_of(const struct zone *z)
{
	uint64_t high = z->high - MIN(z->high, z->boost);

	return high + MAX(high * 3 / 2, (uint64_t)PAGE_BLOCK) + z->protection;
}

static void zone_end(const struct zone *z, struct node_pages *pages, unsigned int n)
{
	uint64_t kept = reserve_of(z);

	if (z->node >= n)
		return;
	pages[z->node].total += z->managed;
	pages[z->node].free += z->free;
	pages[z->node].low += z->low;
	if (z->free > kept)
		pages[z->node].above += z->free - kept;
}

/* "protection: (0, 1964, 1964, 0, 1964)": the last is that of the most general zone */
static uint64_t last_protection(const char *line)
{
	const char *comma = strrchr(line, ',');

	return comma ? strtoull(comma + 1, NULL, 10) : 0;
}

static bool is_word(const char *line, const char *word, uint64_t *ret_value)
{
	size_t n = strlen(word);

	line += strspn(line, " ");
	/* the lists of each CPU have lines such as "high: 7" */
	if (strncmp(line, word, n) || line[n] != ' ')
		return false;
	*ret_value = strtoull(line + n, NULL, 10);
	return true;
}

static void zone_line(const char *line, struct zone *z, struct node_pages *node)
{
	uint64_t value;

	if (strstr(line, " protection: ("))
		z->protection = last_protection(line);
	else if (is_word(line, "pages free", &value))
		z->free = value;
	else if (is_word(line, "boost", &value))
		z->boost = value;
	else if (is_word(line, "low", &value))
		z->low = value;
	else if (is_word(line, "high", &value))
		z->high = value;
	else if (is_word(line, "managed", &value))
		z->managed = value;
	else if (is_word(line, "nr_active_file", &value) ||
		 is_word(line, "nr_inactive_file", &value))
		node->cache += value;
	else if (is_word(line, "nr_dirty", &value) || is_word(line, "nr_writeback", &value))
		node->unclean += value;
}

static int read_zones(const char *root, struct node_pages *pages, unsigned int n)
{
	_cleanup_file_ FILE *f = open_text(root, "/proc/zoneinfo");
	struct zone z = {.node = UINT32_MAX};
	char line[512];

	if (!f)
		return negative_errno();
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Node ", 5)) {
			zone_end(&z, pages, n);
			z = (struct zone){.node = (unsigned int)strtoul(line + 5, NULL, 10)};
		} else if (z.node < n) {
			zone_line(line, &z, &pages[z.node]);
		}
	}
	zone_end(&z, pages, n);
	return 0;
}

/* The rule of MemAvailable, but for caches in slabs: not even the kernel knows how much of them is
 * in use. */
static uint64_t droppable(const struct node_pages *p)
{
	uint64_t clean = p->cache - MIN(p->cache, p->unclean);

	return clean - MIN(clean / 2, p->low);
}

/* Less a 64th of the node: pages come with tables and other bookkeeping. */
static uint64_t available_pages(const struct node_pages *p)
{
	uint64_t sum = p->above + droppable(p);

	return sum - MIN(sum, p->total / 64);
}

int topology_refresh(struct topology *t, const char *root)
{
	_cleanup_free_ struct node_pages *pages = calloc(t->n, sizeof(*pages));
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned int node;
	int r;

	if (!pages)
		return -ENOMEM;
	r = read_zones(root, pages, t->n);
	if (r < 0)
		return r;
	nodeset_for_each (&t->online, node) {
		const struct node_pages *p = &pages[node];

		t->nodes[node] = (struct topology_node){
			.total = p->total * size,
			.free = p->free * size,
			.available = available_pages(p) * size,
		};
	}
	return 0;
}

/* A kernel without NUMA: what it has is node 0's. */
static void one_node(struct topology *t)
{
	t->numa = false;
	t->online = t->memory = t->cpus = nodeset_of(0);
}

static int read_sets(struct topology *t, const char *root)
{
	int r = read_list(root, "online", &t->online);

	if (r == -ENOENT) {
		one_node(t);
		return 0;
	}
	t->numa = true;
	if (r == 0)
		r = read_list(root, "has_memory", &t->memory);
	if (r == 0)
		r = read_list(root, "has_cpu", &t->cpus);
	return r;
}

int topology_read(const char *root, struct topology *ret_topology)
{
	struct topology t = {0};
	unsigned int node;
	int r;

	r = read_sets(&t, root);
	if (r < 0)
		return r;
	nodeset_for_each (&t.online, node)
		t.n = node + 1;
	if (t.n == 0)
		return -ENODATA;
	t.nodes = calloc(t.n, sizeof(*t.nodes));
	t.distances = calloc(t.n, t.n);
	if (!t.nodes || !t.distances)
		r = -ENOMEM;
	if (r == 0 && t.numa)
		r = read_distances(&t, root);
	else if (r == 0)
		t.distances[0] = 10;
	if (r == 0)
		r = topology_refresh(&t, root);
	if (r < 0) {
		topology_deinit(&t);
		return r;
	}
	*ret_topology = t;
	return 0;
}

void topology_deinit(struct topology *t)
{
	free(t->nodes);
	free(t->distances);
	*t = (struct topology){0};
}

uint64_t topology_free_huge(const char *root, unsigned int node, uint64_t page_size)
{
	_cleanup_file_ FILE *f =
		open_text(root, NODE_DIR "/node%u/hugepages/hugepages-%llukB/free_hugepages", node,
			(unsigned long long)page_size / 1024);
	unsigned long long n;

	return f && fscanf(f, "%llu", &n) == 1 ? n * page_size : 0;
}
