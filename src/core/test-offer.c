/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-world.h"

#include "core/offer.h"
#include "wire/shared.h"

/* The engine's offers: ids before connections, events, leaving, attaching, restoring. */

#define ID 7u
#define S  WIRE_SPACE_SISCI

/* What the owner and who is attached have heard, in order; and who was asked to leave. */
struct heard {
	uint32_t events[16];
	EngineImport *to[16];
	unsigned int n, n_leave, n_changed;
};

static struct heard heard;

static void on_event(
	void *userdata, EngineSegment *segment, EngineImport *to, uint32_t event, uint32_t node)
{
	assert_int_equal(node, NODE);
	heard.to[heard.n] = to;
	heard.events[heard.n++] = event;
}

static void on_leave(void *userdata, EngineImport *import)
{
	heard.n_leave++;
}

static void on_changed(void *userdata, EngineSegment *segment)
{
	heard.n_changed++;
}

static void offer_world_init(struct world *w)
{
	static struct engine_ops ops;

	ops = world_ops;
	ops.segment_event = on_event;
	ops.import_leave = on_leave;
	ops.segment_changed = on_changed;
	*w = (struct world){};
	heard = (struct heard){};
	assert_int_equal(engine_new(NODE, &world_limits, &ops, w, &w->engine), 0);
}

static EngineSegment *made_by(EngineClient *c, uint32_t space)
{
	EngineSegment *s = NULL;

	assert_int_equal(engine_segment_create(c, space, PAGE, 0666, 0, 0, &s), 0);
	return s;
}

static EngineSegment *offered_by(EngineClient *c, uint32_t id, uint32_t flags)
{
	EngineSegment *s = made_by(c, S);

	assert_int_equal(engine_segment_offer(s, id, flags, &id), 0);
	return s;
}

static EngineSegment *opened_by(EngineClient *c, uint32_t id)
{
	EngineSegment *s = offered_by(c, id, 0);

	assert_int_equal(engine_segment_open(s), 0);
	return s;
}

static int try(EngineClient *c, uint32_t space, uint32_t id)
{
	EngineImport *i;
	int r = engine_import_connect(c, space, WIRE_CONTROLLER_LOOPBACK, NODE, id, RW, &i);

	if (r == 0)
		engine_import_disconnect(i);
	return r;
}

static EngineImport *user_of(EngineClient *c, uint32_t id)
{
	EngineImport *i = NULL;

	assert_int_equal(
		engine_import_connect(c, S, WIRE_CONTROLLER_LOOPBACK, NODE, id, RW, &i), 0);
	engine_import_announce(i);
	return i;
}

static EngineImport *attached_to(EngineClient *c, uint32_t id)
{
	EngineImport *i = NULL;

	assert_int_equal(engine_import_attach_offer(c, S, id, &i), 0);
	return i;
}

static void an_offer_takes_its_id_and_opens_later(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 100);
	EngineSegment *s = offered_by(a, ID, 0), *t = made_by(b, S);
	uint32_t id;

	assert_int_equal(engine_segment_offer(t, ID, 0, &id), STATUS_ID_IN_USE);
	assert_int_equal(engine_segment_offer(s, ID + 1, 0, &id), STATUS_ALREADY_PUBLISHED);
	assert_int_equal(engine_segment_publish(s, 9, NULL, 0, &id), STATUS_ALREADY_PUBLISHED);
	assert_int_equal(engine_segment_offer(t, ID, 1u << 30, &id), STATUS_BAD_REQUEST);
	assert_int_equal(engine_segment_open(t), STATUS_NOT_PUBLISHED);
	assert_int_equal(try(b, S, ID), STATUS_NOT_FOUND);
	assert_int_equal(engine_segment_close(s, 0), STATUS_WRONG_STATE);
	assert_int_equal(engine_segment_open(s), 0);
	assert_int_equal(engine_segment_open(s), 0);
	assert_int_equal(try(b, S, ID), 0);
	assert_int_equal(engine_segment_close(s, 0), 0);
	assert_int_equal(try(b, S, ID), STATUS_WITHDRAWN);
	world_end(&w, a, b);
}

static void any_id_can_be_offered_in_its_space(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s, *rsm = segment_of(a, 1, 0666);
	uint32_t id = 0;

	opened_by(a, 0);
	opened_by(a, UINT32_MAX);
	assert_int_equal(try(a, S, 0), 0);
	assert_int_equal(try(a, S, UINT32_MAX), 0);
	assert_int_equal(try(a, WIRE_SPACE_SISCI_INT, 0), STATUS_NOT_FOUND);
	s = made_by(a, WIRE_SPACE_SISCI_INT);
	assert_int_equal(engine_segment_offer(s, 0, 0, &id), 0);
	assert_int_equal(engine_segment_offer(rsm, 3, 0, &id), STATUS_BAD_REQUEST);
	world_end(&w, a);
}

static void auto_takes_the_lowest_free_id_from_there_on(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100);

	offered_by(a, ID, 0);
	assert_int_equal(offered_by(a, ID, WIRE_OFFER_AUTO)->id, ID + 1);
	assert_int_equal(offered_by(a, ID, WIRE_OFFER_AUTO)->id, ID + 2);
	offered_by(a, UINT32_MAX, 0);
	assert_int_equal(offered_by(a, UINT32_MAX, WIRE_OFFER_AUTO)->id, 0);
	world_end(&w, a);
}

static void groups_are_found_in_a_space_of_their_own(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100);
	EngineSegment *s = offered_by(a, 1, WIRE_OFFER_GROUP);
	EngineSegment *both = offered_by(a, 2, WIRE_OFFER_GROUP | WIRE_OFFER_UNICAST);

	engine_segment_open(s);
	engine_segment_open(both);
	opened_by(a, 3);
	assert_int_equal(try(a, WIRE_SPACE_SISCI_GROUP, 1), 0);
	assert_int_equal(try(a, WIRE_SPACE_SISCI_GROUP, 2), 0);
	assert_int_equal(try(a, WIRE_SPACE_SISCI_GROUP, 3), STATUS_NOT_FOUND);
	assert_int_equal(try(a, S, 1), STATUS_NOT_FOUND);
	assert_int_equal(try(a, S, 2), 0);
	assert_int_equal(try(a, S, 3), 0);
	world_end(&w, a);
}

static void the_owner_hears_of_connections(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineImport *i;

	opened_by(a, ID);
	i = user_of(b, ID);
	engine_import_announce(i); /* again: nothing */
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.events[0], WIRE_EVENT_CONNECT);
	engine_import_disconnect(i);
	assert_int_equal(heard.events[1], WIRE_EVENT_DISCONNECT);
	user_of(b, ID);
	engine_client_free(b);
	assert_int_equal(heard.n, 4);
	assert_int_equal(heard.events[3], WIRE_EVENT_DISCONNECT);
	/* one that was never announced leaves no trace */
	b = client_of(&w, 1000, 100);
	assert_int_equal(try(b, S, ID), 0);
	assert_int_equal(heard.n, 4);
	world_end(&w, a, b);
}

static void closing_can_tell_and_can_end(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = opened_by(a, ID);
	EngineImport *i = user_of(b, ID);

	assert_int_equal(engine_segment_close(s, 0), 0);
	assert_int_equal(heard.n_leave, 0);
	engine_segment_open(s);
	assert_int_equal(engine_segment_close(s, WIRE_CLOSE_TELL), 0);
	assert_int_equal(heard.n_leave, 1);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	engine_segment_open(s);
	assert_int_equal(engine_segment_close(s, WIRE_CLOSE_END), 0);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	assert_int_equal(heard.events[heard.n - 1], WIRE_EVENT_DISCONNECT);
	engine_check(w.engine);
	world_end(&w, a, b);
}

static void what_was_left_lives_as_long_as_somebody_has_it(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = opened_by(a, ID);
	EngineImport *i = user_of(b, ID), *j = user_of(b, ID);
	unsigned int n = heard.n;

	assert_int_equal(engine_segment_leave(s, false), 0);
	engine_check(w.engine);
	assert_int_equal(heard.n_leave, 2);
	assert_int_equal(heard.n_changed, 1);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(try(b, S, ID), STATUS_NOT_FOUND);
	opened_by(b, ID); /* the id is free */
	engine_import_disconnect(i);
	assert_int_equal(w.n_segment_frees, 0);
	engine_import_disconnect(j);
	assert_int_equal(w.n_segment_frees, 1);
	/* nobody is there to hear of that */
	assert_int_equal(heard.n, n);
	world_end(&w, a, b);
}

static void the_owner_s_end_ends_what_he_left(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = opened_by(a, ID);
	EngineImport *i = user_of(b, ID), *own = user_of(a, ID);

	engine_segment_leave(s, false);
	assert_int_equal(own->state, WIRE_IMPORT_CONNECTED);
	engine_client_free(a);
	assert_int_equal(i->state, WIRE_IMPORT_EXPORTER_GONE);
	engine_check(w.engine);
	world_end(&w, b);
}

static void leaving_by_force_ends_connections(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = opened_by(a, ID);
	EngineImport *i = user_of(b, ID);

	assert_int_equal(engine_segment_leave(s, true), 0);
	assert_int_equal(i->state, WIRE_IMPORT_REVOKED);
	assert_int_equal(w.n_segment_frees, 1);
	assert_int_equal(engine_segment_leave(made_by(a, S), false), STATUS_NOT_PUBLISHED);
	world_end(&w, a, b);
}

static void only_what_is_shared_can_be_attached(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1001, 101);
	EngineSegment *s = offered_by(a, ID, 0);
	EngineImport *i;

	assert_int_equal(engine_import_attach_offer(b, S, ID + 1, &i), STATUS_NOT_FOUND);
	assert_int_equal(engine_import_attach_offer(b, S, ID, &i), STATUS_DENIED);
	assert_int_equal(engine_segment_share(s), 0);
	s->mode = 0660;
	assert_int_equal(engine_import_attach_offer(b, S, ID, &i), STATUS_DENIED);
	s->mode = 0666;
	attached_to(b, ID);
	assert_int_equal(heard.n, 0);
	assert_int_equal(engine_segment_share(made_by(a, S)), STATUS_NOT_PUBLISHED);
	/* or from the beginning: nobody finds it taken and not to be shared */
	engine_import_disconnect(attached_to(b, offered_by(a, ID + 1, WIRE_OFFER_SHARED)->id));
	world_end(&w, a, b);
}

static void the_id_stays_while_somebody_is_attached(void **state)
{
	struct world w;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100);
	EngineSegment *s = opened_by(a, ID);
	EngineImport *second, *user;

	engine_segment_share(s);
	second = attached_to(b, ID);
	assert_int_equal(engine_segment_leave(s, false), 0);
	engine_check(w.engine);
	user = user_of(b, ID);
	/* the owner has left: who is attached hears of it */
	assert_int_equal(heard.n, 1);
	assert_ptr_equal(heard.to[0], second);
	assert_int_equal(engine_segment_close(s, 0), 0);
	assert_int_equal(engine_segment_open(s), 0);
	engine_import_disconnect(second);
	engine_check(w.engine);
	assert_int_equal(try(b, S, ID), STATUS_NOT_FOUND);
	assert_int_equal(heard.n_leave, 1);
	assert_int_equal(w.n_segment_frees, 0);
	engine_import_disconnect(user);
	assert_int_equal(w.n_segment_frees, 1);
	world_end(&w, a, b);
}

/* restoring */

static void move_segment(const EngineSegment *s, Engine *to, EngineSegment **ret)
{
	struct engine_segment_record record;

	engine_segment_save(s, &record);
	assert_int_equal(engine_segment_restore(to, &record, ret), 0);
}

static void move_import(const EngineImport *i, Engine *to)
{
	struct engine_import_record record;
	EngineImport *restored;

	engine_import_save(i, &record);
	assert_int_equal(engine_import_restore(to, &record, &restored), 0);
	assert_int_equal(restored->attached, i->attached);
	assert_int_equal(restored->announced, i->announced);
}

static EngineClient *move_client(const EngineClient *c, Engine *to)
{
	struct engine_client_record record;
	EngineClient *restored;

	engine_client_save(c, &record);
	assert_int_equal(engine_client_restore(to, &record, &restored), 0);
	return restored;
}

static void a_restart_keeps_offers_and_settles_what_was_left(void **state)
{
	struct world w, v;
	offer_world_init(&w);
	EngineClient *a = client_of(&w, 1000, 100), *b = client_of(&w, 1000, 100), *a2, *b2;
	EngineSegment *open = opened_by(a, 0), *left = opened_by(a, 2), *alone = opened_by(a, 3);
	EngineSegment *s;
	EngineImport *i, *j, *second;

	engine_segment_share(open);
	i = user_of(b, 0);
	second = attached_to(b, 0);
	j = user_of(b, 2);
	user_of(b, 3);
	engine_segment_leave(left, false);
	engine_segment_leave(alone, false);

	offer_world_init(&v);
	a2 = move_client(a, v.engine);
	b2 = move_client(b, v.engine);
	move_segment(open, v.engine, &s);
	assert_int_equal(s->offer, open->offer);
	move_segment(left, v.engine, &s);
	move_segment(alone, v.engine, &s);
	move_import(i, v.engine);
	move_import(second, v.engine);
	move_import(j, v.engine);
	/* the import of the third went with its record */
	engine_offers_settle(v.engine);
	engine_check(v.engine);
	assert_int_equal(v.n_segment_frees, 1);
	assert_int_equal(try(b2, S, 0), 0);
	assert_int_equal(try(b2, S, 2), STATUS_NOT_FOUND);
	world_end(&v, a2, b2);
	world_end(&w, a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_takes_its_id_and_opens_later),
		cmocka_unit_test(any_id_can_be_offered_in_its_space),
		cmocka_unit_test(auto_takes_the_lowest_free_id_from_there_on),
		cmocka_unit_test(groups_are_found_in_a_space_of_their_own),
		cmocka_unit_test(the_owner_hears_of_connections),
		cmocka_unit_test(closing_can_tell_and_can_end),
		cmocka_unit_test(what_was_left_lives_as_long_as_somebody_has_it),
		cmocka_unit_test(the_owner_s_end_ends_what_he_left),
		cmocka_unit_test(leaving_by_force_ends_connections),
		cmocka_unit_test(only_what_is_shared_can_be_attached),
		cmocka_unit_test(the_id_stays_while_somebody_is_attached),
		cmocka_unit_test(a_restart_keeps_offers_and_settles_what_was_left),
	};

	return cmocka_run_group_tests_name("offer", tests, NULL, NULL);
}
