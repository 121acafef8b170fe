/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/group.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "api/sisci/codes.h"
#include "api/sisci/group-pump.h"
#include "api/sisci/node.h"
#include "api/sisci/work.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/import.h"
#include "client/remote.h"
#include "wire/status.h"

/*
 * Members are imports, one a node. Copies and DMA go to each of them. A map is memory of the
 * writer's own, which the work thread compares with what it was (group-pump.h) and sends on; where
 * the only member is this node's its memory is the map.
 *
 * Nodes that have no member are asked again now and then; whoever joins gets what is written from
 * then on.
 */

#define MEMBERS_MAX  64u
#define LOOK_NS	     (100 * NSEC_PER_MSEC) /* for new members; longer … */
#define LOOK_SHARE   20u		   /* … times as long as the node took to answer, … */
#define LOOK_MOST_NS (30 * NSEC_PER_SEC)   /* … but not longer than this */

struct member {
	uint32_t node;	  /* the engine's number */
	cw_handle import; /* 0: not a member at present */
	struct cw_import *peek;
	uint64_t next_look; /* CLOCK_MONOTONIC */
};

struct group {
	uint32_t id;
	uint64_t size;
	pthread_mutex_t lock; /* of what follows */
	uint32_t n;
	struct member members[MEMBERS_MAX];
	uint8_t *map;		 /* NULL: not mapped */
	struct group_pump *pump; /* of the map; NULL: it is the only member's memory */
	struct work_tick tick;
	uint64_t next_look;
};

/* members */

static void member_leave(struct member *m)
{
	cw_import_put(m->peek);
	(void)cw_import_disconnect(m->import);
	m->import = 0;
	m->peek = NULL;
}

static bool is_alive(struct member *m)
{
	if (m->import && cw_import_ready(m->peek))
		member_leave(m);
	return m->import;
}

static void look_for(struct group *g, struct member *m)
{
	uint32_t controller = m->node ? WIRE_CONTROLLER_TCP : WIRE_CONTROLLER_LOOPBACK;
	uint64_t begin = clock_now(), end;
	cw_handle import;
	int r;

	r = cw_import_connect(WIRE_SPACE_SISCI_GROUP, controller, m->node, g->id,
		WIRE_READ | WIRE_WRITE, &import);
	end = clock_now();
	m->next_look = end + MAX(LOOK_NS, MIN((end - begin) * LOOK_SHARE, LOOK_MOST_NS));
	if (r)
		return;
	m->import = import;
	m->peek = cw_import_ref(import);
}

static void look_for_members(struct group *g)
{
	uint64_t now = clock_now();

	for (uint32_t i = 0; i < g->n; i++)
		if (!is_alive(&g->members[i]) && now >= g->members[i].next_look)
			look_for(g, &g->members[i]);
	g->next_look = clock_now() + LOOK_NS;
}

static uint32_t count_members(struct group *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n; i++)
		n += is_alive(&g->members[i]);
	return n;
}

/* This node is the first in the list. */
static struct member *local_member(struct group *g)
{
	return is_alive(&g->members[0]) && !g->members[0].peek->remote ? &g->members[0] : NULL;
}

/* connect */

static sci_error_t list_nodes(struct group *g)
{
	uint32_t nodes[MEMBERS_MAX];
	sci_error_t e = node_list(nodes, MEMBERS_MAX, &g->n);

	for (uint32_t i = 0; i < g->n && !e; i++)
		g->members[i].node = nodes[i];
	return e;
}

static void set_size(struct group *g)
{
	g->size = UINT64_MAX;
	for (uint32_t i = 0; i < g->n; i++)
		if (g->members[i].import)
			g->size = MIN(g->size, g->members[i].peek->size);
}

sci_error_t group_connect(uint32_t id, struct group **ret_group, uint64_t *ret_size)
{
	struct group *g = calloc(1, sizeof(*g));
	sci_error_t e;

	if (!g)
		return SCI_ERR_NOSPC;
	g->id = id;
	pthread_mutex_init(&g->lock, NULL);
	e = list_nodes(g);
	if (!e)
		look_for_members(g);
	if (!e && count_members(g) == 0)
		e = SCI_ERR_NO_SUCH_SEGMENT;
	if (e) {
		group_free(g);
		return e;
	}
	set_size(g);
	*ret_group = g;
	*ret_size = g->size;
	return SCI_ERR_OK;
}

void group_free(struct group *g)
{
	if (!g)
		return;
	if (g->tick.run)
		work_tick_remove(&g->tick);
	group_pump_free(g->pump);
	for (uint32_t i = 0; i < g->n; i++)
		if (g->members[i].import)
			member_leave(&g->members[i]);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* data */

/* span: what goes to other nodes is not waited for. */
static int write_to(struct member *m, uint64_t offset, const void *from, uint64_t n, bool span)
{
	struct cw_import *import;
	uint8_t *base;
	int r;

	if (!range_within(offset, n, m->peek->size))
		return 0;
	if (m->peek->remote) {
		import = cw_enter(m->import, CW_IMPORT_SEGMENT);
		return import ? cw_remote_put(import, offset, from, n, 0, span) : STATUS_REVOKED;
	}
	r = cw_import_base(m->peek, &base);
	if (!r)
		group_pump_store(base + offset, from, n);
	return r;
}

static sci_error_t write_locked(struct group *g, uint64_t offset, const void *from, uint64_t n)
{
	uint32_t arrived = 0;

	for (uint32_t i = 0; i < g->n; i++)
		if (is_alive(&g->members[i]))
			arrived += write_to(&g->members[i], offset, from, n, false) == 0;
	if (g->pump)
		group_pump_note(g->pump, offset, from, n);
	return arrived ? SCI_ERR_OK : SCI_ERR_TRANSFER_FAILED;
}

sci_error_t group_write(struct group *g, uint64_t offset, const void *from, uint64_t size)
{
	sci_error_t e;

	pthread_mutex_lock(&g->lock);
	e = write_locked(g, offset, from, size);
	pthread_mutex_unlock(&g->lock);
	return e;
}

static int read_from(struct member *m, uint64_t offset, void *to, uint64_t n)
{
	struct cw_import *import;
	uint8_t *base;
	int r;

	if (m->peek->remote) {
		import = cw_enter(m->import, CW_IMPORT_SEGMENT);
		return import ? cw_remote_get(import, offset, to, n, 0) : STATUS_REVOKED;
	}
	r = cw_import_base(m->peek, &base);
	if (!r)
		memcpy(to, base + offset, n);
	return r;
}

static sci_error_t read_locked(struct group *g, uint64_t offset, void *to, uint64_t n)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (is_alive(&g->members[i]) && read_from(&g->members[i], offset, to, n) == 0)
			return SCI_ERR_OK;
	return SCI_ERR_TRANSFER_FAILED;
}

sci_error_t group_read(struct group *g, uint64_t offset, void *to, uint64_t size)
{
	sci_error_t e;

	pthread_mutex_lock(&g->lock);
	e = read_locked(g, offset, to, size);
	pthread_mutex_unlock(&g->lock);
	return e;
}

bool group_is_over(struct group *g)
{
	bool over;

	pthread_mutex_lock(&g->lock);
	over = count_members(g) == 0;
	pthread_mutex_unlock(&g->lock);
	return over;
}

/* the map */

static void send_change(void *data, uint64_t offset, const void *from, uint64_t n)
{
	struct group *g = data;

	for (uint32_t i = 0; i < g->n; i++)
		if (g->members[i].import)
			(void)write_to(&g->members[i], offset, from, n, true);
}

static void flush_members(struct group *g)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (g->members[i].import && g->members[i].peek->remote)
			cw_remote_flush(g->members[i].peek);
}

static uint64_t run_tick(struct work_tick *tick)
{
	struct group *g = container_of(tick, struct group, tick);
	struct member *local;
	uint8_t *base = NULL;
	uint64_t next;

	pthread_mutex_lock(&g->lock);
	if (clock_now() >= g->next_look)
		look_for_members(g);
	local = local_member(g);
	if (local && cw_import_base(local->peek, &base))
		base = NULL;
	next = group_pump_run(g->pump, base, send_change, g);
	flush_members(g);
	pthread_mutex_unlock(&g->lock);
	return next;
}

static sci_error_t map_locked(struct group *g)
{
	sci_error_t e;
	int r;

	e = group_pump_new(g->size, &g->pump, &g->map);
	if (e)
		return e;
	/* what a store does not change is not sent, so it begins as the members' */
	if (!read_locked(g, 0, g->map, g->size))
		group_pump_note(g->pump, 0, g->map, g->size);
	g->tick.run = run_tick;
	r = work_tick_add(&g->tick);
	if (r < 0) {
		g->tick.run = NULL;
		group_pump_free(g->pump);
		g->pump = NULL;
		g->map = NULL;
	}
	return code_of(CODE_MAP, r);
}

sci_error_t group_map(struct group *g, uint8_t **ret_base)
{
	sci_error_t e = SCI_ERR_OK;

	pthread_mutex_lock(&g->lock);
	if (!g->map)
		e = map_locked(g);
	if (!e)
		*ret_base = g->map;
	pthread_mutex_unlock(&g->lock);
	return e;
}
