/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemon and keeper at rest, with a client and a segment: how often they are scheduled in 10 s.
 */

#include <unistd.h>
#include "segment.h"

#define SECONDS 10u

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
			before += bench_switches(pids[i]);
		sleep(SECONDS);
		for (unsigned int i = 0; i < n; ++i)
			after += bench_switches(pids[i]);
		bench_sample(row, "causeway", (double)(after - before), BENCH_NONE);
	}
	bench_note(row, "%u processes watched", n);
}
