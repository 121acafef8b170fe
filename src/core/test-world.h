/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEST_WORLD_H
#define CORE_TEST_WORLD_H

/* What the tests of the engine share: an engine on node 3 whose operations are counted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "core/engine.h"
#include "wire/status.h"

#define NODE 3u
#define PAGE 4096ull
#define RW   (WIRE_READ | WIRE_WRITE)

struct world {
	Engine *engine;
	unsigned int n_states, n_frees, n_segment_frees, n_cell_changes;
	uint32_t last_state;		/* of the last import_state */
	const EngineSegment *last_lost; /* import->segment then */
};

static void count_state(void *userdata, EngineImport *import)
{
	struct world *w = userdata;

	w->n_states++;
	w->last_state = import->state;
	w->last_lost = import->segment;
}

static void count_free(void *userdata, EngineImport *import)
{
	((struct world *)userdata)->n_frees++;
}

static void count_segment_free(void *userdata, EngineSegment *segment)
{
	((struct world *)userdata)->n_segment_frees++;
}

static void count_cells(void *userdata, EngineSegment *segment)
{
	((struct world *)userdata)->n_cell_changes++;
}

static const struct engine_ops world_ops = {
	.import_state = count_state,
	.import_free = count_free,
	.segment_free = count_segment_free,
	.segment_cells = count_cells,
};

static const struct engine_limits world_limits = {
	.max_segment_bytes = 1ull << 40,
	.max_bytes_per_user = 1ull << 50,
	.max_segments_per_user = 1000000,
	.max_imports_per_user = 1000000,
	.max_clients_per_user = 1000000,
};

static inline void world_init(struct world *w, const struct engine_limits *limits)
{
	*w = (struct world){};
	assert_int_equal(
		engine_new(NODE, limits ? limits : &world_limits, &world_ops, w, &w->engine), 0);
}

/* Clients in c (NULL ends them) are freed first. */
static inline void world_deinit(struct world *w, EngineClient *const c[])
{
	engine_check(w->engine);
	while (c && *c) {
		engine_client_free(*c++);
		engine_check(w->engine);
	}
	assert_int_equal(engine_counts(w->engine).n_clients, 0);
	engine_free(w->engine);
}

#define world_end(w, ...) world_deinit(w, (EngineClient *const[]){__VA_ARGS__, NULL})

static inline EngineClient *client_of(struct world *w, uid_t uid, gid_t gid)
{
	struct engine_identity identity = {.pid = 1, .uid = uid, .gid = gid, .command = "test"};
	EngineClient *c = NULL;

	assert_int_equal(engine_client_new(w->engine, &identity, &c), 0);
	return c;
}

static inline EngineSegment *segment_of(EngineClient *c, uint64_t pages, uint32_t mode)
{
	EngineSegment *s = NULL;

	assert_int_equal(engine_segment_create(c, WIRE_SPACE_RSM, pages * PAGE, mode, 0, 0, &s), 0);
	return s;
}

/* One published in the space rsm without an access list. */
static inline EngineSegment *published_of(EngineClient *c, uint32_t mode, uint32_t id)
{
	EngineSegment *s = segment_of(c, 1, mode);

	assert_int_equal(engine_segment_publish(s, id, NULL, 0, &id), 0);
	return s;
}

static inline int try_connect(EngineClient *c, uint32_t id, uint32_t rights, EngineImport **ret)
{
	return engine_import_connect(
		c, WIRE_SPACE_RSM, WIRE_CONTROLLER_LOOPBACK, NODE, id, rights, ret);
}

static inline EngineImport *connected(EngineClient *c, uint32_t id, uint32_t rights)
{
	EngineImport *i = NULL;

	assert_int_equal(try_connect(c, id, rights, &i), 0);
	return i;
}

#endif
