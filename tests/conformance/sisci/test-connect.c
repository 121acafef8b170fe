/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote segments on one node: sisci.md §5.3, §6.2, Decisions 1 and 5, traps T1 – T3, T7, T34.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u

static sci_desc_t sd;
static unsigned int id;

static void begin(void)
{
	sd = rig_open();
	id = rig_id();
}

static sci_error_t try(unsigned int node, unsigned int timeout)
{
	sci_remote_segment_t r;

	return SAYS(SCIConnectSegment, sd, &r, node, id, 0, NULL, NULL, timeout, 0);
}

/* T1, T3: whatever the timeout */
static void a_missing_segment_is_said_at_once(void)
{
	int64_t now;

	begin();
	now = rig_now();
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK_EQUAL(try(rig_node(), 10000), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK_EQUAL(try(rig_node(), SCI_INFINITE_TIMEOUT), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK(rig_now() - now < 2000);
}

/* T1: create to available is a race in all programs */
static void a_segment_that_is_not_available_yet_is_missing(void)
{
	sci_local_segment_t s;

	begin();
	NEED(SCICreateSegment, sd, &s, id, PAGE, NULL, NULL, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_NO_SUCH_SEGMENT);
	OK(SCIPrepareSegment, s, 0, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_NO_SUCH_SEGMENT);
	OK(SCISetSegmentAvailable, s, 0, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_OK);
}

static void a_withdrawn_segment_refuses(void)
{
	sci_local_segment_t s;

	begin();
	s = rig_segment(sd, id, PAGE);
	OK(SCISetSegmentUnavailable, s, 0, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_CONNECTION_REFUSED);
	OK(SCISetSegmentAvailable, s, 0, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_OK);
	OK(SCIRemoveSegment, s, 0);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_NO_SUCH_SEGMENT);
}

static void nodes_are_checked(void)
{
	begin();
	(void)rig_segment(sd, id, PAGE);
	CHECK_EQUAL(try(0, 0), SCI_ERR_ILLEGAL_NODEID);
	CHECK_EQUAL(try(rig_node() + 1, 0), SCI_ERR_ILLEGAL_NODEID);
	/* T2: a node that is not there looks as a segment that is not */
	CHECK_EQUAL(try(rig_node() + 400, 0), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK_EQUAL(try(SCI_LOCAL_HOST, 0), SCI_ERR_OK);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_OK);
}

static void connect_checks_its_parameters(void)
{
	sci_remote_segment_t r = NULL;

	begin();
	(void)rig_segment(sd, id, PAGE);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIConnectSegment, sd, NULL, rig_node(), id, 0, NULL, NULL,
		0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIConnectSegment, NULL, &r, rig_node(), id, 0, NULL, NULL,
		0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL, 0,
		SCI_FLAG_USE_CALLBACK);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIConnectSegment, sd, &r, rig_node(), id, 3, NULL, NULL, 0,
		0);
	CODE(SCI_ERR_ILLEGAL_ADAPTERNO, SCIConnectSegment, sd, &r, rig_node(), id, 128, NULL, NULL,
		0, 0);
	CHECK(!r);
}

static void a_segment_may_be_connected_many_times(void)
{
	sci_remote_segment_t r[50];

	begin();
	(void)rig_segment(sd, id, PAGE + 1);
	for (int i = 0; i < 50; i++)
		r[i] = rig_connect(sd, rig_node(), id);
	CHECK(SCIGetRemoteSegmentSize(r[0]) >= PAGE + 1);
	CHECK_EQUAL(SCIGetRemoteSegmentId(r[0]), id);
	CHECK_EQUAL(SCIGetRemoteSegmentNodeId(r[0]), rig_node());
	for (int i = 0; i < 50; i++)
		OK(SCIDisconnectSegment, r[i], 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIDisconnectSegment, r[0], 0);
	CHECK_EQUAL(SCIGetRemoteSegmentSize(r[0]), 0);
	CHECK_EQUAL(SCIGetRemoteSegmentSize(NULL), 0);
}

static void a_mapped_connection_is_busy(void)
{
	sci_remote_segment_t r;
	sci_map_t map;

	begin();
	(void)rig_segment(sd, id, PAGE);
	r = rig_connect(sd, rig_node(), id);
	NEED_TRUE(SCIMapRemoteSegment(r, &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	CODE(SCI_ERR_BUSY, SCIDisconnectSegment, r, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

/* T7: the memory lives as long as somebody is connected */
static void remove_does_not_wait_for_who_is_connected(void)
{
	sci_local_segment_t s;
	sci_remote_segment_t r, again;
	volatile char *p;
	sci_map_t map, second;

	begin();
	s = rig_segment(sd, id, PAGE);
	r = rig_connect(sd, rig_node(), id);
	p = SCIMapRemoteSegment(r, &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	p[0] = 'a';
	OK(SCIRemoveSegment, s, 0);
	CHECK(p[0] == 'a');
	p[1] = 'b';
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_NO_SUCH_SEGMENT);
	/* the id is free, and the new segment has nothing to do with the old one */
	s = rig_segment(sd, id, PAGE);
	again = rig_connect(sd, rig_node(), id);
	CHECK(((volatile char *)SCIMapRemoteSegment(
		      again, &second, 0, PAGE, NULL, 0, &(sci_error_t){0}))[0] == 0);
	OK(SCIUnmapSegment, second, 0);
	OK(SCIDisconnectSegment, again, 0);
	OK(SCIRemoveSegment, s, 0);
	CHECK(p[0] == 'a' && p[1] == 'b');
	/* who is connected may even map it once more */
	NEED_TRUE(SCIMapRemoteSegment(r, &second, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	OK(SCIUnmapSegment, second, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

static void force_remove_cuts_off_who_is_connected(void)
{
	sci_local_segment_t s;
	sci_remote_segment_t r;
	volatile char *p;
	sci_map_t map, second;

	begin();
	s = rig_segment(sd, id, PAGE);
	r = rig_connect(sd, rig_node(), id);
	p = SCIMapRemoteSegment(r, &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	OK(SCIRemoveSegment, s, SCI_FLAG_FORCE_REMOVE);
	p[0] = 1; /* never a fault */
	CODE(SCI_ERR_NOT_CONNECTED, SCIMapRemoteSegment, r, &second, 0, PAGE, NULL, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

static void publish_and_wait(void *data)
{
	(void)data;
	(void)rig_segment(rig_open(), rig_hear_parent(), 4 * PAGE);
	rig_tell_parent(1);
	rig_hear_parent();
}

/* T34, §6.5: the death of the owner */
static void the_owner_s_death_leaves_maps_that_do_not_fault(void)
{
	rig_peer_t peer = rig_here(publish_and_wait, NULL);
	sci_remote_segment_t r;
	volatile char *p;
	sci_map_t map;

	begin();
	rig_tell(peer, id);
	rig_hear(peer);
	r = rig_connect(sd, rig_node(), id);
	p = SCIMapRemoteSegment(r, &map, 0, 4 * PAGE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	p[PAGE] = 'x';
	rig_kill(peer);
	EVENTUALLY(try(rig_node(), 0) == SCI_ERR_NO_SUCH_SEGMENT);
	for (unsigned int i = 0; i < 4; i++)
		p[i * PAGE] = (char)(p[i * PAGE] + 1);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

/* the failing path must leak nothing */
static void a_thousand_failed_connects_leak_nothing(void)
{
	begin();
	for (int i = 0; i < 1000; i++)
		CHECK_EQUAL(try(rig_node(), SCI_INFINITE_TIMEOUT), SCI_ERR_NO_SUCH_SEGMENT);
	(void)rig_segment(sd, id, PAGE);
	CHECK_EQUAL(try(rig_node(), 0), SCI_ERR_OK);
}

static void ten_thousand_connections_come_and_go(void)
{
	begin();
	(void)rig_segment(sd, id, PAGE);
	for (int i = 0; i < 10000; i++)
		OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
}

static void publish_late(void *data)
{
	(void)data;
	rig_hear_parent();
	rig_sleep(200);
	(void)rig_segment(rig_open(), rig_hear_parent(), PAGE);
	rig_hear_parent();
}

/* Decision 1: for users who want connect to wait */
static void connect_waits_if_it_is_asked_to(void)
{
	rig_peer_t peer;
	int64_t now;

	peer = rig_here(publish_late, NULL);
	setenv("CAUSEWAY_SISCI_CONNECT", "wait", 1);
	begin();
	now = rig_now();
	CHECK_EQUAL(try(rig_node(), 100), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK(rig_now() - now >= 100);
	rig_tell(peer, 1);
	rig_tell(peer, id);
	CHECK_EQUAL(try(rig_node(), SCI_INFINITE_TIMEOUT), SCI_ERR_OK);
	rig_tell(peer, 1);
	rig_end(peer);
}

/* §6.2 */
static void an_asynchronous_connect_ends_in_an_event(void)
{
	sci_remote_segment_t r;
	sci_error_t status = RIG_POISON, error = RIG_POISON;
	sci_map_t map;

	begin();
	(void)rig_segment(sd, id, PAGE);
	OK(SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL, 0,
		SCI_FLAG_ASYNCHRONOUS_CONNECT);
	CHECK_EQUAL(SCIWaitForRemoteSegmentEvent(r, &status, SCI_INFINITE_TIMEOUT, 0, &error),
		SCI_CB_CONNECT);
	CHECK_EQUAL(error, SCI_ERR_OK);
	CHECK_EQUAL(status, SCI_ERR_OK);
	CHECK_EQUAL(SCIGetRemoteSegmentSize(r), PAGE);
	NEED_TRUE(SCIMapRemoteSegment(r, &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

static void an_asynchronous_connect_tells_its_failure(void)
{
	sci_remote_segment_t r;
	sci_error_t status = RIG_POISON;
	sci_map_t map;

	begin();
	OK(SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL, 0,
		SCI_FLAG_ASYNCHRONOUS_CONNECT);
	OK(SCIWaitForRemoteSegmentEvent, r, &status, SCI_INFINITE_TIMEOUT, 0);
	CHECK_EQUAL(status, SCI_ERR_NO_SUCH_SEGMENT);
	CODE(SCI_ERR_SEGMENT_NOT_CONNECTED, SCIMapRemoteSegment, r, &map, 0, PAGE, NULL, 0);
	OK(SCIDisconnectSegment, r, 0);
	for (int i = 0; i < 100; i++) {
		OK(SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL, 0,
			SCI_FLAG_ASYNCHRONOUS_CONNECT);
		OK(SCIDisconnectSegment, r, 0);
	}
}

static const rig_test_t tests[] = {
	TEST(a_missing_segment_is_said_at_once),
	TEST(a_segment_that_is_not_available_yet_is_missing),
	TEST(a_withdrawn_segment_refuses),
	TEST(nodes_are_checked),
	TEST(connect_checks_its_parameters),
	TEST(a_segment_may_be_connected_many_times),
	TEST(a_mapped_connection_is_busy),
	TEST(remove_does_not_wait_for_who_is_connected),
	TEST(force_remove_cuts_off_who_is_connected),
	TEST(the_owner_s_death_leaves_maps_that_do_not_fault),
	TEST(a_thousand_failed_connects_leak_nothing),
	TEST(ten_thousand_connections_come_and_go),
	TEST(connect_waits_if_it_is_asked_to),
	TEST(an_asynchronous_connect_ends_in_an_event),
	TEST(an_asynchronous_connect_tells_its_failure),
};

RIG_MAIN(tests)
