/* SPDX-License-Identifier: Apache-2.0 */

/* Peers and sessions: hello, resume, heartbeats, silence, ends, dialling. */

#include "core/test-peer-world.h"

static void the_node_list_knows_each_node_once(void **state)
{
	struct peer_world w;
	EnginePeer *p = NULL;

	peer_world_init(&w);
	assert_int_equal(engine_count_nodes(w.engine), 5);
	for (uint32_t n = 1; n <= 5; n++)
		assert_true(engine_has_node(w.engine, n));
	assert_false(engine_has_node(w.engine, 0));
	assert_false(engine_has_node(w.engine, 6));
	assert_int_equal(engine_peer_get(w.engine, 6, &p), STATUS_NODE_UNKNOWN);
	assert_int_equal(engine_peer_get(w.engine, NODE, &p), STATUS_NODE_UNKNOWN);
	assert_null(p);
	peer_world_set_nodes(&w, 0);
	assert_int_equal(engine_count_nodes(w.engine), 1);
	peer_world_end(&w, NULL);
}

static void a_peer_of_whom_nothing_is_known_is_forgotten(void **state)
{
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, 2);
	assert_ptr_equal(peer_of(&w, 2), p);
	assert_int_equal(p->state, WIRE_PEER_IDLE);
	assert_int_equal(engine_next(w.engine), 0);
	engine_tick(w.engine, w.now);
	assert_null(engine_peer_find(w.engine, 2));
	assert_null(engine_peer_next(w.engine, 0));
	assert_int_equal(w.n_peer_frees, 1);
	assert_true(engine_next(w.engine) == UINT64_MAX);
	peer_world_end(&w, NULL);
}

static void an_access_list_may_name_any_node_of_the_list(void **state)
{
	const struct wire_access access[] = {
		{1, 0600}, {2, 0600}, {0, 0666}, {PEER, 0}, {5, 0444}, {5, 0444}};
	struct wire_access unknown = {6, 0600};
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	s = local_segment(c, 0600, ID);
	assert_int_equal(engine_segment_republish(s, access, 5), 0);
	assert_int_equal(engine_segment_republish(s, access, 6), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(engine_segment_republish(s, &unknown, 1), STATUS_BAD_ACCESS_LIST);
	/* A node that has left the list stays named. */
	peer_world_set_nodes(&w, 2);
	engine_check(w.engine);
	peer_world_end(&w, c);
}

static void hello_begins_a_session_that_the_acceptor_numbers(void **state)
{
	struct wire_peer_hello hello = hello_of(PEER, 0);
	struct wire_peer_hello_reply reply;
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, PEER);
	hello.uid = 1000;
	hello.detection = DETECTION / 2;
	assert_int_equal(engine_peer_hello(p, &hello, w.now, &reply), 0);
	assert_int_equal(reply.major, WIRE_MAJOR);
	assert_int_equal(reply.node, NODE);
	assert_int_equal(reply.incarnation, INCARNATION);
	assert_int_equal(reply.resumed, 0);
	assert_true(reply.session != 0 && reply.detection == DETECTION);
	assert_int_equal(p->session, reply.session);
	assert_int_equal(w.last_session, reply.session);
	assert_int_equal(p->uid, 1000);
	assert_true(p->detection == DETECTION / 2);
	assert_int_equal(p->state, WIRE_PEER_AWAY);
	engine_peer_up(p, w.now);
	assert_int_equal(p->state, WIRE_PEER_UP);
	assert_int_equal(w.n_sent, 0);
	peer_world_end(&w, NULL);
}

static void a_wrong_hello_is_refused_and_changes_nothing(void **state)
{
	const struct {
		struct wire_peer_hello hello;
		int result;
	} cases[] = {
		{{.major = 2, .node = PEER, .to = NODE, .incarnation = 1}, STATUS_VERSION},
		{{.major = 1, .node = 5, .to = NODE, .incarnation = 1}, STATUS_BAD_REQUEST},
		{{.major = 1, .node = PEER, .to = 5, .incarnation = 1}, STATUS_NODE_UNKNOWN},
		{{.major = 1, .node = PEER, .to = NODE, .incarnation = 0}, STATUS_BAD_REQUEST},
	};
	struct wire_peer_hello_reply reply;
	struct peer_world w;
	uint64_t session;

	peer_world_init(&w);
	world_up(&w);
	session = w.peer->session;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		assert_int_equal(
			engine_peer_hello(w.peer, &cases[i].hello, w.now, &reply), cases[i].result);
		assert_int_equal(reply.major, WIRE_MAJOR);
		assert_int_equal(reply.node, NODE);
		assert_int_equal(reply.session, 0);
		assert_int_equal(w.peer->state, WIRE_PEER_UP);
		assert_int_equal(w.peer->session, session);
	}
	peer_world_end(&w, NULL);
}

static struct wire_peer_hello_reply answer_of(uint64_t session, bool resumed)
{
	return (struct wire_peer_hello_reply){.major = WIRE_MAJOR,
		.node = PEER,
		.incarnation = THEIRS,
		.session = session,
		.resumed = resumed,
		.detection = DETECTION};
}

static void the_dialler_takes_the_session_of_the_answer(void **state)
{
	struct wire_peer_hello_reply answer = answer_of(13, false);
	struct wire_peer_hello hello;
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, PEER);
	engine_peer_want(p, w.now);
	pass(&w, 0);
	assert_int_equal(w.n_wanted, 1);
	assert_int_equal(p->state, WIRE_PEER_DIALLING);
	engine_peer_say_hello(p, &hello);
	assert_int_equal(hello.major, WIRE_MAJOR);
	assert_int_equal(hello.node, NODE);
	assert_int_equal(hello.to, PEER);
	assert_int_equal(hello.incarnation, INCARNATION);
	assert_int_equal(hello.session, 0);
	assert_true(hello.detection == DETECTION);
	assert_int_equal(engine_peer_hello_answer(p, &answer, w.now), 0);
	engine_peer_up(p, w.now);
	assert_int_equal(p->state, WIRE_PEER_UP);
	assert_int_equal(p->session, 13);
	assert_int_equal(p->incarnation, THEIRS);
	/* Not twice. */
	assert_int_equal(engine_peer_hello_answer(p, &answer, w.now), STATUS_BAD_REQUEST);
	engine_peer_unwant(p, w.now);
	peer_world_end(&w, NULL);
}

static void a_wrong_answer_to_hello_is_refused(void **state)
{
	struct wire_peer_hello_reply wrong[] = {answer_of(13, false), answer_of(13, false),
		answer_of(0, false), answer_of(13, true), answer_of(13, false), answer_of(13, true),
		answer_of(12, false) /* a number of ours */};
	struct wire_peer_hello hello;
	struct peer_world w;
	EnginePeer *p;

	wrong[0].major = 9;
	wrong[1].node = 5;
	wrong[4].incarnation = 0;
	wrong[5].resumed = 2;
	peer_world_init(&w);
	p = peer_of(&w, PEER);
	engine_peer_want(p, w.now);
	pass(&w, 0);
	engine_peer_say_hello(p, &hello);
	for (size_t i = 0; i < ELEMENTS(wrong); i++)
		assert_int_equal(engine_peer_hello_answer(p, &wrong[i], w.now),
			i == 0 ? STATUS_VERSION : STATUS_BAD_REQUEST);
	assert_int_equal(p->session, 0);
	engine_peer_unwant(p, w.now);
	peer_world_end(&w, NULL);
}

static void of_two_that_dial_each_other_the_lower_stays(void **state)
{
	struct wire_peer_hello hello, mine;
	struct wire_peer_hello_reply reply;
	struct peer_world w;
	EnginePeer *high, *low;

	peer_world_init(&w);
	high = peer_of(&w, PEER);
	low = peer_of(&w, 2);
	engine_peer_want(high, w.now);
	engine_peer_want(low, w.now);
	pass(&w, 0);
	hello = hello_of(PEER, 0);
	/* Before ours has been said theirs is as good. */
	engine_peer_say_hello(high, &mine);
	engine_peer_say_hello(low, &mine);
	assert_int_equal(engine_peer_hello(high, &hello, w.now, &reply), STATUS_IN_USE);
	assert_true(high->hello_sent && high->session == 0);
	hello = hello_of(2, 0);
	assert_int_equal(engine_peer_hello(low, &hello, w.now, &reply), 0);
	assert_false(low->hello_sent);
	engine_peer_up(low, w.now);
	/* Ours has failed: now theirs is welcome. */
	engine_peer_down(high, false, w.now);
	hello = hello_of(PEER, 0);
	assert_int_equal(engine_peer_hello(high, &hello, w.now, &reply), 0);
	engine_peer_up(high, w.now);
	engine_peer_unwant(high, w.now);
	engine_peer_unwant(low, w.now);
	peer_world_end(&w, NULL);
}

static void the_two_sides_never_number_sessions_alike(void **state)
{
	struct peer_world w;
	uint64_t first;

	peer_world_init(&w);
	world_up(&w);
	first = w.peer->session;
	assert_int_equal(first & 1, NODE > PEER);
	world_up(&w);
	assert_true(w.peer->session > first);
	assert_int_equal(w.peer->session & 1, NODE > PEER);
	peer_world_end(&w, NULL);
}

static void a_session_goes_on_over_another_connection(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;
	uint64_t session;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	session = w.peer->session;
	engine_peer_down(w.peer, false, w.now);
	assert_int_equal(w.peer->state, WIRE_PEER_AWAY);
	pass(&w, DETECTION / 2);
	world_up_with(&w, session);
	assert_int_equal(w.peer->session, session);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(w.n_sessions, 2);
	/* Also while we think that the former one is there. */
	world_up_with(&w, session);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	peer_world_end(&w, c);
}

static void a_session_of_another_life_or_number_is_not_resumed(void **state)
{
	for (int what = 0; what < 3; what++) {
		struct wire_peer_hello hello;
		struct wire_peer_hello_reply reply;
		struct peer_world w;
		EngineClient *c;
		EngineImport *i;

		peer_world_init(&w);
		world_up(&w);
		c = local_client(&w, 1000);
		i = connected_remote(&w, c);
		hello = hello_of(PEER, w.peer->session);
		if (what == 0)
			hello.session++;
		else if (what == 1)
			hello.incarnation++;
		else
			hello.peer_incarnation++;
		assert_int_equal(engine_peer_hello(w.peer, &hello, w.now, &reply), 0);
		assert_int_equal(reply.resumed, 0);
		assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
		assert_true(w.had_home);
		assert_null(i->home);
		engine_peer_up(w.peer, w.now);
		assert_int_equal(w.n_sent, 0);
		peer_world_end(&w, c);
	}
}

static void heartbeats_are_said_every_third_of_the_detection_time(void **state)
{
	struct peer_world w;
	EngineClient *c;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	connected_remote(&w, c);
	for (int i = 0; i < 30; i++) {
		pass(&w, DETECTION / 10);
		engine_peer_heard(w.peer, w.now);
	}
	/* Within a nanosecond: a third is rounded down. */
	assert_int_equal(w.n_sent, 9);
	for (unsigned int i = 0; i < w.n_sent; i++) {
		assert_int_equal(w.sent[i].type, WIRE_PEER_PING);
		assert_int_equal(w.sent[i].flags, WIRE_ONEWAY);
	}
	peer_world_end(&w, c);
}

static void no_heartbeats_without_a_session(void **state)
{
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, PEER);
	engine_peer_want(p, w.now);
	pass(&w, 10 * DETECTION);
	assert_int_equal(w.n_sent, 0);
	engine_peer_unwant(p, w.now);
	pass(&w, 0);
	assert_int_equal(w.n_peer_frees, 1);
	peer_world_end(&w, NULL);
}

static void a_peer_cannot_ask_for_more_heartbeats_than_a_few(void **state)
{
	struct wire_peer_hello hello = hello_of(PEER, 0);
	struct wire_peer_hello_reply reply;
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, PEER);
	hello.detection = 0;
	assert_int_equal(engine_peer_hello(p, &hello, w.now, &reply), 0);
	assert_true(p->detection == 10 * MS);
	peer_world_end(&w, NULL);
}

static void silence_ends_a_session_at_exactly_the_detection_time(void **state)
{
	for (int up = 0; up < 2; up++) {
		struct peer_world w;
		EngineClient *c;
		EngineImport *i;

		peer_world_init(&w);
		world_up(&w);
		c = local_client(&w, 1000);
		local_segment(c, 0666, ID);
		i = connected_remote(&w, c);
		assert_int_equal(asked(&w, 1, 0, 1, RW, 1000), 0);
		pass(&w, DETECTION / 2);
		assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_PING}), 0);
		if (!up)
			engine_peer_down(w.peer, false, w.now);
		pass(&w, DETECTION - 1);
		assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
		assert_int_equal(w.n_guest_frees, 0);
		w.n_closed = 0;
		pass(&w, 1);
		assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
		assert_int_equal(w.n_guest_frees, 1);
		assert_int_equal(w.last_session, 0);
		assert_int_equal(w.n_closed, 1);
		assert_null(engine_peer_find(w.engine, PEER));
		peer_world_end(&w, c);
	}
}

static void bye_ends_a_session_at_once(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	local_segment(c, 0666, ID);
	i = connected_remote(&w, c);
	assert_int_equal(asked(&w, 1, 0, 1, RW, 1000), 0);
	w.n_closed = 0;
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_BYE}), 0);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	assert_int_equal(w.n_guest_frees, 1);
	assert_int_equal(w.n_closed, 1);
	pass(&w, 0);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, c);
}

static void a_node_that_ends_says_bye_to_all(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	engine_peers_leave(w.engine, w.now);
	assert_int_equal(said(&w, WIRE_PEER_BYE)->flags, WIRE_ONEWAY);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	pass(&w, 0);
	assert_null(engine_peer_next(w.engine, 0));
	peer_world_end(&w, c);
}

static void a_connection_stays_ten_seconds_after_its_last_use(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	for (int n = 0; n < 30; n++) {
		pass(&w, DETECTION / 2);
		engine_peer_heard(w.peer, w.now);
		w.n_sent = 0;
	}
	engine_import_disconnect(i);
	said(&w, WIRE_PEER_DISCONNECT);
	for (int n = 0; n < 20; n++) {
		engine_peer_heard(w.peer, w.now);
		w.n_sent = 0;
		assert_int_equal(w.peer->state, WIRE_PEER_UP);
		w.n_closed = 0;
		pass(&w, DETECTION / 2);
	}
	assert_int_equal(w.sent[w.n_sent - 1].type, WIRE_PEER_BYE);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.last_session, 0);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, c);
}

static void what_is_wanted_is_dialled_again_with_growing_pauses(void **state)
{
	static const unsigned int pauses[] = {50, 100, 200, 400, 800, 1000, 1000};
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	p = peer_of(&w, PEER);
	engine_peer_want(p, w.now);
	pass(&w, 10 * NSEC_PER_SEC);
	assert_int_equal(w.n_wanted, 1);
	for (unsigned int i = 0; i < ELEMENTS(pauses); i++) {
		engine_peer_down(p, i % 2, w.now);
		pass(&w, pauses[i] * MS - 1);
		assert_int_equal(w.n_wanted, 1 + i);
		pass(&w, 1);
		assert_int_equal(w.n_wanted, 2 + i);
	}
	engine_peer_unwant(p, w.now);
	w.n_closed = 0;
	pass(&w, 0);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.n_peer_frees, 1);
	peer_world_end(&w, NULL);
}

static void a_session_away_is_dialled_while_something_is_in_common(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	engine_peer_down(w.peer, false, w.now);
	assert_int_equal(w.n_wanted, 0);
	pass(&w, 50 * MS);
	assert_int_equal(w.n_wanted, 1);
	/* The daemon is away, not the node: nothing is lost before its time. */
	engine_peer_down(w.peer, true, w.now);
	pass(&w, 100 * MS);
	assert_int_equal(w.n_wanted, 2);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	/* With nothing in common there is nothing to wait for. */
	engine_import_disconnect(i);
	pass(&w, 0);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, c);
}

static void a_peer_that_leaves_the_list_is_lost_at_once(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i, *waiting;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	waiting = remote(c, 5);
	w.n_sent = 0;
	engine_peer_want(w.peer, w.now);
	peer_world_set_nodes(&w, 0);
	said(&w, WIRE_PEER_BYE);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	assert_int_equal(waiting->state, WIRE_IMPORT_FAILED);
	assert_int_equal(waiting->failure, STATUS_NODE_UNKNOWN);
	/* The caller's query keeps the name, and nothing else. */
	pass(&w, 10 * DETECTION);
	assert_int_equal(w.n_wanted, 0);
	assert_ptr_equal(engine_peer_next(w.engine, 0), w.peer);
	engine_peer_unwant(w.peer, w.now);
	pass(&w, 0);
	assert_null(engine_peer_next(w.engine, 0));
	peer_world_end(&w, c);
}

static void packets_without_a_connection_are_refused(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	w.peer = peer_of(&w, PEER);
	assert_int_equal(
		hear(&w, (struct wire_message){.type = WIRE_PEER_PING}), STATUS_BAD_REQUEST);
	world_up(&w);
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_PING}), 0);
	assert_int_equal(
		hear(&w, (struct wire_message){.type = WIRE_PEER_ECHO}), STATUS_BAD_REQUEST);
	assert_int_equal(
		hear(&w, (struct wire_message){.type = WIRE_PEER_HELLO}), STATUS_BAD_REQUEST);
	assert_int_equal(
		hear(&w, (struct wire_message){.type = WIRE_IMPORT_CONNECT}), STATUS_BAD_REQUEST);
	peer_world_end(&w, NULL);
}

static void an_identity_travels_whole_or_not_at_all(void **state)
{
	struct engine_identity who = {
		.pid = 7, .uid = 8, .gid = 9, .n_groups = ENGINE_GROUPS_MAX, .command = "xyz"};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct engine_identity got;
	size_t size;

	for (uint32_t i = 0; i < ENGINE_GROUPS_MAX; i++)
		who.groups[i] = 100 + i;
	size = engine_identity_encode(&who, tail);
	assert_int_equal(size, ENGINE_IDENTITY_SIZE);
	assert_int_equal(engine_identity_decode(tail, size, &got), 0);
	assert_memory_equal(&got, &who, sizeof(got));
	for (size_t n = 0; n < size; n++)
		assert_int_equal(engine_identity_decode(tail, n, &got), STATUS_BAD_REQUEST);
	who.n_groups = 3;
	assert_int_equal(engine_identity_encode(&who, tail), 32 + 12);
	assert_int_equal(engine_identity_decode(tail, 32 + 16, &got), STATUS_BAD_REQUEST);
	tail[12] = ENGINE_GROUPS_MAX + 1;
	assert_int_equal(engine_identity_decode(tail, size, &got), STATUS_BAD_REQUEST);
	assert_int_equal(engine_identity_decode(NULL, 0, &got), STATUS_BAD_REQUEST);
}

static void many_peers_for_the_same_instant_all_get_their_turn(void **state)
{
	uint32_t nodes[2000];
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	for (uint32_t i = 0; i < ELEMENTS(nodes); i++)
		nodes[i] = i + 10;
	assert_int_equal(engine_set_nodes(w.engine, nodes, ELEMENTS(nodes), w.now), 0);
	for (uint32_t i = 0; i < ELEMENTS(nodes); i++)
		engine_peer_want(peer_of(&w, nodes[i]), w.now);
	engine_tick(w.engine, w.now);
	assert_int_equal(w.n_wanted, ELEMENTS(nodes));
	for (uint32_t i = 0; i < ELEMENTS(nodes); i++)
		engine_peer_down(engine_peer_find(w.engine, nodes[i]), false, w.now);
	engine_tick(w.engine, w.now);
	w.now += 50 * MS;
	assert_true(engine_next(w.engine) == w.now);
	/* Ties are a few microseconds apart. */
	for (uint32_t i = 0; i < ELEMENTS(nodes); i++)
		engine_tick(w.engine, engine_next(w.engine));
	assert_true(engine_next(w.engine) > w.now + 20 * NSEC_PER_USEC);
	w.now += 20 * NSEC_PER_USEC;
	assert_int_equal(w.n_wanted, 2 * ELEMENTS(nodes));
	engine_check(w.engine);
	for (p = engine_peer_next(w.engine, 0); p; p = engine_peer_next(w.engine, p->number))
		engine_peer_unwant(p, w.now);
	pass(&w, 0);
	assert_int_equal(w.n_peer_frees, ELEMENTS(nodes));
	peer_world_end(&w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_node_list_knows_each_node_once),
		cmocka_unit_test(a_peer_of_whom_nothing_is_known_is_forgotten),
		cmocka_unit_test(an_access_list_may_name_any_node_of_the_list),
		cmocka_unit_test(hello_begins_a_session_that_the_acceptor_numbers),
		cmocka_unit_test(a_wrong_hello_is_refused_and_changes_nothing),
		cmocka_unit_test(the_dialler_takes_the_session_of_the_answer),
		cmocka_unit_test(a_wrong_answer_to_hello_is_refused),
		cmocka_unit_test(of_two_that_dial_each_other_the_lower_stays),
		cmocka_unit_test(the_two_sides_never_number_sessions_alike),
		cmocka_unit_test(a_session_goes_on_over_another_connection),
		cmocka_unit_test(a_session_of_another_life_or_number_is_not_resumed),
		cmocka_unit_test(heartbeats_are_said_every_third_of_the_detection_time),
		cmocka_unit_test(no_heartbeats_without_a_session),
		cmocka_unit_test(a_peer_cannot_ask_for_more_heartbeats_than_a_few),
		cmocka_unit_test(silence_ends_a_session_at_exactly_the_detection_time),
		cmocka_unit_test(bye_ends_a_session_at_once),
		cmocka_unit_test(a_node_that_ends_says_bye_to_all),
		cmocka_unit_test(a_connection_stays_ten_seconds_after_its_last_use),
		cmocka_unit_test(what_is_wanted_is_dialled_again_with_growing_pauses),
		cmocka_unit_test(a_session_away_is_dialled_while_something_is_in_common),
		cmocka_unit_test(a_peer_that_leaves_the_list_is_lost_at_once),
		cmocka_unit_test(packets_without_a_connection_are_refused),
		cmocka_unit_test(an_identity_travels_whole_or_not_at_all),
		cmocka_unit_test(many_peers_for_the_same_instant_all_get_their_turn),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
