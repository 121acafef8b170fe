/* SPDX-License-Identifier: Apache-2.0 */

/* Every allocation that peers, guests and remote imports need is made to fail (the linker sends
 * calloc and reallocarray here), and what a peer can make this node allocate. */

#include "core/test-peer-world.h"

#include <stdlib.h>

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

/* What must be the same after a failure. A peer that was made is forgotten by the next tick. */
struct picture {
	struct engine_counts counts;
	uint32_t n_nodes;
	unsigned int n_states, n_sent;
};

static struct picture picture_of(const struct peer_world *w)
{
	return (struct picture){.counts = engine_counts(w->engine),
		.n_nodes = engine_count_nodes(w->engine),
		.n_states = w->n_states,
		.n_sent = w->n_sent};
}

static void check_failure(struct peer_world *w, const struct picture *before, int r)
{
	struct picture now = picture_of(w);

	assert_int_equal(r, -ENOMEM);
	assert_int_equal(now.counts.n_clients, before->counts.n_clients);
	assert_int_equal(now.counts.n_imports, before->counts.n_imports);
	assert_int_equal(now.n_nodes, before->n_nodes);
	assert_int_equal(now.n_states, before->n_states);
	assert_int_equal(now.n_sent, before->n_sent);
	engine_check(w->engine);
}

/* As in test-engine-memory.c: the first, second, … allocation fails, each number twice, since a
 * table that grew stays large. */
#define FAILS_CLEANLY(w, call)                                                                     \
	do {                                                                                       \
		struct picture before_ = picture_of(w);                                            \
		unsigned int tries_ = 0;                                                           \
		int r_;                                                                            \
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
	const uint32_t nodes[] = {1, 2, PEER};
	struct peer_world w;
	EngineClient *c;
	EngineImport *i;
	EnginePeer *p;

	peer_world_init(&w);
	c = local_client(&w, 1000);
	FAILS_CLEANLY(&w, engine_set_nodes(w.engine, nodes, 3, w.now));
	FAILS_CLEANLY(&w, engine_peer_get(w.engine, PEER, &p));
	FAILS_CLEANLY(&w, engine_import_connect(c, 1, WIRE_CONTROLLER_TCP, 2, ID, RW, &i));
	for (uint32_t n = 1; n < peer_limits.max_imports_per_user; n++) {
		FAILS_CLEANLY(
			&w, engine_import_connect(c, 1, WIRE_CONTROLLER_TCP, PEER, ID, RW, &i));
		assert_int_equal(i->index, n);
		assert_int_equal(i->generation, 1);
	}
	peer_world_end(&w, c);
}

/* -ENOMEM if the peer is told so. */
static int asked_in_need(struct peer_world *w, uint64_t client, uint32_t index)
{
	uint32_t status = asked(w, client, index, 1, RW, 1000);

	w->n_sent = 0;
	return status == STATUS_NO_MEMORY ? -ENOMEM : (int)status;
}

static void a_guest_for_whom_there_is_no_memory_is_told_so(void **state)
{
	struct engine_limits limits = peer_limits;
	struct peer_world w = {.now = NSEC_PER_SEC};
	EngineClient *c;
	EngineSegment *s;

	limits.max_imports_per_peer = 100;
	assert_int_equal(engine_new(NODE, &limits, &peer_ops, &w, &w.engine), 0);
	peer_world_set_nodes(&w, 6);
	world_up(&w);
	c = local_client(&w, 1000);
	s = local_segment(c, 0666, ID);
	/* Far enough that the table of cells must grow at some time. */
	for (uint32_t n = 0; n < 60; n++) {
		FAILS_CLEANLY(&w, asked_in_need(&w, 1 + n / 2, 65535 - n % 2));
		assert_int_equal(s->n_imports, n + 1);
	}
	peer_world_end(&w, c);
}

static void a_failed_allocation_does_not_harm_a_restore(void **state)
{
	struct engine_peer_record peer;
	struct engine_client_record client, guest;
	struct engine_segment_record segment;
	struct engine_import_record import, guest_import_, waiting;
	struct peer_world w;
	EngineClient *c, *g;
	EngineSegment *s;
	EngineImport *i;

	peer_world_init(&w);
	world_up(&w);
	c = local_client(&w, 1000);
	s = local_segment(c, 0666, ID);
	assert_int_equal(asked(&w, 1, 7, 3, RW, 1000), 0);
	w.n_sent = 0;
	engine_peer_save(w.peer, &peer);
	engine_client_save(c, &client);
	engine_client_save(engine_guest_find(w.peer, 1), &guest);
	engine_segment_save(s, &segment);
	engine_import_save(guest_import(&w, 1, 7), &guest_import_);
	engine_import_save(connected_remote(&w, c), &import);
	engine_import_save(remote(c, 5), &waiting);
	peer_world_end(&w, c);

	peer_world_init(&w);
	FAILS_CLEANLY(&w, engine_peer_restore(w.engine, &peer, w.now, &w.peer));
	FAILS_CLEANLY(&w, engine_client_restore(w.engine, &client, &c));
	FAILS_CLEANLY(&w, engine_client_restore(w.engine, &guest, &g));
	assert_int_equal(engine_segment_restore(w.engine, &segment, &s), 0);
	FAILS_CLEANLY(&w, engine_import_restore(w.engine, &guest_import_, &i));
	FAILS_CLEANLY(&w, engine_import_restore(w.engine, &import, &i));
	FAILS_CLEANLY(&w, engine_import_restore(w.engine, &waiting, &i));
	peer_world_end(&w, c);
}

#define MANY 20000u

/* Whatever numbers it chooses. */
static void a_peer_can_use_so_much_memory_and_no_more(void **state)
{
	struct engine_limits limits = peer_limits;
	struct peer_world w = {.now = NSEC_PER_SEC};
	uint64_t started;
	EngineClient *c;

	limits.max_imports_per_peer = MANY;
	assert_int_equal(engine_new(NODE, &limits, &peer_ops, &w, &w.engine), 0);
	engine_set_self(w.engine, INCARNATION, 0, 0x5ec7e7);
	peer_world_set_nodes(&w, 6);
	world_up(&w);
	c = local_client(&w, 1000);
	local_segment(c, 0666, ID);
	allocated = 0;
	started = clock_now();
	for (uint32_t n = 0; n < MANY; n++) {
		struct engine_identity who = {.uid = 1000};
		uint8_t tail[ENGINE_IDENTITY_SIZE];
		struct wire_message m = {.type = WIRE_PEER_CONNECT,
			.peer_connect = {.client = (uint64_t)(n + 1) << 40,
				.index = WIRE_CLIENT_IMPORTS - 1,
				.generation = UINT32_MAX,
				.space = WIRE_SPACE_RSM,
				.id = ID},
			.tail = tail};

		m.tail_size = engine_identity_encode(&who, tail);
		assert_int_equal(engine_peer_receive(w.peer, &m, w.now), 0);
	}
	assert_int_equal(w.peer->account.n_imports, MANY);
	print_message("%zu bytes a guest with its import, %llu ns each\n", allocated / MANY,
		(unsigned long long)((clock_now() - started) / MANY));
	assert_true(allocated / MANY < 1500);
	peer_world_end(&w, c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_allocation_changes_nothing),
		cmocka_unit_test(a_guest_for_whom_there_is_no_memory_is_told_so),
		cmocka_unit_test(a_failed_allocation_does_not_harm_a_restore),
		cmocka_unit_test(a_peer_can_use_so_much_memory_and_no_more),
	};

	return cmocka_run_group_tests_name("peers, memory", tests, NULL, NULL);
}
