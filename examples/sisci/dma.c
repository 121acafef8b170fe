/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client writes its segment into the server's by DMA, waits or is called back, reads it back
 *the same way and compares.
 *
 *	dma -rn 8 -server &		on node 4
 *	dma -rn 4 -client		on node 8
 */
#include "common.h"

#include <stdatomic.h>

#define WHAT "write and read back by DMA"

static atomic_int done;

static sci_callback_action_t on_done(void *arg, sci_dma_queue_t queue, sci_error_t status)
{
	(void)arg;
	(void)queue;
	atomic_store(&done, status == SCI_ERR_OK ? 1 : -1);
	return SCI_CALLBACK_CONTINUE;
}

static void serve(const options_t *o, sci_desc_t sd)
{
	sci_local_segment_t segment = publish(o, sd, o->id, o->size);
	sci_segment_cb_reason_t reason;
	sci_error_t error;

	/* until the client has gone */
	do {
		reason = SCIWaitForLocalSegmentEvent(
			segment, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, &error);
		if (error != SCI_ERR_OK)
			failed("SCIWaitForLocalSegmentEvent", error);
	} while (reason == SCI_CB_CONNECT || reason == SCI_CB_OPERATIONAL);
	CALL(SCIRemoveSegment, segment, 0);
}

/* Every other transfer is waited for, the rest call back. */
static void transfer(sci_dma_queue_t queue, sci_local_segment_t local, sci_remote_segment_t remote,
	size_t size, unsigned int flags, int call_back)
{
	atomic_store(&done, 0);
	CALL(SCIStartDmaTransfer, queue, local, remote, 0, size, 0, on_done, NULL,
		flags | (call_back ? SCI_FLAG_USE_CALLBACK : 0));
	if (!call_back)
		CALL(SCIWaitForDMAQueue, queue, SCI_INFINITE_TIMEOUT, 0);
	while (call_back && !atomic_load(&done))
		pause_ms(1);
	if (SCIDMAQueueState(queue) != SCI_DMAQUEUE_DONE)
		failed("SCIStartDmaTransfer", SCI_ERR_TRANSFER_FAILED);
}

static int write_and_read(const options_t *o, sci_desc_t sd)
{
	sci_remote_segment_t remote = connect_to(o, sd, o->id);
	sci_local_segment_t local;
	unsigned int wrong = 0;
	unsigned char *data;
	sci_dma_queue_t queue;
	double begin, us = 0;
	sci_map_t map;

	CALL(SCICreateSegment, sd, &local, 0, o->size, NULL, NULL, SCI_FLAG_PRIVATE);
	CALL(SCIPrepareSegment, local, o->adapter, SCI_FLAG_DMA_SOURCE_ONLY);
	data = map_local(local, &map, o->size);
	CALL(SCICreateDMAQueue, sd, &queue, o->adapter, 1, 0);
	for (unsigned int round = 0; round < o->loops; round++) {
		uint64_t sum;

		for (size_t i = 0; i < o->size; i++)
			data[i] = (unsigned char)(i * 31 + i / 256 + round);
		sum = checksum(data, o->size);
		begin = now_us();
		transfer(queue, local, remote, o->size, 0, round % 2);
		us += now_us() - begin;
		memset(data, 0, o->size);
		transfer(queue, local, remote, o->size, SCI_FLAG_DMA_READ, round % 2);
		wrong += checksum(data, o->size) != sum;
	}
	printf("%u transfers of %zu bytes: %.2f us each, %.0f MB/s; %u came back wrong\n", o->loops,
		o->size, us / o->loops, (double)o->size * o->loops / us, wrong);
	CALL(SCIRemoveDMAQueue, queue, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIRemoveSegment, local, 0);
	CALL(SCIDisconnectSegment, remote, 0);
	return wrong > 0;
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x5000, .size = 1 << 20, .loops = 20};
	int status = 0;
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	CALL(SCIOpen, &sd, 0);
	if (o.server)
		serve(&o, sd);
	else
		status = write_and_read(&o, sd);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return status;
}
