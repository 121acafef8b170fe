/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's sender: puts a picture into the receiver's segment in three ways, triggers an
 * interrupt each time; then tells what it hears of the receiver. `demo-sender -rn NODE FILE` */
#include "demo.h"

static unsigned char *read_file(const char *name, size_t *ret_size)
{
	unsigned char *data = NULL;
	FILE *f = fopen(name, "rb");
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		fprintf(stderr, "cannot read %s\n", name);
		exit(1);
	}
	rewind(f);
	data = malloc((size_t)size + 1);
	*ret_size = data ? fread(data, 1, (size_t)size, f) : 0;
	fclose(f);
	return data;
}

/* Each returns the microseconds of the transfer itself. */

static double by_stores(volatile unsigned char *to, const unsigned char *from, size_t size)
{
	double begin = now_us();

	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
	SCIFlush(NULL, 0);
	return now_us() - begin;
}

static double by_memcpy(sci_map_t map, void *from, size_t size)
{
	sci_sequence_t sequence;
	double begin;

	CALL(SCICreateMapSequence, map, &sequence, 0);
	begin = now_us();
	CALL(SCIMemCpy, sequence, from, map, HEADER_SIZE, size, SCI_FLAG_ERROR_CHECK);
	begin = now_us() - begin;
	CALL(SCIRemoveSequence, sequence, 0);
	return begin;
}

static double by_dma(const options_t *o, sci_desc_t sd, sci_remote_segment_t remote,
	const void *from, size_t size)
{
	sci_local_segment_t local;
	sci_dma_queue_t queue;
	sci_map_t map;
	double begin;

	CALL(SCICreateSegment, sd, &local, SEGMENT_ID, size, NULL, NULL, SCI_FLAG_PRIVATE);
	CALL(SCIPrepareSegment, local, o->adapter, SCI_FLAG_DMA_SOURCE_ONLY);
	memcpy(map_local(local, &map, size), from, size);
	CALL(SCICreateDMAQueue, sd, &queue, o->adapter, 1, 0);
	begin = now_us();
	CALL(SCIStartDmaTransfer, queue, local, remote, 0, size, HEADER_SIZE, NULL, NULL, 0);
	CALL(SCIWaitForDMAQueue, queue, SCI_INFINITE_TIMEOUT, 0);
	begin = now_us() - begin;
	if (SCIDMAQueueState(queue) != SCI_DMAQUEUE_DONE)
		failed("SCIStartDmaTransfer", SCI_ERR_TRANSFER_FAILED);
	CALL(SCIRemoveDMAQueue, queue, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIRemoveSegment, local, 0);
	return begin;
}

static sci_remote_interrupt_t connect_interrupt(const options_t *o, sci_desc_t sd)
{
	sci_remote_interrupt_t interrupt;
	sci_error_t error;

	do {
		SCIConnectInterrupt(sd, &interrupt, o->remote_node, o->adapter, INTERRUPT_NO,
			SCI_INFINITE_TIMEOUT, 0, &error);
		if (error == SCI_ERR_NO_SUCH_INTNO)
			pause_ms(2);
	} while (error == SCI_ERR_NO_SUCH_INTNO);
	if (error != SCI_ERR_OK)
		failed("SCIConnectInterrupt", error);
	return interrupt;
}

static const char *name_of(sci_segment_cb_reason_t reason)
{
	switch (reason) {
	case SCI_CB_CONNECT:
		return "SCI_CB_CONNECT";
	case SCI_CB_DISCONNECT:
		return "SCI_CB_DISCONNECT: the receiver is gone";
	case SCI_CB_NOT_OPERATIONAL:
		return "SCI_CB_NOT_OPERATIONAL: no contact with its node";
	case SCI_CB_OPERATIONAL:
		return "SCI_CB_OPERATIONAL: contact again";
	case SCI_CB_LOST:
		return "SCI_CB_LOST: its node is gone for good";
	}
	return "?";
}

/* Until the last one that can come. */
static void print_events(sci_remote_segment_t segment)
{
	sci_segment_cb_reason_t reason;
	sci_error_t error;

	do {
		reason = SCIWaitForRemoteSegmentEvent(
			segment, NULL, SCI_INFINITE_TIMEOUT, 0, &error);
		if (error != SCI_ERR_OK)
			failed("SCIWaitForRemoteSegmentEvent", error);
		printf("sender: event %s\n", name_of(reason));
		fflush(stdout);
	} while (reason != SCI_CB_DISCONNECT && reason != SCI_CB_LOST);
}

int main(int argc, char **argv)
{
	options_t o = {.size = 0};
	sci_remote_segment_t segment;
	sci_remote_interrupt_t interrupt;
	volatile unsigned char *memory;
	volatile header_t *header;
	unsigned char *picture;
	double us;
	sci_error_t error;
	sci_map_t map;
	sci_desc_t sd;
	size_t size;

	if (argc < 2)
		usage(argv[0], "send a picture", 2);
	picture = read_file(argv[argc - 1], &size);
	read_options(argc - 1, argv, "send a picture", &o);
	CALL(SCIOpen, &sd, 0);
	segment = connect_to(&o, sd, SEGMENT_ID);
	if (!picture || size + HEADER_SIZE > SCIGetRemoteSegmentSize(segment)) {
		fprintf(stderr, "the picture is too large\n");
		return 1;
	}
	memory = map_remote(segment, &map, HEADER_SIZE + size);
	header = (volatile header_t *)memory;
	interrupt = connect_interrupt(&o, sd);
	header->size = size;
	header->sum = checksum(picture, size);

	for (uint32_t way = 1; way <= N_WAYS; way++) {
		if (way == 1)
			us = by_stores(memory + HEADER_SIZE, picture, size);
		else if (way == 2)
			us = by_memcpy(map, picture, size);
		else
			us = by_dma(&o, sd, segment, picture, size);
		header->way = way;
		CALL(SCITriggerInterrupt, interrupt, 0);
		while (header->checked != way) {
			if (header->checked == WRONG)
				return 1;
			pause_ms(1);
		}
		printf("sender: %zu bytes by %s in %.0f us (%.0f MB/s), checksum %016llx: the same "
		       "there\n",
			size, ways[way], us, (double)size / us,
			(unsigned long long)checksum(picture, size));
		fflush(stdout);
	}
	free(picture);
	printf("sender: waits for what happens to the receiver\n");
	fflush(stdout);
	print_events(segment);
	memory[0] = 1; /* a map never faults */
	printf("sender: a store into the map did no harm\n");
	SCIConnectSegment(
		sd, &segment, o.remote_node, SEGMENT_ID, o.adapter, NULL, NULL, 0, 0, &error);
	printf("sender: connecting again says: %s (0x%x)\n", SCIGetErrorString(error),
		(unsigned int)error);
	SCITerminate();
	return 0;
}
