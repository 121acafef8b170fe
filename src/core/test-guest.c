/* SPDX-License-Identifier: Apache-2.0 */

/* Processes of a peer that import here, and a peer that says anything at all. */

#include "core/test-peer-world.h"

#include <stdlib.h>

static EngineClient *owner_of(struct peer_world *w, uint32_t mode, EngineSegment **ret_segment)
{
	EngineClient *c = local_client(w, 1000);

	*ret_segment = local_segment(c, mode, ID);
	return c;
}

static void a_guest_is_granted_what_its_rights_allow(void **state)
{
	const struct wire_peer_connect_reply *a;
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 42, 9, 3, RW, 1000), 0);
	a = &w.sent[0].peer_connect_reply;
	assert_int_equal(a->instance, s->instance);
	assert_int_equal(a->size, PAGE);
	assert_int_equal(a->rights, RW);
	assert_int_equal(a->flags, 0);
	assert_int_equal(a->key[5], 3);
	assert_int_equal(a->grant[5], 0x77);
	i = guest_import(&w, 42, 9);
	assert_ptr_equal(i->segment, s);
	assert_int_equal(i->index, 9);
	assert_int_equal(i->generation, 3);
	assert_int_equal(i->cell, 1);
	assert_ptr_equal(i->client->peer, w.peer);
	assert_int_equal(i->client->guest, 42);
	assert_int_equal(w.peer->account.n_imports, 1);
	/* Its memory stays with its exporter. */
	assert_false(engine_segment_shared(s));
	peer_world_end(&w, c);
}

static void rights_are_judged_by_the_guests_node_and_the_user_that_it_is_here(void **state)
{
	const struct wire_access others[] = {{NODE, 0666}, {2, 0666}};
	const struct wire_access listed[] = {{NODE, 0}, {PEER, 0640}};
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0, &s);
	assert_int_equal(asked(&w, 1, 0, 1, WIRE_READ, 1000), STATUS_DENIED);
	engine_segment_republish(s, others, 2);
	assert_int_equal(asked(&w, 1, 0, 1, WIRE_READ, 1000), STATUS_NOT_LISTED);
	engine_segment_republish(s, listed, 2);
	assert_int_equal(asked(&w, 1, 0, 1, RW, 1000), 0);
	assert_int_equal(asked(&w, 2, 0, 1, WIRE_READ, 1001), 0);
	assert_int_equal(asked(&w, 3, 0, 1, RW, 1001), STATUS_DENIED);
	/* Root of another node is squashed: a member of the group, not root. */
	assert_int_equal(asked(&w, 4, 0, 1, WIRE_WRITE, 0), STATUS_DENIED);
	assert_int_equal(asked(&w, 4, 0, 1, WIRE_READ, 0), 0);
	assert_int_equal(asked(&w, 4, 1, 1, 1, 1000), STATUS_DENIED);
	w.identity_result = STATUS_DENIED;
	assert_int_equal(asked(&w, 5, 0, 1, WIRE_READ, 1000), STATUS_DENIED);
	assert_null(engine_guest_find(w.peer, 5));
	peer_world_end(&w, c);
}

static void a_daemon_of_one_user_speaks_for_no_other(void **state)
{
	struct wire_peer_hello hello = hello_of(PEER, 0);
	struct wire_peer_hello_reply reply;
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	w.peer = peer_of(&w, PEER);
	hello.uid = 1001;
	assert_int_equal(engine_peer_hello(w.peer, &hello, w.now, &reply), 0);
	engine_peer_up(w.peer, w.now);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 0, 1, RW, 1000), STATUS_DENIED);
	assert_int_equal(asked(&w, 1, 0, 1, RW, 0), STATUS_DENIED);
	assert_int_equal(asked(&w, 1, 0, 1, RW, 1001), 0);
	peer_world_end(&w, c);
}

static void a_segment_that_is_not_the_wanted_one_is_not_found(void **state)
{
	const struct engine_identity who = {.uid = 1000};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT, .tail = tail};
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	m.tail_size = engine_identity_encode(&who, tail);
	m.peer_connect = (struct wire_peer_connect){.client = 1,
		.generation = 1,
		.space = WIRE_SPACE_RSM,
		.id = ID,
		.rights = RW,
		.instance = s->instance + 1};
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT_REPLY)->status, STATUS_NOT_FOUND);
	m.peer_connect.instance--;
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT_REPLY)->status, 0);
	assert_false(w.last_data);
	assert_int_equal(asked(&w, 1, 1, 1, RW, 1000), 0);
	assert_int_equal(ask(&w, 1, 2, 1, ID + 1, RW, 1000), 0);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT_REPLY)->status, STATUS_NOT_FOUND);
	peer_world_end(&w, c);
}

static void what_is_asked_twice_is_made_once(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	assert_false(w.last_again);
	i = guest_import(&w, 1, 5);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	assert_true(w.last_again);
	assert_ptr_equal(guest_import(&w, 1, 5), i);
	assert_int_equal(s->n_imports, 1);
	assert_int_equal(w.sent[0].peer_connect_reply.key[0], 3);
	peer_world_end(&w, c);
}

static void a_newer_generation_ends_the_older(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	assert_int_equal(asked(&w, 1, 5, 4, WIRE_READ, 1000), 0);
	assert_false(w.last_again);
	assert_int_equal(w.n_frees, 1);
	assert_int_equal(s->n_imports, 1);
	/* Also when it gets nothing. */
	w.n_sent = 0;
	assert_int_equal(ask(&w, 1, 5, 5, ID + 1, RW, 1000), 0);
	assert_int_equal(said(&w, WIRE_PEER_CONNECT_REPLY)->status, STATUS_NOT_FOUND);
	assert_int_equal(s->n_imports, 0);
	assert_null(engine_guest_find(w.peer, 1));
	peer_world_end(&w, c);
}

static void what_cannot_be_equipped_is_freed(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	w.equip_result = -ENOMEM;
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), STATUS_NO_MEMORY);
	w.equip_result = -EMFILE;
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), STATUS_NO_RESOURCES);
	/* The caller's key goes to nobody. */
	assert_int_equal(w.sent[0].peer_connect_reply.key[0], 0);
	assert_int_equal(w.sent[0].peer_connect_reply.grant[0], 0);
	assert_int_equal(w.n_guest_frees, 2);
	w.equip_result = 0;
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	w.equip_result = STATUS_NO_RESOURCES;
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), STATUS_NO_RESOURCES);
	assert_int_equal(s->n_imports, 0);
	assert_int_equal(w.n_guest_frees, 3);
	peer_world_end(&w, c);
}

static void a_peer_has_so_many_imports_and_takes_none_from_users_here(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	for (uint32_t n = 0; n < peer_limits.max_imports_per_peer; n++)
		assert_int_equal(asked(&w, 1 + n % 2, n, 1, RW, 1000), 0);
	assert_int_equal(asked(&w, 1, 100, 1, RW, 1000), STATUS_NO_RESOURCES);
	assert_int_equal(asked(&w, 9, 0, 1, RW, 1000), STATUS_NO_RESOURCES);
	assert_null(engine_guest_find(w.peer, 9));
	for (uint32_t n = 0; n < peer_limits.max_imports_per_user; n++)
		assert_int_equal(try_remote(c, NODE, &i), 0);
	peer_world_end(&w, c);
}

static void a_guest_goes_with_its_last_import(void **state)
{
	const struct wire_message first = {
		.type = WIRE_PEER_DISCONNECT, .peer_disconnect = {1, 5, 3}};
	struct wire_message m = first;
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	assert_int_equal(asked(&w, 1, 6, 1, RW, 1000), 0);
	m.peer_disconnect.generation = 2;
	assert_int_equal(hear(&w, m), 0);
	m.peer_disconnect.client = 2;
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(s->n_imports, 2);
	assert_int_equal(hear(&w, first), 0);
	assert_int_equal(hear(&w, first), 0);
	assert_int_equal(s->n_imports, 1);
	assert_int_equal(w.n_guest_frees, 0);
	m.peer_disconnect = (struct wire_peer_disconnect){1, 6, 1};
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(w.n_guest_frees, 1);
	assert_null(engine_guest_find(w.peer, 1));
	peer_world_end(&w, c);
}

static void the_end_of_a_segment_is_told_until_the_peer_knows(void **state)
{
	const struct wire_message *m;
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;
	uint64_t session;
	bool move = true;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	w.n_sent = 0;
	assert_int_equal(engine_segment_unpublish(s, &move), 0);
	assert_false(move);
	assert_true(w.had_segment);
	m = said(&w, WIRE_PEER_LOST);
	assert_int_equal(m->peer_lost.client, 1);
	assert_int_equal(m->peer_lost.index, 5);
	assert_int_equal(m->peer_lost.generation, 3);
	assert_int_equal(m->peer_lost.state, WIRE_IMPORT_REVOKED);
	assert_int_equal(guest_import(&w, 1, 5)->state, WIRE_IMPORT_REVOKED);

	/* It did not hear that: it still holds it. */
	session = w.peer->session;
	engine_peer_down(w.peer, false, w.now);
	world_up_with(&w, session);
	assert_int_equal(w.n_resumed, 1);
	w.n_sent = 0;
	{
		uint8_t tail[16];
		struct wire_message holds = {.type = WIRE_PEER_HOLDS,
			.peer_holds = {.n = 1, .first = 1, .last = 1},
			.tail = tail,
			.tail_size = sizeof(tail)};

		wire_put_hold(tail, tail + 16, &(struct wire_hold){1, 5, 3});
		assert_int_equal(hear(&w, holds), 0);
	}
	assert_int_equal(said(&w, WIRE_PEER_LOST)->peer_lost.state, WIRE_IMPORT_REVOKED);
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_DISCONNECT,
					  .peer_disconnect = {1, 5, 3}}),
		0);
	assert_int_equal(w.n_guest_frees, 1);
	peer_world_end(&w, c);
}

static void an_exporter_that_ends_takes_its_guests_imports_along(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	w.n_sent = 0;
	engine_client_free(c);
	assert_int_equal(said(&w, WIRE_PEER_LOST)->peer_lost.state, WIRE_IMPORT_EXPORTER_GONE);
	assert_null(guest_import(&w, 1, 5)->holding);
	/* Asked for again it is judged again. */
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), STATUS_NOT_FOUND);
	assert_int_equal(w.n_guest_frees, 1);
	peer_world_end(&w, NULL);
}

/* HOLDS of these pairs of client and index, generation 1. */
static int holds(struct peer_world *w, bool first, bool last, uint32_t n, const uint32_t pairs[])
{
	uint8_t tail[16 * 8], *at = tail;
	struct wire_message m = {.type = WIRE_PEER_HOLDS,
		.peer_holds = {.n = n, .first = first, .last = last},
		.tail = tail};

	for (uint32_t i = 0; i < n; i++)
		at = wire_put_hold(at, tail + sizeof(tail),
			&(struct wire_hold){pairs[2 * i], pairs[2 * i + 1], 1});
	m.tail_size = (size_t)(at - tail);
	return hear(w, m);
}

static void what_the_peer_does_not_hold_is_over(void **state)
{
	static const uint32_t some[] = {1, 0, 2, 1}, others[] = {3, 1, 7, 7};
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	for (uint32_t client = 1; client <= 3; client++)
		for (uint32_t index = 0; index < 2; index++)
			assert_int_equal(asked(&w, client, index, 1, RW, 1000), 0);
	/* Not without a resume. */
	assert_int_equal(holds(&w, true, true, 0, NULL), STATUS_BAD_REQUEST);
	world_up_with(&w, w.peer->session);
	assert_int_equal(w.n_resumed, 6);
	assert_int_equal(holds(&w, false, true, 0, NULL), STATUS_BAD_REQUEST);
	w.n_sent = 0;
	assert_int_equal(holds(&w, true, false, 2, some), 0);
	assert_int_equal(s->n_imports, 6);
	assert_int_equal(holds(&w, false, true, 2, others), 0);
	/* One that we do not have. */
	assert_int_equal(said(&w, WIRE_PEER_LOST)->peer_lost.client, 7);
	assert_int_equal(s->n_imports, 3);
	assert_non_null(guest_import(&w, 1, 0));
	assert_null(guest_import(&w, 1, 1));
	assert_non_null(guest_import(&w, 2, 1));
	assert_non_null(guest_import(&w, 3, 1));
	/* Once. */
	assert_int_equal(holds(&w, true, true, 0, NULL), STATUS_BAD_REQUEST);
	world_up_with(&w, w.peer->session);
	assert_int_equal(holds(&w, true, true, 0, NULL), 0);
	assert_int_equal(s->n_imports, 0);
	assert_int_equal(w.n_guest_frees, 3);
	peer_world_end(&w, c);
}

static void a_guest_is_given_a_new_data_connection(void **state)
{
	struct wire_message m = {.type = WIRE_PEER_DATA, .peer_data = {.client = 1}};
	const struct wire_message *a;
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(said(&w, WIRE_PEER_DATA_REPLY)->status, STATUS_NOT_FOUND);
	assert_int_equal(asked(&w, 1, 5, 3, RW, 1000), 0);
	w.n_sent = 0;
	assert_int_equal(hear(&w, m), 0);
	a = said(&w, WIRE_PEER_DATA_REPLY);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->serial, w.serial);
	assert_int_equal(a->peer_data_reply.client, 1);
	assert_int_equal(a->peer_data_reply.done, 1234);
	assert_int_equal(a->peer_data_reply.grant[15], 0x66);
	w.data_result = STATUS_NO_RESOURCES;
	assert_int_equal(hear(&w, m), 0);
	assert_int_equal(said(&w, WIRE_PEER_DATA_REPLY)->status, STATUS_NO_RESOURCES);
	peer_world_end(&w, c);
}

static void impossible_numbers_break_the_protocol(void **state)
{
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	world_up(&w);
	c = owner_of(&w, 0666, &s);
	assert_int_equal(ask(&w, 0, 1, 1, ID, RW, 1000), STATUS_BAD_REQUEST);
	assert_int_equal(ask(&w, 1, WIRE_CLIENT_IMPORTS, 1, ID, RW, 1000), STATUS_BAD_REQUEST);
	assert_int_equal(ask(&w, 1, 1, 0, ID, RW, 1000), STATUS_BAD_REQUEST);
	assert_int_equal(hear(&w, (struct wire_message){.type = WIRE_PEER_CONNECT,
					  .peer_connect = {.client = 1, .generation = 1}}),
		STATUS_BAD_REQUEST);
	assert_int_equal(w.n_sent, 0);
	/* The last index costs no more than the first. */
	assert_int_equal(asked(&w, UINT64_MAX, WIRE_CLIENT_IMPORTS - 1, UINT32_MAX, RW, 1000), 0);
	assert_int_equal(s->n_imports, 1);
	assert_int_equal(guest_import(&w, UINT64_MAX, WIRE_CLIENT_IMPORTS - 1)->cell, 1);
	peer_world_end(&w, c);
}

static void processes_of_a_peer_see_in_lists_what_they_may_have(void **state)
{
	const struct wire_access listed[] = {{NODE, 0}, {PEER, 0640}};
	struct engine_identity who = {.uid = 1001, .gid = 100};
	struct peer_world w;
	EngineClient *c;
	EngineSegment *s;

	peer_world_init(&w);
	c = owner_of(&w, 0, &s);
	assert_false(engine_segment_visible_from(s, PEER, &who));
	engine_segment_republish(s, listed, 2);
	assert_true(engine_segment_visible_from(s, PEER, &who));
	assert_false(engine_segment_visible_from(s, NODE, &who));
	assert_false(engine_segment_visible_from(s, 2, &who));
	who.uid = 0;
	assert_true(engine_segment_visible_from(s, 2, &who));
	peer_world_end(&w, c);
}

/* Anything: numbers mostly such that mean something, sometimes not. */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static uint64_t any_number(void)
{
	static const uint64_t odd[] = {
		UINT32_MAX, UINT64_MAX, 65535, 65536, 0x80000000, ID, ID + 1};

	return random_below(4) ? random_below(7) : odd[random_below(ELEMENTS(odd))];
}

static struct wire_message any_message(uint8_t *tail)
{
	static const uint16_t types[] = {WIRE_PEER_CONNECT, WIRE_PEER_CONNECT,
		WIRE_PEER_CONNECT_REPLY, WIRE_PEER_DISCONNECT, WIRE_PEER_DATA, WIRE_PEER_LOST,
		WIRE_PEER_SIGNAL, WIRE_PEER_HOLDS, WIRE_PEER_HOLDS, WIRE_PEER_PING, WIRE_PEER_BYE,
		WIRE_PEER_HELLO, WIRE_PEER_ECHO};
	struct wire_message m = {.type = types[random_below(ELEMENTS(types))],
		.status = random_below(3) ? 0 : (uint32_t)any_number(),
		.serial = any_number(),
		.tail = tail};
	const struct engine_identity who = {.uid = random_below(3) + 999};

	m.tail_size = random_below(100);
	for (size_t i = 0; i < m.tail_size; i++)
		tail[i] = (uint8_t)random_below(256);
	if (m.type == WIRE_PEER_BYE && random_below(10))
		m.type = WIRE_PEER_PING;
	if (m.type == WIRE_PEER_CONNECT) {
		m.peer_connect = (struct wire_peer_connect){any_number(), (uint32_t)any_number(),
			(uint32_t)any_number(), random_below(3), ID + random_below(3),
			2 * random_below(4), random_below(2), random_below(5) ? 0 : any_number(),
			.heir = 0};
		if (random_below(8))
			m.tail_size = engine_identity_encode(&who, tail);
	} else if (m.type == WIRE_PEER_CONNECT_REPLY) {
		m.peer_connect_reply = (struct wire_peer_connect_reply){any_number(),
			(uint32_t)any_number(), (uint32_t)any_number(), any_number(),
			random_below(3) * PAGE, random_below(2) ? RW : 0, (uint32_t)any_number(),
			{}, {}, (uint32_t)any_number()};
	} else if (m.type == WIRE_PEER_HOLDS) {
		uint8_t *at = tail, *end = tail + 16 * 6;

		m.peer_holds =
			(struct wire_peer_holds){random_below(7), random_below(3), random_below(3)};
		for (uint32_t i = 0; i < m.peer_holds.n; i++)
			at = wire_put_hold(at, end,
				&(struct wire_hold){any_number(), (uint32_t)any_number(),
					(uint32_t)any_number()});
		if (random_below(8))
			m.tail_size = (size_t)(at - tail);
	} else {
		/* The others begin alike. */
		m.peer_signal = (struct wire_peer_signal){any_number(), (uint32_t)any_number(),
			(uint32_t)any_number(), random_below(8), random_below(8)};
	}
	return m;
}

/* The daemon's part when the peer breaks the protocol, or its session is over. */
static void reconnect(struct peer_world *w)
{
	struct wire_peer_hello hello;
	struct wire_peer_hello_reply reply;

	w->peer = peer_of(w, PEER);
	if (w->peer->state == WIRE_PEER_UP)
		engine_peer_down(w->peer, random_below(2), w->now);
	hello = hello_of(PEER, random_below(3) ? w->peer->session : any_number());
	assert_int_equal(engine_peer_hello(w->peer, &hello, w->now, &reply), 0);
	engine_peer_up(w->peer, w->now);
}

static void whatever_a_peer_says_harms_nobody_else(void **state)
{
	uint8_t tail[ENGINE_IDENTITY_SIZE + 100];

	for (uint32_t seed = 1; seed <= 60; seed++) {
		uint32_t n_good = 0;
		struct peer_world w;
		EngineClient *c;
		EngineSegment *s;
		EngineImport *local, *other;

		random_state = seed * 0x9e3779b97f4a7c15ull;
		peer_world_init(&w);
		c = owner_of(&w, 0666, &s);
		local_segment(c, 0600, ID + 1);
		local = remote(c, NODE);
		other = remote(c, 5);
		world_up(&w);
		for (int n = 0; n < 1500; n++) {
			int r;

			w.n_sent = 0;
			if (random_below(20) == 0 && c->imports.n_used < 8)
				remote(c, PEER);
			if (random_below(20) == 0 && c->imports.n_used > 2) {
				EngineImport *i = engine_import_get(c, 2 + random_below(6));

				if (i && random_below(2))
					engine_import_ready(i);
				else if (i)
					engine_import_disconnect(i);
			}
			w.n_sent = 0;
			r = hear(&w, any_message(tail));
			n_good += r == 0;
			if (r || w.peer->state != WIRE_PEER_UP)
				reconnect(&w);
			assert_int_equal(local->state, WIRE_IMPORT_CONNECTED);
			assert_int_equal(other->state, WIRE_IMPORT_PENDING);
			assert_int_equal(s->state, WIRE_SEGMENT_PUBLISHED);
			assert_true(w.peer->account.n_imports <= peer_limits.max_imports_per_peer);
			assert_true(s->n_imports - 1 <= w.peer->account.n_imports);
		}
		assert_true(n_good > 500);
		peer_world_end(&w, c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_is_granted_what_its_rights_allow),
		cmocka_unit_test(rights_are_judged_by_the_guests_node_and_the_user_that_it_is_here),
		cmocka_unit_test(a_daemon_of_one_user_speaks_for_no_other),
		cmocka_unit_test(a_segment_that_is_not_the_wanted_one_is_not_found),
		cmocka_unit_test(what_is_asked_twice_is_made_once),
		cmocka_unit_test(a_newer_generation_ends_the_older),
		cmocka_unit_test(what_cannot_be_equipped_is_freed),
		cmocka_unit_test(a_peer_has_so_many_imports_and_takes_none_from_users_here),
		cmocka_unit_test(a_guest_goes_with_its_last_import),
		cmocka_unit_test(the_end_of_a_segment_is_told_until_the_peer_knows),
		cmocka_unit_test(an_exporter_that_ends_takes_its_guests_imports_along),
		cmocka_unit_test(what_the_peer_does_not_hold_is_over),
		cmocka_unit_test(a_guest_is_given_a_new_data_connection),
		cmocka_unit_test(impossible_numbers_break_the_protocol),
		cmocka_unit_test(processes_of_a_peer_see_in_lists_what_they_may_have),
		cmocka_unit_test(whatever_a_peer_says_harms_nobody_else),
	};

	return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
