/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The engine next to a model of it: plain arrays, searched from end to end, written from engine.h
 * and sharing nothing with the engine. Random schedules of clients that come, ask and die; after
 * each step result, counts and everything that was shown to the clients must be as the model says.
 * Now and then the engine is saved, and another one restored from the records goes on.
 *
 * ENGINE_SEED=n runs only that schedule, ENGINE_SCHEDULES=n so many.
 */

#include "core/test-world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS	  8
#define SEGMENTS  40
#define IMPORTS	  64
#define INDICES	  64 /* of one client, more than ever in use */
#define STEPS	  500
#define SCHEDULES 300

static const struct engine_limits limits = {
	.max_segment_bytes = 4 * PAGE,
	.max_bytes_per_user = 10 * PAGE,
	.max_segments_per_user = 5,
	.max_imports_per_user = 5,
	.max_clients_per_user = 3,
};

struct m_client {
	bool alive;
	uint64_t id;
	uid_t uid, charged;
	gid_t gid, group;
	uint32_t generation[INDICES];
	EngineClient *real;
};

struct m_segment {
	bool alive, published, listed, handed_out;
	int owner;
	uint64_t instance, pages;
	uint32_t index, space, mode, id;
	struct wire_access access;
	uid_t uid;
	gid_t gid;
	EngineSegment *real;
};

struct m_import {
	bool alive;
	int client, segment, holding; /* segment -1: not connected; holding -1: has no cell */
	uint32_t index, generation, rights, cell, state;
	EngineImport *real;
};

/* What clients see: the words of their status pages. */
struct shown {
	uint64_t import[CLIENTS][INDICES];
	uint32_t cells[CLIENTS][INDICES];
};

struct model {
	Engine *engine;
	uint32_t node;
	uint64_t last_client, last_instance;
	uint32_t last_system_id;
	struct m_client client[CLIENTS];
	struct m_segment segment[SEGMENTS];
	struct m_import import[IMPORTS];
	struct shown shown;
	uint64_t random;
	uint32_t seed, step;
};

/* xorshift64* */
static uint32_t random_below(struct model *m, uint32_t n)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (uint32_t)((m->random * 0x2545f4914f6cdd1dull) >> 33) % n;
}

#define PICK(m, ...)                                                                               \
	({                                                                                         \
		const uint32_t pick_[] = {__VA_ARGS__};                                            \
		pick_[random_below(m, ELEMENTS(pick_))];                                           \
	})

/* Says where in which schedule before it fails. */
#define SAME(m, a, b)                                                                              \
	do {                                                                                       \
		uint64_t a_ = (a), b_ = (b);                                                       \
		if (a_ != b_)                                                                      \
			print_error("schedule %u, step %u: " #a "\n", (m)->seed, (m)->step);       \
		assert_int_equal(a_, b_);                                                          \
	} while (0)

/* The engine's operations */

static size_t slot_of(struct model *m, EngineClient *c)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (m->client[i].alive && m->client[i].id == c->id)
			return i;
	fail_msg("the engine has a client that the model does not know");
	return 0;
}

static void on_import_state(void *userdata, EngineImport *i)
{
	struct model *m = userdata;

	m->shown.import[slot_of(m, i->client)][i->index] = (uint64_t)i->generation << 32 | i->state;
}

static void on_import_free(void *userdata, EngineImport *i)
{
	struct model *m = userdata;

	m->shown.import[slot_of(m, i->client)][i->index] = 0;
}

static void on_segment_free(void *userdata, EngineSegment *s)
{
	struct model *m = userdata;

	m->shown.cells[slot_of(m, s->owner)][s->index] = 0;
}

static void on_segment_cells(void *userdata, EngineSegment *s)
{
	struct model *m = userdata;

	m->shown.cells[slot_of(m, s->owner)][s->index] = s->n_cells;
}

static const struct engine_ops ops = {
	.import_state = on_import_state,
	.import_free = on_import_free,
	.segment_free = on_segment_free,
	.segment_cells = on_segment_cells,
};

/* The model: what is there */

#define EACH(m, what, i)                                                                           \
	for (int i = 0; i < (int)ELEMENTS((m)->what); i++)                                         \
		if ((m)->what[i].alive)

#define FREE_SLOT(m, what)                                                                         \
	({                                                                                         \
		int slot_ = 0;                                                                     \
		while (slot_ < (int)ELEMENTS((m)->what) && (m)->what[slot_].alive)                 \
			slot_++;                                                                   \
		slot_ < (int)ELEMENTS((m)->what) ? slot_ : -1;                                     \
	})

/* One of those alive, or -1. */
#define ANY(m, what)                                                                               \
	({                                                                                         \
		int n_ = 0, any_ = -1;                                                             \
		EACH(m, what, i_)                                                                  \
		if (random_below(m, ++n_) == 0)                                                    \
			any_ = i_;                                                                 \
		any_;                                                                              \
	})

static struct engine_counts m_counts_of(struct model *m, bool all, uid_t charged)
{
	struct engine_counts n = {};

	EACH(m, client, c) n.n_clients += all || m->client[c].charged == charged;
	EACH(m, segment, s)
	{
		bool counted = all || m->client[m->segment[s].owner].charged == charged;

		n.n_segments += counted;
		n.bytes += counted ? m->segment[s].pages * PAGE : 0;
	}
	EACH(m, import, i) n.n_imports += all || m->client[m->import[i].client].charged == charged;
	return n;
}

static struct engine_counts m_used(struct model *m, int client)
{
	return m_counts_of(m, false, m->client[client].charged);
}

static uint32_t m_segment_index(struct model *m, int client)
{
	for (uint32_t index = 0;; index++) {
		bool used = false;

		EACH(m, segment, s)
		used |= m->segment[s].owner == client && m->segment[s].index == index;
		if (!used)
			return index;
	}
}

static uint32_t m_import_index(struct model *m, int client)
{
	for (uint32_t index = 0;; index++) {
		bool used = false;

		EACH(m, import, i)
		used |= m->import[i].client == client && m->import[i].index == index;
		if (!used)
			return index;
	}
}

static uint32_t m_cell(struct model *m, int segment)
{
	for (uint32_t cell = 1;; cell++) {
		bool used = false;

		EACH(m, import, i)
		used |= m->import[i].holding == segment && m->import[i].cell == cell;
		if (!used)
			return cell;
	}
}

static int m_find(struct model *m, uint32_t space, uint32_t id)
{
	EACH(m, segment, s)
	if (m->segment[s].published && m->segment[s].space == space && m->segment[s].id == id)
		return s;
	return -1;
}

static uint32_t m_rights(struct model *m, int segment, int client)
{
	const struct m_segment *s = &m->segment[segment];
	const struct m_client *c = &m->client[client];
	uint32_t mode = s->listed ? s->access.mode : s->mode;

	if (c->uid == 0)
		return 6;
	if (c->uid == s->uid)
		return mode / 64 % 8 & 6;
	if (c->gid == s->gid || c->group == s->gid)
		return mode / 8 % 8 & 6;
	return mode % 8 & 6;
}

static void m_revoke(struct model *m, int segment, uint32_t state)
{
	EACH(m, import, i)
	if (m->import[i].segment == segment) {
		m->import[i].segment = -1;
		m->import[i].state = state;
	}
	m->segment[segment].published = m->segment[segment].handed_out = false;
	m->segment[segment].listed = false;
	m->segment[segment].id = 0;
}

static void m_end(struct model *m, int segment, uint32_t state)
{
	m_revoke(m, segment, state);
	EACH(m, import, i)
	if (m->import[i].holding == segment)
		m->import[i].holding = -1;
	m->segment[segment].alive = false;
}

/* Steps: random arguments, the model's forecast, the engine's answer */

static struct engine_identity random_identity(struct model *m)
{
	return (struct engine_identity){
		.uid = PICK(m, 0, 1000, 1001, 1002, 1002),
		.gid = PICK(m, 100, 101, 102),
		.n_groups = 1,
		.groups = {PICK(m, 100, 101, 103)},
	};
}

static void step_client_new(struct model *m)
{
	const struct engine_identity who = random_identity(m);
	bool full = m_counts_of(m, false, who.uid).n_clients >= limits.max_clients_per_user;
	int slot = FREE_SLOT(m, client), r;
	EngineClient *real = NULL;

	if (slot < 0)
		return;
	r = engine_client_new(m->engine, &who, &real);
	SAME(m, r, full ? STATUS_NO_RESOURCES : 0);
	if (r)
		return;
	m->client[slot] = (struct m_client){.alive = true,
		.id = ++m->last_client,
		.uid = who.uid,
		.charged = who.uid,
		.gid = who.gid,
		.group = who.groups[0],
		.real = real};
}

static void step_client_free(struct model *m)
{
	int c = ANY(m, client);

	if (c < 0)
		return;
	engine_client_free(m->client[c].real);
	EACH(m, import, i)
	if (m->import[i].client == c)
		m->import[i].alive = false, m->import[i].segment = -1;
	EACH(m, segment, s)
	if (m->segment[s].owner == c)
		m_end(m, s, WIRE_IMPORT_EXPORTER_GONE);
	m->client[c].alive = false;
}

static void step_identify(struct model *m)
{
	const struct engine_identity who = random_identity(m);
	int c = ANY(m, client);

	if (c < 0)
		return;
	SAME(m, engine_client_identify(m->client[c].real, &who), 0);
	m->client[c].uid = who.uid;
	m->client[c].gid = who.gid;
	m->client[c].group = who.groups[0];
}

static int m_create_result(struct model *m, int c, uint32_t space, uint64_t size)
{
	struct engine_counts used = m_used(m, c);

	if (space < WIRE_SPACE_RSM || space > WIRE_SPACE_SISCI_DATA || space == WIRE_SPACE_CLSHM)
		return STATUS_BAD_REQUEST;
	if (size == 0 || size % PAGE || size > limits.max_segment_bytes)
		return STATUS_BAD_SIZE;
	if (used.bytes + size > limits.max_bytes_per_user)
		return STATUS_QUOTA_BYTES;
	return used.n_segments >= limits.max_segments_per_user ? STATUS_NO_RESOURCES : 0;
}

static void step_create(struct model *m)
{
	uint64_t size = PICK(m, 0, 1, 4096, 4096, 4096, 4097, 8192, 8192, 16384, 20480);
	uint32_t space = PICK(m, 0, 1, 1, 1, 1, 2, 3, 4, 6), mode = random_below(m, 01000);
	int c = ANY(m, client), slot = FREE_SLOT(m, segment), r;
	EngineSegment *real = NULL;

	if (c < 0 || slot < 0)
		return;
	r = engine_segment_create(m->client[c].real, space, size, mode, 9, m->step, &real);
	SAME(m, r, m_create_result(m, c, space, size));
	if (r)
		return;
	m->segment[slot] = (struct m_segment){.owner = c,
		.instance = ++m->last_instance,
		.pages = size / PAGE,
		.index = m_segment_index(m, c),
		.space = space,
		.mode = mode,
		.uid = m->client[c].uid,
		.gid = m->client[c].gid,
		.real = real,
		.alive = true};
}

static bool m_list_bad(struct model *m, const struct wire_access *access, uint32_t n)
{
	if (n > 1)
		return true;
	return n == 1 && ((access->node != 0 && access->node != m->node) || access->mode > 0666);
}

static uint32_t random_list(struct model *m, struct wire_access access[2])
{
	for (int i = 0; i < 2; i++)
		access[i] =
			(struct wire_access){.node = PICK(m, 0, 0, m->node, m->node, m->node, 9),
				.mode = PICK(m, 0666, 0644, 0624, 0066, 0600, 0606, 0, 0667, 0444)};
	return PICK(m, 0, 0, 0, 1, 1, 1, 2);
}

static int m_publish_result(
	struct model *m, int s, uint32_t *id, const struct wire_access *access, uint32_t n)
{
	const struct m_segment *segment = &m->segment[s];

	if (segment->published)
		return STATUS_ALREADY_PUBLISHED;
	if (segment->space == WIRE_SPACE_RSM && *id != 0 && (*id < 0x400000 || *id > 0x7fffffff))
		return STATUS_ID_RESERVED;
	if (m_list_bad(m, access, n))
		return STATUS_BAD_ACCESS_LIST;
	if (*id != 0)
		return m_find(m, segment->space, *id) >= 0 ? STATUS_ID_IN_USE : 0;
	do {
		*id = m->last_system_id == UINT32_MAX || *id == UINT32_MAX ? 0x80000000
		      : *id != 0					   ? *id + 1
		      : m->last_system_id == 0				   ? 0x80000000
									   : m->last_system_id + 1;
		m->last_system_id = *id;
	} while (m_find(m, segment->space, *id) >= 0);
	return 0;
}

static void step_publish(struct model *m)
{
	int s = ANY(m, segment), r;
	uint32_t id = PICK(m, 0, 0, 5, 0x3fffff, 0x400000, 0x400000, 0x400001, 0x400002, 0x7fffffff,
			 0x80000000, 0x80000003, UINT32_MAX),
		 wanted = id, got = 1, n;
	struct wire_access access[2];

	if (s < 0)
		return;
	n = random_list(m, access);
	r = engine_segment_publish(m->segment[s].real, id, access, n, &got);
	SAME(m, r, m_publish_result(m, s, &wanted, access, n));
	SAME(m, got, r ? 1 : wanted);
	if (r)
		return;
	m->segment[s].published = true;
	m->segment[s].id = wanted;
	m->segment[s].listed = n > 0;
	m->segment[s].access = access[0];
}

static void step_republish(struct model *m)
{
	int s = ANY(m, segment), r;
	struct wire_access access[2];
	uint32_t n;

	if (s < 0)
		return;
	n = random_list(m, access);
	r = engine_segment_republish(m->segment[s].real, access, n);
	SAME(m, r,
		!m->segment[s].published   ? STATUS_NOT_PUBLISHED
		: m_list_bad(m, access, n) ? STATUS_BAD_ACCESS_LIST
					   : 0);
	if (r)
		return;
	m->segment[s].listed = n > 0;
	m->segment[s].access = access[0];
}

static void step_unpublish(struct model *m)
{
	int s = ANY(m, segment), r;
	bool move = false, m_move;

	if (s < 0)
		return;
	m_move = m->segment[s].handed_out;
	EACH(m, import, i)
	m_move |= m->import[i].segment == s && m->import[i].client != m->segment[s].owner;
	r = engine_segment_unpublish(m->segment[s].real, &move);
	SAME(m, r, m->segment[s].published ? 0 : STATUS_NOT_PUBLISHED);
	SAME(m, move, r == 0 && m_move);
	if (r == 0)
		m_revoke(m, s, WIRE_IMPORT_REVOKED);
}

static void step_destroy(struct model *m)
{
	int s = ANY(m, segment);

	if (s < 0)
		return;
	engine_segment_destroy(m->segment[s].real);
	m_end(m, s, WIRE_IMPORT_REVOKED);
}

static int m_connect_result(
	struct model *m, int c, uint32_t controller, uint32_t node, int segment, uint32_t rights)
{
	bool foreign = node != 0 && node != m->node;

	if (controller < 1 || controller > 3 || (controller == 1 && foreign))
		return STATUS_NO_CONTROLLER;
	if (foreign)
		return STATUS_NODE_UNKNOWN;
	if (segment < 0)
		return STATUS_NOT_FOUND;
	if (!m_rights(m, segment, c) ||
		(rights | m_rights(m, segment, c)) != m_rights(m, segment, c))
		return STATUS_DENIED;
	return m_used(m, c).n_imports >= limits.max_imports_per_user ? STATUS_NO_RESOURCES : 0;
}

static void step_connect(struct model *m)
{
	uint32_t controller = PICK(m, 1, 1, 1, 1, 1, 1, 2, 3, 0, 4),
		 node = PICK(m, 0, 0, m->node, m->node, m->node, m->node, 9),
		 rights = PICK(m, 0, 2, 4, 4, 6, 6, 1, 0x84), space = 1, id = 0x400000;
	int c = ANY(m, client), s = ANY(m, segment), slot = FREE_SLOT(m, import), target, r;
	EngineImport *real = NULL;
	struct m_import *i;

	if (c < 0 || slot < 0)
		return;
	if (s >= 0 && !m->segment[s].published)
		s = ANY(m, segment); /* mostly something that is there */
	if (s >= 0 && random_below(m, 10) > 0) {
		space = m->segment[s].space;
		id = m->segment[s].id;
	}
	target = m_find(m, space, id);
	r = engine_import_connect(m->client[c].real, space, controller, node, id, rights, &real);
	SAME(m, r, m_connect_result(m, c, controller, node, target, rights));
	if (r)
		return;
	i = &m->import[slot];
	*i = (struct m_import){.client = c,
		.segment = target,
		.holding = target,
		.index = m_import_index(m, c),
		.rights = rights,
		.cell = m_cell(m, target),
		.state = WIRE_IMPORT_CONNECTED,
		.real = real};
	i->generation = ++m->client[c].generation[i->index];
	i->alive = true;
	if (c != m->segment[target].owner && m->client[c].uid != m->segment[target].uid)
		m->segment[target].handed_out = true;
}

static void step_disconnect(struct model *m)
{
	int i = ANY(m, import);

	if (i < 0)
		return;
	engine_import_disconnect(m->import[i].real);
	m->import[i].alive = false;
	m->import[i].segment = -1;
}

/* Comparing */

static void check_shown(struct model *m)
{
	struct shown expected = {};

	EACH(m, segment, s)
	{
		uint32_t *n = &expected.cells[m->segment[s].owner][m->segment[s].index];

		*n = 1;
		EACH(m, import, i)
		if (m->import[i].holding == s)
			*n = MAX(*n, m->import[i].cell + 1);
	}
	EACH(m, import, i)
	expected.import[m->import[i].client][m->import[i].index] =
		(uint64_t)m->import[i].generation << 32 | m->import[i].state;
	SAME(m, memcmp(&expected, &m->shown, sizeof(expected)), 0);
}

static void check_objects(struct model *m)
{
	EACH(m, segment, i)
	{
		const struct m_segment *s = &m->segment[i];

		SAME(m, s->real->instance, s->instance);
		SAME(m, s->real->index, s->index);
		SAME(m, s->real->state, s->published ? WIRE_SEGMENT_PUBLISHED : WIRE_SEGMENT_BOUND);
		SAME(m, s->real->id, s->id);
		SAME(m, s->real->handed_out, s->handed_out);
		SAME(m, s->real->n_access, s->listed);
		EACH(m, client, c)
		SAME(m, engine_segment_visible(s->real, m->client[c].real),
			s->owner == c || m->client[c].uid == 0 ||
				(s->published && m_rights(m, i, c) != 0));
	}
	EACH(m, import, i)
	{
		const struct m_import *j = &m->import[i];

		SAME(m, j->real->index, j->index);
		SAME(m, j->real->rights, j->rights);
		SAME(m, j->real->segment != NULL, j->segment >= 0);
		SAME(m, j->real->holding != NULL, j->holding >= 0);
		if (j->holding >= 0)
			SAME(m, j->real->cell, j->cell);
	}
}

static void check_list(struct model *m)
{
	uint64_t after = 0;
	EngineSegment *real;

	for (;;) {
		uint64_t next = UINT64_MAX;

		EACH(m, segment, s)
		if (m->segment[s].instance > after)
			next = MIN(next, m->segment[s].instance);
		real = engine_segment_next(m->engine, after);
		SAME(m, real ? real->instance : UINT64_MAX, next);
		if (!real)
			return;
		after = next;
	}
}

static void compare(struct model *m)
{
	struct engine_counts is = engine_counts(m->engine), should = m_counts_of(m, true, 0);

	SAME(m, is.n_clients, should.n_clients);
	SAME(m, is.n_segments, should.n_segments);
	SAME(m, is.n_imports, should.n_imports);
	SAME(m, is.bytes, should.bytes);
	engine_check(m->engine);
	check_shown(m);
	check_objects(m);
	check_list(m);
}

/* Saving and restoring */

struct records {
	struct engine_counters counters;
	struct engine_client_record client[CLIENTS];
	struct engine_segment_record segment[SEGMENTS];
	struct engine_import_record import[IMPORTS];
};

static void save(struct model *m, struct records *ret)
{
	engine_counters_save(m->engine, &ret->counters);
	EACH(m, client, i) engine_client_save(m->client[i].real, &ret->client[i]);
	EACH(m, segment, i) engine_segment_save(m->segment[i].real, &ret->segment[i]);
	EACH(m, import, i) engine_import_save(m->import[i].real, &ret->import[i]);
}

/* 0 … n - 1 in some order. */
static void shuffled(struct model *m, int n, int order[])
{
	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int j = random_below(m, i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
}

static void restore(struct model *m, const struct records *r)
{
	int order[MAX(IMPORTS, MAX(CLIENTS, SEGMENTS))], i;

	SAME(m, engine_counters_restore(m->engine, &r->counters), 0);
	shuffled(m, CLIENTS, order);
	for (int n = 0; n < CLIENTS; n++) {
		i = order[n];
		if (!m->client[i].alive)
			continue;
		SAME(m, engine_client_restore(m->engine, &r->client[i], &m->client[i].real), 0);
		for (uint32_t index = 0; index < INDICES; index++)
			SAME(m,
				engine_generation_restore(
					m->client[i].real, index, m->client[i].generation[index]),
				0);
	}
	shuffled(m, SEGMENTS, order);
	for (int n = 0; n < SEGMENTS; n++) {
		i = order[n];
		if (m->segment[i].alive)
			SAME(m,
				engine_segment_restore(
					m->engine, &r->segment[i], &m->segment[i].real),
				0);
	}
	shuffled(m, IMPORTS, order);
	for (int n = 0; n < IMPORTS; n++) {
		i = order[n];
		if (m->import[i].alive)
			SAME(m, engine_import_restore(m->engine, &r->import[i], &m->import[i].real),
				0);
	}
}

static void end_clients(struct model *m)
{
	EACH(m, client, c) engine_client_free(m->client[c].real);
	SAME(m, engine_counts(m->engine).bytes, 0);
	engine_free(m->engine);
}

static void step_restart(struct model *m)
{
	struct records *records = calloc(1, sizeof(*records));

	assert_non_null(records);
	save(m, records);
	end_clients(m);
	memset(&m->shown, 0, sizeof(m->shown));
	assert_int_equal(engine_new(m->node, &limits, &ops, m, &m->engine), 0);
	restore(m, records);
	free(records);
}

typedef void (*step_fn)(struct model *m);

static const struct {
	step_fn step;
	uint32_t weight;
} steps[] = {
	{step_client_new, 8},
	{step_client_free, 2},
	{step_identify, 3},
	{step_create, 16},
	{step_publish, 24},
	{step_republish, 5},
	{step_unpublish, 6},
	{step_destroy, 4},
	{step_connect, 30},
	{step_disconnect, 8},
	{step_restart, 2},
};

static void take_step(struct model *m)
{
	uint32_t sum = 0, at;

	for (size_t i = 0; i < ELEMENTS(steps); i++)
		sum += steps[i].weight;
	at = random_below(m, sum);
	for (size_t i = 0; i < ELEMENTS(steps); i++) {
		if (at < steps[i].weight) {
			steps[i].step(m);
			return;
		}
		at -= steps[i].weight;
	}
}

static void run_schedule(uint32_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->seed = seed;
	m->random = seed * 0x9e3779b97f4a7c15ull + 1;
	m->node = seed % 2 ? 3 : 0;
	/* Some schedules see the system ids wrap. */
	m->last_system_id = seed % 5 ? 0 : UINT32_MAX - 5;
	assert_int_equal(engine_new(m->node, &limits, &ops, m, &m->engine), 0);
	assert_int_equal(engine_counters_restore(m->engine,
				 &(struct engine_counters){.last_system_id = m->last_system_id}),
		0);
	for (m->step = 0; m->step < STEPS; m->step++) {
		take_step(m);
		compare(m);
	}
	end_clients(m);
	free(m);
}

static void the_engine_does_what_the_model_does(void **state)
{
	const char *seed = getenv("ENGINE_SEED"), *n = getenv("ENGINE_SCHEDULES");
	uint32_t schedules = n ? atoi(n) : SCHEDULES;

	if (seed) {
		run_schedule(atoi(seed));
		return;
	}
	for (uint32_t i = 1; i <= schedules; i++)
		run_schedule(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_engine_does_what_the_model_does),
	};

	return cmocka_run_group_tests_name("engine next to a model", tests, NULL, NULL);
}
