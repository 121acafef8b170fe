/* SPDX-License-Identifier: Apache-2.0 */

/* Every allocation of the registry of clshm is made to fail once (the linker sends calloc and
 * reallocarray here): -ENOMEM, and nothing has changed. */

#include "core/test-world.h"

#include <stdlib.h>
#include <string.h>
#include "core/shm.h"

#define GET(k) ((struct wire_shm_get){.key = (k), .size = 5000, .mode = 0600})

static unsigned int fail_at; /* 1: the next allocation; 0: none */

void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return fail_at > 0 && --fail_at == 0 ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fail_at > 0 && --fail_at == 0 ? NULL : __real_reallocarray(p, n, size);
}

static void check_same(const struct world *w, struct engine_counts before)
{
	struct engine_counts now = engine_counts(w->engine);

	assert_int_equal(now.n_clients, before.n_clients);
	assert_int_equal(now.n_segments, before.n_segments);
	assert_int_equal(now.n_imports, before.n_imports);
	assert_int_equal(now.bytes, before.bytes);
	engine_check(w->engine);
}

/* A table that grew stays large when the call fails later, so that the next try makes one
 * allocation less: each number is tried twice. */
#define FAILS_CLEANLY(w, call)                                                                     \
	do {                                                                                       \
		struct engine_counts before_ = engine_counts((w)->engine);                         \
		unsigned int tries_ = 0;                                                           \
		int r_;                                                                            \
		for (;;) {                                                                         \
			fail_at = 1 + tries_ / 2;                                                  \
			r_ = (call);                                                               \
			if (fail_at > 0)                                                           \
				break;                                                             \
			assert_int_equal(r_, -ENOMEM);                                             \
			check_same(w, before_);                                                    \
			tries_++;                                                                  \
		}                                                                                  \
		fail_at = 0;                                                                       \
		assert_int_equal(r_, 0);                                                           \
		assert_true(tries_ > 0);                                                           \
	} while (0)

static void a_failed_allocation_changes_nothing(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *c = client_of(&w, 1000, 100);
	struct engine_shm_asker asker = {
		.identity = &c->identity, .node = NODE, .client = c->id, .serial = 1};
	EngineSegment *segment;
	EngineImport *import;
	EngineShmKey *key;
	bool made;

	/* far enough that each table must grow at some time */
	for (uint32_t n = 0; n < 20; n++) {
		asker.serial++;
		FAILS_CLEANLY(&w, engine_shm_key_new(w.engine, &asker, &key));
		const struct wire_shm_get get = GET(engine_shm_key_value(w.engine, key));

		FAILS_CLEANLY(
			&w, engine_shm_get(w.engine, &asker, &get, UINT64_MAX, &segment, &made));
		assert_true(made);
		FAILS_CLEANLY(&w, engine_import_connect(c, WIRE_SPACE_CLSHM, WIRE_CONTROLLER_TCP,
					  NODE, segment->id, RW, &import));
	}
	world_end(&w, c);
}

struct records {
	struct engine_counters counters;
	struct engine_client_record client;
	struct engine_shm_key_record key;
	struct engine_segment_record segment;
	struct engine_shm_record shm;
	uint64_t estate;
};

static void make_records(struct records *ret)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *c = client_of(&w, 1000, 100);
	const struct engine_shm_asker asker = {
		.identity = &c->identity, .node = NODE, .client = c->id, .serial = 1};
	struct wire_shm_get get;
	EngineSegment *segment;
	EngineShmKey *key;
	bool made;

	assert_int_equal(engine_shm_key_new(w.engine, &asker, &key), 0);
	get = GET(engine_shm_key_value(w.engine, key));
	assert_int_equal(engine_shm_get(w.engine, &asker, &get, UINT64_MAX, &segment, &made), 0);
	engine_counters_save(w.engine, &ret->counters);
	engine_client_save(c, &ret->client);
	engine_shm_key_save(key, &ret->key);
	engine_segment_save(segment, &ret->segment);
	engine_shm_save(segment, &ret->shm);
	ret->estate = segment->owner->id;
	world_end(&w, c);
}

static void a_restore_that_fails_can_be_tried_again(void **state)
{
	struct records records;
	EngineShmEstate *estate;
	EngineSegment *segment;
	EngineShmKey *key;
	EngineClient *c;
	struct world w;

	make_records(&records);
	world_init(&w, NULL);
	assert_int_equal(engine_counters_restore(w.engine, &records.counters), 0);
	assert_int_equal(engine_client_restore(w.engine, &records.client, &c), 0);
	FAILS_CLEANLY(&w, engine_shm_key_restore(w.engine, &records.key, &key));
	fail_at = 1;
	assert_int_equal(
		engine_shm_estate_restore(w.engine, records.estate, 1000, &estate), -ENOMEM);
	assert_int_equal(engine_shm_estate_restore(w.engine, records.estate, 1000, &estate), 0);
	assert_int_equal(engine_segment_restore(w.engine, &records.segment, &segment), 0);
	fail_at = 1;
	assert_int_equal(engine_shm_restore(w.engine, &records.shm, &segment), -ENOMEM);
	assert_int_equal(engine_shm_restore(w.engine, &records.shm, &segment), 0);
	engine_shm_settle(w.engine);
	engine_check(w.engine);
	assert_ptr_equal(key->segment, segment);
	world_end(&w, c);
}

/* A record is looked at as a whole, and what is not true is not taken. */
static void records_that_contradict_are_refused(void **state)
{
	struct records good, bad;
	EngineShmEstate *estate;
	EngineSegment *segment;
	EngineShmKey *key;
	EngineClient *c;
	struct world w;

	make_records(&good);
	world_init(&w, NULL);
	assert_int_equal(engine_counters_restore(w.engine, &good.counters), 0);
	assert_int_equal(engine_client_restore(w.engine, &good.client, &c), 0);
#define BAD_KEY(change)                                                                            \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.key.change;                                                                    \
		assert_int_equal(engine_shm_key_restore(w.engine, &bad.key, &key), -EBADMSG);      \
	} while (0)
	BAD_KEY(number = 0);
	BAD_KEY(number = 1u << 24);
	BAD_KEY(by.node = 0);
	BAD_KEY(by.node = 65);
	BAD_KEY(by.client = 0);
	assert_int_equal(engine_shm_key_restore(w.engine, &good.key, &key), 0);
	assert_int_equal(engine_shm_key_restore(w.engine, &good.key, &key), -EBADMSG);
	BAD_KEY(number++); /* made by the same request */
	assert_int_equal(engine_shm_estate_restore(w.engine, 0, 1000, &estate), -EBADMSG);
	assert_int_equal(engine_shm_estate_restore(w.engine, c->id, 1000, &estate), -EBADMSG);
	/* its owner must be an estate */
	bad = good;
	bad.segment.client = c->id;
	assert_int_equal(engine_segment_restore(w.engine, &bad.segment, &segment), -EBADMSG);
	assert_int_equal(engine_shm_restore(w.engine, &good.shm, &segment), -EBADMSG);
	assert_int_equal(engine_shm_estate_restore(w.engine, good.estate, 1000, &estate), 0);
	assert_int_equal(
		engine_shm_estate_restore(w.engine, good.estate + 1, 1000, &estate), -EBADMSG);
	bad = good;
	bad.segment.space = WIRE_SPACE_SISCI;
	assert_int_equal(engine_segment_restore(w.engine, &bad.segment, &segment), -EBADMSG);
	assert_int_equal(engine_segment_restore(w.engine, &good.segment, &segment), 0);
#define BAD_SHM(change)                                                                            \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.shm.change;                                                                    \
		assert_int_equal(engine_shm_restore(w.engine, &bad.shm, &segment), -EBADMSG);      \
	} while (0)
	BAD_SHM(instance++);
	BAD_SHM(bytes = 8193);
	BAD_SHM(bytes = 4096);
	BAD_SHM(flags = 16);
	BAD_SHM(was_attached = 2);
	bad = good;
	memset(bad.shm.command, 'x', sizeof(bad.shm.command));
	assert_int_equal(engine_shm_restore(w.engine, &bad.shm, &segment), -EBADMSG);
	assert_int_equal(engine_shm_restore(w.engine, &good.shm, &segment), 0);
	assert_int_equal(engine_shm_restore(w.engine, &good.shm, &segment), -EBADMSG);
	engine_shm_settle(w.engine);
	world_end(&w, c);
}

/* A node that has begun anew counts its processes and their requests from the beginning. */
static void requests_of_a_former_life_are_forgotten(void **state)
{
	const struct engine_identity who = {.uid = 1000, .gid = 100};
	struct engine_shm_asker asker = {.identity = &who, .node = 7, .client = 1, .serial = 1};
	struct wire_shm_control set = {
		.command = WIRE_SHM_SET, .uid = 1000, .gid = 100, .mode = 0640};
	EngineShmKey *key, *other;
	EngineSegment *segment;
	struct wire_shm_get get;
	struct world w;
	bool made;

	world_init(&w, NULL);
	assert_int_equal(engine_shm_key_new(w.engine, &asker, &key), 0);
	get = GET(engine_shm_key_value(w.engine, key));
	get.flags = WIRE_SHM_EXCLUSIVE;
	asker.serial = 2;
	assert_int_equal(engine_shm_get(w.engine, &asker, &get, UINT64_MAX, &segment, &made), 0);
	assert_int_equal(engine_shm_get(w.engine, &asker, &get, UINT64_MAX, &segment, &made), 0);
	asker.serial = 3;
	set.shmid = segment->id;
	assert_int_equal(engine_shm_control(w.engine, &asker, &set), 0);
	engine_shm_maker_gone(w.engine, 7, 0);
	set.mode = 0600;
	assert_int_equal(engine_shm_control(w.engine, &asker, &set), 0);
	assert_int_equal(segment->mode, 0600);
	asker.serial = 2;
	assert_int_equal(engine_shm_get(w.engine, &asker, &get, UINT64_MAX, &segment, &made),
		STATUS_ID_IN_USE);
	asker.serial = 1;
	assert_int_equal(engine_shm_key_new(w.engine, &asker, &other), 0);
	assert_ptr_not_equal(other, key);
	world_end(&w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_allocation_changes_nothing),
		cmocka_unit_test(a_restore_that_fails_can_be_tried_again),
		cmocka_unit_test(records_that_contradict_are_refused),
		cmocka_unit_test(requests_of_a_former_life_are_forgotten),
	};

	return cmocka_run_group_tests_name("clshm, records and memory", tests, NULL, NULL);
}
