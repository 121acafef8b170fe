/* SPDX-License-Identifier: Apache-2.0 */

/* Records that contradict themselves or what is there are refused and change nothing. */

#include "core/test-world.h"

#include <stdlib.h>
#include <string.h>

#define ID 0x400000u

static const struct engine_client_record client_record = {
	.id = 7, .charged_uid = 1000, .identity = {.uid = 1001, .gid = 100, .command = "test"}};
static const struct engine_segment_record segment_record = {.client = 7,
	.instance = 5,
	.size = PAGE,
	.index = 2,
	.space = WIRE_SPACE_RSM,
	.mode = 0644,
	.state = WIRE_SEGMENT_PUBLISHED,
	.id = ID,
	.uid = 1000,
	.gid = 100,
	.handed_out = 1,
	.n_access = 1,
	.access = {{.node = NODE, .mode = 0660}}};
static const struct engine_import_record import_record = {.client = 7,
	.instance = 5,
	.index = 3,
	.generation = 9,
	.rights = RW,
	.cell = 4,
	.state = WIRE_IMPORT_CONNECTED};

struct restored {
	struct world w;
	EngineClient *client;
	EngineSegment *segment;
	EngineImport *import;
};

static void restored_init(struct restored *t)
{
	world_init(&t->w, NULL);
	assert_int_equal(engine_client_restore(t->w.engine, &client_record, &t->client), 0);
	assert_int_equal(engine_segment_restore(t->w.engine, &segment_record, &t->segment), 0);
	assert_int_equal(engine_import_restore(t->w.engine, &import_record, &t->import), 0);
}

static void an_object_is_restored_as_it_was_saved(void **state)
{
	struct engine_client_record c;
	struct engine_segment_record s;
	struct engine_import_record i;
	struct restored t;

	restored_init(&t);
	engine_client_save(t.client, &c);
	engine_segment_save(t.segment, &s);
	engine_import_save(t.import, &i);
	assert_memory_equal(&c, &client_record, sizeof(c));
	assert_memory_equal(&s, &segment_record, sizeof(s));
	assert_memory_equal(&i, &import_record, sizeof(i));
	assert_int_equal(t.client->user->uid, 1000);
	assert_int_equal(t.segment->n_cells, 5);
	assert_int_equal(t.w.n_states, 1);
	assert_ptr_equal(t.import->segment, t.segment);
	world_end(&t.w, t.client);
}

static void what_is_made_after_a_restore_is_new(void **state)
{
	const struct engine_counters counters = {
		.last_client = 3, .last_instance = 50, .last_system_id = 0x80000010};
	struct engine_counters now;
	struct restored t;
	EngineClient *c;
	EngineSegment *s;

	restored_init(&t);
	assert_int_equal(engine_counters_restore(t.w.engine, &counters), 0);
	c = client_of(&t.w, 1000, 100);
	assert_int_equal(c->id, 8);
	s = published_of(c, 0666, 0);
	assert_int_equal(s->instance, 51);
	assert_int_equal(s->id, 0x80000011);
	engine_counters_save(t.w.engine, &now);
	assert_int_equal(now.last_client, 8);
	assert_int_equal(now.last_instance, 51);
	assert_int_equal(now.last_system_id, 0x80000011);
	engine_import_disconnect(t.import);
	assert_int_equal(engine_generation_restore(t.client, 0, 20), 0);
	assert_int_equal(engine_generation_restore(t.client, 0, 10), 0);
	assert_int_equal(connected(t.client, s->id, 0)->generation, 21);
	assert_int_equal(engine_generation_restore(t.client, UINT32_MAX, 1), -EBADMSG);
	world_end(&t.w, t.client, c);
}

static void an_import_of_a_lost_segment_is_restored_as_gone(void **state)
{
	struct engine_import_record record = import_record;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	record.instance = 4;
	record.index = 0;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_EXPORTER_GONE);
	assert_int_equal(t.w.last_state, WIRE_IMPORT_EXPORTER_GONE);
	assert_null(i->segment);
	record.index = 1;
	record.state = WIRE_IMPORT_REVOKED;
	assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	world_end(&t.w, t.client);
}

static void an_import_that_lost_its_segment_takes_its_cell_back(void **state)
{
	const uint32_t states[] = {WIRE_IMPORT_REVOKED, WIRE_IMPORT_EXPORTER_GONE};
	struct engine_import_record record = import_record;
	struct restored t;
	EngineImport *i;

	restored_init(&t);
	for (uint32_t n = 0; n < ELEMENTS(states); n++) {
		record.index = n;
		record.state = states[n];
		record.cell = 0;
		assert_int_equal(engine_import_restore(t.w.engine, &record, &i), -EBADMSG);
		record.cell = 4;
		assert_int_equal(engine_import_restore(t.w.engine, &record, &i), -EBADMSG);
		record.cell = 7 + n;
		assert_int_equal(engine_import_restore(t.w.engine, &record, &i), 0);
		assert_int_equal(i->state, states[n]);
		assert_null(i->segment);
		assert_ptr_equal(i->holding, t.segment);
		assert_int_equal(t.segment->n_cells, 8 + n);
		engine_check(t.w.engine);
	}
	world_end(&t.w, t.client);
}

static void quotas_are_counted_but_do_not_stop_a_restore(void **state)
{
	const struct engine_limits none = {.max_segment_bytes = PAGE};
	struct world w;
	EngineClient *c;
	EngineSegment *s;
	EngineImport *i;

	world_init(&w, &none);
	assert_int_equal(engine_client_restore(w.engine, &client_record, &c), 0);
	assert_int_equal(engine_segment_restore(w.engine, &segment_record, &s), 0);
	assert_int_equal(engine_import_restore(w.engine, &import_record, &i), 0);
	assert_int_equal(c->user->bytes, PAGE);
	assert_int_equal(engine_segment_create(c, 1, PAGE, 0, 0, 0, &s), STATUS_QUOTA_BYTES);
	world_end(&w, c);
}

/* Nothing has changed when a refusal leaves these alone. */
static void check_untouched(struct restored *t, const struct engine_counts *before)
{
	struct engine_counts now = engine_counts(t->w.engine);

	assert_memory_equal(&now, before, sizeof(now));
	assert_int_equal(t->w.n_states, 1);
	assert_int_equal(t->segment->n_cells, 5);
	engine_check(t->w.engine);
}

static void contradictory_clients_are_refused(void **state)
{
	struct engine_client_record bad[3] = {client_record, client_record, client_record};
	struct engine_counts before;
	struct restored t;
	EngineClient *c = NULL;

	restored_init(&t);
	before = engine_counts(t.w.engine);
	bad[0].id = 7;
	bad[1].id = 0;
	bad[2].id = 8;
	bad[2].identity.n_groups = ENGINE_GROUPS_MAX + 1;
	for (size_t n = 0; n < ELEMENTS(bad); n++)
		assert_int_equal(engine_client_restore(t.w.engine, &bad[n], &c), -EBADMSG);
	bad[2].identity.n_groups = 0;
	memset(bad[2].identity.command, 'x', sizeof(bad[2].identity.command));
	assert_int_equal(engine_client_restore(t.w.engine, &bad[2], &c), -EBADMSG);
	assert_null(c);
	check_untouched(&t, &before);
	world_end(&t.w, t.client);
}

/* A record that is taken, for others that differ from it in one field. */
static struct engine_segment_record fine_segment(void)
{
	struct engine_segment_record r = segment_record;

	r.instance = 6;
	r.index = 0;
	r.id = ID + 1;
	return r;
}

#define SEGMENT_BUT(field, value)                                                                  \
	({                                                                                         \
		struct engine_segment_record r_ = fine_segment();                                  \
		r_.field = (value);                                                                \
		r_;                                                                                \
	})

static void contradictory_segments_are_refused(void **state)
{
	const struct engine_segment_record bad[] = {
		SEGMENT_BUT(client, 6),
		SEGMENT_BUT(instance, 0),
		SEGMENT_BUT(instance, 5),
		SEGMENT_BUT(size, 0),
		SEGMENT_BUT(size, 100),
		SEGMENT_BUT(size, -PAGE),
		SEGMENT_BUT(index, 2),
		SEGMENT_BUT(index, 65536),
		SEGMENT_BUT(index, UINT32_MAX),
		SEGMENT_BUT(space, 0),
		SEGMENT_BUT(space, 6),
		SEGMENT_BUT(mode, 01000),
		SEGMENT_BUT(state, 0),
		SEGMENT_BUT(state, 3),
		SEGMENT_BUT(state, WIRE_SEGMENT_BOUND),
		SEGMENT_BUT(id, 0),
		SEGMENT_BUT(id, ID),
		SEGMENT_BUT(id, 5),
		SEGMENT_BUT(handed_out, 2),
		SEGMENT_BUT(n_access, ENGINE_ACCESS_MAX + 1),
		SEGMENT_BUT(n_access, UINT32_MAX),
		SEGMENT_BUT(access[0].mode, 0777),
	};
	struct engine_segment_record fine = fine_segment();
	struct engine_counts before;
	EngineSegment *s = NULL;
	struct restored t;

	restored_init(&t);
	before = engine_counts(t.w.engine);
	for (size_t n = 0; n < ELEMENTS(bad); n++) {
		if (engine_segment_restore(t.w.engine, &bad[n], &s) != -EBADMSG)
			fail_msg("record %zu was taken", n);
		check_untouched(&t, &before);
	}
	assert_null(s);
	assert_int_equal(engine_segment_restore(t.w.engine, &fine, &s), 0);
	world_end(&t.w, t.client);
}

static struct engine_import_record fine_import(void)
{
	struct engine_import_record r = import_record;

	r.index = 0;
	r.cell = 1;
	return r;
}

#define IMPORT_BUT(field, value)                                                                   \
	({                                                                                         \
		struct engine_import_record r_ = fine_import();                                    \
		r_.field = (value);                                                                \
		r_;                                                                                \
	})

static void contradictory_imports_are_refused(void **state)
{
	const struct engine_import_record bad[] = {
		IMPORT_BUT(client, 6), IMPORT_BUT(instance, 0), IMPORT_BUT(index, 3),
		IMPORT_BUT(index, 65536), IMPORT_BUT(index, UINT32_MAX), IMPORT_BUT(generation, 0),
		IMPORT_BUT(rights, 1), IMPORT_BUT(rights, 8), IMPORT_BUT(cell, 0),
		IMPORT_BUT(cell, 4), IMPORT_BUT(cell, 65536), IMPORT_BUT(cell, UINT32_MAX),
		IMPORT_BUT(state, WIRE_IMPORT_FREE), IMPORT_BUT(state, 4),
		IMPORT_BUT(instance, 6), /* which is not published */
	};
	struct engine_import_record fine = fine_import();
	struct engine_segment_record bound = fine_segment();
	struct engine_counts before;
	EngineImport *i = NULL;
	struct restored t;
	EngineSegment *s;

	restored_init(&t);
	bound.state = WIRE_SEGMENT_BOUND;
	bound.id = bound.n_access = bound.handed_out = 0;
	assert_int_equal(engine_segment_restore(t.w.engine, &bound, &s), 0);
	before = engine_counts(t.w.engine);
	for (size_t n = 0; n < ELEMENTS(bad); n++) {
		if (engine_import_restore(t.w.engine, &bad[n], &i) != -EBADMSG)
			fail_msg("record %zu was taken", n);
		check_untouched(&t, &before);
	}
	assert_null(i);
	assert_int_equal(engine_import_restore(t.w.engine, &fine, &i), 0);
	world_end(&t.w, t.client);
}

static void contradictory_counters_are_refused(void **state)
{
	const struct engine_counters bad = {
		.last_client = 99, .last_instance = 99, .last_system_id = 5};
	struct engine_counters now;
	struct restored t;

	restored_init(&t);
	assert_int_equal(engine_counters_restore(t.w.engine, &bad), -EBADMSG);
	engine_counters_save(t.w.engine, &now);
	assert_int_equal(now.last_client, 7);
	assert_int_equal(now.last_instance, 5);
	world_end(&t.w, t.client);
}

static uint64_t noise;

static uint32_t random_below(uint32_t n)
{
	noise ^= noise << 13;
	noise ^= noise >> 7;
	noise ^= noise << 17;
	return (noise >> 20) % n;
}

/* Bytes at random places, mostly small, so that many records are nearly right. */
static void scribble(void *record, size_t size)
{
	for (uint32_t n = random_below(4); n > 0; n--)
		((uint8_t *)record)[random_below(size)] =
			random_below(3) ? random_below(8) : random_below(256);
}

static void damaged_records_never_break_the_engine(void **state)
{
	struct engine_client_record c;
	struct engine_segment_record s;
	struct engine_import_record i;
	struct restored t;
	EngineClient *clients[64] = {}, *client;
	EngineSegment *segment;
	EngineImport *import;
	unsigned int taken = 0, refused = 0, n_clients;
	int r = 0;

	noise = 88172645463325252ull;
	for (int round = 0; round < 300; round++) {
		restored_init(&t);
		n_clients = 0;
		clients[n_clients++] = t.client;
		for (int n = 0; n < 60; n++) {
			switch (random_below(3)) {
			case 0:
				c = client_record;
				c.id += random_below(9);
				scribble(&c, sizeof(c));
				r = engine_client_restore(t.w.engine, &c, &client);
				if (r == 0)
					clients[n_clients++] = client;
				break;
			case 1:
				s = fine_segment();
				s.instance += random_below(20);
				s.index += random_below(20);
				s.id += random_below(20);
				scribble(&s, sizeof(s));
				r = engine_segment_restore(t.w.engine, &s, &segment);
				break;
			case 2:
				i = fine_import();
				i.instance += random_below(4);
				i.index += random_below(20);
				i.cell += random_below(20);
				scribble(&i, sizeof(i));
				r = engine_import_restore(t.w.engine, &i, &import);
				break;
			}
			assert_true(r == 0 || r == -EBADMSG);
			taken += r == 0;
			refused += r != 0;
			engine_check(t.w.engine);
		}
		while (n_clients > 0)
			engine_client_free(clients[--n_clients]);
		world_end(&t.w, NULL);
	}
	assert_true(taken > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_restored_as_it_was_saved),
		cmocka_unit_test(what_is_made_after_a_restore_is_new),
		cmocka_unit_test(an_import_of_a_lost_segment_is_restored_as_gone),
		cmocka_unit_test(an_import_that_lost_its_segment_takes_its_cell_back),
		cmocka_unit_test(quotas_are_counted_but_do_not_stop_a_restore),
		cmocka_unit_test(contradictory_clients_are_refused),
		cmocka_unit_test(contradictory_segments_are_refused),
		cmocka_unit_test(contradictory_imports_are_refused),
		cmocka_unit_test(contradictory_counters_are_refused),
		cmocka_unit_test(damaged_records_never_break_the_engine),
	};

	return cmocka_run_group_tests_name("engine, restored", tests, NULL, NULL);
}
