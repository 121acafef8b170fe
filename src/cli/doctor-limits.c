/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the configuration and of the limits of this user and machine. */
#include "cli/doctor.h"

#include <config.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include "base/error.h"
#include "base/parse.h"
#include "config/config.h"

#define DESCRIPTORS_WANTED                                                                         \
	4096u		     /* of a daemon that a program starts: one a segment, one a client */
#define MAPS_WANTED   65530u /* the kernel's default */
#define MEMORY_WANTED (64ull << 20)
#define SPACE_WANTED  (4ull << 30)

/* The first line of a file, without its end. */
static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *in = fopen(path, "re");
	bool ok = in && fgets(buf, (int)size, in);

	if (in)
		fclose(in);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

void check_configuration(struct doctor *d, struct finding *f)
{
	_cleanup_free_ char *dir = NULL;
	char error[CONFIG_ERROR_MAX];
	unsigned int n = 0;

	if (d->connected)
		node_config_dir(&d->node, &dir); /* if it cannot be seen: the system's */
	if (config_load(dir, &d->config, error) < 0) {
		finding_set(f, VERDICT_FAILED, "correct the file: causewayd does not start with it",
			"%s", error);
		return;
	}
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++)
		n += d->config->origin[i] != NULL;
	finding_set(f, VERDICT_OK, NULL,
		"%u settings and %u nodes from files (%s), the rest default", n, d->config->n_nodes,
		d->config->dir);
}

static void format_limit(rlim_t v, char buf[32])
{
	if (v == RLIM_INFINITY)
		snprintf(buf, 32, "unlimited");
	else
		snprintf(buf, 32, "%llu", (unsigned long long)v);
}

void check_descriptors(struct doctor *d, struct finding *f)
{
	struct rlimit l = {0};
	char soft[32], hard[32];

	getrlimit(RLIMIT_NOFILE, &l);
	format_limit(l.rlim_cur, soft);
	format_limit(l.rlim_max, hard);
	if (l.rlim_max < DESCRIPTORS_WANTED)
		finding_set(f, VERDICT_WARNING,
			"raise the hard limit: LimitNOFILE= in the unit, nofile in "
			"/etc/security/limits.conf",
			"at most %s descriptors (hard limit %s): a daemon that a program starts "
			"needs "
			"one for each segment and client",
			soft, hard);
	else
		finding_set(
			f, VERDICT_OK, NULL, "at most %s descriptors, hard limit %s", soft, hard);
}

void check_locked_memory(struct doctor *d, struct finding *f)
{
	struct rlimit l = {0};
	char soft[32];

	getrlimit(RLIMIT_MEMLOCK, &l);
	format_limit(l.rlim_cur, soft);
	finding_set(f, VERDICT_OK, NULL,
		"at most %s bytes; Causeway locks what goes by RDMA, and nothing else", soft);
}

void check_maps(struct doctor *d, struct finding *f)
{
	uint64_t n = 0;
	char line[64];

	if (!read_line("/proc/sys/vm/max_map_count", line, sizeof(line)) || parse_u64(line, &n) < 0)
		finding_set(f, VERDICT_WARNING, "mount /proc", "vm.max_map_count cannot be read");
	else if (n < MAPS_WANTED)
		finding_set(f, VERDICT_WARNING, "sysctl vm.max_map_count=65530",
			"vm.max_map_count = %llu: each import that is used takes one or two",
			(unsigned long long)n);
	else
		finding_set(f, VERDICT_OK, NULL, "vm.max_map_count = %llu", (unsigned long long)n);
}

/* A limit of a control group with memory, and what is used of it. */
struct group_limit {
	char path[PATH_MAX]; /* the file that has it */
	uint64_t limit, used;
};

/* Our path in the hierarchy that counts memory, version 2 or 1. */
static bool find_group(char *ret_path, size_t size, bool *ret_old)
{
	FILE *in = fopen("/proc/self/cgroup", "re");
	bool found = false;
	char line[PATH_MAX];

	while (in && fgets(line, sizeof(line), in)) {
		const char *names = strchr(line, ':'),
			   *path = names ? strchr(names + 1, ':') : NULL;
		bool old = path && !strncmp(names, ":memory:", strlen(":memory:"));

		if (!path || (!old && (found || strncmp(names, "::", 2))))
			continue;
		snprintf(ret_path, size, "%s%.*s", old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup",
			(int)strcspn(path + 1, "\n"), path + 1);
		found = true;
		*ret_old = old;
		if (old)
			break;
	}
	if (in)
		fclose(in);
	return found;
}

static bool read_number(const char *dir, const char *name, char path[PATH_MAX], uint64_t *ret)
{
	char text[64];

	return snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX &&
	       read_line(path, text, sizeof(text)) && parse_u64(text, ret) == 0;
}

/* The one of our group and those above it that leaves least; false: none is known. */
static bool tightest_limit(struct group_limit *ret)
{
	char dir[PATH_MAX], used_path[PATH_MAX];
	struct group_limit g;
	bool found = false, old;

	if (!find_group(dir, sizeof(dir), &old))
		return false;
	for (; strlen(dir) >= strlen("/sys/fs/cgroup"); *strrchr(dir, '/') = '\0') {
		const char *limit = old ? "memory.limit_in_bytes" : "memory.max";
		const char *used = old ? "memory.usage_in_bytes" : "memory.current";

		if (!read_number(dir, limit, g.path, &g.limit) ||
			g.limit >= INT64_MAX / 4096 * 4096)
			continue;
		if (!read_number(dir, used, used_path, &g.used))
			g.used = 0;
		if (found &&
			g.limit - MIN(g.used, g.limit) >= ret->limit - MIN(ret->used, ret->limit))
			continue;
		*ret = g;
		found = true;
	}
	return found;
}

void check_memory(struct doctor *d, struct finding *f)
{
	struct group_limit g;

	if (!tightest_limit(&g))
		finding_set(f, VERDICT_OK, NULL,
			"no control group of ours limits memory, as far as can "
			"be read");
	else if (g.limit - MIN(g.used, g.limit) < MEMORY_WANTED)
		finding_set(f, VERDICT_WARNING,
			"raise MemoryMax= of the unit or the container's limit",
			"%.300s = %llu, of which %llu are used: exported memory counts in it, and "
			"at the "
			"limit processes are killed",
			g.path, (unsigned long long)g.limit, (unsigned long long)g.used);
	else
		finding_set(f, VERDICT_OK, NULL,
			"%.300s = %llu, of which %llu are used: exported memory counts in it",
			g.path, (unsigned long long)g.limit, (unsigned long long)g.used);
}

/* A line of /proc/meminfo in bytes; 0 without it. */
static uint64_t meminfo(const char *name)
{
	FILE *in = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	size_t n = strlen(name);
	char line[128];

	while (in && fgets(line, sizeof(line), in))
		if (!strncmp(line, name, n) && sscanf(line + n, ": %llu", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return (uint64_t)kib * 1024;
}

/* Memory files have no limit of their own: what there is, and what the kernel promises, is theirs.
 */
void check_shared_memory(struct doctor *d, struct finding *f)
{
	uint64_t room = meminfo("MemAvailable") + meminfo("SwapFree"), shmem = meminfo("Shmem");
	uint64_t limit = meminfo("CommitLimit"), committed = meminfo("Committed_AS");
	char mode[8] = "0";

	(void)read_line("/proc/sys/vm/overcommit_memory", mode, sizeof(mode));
	if (room < MEMORY_WANTED)
		finding_set(f, VERDICT_WARNING, "end programs or add memory or swap",
			"only %llu MiB are free on this machine; %llu MiB are shared memory",
			(unsigned long long)room >> 20, (unsigned long long)shmem >> 20);
	else if (mode[0] == '2' && limit - MIN(committed, limit) < MEMORY_WANTED)
		finding_set(f, VERDICT_WARNING,
			"raise vm.overcommit_ratio, or set vm.overcommit_memory to 0 or 1",
			"vm.overcommit_memory = 2, and of %llu MiB that may be promised %llu are: "
			"exports "
			"fail for want of memory",
			(unsigned long long)limit >> 20, (unsigned long long)committed >> 20);
	else
		finding_set(f, VERDICT_OK, NULL,
			"%llu MiB are free, %llu MiB are shared memory; vm.overcommit_memory = %s",
			(unsigned long long)room >> 20, (unsigned long long)shmem >> 20, mode);
}

/* A memory file is a file, and its map address space: ulimit -f and -v hold for them. */
void check_sizes(struct doctor *d, struct finding *f)
{
	struct rlimit file = {0}, space = {0};
	char file_text[32], space_text[32];
	bool tight;

	getrlimit(RLIMIT_FSIZE, &file);
	getrlimit(RLIMIT_AS, &space);
	format_limit(file.rlim_cur, file_text);
	format_limit(space.rlim_cur, space_text);
	tight = file.rlim_cur != RLIM_INFINITY || space.rlim_cur < SPACE_WANTED;
	finding_set(f, tight ? VERDICT_WARNING : VERDICT_OK,
		tight ? "ulimit -f unlimited -v unlimited; LimitFSIZE= and LimitAS= in the unit"
		      : NULL,
		"file size %s, address space %s%s", file_text, space_text,
		tight ? ": segments beyond the one end the program with SIGXFSZ or fail, maps "
			"beyond "
			"the other fail"
		      : "");
}

void check_huge_pages(struct doctor *d, struct finding *f)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char line[256], *on, *end;

	if (!read_line(path, line, sizeof(line))) {
		finding_set(f, VERDICT_OK, NULL, "none for shared memory in this kernel");
		return;
	}
	on = strchr(line, '[');
	end = on ? strchr(on, ']') : NULL;
	if (end)
		*end = '\0';
	finding_set(f, VERDICT_OK, NULL, "for shared memory: %s (%s)", end ? on + 1 : line, path);
}
