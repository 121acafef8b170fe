/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions that are kept although there is nothing in common. */

#include "core/test-peer-world.h"

/* The peer answers the dial that is under way. */
static EnginePeer *answer(struct peer_world *w, uint32_t node, uint64_t session)
{
	struct wire_peer_hello_reply reply = {.major = WIRE_MAJOR,
		.node = node,
		.incarnation = THEIRS,
		.session = session,
		.detection = DETECTION};
	EnginePeer *p = engine_peer_find(w->engine, node);
	struct wire_peer_hello hello;

	assert_true(p && p->dialling);
	engine_peer_say_hello(p, &hello);
	assert_int_equal(engine_peer_hello_answer(p, &reply, w->now), 0);
	engine_peer_up(p, w->now);
	engine_check(w->engine);
	return p;
}

static void all_below_a_number_are_dialled_at_once(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	assert_int_equal(engine_keep_sessions(w.engine, 5, w.now), 0);
	peer_world_check(&w);
	assert_int_equal(w.n_wanted, 3);
	assert_null(engine_peer_find(w.engine, 5));
	for (uint32_t n = 1; n <= 4; n++)
		if (n != NODE)
			assert_int_equal(engine_peer_find(w.engine, n)->state, WIRE_PEER_DIALLING);
	peer_world_end(&w, NULL);
}

static void who_is_not_there_is_dialled_once_in_the_detection_time(void **state)
{
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	peer_world_set_nodes(&w, 1);
	assert_int_equal(engine_keep_sessions(w.engine, 64, w.now), 0);
	peer_world_check(&w);
	p = engine_peer_find(w.engine, 5);
	for (unsigned int i = 1; i < 5; i++) {
		assert_int_equal(w.n_wanted, i);
		engine_peer_down(p, true, w.now);
		pass(&w, DETECTION - 1);
		assert_int_equal(w.n_wanted, i);
		pass(&w, 1);
	}
	/* not so whom somebody waits for */
	engine_peer_down(p, true, w.now);
	engine_peer_want(p, w.now);
	pass(&w, DETECTION - 1);
	assert_int_equal(w.n_wanted, 6);
	engine_peer_unwant(p, w.now);
	peer_world_end(&w, NULL);
}

static void a_kept_session_stays_without_any_use(void **state)
{
	struct peer_world w;
	EnginePeer *p;

	peer_world_init(&w);
	peer_world_set_nodes(&w, 1);
	assert_int_equal(engine_keep_sessions(w.engine, 64, w.now), 0);
	peer_world_check(&w);
	p = answer(&w, 5, 5);
	for (unsigned int i = 0; i < 100; i++) {
		engine_peer_heard(p, w.now);
		pass(&w, DETECTION / 2);
	}
	assert_int_equal(p->state, WIRE_PEER_UP);
	assert_int_equal(w.n_closed, 0);
	/* from now on as any other */
	w.n_sent = 0;
	assert_int_equal(engine_keep_sessions(w.engine, 0, w.now), 0);
	for (unsigned int i = 0; i < 20; i++) {
		engine_peer_heard(p, w.now);
		pass(&w, DETECTION / 2);
	}
	assert_null(engine_peer_find(w.engine, 5));
	assert_int_equal(w.sent[w.n_sent - 1].type, WIRE_PEER_BYE);
	assert_true(engine_next(w.engine) == UINT64_MAX);
	peer_world_end(&w, NULL);
}

static void a_session_that_the_other_side_keeps_stays(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	engine_peer_keeps(w.peer, true);
	for (unsigned int i = 0; i < 50; i++) {
		engine_peer_heard(w.peer, w.now);
		pass(&w, DETECTION / 2);
	}
	assert_int_equal(w.n_closed, 0);
	/* the connection breaks: it is made again, by us as well */
	engine_peer_down(w.peer, false, w.now);
	pass(&w, DETECTION / 4);
	assert_true(w.n_wanted > 0);
	assert_true(w.peer->session != 0);
	world_up_with(&w, w.peer->session);
	/* and there it has not been said yet */
	for (unsigned int i = 0; i < 20; i++) {
		engine_peer_heard(w.peer, w.now);
		pass(&w, DETECTION / 2);
	}
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, NULL);
}

static void who_keeps_a_session_may_be_lost(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	engine_peer_keeps(w.peer, true);
	pass(&w, DETECTION);
	assert_null(engine_peer_find(w.engine, PEER));
	assert_true(engine_next(w.engine) == UINT64_MAX);
	/* of who has none that is not believed */
	w.peer = peer_of(&w, PEER);
	engine_peer_keeps(w.peer, true);
	pass(&w, 0);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, NULL);
}

static void a_restored_session_waits_for_the_other_side(void **state)
{
	static const struct engine_peer_record record = {
		.number = PEER, .session = 13, .incarnation = THEIRS, .detection = DETECTION};
	struct peer_world w;

	peer_world_init(&w);
	assert_int_equal(engine_peer_restore(w.engine, &record, w.now, &w.peer), 0);
	pass(&w, DETECTION - 1);
	assert_true(w.peer->session == 13);
	world_up_with(&w, 13);
	pass(&w, DETECTION / 2);
	assert_int_equal(w.peer->state, WIRE_PEER_UP);
	peer_world_end(&w, NULL);
}

static void nodes_that_join_are_kept_and_those_that_leave_are_not(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	peer_world_set_nodes(&w, 1);
	assert_int_equal(engine_keep_sessions(w.engine, 64, w.now), 0);
	peer_world_check(&w);
	assert_int_equal(w.n_wanted, 1);
	answer(&w, 5, 5);
	peer_world_set_nodes(&w, 6);
	peer_world_check(&w);
	assert_int_equal(w.n_wanted, 4);
	peer_world_set_nodes(&w, 0);
	peer_world_check(&w);
	assert_null(engine_peer_next(w.engine, 0));
	assert_true(engine_next(w.engine) == UINT64_MAX);
	peer_world_end(&w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_below_a_number_are_dialled_at_once),
		cmocka_unit_test(who_is_not_there_is_dialled_once_in_the_detection_time),
		cmocka_unit_test(a_kept_session_stays_without_any_use),
		cmocka_unit_test(a_session_that_the_other_side_keeps_stays),
		cmocka_unit_test(who_keeps_a_session_may_be_lost),
		cmocka_unit_test(a_restored_session_waits_for_the_other_side),
		cmocka_unit_test(nodes_that_join_are_kept_and_those_that_leave_are_not),
	};

	return cmocka_run_group_tests_name("peer-keep", tests, NULL, NULL);
}
