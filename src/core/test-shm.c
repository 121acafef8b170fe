/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keys and segments of clshm next to a model of them: plain arrays, written from shm.h and sharing
 * nothing with the engine. Random schedules of processes here and on another node; after each step
 * the result and all there is to see must be as the model says. Now and then something is said once
 * more, and the engine is saved and restored.
 *
 * ENGINE_SEED=n runs only that schedule, ENGINE_SCHEDULES=n so many.
 */

#include "core/test-world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/shm.h"

#define CLIENTS	  6
#define FOREIGN	  3 /* processes of another node */
#define KEYS	  400
#define SEGMENTS  200
#define IMPORTS	  48
#define STEPS	  400
#define SCHEDULES 200
#define THERE	  7u
#define NUMBERS	  0xffffffu
#define MAX_BYTES (14 * PAGE)

static const struct engine_limits limits = {
	.max_segment_bytes = 4 * PAGE,
	.max_bytes_per_user = 9 * PAGE,
	.max_segments_per_user = 4,
	.max_imports_per_user = 8,
	.max_clients_per_user = 2,
	.max_shm_segments = 8,
};

struct m_client {
	bool alive;
	struct engine_identity who;
	uint32_t node;
	uint64_t id, serial;
	EngineClient *real; /* of this node's */
};

struct m_key {
	bool alive;
	uint32_t value;
	int maker; /* -1: gone */
	uid_t uid;
	int segment; /* -1: none */
};

struct m_segment {
	bool alive, was_attached;
	int key; /* -1: removed */
	uid_t charged;
	uint32_t node; /* whose process made it */
	struct wire_shm_row row;
};

struct m_import {
	bool alive;
	int client, segment;
	EngineImport *real;
};

struct model {
	Engine *engine;
	struct m_client client[CLIENTS + FOREIGN];
	struct m_key key[KEYS];
	struct m_segment segment[SEGMENTS];
	struct m_import import[IMPORTS];
	int n_keys, n_segments;
	uint64_t last_client, last_instance;
	uint32_t last_key, last_shmid;
	uint32_t n_estates; /* as the engine said */
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

static void on_import(void *userdata, EngineImport *import)
{
}

static void on_import_free(void *userdata, EngineImport *import)
{
	struct model *m = userdata;

	engine_shm_detached(import, m->step + 1);
}

static void on_segment(void *userdata, EngineSegment *segment)
{
}

static const struct engine_ops ops = {
	.import_state = on_import,
	.import_free = on_import_free,
	.segment_free = on_segment,
	.segment_cells = on_segment,
};

/* The model */

#define EACH(m, what, n, i)                                                                        \
	for (int i = 0; i < (int)(n); i++)                                                         \
		if ((m)->what[i].alive)

#define ANY(m, what, n)                                                                            \
	({                                                                                         \
		int n_ = 0, any_ = -1;                                                             \
		EACH(m, what, n, i_)                                                               \
		if (random_below(m, ++n_) == 0)                                                    \
			any_ = i_;                                                                 \
		any_;                                                                              \
	})

static void m_key_free(struct model *m, int k)
{
	if (m->key[k].segment >= 0) {
		m->segment[m->key[k].segment].key = -1;
		m->segment[m->key[k].segment].row.key = 0;
	}
	m->key[k].alive = false;
}

static void m_review(struct model *m, int s)
{
	struct m_segment *segment = &m->segment[s];
	bool over = segment->row.flags & WIRE_SHM_REMOVED ||
		    (segment->row.flags & WIRE_SHM_AUTO && segment->was_attached);

	if (segment->row.n_attached > 0 || !over)
		return;
	if (segment->key >= 0)
		m_key_free(m, segment->key);
	segment->alive = false;
}

static void m_maker_gone(struct model *m, int maker)
{
	EACH(m, key, m->n_keys, k)
	{
		if (m->key[k].maker != maker)
			continue;
		m->key[k].maker = -1;
		if (m->key[k].segment < 0)
			m->key[k].alive = false;
	}
}

static void m_detach(struct model *m, int i)
{
	struct m_import *import = &m->import[i];
	struct wire_shm_row *row = &m->segment[import->segment].row;

	import->alive = false;
	row->n_attached--;
	row->detached = m->step + 1;
	row->lpid = (uint32_t)m->client[import->client].who.pid;
	m_review(m, import->segment);
}

static bool m_in_group(const struct engine_identity *who, gid_t gid)
{
	return who->gid == gid || (who->n_groups && who->groups[0] == gid);
}

static uint32_t m_rights(const struct model *m, int s, const struct engine_identity *who)
{
	const struct wire_shm_row *row = &m->segment[s].row;

	if (who->uid == 0)
		return RW;
	if (who->uid == row->uid || who->uid == row->cuid)
		return row->mode / 64 & RW;
	if (m_in_group(who, row->gid) || m_in_group(who, row->cgid))
		return row->mode / 8 & RW;
	return row->mode & RW;
}

static bool m_owns(const struct model *m, int s, const struct engine_identity *who)
{
	const struct wire_shm_row *row = &m->segment[s].row;

	return who->uid == 0 || who->uid == row->uid || who->uid == row->cuid;
}

static uint32_t m_number_after(uint32_t number)
{
	return number == NUMBERS ? 1 : number + 1;
}

/* What the next number is. */
static uint32_t m_next_key(const struct model *m)
{
	uint32_t n = m_number_after(m->last_key);
	bool taken;

	do {
		taken = false;
		EACH(m, key, m->n_keys, k) taken |= WIRE_SHM_NUMBER(m->key[k].value) == n;
		if (taken)
			n = m_number_after(n);
	} while (taken);
	return n;
}

static uint32_t m_next_shmid(const struct model *m)
{
	uint32_t n = m_number_after(m->last_shmid);
	bool taken;

	do {
		taken = false;
		EACH(m, segment, m->n_segments, s)
		taken |= WIRE_SHM_NUMBER(m->segment[s].row.shmid) == n;
		if (taken)
			n = m_number_after(n);
	} while (taken);
	return n;
}

/* Steps */

static struct engine_shm_asker asker(struct model *m, int c, bool again)
{
	struct m_client *client = &m->client[c];

	return (struct engine_shm_asker){.identity = &client->who,
		.node = client->node,
		.client = client->id,
		.serial = again ? client->serial : ++client->serial,
		.now = m->step + 1};
}

static struct engine_identity random_identity(struct model *m)
{
	struct engine_identity who = {
		.pid = 100 + (int)m->step,
		.uid = PICK(m, 0, 1000, 1001, 1001),
		.gid = PICK(m, 100, 101, 102),
		.n_groups = 1,
		.groups = {PICK(m, 100, 101, 103)},
	};

	snprintf(who.command, sizeof(who.command), "p%u", m->step);
	return who;
}

static void step_client_new(struct model *m)
{
	const struct engine_identity who = random_identity(m);
	EngineClient *real = NULL;
	uint32_t n = 0;
	int slot = -1, r;

	for (int c = 0; c < CLIENTS; c++) {
		if (!m->client[c].alive)
			slot = c;
		else
			n += m->client[c].who.uid == who.uid;
	}
	if (slot < 0)
		return;
	r = engine_client_new(m->engine, &who, &real);
	SAME(m, r, n >= limits.max_clients_per_user ? STATUS_NO_RESOURCES : 0);
	if (r)
		return;
	m->client[slot] = (struct m_client){
		.alive = true, .who = who, .node = NODE, .id = real->id, .serial = 1, .real = real};
}

static void step_client_free(struct model *m)
{
	int c = ANY(m, client, CLIENTS);

	if (c < 0)
		return;
	engine_client_free(m->client[c].real);
	EACH(m, import, IMPORTS, i)
	if (m->import[i].client == c)
		m_detach(m, i);
	m_maker_gone(m, c);
	m->client[c].alive = false;
}

static void step_foreign_gone(struct model *m)
{
	int c = CLIENTS + (int)random_below(m, FOREIGN);

	if (random_below(m, 4)) {
		engine_shm_maker_gone(m->engine, THERE, m->client[c].id);
		m_maker_gone(m, c);
		return;
	}
	engine_shm_maker_gone(m->engine, THERE, 0);
	/* the node has begun anew, and so have the numbers of its requests */
	for (c = CLIENTS; c < CLIENTS + FOREIGN; c++) {
		m_maker_gone(m, c);
		m->client[c].serial = 1;
	}
}

static void step_key(struct model *m)
{
	int c = ANY(m, client, CLIENTS + FOREIGN);
	struct engine_shm_asker who;
	EngineShmKey *key = NULL, *same = NULL;

	if (c < 0 || m->n_keys == KEYS)
		return;
	who = asker(m, c, false);
	SAME(m, engine_shm_key_new(m->engine, &who, &key), 0);
	m->last_key = m_next_key(m);
	SAME(m, engine_shm_key_value(m->engine, key), NODE << 24 | m->last_key);
	m->key[m->n_keys++] = (struct m_key){.alive = true,
		.value = NODE << 24 | m->last_key,
		.maker = c,
		.uid = who.identity->uid,
		.segment = -1};
	SAME(m, engine_shm_key_new(m->engine, &who, &same), 0);
	assert_ptr_equal(key, same);
}

static int m_get_result(struct model *m, int k, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, uint64_t max_bytes)
{
	const struct engine_identity *who = asker->identity;
	uint64_t pages = (get->size + PAGE - 1) / PAGE, all = 0, own = 0;
	uint32_t n = 0, n_own = 0, n_there = 0, wanted = get->mode / 64 | get->mode / 8 | get->mode;
	int s = k < 0 ? -1 : m->key[k].segment;

	if (get->mode > 0777 || get->flags > WIRE_SHM_EXCLUSIVE)
		return STATUS_BAD_REQUEST;
	if (k < 0)
		return STATUS_NOT_FOUND;
	if (s >= 0) {
		if (get->flags)
			return STATUS_ID_IN_USE;
		if (get->size != m->segment[s].row.size)
			return STATUS_BAD_SIZE;
		return wanted & RW & ~m_rights(m, s, who) ? STATUS_DENIED : 0;
	}
	EACH(m, segment, m->n_segments, i)
	{
		uint64_t bytes = (m->segment[i].row.size + PAGE - 1) / PAGE * PAGE;
		bool mine = m->segment[i].charged == who->uid;

		all += bytes;
		own += mine ? bytes : 0;
		n++;
		n_own += mine;
		n_there += m->segment[i].node == THERE;
	}
	if (get->size == 0 || get->size > limits.max_segment_bytes)
		return STATUS_BAD_SIZE;
	if (all + pages * PAGE > max_bytes)
		return STATUS_QUOTA_BYTES;
	/* each leaves as many to others as it has itself */
	if (n + (who->uid ? n_own : 0) >= limits.max_shm_segments ||
		n + (asker->node == THERE ? n_there : 0) >= limits.max_shm_segments)
		return STATUS_NO_RESOURCES;
	if (own + pages * PAGE > limits.max_bytes_per_user)
		return STATUS_QUOTA_BYTES;
	return n_own >= limits.max_segments_per_user ? STATUS_NO_RESOURCES : 0;
}

static void m_made(struct model *m, int k, const struct engine_shm_asker *who,
	const struct wire_shm_get *get, const EngineSegment *real)
{
	struct m_segment *s = &m->segment[m->n_segments];

	m->last_shmid = m_next_shmid(m);
	*s = (struct m_segment){
		.alive = true, .key = k, .charged = who->identity->uid, .node = who->node};
	s->row = (struct wire_shm_row){.shmid = NODE << 24 | m->last_shmid,
		.key = m->key[k].value,
		.mode = get->mode ? get->mode : 0600,
		.uid = who->identity->uid,
		.gid = who->identity->gid,
		.cuid = who->identity->uid,
		.cgid = who->identity->gid,
		.size = get->size,
		.instance = real->instance,
		.changed = m->step + 1,
		.cpid = (uint32_t)who->identity->pid};
	memcpy(s->row.command, who->identity->command, sizeof(s->row.command));
	m->key[k].segment = m->n_segments++;
}

static void step_get(struct model *m)
{
	const struct wire_shm_get get_of = {
		.size = PICK(m, 0, 1, 4096, 5000, 5000, 5000, 4 * PAGE, 4 * PAGE + 1),
		.mode = PICK(m, 0, 0600, 0640, 0666, 0060, 0444, 01600),
		.flags = PICK(m, 0, 0, 0, 0, 1, 2)};
	int c = ANY(m, client, CLIENTS + FOREIGN), k = ANY(m, key, m->n_keys), r, expected;
	uint64_t max_bytes = random_below(m, 5) ? MAX_BYTES : 3 * PAGE;
	struct wire_shm_get get = get_of;
	EngineSegment *real = NULL, *same = NULL;
	struct engine_shm_asker who;
	bool made = false, made_again = true;

	if (c < 0 || m->n_segments == SEGMENTS)
		return;
	if (random_below(m, 10) == 0)
		k = -1;
	get.key = k < 0 ? (NODE << 24) + random_below(m, 3) * 0x1000000 : m->key[k].value;
	who = asker(m, c, false);
	expected = m_get_result(m, k, &who, &get, max_bytes);
	r = engine_shm_get(m->engine, &who, &get, max_bytes, &real, &made);
	SAME(m, r, expected);
	if (r)
		return;
	SAME(m, made, m->key[k].segment < 0);
	if (made && random_below(m, 6) == 0) {
		/* memory could not be had */
		m->last_shmid = m_next_shmid(m);
		engine_shm_take_back(real);
		return;
	}
	if (made)
		m_made(m, k, &who, &get, real);
	SAME(m, real->id, m->segment[m->key[k].segment].row.shmid);
	SAME(m, engine_shm_get(m->engine, &who, &get, max_bytes, &same, &made_again), 0);
	assert_ptr_equal(real, same);
	SAME(m, made_again, false);
}

static int m_control_result(
	struct model *m, int s, const struct engine_identity *who, const struct wire_shm_control *q)
{
	if (q->command < 1 || q->command > 5 || (q->command == WIRE_SHM_SET && q->mode > 0777))
		return STATUS_BAD_REQUEST;
	if (s < 0)
		return STATUS_NOT_FOUND;
	if (m->segment[s].row.flags & WIRE_SHM_REMOVED)
		return STATUS_WITHDRAWN;
	return m_owns(m, s, who) ? 0 : STATUS_NOT_CREATOR;
}

static void m_control(struct model *m, int s, const struct wire_shm_control *q)
{
	struct wire_shm_row *row = &m->segment[s].row;

	if (q->command == WIRE_SHM_REMOVE) {
		m_key_free(m, m->segment[s].key);
		row->flags |= WIRE_SHM_REMOVED;
	} else if (q->command == WIRE_SHM_AUTOREMOVE) {
		row->flags |= WIRE_SHM_AUTO;
	} else if (q->command == WIRE_SHM_SET) {
		row->uid = q->uid;
		row->gid = q->gid;
		row->mode = q->mode;
		row->changed = m->step + 1;
	} else if (q->command == WIRE_SHM_LOCK) {
		row->flags |= WIRE_SHM_LOCKED;
	} else {
		row->flags &= ~WIRE_SHM_LOCKED;
	}
	m_review(m, s);
}

static void step_control(struct model *m)
{
	int c = ANY(m, client, CLIENTS + FOREIGN), s = ANY(m, segment, m->n_segments), r;
	struct wire_shm_control q = {.command = PICK(m, 1, 1, 2, 2, 3, 3, 3, 4, 5, 0, 6),
		.uid = PICK(m, 1000, 1001, 1002),
		.gid = PICK(m, 100, 102),
		.mode = PICK(m, 0600, 0606, 0040, 01000)};
	struct engine_shm_asker who;

	if (c < 0)
		return;
	if (random_below(m, 12) == 0)
		s = -1;
	q.shmid = s < 0 ? NODE << 24 : m->segment[s].row.shmid;
	who = asker(m, c, false);
	r = engine_shm_control(m->engine, &who, &q);
	SAME(m, r, m_control_result(m, s, who.identity, &q));
	if (r)
		return;
	m_control(m, s, &q);
	/* said again by who may have lost the right to, or about what is gone */
	SAME(m, engine_shm_control(m->engine, &who, &q), 0);
}

static void step_attach(struct model *m)
{
	int c = ANY(m, client, CLIENTS), s = ANY(m, segment, m->n_segments), slot = -1, r, expected;
	uint32_t rights = PICK(m, RW, RW, RW, WIRE_READ, 0), allowed, n = 0;
	EngineImport *real = NULL;

	if (c < 0 || s < 0)
		return;
	for (int i = 0; i < IMPORTS; i++) {
		if (!m->import[i].alive)
			slot = i;
		else
			n += m->client[m->import[i].client].who.uid == m->client[c].who.uid;
	}
	if (slot < 0)
		return;
	allowed = m_rights(m, s, &m->client[c].who);
	expected = rights & ~allowed || !(rights & WIRE_READ)	? STATUS_DENIED
		   : m->segment[s].row.flags & WIRE_SHM_REMOVED ? STATUS_WITHDRAWN
		   : n >= limits.max_imports_per_user		? STATUS_NO_RESOURCES
								: 0;
	r = engine_import_connect(m->client[c].real, WIRE_SPACE_CLSHM, WIRE_CONTROLLER_TCP, NODE,
		m->segment[s].row.shmid, rights, &real);
	SAME(m, r, expected);
	if (r)
		return;
	m->import[slot] = (struct m_import){.alive = true, .client = c, .segment = s, .real = real};
	engine_shm_attached(real, m->step + 1);
	m->segment[s].was_attached = true;
	m->segment[s].row.n_attached++;
	m->segment[s].row.attached = m->step + 1;
	m->segment[s].row.lpid = (uint32_t)m->client[c].who.pid;
}

static void step_detach(struct model *m)
{
	int i = ANY(m, import, IMPORTS);

	if (i < 0)
		return;
	engine_import_disconnect(m->import[i].real);
	m_detach(m, i);
}

static void step_place(struct model *m)
{
	int c = ANY(m, client, CLIENTS), s = ANY(m, segment, m->n_segments), r, expected;
	int k = ANY(m, key, m->n_keys);
	const struct engine_shm_place place = {.order = 1};
	struct engine_shm_asker who;
	EngineSegment *real;
	uid_t uid;

	if (c < 0 || s < 0 || k < 0)
		return;
	who = asker(m, c, false);
	uid = who.identity->uid;
	expected = m->segment[s].row.flags & WIRE_SHM_REMOVED ? STATUS_WITHDRAWN
		   : !m_owns(m, s, who.identity)	      ? STATUS_DENIED
		   : m->segment[s].was_attached		      ? STATUS_WRONG_STATE
							      : 0;
	r = engine_shm_may_place(m->engine, &who, m->segment[s].row.shmid, &real);
	SAME(m, r, expected);
	if (r == 0) {
		engine_shm_placed(real, true);
		m->segment[s].row.flags |= WIRE_SHM_PLACED;
	}
	expected = uid && uid != m->key[k].uid ? STATUS_DENIED
		   : m->key[k].segment >= 0    ? STATUS_WRONG_STATE
					       : 0;
	SAME(m, engine_shm_key_place(m->engine, &who, m->key[k].value, &place), expected);
}

/* Saved, and restored */

struct records {
	struct engine_counters counters;
	struct engine_shm_counters shm_counters;
	struct engine_client_record client[CLIENTS];
	struct engine_segment_record segment[SEGMENTS];
	struct engine_shm_record shm[SEGMENTS];
	struct engine_shm_key_record key[KEYS];
	struct engine_import_record import[IMPORTS];
	uint64_t estates[2000]; /* client by uid */
};

static void save(struct model *m, struct records *r)
{
	engine_counters_save(m->engine, &r->counters);
	engine_shm_counters_save(m->engine, &r->shm_counters);
	EACH(m, client, CLIENTS, c) engine_client_save(m->client[c].real, &r->client[c]);
	EACH(m, key, m->n_keys, k)
	engine_shm_key_save(engine_shm_key_find(m->engine, m->key[k].value), &r->key[k]);
	EACH(m, segment, m->n_segments, s)
	{
		const EngineSegment *real = engine_shm_find(m->engine, m->segment[s].row.shmid);

		engine_segment_save(real, &r->segment[s]);
		engine_shm_save(real, &r->shm[s]);
		r->estates[m->segment[s].charged] = real->owner->id;
	}
	EACH(m, import, IMPORTS, i) engine_import_save(m->import[i].real, &r->import[i]);
}

static void engine_end(struct model *m)
{
	EACH(m, client, CLIENTS, c) engine_client_free(m->client[c].real);
	engine_free(m->engine);
}

/* Without the key of cut_segment, and without cut_client. */
static void restore(struct model *m, const struct records *r, int cut_segment, int cut_client)
{
	EngineShmEstate *estate;
	EngineSegment *real;
	EngineShmKey *key;

	SAME(m, engine_counters_restore(m->engine, &r->counters), 0);
	SAME(m, engine_shm_counters_restore(m->engine, &r->shm_counters), 0);
	EACH(m, client, CLIENTS, c)
	if (c != cut_client)
		SAME(m, engine_client_restore(m->engine, &r->client[c], &m->client[c].real), 0);
	for (uid_t uid = 0; uid < ELEMENTS(r->estates); uid++)
		if (r->estates[uid])
			SAME(m, engine_shm_estate_restore(m->engine, r->estates[uid], uid, &estate),
				0);
	EACH(m, segment, m->n_segments, s)
	SAME(m, engine_segment_restore(m->engine, &r->segment[s], &real), 0);
	EACH(m, key, m->n_keys, k)
	if (m->key[k].segment < 0 || m->key[k].segment != cut_segment)
		SAME(m, engine_shm_key_restore(m->engine, &r->key[k], &key), 0);
	EACH(m, segment, m->n_segments, s)
	SAME(m, engine_shm_restore(m->engine, &r->shm[s], &real), 0);
	EACH(m, import, IMPORTS, i)
	if (m->import[i].client != cut_client)
		SAME(m, engine_import_restore(m->engine, &r->import[i], &m->import[i].real), 0);
	engine_shm_settle(m->engine);
}

/* Sometimes the predecessor was just removing a segment, and its key's record is gone; sometimes a
 * process has gone with it. */
static void step_restart(struct model *m)
{
	struct records *records = calloc(1, sizeof(*records));
	int s = random_below(m, 3) ? -1 : ANY(m, segment, m->n_segments);
	int c = random_below(m, 3) ? -1 : ANY(m, client, CLIENTS);

	assert_non_null(records);
	save(m, records);
	engine_end(m);
	assert_int_equal(engine_new(NODE, &limits, &ops, m, &m->engine), 0);
	restore(m, records, s, c);
	free(records);
	if (c >= 0) {
		EACH(m, import, IMPORTS, i)
		if (m->import[i].client == c) {
			m->import[i].alive = false;
			m->segment[m->import[i].segment].row.n_attached--;
		}
		m_maker_gone(m, c);
		m->client[c].alive = false;
	}
	if (s >= 0) {
		if (m->segment[s].key >= 0)
			m_key_free(m, m->segment[s].key);
		m->segment[s].row.flags |= WIRE_SHM_REMOVED;
	}
	EACH(m, segment, m->n_segments, i) m_review(m, i);
}

static void compare(struct model *m)
{
	EngineSegment *s = NULL;
	uint32_t n = 0, expected = 0;

	engine_check(m->engine);
	EACH(m, segment, m->n_segments, i)
	{
		const EngineSegment *real = engine_shm_find(m->engine, m->segment[i].row.shmid);
		struct wire_shm_row row;

		if (!real)
			print_error("schedule %u, step %u: segment %d\n", m->seed, m->step, i);
		assert_non_null(real);
		engine_shm_row(real, &row);
		if (memcmp(&row, &m->segment[i].row, sizeof(row)))
			print_error("schedule %u, step %u: row %d\n", m->seed, m->step, i);
		assert_memory_equal(&row, &m->segment[i].row, sizeof(row));
		expected++;
	}
	while ((s = engine_segment_next(m->engine, s ? s->instance : 0)))
		n++;
	SAME(m, n, expected);
	for (int k = 0; k < m->n_keys; k++)
		SAME(m, !!engine_shm_key_find(m->engine, m->key[k].value), m->key[k].alive);
}

typedef void (*step_fn)(struct model *m);

static const struct {
	step_fn step;
	uint32_t weight;
} steps[] = {
	{step_client_new, 10},
	{step_client_free, 3},
	{step_foreign_gone, 2},
	{step_key, 20},
	{step_get, 30},
	{step_control, 20},
	{step_attach, 25},
	{step_detach, 12},
	{step_place, 4},
	{step_restart, 3},
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
	struct engine_shm_counters counters = {.secret = seed};

	assert_non_null(m);
	m->seed = seed;
	m->random = seed * 0x9e3779b97f4a7c15ull + 1;
	/* Some schedules see the numbers go round. */
	m->last_key = counters.last_key = seed % 3 ? seed : NUMBERS - 9;
	m->last_shmid = counters.last_shmid = seed % 4 ? 0 : NUMBERS - 5;
	assert_int_equal(engine_new(NODE, &limits, &ops, m, &m->engine), 0);
	assert_int_equal(engine_shm_counters_restore(m->engine, &counters), 0);
	for (int i = 0; i < FOREIGN; i++)
		m->client[CLIENTS + i] = (struct m_client){.alive = true,
			.who = {.pid = 10 + i, .uid = 1000 + i, .gid = 100, .command = "there"},
			.node = THERE,
			.id = 1 + i,
			.serial = 1};
	for (m->step = 0; m->step < STEPS; m->step++) {
		take_step(m);
		compare(m);
	}
	engine_end(m);
	free(m);
}

static void the_registry_does_what_the_model_does(void **state)
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

static int ask_for_key(Engine *engine, struct engine_shm_asker *who)
{
	EngineShmKey *key;

	who->serial++;
	return engine_shm_key_new(engine, who, &key);
}

static void another_node_uses_up_no_keys_of_a_user_here(void **state)
{
	static const struct engine_ops nothing;
	struct engine_identity one = {.pid = 1, .uid = 1000}, other = {.pid = 1, .uid = 1001};
	struct engine_shm_asker here = {.identity = &one, .node = NODE};
	struct engine_shm_asker there = {.identity = &one, .node = NODE + 1, .client = 1};
	EngineClient *client;
	Engine *engine;

	assert_int_equal(engine_new(NODE, &limits, &nothing, NULL, &engine), 0);
	assert_int_equal(engine_client_new(engine, &one, &client), 0);
	here.client = client->id;
	for (uint32_t i = 0; i < ENGINE_SHM_UNUSED_AWAY_MAX; i++)
		assert_int_equal(ask_for_key(engine, &there), 0);
	assert_int_equal(ask_for_key(engine, &there), STATUS_NO_RESOURCES);
	there.identity = &other;
	assert_int_equal(ask_for_key(engine, &there), 0);
	for (uint32_t i = 0; i < ENGINE_SHM_UNUSED_MAX; i++)
		assert_int_equal(ask_for_key(engine, &here), 0);
	assert_int_equal(ask_for_key(engine, &here), STATUS_NO_RESOURCES);
	there.identity = &one;
	engine_shm_maker_gone(engine, there.node, there.client);
	assert_int_equal(ask_for_key(engine, &there), 0);
	engine_client_free(client);
	engine_free(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_node_uses_up_no_keys_of_a_user_here),
		cmocka_unit_test(the_registry_does_what_the_model_does),
	};

	return cmocka_run_group_tests_name("clshm next to a model", tests, NULL, NULL);
}
