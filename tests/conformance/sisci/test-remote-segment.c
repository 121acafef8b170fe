/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An owner on another node: sisci.md §5.3, §6.3, §6.5, Decisions 1, 2, 5, traps T1 – T3, T7, T34.
 * Needs several nodes.
 */
#include "rig.h"

#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define SIZE (64 * PAGE)

static sci_desc_t sd;
static unsigned int id, there;
static rig_peer_t owner;

enum { CREATE = 1, AVAILABLE, UNAVAILABLE, NOTIFY, FORCE, REMOVE, EVENT, NODE, TERMINATE };

/* Does what it is told and says how it went. */
static void own(void *data)
{
	sci_local_segment_t s = NULL;
	sci_error_t e = RIG_POISON;
	unsigned int what, node;

	(void)data;
	sd = rig_open();
	while ((what = rig_hear_parent())) {
		switch (what) {
		case CREATE:
			id = rig_hear_parent();
			SCICreateSegment(sd, &s, id, SIZE, NULL, NULL, 0, &e);
			OK(SCIPrepareSegment, s, 0, 0);
			break;
		case AVAILABLE:
			SCISetSegmentAvailable(s, 0, 0, &e);
			break;
		case UNAVAILABLE:
			SCISetSegmentUnavailable(s, 0, 0, &e);
			break;
		case NOTIFY:
			SCISetSegmentUnavailable(s, 0, SCI_FLAG_NOTIFY, &e);
			break;
		case FORCE:
			SCISetSegmentUnavailable(s, 0, SCI_FLAG_FORCE_DISCONNECT, &e);
			break;
		case REMOVE:
			SCIRemoveSegment(s, 0, &e);
			break;
		case EVENT:
			e = (sci_error_t)SCIWaitForLocalSegmentEvent(s, &node, NULL, 10000, 0, &e);
			rig_tell_parent(node);
			break;
		case NODE:
			e = (sci_error_t)rig_node();
			break;
		case TERMINATE:
			SCITerminate();
			e = SCI_ERR_OK;
			break;
		}
		rig_tell_parent(e);
	}
}

static unsigned int ask(unsigned int what)
{
	rig_tell(owner, what);
	return rig_hear(owner);
}

static void begin_without_segment(void)
{
	owner = rig_there(2, own, NULL);
	sd = rig_open();
	id = rig_id();
	there = ask(NODE);
	CHECK(there != rig_node());
}

static void begin(void)
{
	begin_without_segment();
	rig_tell(owner, CREATE);
	rig_tell(owner, id);
	CHECK_EQUAL(rig_hear(owner), SCI_ERR_OK);
	CHECK_EQUAL(ask(AVAILABLE), SCI_ERR_OK);
}

static void end(void)
{
	rig_tell(owner, 0);
	rig_end(owner);
}

static sci_error_t try(void)
{
	sci_remote_segment_t r;

	return SAYS(SCIConnectSegment, sd, &r, there, id, 0, NULL, NULL, SCI_INFINITE_TIMEOUT, 0);
}

static sci_segment_cb_reason_t event_of(sci_remote_segment_t r, unsigned int timeout)
{
	sci_error_t e = RIG_POISON;

	return SCIWaitForRemoteSegmentEvent(r, NULL, timeout, 0, &e);
}

static void node_ids_are_multiples_of_four(void)
{
	begin_without_segment();
	CHECK_EQUAL(rig_node(), 4);
	CHECK_EQUAL(there, 8);
	CHECK(SCIProbeNode(sd, 0, there, 0, &(sci_error_t){0}));
	CODE(SCI_ERR_NO_SUCH_NODEID, SCIProbeNode, sd, 0, 200, 0);
	end();
}

static void a_missing_segment_is_said_within_a_round_trip(void)
{
	int64_t now;

	begin_without_segment();
	CHECK_EQUAL(try(), SCI_ERR_NO_SUCH_SEGMENT);
	now = rig_now();
	for (int i = 0; i < 100; i++)
		CHECK_EQUAL(try(), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK(rig_now() - now < 10000); /* one that waited for something would take 2 s */
	/* the other node goes on meanwhile */
	CHECK_EQUAL(ask(NODE), there);
	end();
}

static void availability_is_seen_from_there(void)
{
	begin_without_segment();
	rig_tell(owner, CREATE);
	rig_tell(owner, id);
	CHECK_EQUAL(rig_hear(owner), SCI_ERR_OK);
	CHECK_EQUAL(try(), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK_EQUAL(ask(AVAILABLE), SCI_ERR_OK);
	CHECK_EQUAL(try(), SCI_ERR_OK);
	CHECK_EQUAL(ask(UNAVAILABLE), SCI_ERR_OK);
	CHECK_EQUAL(try(), SCI_ERR_CONNECTION_REFUSED);
	CHECK_EQUAL(ask(AVAILABLE), SCI_ERR_OK);
	CHECK_EQUAL(try(), SCI_ERR_OK);
	end();
}

static void connections_know_what_they_lead_to(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	CHECK_EQUAL(SCIGetRemoteSegmentSize(r), SIZE);
	CHECK_EQUAL(SCIGetRemoteSegmentId(r), id);
	CHECK_EQUAL(SCIGetRemoteSegmentNodeId(r), there);
	OK(SCIDisconnectSegment, r, 0);
	end();
}

static void the_owner_hears_from_which_node(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_CONNECT);
	OK(SCIDisconnectSegment, r, 0);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_DISCONNECT);
	end();
}

/* T7 */
static void removal_leaves_the_connection_and_tells_it(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(REMOVE), SCI_ERR_OK);
	CHECK_EQUAL(event_of(r, 5000), SCI_CB_DISCONNECT);
	CHECK_EQUAL(try(), SCI_ERR_NO_SUCH_SEGMENT);
	OK(SCIDisconnectSegment, r, 0);
	end();
}

static void notify_tells_and_force_cuts_off(void)
{
	sci_remote_segment_t a, b;

	begin();
	a = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(NOTIFY), SCI_ERR_OK);
	CHECK_EQUAL(event_of(a, 5000), SCI_CB_DISCONNECT);
	CHECK_EQUAL(ask(AVAILABLE), SCI_ERR_OK);
	b = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(FORCE), SCI_ERR_OK);
	CHECK_EQUAL(event_of(b, 5000), SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, a, 0);
	OK(SCIDisconnectSegment, b, 0);
	end();
}

/* Decision 2 */
static void the_owner_s_death_is_a_disconnect(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	rig_kill(owner);
	CHECK_EQUAL(event_of(r, 5000), SCI_CB_DISCONNECT);
	EVENTUALLY(try() == SCI_ERR_NO_SUCH_SEGMENT);
	OK(SCIDisconnectSegment, r, 0);
}

static void the_owner_s_terminate_is_a_disconnect(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(TERMINATE), SCI_ERR_OK);
	CHECK_EQUAL(event_of(r, 5000), SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, r, 0);
	end();
}

static void connect_and_die(void *data)
{
	(void)data;
	sd = rig_open();
	there = rig_hear_parent();
	id = rig_hear_parent();
	(void)rig_connect(sd, there, id);
	rig_tell_parent(1);
	rig_hear_parent();
}

static void a_user_s_death_is_a_disconnect(void)
{
	rig_peer_t user = rig_here(connect_and_die, NULL);

	begin();
	rig_tell(user, there);
	rig_tell(user, id);
	rig_hear(user);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_CONNECT);
	rig_kill(user);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_DISCONNECT);
	end();
}

static void a_map_of_another_node_s_segment_is_memory(void)
{
	sci_remote_segment_t r;
	sci_error_t e = RIG_POISON;
	volatile char *p;
	sci_map_t map;

	begin();
	r = rig_connect(sd, there, id);
	p = SCIMapRemoteSegment(r, &map, PAGE, 2 * PAGE, NULL, 0, &e);
	if (e == SCI_ERR_HW_NOSPC)
		rig_skip("no coherent maps here");
	CHECK_EQUAL(e, SCI_ERR_OK);
	NEED_TRUE(p);
	p[0] = 'm';
	p[2 * PAGE - 1] = 'n';
	CHECK(p[0] == 'm' && p[2 * PAGE - 1] == 'n' && p[1] == 0);
	rig_kill(owner);
	CHECK_EQUAL(event_of(r, 5000), SCI_CB_DISCONNECT);
	p[0] = 1; /* never a fault */
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
}

/* The events of a node that dies: within the detection time, and LOST is the last. */
static void the_loss_of_the_node_is_told(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, there, id);
	rig_cluster("RIG_NODE2_KILL");
	CHECK_EQUAL(event_of(r, 10000), SCI_CB_NOT_OPERATIONAL);
	CHECK_EQUAL(event_of(r, 10000), SCI_CB_LOST);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForRemoteSegmentEvent, r, NULL, 10, 0);
	CHECK_EQUAL(try(), SCI_ERR_NO_SUCH_SEGMENT);
	CHECK(!SCIProbeNode(sd, 0, there, 0, &(sci_error_t){0}));
	OK(SCIDisconnectSegment, r, 0);
	rig_cluster("RIG_NODE2_START");
	EVENTUALLY(SCIProbeNode(sd, 0, there, 0, &(sci_error_t){0}));
}

static void a_restarted_daemon_keeps_connections(void)
{
	sci_remote_segment_t r;
	sci_segment_cb_reason_t reason;

	begin();
	r = rig_connect(sd, there, id);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_CONNECT);
	rig_cluster("RIG_NODE2_RESTART");
	CHECK_EQUAL(event_of(r, 10000), SCI_CB_NOT_OPERATIONAL);
	CHECK_EQUAL(event_of(r, 10000), SCI_CB_OPERATIONAL);
	/* both sides have heard that it is back */
	EVENTUALLY(SCIProbeNode(sd, 0, there, 0, &(sci_error_t){0}));
	rig_cluster("RIG_NODE1_RESTART");
	/* the owner's side sees it, too */
	do {
		CHECK_EQUAL(ask(EVENT), rig_node());
		reason = (sci_segment_cb_reason_t)rig_hear(owner);
	} while (reason == SCI_CB_OPERATIONAL);
	CHECK_EQUAL(reason, SCI_CB_NOT_OPERATIONAL);
	CHECK_EQUAL(ask(EVENT), rig_node());
	CHECK_EQUAL(rig_hear(owner), SCI_CB_OPERATIONAL);
	/* and what is there goes on */
	CHECK_EQUAL(try(), SCI_ERR_OK);
	CHECK_EQUAL(ask(REMOVE), SCI_ERR_OK);
	do
		reason = event_of(r, 5000);
	while (reason == SCI_CB_NOT_OPERATIONAL || reason == SCI_CB_OPERATIONAL);
	CHECK_EQUAL(reason, SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, r, 0);
	end();
}

static void an_asynchronous_connect_goes_to_other_nodes(void)
{
	sci_remote_segment_t r;
	sci_error_t status = RIG_POISON;

	begin();
	OK(SCIConnectSegment, sd, &r, there, id, 0, NULL, NULL, 0, SCI_FLAG_ASYNCHRONOUS_CONNECT);
	OK(SCIWaitForRemoteSegmentEvent, r, &status, 5000, 0);
	CHECK_EQUAL(status, SCI_ERR_OK);
	CHECK_EQUAL(SCIGetRemoteSegmentSize(r), SIZE);
	OK(SCIDisconnectSegment, r, 0);
	end();
}

static const rig_test_t tests[] = {
	TEST(node_ids_are_multiples_of_four),
	TEST(a_missing_segment_is_said_within_a_round_trip),
	TEST(availability_is_seen_from_there),
	TEST(connections_know_what_they_lead_to),
	TEST(the_owner_hears_from_which_node),
	TEST(removal_leaves_the_connection_and_tells_it),
	TEST(notify_tells_and_force_cuts_off),
	TEST(the_owner_s_death_is_a_disconnect),
	TEST(the_owner_s_terminate_is_a_disconnect),
	TEST(a_user_s_death_is_a_disconnect),
	TEST(a_map_of_another_node_s_segment_is_memory),
	TEST(an_asynchronous_connect_goes_to_other_nodes),
	TEST(a_restarted_daemon_keeps_connections),
	TEST(the_loss_of_the_node_is_told),
};

RIG_MAIN(tests)
