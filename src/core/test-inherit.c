/* SPDX-License-Identifier: Apache-2.0 */
#include "core/shm.h"
#include "core/test-peer-world.h"

/* What a forked child has of its parent: here, at another node, and of another node's process. */

#define SHMID ((uint32_t)PEER << 24 | 7)

/* An attach of the peer's segment. */
static EngineImport *attach(EngineClient *c)
{
	EngineImport *i = NULL;

	assert_int_equal(engine_import_connect(
				 c, WIRE_SPACE_CLSHM, WIRE_CONTROLLER_TCP, PEER, SHMID, RW, &i),
		0);
	return i;
}

static EngineImport *attached(struct peer_world *w, EngineClient *c)
{
	EngineImport *i = attach(c);

	w->n_sent = 0;
	assert_int_equal(hear(w, grant_of(i)), 0);
	engine_import_ready(i);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	return i;
}

/* A segment of this node, made by this process. */
static EngineSegment *make(struct peer_world *w, const EngineClient *c, uint32_t mode)
{
	const struct engine_shm_asker asker = {.identity = &c->identity,
		.node = engine_node(w->engine),
		.client = c->id,
		.serial = 1};
	struct wire_shm_get get = {.size = PAGE, .mode = mode};
	EngineSegment *segment;
	EngineShmKey *key;
	bool made;

	assert_int_equal(engine_shm_key_new(w->engine, &asker, &key), 0);
	get.key = engine_shm_key_value(w->engine, key);
	assert_int_equal(engine_shm_get(w->engine, &asker, &get, UINT64_MAX, &segment, &made), 0);
	assert_true(made);
	return segment;
}

static void control(
	struct peer_world *w, const EngineClient *c, const EngineSegment *segment, uint32_t command)
{
	const struct engine_shm_asker asker = {.identity = &c->identity,
		.node = engine_node(w->engine),
		.client = c->id,
		.serial = 2};
	const struct wire_shm_control q = {
		.shmid = segment->id, .command = command, .uid = 1000, .gid = 100};

	assert_int_equal(engine_shm_control(w->engine, &asker, &q), 0);
}

/* What a process of the peer is answered. */
static uint32_t heard(struct peer_world *w, struct wire_peer_connect q, uid_t uid)
{
	const struct engine_identity who = {.pid = 5, .uid = uid, .gid = 200};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT, .peer_connect = q, .tail = tail};

	m.tail_size = engine_identity_encode(&who, tail);
	w->n_sent = 0;
	assert_int_equal(hear(w, m), 0);
	return said(w, WIRE_PEER_CONNECT_REPLY)->status;
}

static struct wire_peer_connect first(const EngineSegment *segment)
{
	return (struct wire_peer_connect){.client = 1,
		.index = 3,
		.generation = 2,
		.space = segment->space,
		.id = segment->id,
		.rights = RW};
}

/* Of the first one's. */
static struct wire_peer_connect heir(const EngineSegment *segment)
{
	struct wire_peer_connect q = first(segment);

	q.client = 2;
	q.heir = 1;
	q.parent = 1;
	q.parent_index = 3;
	q.parent_generation = 2;
	return q;
}

static void an_attach_wants_no_data_connection(void **state)
{
	struct peer_world w;
	EngineClient *c;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	attach(c);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT)->peer_connect.data, 0);
	remote(c, PEER);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT)->peer_connect.data, 1);
	peer_world_end(&w, c);
}

static void a_child_asks_for_what_its_parent_has(void **state)
{
	struct engine_import_record record;
	const struct wire_peer_connect *q;
	EngineClient *parent, *child;
	EngineImport *i, *own;
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	parent = local_client(&w, 1000);
	child = local_client(&w, 1000);
	i = attached(&w, parent);
	w.n_sent = 0;
	assert_int_equal(engine_shm_inherit(child, i, &own), 0);
	assert_int_equal(own->state, WIRE_IMPORT_PENDING);
	q = &said(&w, WIRE_PEER_CONNECT)->peer_connect;
	assert_int_equal(q->client, child->id);
	assert_int_equal(q->space, WIRE_SPACE_CLSHM);
	assert_int_equal(q->id, SHMID);
	assert_int_equal(q->rights, RW);
	assert_int_equal(q->heir, 1);
	assert_int_equal(q->parent, parent->id);
	assert_int_equal(q->parent_index, i->index);
	assert_int_equal(q->parent_generation, i->generation);
	engine_import_save(own, &record);
	assert_int_equal(record.parent, parent->id);
	assert_int_equal(record.parent_generation, i->generation);
	engine_client_free(parent);
	w.n_sent = 0;
	assert_int_equal(hear(&w, grant_of(own)), 0);
	engine_import_ready(own);
	assert_int_equal(own->state, WIRE_IMPORT_CONNECTED);
	peer_world_end(&w, child);
}

static void only_attaches_that_are_connected_are_inherited(void **state)
{
	EngineClient *parent, *child;
	EngineImport *own = NULL;
	struct peer_world w;

	peer_world_init(&w);
	world_up(&w);
	parent = local_client(&w, 1000);
	child = local_client(&w, 1000);
	assert_int_equal(engine_shm_inherit(child, attach(parent), &own), STATUS_BAD_HANDLE);
	w.n_sent = 0;
	assert_int_equal(
		engine_shm_inherit(child, connected_remote(&w, parent), &own), STATUS_BAD_HANDLE);
	assert_null(own);
	peer_world_end(&w, parent, child);
}

static void rights_and_ids_may_be_gone_here(void **state)
{
	EngineClient *parent, *child;
	EngineImport *i, *own;
	EngineSegment *segment;
	struct peer_world w;

	peer_world_init(&w);
	parent = local_client(&w, 1000);
	child = local_client(&w, 1000);
	segment = make(&w, parent, 0600);
	assert_int_equal(engine_import_connect(parent, WIRE_SPACE_CLSHM, WIRE_CONTROLLER_LOOPBACK,
				 0, segment->id, WIRE_READ, &i),
		0);
	control(&w, parent, segment, WIRE_SHM_SET);
	control(&w, parent, segment, WIRE_SHM_REMOVE);
	assert_int_equal(engine_shm_inherit(child, i, &own), 0);
	assert_int_equal(own->state, WIRE_IMPORT_CONNECTED);
	assert_int_equal(own->rights, WIRE_READ);
	assert_ptr_equal(own->segment, segment);
	assert_int_equal(segment->n_imports, 2);
	engine_client_free(parent);
	assert_int_equal(segment->n_imports, 1);
	peer_world_end(&w, child);
}

static void another_nodes_child_gets_what_its_parent_has(void **state)
{
	EngineSegment *segment;
	struct peer_world w;
	EngineClient *c;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	segment = make(&w, c, 0600);
	assert_int_equal(heard(&w, first(segment), 1000), 0);
	control(&w, c, segment, WIRE_SHM_SET);
	control(&w, c, segment, WIRE_SHM_REMOVE);
	assert_int_not_equal(heard(&w,
				     (struct wire_peer_connect){.client = 3,
					     .generation = 1,
					     .space = WIRE_SPACE_CLSHM,
					     .id = segment->id,
					     .rights = RW},
				     1000),
		0);
	assert_int_equal(heard(&w, heir(segment), 1000), 0);
	assert_int_equal(guest_import(&w, 2, 3)->rights, RW);
	/* said again */
	assert_int_equal(heard(&w, heir(segment), 1000), 0);
	assert_int_equal(segment->n_imports, 2);
	peer_world_end(&w, c);
}

static void nothing_else_is_given_to_who_says_he_is_a_child(void **state)
{
	EngineSegment *segment, *other;
	struct wire_peer_connect q;
	struct peer_world w;
	EngineClient *c;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	other = local_segment(c, 0666, ID);
	segment = make(&w, c, 0600);
	assert_int_equal(heard(&w, heir(segment), 1000), STATUS_BAD_HANDLE);
	q = first(segment);
	q.rights = WIRE_READ;
	assert_int_equal(heard(&w, q, 1000), 0);
	assert_int_equal(heard(&w, heir(segment), 1000), STATUS_BAD_HANDLE);
	for (unsigned int i = 0; i < 4; i++) {
		q = heir(segment);
		q.rights = WIRE_READ;
		q.parent += i == 0;
		q.parent_index += i == 1;
		q.parent_generation += i == 2;
		q.space = i == 3 ? WIRE_SPACE_RSM : q.space;
		assert_int_equal(heard(&w, q, 1000), STATUS_BAD_HANDLE);
	}
	/* of a process that has something else */
	q = first(other);
	q.client = 4;
	assert_int_equal(heard(&w, q, 1000), 0);
	q = heir(segment);
	q.parent = 4;
	assert_int_equal(heard(&w, q, 1000), STATUS_BAD_HANDLE);
	assert_int_equal(segment->n_imports, 1);
	q.heir = 2;
	assert_int_equal(
		hear(&w, (struct wire_message){.type = WIRE_PEER_CONNECT, .peer_connect = q}),
		STATUS_BAD_REQUEST);
	peer_world_end(&w, c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_attach_wants_no_data_connection),
		cmocka_unit_test(a_child_asks_for_what_its_parent_has),
		cmocka_unit_test(only_attaches_that_are_connected_are_inherited),
		cmocka_unit_test(rights_and_ids_may_be_gone_here),
		cmocka_unit_test(another_nodes_child_gets_what_its_parent_has),
		cmocka_unit_test(nothing_else_is_given_to_who_says_he_is_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
