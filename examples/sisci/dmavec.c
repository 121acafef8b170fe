/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client writes many pieces of its segment into the server's with one DMA, in the opposite
 *order; the server checks them when the client has gone.
 *
 *	dmavec -rn 8 -server &		on node 4
 *	dmavec -rn 4 -client		on node 8
 */
#include "common.h"

#define WHAT   "write pieces of a segment by one DMA"
#define PIECES 64u

static unsigned char byte_of(size_t piece, size_t i)
{
	return (unsigned char)(piece * 7 + i * 13 + i / 256);
}

static int serve(const options_t *o, sci_desc_t sd)
{
	sci_local_segment_t segment = publish(o, sd, o->id, o->size);
	size_t piece_size = o->size / PIECES;
	sci_segment_cb_reason_t reason;
	unsigned int wrong = 0;
	unsigned char *data;
	sci_error_t error;
	sci_map_t map;

	data = map_local(segment, &map, o->size);
	do {
		reason = SCIWaitForLocalSegmentEvent(
			segment, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, &error);
		if (error != SCI_ERR_OK)
			failed("SCIWaitForLocalSegmentEvent", error);
	} while (reason == SCI_CB_CONNECT || reason == SCI_CB_OPERATIONAL);
	for (size_t p = 0; p < PIECES; p++)
		for (size_t i = 0; i < piece_size; i++)
			wrong += data[(PIECES - 1 - p) * piece_size + i] != byte_of(p, i);
	printf("%u pieces of %zu bytes: %u bytes were wrong\n", PIECES, piece_size, wrong);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIRemoveSegment, segment, 0);
	return wrong > 0;
}

static void write_pieces(const options_t *o, sci_desc_t sd)
{
	sci_remote_segment_t remote = connect_to(o, sd, o->id);
	size_t piece_size = o->size / PIECES;
	dis_dma_vec_t pieces[PIECES];
	sci_local_segment_t local;
	unsigned char *data;
	sci_dma_queue_t queue;
	double begin, us;
	sci_map_t map;

	CALL(SCICreateSegment, sd, &local, 0, o->size, NULL, NULL, SCI_FLAG_PRIVATE);
	CALL(SCIPrepareSegment, local, o->adapter, SCI_FLAG_DMA_SOURCE_ONLY);
	data = map_local(local, &map, o->size);
	for (size_t p = 0; p < PIECES; p++) {
		for (size_t i = 0; i < piece_size; i++)
			data[p * piece_size + i] = byte_of(p, i);
		pieces[p].size = (unsigned int)piece_size;
		pieces[p].local_offset = (unsigned int)(p * piece_size);
		pieces[p].remote_offset = (unsigned int)((PIECES - 1 - p) * piece_size);
		pieces[p].flags = 0;
	}
	CALL(SCICreateDMAQueue, sd, &queue, o->adapter, 1, 0);
	begin = now_us();
	CALL(SCIStartDmaTransferVec, queue, local, remote, PIECES, pieces, NULL, NULL, 0);
	CALL(SCIWaitForDMAQueue, queue, SCI_INFINITE_TIMEOUT, 0);
	us = now_us() - begin;
	if (SCIDMAQueueState(queue) != SCI_DMAQUEUE_DONE)
		failed("SCIStartDmaTransferVec", SCI_ERR_TRANSFER_FAILED);
	printf("%u pieces of %zu bytes in %.2f us, %.0f MB/s\n", PIECES, piece_size, us,
		(double)(piece_size * PIECES) / us);
	CALL(SCIRemoveDMAQueue, queue, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIRemoveSegment, local, 0);
	CALL(SCIDisconnectSegment, remote, 0);
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x6000, .size = 1 << 20};
	int status = 0;
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	CALL(SCIOpen, &sd, 0);
	if (o.server)
		status = serve(&o, sd);
	else
		write_pieces(&o, sd);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return status;
}
