/* SPDX-License-Identifier: Apache-2.0 */

/* The rules of engine.h, one by one. Schedules are in test-engine-model.c. */

#include "core/test-world.h"

#include <string.h>

#define ID 0x400000u

static void a_created_segment_is_bound(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s = NULL;

	assert_int_equal(engine_segment_create(a, WIRE_SPACE_RSM, 2 * PAGE, 07644, 5, 77, &s), 0);
	assert_int_equal(s->state, WIRE_SEGMENT_BOUND);
	assert_int_equal(s->mode, 0644);
	assert_int_equal(s->flags, 5);
	assert_int_equal(s->created, 77);
	assert_int_equal(s->uid, 1000);
	assert_int_equal(s->gid, 100);
	assert_int_equal(s->n_cells, 1);
	assert_int_equal(w.n_cell_changes, 1);
	assert_ptr_equal(engine_segment_get(a, s->index), s);
	assert_null(engine_segment_get(a, s->index + 1));
	assert_ptr_equal(engine_segment_find_instance(w.engine, s->instance), s);
	assert_null(engine_segment_find(w.engine, WIRE_SPACE_RSM, 0));
	assert_int_equal(engine_counts(w.engine).bytes, 2 * PAGE);
	assert_int_equal(engine_node(w.engine), NODE);
	assert_memory_equal(engine_limits(w.engine), &world_limits, sizeof(world_limits));
	world_end(&w, a);
	assert_int_equal(w.n_segment_frees, 1);
}

static void create_looks_at_space_then_size_then_bytes_then_number(void **state)
{
	const struct engine_limits limits = {.max_segment_bytes = 4 * PAGE,
		.max_bytes_per_user = 6 * PAGE,
		.max_segments_per_user = 2,
		.max_imports_per_user = 1,
		.max_clients_per_user = 9};
	struct world w;
	world_init(&w, &limits);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100),
		     *other = client_of(&w, 1001, 100);
	EngineSegment *s = NULL;

	assert_int_equal(engine_segment_create(a, 0, 0, 0, 0, 0, &s), STATUS_BAD_REQUEST);
	assert_int_equal(engine_segment_create(a, 6, PAGE, 0, 0, 0, &s), STATUS_BAD_REQUEST);
	assert_int_equal(engine_segment_create(a, 1, 0, 0, 0, 0, &s), STATUS_BAD_SIZE);
	assert_int_equal(engine_segment_create(a, 1, PAGE + 1, 0, 0, 0, &s), STATUS_BAD_SIZE);
	assert_int_equal(engine_segment_create(a, 1, 5 * PAGE, 0, 0, 0, &s), STATUS_BAD_SIZE);
	assert_null(s);
	segment_of(a, 4, 0600);
	s = segment_of(b, 1, 0600);
	assert_int_equal(engine_segment_create(a, 1, 2 * PAGE, 0, 0, 0, &s), STATUS_QUOTA_BYTES);
	assert_int_equal(engine_segment_create(a, 1, PAGE, 0, 0, 0, &s), STATUS_NO_RESOURCES);
	segment_of(other, 4, 0600);
	engine_segment_destroy(s);
	segment_of(a, 2, 0600);
	world_end(&w, a, b, other);
}

static void sizes_near_the_end_of_numbers_do_not_overflow(void **state)
{
	const struct engine_limits limits = {.max_segment_bytes = UINT64_MAX,
		.max_bytes_per_user = UINT64_MAX,
		.max_segments_per_user = 9,
		.max_clients_per_user = 9};
	struct world w;
	world_init(&w, &limits);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 100);
	EngineSegment *s;

	assert_int_equal(engine_segment_create(a, 1, -PAGE, 0, 0, 0, &s), 0);
	assert_int_equal(engine_segment_create(a, 1, PAGE, 0, 0, 0, &s), STATUS_QUOTA_BYTES);
	assert_int_equal(engine_segment_create(b, 1, PAGE, 0, 0, 0, &s), STATUS_QUOTA_BYTES);
	world_end(&w, a, b);
}

static void a_user_may_have_so_many_clients(void **state)
{
	struct engine_limits limits = world_limits;
	struct engine_identity who = {.uid = 1000};
	EngineClient *c = NULL;
	struct world w;

	limits.max_clients_per_user = 2;
	world_init(&w, &limits);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100),
		     *other = client_of(&w, 0, 0);
	assert_int_equal(engine_client_new(w.engine, &who, &c), STATUS_NO_RESOURCES);
	assert_null(c);
	engine_client_free(b);
	b = client_of(&w, 1000, 100);
	assert_int_equal(b->id, 4);
	engine_client_free(NULL);
	world_end(&w, a, b, other);
}

static int publish(EngineSegment *s, uint32_t id)
{
	uint32_t got = 77;
	int r = engine_segment_publish(s, id, NULL, 0, &got);

	assert_int_equal(got, r == 0 ? s->id : 77);
	return r;
}

static void reserved_ids_are_refused_in_the_space_rsm_only(void **state)
{
	const uint32_t reserved[] = {1, 0x100000, 0x3fffff, 0x80000000, UINT32_MAX},
		       fine[] = {0x400000, 0x600000, 0x7fffffff};
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s = segment_of(a, 1, 0600), *sisci, *other;
	bool move;

	assert_int_equal(engine_segment_create(a, WIRE_SPACE_SISCI, PAGE, 0, 0, 0, &sisci), 0);
	assert_int_equal(engine_segment_create(a, WIRE_SPACE_SISCI_INT, PAGE, 0, 0, 0, &other), 0);
	assert_int_equal(engine_segment_create(a, WIRE_SPACE_CLSHM, PAGE, 0, 0, 0, &other),
		STATUS_BAD_REQUEST);
	for (size_t i = 0; i < ELEMENTS(reserved); i++) {
		assert_int_equal(publish(s, reserved[i]), STATUS_ID_RESERVED);
		assert_int_equal(publish(sisci, reserved[i]), 0);
		assert_int_equal(publish(other, reserved[i]), 0);
		assert_int_equal(engine_segment_unpublish(sisci, &move), 0);
		assert_int_equal(engine_segment_unpublish(other, &move), 0);
	}
	for (size_t i = 0; i < ELEMENTS(fine); i++) {
		assert_int_equal(publish(s, fine[i]), 0);
		assert_ptr_equal(engine_segment_find(w.engine, WIRE_SPACE_RSM, fine[i]), s);
		assert_null(engine_segment_find(w.engine, WIRE_SPACE_SISCI, fine[i]));
		/* in the same bucket */
		assert_null(engine_segment_find(w.engine, WIRE_SPACE_RSM + (1u << 20), fine[i]));
		assert_int_equal(engine_segment_unpublish(s, &move), 0);
		assert_null(engine_segment_find(w.engine, WIRE_SPACE_RSM, fine[i]));
	}
	world_end(&w, a);
}

static void system_ids_come_once_each_until_all_have_been(void **state)
{
	const struct engine_counters near_the_end = {.last_system_id = UINT32_MAX - 1};
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s = segment_of(a, 1, 0600), *t = segment_of(a, 1, 0600);
	bool move;

	assert_int_equal(publish(s, 0), 0);
	assert_int_equal(s->id, 0x80000000);
	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_int_equal(publish(s, 0), 0);
	assert_int_equal(s->id, 0x80000001);
	assert_int_equal(publish(t, 0), 0);
	assert_int_equal(t->id, 0x80000002);
	engine_segment_destroy(s);
	s = segment_of(a, 1, 0600);
	assert_int_equal(engine_counters_restore(w.engine, &near_the_end), 0);
	for (uint32_t id = UINT32_MAX;; id++) {
		assert_int_equal(publish(s, 0), 0);
		if (id == 0x80000002u) { /* t has it */
			assert_int_equal(s->id, 0x80000003);
			break;
		}
		assert_int_equal(s->id, id);
		assert_int_equal(engine_segment_unpublish(s, &move), 0);
		if (id == UINT32_MAX)
			id = 0x7fffffff;
	}
	world_end(&w, a);
}

static void publish_looks_at_state_then_id_then_list_then_use(void **state)
{
	const struct wire_access bad = {.node = 9, .mode = 0600}, good = {.node = NODE, .mode = 0};
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 100);
	EngineSegment *taken = published_of(a, 0600, ID), *s = segment_of(b, 1, 0600);
	uint32_t id = 0;

	assert_int_equal(engine_segment_publish(taken, 1, &bad, 1, &id), STATUS_ALREADY_PUBLISHED);
	assert_int_equal(engine_segment_publish(s, 1, &bad, 1, &id), STATUS_ID_RESERVED);
	assert_int_equal(engine_segment_publish(s, ID, &bad, 1, &id), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(engine_segment_publish(s, ID, &good, 1, &id), STATUS_ID_IN_USE);
	assert_int_equal(id, 0);
	assert_int_equal(s->state, WIRE_SEGMENT_BOUND);
	assert_int_equal(engine_segment_publish(s, 0, &bad, 1, &id), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(engine_segment_publish(s, 0, &good, 1, &id), 0);
	assert_int_equal(id, 0x80000000);
	world_end(&w, a, b);
}

static void access_lists_name_this_node_once_and_rights_up_to_0666(void **state)
{
	const struct wire_access fine[] = {{0, 0666}, {NODE, 0}, {NODE, 0111}, {0, 0577}},
				 bad[] = {{1, 0600}, {UINT32_MAX, 0600}, {0xffff, 0600}, {0, 0667},
					 {NODE, 0777}, {NODE, UINT32_MAX}},
				 two[] = {{0, 0600}, {NODE, 0600}};
	struct wire_access many[ENGINE_ACCESS_MAX + 1] = {};
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s = segment_of(a, 1, 0600);
	uint32_t id;
	bool move;

	for (size_t i = 0; i < ELEMENTS(fine); i++) {
		assert_int_equal(engine_segment_publish(s, ID, &fine[i], 1, &id), 0);
		assert_int_equal(engine_segment_republish(s, &fine[i], 1), 0);
		assert_int_equal(engine_segment_unpublish(s, &move), 0);
		assert_int_equal(engine_segment_republish(s, &fine[i], 1), STATUS_NOT_PUBLISHED);
	}
	assert_int_equal(engine_segment_publish(s, ID, two, 2, &id), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(
		engine_segment_publish(s, ID, many, ELEMENTS(many), &id), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(publish(s, ID), 0);
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_int_equal(engine_segment_republish(s, &bad[i], 1), STATUS_BAD_ACCESS_LIST);
	assert_int_equal(s->n_access, 0);
	world_end(&w, a);
}

static void republish_changes_the_rights_of_later_connects_only(void **state)
{
	const struct wire_access nobody = {.node = 0, .mode = 0};
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineSegment *s = published_of(a, 0666, ID);
	EngineImport *i = connected(b, ID, RW), *none = NULL;

	assert_int_equal(engine_segment_republish(s, &nobody, 1), 0);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(i->rights, RW);
	assert_int_equal(try_connect(b, ID, WIRE_READ, &none), STATUS_DENIED);
	assert_int_equal(engine_segment_republish(s, NULL, 0), 0);
	connected(b, ID, RW);
	assert_int_equal(s->id, ID);
	world_end(&w, a, b);
}

static void unpublish_frees_the_id_and_revokes_imports_that_stay(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineSegment *s = published_of(a, 0666, ID), *t;
	EngineImport *i = connected(b, ID, RW), *again;
	bool move = false;

	assert_int_equal(w.last_state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(s->n_cells, 2);
	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_true(move);
	assert_int_equal(w.n_states, 2);
	assert_int_equal(w.last_state, WIRE_IMPORT_REVOKED);
	assert_ptr_equal(w.last_lost, s);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	assert_null(i->segment);
	assert_int_equal(i->instance, s->instance);
	assert_ptr_equal(engine_import_get(b, i->index), i);
	assert_int_equal(s->state, WIRE_SEGMENT_BOUND);
	assert_int_equal(engine_segment_unpublish(s, &move), STATUS_NOT_PUBLISHED);
	t = published_of(b, 0666, ID);
	assert_int_equal(publish(s, ID), STATUS_ID_IN_USE);
	again = connected(b, ID, RW);
	assert_ptr_equal(again->segment, t);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	engine_import_disconnect(i);
	assert_int_equal(w.n_frees, 1);
	world_end(&w, a, b);
}

static bool unpublish_moves(EngineSegment *s)
{
	bool move;

	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_int_equal(publish(s, ID), 0);
	return move;
}

static void the_exporter_moves_if_somebody_else_may_have_the_memory(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *same = client_of(&w, 1000, 100),
		     *other = client_of(&w, 1001, 101);
	EngineSegment *s = published_of(a, 0666, ID);
	EngineImport *i;

	assert_false(unpublish_moves(s));
	connected(a, ID, RW);
	assert_false(unpublish_moves(s));
	connected(same, ID, RW);
	assert_true(unpublish_moves(s));
	assert_false(unpublish_moves(s));
	i = connected(same, ID, RW);
	engine_import_disconnect(i);
	assert_false(unpublish_moves(s));
	i = connected(other, ID, RW);
	engine_import_disconnect(i);
	assert_true(s->handed_out);
	assert_true(unpublish_moves(s));
	assert_false(s->handed_out);
	assert_false(unpublish_moves(s));
	world_end(&w, a, same, other);
}

static void destroy_revokes_and_frees(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineSegment *s = published_of(a, 0666, ID);
	EngineImport *i = connected(b, ID, 0);
	uint64_t instance = s->instance;

	engine_segment_destroy(s);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	assert_int_equal(w.n_segment_frees, 1);
	assert_null(engine_segment_find_instance(w.engine, instance));
	assert_null(engine_segment_find(w.engine, WIRE_SPACE_RSM, ID));
	assert_int_equal(engine_counts(w.engine).n_segments, 0);
	s = segment_of(a, 1, 0600);
	assert_true(s->instance > instance);
	engine_segment_destroy(s);
	world_end(&w, a, b);
}

static void importers_of_a_dead_client_are_told(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineImport *i;

	published_of(a, 0666, ID);
	published_of(b, 0666, ID + 1);
	i = connected(b, ID, RW);
	connected(a, ID, RW);
	connected(a, ID + 1, RW);
	engine_client_free(a);
	engine_check(w.engine);
	assert_int_equal(i->state, WIRE_IMPORT_EXPORTER_GONE);
	assert_null(i->segment);
	assert_int_equal(w.n_frees, 2);
	assert_int_equal(w.n_segment_frees, 1);
	assert_int_equal(w.n_states, 4);
	assert_int_equal(engine_counts(w.engine).n_imports, 1);
	assert_int_equal(engine_segment_find(w.engine, WIRE_SPACE_RSM, ID + 1)->n_imports, 0);
	world_end(&w, b);
}

static void connect_looks_at_way_then_node_then_name_then_rights_then_quota(void **state)
{
	struct engine_limits limits = world_limits;
	struct world w;

	limits.max_imports_per_user = 1;
	world_init(&w, &limits);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineImport *i = NULL;

	published_of(a, 0644, ID);
	connected(b, ID, WIRE_READ);
	assert_int_equal(engine_import_connect(b, 1, 0, 9, 1, RW, &i), STATUS_NO_CONTROLLER);
	assert_int_equal(engine_import_connect(b, 1, 4, NODE, ID, 0, &i), STATUS_NO_CONTROLLER);
	assert_int_equal(engine_import_connect(b, 1, 1, 9, 1, RW, &i), STATUS_NO_CONTROLLER);
	assert_int_equal(engine_import_connect(b, 1, 2, 9, 1, RW, &i), STATUS_NODE_UNKNOWN);
	assert_int_equal(engine_import_connect(b, 1, 2, 0, 1, RW, &i), STATUS_NOT_FOUND);
	assert_int_equal(engine_import_connect(b, 2, 2, 0, ID, RW, &i), STATUS_NOT_FOUND);
	assert_int_equal(engine_import_connect(b, 1, 2, 0, ID, RW, &i), STATUS_DENIED);
	assert_int_equal(engine_import_connect(b, 1, 1, 0, ID, WIRE_READ, &i), STATUS_NO_RESOURCES);
	assert_null(i);
	assert_int_equal(engine_import_connect(a, 1, 2, NODE, ID, RW, &i), 0);
	world_end(&w, a, b);
}

static void a_list_without_this_node_lets_nobody_in(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *root = client_of(&w, 0, 0);
	EngineSegment *s = published_of(a, 0666, ID);
	EngineImport *i = NULL;

	/* Only with peers can a client ask for such a list. */
	s->n_access = 1;
	s->access[0] = (struct wire_access){.node = 9, .mode = 0666};
	assert_int_equal(try_connect(a, ID, 0, &i), STATUS_NOT_LISTED);
	assert_int_equal(try_connect(root, ID, RW, &i), STATUS_NOT_LISTED);
	world_end(&w, a, root);
}

/* What a client of these ids may do with a segment of 1000:100 whose list says mode: the rights
 * that each single request gets, together. */
static uint32_t allowed(uint32_t mode, uid_t uid, gid_t gid, gid_t group)
{
	const struct wire_access list = {.node = 0, .mode = mode};
	struct engine_identity who = {.uid = uid, .gid = gid, .n_groups = 1, .groups = {group}};
	uint32_t rights = 0, id;
	EngineImport *i;
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = NULL;
	EngineSegment *s = segment_of(a, 1, 0);

	assert_int_equal(engine_segment_publish(s, ID, &list, 1, &id), 0);
	assert_int_equal(engine_client_new(w.engine, &who, &b), 0);
	if (try_connect(b, ID, WIRE_READ, &i) == 0)
		rights |= WIRE_READ;
	if (try_connect(b, ID, WIRE_WRITE, &i) == 0)
		rights |= WIRE_WRITE;
	/* asking for nothing is not a way in for those who may nothing */
	assert_int_equal(try_connect(b, ID, 0, &i), rights ? 0 : STATUS_DENIED);
	assert_int_equal(try_connect(b, ID, RW, &i), rights == RW ? 0 : STATUS_DENIED);
	assert_int_equal(try_connect(b, ID, RW | 1, &i), STATUS_DENIED);
	assert_int_equal(try_connect(b, ID, 0400, &i), STATUS_DENIED);
	assert_int_equal(engine_segment_visible(s, b), rights != 0);
	world_end(&w, a, b);
	return rights;
}

static void one_class_alone_decides(void **state)
{
	assert_int_equal(allowed(0624, 1000, 1, 1), RW);
	assert_int_equal(allowed(0624, 1001, 100, 1), WIRE_WRITE);
	assert_int_equal(allowed(0624, 1001, 1, 100), WIRE_WRITE);
	assert_int_equal(allowed(0624, 1001, 1, 1), WIRE_READ);
	assert_int_equal(allowed(0066, 1000, 100, 100), 0);
	assert_int_equal(allowed(0606, 1001, 100, 1), 0);
	assert_int_equal(allowed(0111, 1001, 1, 1), 0);
	assert_int_equal(allowed(0, 0, 0, 0), RW);
}

static void a_new_identity_is_judged_but_not_charged(void **state)
{
	const struct engine_limits limits = {.max_segment_bytes = PAGE,
		.max_bytes_per_user = 2 * PAGE,
		.max_segments_per_user = 9,
		.max_imports_per_user = 9,
		.max_clients_per_user = 1};
	const struct engine_identity now = {.uid = 1001, .gid = 101};
	struct world w;
	world_init(&w, &limits);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101), *c;
	EngineSegment *s = published_of(a, 0600, ID);
	EngineImport *i = NULL;

	assert_int_equal(try_connect(b, ID, RW, &i), STATUS_DENIED);
	assert_int_equal(engine_client_identify(a, &now), 0);
	assert_int_equal(s->uid, 1000);
	assert_int_equal(try_connect(a, ID, RW, &i), STATUS_DENIED);
	s = segment_of(a, 1, 0600);
	assert_int_equal(s->uid, 1001);
	assert_int_equal(s->gid, 101);
	assert_int_equal(engine_segment_create(a, 1, PAGE, 0, 0, 0, &s), STATUS_QUOTA_BYTES);
	segment_of(b, 1, 0600);
	segment_of(b, 1, 0600);
	assert_int_equal(engine_client_new(w.engine, &(struct engine_identity){.uid = 1000}, &c),
		STATUS_NO_RESOURCES);
	world_end(&w, a, b);
}

static void an_index_comes_again_with_another_generation(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineImport *first, *second;

	published_of(a, 0600, ID);
	first = connected(a, ID, RW);
	second = connected(a, ID, RW);
	assert_int_equal(first->generation, 1);
	assert_int_equal(second->index, first->index + 1);
	assert_int_equal(second->generation, 1);
	for (uint32_t n = 2; n < 5; n++) {
		uint32_t index = first->index;

		engine_import_disconnect(first);
		assert_null(engine_import_get(a, index));
		first = connected(a, ID, RW);
		assert_int_equal(first->index, index);
		assert_int_equal(first->generation, n);
	}
	engine_import_disconnect(first);
	assert_int_equal(engine_generation_restore(a, 0, UINT32_MAX), 0);
	assert_int_equal(connected(a, ID, RW)->generation, 1);
	world_end(&w, a);
}

static void each_import_has_the_lowest_free_cell(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = published_of(a, 0600, ID);
	EngineImport *i[3];

	for (uint32_t n = 0; n < 3; n++) {
		i[n] = connected(b, ID, RW);
		assert_int_equal(i[n]->cell, n + 1);
	}
	assert_int_equal(s->n_cells, 4);
	engine_import_disconnect(i[0]);
	assert_int_equal(s->n_cells, 4);
	engine_import_disconnect(i[2]);
	assert_int_equal(s->n_cells, 3);
	i[0] = connected(a, ID, RW);
	assert_int_equal(i[0]->cell, 1);
	engine_client_free(b);
	assert_int_equal(s->n_cells, 2);
	world_end(&w, a);
}

static void a_revoked_import_keeps_its_cell_as_long_as_both_live(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = published_of(a, 0600, ID);
	EngineImport *old = connected(b, ID, RW), *other = connected(b, ID, RW), *new;
	bool move;

	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_ptr_equal(old->holding, s);
	assert_int_equal(s->n_cells, 3);
	assert_int_equal(publish(s, ID), 0);
	new = connected(b, ID, RW);
	assert_int_equal(new->cell, 3);
	engine_import_disconnect(other);
	assert_int_equal(connected(b, ID, RW)->cell, 2);
	engine_check(w.engine);
	engine_segment_destroy(s);
	assert_null(old->holding);
	assert_null(new->holding);
	engine_check(w.engine);
	engine_import_disconnect(old);
	world_end(&w, a, b);
}

static void bound_segments_are_seen_by_their_owner_and_root(void **state)
{
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *same = client_of(&w, 1000, 100),
		     *root = client_of(&w, 0, 0);
	EngineSegment *s = segment_of(a, 1, 0400);

	assert_true(engine_segment_visible(s, a));
	assert_true(engine_segment_visible(s, root));
	assert_false(engine_segment_visible(s, same));
	assert_int_equal(publish(s, ID), 0);
	assert_true(engine_segment_visible(s, same));
	world_end(&w, a, same, root);
}

static void segments_are_listed_by_instance(void **state)
{
	EngineSegment *s[5];
	struct world w;
	world_init(&w, NULL);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);

	for (uint32_t n = 0; n < 5; n++)
		s[n] = segment_of(n % 2 ? a : b, 1, 0600);
	assert_ptr_equal(engine_segment_next(w.engine, 0), s[0]);
	assert_ptr_equal(engine_segment_next(w.engine, s[1]->instance), s[2]);
	assert_null(engine_segment_next(w.engine, s[4]->instance));
	engine_client_free(a);
	assert_ptr_equal(engine_segment_next(w.engine, s[0]->instance + 1), s[2]);
	world_end(&w, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_created_segment_is_bound),
		cmocka_unit_test(create_looks_at_space_then_size_then_bytes_then_number),
		cmocka_unit_test(sizes_near_the_end_of_numbers_do_not_overflow),
		cmocka_unit_test(a_user_may_have_so_many_clients),
		cmocka_unit_test(reserved_ids_are_refused_in_the_space_rsm_only),
		cmocka_unit_test(system_ids_come_once_each_until_all_have_been),
		cmocka_unit_test(publish_looks_at_state_then_id_then_list_then_use),
		cmocka_unit_test(access_lists_name_this_node_once_and_rights_up_to_0666),
		cmocka_unit_test(republish_changes_the_rights_of_later_connects_only),
		cmocka_unit_test(unpublish_frees_the_id_and_revokes_imports_that_stay),
		cmocka_unit_test(the_exporter_moves_if_somebody_else_may_have_the_memory),
		cmocka_unit_test(destroy_revokes_and_frees),
		cmocka_unit_test(importers_of_a_dead_client_are_told),
		cmocka_unit_test(connect_looks_at_way_then_node_then_name_then_rights_then_quota),
		cmocka_unit_test(a_list_without_this_node_lets_nobody_in),
		cmocka_unit_test(one_class_alone_decides),
		cmocka_unit_test(a_new_identity_is_judged_but_not_charged),
		cmocka_unit_test(an_index_comes_again_with_another_generation),
		cmocka_unit_test(each_import_has_the_lowest_free_cell),
		cmocka_unit_test(a_revoked_import_keeps_its_cell_as_long_as_both_live),
		cmocka_unit_test(bound_segments_are_seen_by_their_owner_and_root),
		cmocka_unit_test(segments_are_listed_by_instance),
	};

	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
