/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA, copies and sequences with a segment of another node: sisci.md §5.5 – §5.7, §6.5, §7. Needs
 * several nodes.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define SIZE ((size_t)12 << 20)

static sci_desc_t sd;
static unsigned int id, there;
static rig_peer_t owner;
static sci_local_segment_t local;
static sci_remote_segment_t remote;
static sci_dma_queue_t queue;
static char *memory;

enum { SUM = 1, NODE, INTERRUPT };

static unsigned int sum_of(const char *p, size_t n)
{
	unsigned int sum = 2166136261u;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ (unsigned char)p[i]) * 16777619u;
	return sum;
}

/* Has a segment and an interrupt, and says what is in the one when the other comes. */
static void own(void *data)
{
	sci_local_interrupt_t interrupt;
	unsigned int what, number;
	sci_map_t map;
	char *p;

	(void)data;
	sd = rig_open();
	id = number = rig_hear_parent();
	p = SCIMapLocalSegment(
		rig_segment(sd, id, SIZE), &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED(SCICreateInterrupt, sd, &interrupt, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	rig_tell_parent(rig_node());
	while ((what = rig_hear_parent())) {
		if (what == INTERRUPT)
			OK(SCIWaitForInterrupt, interrupt, 10000, 0);
		rig_tell_parent(sum_of(p, SIZE));
	}
}

static unsigned int ask(unsigned int what)
{
	rig_tell(owner, what);
	return rig_hear(owner);
}

static void begin(void)
{
	sci_map_t map;

	owner = rig_there(2, own, NULL);
	sd = rig_open();
	id = rig_id();
	rig_tell(owner, id);
	there = rig_hear(owner);
	remote = rig_connect(sd, there, id);
	NEED(SCICreateSegment, sd, &local, 0, SIZE, NULL, NULL, SCI_FLAG_PRIVATE);
	NEED(SCIPrepareSegment, local, 0, SCI_FLAG_DMA_SOURCE_ONLY);
	memory = SCIMapLocalSegment(local, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	for (size_t i = 0; i < SIZE; i++)
		memory[i] = (char)(i * 31 + i / 4096);
	NEED(SCICreateDMAQueue, sd, &queue, 0, 1, 0);
}

static void end(void)
{
	rig_tell(owner, 0);
	rig_end(owner);
}

static sci_dma_queue_state_t wait_for_end(void)
{
	return SCIWaitForDMAQueue(queue, SCI_INFINITE_TIMEOUT, 0, &(sci_error_t){0});
}

static void a_transfer_goes_there_and_back(void)
{
	unsigned int sum;

	begin();
	sum = sum_of(memory, SIZE);
	OK(SCIStartDmaTransfer, queue, local, remote, 0, SIZE, 0, NULL, NULL, 0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK_EQUAL(ask(SUM), sum);
	memset(memory, 0, SIZE);
	OK(SCIStartDmaTransfer, queue, local, remote, 0, SIZE, 0, NULL, NULL, SCI_FLAG_DMA_READ);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK_EQUAL(sum_of(memory, SIZE), sum);
	end();
}

static void vectors_of_every_size_arrive(void)
{
	dis_dma_vec_t vector[200];
	char *expected = calloc(1, SIZE);

	begin();
	for (unsigned int i = 0; i < 200; i++) {
		vector[i] = (dis_dma_vec_t){1 + i * 150, i * 32768, (199 - i) * 40000 + 1, 0};
		memcpy(expected + vector[i].remote_offset, memory + vector[i].local_offset,
			vector[i].size);
	}
	OK(SCIStartDmaTransferVec, queue, local, remote, 200, vector, NULL, NULL, 0);
	CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
	CHECK_EQUAL(ask(SUM), sum_of(expected, SIZE));
	end();
}

/* §7: the data is in place before an interrupt that was triggered afterwards */
static void an_interrupt_comes_behind_the_data(void)
{
	sci_remote_interrupt_t interrupt;

	begin();
	NEED(SCIConnectInterrupt, sd, &interrupt, there, 0, id, 0, 0);
	for (int i = 0; i < 5; i++) {
		memory[i * 1000] = (char)(100 + i);
		rig_tell(owner, INTERRUPT);
		OK(SCIStartDmaTransfer, queue, local, remote, 0, SIZE, 0, NULL, NULL,
			SCI_FLAG_DMA_WAIT);
		OK(SCITriggerInterrupt, interrupt, 0);
		CHECK_EQUAL(rig_hear(owner), sum_of(memory, SIZE));
	}
	end();
}

static void copies_and_stores_are_one_memory(void)
{
	sci_sequence_t sequence;
	sci_error_t e = RIG_POISON;
	char back[1000];
	volatile char *p;
	sci_map_t map;

	begin();
	p = SCIMapRemoteSegment(remote, &map, 0, SIZE, NULL, 0, &e);
	if (e == SCI_ERR_HW_NOSPC)
		rig_skip("no coherent maps here");
	NEED(SCICreateMapSequence, map, &sequence, 0);
	CHECK_EQUAL(SCIStartSequence(sequence, 0, &e), SCI_SEQ_OK);
	OK(SCIMemCpy, sequence, memory, map, 0, SIZE, SCI_FLAG_ERROR_CHECK);
	CHECK_EQUAL(ask(SUM), sum_of(memory, SIZE));
	CHECK(p[5000] == memory[5000]);
	p[5000] = memory[5000] = 'p';
	CHECK_EQUAL(ask(SUM), sum_of(memory, SIZE));
	OK(SCIMemCpy, sequence, back, map, 4500, sizeof(back), SCI_FLAG_BLOCK_READ);
	CHECK(!memcmp(back, memory + 4500, sizeof(back)));
	OK(SCIMemCpy, NULL, memory + 1, map, 3, 7777, 0);
	memmove(memory + 3, memory + 1, 7777);
	CHECK_EQUAL(ask(SUM), sum_of(memory, SIZE));
	CHECK_EQUAL(SCICheckSequence(sequence, 0, &e), SCI_SEQ_OK);
	/* §6.5 */
	rig_kill(owner);
	EVENTUALLY(SCICheckSequence(sequence, 0, &e) == SCI_SEQ_NOT_RETRIABLE);
	CODE(SCI_ERR_TRANSFER_FAILED, SCIMemCpy, sequence, memory, map, 0, SIZE,
		SCI_FLAG_ERROR_CHECK);
	p[0] = 1;
	OK(SCIRemoveSequence, sequence, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, remote, 0);
}

static void the_owner_s_death_ends_a_transfer(void)
{
	begin();
	OK(SCIStartDmaTransfer, queue, local, remote, 0, SIZE, 0, NULL, NULL, 0);
	rig_kill(owner);
	CHECK(wait_for_end() != SCI_DMAQUEUE_POSTED);
	/* one that its end meets under way fails as a transfer does */
	EVENTUALLY(SAYS(SCIStartDmaTransfer, queue, local, remote, 0, 8, 0, NULL, NULL,
			   SCI_FLAG_DMA_WAIT) == SCI_ERR_NOT_CONNECTED);
	CODE(SCI_ERR_NOT_CONNECTED, SCIStartDmaTransfer, queue, local, remote, 0, 8, 0, NULL, NULL,
		0);
	OK(SCIDisconnectSegment, remote, 0);
	OK(SCIRemoveDMAQueue, queue, 0);
}

/* a daemon that comes back: nothing is lost */
static void a_restarted_daemon_ends_no_transfer(void)
{
	begin();
	for (int i = 0; i < 4; i++) {
		memory[i] = (char)(i + 50);
		OK(SCIStartDmaTransfer, queue, local, remote, 0, SIZE, 0, NULL, NULL, 0);
		if (i == 1)
			rig_cluster("RIG_NODE2_RESTART");
		if (i == 2)
			rig_cluster("RIG_NODE1_RESTART");
		CHECK_EQUAL(wait_for_end(), SCI_DMAQUEUE_DONE);
		CHECK_EQUAL(ask(SUM), sum_of(memory, SIZE));
	}
	end();
}

static const rig_test_t tests[] = {
	TEST(a_transfer_goes_there_and_back),
	TEST(vectors_of_every_size_arrive),
	TEST(an_interrupt_comes_behind_the_data),
	TEST(copies_and_stores_are_one_memory),
	TEST(the_owner_s_death_ends_a_transfer),
	TEST(a_restarted_daemon_ends_no_transfer),
};

RIG_MAIN(tests)
