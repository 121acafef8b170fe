/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes, on two nodes or one, write into each other's segment and check what the other has
 * written.
 *
 *	shmem -rn 8 -server &		on node 4
 *	shmem -rn 4 -client		on node 8
 */
#include "common.h"

#define WHAT "write each other's memory and check it"

/* The last words of a segment: who writes says so here, behind his data. */
typedef struct {
	volatile uint32_t written, checked;
} flags_t;

static uint32_t pattern(size_t i, uint32_t round, int from_client)
{
	return (uint32_t)i * 2654435761u + round * 40503u + (from_client ? 1 : 0);
}

static void wait_for(const volatile uint32_t *word, uint32_t value)
{
	/* for other programs' sake where there is but one processor */
	for (unsigned int turns = 0; *word != value; turns++)
		if (turns > 10000)
			pause_ms(1);
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x1000, .size = 65536, .loops = 10};
	unsigned int own_id, other_id, wrong = 0;
	volatile uint32_t *local, *remote;
	volatile flags_t *local_flags, *remote_flags;
	sci_local_segment_t local_segment;
	sci_remote_segment_t remote_segment;
	sci_map_t local_map, remote_map;
	sci_desc_t sd;
	size_t n;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	own_id = o.id + (o.client ? 1 : 0);
	other_id = o.id + (o.client ? 0 : 1);
	o.size = (o.size + 3) / 4 * 4;
	n = o.size / 4;

	CALL(SCIOpen, &sd, 0);
	local_segment = publish(&o, sd, own_id, o.size + sizeof(flags_t));
	local = map_local(local_segment, &local_map, o.size + sizeof(flags_t));
	local_flags = (volatile flags_t *)(local + n);
	remote_segment = connect_to(&o, sd, other_id);
	remote = map_remote(remote_segment, &remote_map, o.size + sizeof(flags_t));
	remote_flags = (volatile flags_t *)(remote + n);

	for (uint32_t round = 1; round <= o.loops; round++) {
		for (size_t i = 0; i < n; i++)
			remote[i] = pattern(i, round, o.client);
		SCIFlush(NULL, 0);
		remote_flags->written = round;
		wait_for(&local_flags->written, round);
		for (size_t i = 0; i < n; i++)
			wrong += local[i] != pattern(i, round, !o.client);
		remote_flags->checked = round;
		wait_for(&local_flags->checked, round);
	}
	printf("%u rounds of %zu bytes each way: %u words were wrong\n", o.loops, o.size, wrong);

	CALL(SCIUnmapSegment, remote_map, 0);
	CALL(SCIDisconnectSegment, remote_segment, 0);
	CALL(SCIUnmapSegment, local_map, 0);
	CALL(SCISetSegmentUnavailable, local_segment, o.adapter, 0);
	CALL(SCIRemoveSegment, local_segment, 0);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return wrong > 0;
}
