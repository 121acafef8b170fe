/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every allocation of the engine is made to fail once (the linker sends calloc and reallocarray
 * here), and what it needs for large numbers of objects.
 */

#include "core/test-world.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

#define ID 0x400000u

static unsigned int fail_at; /* 1: the next allocation; 0: none */
static size_t allocated;     /* bytes asked for in all */

static bool refuse(size_t bytes)
{
	allocated += bytes;
	return fail_at > 0 && --fail_at == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse(n * size) ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return refuse(n * size) ? NULL : __real_reallocarray(p, n, size);
}

/* What must be the same after a failure. */
struct picture {
	struct engine_counts counts;
	struct engine_counters counters;
	unsigned int n_states, n_frees, n_segment_frees, n_cell_changes;
};

static void picture_take(const struct world *w, struct picture *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->counts = engine_counts(w->engine);
	engine_counters_save(w->engine, &ret->counters);
	ret->n_states = w->n_states;
	ret->n_frees = w->n_frees;
	ret->n_segment_frees = w->n_segment_frees;
	ret->n_cell_changes = w->n_cell_changes;
}

static void check_failure(const struct world *w, const struct picture *before, int r)
{
	struct picture now;

	picture_take(w, &now);
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(now.counts.n_clients, before->counts.n_clients);
	assert_int_equal(now.counts.n_segments, before->counts.n_segments);
	assert_int_equal(now.counts.n_imports, before->counts.n_imports);
	assert_int_equal(now.counts.bytes, before->counts.bytes);
	assert_int_equal(now.counters.last_client, before->counters.last_client);
	assert_int_equal(now.counters.last_instance, before->counters.last_instance);
	assert_int_equal(now.n_states, before->n_states);
	assert_int_equal(now.n_frees, before->n_frees);
	assert_int_equal(now.n_segment_frees, before->n_segment_frees);
	assert_int_equal(now.n_cell_changes, before->n_cell_changes);
	engine_check(w->engine);
}

/*
 * Calls with the first, second, … allocation failing until there is none left to fail; each failure
 * must be -ENOMEM and leave no trace. A table that grew stays large when the call fails later, so
 * the next try makes one allocation less: each number is tried twice.
 */
#define FAILS_CLEANLY(w, call)                                                                     \
	do {                                                                                       \
		struct picture before_;                                                            \
		unsigned int tries_ = 0;                                                           \
		int r_;                                                                            \
		picture_take(w, &before_);                                                         \
		for (;;) {                                                                         \
			fail_at = 1 + tries_ / 2;                                                  \
			r_ = (call);                                                               \
			if (fail_at > 0)                                                           \
				break;                                                             \
			check_failure(w, &before_, r_);                                            \
			tries_++;                                                                  \
		}                                                                                  \
		fail_at = 0;                                                                       \
		assert_int_equal(r_, 0);                                                           \
		assert_true(tries_ > 0);                                                           \
		engine_check((w)->engine);                                                         \
	} while (0)

static void a_failed_allocation_changes_nothing(void **state)
{
	struct engine_identity who = {.uid = 1000};
	EngineClient *c = NULL;
	EngineSegment *s = NULL;
	EngineImport *i = NULL;
	struct world w;
	uint32_t id;

	world_init(&w, NULL);
	FAILS_CLEANLY(&w, engine_client_new(w.engine, &who, &c));
	/* Far enough that each table must grow at some time. */
	for (uint32_t n = 0; n < 40; n++)
		FAILS_CLEANLY(&w, engine_segment_create(c, 1, PAGE, 0600, 0, 0, &s));
	assert_int_equal(engine_segment_publish(s, ID, NULL, 0, &id), 0);
	for (uint32_t n = 0; n < 40; n++) {
		FAILS_CLEANLY(&w, engine_import_connect(c, 1, 1, 0, ID, RW, &i));
		assert_int_equal(i->index, n);
		assert_int_equal(i->generation, 1);
		assert_int_equal(i->cell, n + 1);
		assert_int_equal(s->n_imports, n + 1);
	}
	world_end(&w, c);
}

static void a_failed_allocation_does_not_harm_a_restore(void **state)
{
	struct engine_client_record client;
	struct engine_segment_record segment;
	struct engine_import_record import;
	struct world w;
	EngineClient *c;
	EngineSegment *s;
	EngineImport *i;

	world_init(&w, NULL);
	c = client_of(&w, 1000, 100);
	s = published_of(c, 0600, ID);
	for (uint32_t n = 0; n < 9; n++)
		i = connected(c, ID, RW);
	engine_client_save(c, &client);
	engine_segment_save(s, &segment);
	engine_import_save(i, &import);
	world_end(&w, c);

	world_init(&w, NULL);
	FAILS_CLEANLY(&w, engine_client_restore(w.engine, &client, &c));
	FAILS_CLEANLY(&w, engine_segment_restore(w.engine, &segment, &s));
	FAILS_CLEANLY(&w, engine_import_restore(w.engine, &import, &i));
	FAILS_CLEANLY(&w, engine_generation_restore(c, 100, 5));
	world_end(&w, c);
}

static void an_engine_without_memory_is_none(void **state)
{
	Engine *engine = NULL;

	for (unsigned int n = 1; n <= 2; n++) {
		fail_at = n;
		assert_int_equal(engine_new(0, &world_limits, &world_ops, NULL, &engine), -ENOMEM);
		assert_null(engine);
	}
	engine_free(NULL);
}

static void ids_are_found_without_memory_for_a_larger_index(void **state)
{
	EngineSegment *s[1000];
	struct world w;
	EngineClient *c;
	uint32_t id;

	world_init(&w, NULL);
	c = client_of(&w, 1000, 100);
	for (uint32_t n = 0; n < ELEMENTS(s); n++) {
		s[n] = segment_of(c, 1, 0600);
		fail_at = 1;
		assert_int_equal(engine_segment_publish(s[n], ID + n, NULL, 0, &id), 0);
		fail_at = 0;
	}
	for (uint32_t n = 0; n < ELEMENTS(s); n++)
		assert_ptr_equal(engine_segment_find(w.engine, WIRE_SPACE_RSM, ID + n), s[n]);
	world_end(&w, c);
}

static void a_thousand_importers_of_one_segment_come_and_go(void **state)
{
	EngineClient *c[1000], *owner;
	EngineSegment *s;
	struct world w;
	bool move;

	world_init(&w, NULL);
	owner = client_of(&w, 1000, 100);
	s = published_of(owner, 0666, ID);
	for (size_t n = 0; n < ELEMENTS(c); n++) {
		c[n] = client_of(&w, 1001 + n % 10, 101);
		assert_int_equal(connected(c[n], ID, RW)->cell, n + 1);
	}
	engine_check(w.engine);
	assert_int_equal(s->n_cells, 1001);
	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_true(move);
	assert_int_equal(w.n_states, 2000);
	assert_int_equal(s->n_cells, 1001);
	for (size_t n = 0; n < ELEMENTS(c); n++)
		engine_client_free(c[n]);
	assert_int_equal(s->n_cells, 1);
	world_end(&w, owner);
}

static void a_segment_has_so_many_cells_and_a_client_so_many_places(void **state)
{
	EngineClient *a, *b;
	EngineImport *i;
	EngineSegment *s;
	struct world w;

	world_init(&w, NULL);
	a = client_of(&w, 1000, 100);
	b = client_of(&w, 1000, 100);
	s = published_of(a, 0600, ID);
	published_of(a, 0600, ID + 1);
	for (uint32_t n = 1; n < 65536; n++)
		connected(b, ID, 0);
	assert_int_equal(try_connect(a, ID, 0, &i), STATUS_NO_RESOURCES);
	connected(b, ID + 1, 0);
	assert_int_equal(try_connect(b, ID + 1, 0, &i), STATUS_NO_RESOURCES);
	for (uint32_t n = 2; n < 65536; n++)
		segment_of(a, 1, 0600);
	assert_int_equal(engine_segment_create(a, 1, PAGE, 0, 0, 0, &s), STATUS_NO_RESOURCES);
	world_end(&w, a, b);
}

#define MANY 100000u

static void a_hundred_thousand_segments_are_small_and_listed_in_pieces(void **state)
{
	EngineClient *c[20];
	uint64_t after = 0, started;
	uint32_t id, n = 0;
	struct world w;

	world_init(&w, NULL);
	for (size_t i = 0; i < ELEMENTS(c); i++)
		c[i] = client_of(&w, 1000, 100);
	allocated = 0;
	started = clock_now();
	for (uint32_t i = 0; i < MANY; i++) {
		EngineSegment *s = segment_of(c[i % ELEMENTS(c)], 1, 0600);

		assert_int_equal(engine_segment_publish(s, ID + i, NULL, 0, &id), 0);
	}
	print_message("%zu bytes a published segment\n", allocated / MANY);
	assert_true(allocated / MANY < 600);
	for (EngineSegment *s; (s = engine_segment_next(w.engine, after)); n++)
		after = s->instance;
	assert_int_equal(n, MANY);
	for (uint32_t i = 0; i < MANY; i++)
		assert_non_null(engine_segment_find(w.engine, WIRE_SPACE_RSM, ID + i));
	for (size_t i = 0; i < ELEMENTS(c); i++)
		engine_client_free(c[i]);
	print_message("made, listed, found, freed in %llu ms\n",
		(unsigned long long)((clock_now() - started) / NSEC_PER_MSEC));
	/* Quadratic would be minutes. */
	assert_true(clock_now() - started < 20 * NSEC_PER_SEC);
	world_end(&w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_allocation_changes_nothing),
		cmocka_unit_test(a_failed_allocation_does_not_harm_a_restore),
		cmocka_unit_test(an_engine_without_memory_is_none),
		cmocka_unit_test(ids_are_found_without_memory_for_a_larger_index),
		cmocka_unit_test(a_thousand_importers_of_one_segment_come_and_go),
		cmocka_unit_test(a_segment_has_so_many_cells_and_a_client_so_many_places),
		cmocka_unit_test(a_hundred_thousand_segments_are_small_and_listed_in_pieces),
	};

	return cmocka_run_group_tests_name("engine, memory", tests, NULL, NULL);
}
