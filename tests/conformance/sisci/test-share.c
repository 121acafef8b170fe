/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared local segments: sisci.md §5.2, §7.
 */
#include "rig.h"

#include <string.h>

#define PAGE 4096u

static sci_desc_t sd;
static unsigned int id;
static sci_local_segment_t local;

static sci_local_segment_t attach(sci_error_t code, size_t *size)
{
	sci_local_segment_t s = NULL;

	CODE(code, SCIAttachLocalSegment, sd, &s, id, size, NULL, NULL, 0);
	CHECK(!s == (code != SCI_ERR_OK));
	return s;
}

static char *map(sci_local_segment_t s, sci_map_t *ret_map)
{
	char *p = SCIMapLocalSegment(s, ret_map, 0, PAGE, NULL, 0, &(sci_error_t){0});

	NEED_TRUE(p);
	return p;
}

static void only_shared_segments_can_be_attached(void)
{
	size_t size = 0;

	sd = rig_open();
	id = rig_id();
	(void)attach(SCI_ERR_NO_SUCH_SEGMENT, NULL);
	NEED(SCICreateSegment, sd, &local, id, 100, NULL, NULL, 0);
	(void)attach(SCI_ERR_ACCESS, &size);
	CHECK_EQUAL(size, 0);
	OK(SCIShareSegment, local, 0);
	(void)attach(SCI_ERR_OK, &size);
	CHECK(size >= 100);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIAttachLocalSegment, sd, NULL, id, NULL, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIAttachLocalSegment, NULL, &local, id, NULL, NULL, NULL,
		0);
}

static void an_attached_process(void *data)
{
	sci_local_segment_t s;
	sci_map_t m;
	char *p;

	(void)data;
	sd = rig_open();
	id = rig_hear_parent();
	s = attach(SCI_ERR_OK, NULL);
	CHECK_EQUAL(SCIGetLocalSegmentId(s), id);
	p = map(s, &m);
	CHECK(!strcmp(p, "creator"));
	strcpy(p, "attacher");
	OK(SCIPrepareSegment, s, 0, 0);
	OK(SCISetSegmentAvailable, s, 0, 0);
	rig_tell_parent(1);
	rig_hear_parent();
	OK(SCISetSegmentUnavailable, s, 0, 0);
	rig_tell_parent(1);
	rig_hear_parent();
	CODE(SCI_ERR_BUSY, SCIRemoveSegment, s, 0);
	OK(SCIUnmapSegment, m, 0);
	OK(SCIRemoveSegment, s, 0);
}

static void another_process_has_the_same_segment(void)
{
	rig_peer_t peer = rig_here(an_attached_process, NULL);
	sci_remote_segment_t r;
	sci_map_t m;
	char *p;

	sd = rig_open();
	id = rig_id();
	NEED(SCICreateSegment, sd, &local, id, PAGE, NULL, NULL, 0);
	OK(SCIShareSegment, local, 0);
	p = map(local, &m);
	strcpy(p, "creator");
	rig_tell(peer, id);
	rig_hear(peer);
	CHECK(!strcmp(p, "attacher"));
	/* who is attached has made it available */
	r = rig_connect(sd, rig_node(), id);
	OK(SCIDisconnectSegment, r, 0);
	/* attaching is no connection */
	CHECK_EQUAL(SAYS(SCIWaitForLocalSegmentEvent, local, NULL, NULL, 1000, 0), SCI_ERR_OK);
	CHECK_EQUAL(SAYS(SCIWaitForLocalSegmentEvent, local, NULL, NULL, 1000, 0), SCI_ERR_OK);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 10, 0);
	rig_tell(peer, 1);
	rig_hear(peer);
	CODE(SCI_ERR_CONNECTION_REFUSED, SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL,
		0, 0);
	rig_tell(peer, 1);
	rig_end(peer);
	OK(SCIUnmapSegment, m, 0);
	OK(SCIRemoveSegment, local, 0);
}

static void the_segment_goes_with_the_last_handle(void)
{
	sci_local_segment_t second;
	sci_remote_segment_t r;
	sci_map_t m;
	char *p;

	sd = rig_open();
	id = rig_id();
	local = rig_segment(sd, id, PAGE);
	OK(SCIShareSegment, local, 0);
	second = attach(SCI_ERR_OK, NULL);
	p = map(second, &m);
	OK(SCIRemoveSegment, local, 0);
	p[0] = 1;
	r = rig_connect(sd, rig_node(), id);
	CODE(SCI_ERR_SEGMENTID_USED, SCICreateSegment, sd, &local, id, PAGE, NULL, NULL, 0);
	OK(SCIWaitForLocalSegmentEvent, second, NULL, NULL, 5000, 0);
	OK(SCIUnmapSegment, m, 0);
	OK(SCIRemoveSegment, second, 0);
	CHECK_EQUAL(SCIWaitForRemoteSegmentEvent(r, NULL, 5000, 0, &(sci_error_t){0}),
		SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, r, 0);
	OK(SCIRemoveSegment, rig_segment(sd, id, PAGE), 0);
}

static void all_handles_hear_of_connections(void)
{
	sci_local_segment_t second;
	unsigned int node;

	sd = rig_open();
	id = rig_id();
	local = rig_segment(sd, id, PAGE);
	OK(SCIShareSegment, local, 0);
	second = attach(SCI_ERR_OK, NULL);
	(void)rig_connect(sd, rig_node(), id);
	OK(SCIWaitForLocalSegmentEvent, local, &node, NULL, 5000, 0);
	OK(SCIWaitForLocalSegmentEvent, second, &node, NULL, 5000, 0);
	CHECK_EQUAL(node, rig_node());
}

static const rig_test_t tests[] = {
	TEST(only_shared_segments_can_be_attached),
	TEST(another_process_has_the_same_segment),
	TEST(the_segment_goes_with_the_last_handle),
	TEST(all_handles_hear_of_connections),
};

RIG_MAIN(tests)
