/* SPDX-License-Identifier: Apache-2.0 */

/* Our imports of other nodes' segments: what is asked, and what answers and silence make of it. */

#include "core/test-peer-world.h"

static void what_cannot_be_is_refused_at_once(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i = NULL;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	local_segment(c, 0600, ID);
	assert_int_equal(engine_import_connect(c, 1, WIRE_CONTROLLER_LOOPBACK, PEER, ID, RW, &i),
		STATUS_NO_CONTROLLER);
	assert_int_equal(engine_import_connect(c, 1, 4, PEER, ID, RW, &i), STATUS_NO_CONTROLLER);
	assert_int_equal(try_remote(c, 6, &i), STATUS_NODE_UNKNOWN);
	assert_int_equal(
		engine_import_connect(c, 1, WIRE_CONTROLLER_TCP, PEER, ID, 1, &i), STATUS_DENIED);
	assert_null(i);
	/* Ourselves through the network is here. */
	assert_int_equal(try_remote(c, NODE, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	assert_non_null(i->segment);
	pass(&w, 0);
	assert_null(engine_peer_next(w.engine, 0));
	peer_world_end(&w, c);
}

static void an_import_waits_until_the_home_has_granted_it_and_the_route_is_open(void **state)
{
	const struct wire_message *m;
	struct engine_identity who;
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	assert_int_equal(i->state, WIRE_IMPORT_PENDING);
	assert_int_equal(i->generation, 1);
	assert_int_equal(w.n_states, 1);
	assert_int_equal(w.n_sent, 0);
	pass(&w, 0);
	assert_int_equal(w.n_wanted, 1);

	world_up_with(&w, 0);
	m = said(&w, WIRE_PEER_CONNECT);
	assert_true(m->serial != 0);
	assert_int_equal(m->peer_connect.client, c->id);
	assert_int_equal(m->peer_connect.index, i->index);
	assert_int_equal(m->peer_connect.generation, 1);
	assert_int_equal(m->peer_connect.space, WIRE_SPACE_RSM);
	assert_int_equal(m->peer_connect.id, ID);
	assert_int_equal(m->peer_connect.rights, RW);
	assert_int_equal(m->peer_connect.data, 1);
	assert_int_equal(m->peer_connect.instance, 0);
	assert_int_equal(engine_identity_decode(w.tail, m->tail_size, &who), 0);
	assert_memory_equal(&who, &c->identity, sizeof(who));

	assert_int_equal(hear(&w, grant_of(i)), 0);
	assert_int_equal(i->state, WIRE_IMPORT_PENDING);
	assert_true(i->granted);
	assert_int_equal(i->instance, 55);
	assert_int_equal(i->size, 2 * PAGE);
	assert_int_equal(i->flags, WIRE_IMPORT_FOREIGN_ENDIAN);
	assert_int_equal(i->key[2], 3);
	assert_int_equal(i->incarnation, THEIRS);
	assert_int_equal(w.n_granted, 1);
	assert_int_equal(w.last_grant[2], 6);
	assert_int_equal(w.n_states, 1);

	engine_import_ready(i);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(w.n_states, 2);
	engine_import_ready(i);
	assert_int_equal(w.n_states, 2);
	/* A second answer is none. */
	assert_int_equal(hear(&w, grant_of(i)), 0);
	assert_int_equal(w.n_granted, 1);

	engine_import_disconnect(i);
	m = said(&w, WIRE_PEER_DISCONNECT);
	assert_int_equal(m->flags, WIRE_ONEWAY);
	assert_int_equal(m->peer_disconnect.client, c->id);
	assert_int_equal(m->peer_disconnect.generation, 1);
	peer_world_end(&w, c);
}

static void a_second_import_over_the_same_route_wants_none(void **state)
{
	struct peer_world w;
	EngineClient *c;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	connected_remote(&w, c);
	w.has_route = true;
	remote(c, PEER);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT)->peer_connect.data, 0);
	peer_world_end(&w, c);
}

static void a_refusal_of_the_home_is_the_result(void **state)
{
	static const uint32_t statuses[][2] = {{STATUS_DENIED, STATUS_DENIED},
		{STATUS_NOT_FOUND, STATUS_NOT_FOUND}, {987654, STATUS_NOT_SUPPORTED},
		{0x80000001, STATUS_NOT_SUPPORTED}};

	for (size_t n = 0; n < ELEMENTS(statuses); n++) {
		struct wire_message answer;
		struct peer_world w;
		EngineClient *c;
		EngineImport *i;

		peer_world_init(&w);
		world_up(&w);
		c = local_client(&w, 1000);
		i = remote(c, PEER);
		answer = grant_of(i);
		answer.status = statuses[n][0];
		assert_int_equal(hear(&w, answer), 0);
		assert_int_equal(i->state, WIRE_IMPORT_FAILED);
		assert_int_equal(i->failure, statuses[n][1]);
		assert_true(w.had_home);
		assert_null(i->home);
		w.n_sent = 0;
		engine_import_ready(i);
		engine_import_fail(i, STATUS_NODE_LOST);
		engine_import_lose(i);
		assert_int_equal(i->failure, statuses[n][1]);
		engine_import_disconnect(i);
		assert_int_equal(w.n_sent, 0);
		peer_world_end(&w, c);
	}
}

static void an_impossible_grant_breaks_the_protocol(void **state)
{
	struct wire_message answer;
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	answer = grant_of(i);
	answer.peer_connect_reply.size = PAGE + 1;
	assert_int_equal(hear(&w, answer), STATUS_BAD_REQUEST);
	answer.peer_connect_reply.size = 0;
	assert_int_equal(hear(&w, answer), STATUS_BAD_REQUEST);
	answer = grant_of(i);
	answer.peer_connect_reply.instance = 0;
	assert_int_equal(hear(&w, answer), STATUS_BAD_REQUEST);
	answer = grant_of(i);
	answer.peer_connect_reply.rights = WIRE_READ;
	assert_int_equal(hear(&w, answer), STATUS_BAD_REQUEST);
	assert_int_equal(i->state, WIRE_IMPORT_PENDING);
	assert_false(i->granted);
	peer_world_end(&w, c);
}

static void a_peer_speaks_only_of_imports_of_its_own_segments(void **state)
{
	struct wire_message answer;
	struct peer_world w;
	EngineClient *c;
	EngineImport *other, *local;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	local_segment(c, 0600, ID);
	local = remote(c, NODE);
	other = remote(c, 5);
	for (EngineImport *i = local;; i = other) {
		struct wire_message lost = {.type = WIRE_PEER_LOST,
			.peer_lost = {c->id, i->index, i->generation, WIRE_IMPORT_REVOKED}};
		struct wire_message signal = {.type = WIRE_PEER_SIGNAL,
			.peer_signal = {c->id, i->index, i->generation, 1, 1}};

		answer = grant_of(i);
		assert_int_equal(hear(&w, answer), 0);
		assert_int_equal(hear(&w, lost), 0);
		assert_int_equal(hear(&w, signal), 0);
		if (i == other)
			break;
	}
	assert_int_equal(w.n_granted + w.n_signals + w.n_sent, 0);
	assert_int_equal(local->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(other->state, WIRE_IMPORT_PENDING);
	peer_world_end(&w, c);
}

static void an_import_that_ended_meanwhile_is_told_to_the_home(void **state)
{
	struct wire_message answer;
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	said(&w, WIRE_PEER_CONNECT);
	answer = grant_of(i);
	engine_import_disconnect(i);
	said(&w, WIRE_PEER_DISCONNECT);
	/* Its successor at the same index is another one. */
	i = remote(c, PEER);
	assert_int_equal(i->generation, 2);
	assert_int_equal(hear(&w, answer), 0);
	assert_false(i->granted);
	peer_world_end(&w, c);
}

static void lost_ends_an_import_and_is_acknowledged(void **state)
{
	static const uint32_t states[] = {
		WIRE_IMPORT_REVOKED, WIRE_IMPORT_EXPORTER_GONE, WIRE_IMPORT_NODE_LOST};

	for (size_t n = 0; n < ELEMENTS(states); n++) {
		struct peer_world w;
		EngineClient *c;
		EngineImport *i;
		struct wire_message lost;

		peer_world_init(&w);
		world_up(&w);
		c = local_client(&w, 1000);
		i = connected_remote(&w, c);
		lost = (struct wire_message){
			.type = WIRE_PEER_LOST, .peer_lost = {c->id, i->index, i->generation, 17}};
		assert_int_equal(hear(&w, lost), STATUS_BAD_REQUEST);
		lost.peer_lost.state = states[n];
		assert_int_equal(hear(&w, lost), 0);
		assert_int_equal(i->state, states[n]);
		assert_true(w.had_home);
		said(&w, WIRE_PEER_DISCONNECT);
		assert_int_equal(hear(&w, lost), 0);
		assert_int_equal(w.n_sent, 0);
		/* Granted, and the route not open yet: the connect fails. */
		i = remote(c, PEER);
		said(&w, WIRE_PEER_CONNECT);
		lost.peer_lost.index = i->index;
		lost.peer_lost.generation = i->generation;
		assert_int_equal(hear(&w, lost), 0);
		assert_int_equal(i->state, WIRE_IMPORT_PENDING);
		assert_int_equal(hear(&w, grant_of(i)), 0);
		assert_int_equal(hear(&w, lost), 0);
		assert_int_equal(i->state, WIRE_IMPORT_FAILED);
		assert_int_equal(i->failure,
			states[n] == WIRE_IMPORT_NODE_LOST ? STATUS_NODE_LOST : STATUS_REVOKED);
		peer_world_end(&w, c);
	}
}

static void a_route_that_fails_or_is_stuck_ends_the_import(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	hear(&w, grant_of(i));
	w.n_sent = 0;
	engine_import_fail(i, STATUS_NODE_UNREACHABLE);
	said(&w, WIRE_PEER_DISCONNECT);
	assert_int_equal(i->state, WIRE_IMPORT_FAILED);
	assert_int_equal(i->failure, STATUS_NODE_UNREACHABLE);

	i = connected_remote(&w, c);
	engine_import_lose(i);
	said(&w, WIRE_PEER_DISCONNECT);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);

	i = remote(c, PEER);
	w.n_sent = 0;
	engine_import_lose(i);
	said(&w, WIRE_PEER_DISCONNECT);
	assert_int_equal(i->failure, STATUS_NODE_LOST);
	peer_world_end(&w, c);
}

static void totals_of_signals_reach_the_caller(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = connected_remote(&w, c);
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_SIGNAL,
					  .peer_signal = {c->id, i->index, i->generation, 8, 9}}),
		0);
	assert_int_equal(w.n_signals, 1);
	assert_int_equal(w.last_total, 8);
	assert_int_equal(w.last_once, 9);
	peer_world_end(&w, c);
}

static void nobody_listening_fails_what_waits_for_a_first_session(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	pass(&w, 0);
	engine_peer_down(engine_peer_find(w.engine, PEER), true, w.now);
	assert_int_equal(i->state, WIRE_IMPORT_FAILED);
	assert_int_equal(i->failure, STATUS_NODE_UNREACHABLE);
	pass(&w, 0);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, c);
}

static void dialling_in_vain_fails_after_the_detection_time(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	/* Long after the engine was told the time: it counts from now on. */
	w.now += 100 * NSEC_PER_SEC;
	i = remote(c, PEER);
	pass(&w, DETECTION / 2);
	engine_peer_down(engine_peer_find(w.engine, PEER), false, w.now);
	pass(&w, DETECTION / 2 - 1);
	assert_int_equal(i->state, WIRE_IMPORT_PENDING);
	w.n_closed = 0;
	pass(&w, 1);
	assert_int_equal(i->state, WIRE_IMPORT_FAILED);
	assert_int_equal(i->failure, STATUS_NODE_UNREACHABLE);
	assert_int_equal(w.n_closed, 1);
	assert_null(engine_peer_find(w.engine, PEER));
	peer_world_end(&w, c);
}

static void a_home_that_never_answers_is_not_waited_for(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	for (int n = 0; n < 21; n++) {
		assert_int_equal(i->state, WIRE_IMPORT_PENDING);
		assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_PING}), 0);
		w.n_sent = 0;
		pass(&w, DETECTION / 2);
	}
	pass(&w, DETECTION / 2);
	assert_int_equal(i->state, WIRE_IMPORT_FAILED);
	assert_int_equal(i->failure, STATUS_NODE_UNREACHABLE);
	peer_world_end(&w, c);
}

static void after_a_resume_what_is_held_is_said_and_what_waits_asked_again(void **state)
{
	const uint8_t *at;
	struct wire_hold hold;
	struct peer_world w;
	EngineClient *c;
	EngineImport *connected, *granted, *waiting;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	connected = connected_remote(&w, c);
	granted = remote(c, PEER);
	hear(&w, grant_of(granted));
	waiting = remote(c, PEER);
	engine_peer_down(w.peer, false, w.now);
	w.n_sent = 0;
	world_up_with(&w, w.peer->session);
	assert_int_equal(w.n_sent, 2);
	assert_int_equal(w.sent[1].type, WIRE_PEER_CONNECT);
	assert_int_equal(w.sent[1].peer_connect.index, waiting->index);
	/* Again without CONNECT behind it, to see the tail. */
	engine_import_disconnect(waiting);
	w.n_sent = 0;
	world_up_with(&w, w.peer->session);
	said(&w, WIRE_PEER_HOLDS);
	assert_int_equal(w.sent[0].peer_holds.n, 2);
	assert_int_equal(w.sent[0].peer_holds.first, 1);
	assert_int_equal(w.sent[0].peer_holds.last, 1);
	at = wire_get_hold(w.tail, w.tail + w.sent[0].tail_size, &hold);
	assert_int_equal(hold.client, c->id);
	assert_int_equal(hold.index, connected->index);
	assert_int_equal(hold.generation, connected->generation);
	at = wire_get_hold(at, w.tail + w.sent[0].tail_size, &hold);
	assert_int_equal(hold.index, granted->index);
	assert_ptr_equal(at, w.tail + w.sent[0].tail_size);
	assert_false(connected->granted != granted->granted);
	peer_world_end(&w, c);
}

static void holds_come_in_parts(void **state)
{
	struct engine_limits limits = peer_limits;
	struct peer_world w;
	EngineClient *c;

	w = (struct peer_world){.now = NSEC_PER_SEC};
	limits.max_imports_per_user = 3000;
	assert_int_equal(engine_new(NODE, &limits, &peer_ops, &w, &w.engine), 0);
	engine_set_self(w.engine, INCARNATION, 0, 1);
	peer_world_set_nodes(&w, 6);
	world_up(&w);
	c = local_client(&w, 1000);
	for (int n = 0; n < 2000; n++) {
		hear(&w, grant_of(remote(c, PEER)));
		w.n_sent = 0;
	}
	world_up_with(&w, w.peer->session);
	assert_int_equal(w.n_sent, 2);
	assert_int_equal(w.sent[0].peer_holds.n + w.sent[1].peer_holds.n, 2000);
	assert_true(w.sent[0].peer_holds.first && !w.sent[0].peer_holds.last);
	assert_true(!w.sent[1].peer_holds.first && w.sent[1].peer_holds.last);
	peer_world_end(&w, c);
}

static void what_is_not_granted_waits_on_in_the_next_session(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *waiting, *granted;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	granted = remote(c, PEER);
	hear(&w, grant_of(granted));
	waiting = remote(c, PEER);
	w.n_sent = 0;
	/* Their BYE and our CONNECT have crossed. */
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_BYE}), 0);
	assert_int_equal(granted->state, WIRE_IMPORT_FAILED);
	assert_int_equal(granted->failure, STATUS_NODE_LOST);
	assert_int_equal(waiting->state, WIRE_IMPORT_PENDING);
	pass(&w, 50 * MS);
	assert_int_equal(w.n_wanted, 1);
	world_up_with(&w, 0);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT)->peer_connect.index, waiting->index);
	/* Silence is another matter. */
	pass(&w, DETECTION);
	assert_int_equal(waiting->state, WIRE_IMPORT_FAILED);
	assert_int_equal(waiting->failure, STATUS_NODE_UNREACHABLE);
	peer_world_end(&w, c);
}

/* Who accepts and ends each session does not keep a process waiting, nor us dialling in a loop. */
static void a_home_that_comes_and_goes_is_not_waited_for(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;
	int rounds = 0;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	i = remote(c, PEER);
	pass(&w, 0);
	while (i->state == WIRE_IMPORT_PENDING && rounds++ < 1000) {
		world_up_with(&w, 0);
		assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_BYE}), 0);
		pass(&w, 50 * MS);
	}
	assert_in_range(rounds, DETECTION / (50 * MS) - 1, DETECTION / (50 * MS) + 1);
	assert_true(w.n_wanted <= 1 + (unsigned int)rounds);
	assert_int_equal(i->failure, STATUS_NODE_UNREACHABLE);
	peer_world_end(&w, c);
}

static void remote_imports_count_as_any(void **state)
{
	struct peer_world w;
	EngineClient *a, *b;
	EngineImport *i;

	peer_world_init(&w);
	a = local_client(&w, 1000);
	b = local_client(&w, 1001);
	for (uint32_t n = 0; n < peer_limits.max_imports_per_user; n++)
		i = remote(a, 1 + n % 2);
	assert_int_equal(try_remote(a, PEER, &i), STATUS_NO_RESOURCES);
	assert_int_equal(try_remote(b, PEER, &i), 0);
	assert_int_equal(engine_counts(w.engine).n_imports, peer_limits.max_imports_per_user + 1);
	peer_world_end(&w, a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_is_refused_at_once),
		cmocka_unit_test(
			an_import_waits_until_the_home_has_granted_it_and_the_route_is_open),
		cmocka_unit_test(a_second_import_over_the_same_route_wants_none),
		cmocka_unit_test(a_refusal_of_the_home_is_the_result),
		cmocka_unit_test(an_impossible_grant_breaks_the_protocol),
		cmocka_unit_test(a_peer_speaks_only_of_imports_of_its_own_segments),
		cmocka_unit_test(an_import_that_ended_meanwhile_is_told_to_the_home),
		cmocka_unit_test(lost_ends_an_import_and_is_acknowledged),
		cmocka_unit_test(a_route_that_fails_or_is_stuck_ends_the_import),
		cmocka_unit_test(totals_of_signals_reach_the_caller),
		cmocka_unit_test(nobody_listening_fails_what_waits_for_a_first_session),
		cmocka_unit_test(dialling_in_vain_fails_after_the_detection_time),
		cmocka_unit_test(a_home_that_never_answers_is_not_waited_for),
		cmocka_unit_test(after_a_resume_what_is_held_is_said_and_what_waits_asked_again),
		cmocka_unit_test(holds_come_in_parts),
		cmocka_unit_test(what_is_not_granted_waits_on_in_the_next_session),
		cmocka_unit_test(a_home_that_comes_and_goes_is_not_waited_for),
		cmocka_unit_test(remote_imports_count_as_any),
	};

	return cmocka_run_group_tests_name("remote imports", tests, NULL, NULL);
}
