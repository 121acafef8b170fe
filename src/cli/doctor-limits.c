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

#define DESCRIPTORS_WANTED 4096u /* of a daemon that a program starts: one a segment, one a client */
#define MAPS_WANTED 65530u	 /* the kernel's default */
#define MEMORY_WANTED (64ull << 20)

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

/* A daemon started with --config reads another one. */
void check_configuration(struct doctor *d, struct finding *f)
{
	_cleanup_(config_free_p) struct config *config = NULL;
	char error[CONFIG_ERROR_MAX];
	unsigned int n = 0;

	if (config_load(NULL, &config, error) < 0) {
		finding_set(f, VERDICT_FAILED, "correct the file: causewayd does not start with it",
			"%s", error);
		return;
	}
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++)
		n += config->origin[i] != NULL;
	finding_set(f, VERDICT_OK, NULL, "%u settings from files (" CAUSEWAY_CONFIG_DIR "), the rest "
					 "default", n);
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
			"at most %s descriptors (hard limit %s): a daemon that a program starts needs "
			"one for each segment and client", soft, hard);
	else
		finding_set(f, VERDICT_OK, NULL, "at most %s descriptors, hard limit %s", soft, hard);
}

void check_locked_memory(struct doctor *d, struct finding *f)
{
	struct rlimit l = {0};
	char soft[32];

	getrlimit(RLIMIT_MEMLOCK, &l);
	format_limit(l.rlim_cur, soft);
	finding_set(f, VERDICT_OK, NULL, "at most %s bytes; Causeway locks none", soft);
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

/* memory.max of our control group (version 2); false: none, or no limit is known. */
static bool cgroup_limit(char *ret_path, size_t size, uint64_t *ret_limit)
{
	char line[PATH_MAX], limit[64];

	if (!read_line("/proc/self/cgroup", line, sizeof(line)) || strncmp(line, "0::/", 4))
		return false;
	if (snprintf(ret_path, size, "/sys/fs/cgroup%s/memory.max", line + 3) >= (int)size)
		return false;
	return read_line(ret_path, limit, sizeof(limit)) && parse_u64(limit, ret_limit) == 0;
}

void check_memory(struct doctor *d, struct finding *f)
{
	char path[PATH_MAX];
	uint64_t limit;

	if (!cgroup_limit(path, sizeof(path), &limit))
		finding_set(f, VERDICT_OK, NULL,
			"this control group has no memory limit of its own that can be read");
	else if (limit < MEMORY_WANTED)
		finding_set(f, VERDICT_WARNING, "raise MemoryMax= of the unit or the container's limit",
			"%.300s = %llu: exported memory counts in it", path,
			(unsigned long long)limit);
	else
		finding_set(f, VERDICT_OK, NULL, "%.300s = %llu: exported memory counts in it", path,
			(unsigned long long)limit);
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
