/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/client-memory.h"
#include "daemon/coherent.h"
#include "daemon/log.h"
#include "memory/memfd.h"
#include "wire/status.h"

/* Exports: what their owners ask. */

static uint64_t time_of_day(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static bool already_done(const ManagerClient *c, const EngineSegment *segment, uint64_t serial)
{
	return manager_client_repeats(c, serial) && manager_segment(segment)->serial == serial;
}

static EngineSegment *find_created(ManagerClient *c, uint64_t serial)
{
	EngineSegment *segment;
	uint32_t i;

	if (manager_client_repeats(c, serial))
		idtable_for_each (&c->engine->segments, i, segment)
			if (already_done(c, segment, serial))
				return segment;
	return NULL;
}

/* The change belongs to this request; into the journal. */
static void segment_changed(ManagerClient *c, EngineSegment *segment, uint64_t serial)
{
	manager_segment(segment)->serial = serial;
	manager_segment_save(c->manager, segment);
}

static int reply_memory(const EngineSegment *segment, struct reply *a)
{
	int fd, r = memfd_reopen(manager_segment(segment)->memory, &fd);

	if (r == 0)
		reply_add_fd(a, fd);
	return r;
}

/* That of a segment of the same client, wherever that has it. */
static int same_memory(
	ManagerClient *c, const struct wire_segment_create *q, struct client_memory *ret_memory)
{
	EngineSegment *same = engine_segment_get(c->engine, q->same - 1);
	ManagerSegment *s;
	int r;

	/* the new one has no such object yet */
	if (!same || !manager_segment(same) || same->size != q->size)
		return STATUS_BAD_HANDLE;
	s = manager_segment(same);
	/* what the new one's maps did would be watched by nobody */
	if (s->home) {
		log_limited("client %d exports memory once more that other nodes map; that is "
			    "refused",
			c->identity.pid);
		return STATUS_NO_RESOURCES;
	}
	r = memfd_reopen(s->memory, &ret_memory->fd);
	ret_memory->offset = s->offset;
	ret_memory->shmid = s->shmid;
	ret_memory->foreign = s->foreign;
	return r;
}

static int segment_memory(
	ManagerClient *c, const struct wire_segment_create *q, struct client_memory *ret_memory)
{
	int r = 0;

	*ret_memory = (struct client_memory){.fd = -1, .shmid = -1};
	if (q->same)
		return same_memory(c, q, ret_memory);
	if (q->address)
		r = client_memory_open(c, q->address, q->size, ret_memory);
	if (r == 0 && ret_memory->fd < 0)
		r = memfd_new("causeway", q->size, &ret_memory->fd);
	return r;
}

/* The memory is stored before there is a record of the segment. */
static int segment_equip(ManagerClient *c, const struct wire_segment_create *q,
	EngineSegment *segment, uint64_t serial)
{
	struct client_memory memory;
	Manager *m = c->manager;
	ManagerSegment *s;
	int r;

	coherent_export_begin(segment);
	r = client_page_begin_export(c->maps, segment->index);
	if (r == 0)
		r = segment_memory(c, q, &memory);
	if (r)
		return r;
	r = manager_segment_new(segment, &memory.fd, serial, &s);
	fd_close(memory.fd);
	if (r == 0)
		r = manager_save_counters(m);
	if (r < 0)
		return r;
	s->foreign = memory.foreign;
	s->offset = memory.offset;
	s->shmid = memory.shmid;
	if (q->same)
		s->family = manager_segment(engine_segment_get(c->engine, q->same - 1))->family;
	keeper_link_store(m->link, KEEP_MEMORY, segment->instance, s->memory);
	return manager_segment_save(m, segment);
}

static int segment_make(ManagerClient *c, const struct wire_segment_create *q, uint64_t serial,
	EngineSegment **ret_segment)
{
	EngineSegment *segment;
	int r;

	if (q->mode & ~0777u)
		return STATUS_BAD_REQUEST;
	/* Indices are handed out lowest first. */
	r = status_page_reserve(&c->status, 0, c->engine->segments.n_used + 1);
	if (r < 0)
		return r;
	r = engine_segment_create(
		c->engine, q->space, q->size, q->mode, q->flags, time_of_day(), &segment);
	if (r)
		return r;
	r = segment_equip(c, q, segment, serial);
	if (r) {
		engine_segment_destroy(segment);
		return r;
	}
	*ret_segment = segment;
	return 0;
}

int request_segment_create(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment = find_created(c, q->message.serial);
	int r = 0;

	if (!segment)
		r = segment_make(c, &q->message.segment_create, q->message.serial, &segment);
	if (r)
		return r;
	r = reply_memory(segment, a);
	if (r < 0) {
		engine_segment_destroy(segment);
		return r;
	}
	a->message.segment_create_reply.segment = segment->index;
	a->message.segment_create_reply.instance = segment->instance;
	return 0;
}

/* n records from the tail, which must hold nothing else. A list that is too long is left for the
 * engine to refuse, by its length, after it has looked at the segment's state. */
static int read_access(
	const struct wire_message *m, uint32_t n, struct wire_access access[ENGINE_ACCESS_MAX])
{
	const uint8_t *at = m->tail, *end = at + m->tail_size;

	if (n > ENGINE_ACCESS_MAX)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_access(at, end, &access[i]);
		if (!at)
			return STATUS_BAD_REQUEST;
	}
	return at == end ? 0 : STATUS_BAD_REQUEST;
}

int request_segment_publish(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_publish *p = &q->message.segment_publish;
	EngineSegment *segment = engine_segment_get(c->engine, p->segment);
	struct wire_access access[ENGINE_ACCESS_MAX];
	uint32_t id;
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (!already_done(c, segment, q->message.serial)) {
		r = read_access(&q->message, p->n_access, access);
		if (r == 0)
			r = engine_segment_publish(segment, p->id, access, p->n_access, &id);
		if (r)
			return r;
		manager_save_counters(c->manager);
		segment_changed(c, segment, q->message.serial);
	}
	a->message.segment_publish_reply.id = segment->id;
	return 0;
}

int request_segment_republish(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_republish *p = &q->message.segment_republish;
	EngineSegment *segment = engine_segment_get(c->engine, p->segment);
	struct wire_access access[ENGINE_ACCESS_MAX];
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	r = read_access(&q->message, p->n_access, access);
	if (r == 0)
		r = engine_segment_republish(segment, access, p->n_access);
	if (r)
		return r;
	segment_changed(c, segment, q->message.serial);
	return 0;
}

static int segment_unpublish(ManagerClient *c, EngineSegment *segment, uint64_t serial)
{
	bool may_move = manager_segment_may_move(segment), shared;
	int r;

	/* imports of the exporter's own are nobody else's, unless he has forked */
	shared = engine_segment_shared(segment) ||
		 (segment->n_imports && client_page_forked(c->maps));
	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	r = request_recall(c, segment);
	if (r)
		return r;
	coherent_home_free(c->manager, segment);
	if (shared && !may_move)
		manager_segment_leave_importers(c->manager, segment);
	/* Once imports are revoked it cannot be told any more. */
	manager_segment(segment)->moved = shared && may_move;
	manager_segment_save(c->manager, segment);
	return manager_segment_unpublish(c, segment, serial);
}

int request_segment_unpublish(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment =
		engine_segment_get(c->engine, q->message.segment_unpublish.segment);
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (!already_done(c, segment, q->message.serial)) {
		r = segment_unpublish(c, segment, q->message.serial);
		if (r)
			return r;
	}
	a->message.segment_unpublish_reply.moved = manager_segment(segment)->moved;
	return manager_segment(segment)->moved ? reply_memory(segment, a) : 0;
}

int request_segment_destroy(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment = engine_segment_get(c->engine, q->message.segment_destroy.segment);
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	r = request_recall(c, segment);
	if (r)
		return r;
	manager_client_announce(c, WIRE_SEGMENT_DESTROY, segment->index, segment->instance);
	engine_segment_destroy(segment);
	return 0;
}

int request_segment_memory(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment = engine_segment_get(c->engine, q->message.segment_memory.segment);

	return segment ? reply_memory(segment, a) : STATUS_BAD_HANDLE;
}
