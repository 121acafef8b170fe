/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multicast on one node: sisci.md §7, traps T25, T26, Decision 4.
 */
#include "rig.h"

#include <string.h>

#define PAGE 4096u
#define SIZE (8 * PAGE)

static sci_desc_t sd;
static unsigned int group;
static sci_local_segment_t member;
static sci_remote_segment_t all;
static char *memory;

static sci_error_t join_as(unsigned int flags)
{
	sci_map_t map;
	sci_error_t e = SAYS(
		SCICreateSegment, sd, &member, group, SIZE, NULL, NULL, SCI_FLAG_BROADCAST | flags);

	if (e)
		return e;
	OK(SCIPrepareSegment, member, 0, SCI_FLAG_BROADCAST);
	OK(SCISetSegmentAvailable, member, 0, 0);
	memory = SCIMapLocalSegment(member, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	return SCI_ERR_OK;
}

static sci_error_t connect_group(void)
{
	return SAYS(SCIConnectSegment, sd, &all, DIS_BROADCAST_NODEID_GROUP_ALL, group, 0, NULL,
		NULL, SCI_INFINITE_TIMEOUT, SCI_FLAG_BROADCAST);
}

static void begin(void)
{
	sd = rig_open();
	group = rig_id();
	CHECK_EQUAL(join_as(0), SCI_ERR_OK);
	CHECK_EQUAL(connect_group(), SCI_ERR_OK);
}

static void a_group_without_members_is_no_segment(void)
{
	sd = rig_open();
	group = rig_id();
	CHECK_EQUAL(connect_group(), SCI_ERR_NO_SUCH_SEGMENT);
	/* an ordinary segment is no member */
	(void)rig_segment(sd, group, SIZE);
	CHECK_EQUAL(connect_group(), SCI_ERR_NO_SUCH_SEGMENT);
}

/* T26, program F: the only member connects to itself */
static void one_member_is_enough(void)
{
	begin();
	CHECK(SCIGetRemoteSegmentSize(all) >= SIZE);
	OK(SCIDisconnectSegment, all, 0);
}

static void unicast_must_be_allowed(void)
{
	sci_remote_segment_t r;

	begin();
	CODE(SCI_ERR_NO_SUCH_SEGMENT, SCIConnectSegment, sd, &r, rig_node(), group, 0, NULL, NULL,
		0, 0);
	group = rig_id();
	CHECK_EQUAL(join_as(SCI_FLAG_ALLOW_UNICAST), SCI_ERR_OK);
	OK(SCIConnectSegment, sd, &r, rig_node(), group, 0, NULL, NULL, 0, 0);
}

/* Decision 4: also to oneself */
static void stores_reach_the_member(void)
{
	volatile unsigned int *p, *m;
	sci_error_t e;
	sci_map_t map;

	begin();
	p = SCIMapRemoteSegment(all, &map, 0, SIZE, NULL, SCI_FLAG_BROADCAST, &e);
	NEED_TRUE(p);
	m = (volatile unsigned int *)memory;
	p[0] = 1234;
	EVENTUALLY(m[0] == 1234);
	p[1000] = 7;
	p[0] = 1235;
	EVENTUALLY(m[0] == 1235 && m[1000] == 7);
	/* the same value again, after somebody else has changed it */
	m[0] = 0;
	EVENTUALLY(p[0] == 0);
	p[0] = 1235;
	EVENTUALLY(m[0] == 1235);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, all, 0);
}

static void a_flush_orders_stores(void)
{
	volatile unsigned int *p, *m;
	sci_map_t map;

	begin();
	p = SCIMapRemoteSegment(all, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	m = (volatile unsigned int *)memory;
	for (unsigned int i = 1; i <= 200; i++) {
		p[5000] = i;
		SCIFlush(NULL, 0);
		CHECK_EQUAL(m[5000], i);
		p[0] = i;
	}
	EVENTUALLY(m[0] == 200);
}

/* data, then a flag at a lower address, without a flush */
static void a_word_comes_after_the_block_before_it(void)
{
	volatile unsigned int *p, *m;
	sci_map_t map;

	begin();
	p = SCIMapRemoteSegment(all, &map, 0, SIZE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	m = (volatile unsigned int *)memory;
	for (unsigned int i = 1; i <= 200; i++) {
		memset((char *)p + 3 * PAGE, (int)i, 2 * PAGE);
		p[0] = i;
		while (m[0] != i)
			;
		CHECK(((char *)m)[3 * PAGE] == (char)i && ((char *)m)[5 * PAGE - 1] == (char)i);
	}
}

static void copies_and_dma_reach_the_member(void)
{
	sci_local_segment_t source;
	sci_dma_queue_t queue;
	char buffer[1000];
	sci_map_t map, other;
	char *p;

	begin();
	memset(buffer, 'b', sizeof(buffer));
	NEED_TRUE(SCIMapRemoteSegment(all, &map, 0, SIZE, NULL, 0, &(sci_error_t){0}));
	OK(SCIMemCpy, NULL, buffer, map, 100, sizeof(buffer), 0);
	CHECK(!memcmp(memory + 100, buffer, sizeof(buffer)));
	OK(SCIMemCpy, NULL, buffer, map, 0, 100, SCI_FLAG_BLOCK_READ);
	CHECK(!memcmp(memory, buffer, 100));
	NEED(SCICreateSegment, sd, &source, 0, SIZE, NULL, NULL, SCI_FLAG_PRIVATE);
	p = SCIMapLocalSegment(source, &other, 0, SIZE, NULL, 0, &(sci_error_t){0});
	memset(p, 'd', SIZE);
	NEED(SCIPrepareSegment, source, 0, SCI_FLAG_DMA_SOURCE_ONLY);
	NEED(SCICreateDMAQueue, sd, &queue, 0, 1, 0);
	OK(SCIStartDmaTransfer, queue, source, all, 0, SIZE, 0, NULL, NULL,
		SCI_FLAG_BROADCAST | SCI_FLAG_DMA_WAIT);
	CHECK(!memcmp(memory, p, SIZE));
}

/* T25 */
static void group_0_is_a_group(void)
{
	sd = rig_open();
	group = 0;
	if (join_as(0) != SCI_ERR_OK)
		rig_skip("somebody has segment 0");
	CHECK_EQUAL(connect_group(), SCI_ERR_OK);
}

static const rig_test_t tests[] = {
	TEST(a_group_without_members_is_no_segment),
	TEST(one_member_is_enough),
	TEST(unicast_must_be_allowed),
	TEST(stores_reach_the_member),
	TEST(a_flush_orders_stores),
	TEST(a_word_comes_after_the_block_before_it),
	TEST(copies_and_dma_reach_the_member),
	TEST(group_0_is_a_group),
};

RIG_MAIN(tests)
