/* SPDX-License-Identifier: Apache-2.0 */

/* Peers, guests and remote imports from the records of a predecessor. */

#include "core/test-peer-world.h"

#include <stdlib.h>

static const struct engine_peer_record peer_record = {
	.number = PEER, .uid = 1000, .session = 13, .incarnation = THEIRS, .detection = DETECTION};
static const struct engine_client_record client_record = {
	.id = 7, .charged_uid = 1000, .identity = {.uid = 1000, .gid = 100, .command = "test"}};
static const struct engine_client_record guest_record = {
	.id = 8, .peer = PEER, .guest = 42, .identity = {.uid = 1001, .gid = 100}};
static const struct engine_segment_record segment_record = {.client = 7,
	.instance = 5,
	.size = PAGE,
	.space = WIRE_SPACE_RSM,
	.mode = 0644,
	.state = WIRE_SEGMENT_PUBLISHED,
	.id = ID,
	.uid = 1000,
	.gid = 100};
static const struct engine_import_record guest_import_record = {.client = 8,
	.instance = 5,
	.index = 65535,
	.generation = 9,
	.rights = RW,
	.cell = 4,
	.state = WIRE_IMPORT_CONNECTED};
static const struct engine_import_record remote_record = {.client = 7,
	.instance = 50,
	.index = 3,
	.generation = 9,
	.rights = RW,
	.state = WIRE_IMPORT_CONNECTED,
	.node = PEER,
	.space = WIRE_SPACE_RSM,
	.id = ID,
	.flags = WIRE_IMPORT_FOREIGN_ENDIAN,
	.granted = 1,
	.size = 3 * PAGE,
	.incarnation = THEIRS,
	.key = {1, 2, 3}};

struct restored {
	struct peer_world w;
	EngineClient *client, *guest;
	EngineSegment *segment;
	EngineImport *guest_import, *remote;
};

static void restored_init(struct restored *t)
{
	peer_world_init(&t->w);
	assert_int_equal(engine_peer_restore(t->w.engine, &peer_record, t->w.now, &t->w.peer), 0);
	assert_int_equal(engine_client_restore(t->w.engine, &client_record, &t->client), 0);
	assert_int_equal(engine_client_restore(t->w.engine, &guest_record, &t->guest), 0);
	assert_int_equal(engine_segment_restore(t->w.engine, &segment_record, &t->segment), 0);
	assert_int_equal(
		engine_import_restore(t->w.engine, &guest_import_record, &t->guest_import), 0);
	assert_int_equal(engine_import_restore(t->w.engine, &remote_record, &t->remote), 0);
	engine_check(t->w.engine);
}

static void objects_are_restored_as_they_were_saved(void **state)
{
	struct engine_peer_record p;
	struct engine_client_record c;
	struct engine_import_record i;
	struct restored t;

	restored_init(&t);
	engine_peer_save(t.w.peer, &p);
	assert_memory_equal(&p, &peer_record, sizeof(p));
	engine_client_save(t.guest, &c);
	assert_memory_equal(&c, &guest_record, sizeof(c));
	engine_import_save(t.guest_import, &i);
	assert_memory_equal(&i, &guest_import_record, sizeof(i));
	engine_import_save(t.remote, &i);
	assert_memory_equal(&i, &remote_record, sizeof(i));
	assert_int_equal(t.w.peer->state, WIRE_PEER_AWAY);
	assert_ptr_equal(engine_guest_find(t.w.peer, 42), t.guest);
	assert_ptr_equal(t.remote->home, t.w.peer);
	assert_int_equal(t.w.n_states, 2);
	assert_int_equal(t.segment->n_cells, 5);
	/* Nothing is lost before its time, and the peer is dialled. */
	pass(&t.w, DETECTION - 1);
	assert_int_equal(t.w.n_wanted, 1);
	assert_int_equal(t.remote->state, WIRE_IMPORT_CONNECTED);
	pass(&t.w, 1);
	assert_int_equal(t.remote->state, WIRE_IMPORT_NODE_LOST);
	assert_int_equal(t.w.n_guest_frees, 1);
	peer_world_end(&t.w, t.client);
}

static void a_restored_session_is_resumed(void **state)
{
	struct restored t;

	restored_init(&t);
	world_up_with(&t.w, 13);
	assert_int_equal(t.w.sent[0].type, WIRE_PEER_HOLDS);
	assert_int_equal(t.w.sent[0].peer_holds.n, 1);
	assert_int_equal(t.w.n_resumed, 1);
	peer_world_end(&t.w, t.client);
}

static void what_was_not_connected_yet_is_asked_for_again(void **state)
{
	struct engine_import_record record = remote_record;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	record.index = 4;
	record.state = WIRE_IMPORT_PENDING;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_false(i->granted);
	record.index = 5;
	record.node = 5;
	record.granted = 0;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->home->number, 5);
	assert_int_equal(i->state, WIRE_IMPORT_PENDING);
	pass(&t.w, 0);
	assert_int_equal(t.w.n_wanted, 2);
	world_up_with(&t.w, 13);
	assert_int_equal(t.w.n_sent, 2);
	assert_int_equal(t.w.sent[1].peer_connect.index, 4);
	peer_world_end(&t.w, t.client);
}

static void what_has_lost_its_session_is_lost(void **state)
{
	struct engine_import_record record = remote_record;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	record.index = 0;
	record.incarnation++;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	assert_null(i->home);
	record.index = 1;
	record.node = 2;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	/* A node that has left the list. */
	record.index = 2;
	record.node = 99;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_NODE_LOST);
	record.index = 4;
	record.state = WIRE_IMPORT_PENDING;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_FAILED);
	assert_int_equal(i->failure, STATUS_NODE_UNKNOWN);
	engine_check(t.w.engine);
	peer_world_end(&t.w, t.client);
}

static void what_was_over_stays_over(void **state)
{
	static const uint32_t states[] = {WIRE_IMPORT_FAILED, WIRE_IMPORT_REVOKED,
		WIRE_IMPORT_EXPORTER_GONE, WIRE_IMPORT_NODE_LOST};
	struct engine_import_record record = remote_record, saved;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	for (uint32_t n = 0; n < ELEMENTS(states); n++) {
		record.index = 10 + n;
		record.state = states[n];
		record.failure = n == 0 ? STATUS_DENIED : 0;
		assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
		assert_null(i->home);
		engine_import_save(i, &saved);
		assert_memory_equal(&saved, &record, sizeof(saved));
	}
	assert_int_equal(t.w.peer->n_imports, 1);
	peer_world_end(&t.w, t.client);
}

static void a_guests_import_whose_segment_is_gone_is_told(void **state)
{
	struct engine_import_record record = guest_import_record;
	uint8_t tail[32], *at = tail;
	struct wire_message holds = {.type = WIRE_PEER_HOLDS,
		.peer_holds = {.n = 2, .first = 1, .last = 1},
		.tail = tail,
		.tail_size = sizeof(tail)};
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	record.instance = 4;
	record.index = 0;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_EXPORTER_GONE);
	world_up_with(&t.w, 13);
	t.w.n_sent = 0;
	at = wire_put_hold(at, tail + 32, &(struct wire_hold){42, 0, 9});
	wire_put_hold(at, tail + 32, &(struct wire_hold){42, 65535, 9});
	assert_int_equal(hear(&t.w, holds), 0);
	assert_int_equal(said(&t.w, WIRE_PEER_LOST)->peer_lost.state, WIRE_IMPORT_EXPORTER_GONE);
	peer_world_end(&t.w, t.client);
}

static void a_guest_without_imports_goes_with_what_the_peer_holds(void **state)
{
	struct engine_client_record record = guest_record;
	struct restored t;
	EngineClient *guest;

	restored_init(&t);
	record.id = 9;
	record.guest = 43;
	assert_int_equal(engine_client_restore(t.w.engine, &record, &guest), 0);
	world_up_with(&t.w, 13);
	assert_int_equal(hear(&t.w, (struct wire_message){.type = WIRE_PEER_HOLDS,
					    .peer_holds = {.first = 1, .last = 1}}),
		0);
	assert_int_equal(t.w.n_guest_frees, 2);
	peer_world_end(&t.w, t.client);
}

static void sessions_after_a_restore_are_new(void **state)
{
	const struct engine_counters counters = {.last_session = 500};
	struct engine_peer_record ours = peer_record;
	struct engine_counters now;
	struct restored t;
	EnginePeer *p;

	restored_init(&t);
	engine_counters_save(t.w.engine, &now);
	assert_int_equal(now.last_session, 0); /* 13 is the peer's */
	ours.number = 5;
	ours.session = 2 * 77;
	assert_int_equal(engine_peer_restore(t.w.engine, &ours, t.w.now, &p), 0);
	engine_counters_save(t.w.engine, &now);
	assert_int_equal(now.last_session, 77);
	assert_int_equal(engine_counters_restore(t.w.engine, &counters), 0);
	world_up_with(&t.w, 0);
	assert_int_equal(t.w.peer->session, 2 * 501);
	peer_world_end(&t.w, t.client);
}

#define BUT(record, field, value)                                                                  \
	({                                                                                         \
		__auto_type r_ = (record);                                                         \
		r_.field = (value);                                                                \
		r_;                                                                                \
	})

static void contradictory_peers_and_guests_are_refused(void **state)
{
	const struct engine_peer_record fine = BUT(peer_record, number, 5);
	const struct engine_peer_record peers[] = {peer_record, BUT(fine, number, 6),
		BUT(fine, number, NODE), BUT(fine, number, 0), BUT(fine, session, 0),
		BUT(fine, incarnation, 0)};
	const struct engine_client_record fine_guest = BUT(BUT(guest_record, id, 9), guest, 43);
	const struct engine_client_record guests[] = {guest_record, BUT(fine_guest, id, 8),
		BUT(fine_guest, guest, 42), BUT(fine_guest, guest, 0), BUT(fine_guest, peer, 5),
		BUT(fine_guest, peer, 99), BUT(fine_guest, peer, 0)};
	const struct engine_segment_record segment =
		BUT(BUT(BUT(segment_record, client, 8), instance, 6), id, ID + 1);
	struct engine_counts before, after;
	struct restored t;
	EngineSegment *s;
	EngineClient *c;
	EnginePeer *p;

	restored_init(&t);
	before = engine_counts(t.w.engine);
	for (size_t n = 0; n < ELEMENTS(peers); n++)
		if (engine_peer_restore(t.w.engine, &peers[n], t.w.now, &p) != -EBADMSG)
			fail_msg("peer %zu was taken", n);
	for (size_t n = 0; n < ELEMENTS(guests); n++)
		if (engine_client_restore(t.w.engine, &guests[n], &c) != -EBADMSG)
			fail_msg("guest %zu was taken", n);
	assert_int_equal(engine_segment_restore(t.w.engine, &segment, &s), -EBADMSG);
	assert_int_equal(engine_generation_restore(t.guest, 1, 1), -EBADMSG);
	after = engine_counts(t.w.engine);
	assert_memory_equal(&before, &after, sizeof(before));
	engine_check(t.w.engine);
	assert_int_equal(engine_peer_restore(t.w.engine, &fine, t.w.now, &p), 0);
	assert_int_equal(engine_client_restore(t.w.engine, &fine_guest, &c), 0);
	peer_world_end(&t.w, t.client);
}

static void contradictory_remote_imports_are_refused(void **state)
{
	const struct engine_import_record fine = BUT(remote_record, index, 0);
	const struct engine_import_record bad[] = {remote_record, BUT(fine, client, 8),
		BUT(fine, client, 99), BUT(fine, index, 65536), BUT(fine, index, UINT32_MAX),
		BUT(fine, generation, 0), BUT(fine, rights, 1), BUT(fine, cell, 1),
		BUT(fine, cell, UINT32_MAX), BUT(fine, state, WIRE_IMPORT_FREE),
		BUT(fine, state, 7), BUT(fine, node, NODE), BUT(fine, granted, 0),
		BUT(fine, granted, 2), BUT(fine, instance, 0), BUT(fine, size, 1),
		BUT(fine, state, WIRE_IMPORT_FAILED), BUT(fine, failure, STATUS_DENIED)};
	struct engine_counts before, after;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	before = engine_counts(t.w.engine);
	for (size_t n = 0; n < ELEMENTS(bad); n++)
		if (engine_import_restore(t.w.engine, &bad[n], &i) != -EBADMSG)
			fail_msg("record %zu was taken", n);
	after = engine_counts(t.w.engine);
	assert_memory_equal(&before, &after, sizeof(before));
	engine_check(t.w.engine);
	assert_int_equal(engine_import_restore(t.w.engine, &fine, &i), 0);
	peer_world_end(&t.w, t.client);
}

static uint64_t noise;

static uint32_t random_below(uint32_t n)
{
	noise ^= noise << 13;
	noise ^= noise >> 7;
	noise ^= noise << 17;
	return (uint32_t)(noise >> 20) % n;
}

/* Bytes at random places, mostly small, so that many records are nearly right. */
static void scribble(void *record, size_t size)
{
	for (uint32_t n = random_below(4); n > 0; n--)
		((uint8_t *)record)[random_below((uint32_t)size)] =
			(uint8_t)(random_below(3) ? random_below(8) : random_below(256));
}

static int restore_something(struct restored *t)
{
	struct engine_peer_record p = peer_record;
	struct engine_client_record c = guest_record;
	struct engine_import_record i = random_below(2) ? remote_record : guest_import_record;
	EngineClient *client;
	EngineImport *import;
	EnginePeer *peer;

	switch (random_below(4)) {
	case 0:
		p.number = random_below(7);
		scribble(&p, sizeof(p));
		return engine_peer_restore(t->w.engine, &p, t->w.now, &peer);
	case 1:
		c.id += random_below(9);
		c.guest += random_below(9);
		scribble(&c, offsetof(struct engine_client_record, identity));
		c.guest += c.guest == 0; /* a client of this node nobody would free */
		return engine_client_restore(t->w.engine, &c, &client);
	default:
		i.index = random_below(20);
		i.cell = i.cell ? random_below(30) : 0;
		i.state = random_below(8);
		scribble(&i, sizeof(i));
		return engine_import_restore(t->w.engine, &i, &import);
	}
}

static void damaged_records_never_break_the_engine(void **state)
{
	unsigned int taken = 0, refused = 0;

	noise = 88172645463325252ull;
	for (int round = 0; round < 300; round++) {
		struct restored t;

		restored_init(&t);
		for (int n = 0; n < 60; n++) {
			int r = restore_something(&t);

			assert_true(r == 0 || r == -EBADMSG);
			taken += r == 0;
			refused += r != 0;
			engine_check(t.w.engine);
		}
		pass(&t.w, random_below(2) ? DETECTION / 2 : 3 * DETECTION);
		peer_world_end(&t.w, t.client);
	}
	assert_true(taken > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_restored_as_they_were_saved),
		cmocka_unit_test(a_restored_session_is_resumed),
		cmocka_unit_test(what_was_not_connected_yet_is_asked_for_again),
		cmocka_unit_test(what_has_lost_its_session_is_lost),
		cmocka_unit_test(what_was_over_stays_over),
		cmocka_unit_test(a_guests_import_whose_segment_is_gone_is_told),
		cmocka_unit_test(a_guest_without_imports_goes_with_what_the_peer_holds),
		cmocka_unit_test(sessions_after_a_restore_are_new),
		cmocka_unit_test(contradictory_peers_and_guests_are_refused),
		cmocka_unit_test(contradictory_remote_imports_are_refused),
		cmocka_unit_test(damaged_records_never_break_the_engine),
	};

	return cmocka_run_group_tests_name("peers, restored", tests, NULL, NULL);
}
