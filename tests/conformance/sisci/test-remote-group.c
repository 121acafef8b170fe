/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multicast over three nodes, and a key-value store in the manner of program D: clients write
 * requests into the memory of a group, servers answer into the client's own segment, by DMA.
 * sisci.md §7, trap T26.
 */
#include "rig.h"

#include <poll.h>
#include <string.h>

#define PAGE 4096u
#define SIZE (16 * PAGE)

static sci_desc_t sd;
static unsigned int group;

static sci_remote_segment_t connected_to_all(void)
{
	sci_remote_segment_t all = NULL;

	NEED(SCIConnectSegment, sd, &all, DIS_BROADCAST_NODEID_GROUP_ALL, group, 0, NULL, NULL,
		SCI_INFINITE_TIMEOUT, SCI_FLAG_BROADCAST);
	return all;
}

static char *joined(void)
{
	sci_local_segment_t member;
	sci_map_t map;

	NEED(SCICreateSegment, sd, &member, group, SIZE, NULL, NULL, SCI_FLAG_BROADCAST);
	NEED(SCIPrepareSegment, member, 0, SCI_FLAG_BROADCAST);
	NEED(SCISetSegmentAvailable, member, 0, 0);
	return SCIMapLocalSegment(member, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
}

/* Waits until word 0 has each value, or a larger one, and says what stands at word 5000 then. */
static void be_member(void *data)
{
	volatile unsigned int *m;
	unsigned int value;

	(void)data;
	sd = rig_open();
	group = rig_hear_parent();
	m = (volatile unsigned int *)joined();
	rig_tell_parent(1);
	while ((value = rig_hear_parent())) {
		EVENTUALLY(m[0] >= value);
		rig_tell_parent(m[5000]);
	}
}

static void every_member_gets_what_is_written(void)
{
	rig_peer_t a = rig_there(2, be_member, NULL), b = rig_there(3, be_member, NULL);
	volatile unsigned int *p, words[2];
	sci_remote_segment_t all;
	sci_map_t map;

	sd = rig_open();
	group = rig_id();
	rig_tell(a, group);
	rig_tell(b, group);
	CHECK(rig_hear(a) == 1 && rig_hear(b) == 1);
	/* the writer is no member */
	all = connected_to_all();
	p = SCIMapRemoteSegment(all, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	for (unsigned int i = 1; i <= 20; i++) {
		p[5000] = i * 3;
		SCIFlush(NULL, 0);
		p[0] = i;
		rig_tell(a, i);
		rig_tell(b, i);
		CHECK_EQUAL(rig_hear(a), i * 3);
		CHECK_EQUAL(rig_hear(b), i * 3);
	}
	words[0] = 1000;
	OK(SCIMemCpy, NULL, (void *)words, map, 0, 4, 0);
	rig_tell(a, 1000);
	rig_tell(b, 1000);
	CHECK(rig_hear(a) == 60 && rig_hear(b) == 60);
	/* one goes, the other stays */
	rig_kill(a);
	p[5000] = 99;
	SCIFlush(NULL, 0);
	p[0] = 2000;
	rig_tell(b, 2000);
	CHECK_EQUAL(rig_hear(b), 99);
	rig_tell(b, 0);
	rig_end(b);
}

static bool has_said(rig_peer_t peer)
{
	struct pollfd p = {.fd = peer.from, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void who_joins_later_gets_what_is_written_then(void)
{
	rig_peer_t a = rig_there(2, be_member, NULL), b = rig_there(3, be_member, NULL);
	volatile unsigned int *p, *m;
	sci_map_t map;

	sd = rig_open();
	group = rig_id();
	m = (volatile unsigned int *)joined();
	p = SCIMapRemoteSegment(connected_to_all(), &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	p[0] = 1;
	EVENTUALLY(m[0] == 1);
	rig_tell(a, group);
	rig_tell(b, group);
	CHECK(rig_hear(a) == 1 && rig_hear(b) == 1);
	rig_tell(a, 2);
	rig_tell(b, 2);
	/* some time later, that is */
	for (unsigned int i = 2; i < 1000 && !(has_said(a) && has_said(b)); i++) {
		p[0] = i;
		rig_sleep(10);
	}
	CHECK(has_said(a) && has_said(b) && m[0] >= 2);
	(void)rig_hear(a);
	(void)rig_hear(b);
	rig_tell(a, 0);
	rig_tell(b, 0);
	rig_end(a);
	rig_end(b);
}

/* --- the store --- */

#define SLOTS	   4u
#define VALUE_SIZE 1000u
#define N_KEYS	   64u

/* In the group's memory, one a client; the sequence number is written last. */
typedef struct {
	unsigned int node, segment, operation, key;
	unsigned char value[VALUE_SIZE];
	unsigned int number;
} request_t;

/* At the beginning of a client's segment; one answer a server. */
typedef struct {
	unsigned int number, found;
	unsigned char value[VALUE_SIZE];
} answer_t;

enum { GET = 1, PUT, STOP };

static void answer(unsigned int rank, const volatile request_t *q, const unsigned char *value,
	sci_local_segment_t own, answer_t *buffer, sci_dma_queue_t queue)
{
	sci_remote_segment_t client = rig_connect(sd, q->node, q->segment);

	memset(buffer, 0, sizeof(*buffer));
	buffer->found = value != NULL;
	if (value)
		memcpy(buffer->value, value, VALUE_SIZE);
	OK(SCIStartDmaTransfer, queue, own, client, 0, sizeof(*buffer), rank * sizeof(answer_t),
		NULL, NULL, SCI_FLAG_DMA_WAIT);
	/* the number goes last, so that the client finds the rest in place */
	buffer->number = q->number;
	OK(SCIStartDmaTransfer, queue, own, client, 0, 4, rank * sizeof(answer_t), NULL, NULL,
		SCI_FLAG_DMA_WAIT);
	OK(SCIDisconnectSegment, client, 0);
}

/* Has the keys whose number modulo the servers' is its rank. */
static void serve(void *data)
{
	unsigned int rank = *(unsigned int *)data, last[SLOTS] = {0};
	static unsigned char values[N_KEYS][VALUE_SIZE];
	static bool has[N_KEYS];
	volatile request_t *requests;
	sci_local_segment_t own;
	sci_dma_queue_t queue;
	answer_t *buffer;
	sci_map_t map;

	sd = rig_open();
	group = rig_hear_parent();
	requests = (volatile request_t *)joined();
	NEED(SCICreateSegment, sd, &own, 0, PAGE, NULL, NULL, SCI_FLAG_PRIVATE);
	NEED(SCIPrepareSegment, own, 0, SCI_FLAG_DMA_SOURCE_ONLY);
	NEED(SCICreateDMAQueue, sd, &queue, 0, 1, 0);
	buffer = SCIMapLocalSegment(own, &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	rig_tell_parent(1);
	for (;;) {
		for (unsigned int s = 0; s < SLOTS; s++) {
			volatile request_t *q = &requests[s];
			unsigned int number = q->number;

			if (number == last[s])
				continue;
			last[s] = number;
			if (q->operation == STOP)
				return;
			if (q->key % 2 != rank)
				continue;
			if (q->operation == PUT) {
				memcpy(values[q->key], (void *)q->value, VALUE_SIZE);
				has[q->key] = true;
			}
			answer(rank, q, has[q->key] ? values[q->key] : NULL, own, buffer, queue);
		}
		rig_sleep(1);
	}
}

static volatile request_t *slot;
static volatile answer_t *answers;
static unsigned int own_segment, n_asked;

static const volatile answer_t *ask(unsigned int operation, unsigned int key, unsigned char fill)
{
	const volatile answer_t *a = &answers[key % 2];

	slot->node = rig_node();
	slot->segment = own_segment;
	slot->operation = operation;
	slot->key = key;
	memset((void *)slot->value, fill, VALUE_SIZE);
	SCIFlush(NULL, 0);
	slot->number = ++n_asked;
	if (operation != STOP)
		EVENTUALLY(a->number == n_asked);
	return a;
}

static void a_key_value_store_on_three_nodes(void)
{
	static unsigned int ranks[] = {0, 1};
	rig_peer_t servers[] = {rig_there(2, serve, &ranks[0]), rig_there(3, serve, &ranks[1])};
	sci_map_t map;

	sd = rig_open();
	group = rig_id();
	own_segment = rig_id();
	for (int i = 0; i < 2; i++)
		rig_tell(servers[i], group);
	for (int i = 0; i < 2; i++)
		CHECK_EQUAL(rig_hear(servers[i]), 1);
	answers = SCIMapLocalSegment(
		rig_segment(sd, own_segment, PAGE), &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	slot = SCIMapRemoteSegment(connected_to_all(), &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(answers && slot);
	CHECK(!ask(GET, 7, 0)->found);
	for (unsigned int key = 0; key < 20; key++)
		CHECK(ask(PUT, key, (unsigned char)(key + 100))->found);
	for (unsigned int key = 0; key < 20; key++) {
		const volatile answer_t *a = ask(GET, key, 0);

		CHECK(a->found && a->value[0] == key + 100 &&
			a->value[VALUE_SIZE - 1] == key + 100);
	}
	CHECK(!ask(GET, 33, 0)->found);
	(void)ask(STOP, 0, 0);
	for (int i = 0; i < 2; i++)
		rig_end(servers[i]);
}

static const rig_test_t tests[] = {
	TEST(every_member_gets_what_is_written),
	TEST(who_joins_later_gets_what_is_written_then),
	TEST(a_key_value_store_on_three_nodes),
};

RIG_MAIN(tests)
