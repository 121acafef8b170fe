/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemon and keeper at rest, with a client and a segment: how often they are scheduled in 10 s.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "segment.h"

#define SECONDS 10u

/* Context switches of a thread since it began, voluntary or not. */
static unsigned long thread_switches(pid_t pid, const char *thread)
{
	char path[128], line[128];
	unsigned long n, sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", pid, thread);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 ||
			sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
			sum += n;
	fclose(file);
	return sum;
}

static unsigned long switches(pid_t pid)
{
	unsigned long sum = 0;
	struct dirent *entry;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			sum += thread_switches(pid, entry->d_name);
	closedir(tasks);
	return sum;
}

void group_idle(struct bench *bench)
{
	rsm_memseg_id_t id = bench_exporter(65536);
	struct bench_row *row;
	pid_t pids[2];
	unsigned int n;

	bench_at_most_rounds(bench, 1);
	row = bench_row(
		bench, "daemon and keeper at rest: switches in 10 s", "", 1, BENCH_ABSOLUTE, 0);
	bench_import(id);
	n = bench_node(pids);
	if (!n)
		bench_fail("the node's processes are not to be found");
	sleep(1);
	while (bench_round(bench)) {
		unsigned long before = 0, after = 0;

		for (unsigned int i = 0; i < n; ++i)
			before += switches(pids[i]);
		sleep(SECONDS);
		for (unsigned int i = 0; i < n; ++i)
			after += switches(pids[i]);
		bench_sample(row, "causeway", (double)(after - before), BENCH_NONE);
	}
	bench_note(row, "%u processes watched", n);
}
