/* SPDX-License-Identifier: Apache-2.0 */

/* The lease on a home's pages: kept, doubtful, over. */

#include "core/test-peer-world.h"

/* The LEASE that was said last; all that were said are forgotten. */
static uint64_t last_number(struct peer_world *w)
{
	uint64_t number = 0;

	for (unsigned int i = 0; i < w->n_sent; i++)
		if (w->sent[i].type == WIRE_PEER_LEASE)
			number = w->sent[i].peer_lease.number;
	assert_true(number > 0);
	w->n_sent = 0;
	return number;
}

static void answer(struct peer_world *w, uint64_t number)
{
	const struct wire_message m = {
		.type = WIRE_PEER_LEASE_REPLY, .peer_lease_reply = {.number = number}};

	assert_int_equal(engine_peer_receive(w->peer, &m, w->now), 0);
}

/* With a map; the first LEASE has been said. */
static uint64_t begin(struct peer_world *w)
{
	peer_world_init(w);
	world_up(w);
	engine_peer_hold_lease(w->peer, 1, w->now);
	pass(w, 0);
	return last_number(w);
}

static void a_lease_is_good_when_the_home_has_answered(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w), said = w.now;

	assert_int_equal(w.n_leases, 0);
	w.now += 10 * MS;
	answer(&w, number);
	assert_int_equal(w.n_leases, 1);
	assert_true(w.lease_good);
	/* From when it was said, not from when the answer came. */
	assert_true(w.lease_until == said + DETECTION / 4 * 3);
	assert_true(engine_peer_lease_end(w.peer) == w.lease_until);
	peer_world_end(&w, NULL);
}

static void a_lease_is_renewed_every_sixth_of_the_detection_time(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	for (int i = 0; i < 20; i++) {
		answer(&w, number);
		pass(&w, DETECTION / 6);
		number = last_number(&w);
	}
	assert_int_equal(w.n_leases, 20);
	assert_true(w.lease_good);
	assert_true(w.lease_until == w.now - DETECTION / 6 + DETECTION / 4 * 3);
	peer_world_end(&w, NULL);
}

static void without_maps_there_is_no_lease(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number);
	engine_peer_hold_lease(w.peer, 0, w.now);
	assert_true(engine_peer_lease_end(w.peer) == 0);
	pass(&w, DETECTION / 4);
	assert_int_equal(w.n_sent, 0);
	answer(&w, number);
	assert_int_equal(w.n_leases, 1);
	peer_world_end(&w, NULL);
}

static void who_has_maps_here_may_come_back(void **state)
{
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	engine_peer_has_maps(w.peer, true);
	engine_peer_down(w.peer, false, w.now);
	pass(&w, DETECTION / 2);
	assert_true(w.peer->session);
	engine_peer_has_maps(w.peer, false);
	pass(&w, 1);
	assert_false(w.peer->session);
	engine_peer_has_maps(w.peer, true);
	assert_false(w.peer->has_maps);
	peer_world_end(&w, NULL);
}

/* The home lives, and says so, but does not hear us. */
static void keep_hearing(struct peer_world *w, uint64_t span)
{
	for (uint64_t end = w->now + span; w->now < end;) {
		engine_peer_heard(w->peer, w->now);
		pass(w, MIN(DETECTION / 20, end - w->now));
	}
}

static void a_lease_without_an_answer_is_doubtful_and_then_over(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number);
	keep_hearing(&w, DETECTION / 2 - 1);
	assert_true(w.lease_good);
	keep_hearing(&w, 1);
	assert_false(w.lease_good);
	assert_int_equal(w.n_leases, 2);
	keep_hearing(&w, DETECTION / 4 - 1);
	assert_true(w.peer->session != 0);
	assert_int_equal(w.n_sessions, 1);
	pass(&w, 1);
	assert_int_equal(w.n_sessions, 2);
	assert_int_equal(w.last_session, 0);
	assert_true(w.n_closed > 0);
	peer_world_end(&w, NULL);
}

static void an_answer_makes_a_doubtful_lease_good(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number);
	keep_hearing(&w, DETECTION / 2 + DETECTION / 8);
	assert_false(w.lease_good);
	number = last_number(&w);
	answer(&w, number);
	assert_true(w.lease_good);
	keep_hearing(&w, DETECTION / 4);
	assert_true(w.peer->session != 0);
	peer_world_end(&w, NULL);
}

/* However late it comes: it says only that the home heard us then. */
static void a_late_answer_is_worth_no_more_than_its_question(void **state)
{
	struct peer_world w;
	uint64_t first = begin(&w), said = w.now;

	answer(&w, first);
	pass(&w, DETECTION / 6);
	first = last_number(&w);
	said = w.now;
	keep_hearing(&w, DETECTION / 2 + MS);
	assert_false(w.lease_good);
	answer(&w, first);
	assert_false(w.lease_good);
	assert_true(w.lease_until == said + DETECTION / 4 * 3);
	peer_world_end(&w, NULL);
}

static void an_answer_to_nothing_is_not_heard(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number + 1);
	answer(&w, UINT64_MAX);
	answer(&w, 0);
	assert_int_equal(w.n_leases, 0);
	answer(&w, number);
	pass(&w, DETECTION / 6);
	answer(&w, number);
	assert_int_equal(w.n_leases, 1);
	peer_world_end(&w, NULL);
}

static void a_lease_is_renewed_at_once_on_a_new_connection(void **state)
{
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number);
	engine_peer_down(w.peer, false, w.now);
	pass(&w, DETECTION / 3);
	assert_int_equal(w.n_sent, 0);
	world_up_with(&w, w.peer->session);
	pass(&w, 0);
	number = last_number(&w);
	answer(&w, number);
	assert_int_equal(w.n_leases, 2);
	assert_true(w.lease_until == w.now + DETECTION / 4 * 3);
	peer_world_end(&w, NULL);
}

static void the_end_of_a_session_ends_the_lease(void **state)
{
	const struct wire_message bye = {.type = WIRE_PEER_BYE};
	struct peer_world w;
	uint64_t number = begin(&w);

	answer(&w, number);
	assert_int_equal(engine_peer_receive(w.peer, &bye, w.now), 0);
	assert_true(engine_peer_lease_end(w.peer) == 0);
	pass(&w, 2 * DETECTION);
	assert_int_equal(w.n_leases, 1);
	peer_world_end(&w, NULL);
}

static void the_home_answers_at_once(void **state)
{
	const struct wire_message m = {
		.type = WIRE_PEER_LEASE, .serial = 12, .peer_lease = {.number = 99}};
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	assert_int_equal(engine_peer_receive(w.peer, &m, w.now), 0);
	assert_int_equal(w.n_sent, 1);
	assert_int_equal(w.sent[0].type, WIRE_PEER_LEASE_REPLY);
	assert_int_equal(w.sent[0].serial, 12);
	assert_int_equal(w.sent[0].peer_lease_reply.number, 99);
	peer_world_end(&w, NULL);
}

/* It does not know what its predecessor said, so it waits for an answer. */
static void a_successor_doubts_until_it_is_answered(void **state)
{
	const struct engine_peer_record record = {
		.number = PEER, .session = 13, .incarnation = THEIRS, .detection = DETECTION};
	struct peer_world w;
	uint64_t started;

	peer_world_init(&w);
	assert_int_equal(engine_peer_restore(w.engine, &record, w.now, &w.peer), 0);
	engine_peer_hold_lease(w.peer, 1, w.now);
	started = w.now;
	pass(&w, DETECTION / 4 * 3 - 1);
	assert_int_equal(w.n_leases, 0);
	assert_true(w.peer->session == 13);
	pass(&w, 1);
	assert_true(w.now == started + DETECTION / 4 * 3);
	assert_int_equal(w.last_session, 0);
	assert_int_equal(w.n_sessions, 1);
	peer_world_end(&w, NULL);
}

/* A home that is to notice loss sooner from now on must not give away what is still leased. */
static void what_was_agreed_on_lasts_until_both_have_met_again(void **state)
{
	const struct engine_peer_record record = {
		.number = PEER, .session = 13, .incarnation = THEIRS, .detection = 3 * DETECTION};
	struct peer_world w;

	peer_world_init(&w);
	assert_int_equal(engine_peer_restore(w.engine, &record, w.now, &w.peer), 0);
	engine_peer_want(w.peer, w.now);
	pass(&w, 3 * DETECTION - 1);
	assert_true(w.peer->session == 13);
	pass(&w, 1);
	assert_int_equal(w.n_sessions, 1);
	peer_world_end(&w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_is_good_when_the_home_has_answered),
		cmocka_unit_test(a_lease_is_renewed_every_sixth_of_the_detection_time),
		cmocka_unit_test(without_maps_there_is_no_lease),
		cmocka_unit_test(who_has_maps_here_may_come_back),
		cmocka_unit_test(a_lease_without_an_answer_is_doubtful_and_then_over),
		cmocka_unit_test(an_answer_makes_a_doubtful_lease_good),
		cmocka_unit_test(a_late_answer_is_worth_no_more_than_its_question),
		cmocka_unit_test(an_answer_to_nothing_is_not_heard),
		cmocka_unit_test(a_lease_is_renewed_at_once_on_a_new_connection),
		cmocka_unit_test(the_end_of_a_session_ends_the_lease),
		cmocka_unit_test(the_home_answers_at_once),
		cmocka_unit_test(a_successor_doubts_until_it_is_answered),
		cmocka_unit_test(what_was_agreed_on_lasts_until_both_have_met_again),
	};

	return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
