/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEST_PEER_WORLD_H
#define CORE_TEST_PEER_WORLD_H

/*
 * What the tests of peers share: an engine on node 3 of the nodes 1 … 5 whose operations are
 * recorded, and a peer made of bare messages.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/peer.h"
#include "wire/shared.h"
#include "wire/status.h"

#define NODE	    3u
#define PEER	    4u
#define PAGE	    4096ull
#define RW	    (WIRE_READ | WIRE_WRITE)
#define ID	    0x400000u
#define MS	    NSEC_PER_MSEC
#define DETECTION   NSEC_PER_SEC
#define INCARNATION 77u /* ours */
#define THEIRS	    99u /* the peer's */

struct peer_world {
	Engine *engine;
	EnginePeer *peer; /* the one of world_up() */
	uint64_t now;
	struct wire_message sent[64];  /* the first */
	uint8_t tail[WIRE_PACKET_MAX]; /* of the last one */
	unsigned int n_sent, n_wanted, n_closed, n_sessions, n_peer_frees, n_guest_frees, n_equips,
		n_granted, n_signals, n_resumed, n_states, n_frees;
	uint64_t last_session;
	unsigned int n_leases;
	bool lease_good;
	uint64_t lease_until;
	bool had_home, had_segment; /* in the last import_state */
	bool last_again, last_data;
	int identity_result, equip_result, data_result;
	bool has_route;
	uint32_t last_total, last_once;
	uint8_t last_grant[16];
	uint64_t serial;
};

static void on_import_state(void *userdata, EngineImport *import)
{
	struct peer_world *w = userdata;

	w->n_states++;
	w->had_home = import->home;
	w->had_segment = import->segment;
}

static void on_import_free(void *userdata, EngineImport *import)
{
	((struct peer_world *)userdata)->n_frees++;
}

static void on_segment(void *userdata, EngineSegment *segment)
{
}

static void on_peer_wanted(void *userdata, EnginePeer *peer)
{
	((struct peer_world *)userdata)->n_wanted++;
}

static void on_peer_send(void *userdata, EnginePeer *peer, const struct wire_message *m)
{
	struct peer_world *w = userdata;
	uint8_t packet[WIRE_PACKET_MAX];

	assert_true(wire_encode(m, packet, sizeof(packet)) > 0);
	if (w->n_sent++ >= ELEMENTS(w->sent))
		return;
	w->sent[w->n_sent - 1] = *m;
	if (m->tail_size)
		memcpy(w->tail, m->tail, m->tail_size);
	w->sent[w->n_sent - 1].tail = w->tail;
}

static void on_peer_close(void *userdata, EnginePeer *peer)
{
	((struct peer_world *)userdata)->n_closed++;
}

static void on_peer_session(void *userdata, EnginePeer *peer)
{
	struct peer_world *w = userdata;

	w->n_sessions++;
	w->last_session = peer->session;
}

static void on_peer_lease(void *userdata, EnginePeer *peer, bool good, uint64_t until)
{
	struct peer_world *w = userdata;

	w->n_leases++;
	w->lease_good = good;
	w->lease_until = until;
}

static void on_peer_free(void *userdata, EnginePeer *peer)
{
	((struct peer_world *)userdata)->n_peer_frees++;
}

static int on_guest_identity(void *userdata, EnginePeer *peer, struct engine_identity *identity)
{
	if (identity->uid == 0)
		identity->uid = 65534;
	return ((struct peer_world *)userdata)->identity_result;
}

static int on_guest_equip(void *userdata, EngineImport *import, bool again, bool data,
	uint8_t ret_key[16], uint8_t ret_grant[16])
{
	struct peer_world *w = userdata;

	w->n_equips++;
	w->last_again = again;
	w->last_data = data;
	memset(ret_key, (int)import->generation, 16);
	if (data)
		memset(ret_grant, 0x77, 16);
	return w->equip_result;
}

static void on_guest_free(void *userdata, EngineClient *guest)
{
	((struct peer_world *)userdata)->n_guest_frees++;
}

static void on_import_granted(void *userdata, EngineImport *import, const uint8_t grant[16])
{
	struct peer_world *w = userdata;

	w->n_granted++;
	memcpy(w->last_grant, grant, 16);
}

static bool on_import_has_route(void *userdata, const EngineImport *import)
{
	return ((struct peer_world *)userdata)->has_route;
}

static void on_import_signal(void *userdata, EngineImport *i, uint32_t total, uint32_t once)
{
	struct peer_world *w = userdata;

	w->n_signals++;
	w->last_total = total;
	w->last_once = once;
}

static void on_guest_resumed(void *userdata, EngineImport *import)
{
	((struct peer_world *)userdata)->n_resumed++;
}

static int on_guest_data(
	void *userdata, EngineClient *guest, uint64_t *ret_done, uint8_t ret_grant[16])
{
	*ret_done = 1234;
	memset(ret_grant, 0x66, 16);
	return ((struct peer_world *)userdata)->data_result;
}

static const struct engine_ops peer_ops = {
	.import_state = on_import_state,
	.import_free = on_import_free,
	.segment_free = on_segment,
	.segment_cells = on_segment,
	.peer_wanted = on_peer_wanted,
	.peer_send = on_peer_send,
	.peer_close = on_peer_close,
	.peer_session = on_peer_session,
	.peer_lease = on_peer_lease,
	.peer_free = on_peer_free,
	.guest_identity = on_guest_identity,
	.guest_equip = on_guest_equip,
	.guest_free = on_guest_free,
	.import_granted = on_import_granted,
	.import_has_route = on_import_has_route,
	.import_signal = on_import_signal,
	.guest_resumed = on_guest_resumed,
	.guest_data = on_guest_data,
};

static const struct engine_limits peer_limits = {
	.max_segment_bytes = 1ull << 40,
	.max_bytes_per_user = 1ull << 50,
	.max_segments_per_user = 1000,
	.max_imports_per_user = 10,
	.max_clients_per_user = 1000,
	.max_imports_per_peer = 6,
	.detection = DETECTION,
};

static inline void peer_world_set_nodes(struct peer_world *w, uint32_t n)
{
	const uint32_t nodes[] = {5, 1, NODE, PEER, 2, 2};

	assert_int_equal(engine_set_nodes(w->engine, nodes, n, w->now), 0);
}

static inline void peer_world_init(struct peer_world *w)
{
	*w = (struct peer_world){.now = 5 * NSEC_PER_SEC};
	assert_int_equal(engine_new(NODE, &peer_limits, &peer_ops, w, &w->engine), 0);
	engine_set_self(w->engine, INCARNATION, 0, 0x5ec7e7);
	peer_world_set_nodes(w, 6);
}

static inline void peer_world_check(struct peer_world *w)
{
	engine_check(w->engine);
	engine_tick(w->engine, w->now);
	assert_true(engine_next(w->engine) > w->now);
	engine_check(w->engine);
}

/* As much time passes, with every tick when it is due. */
static inline void pass(struct peer_world *w, uint64_t ns)
{
	uint64_t until = w->now + ns;

	for (;;) {
		peer_world_check(w);
		if (engine_next(w->engine) > until)
			break;
		w->now = engine_next(w->engine);
	}
	w->now = until;
	peer_world_check(w);
}

static inline struct wire_peer_hello hello_of(uint32_t node, uint64_t session)
{
	return (struct wire_peer_hello){.major = WIRE_MAJOR,
		.minor = WIRE_MINOR,
		.node = node,
		.to = NODE,
		.incarnation = THEIRS,
		.session = session,
		.peer_incarnation = session ? INCARNATION : 0,
		.detection = DETECTION};
}

static inline EnginePeer *peer_of(struct peer_world *w, uint32_t node)
{
	EnginePeer *p = NULL;

	assert_int_equal(engine_peer_get(w->engine, node, &p), 0);
	return p;
}

/* The peer dials with this session. */
static inline void world_up_with(struct peer_world *w, uint64_t session)
{
	struct wire_peer_hello hello = hello_of(PEER, session);
	struct wire_peer_hello_reply reply;

	w->peer = peer_of(w, PEER);
	assert_int_equal(engine_peer_hello(w->peer, &hello, w->now, &reply), 0);
	assert_int_equal(reply.resumed, session != 0);
	engine_peer_up(w->peer, w->now);
	engine_check(w->engine);
}

static inline void world_up(struct peer_world *w)
{
	world_up_with(w, 0);
	w->n_sent = 0;
}

/* One packet of the peer's. */
static inline int hear(struct peer_world *w, struct wire_message m)
{
	int r;

	if (!(m.type & WIRE_REPLY_BIT))
		m.serial = ++w->serial;
	r = engine_peer_receive(w->peer, &m, w->now);
	engine_check(w->engine);
	return r;
}

/* The only message that was sent since. */
static inline const struct wire_message *said(struct peer_world *w, uint32_t type)
{
	assert_int_equal(w->n_sent, 1);
	w->n_sent = 0;
	assert_int_equal(w->sent[0].type, type);
	return &w->sent[0];
}

static inline EngineClient *local_client(struct peer_world *w, uid_t uid)
{
	struct engine_identity identity = {
		.pid = 11, .uid = uid, .gid = 100, .n_groups = 1, .groups = {7}, .command = "me"};
	EngineClient *c = NULL;

	assert_int_equal(engine_client_new(w->engine, &identity, &c), 0);
	return c;
}

static inline EngineSegment *local_segment(EngineClient *c, uint32_t mode, uint32_t id)
{
	EngineSegment *s = NULL;

	assert_int_equal(engine_segment_create(c, WIRE_SPACE_RSM, PAGE, mode, 0, 0, &s), 0);
	assert_int_equal(engine_segment_publish(s, id, NULL, 0, &id), 0);
	return s;
}

static inline int try_remote(EngineClient *c, uint32_t node, EngineImport **ret)
{
	return engine_import_connect(c, WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, node, ID, RW, ret);
}

static inline EngineImport *remote(EngineClient *c, uint32_t node)
{
	EngineImport *i = NULL;

	assert_int_equal(try_remote(c, node, &i), 0);
	return i;
}

/* The home's answer. */
static inline struct wire_message grant_of(const EngineImport *i)
{
	return (struct wire_message){.type = WIRE_PEER_CONNECT_REPLY,
		.peer_connect_reply = {.client = i->client->id,
			.index = i->index,
			.generation = i->generation,
			.instance = 55,
			.size = 2 * PAGE,
			.rights = i->rights,
			.flags = ~(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? WIRE_SEGMENT_BIG_ENDIAN
									  : 0u),
			.key = {1, 2, 3},
			.grant = {4, 5, 6}}};
}

static inline EngineImport *connected_remote(struct peer_world *w, EngineClient *c)
{
	EngineImport *i = remote(c, PEER);

	said(w, WIRE_PEER_CONNECT);
	assert_int_equal(hear(w, grant_of(i)), 0);
	engine_import_ready(i);
	assert_int_equal(i->state, WIRE_IMPORT_CONNECTED);
	return i;
}

/* A process of the peer asks. */
static inline int ask(struct peer_world *w, uint64_t client, uint32_t index, uint32_t generation,
	uint32_t id, uint32_t rights, uid_t uid)
{
	const struct engine_identity who = {
		.pid = 5, .uid = uid, .gid = 200, .n_groups = 2, .groups = {201, 100}};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT,
		.peer_connect = {.client = client,
			.index = index,
			.generation = generation,
			.space = WIRE_SPACE_RSM,
			.id = id,
			.rights = rights,
			.data = 1},
		.tail = tail};

	m.tail_size = engine_identity_encode(&who, tail);
	return hear(w, m);
}

/* What it is answered. */
static inline uint32_t asked(struct peer_world *w, uint64_t client, uint32_t index,
	uint32_t generation, uint32_t rights, uid_t uid)
{
	const struct wire_message *m;

	w->n_sent = 0;
	assert_int_equal(ask(w, client, index, generation, ID, rights, uid), 0);
	m = said(w, WIRE_PEER_CONNECT_REPLY);
	assert_int_equal(m->serial, w->serial);
	assert_int_equal(m->peer_connect_reply.client, client);
	assert_int_equal(m->peer_connect_reply.index, index);
	assert_int_equal(m->peer_connect_reply.generation, generation);
	return m->status;
}

static inline EngineImport *guest_import(struct peer_world *w, uint64_t client, uint32_t index)
{
	EngineClient *guest = engine_guest_find(w->peer, client);

	return guest ? engine_import_get(guest, index) : NULL;
}

/* Clients in c (NULL ends them) are freed first; the engine keeps nothing. */
static inline void peer_world_deinit(struct peer_world *w, EngineClient *const c[])
{
	engine_check(w->engine);
	w->n_sent = 0;
	while (c && *c) {
		engine_client_free(*c++);
		engine_check(w->engine);
	}
	w->n_sent = 0;
	engine_peers_leave(w->engine, w->now);
	assert_int_equal(engine_counts(w->engine).n_clients, 0);
	engine_free(w->engine);
}

#define peer_world_end(w, ...) peer_world_deinit(w, (EngineClient *const[]){__VA_ARGS__, NULL})

#endif
