/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA queues and channels: sisci.md §5.7, traps T13 – T15, T32, Decision 4.
 */
#include "rig.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define SIZE ((size_t)16 << 20)

static sci_desc_t sd;
static sci_local_segment_t source, target;
static sci_remote_segment_t remote;
static sci_dma_queue_t queue;
static sci_map_t map;
static char *from, *to;

static void begin(void)
{
	unsigned int id = rig_id();
	sci_map_t other;

	sd = rig_open();
	target = rig_segment(sd, id, SIZE);
	remote = rig_connect(sd, rig_node(), id);
	NEED(SCICreateSegment, sd, &source, rig_id(), SIZE, NULL, NULL, 0);
	from = SCIMapLocalSegment(source, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	to = SCIMapLocalSegment(target, &other, 0, SIZE, NULL, 0, &(sci_error_t){0});
	for (size_t i = 0; i < SIZE; i++)
		from[i] = (char)(i * 31 + i / 4096);
	NEED(SCICreateDMAQueue, sd, &queue, 0, 4, 0);
}

/* T13: it is never available, and the remote side is not mapped */
static void prepared(void)
{
	begin();
	NEED(SCIPrepareSegment, source, 0, SCI_FLAG_DMA_SOURCE_ONLY);
}

static void queues_are_checked(void)
{
	sci_dma_queue_t q = NULL;

	begin();
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateDMAQueue, sd, NULL, 0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateDMAQueue, NULL, &q, 0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateDMAQueue, sd, &q, 0, 0, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCICreateDMAQueue, sd, &q, 1, 1, 0);
	CHECK(!q);
	OK(SCIRemoveDMAQueue, queue, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveDMAQueue, queue, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForDMAQueue, queue, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIAbortDMAQueue, queue, 0);
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_ERROR);
}

static void transfers_are_checked(void)
{
	begin();
	CODE(SCI_ERR_SEGMENT_NOT_PREPARED, SCIStartDmaTransfer, queue, source, remote, 0, 1, 0,
		NULL, NULL, 0);
	NEED(SCIPrepareSegment, source, 0, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIStartDmaTransfer, queue, source, remote, SIZE, 1, 0, NULL,
		NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIStartDmaTransfer, queue, source, remote, 0, 1, SIZE, NULL,
		NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIStartDmaTransfer, queue, source, remote, 1, SIZE_MAX, 0, NULL,
		NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransfer, NULL, source, remote, 0, 1, 0, NULL,
		NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransfer, queue, NULL, remote, 0, 1, 0, NULL,
		NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransfer, queue, source, NULL, 0, 1, 0, NULL,
		NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransfer, queue, source, remote, 0, 1, 0, NULL,
		NULL, SCI_FLAG_USE_CALLBACK);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransferVec, queue, source, remote, 1, NULL,
		NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartDmaTransferMem, queue, NULL, remote, 1, 0, NULL,
		NULL, 0);
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_IDLE);
}

static sci_dma_queue_state_t wait_for_end(void)
{
	sci_error_t e = RIG_POISON;
	sci_dma_queue_state_t state = SCIWaitForDMAQueue(queue, SCI_INFINITE_TIMEOUT, 0, &e);

	CHECK_EQUAL(e, SCI_ERR_OK);
	return state;
}

static void a_transfer_writes_and_reads(void)
{
	prepared();
	OK(SCIWaitForDMAQueue, queue, 0, 0);
	OK(SCIStartDmaTransfer, queue, source, remote, 0, SIZE, 0, NULL, NULL, 0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK(!memcmp(from, to, SIZE));
	memset(from, 0, PAGE);
	OK(SCIStartDmaTransfer, queue, source, remote, 0, PAGE, 0, NULL, NULL,
		SCI_FLAG_DMA_READ | SCI_FLAG_DMA_SYSDMA | SCI_FLAG_DMA_GLOBAL);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK(!memcmp(from, to, PAGE));
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_DONE);
}

/* T15 */
static void any_size_and_offset_will_do(void)
{
	prepared();
	for (size_t size = 1; size < 100000; size = size * 3 + 1) {
		memset(to, 0, 100020);
		OK(SCIStartDmaTransfer, queue, source, remote, 3, size, 5, NULL, NULL,
			SCI_FLAG_DMA_WAIT);
		CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_DONE);
		CHECK(!memcmp(from + 3, to + 5, size) && to[5 + size] == 0 && to[4] == 0);
	}
}

/* T14 */
static void vectors_scatter_and_gather(void)
{
	dis_dma_vec_t vector[DIS_DMA_MAX_VECLEN + 1];

	prepared();
	memset(vector, 0xee, sizeof(vector)); /* flags stay as they are */
	for (unsigned int i = 0; i < DIS_DMA_MAX_VECLEN; i++) {
		vector[i].size = 1 + i * 13;
		vector[i].local_offset = i * 8192;
		vector[i].remote_offset = (DIS_DMA_MAX_VECLEN - i) * 8192 + 1;
	}
	OK(SCIStartDmaTransferVec, queue, source, remote, DIS_DMA_MAX_VECLEN, vector, NULL, NULL,
		0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	for (unsigned int i = 0; i < DIS_DMA_MAX_VECLEN; i++)
		CHECK(!memcmp(from + vector[i].local_offset, to + vector[i].remote_offset,
			vector[i].size));
	CODE(SCI_ERR_MAX_ENTRIES, SCIStartDmaTransferVec, queue, source, remote,
		DIS_DMA_MAX_VECLEN + 1, vector, NULL, NULL, 0);
	OK(DISStartDmaTransferVec, queue, source, remote, 1, vector, NULL, NULL, SCI_FLAG_DMA_WAIT);
	OK(DISStartDmaTransfer, queue, source, remote, 0, 1, 0, NULL, NULL, SCI_FLAG_DMA_WAIT);
}

static void ordinary_memory_will_do(void)
{
	char *memory = malloc(100000);

	prepared();
	memcpy(memory, from, 100000);
	OK(SCIStartDmaTransferMem, queue, memory, remote, 100000, 7, NULL, NULL, 0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK(!memcmp(memory, to + 7, 100000));
	memset(memory, 0, 100000);
	OK(SCIStartDmaTransferMem, queue, memory, remote, 100000, 7, NULL, NULL, SCI_FLAG_DMA_READ);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK(!memcmp(memory, to + 7, 100000));
}

/* callbacks */

static atomic_int n_calls, last_status, bad_state;

static sci_callback_action_t on_done(void *arg, sci_dma_queue_t q, sci_error_t status)
{
	CHECK(arg == &n_calls && q == queue);
	if (SCIDMAQueueState(q) == SCI_DMAQUEUE_POSTED ||
		SCIDMAQueueState(q) == SCI_DMAQUEUE_GATHER)
		bad_state = 1;
	last_status = (int)status;
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

static void a_callback_tells_the_end(void)
{
	prepared();
	OK(SCIStartDmaTransfer, queue, source, remote, 0, SIZE, 0, on_done, &n_calls,
		SCI_FLAG_USE_CALLBACK);
	EVENTUALLY(n_calls == 1);
	CHECK_EQUAL(last_status, SCI_ERR_OK);
	CHECK(!bad_state && !memcmp(from, to, SIZE));
	/* one without the flag is ignored */
	OK(SCIStartDmaTransfer, queue, source, remote, 0, 8, 0, on_done, &n_calls, 0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	rig_sleep(30);
	CHECK_EQUAL(n_calls, 1);
}

/* T32, program D */
static sci_callback_action_t start_next(void *arg, sci_dma_queue_t q, sci_error_t status)
{
	if (status != SCI_ERR_OK || SCIDMAQueueState(q) != SCI_DMAQUEUE_DONE)
		bad_state = 1;
	if (++n_calls < 100)
		OK(SCIStartDmaTransfer, q, source, remote, (size_t)n_calls * 100, 100,
			(size_t)n_calls * 100, start_next, arg, SCI_FLAG_USE_CALLBACK);
	return SCI_CALLBACK_CONTINUE;
}

static void a_callback_starts_the_next_transfer_on_its_queue(void)
{
	prepared();
	OK(SCIStartDmaTransfer, queue, source, remote, 0, 100, 0, start_next, NULL,
		SCI_FLAG_USE_CALLBACK);
	EVENTUALLY(n_calls == 100);
	CHECK(!bad_state && !memcmp(from, to, 10000));
}

/* it really goes on by itself: what is slow is not waited for */
static void a_busy_queue_says_so(void)
{
	sci_dma_queue_t other;
	int n_busy = 0;

	prepared();
	NEED(SCICreateDMAQueue, sd, &other, 0, 1, 0);
	for (int i = 0; i < 20; i++) {
		OK(SCIStartDmaTransfer, other, source, remote, 0, SIZE, 0, NULL, NULL, 0);
		OK(SCIStartDmaTransfer, queue, source, remote, 0, SIZE, 0, NULL, NULL, 0);
		if (SAYS(SCIStartDmaTransfer, queue, source, remote, 0, 1, 0, NULL, NULL, 0) ==
			SCI_ERR_BUSY) {
			n_busy++;
			CHECK_EQUAL(SAYS(SCIRemoveDMAQueue, queue, 0), SCI_ERR_ILLEGAL_OPERATION);
			CHECK_EQUAL(SAYS(SCIClose, sd, 0), SCI_ERR_BUSY);
			CHECK_EQUAL(SAYS(SCIDisconnectSegment, remote, 0), SCI_ERR_BUSY);
		}
		wait_for_end();
		OK(SCIWaitForDMAQueue, other, SCI_INFINITE_TIMEOUT, 0);
	}
	CHECK(n_busy > 0);
}

static void an_aborted_transfer_ends(void)
{
	sci_dma_queue_t other;
	int n_aborted = 0;

	prepared();
	NEED(SCICreateDMAQueue, sd, &other, 0, 1, 0);
	for (int i = 0; i < 20; i++) {
		OK(SCIStartDmaTransfer, other, source, remote, 0, SIZE, 0, NULL, NULL, 0);
		OK(SCIStartDmaTransfer, queue, source, remote, 0, SIZE, 0, NULL, NULL, 0);
		OK(SCIAbortDMAQueue, queue, 0);
		CHECK(SCIDMAQueueState(queue) != SCI_DMAQUEUE_POSTED);
		n_aborted += SCIDMAQueueState(queue) == SCI_DMAQUEUE_ABORTED;
		OK(SCIWaitForDMAQueue, other, SCI_INFINITE_TIMEOUT, 0);
	}
	CHECK(n_aborted > 0);
	OK(SCIAbortDMAQueue, queue, 0);
	OK(SCIStartDmaTransfer, queue, source, remote, 0, 8, 0, NULL, NULL, SCI_FLAG_DMA_WAIT);
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_DONE);
}

static void publish_and_wait(void *data)
{
	(void)data;
	(void)rig_segment(rig_open(), rig_hear_parent(), SIZE);
	rig_tell_parent(1);
	rig_hear_parent();
}

/* §6.5 */
static void a_dead_owner_is_an_error(void)
{
	rig_peer_t peer = rig_here(publish_and_wait, NULL);
	unsigned int id = rig_id();

	prepared();
	rig_tell(peer, id);
	rig_hear(peer);
	remote = rig_connect(sd, rig_node(), id);
	rig_kill(peer);
	EVENTUALLY(SAYS(SCIStartDmaTransfer, queue, source, remote, 0, 8, 0, NULL, NULL,
			   SCI_FLAG_DMA_WAIT) != SCI_ERR_OK);
	CODE(SCI_ERR_NOT_CONNECTED, SCIStartDmaTransfer, queue, source, remote, 0, 8, 0, NULL, NULL,
		0);
}

/* the old way */
static void gathered_transfers_are_posted_together(void)
{
	sci_error_t e = RIG_POISON;

	prepared();
	CHECK_EQUAL(SCIEnqueueDMATransfer(queue, source, remote, 0, 0, 100, 0, &e),
		SCI_DMAQUEUE_GATHER);
	CHECK_EQUAL(e, SCI_ERR_OK);
	for (unsigned int i = 1; i < 4; i++)
		OK(SCIEnqueueDMATransfer, queue, source, remote, i * 1000, i * 1000, 100, 0);
	CODE(SCI_ERR_MAX_ENTRIES, SCIEnqueueDMATransfer, queue, source, remote, 0, 0, 1, 0);
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_GATHER);
	CHECK(to[3000] == 0);
	OK(SCIPostDMAQueue, queue, NULL, NULL, SCI_FLAG_DMA_WAIT);
	CHECK(!memcmp(from, to, 100) && !memcmp(from + 3000, to + 3000, 100));
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIPostDMAQueue, queue, NULL, NULL, 0);
	OK(SCIResetDMAQueue, queue, 0);
	CHECK_EQUAL(SCIDMAQueueState(queue), SCI_DMAQUEUE_IDLE);
	OK(SCIEnqueueDMATransfer, queue, source, remote, 5000, 5000, 100, SCI_FLAG_DMA_POST);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK(!memcmp(from + 5000, to + 5000, 100));
}

static void channels_can_be_had(void)
{
	sci_dma_channel_t channel;

	prepared();
	OK(SCIRequestDMAChannel, sd, &channel, 0, SCI_DMA_TYPE_SYSTEM, SCI_DMA_CHANNEL_ID_DONTCARE,
		SCI_FLAG_DMA_CHANNEL_SHARED);
	OK(SCIAssignDMAChannel, channel, queue, 0);
	OK(SCIPrepareLocalSegmentForDMA, channel, source, 0);
	OK(SCIPrepareRemoteSegmentForDMA, channel, remote, 0);
	OK(SCIUnprepareRemoteSegmentForDMA, channel, remote, 0);
	OK(SCIUnprepareLocalSegmentForDMA, channel, source, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIAssignDMAChannel, channel, NULL, 0);
	OK(SCIReturnDMAChannel, channel);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIReturnDMAChannel, channel);
}

static const rig_test_t tests[] = {
	TEST(queues_are_checked),
	TEST(transfers_are_checked),
	TEST(a_transfer_writes_and_reads),
	TEST(any_size_and_offset_will_do),
	TEST(vectors_scatter_and_gather),
	TEST(ordinary_memory_will_do),
	TEST(a_callback_tells_the_end),
	TEST(a_callback_starts_the_next_transfer_on_its_queue),
	TEST(a_busy_queue_says_so),
	TEST(an_aborted_transfer_ends),
	TEST(a_dead_owner_is_an_error),
	TEST(gathered_transfers_are_posted_together),
	TEST(channels_can_be_had),
};

RIG_MAIN(tests)
