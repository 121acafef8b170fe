/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data moved by the processor, sequences and block transfers: sisci.md §5.5, §5.6, §6.5, traps T8,
 * T15.
 */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define SIZE (64 * PAGE)

static sci_desc_t sd;
static unsigned int id;
static sci_local_segment_t local;
static sci_remote_segment_t remote;
static sci_map_t local_map, remote_map;
static sci_sequence_t sequence;
static char *memory, buffer[SIZE];

static void begin(void)
{
	sd = rig_open();
	id = rig_id();
	local = rig_segment(sd, id, SIZE);
	remote = rig_connect(sd, rig_node(), id);
	memory = SCIMapLocalSegment(local, &local_map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(SCIMapRemoteSegment(remote, &remote_map, 0, SIZE, NULL, 0, &(sci_error_t){0}));
	NEED(SCICreateMapSequence, remote_map, &sequence, 0);
	for (size_t i = 0; i < SIZE; i++)
		buffer[i] = (char)(i * 31 + i / 256);
}

/* T15: any alignment, from one byte on */
static void copies_of_every_size_and_place_arrive(void)
{
	char back[SIZE];

	begin();
	for (size_t size = 1, at = 0; at + size <= SIZE; at += size, size = size * 2 + 1) {
		OK(SCIMemCpy, sequence, buffer + at, remote_map, at, size, SCI_FLAG_ERROR_CHECK);
		CHECK(!memcmp(memory + at, buffer + at, size));
		memset(back, 0, size);
		OK(SCIMemCpy, NULL, back, remote_map, at, size, SCI_FLAG_BLOCK_READ);
		CHECK(!memcmp(back, buffer + at, size));
	}
	OK(SCIMemCpy, NULL, buffer, remote_map, 0, SIZE, 0);
	CHECK(!memcmp(memory, buffer, SIZE));
	OK(SCIMemCpy_dual, NULL, buffer, remote_map, 5, 0, 0);
	OK(SCIMemCopy, buffer, remote_map, 7, 100, 0);
	CHECK(!memcmp(memory + 7, buffer, 100));
	OK(SCIMemCopy, back, remote_map, 7, 100, SCI_FLAG_BLOCK_READ);
	CHECK(!memcmp(back, buffer, 100));
}

static void copies_are_checked(void)
{
	begin();
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMemCpy, NULL, buffer, remote_map, SIZE, 1, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMemCpy, NULL, buffer, remote_map, 1, SIZE_MAX, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemCpy, NULL, NULL, remote_map, 0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemCpy, NULL, buffer, NULL, 0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemCpy, NULL, buffer, remote_map, 0, 1,
		SCI_FLAG_ERROR_CHECK);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemCpy, (sci_sequence_t)remote_map, buffer, remote_map,
		0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemWrite, NULL, memory, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMemWrite, buffer, NULL, 1, 0);
	OK(SCIMemWrite, buffer, memory + 3, 100, 0);
	CHECK(!memcmp(memory + 3, buffer, 100));
}

static void flushes_need_nothing(void)
{
	begin();
	SCIFlush(NULL, 0);
	SCIFlush(sequence, SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY);
	SCIStoreBarrier(NULL, 0);
	SCIStoreBarrier(sequence, 0);
	SCIFlushReadBuffers(sequence);
	OK(SCICacheSync, NULL, memory, 64, SCI_FLAG_CACHE_FLUSH);
	OK(SCICacheSync, local_map, memory, 64, SCI_FLAG_CACHE_INVALIDATE);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICacheSync, (sci_map_t)sequence, memory, 64,
		SCI_FLAG_CACHE_FLUSH);
	SetSciMemCopyFunction(5);
	CHECK_EQUAL(GetSciMemCopyFunction(), 5);
}

static void *flush_for_ever(void *data)
{
	(void)data;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		SCIFlush(sequence, 0);
	return NULL;
}

/* program C, program I */
static void threads_in_flush_can_be_cancelled(void)
{
	pthread_t thread;

	begin();
	for (int i = 0; i < 20; i++) {
		pthread_create(&thread, NULL, flush_for_ever, NULL);
		rig_sleep(1);
		CHECK(pthread_cancel(thread) == 0);
		pthread_join(thread, NULL);
	}
	OK(SCIMemCpy, sequence, buffer, remote_map, 0, SIZE, SCI_FLAG_ERROR_CHECK);
}

/* a flush in a polling loop is next to nothing */
static void a_flush_is_cheap(void)
{
	int64_t now;

	begin();
	now = rig_now();
	for (int i = 0; i < 1000000; i++)
		SCIFlush(NULL, 0);
	CHECK(rig_now() - now < 500);
}

static void sequences_say_ok_while_all_is_well(void)
{
	sci_error_t e = RIG_POISON;

	begin();
	CHECK_EQUAL(SCIStartSequence(sequence, 0, &e), SCI_SEQ_OK);
	CHECK_EQUAL(e, SCI_ERR_OK);
	e = RIG_POISON;
	CHECK_EQUAL(SCICheckSequence(sequence, SCI_FLAG_NO_FLUSH | SCI_FLAG_NO_STORE_BARRIER, &e),
		SCI_SEQ_OK);
	CHECK_EQUAL(e, SCI_ERR_OK);
	OK(SCIRemoveSequence, sequence, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveSequence, sequence, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIStartSequence, sequence, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICheckSequence, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateMapSequence, NULL, &sequence, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateMapSequence, remote_map, NULL, 0);
	OK(SCICreateMapSequence, local_map, &sequence, SCI_FLAG_FAST_BARRIER);
	CHECK_EQUAL(SCICheckSequence(sequence, 0, &e), SCI_SEQ_OK);
}

/* T8 */
static void a_sequence_outlives_its_map(void)
{
	begin();
	OK(SCIUnmapSegment, remote_map, 0);
	CHECK_EQUAL(SCICheckSequence(sequence, 0, &(sci_error_t){0}), SCI_SEQ_NOT_RETRIABLE);
	OK(SCIDisconnectSegment, remote, 0);
	OK(SCIRemoveSequence, sequence, 0);
}

static void publish_and_wait(void *data)
{
	(void)data;
	(void)rig_segment(rig_open(), rig_hear_parent(), SIZE);
	rig_tell_parent(1);
	rig_hear_parent();
}

/* §6.5 */
static void the_owner_s_death_shows_in_sequence_and_copy(void)
{
	rig_peer_t peer = rig_here(publish_and_wait, NULL);
	sci_error_t e;

	sd = rig_open();
	id = rig_id();
	rig_tell(peer, id);
	rig_hear(peer);
	remote = rig_connect(sd, rig_node(), id);
	NEED_TRUE(SCIMapRemoteSegment(remote, &remote_map, 0, SIZE, NULL, 0, &e));
	NEED(SCICreateMapSequence, remote_map, &sequence, 0);
	OK(SCIMemCpy, sequence, buffer, remote_map, 0, SIZE, SCI_FLAG_ERROR_CHECK);
	rig_kill(peer);
	EVENTUALLY(SCICheckSequence(sequence, 0, &e) == SCI_SEQ_NOT_RETRIABLE);
	CHECK_EQUAL(e, SCI_ERR_OK);
	CODE(SCI_ERR_TRANSFER_FAILED, SCIMemCpy, sequence, buffer, remote_map, 0, SIZE,
		SCI_FLAG_ERROR_CHECK);
	CHECK_EQUAL(SCIStartSequence(sequence, 0, &e), SCI_SEQ_NOT_RETRIABLE);
	OK(SCIRemoveSequence, sequence, 0);
	OK(SCIUnmapSegment, remote_map, 0);
	OK(SCIDisconnectSegment, remote, 0);
}

/* block transfers */

static atomic_int n_calls;

static int on_block(void *arg, sci_block_transfer_t block, sci_error_t status)
{
	CHECK(arg == buffer && block != NULL && status == SCI_ERR_OK);
	n_calls++;
	return 0;
}

static void blocks_go_from_map_to_map(void)
{
	sci_block_transfer_t block;

	begin();
	memcpy(memory, buffer, 1000);
	OK(SCITransferBlock, local_map, 0, remote_map, PAGE, 1000, 0);
	CHECK(!memcmp(memory + PAGE, buffer, 1000));
	OK(SCITransferBlock, remote_map, PAGE, local_map, 3 * PAGE, 1000, 0);
	CHECK(!memcmp(memory + 3 * PAGE, buffer, 1000));
	CODE(SCI_ERR_OUT_OF_RANGE, SCITransferBlock, local_map, SIZE, remote_map, 0, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITransferBlock, NULL, 0, remote_map, 0, 1, 0);
	OK(SCITransferBlockAsync, local_map, 0, remote_map, 5 * PAGE, 1000, &block, NULL, NULL, 0);
	OK(SCIWaitForBlockTransfer, block, SCI_INFINITE_TIMEOUT, 0);
	CHECK(!memcmp(memory + 5 * PAGE, buffer, 1000));
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForBlockTransfer, block, 0, 0);
	OK(SCITransferBlockAsync, local_map, 0, remote_map, 5 * PAGE, 1000, &block, on_block,
		buffer, SCI_FLAG_USE_CALLBACK);
	EVENTUALLY(n_calls == 1);
	OK(SCIAbortBlockTransfer, block, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIAbortBlockTransfer, block, 0);
}

static const rig_test_t tests[] = {
	TEST(copies_of_every_size_and_place_arrive),
	TEST(copies_are_checked),
	TEST(flushes_need_nothing),
	TEST(threads_in_flush_can_be_cancelled),
	TEST(a_flush_is_cheap),
	TEST(sequences_say_ok_while_all_is_well),
	TEST(a_sequence_outlives_its_map),
	TEST(the_owner_s_death_shows_in_sequence_and_copy),
	TEST(blocks_go_from_map_to_map),
};

RIG_MAIN(tests)
