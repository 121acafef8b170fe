/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time and bandwidth of SCIMemCpy() and of stores of a processor into the server's segment, by
 *size, as the vendor's scibench2 has them.
 *
 *	bench -rn 8 -server &		on node 4
 *	bench -rn 4 -client		on node 8
 */
#include "common.h"

#define WHAT "measure copies into the other side's memory"

static void serve(const options_t *o, sci_desc_t sd)
{
	sci_local_segment_t segment = publish(o, sd, o->id, o->size);
	sci_error_t error;
	sci_segment_cb_reason_t reason;

	/* until the client has gone */
	do {
		reason = SCIWaitForLocalSegmentEvent(
			segment, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, &error);
		if (error != SCI_ERR_OK)
			failed("SCIWaitForLocalSegmentEvent", error);
	} while (reason == SCI_CB_CONNECT || reason == SCI_CB_OPERATIONAL);
	CALL(SCIRemoveSegment, segment, 0);
}

static double time_of_copies(
	sci_sequence_t sequence, void *buffer, sci_map_t map, size_t size, unsigned int loops)
{
	double begin = now_us();

	for (unsigned int i = 0; i < loops; i++)
		CALL(SCIMemCpy, sequence, buffer, map, 0, size, 0);
	SCIStoreBarrier(sequence, 0);
	return (now_us() - begin) / loops;
}

static double time_of_stores(
	volatile void *remote, const void *buffer, size_t size, unsigned int loops)
{
	double begin = now_us();

	for (unsigned int i = 0; i < loops; i++) {
		memcpy((void *)remote, buffer, size);
		SCIFlush(NULL, SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY);
	}
	return (now_us() - begin) / loops;
}

static void measure(const options_t *o, sci_desc_t sd)
{
	sci_remote_segment_t segment = connect_to(o, sd, o->id);
	void *buffer = calloc(1, o->size);
	volatile void *remote;
	sci_sequence_t sequence;
	sci_map_t map;

	if (!buffer)
		exit(1);
	remote = map_remote(segment, &map, o->size);
	CALL(SCICreateMapSequence, map, &sequence, 0);
	printf("%10s | %12s %12s | %12s %12s\n", "bytes", "SCIMemCpy/us", "MB/s", "stores/us",
		"MB/s");
	for (size_t size = 4; size <= o->size; size *= 2) {
		/* about as many bytes for each size */
		unsigned int loops = (unsigned int)(((size_t)o->loops * 65536) / (size + 4096)) + 1;
		double copies, stores;

		(void)time_of_copies(sequence, buffer, map, size, 1);
		copies = time_of_copies(sequence, buffer, map, size, loops);
		stores = time_of_stores(remote, buffer, size, loops);
		printf("%10zu | %12.3f %12.1f | %12.3f %12.1f\n", size, copies,
			(double)size / copies, stores, (double)size / stores);
	}
	free(buffer);
	CALL(SCIRemoveSequence, sequence, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIDisconnectSegment, segment, 0);
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x4000, .size = 1 << 20, .loops = 100};
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	CALL(SCIOpen, &sd, 0);
	if (o.server)
		serve(&o, sd);
	else
		measure(&o, sd);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return 0;
}
