/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of a store into the other side's memory and one back, each waiting for the other's by
 * reading its own memory.
 *
 *	pingpong -rn 8 -server &	on node 4
 *	pingpong -rn 4 -client		on node 8
 */
#include "common.h"

#include <sched.h>

#define WHAT "measure stores to and fro"

static void wait_for(const volatile uint32_t *word, uint32_t value)
{
	for (unsigned int turns = 0; *word != value; turns++)
		if (turns > 100000)
			sched_yield();
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x2000, .size = 4096, .loops = 10000};
	volatile uint32_t *local, *remote;
	sci_local_segment_t local_segment;
	sci_remote_segment_t remote_segment;
	sci_map_t local_map, remote_map;
	double *times;
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	times = calloc(o.loops + 1, sizeof(*times));
	if (!times)
		return 1;
	CALL(SCIOpen, &sd, 0);
	local_segment = publish(&o, sd, o.id + (o.client ? 1 : 0), o.size);
	local = map_local(local_segment, &local_map, o.size);
	remote_segment = connect_to(&o, sd, o.id + (o.client ? 0 : 1));
	remote = map_remote(remote_segment, &remote_map, o.size);

	for (uint32_t round = 1; round <= o.loops; round++) {
		double begin = now_us();

		if (o.client) {
			*remote = round;
			SCIFlush(NULL, 0);
			wait_for(local, round);
		} else {
			wait_for(local, round);
			*remote = round;
			SCIFlush(NULL, 0);
		}
		times[round] = now_us() - begin;
	}
	if (o.client) {
		qsort(times + 1, o.loops, sizeof(*times), by_value);
		printf("%-12s %14s %14s\n", "round trips", "median/us", "half of it/us");
		printf("%-12u %14.3f %14.3f\n", o.loops, times[1 + o.loops / 2],
			times[1 + o.loops / 2] / 2);
	}
	free(times);

	CALL(SCIUnmapSegment, remote_map, 0);
	CALL(SCIDisconnectSegment, remote_segment, 0);
	CALL(SCIUnmapSegment, local_map, 0);
	CALL(SCIRemoveSegment, local_segment, 0);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return 0;
}
