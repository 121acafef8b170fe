/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/manager-segment.h"
#include "daemon/shm-record.h"
#include "memory/memfd.h"
#include "wire/status.h"

#define LIST_LOOKS 4096u /* segments looked at for one packet */

/* What there is once */

static uint32_t random_number(uint64_t random)
{
	return WIRE_SHM_NUMBER(random);
}

static int begin_counters(Manager *m)
{
	struct engine_shm_counters counters = {0};
	uint64_t random[3];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	counters.secret = random[0];
	counters.last_key = random_number(random[1]);
	counters.last_shmid = random_number(random[2]);
	return engine_shm_counters_restore(m->engine, &counters);
}

int shm_begin(Manager *m)
{
	const struct config *config = m->options.config;

	m->shm = calloc(1, sizeof(*m->shm));
	if (!m->shm)
		return -ENOMEM;
	m->shm->settings = (struct shm_settings){
		.max_pages = config->max_pages, .timeout = config->call_timeout};
	return begin_counters(m);
}

void shm_leave(const Manager *m)
{
	EngineSegment *s = NULL;
	uint64_t bytes = 0;
	uint32_t n = 0;

	while ((s = engine_segment_next(m->engine, s ? s->instance : 0))) {
		n += s->shm != NULL;
		bytes += s->shm ? s->size : 0;
	}
	if (n > 0)
		log_warning("the node ends, and with it %u segment%s of clshm, %" PRIu64 " bytes",
			n, n == 1 ? "" : "s", bytes);
}

const struct shm_settings *shm_settings(const Manager *m)
{
	return &m->shm->settings;
}

uint64_t shm_max_pages(const Manager *m)
{
	uint64_t configured = m->shm->settings.max_pages;

	return configured ? configured : engine_limits(m->engine)->max_bytes_per_user / SHM_PAGE;
}

void shm_changes_count(Manager *m)
{
	atomic_fetch_add(&m->node_page->shm_changes, 1);
}

/* As time(2) has it, with which programs compare. */
uint64_t shm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Keys */

static int serve_key(Manager *m, const struct engine_shm_asker *asker, struct reply *a)
{
	EngineShmKey *key;
	int r;

	if (m->shm->settings.shut_down)
		return STATUS_NO_DAEMON;
	r = engine_shm_key_new(m->engine, asker, &key);
	if (r)
		return r;
	if (key->slot == JOURNAL_NO_SLOT) {
		r = shm_save_node(m);
		if (r == 0)
			r = shm_save_key(m, key);
		if (r < 0) {
			engine_shm_key_free(m->engine, key);
			return r;
		}
	}
	a->message.shm_key_reply.key = engine_shm_key_value(m->engine, key);
	return 0;
}

/* Segments */

/* The memory, and what its key says of it, before anybody can know of it. */
static int equip_memory(Manager *m, EngineSegment *segment)
{
	const struct engine_shm_place *place = &segment->shm->key->place;
	_cleanup_close_ int memory = -1;
	ManagerSegment *s;
	int r;

	r = memfd_new("causeway-shm", segment->size, &memory);
	if (r == 0)
		r = manager_segment_new(segment, &memory, 0, &s);
	if (r < 0 || !place->order)
		return r;
	r = shm_place(m, segment, place);
	if (r == 0)
		engine_shm_placed(segment, true);
	return r;
}

static int equip(Manager *m, EngineSegment *segment)
{
	int r;

	r = manager_save_counters(m);
	if (r == 0)
		r = shm_save_node(m);
	if (r == 0)
		r = shm_save_estate(m, segment->owner->estate);
	if (r == 0)
		r = equip_memory(m, segment);
	if (r)
		return r;
	manager_segment_store(m, segment);
	r = manager_segment_save(m, segment);
	return r < 0 ? r : shm_save_segment(m, segment);
}

static bool would_make(Manager *m, uint32_t key)
{
	const EngineShmKey *k = engine_shm_key_find(m->engine, key);

	return k && !k->segment;
}

static int serve_get(Manager *m, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, struct reply *a)
{
	EngineSegment *segment;
	bool made;
	int r;

	if (m->shm->settings.shut_down && would_make(m, get->key))
		return STATUS_NO_DAEMON;
	r = engine_shm_get(m->engine, asker, get, shm_max_pages(m) * SHM_PAGE, &segment, &made);
	if (r)
		return r;
	r = made ? equip(m, segment) : 0;
	if (r) {
		engine_shm_take_back(segment);
		return r;
	}
	a->message.shm_get_reply.shmid = segment->id;
	return 0;
}

/* The flag follows what could be done. */
static int lock(
	Manager *m, const struct engine_shm_asker *asker, const struct wire_shm_control *control)
{
	EngineSegment *segment;
	int r;

	r = engine_shm_find_present(m->engine, control->shmid, &segment);
	if (r == 0)
		r = engine_shm_may_change(segment, asker);
	if (r == 0)
		r = shm_lock(m, segment, control->command == WIRE_SHM_LOCK);
	return r;
}

static int serve_control(
	Manager *m, const struct engine_shm_asker *asker, const struct wire_shm_control *control)
{
	int r = 0;

	if (control->command == WIRE_SHM_LOCK || control->command == WIRE_SHM_UNLOCK)
		r = lock(m, asker, control);
	if (r == 0)
		r = engine_shm_control(m->engine, asker, control);
	if (r == 0)
		shm_changes_count(m);
	return r;
}

static int serve_stat(
	Manager *m, const struct engine_shm_asker *asker, uint32_t shmid, struct reply *a)
{
	struct wire_shm_row row;
	EngineSegment *segment;
	int r;

	r = engine_shm_find_present(m->engine, shmid, &segment);
	if (r == 0)
		r = engine_shm_may_read(segment, asker);
	if (r)
		return r;
	engine_shm_row(segment, &row);
	reply_set_tail(a, wire_put_shm_row(a->tail, reply_tail_end(a), &row));
	return 0;
}

/* Placement */

static bool is_empty(const struct engine_shm_place *place)
{
	for (size_t i = 0; i < sizeof(place->nodes); i++)
		if (place->nodes[i])
			return false;
	return true;
}

static int place_key(Manager *m, const struct engine_shm_asker *asker, uint32_t key,
	struct engine_shm_place *place)
{
	int r = 0;

	if (is_empty(place))
		*place = (struct engine_shm_place){0};
	else
		r = shm_place_check(place);
	if (r == 0)
		r = engine_shm_key_place(m->engine, asker, key, place);
	if (r == 0)
		r = shm_save_key(m, engine_shm_key_find(m->engine, key));
	return r;
}

static int place_segment(Manager *m, const struct engine_shm_asker *asker, uint32_t shmid,
	const struct engine_shm_place *place)
{
	EngineSegment *segment;
	int r;

	r = shm_place_check(place);
	if (r == 0)
		r = engine_shm_may_place(m->engine, asker, shmid, &segment);
	if (r == 0)
		r = shm_place(m, segment, place);
	if (r == 0)
		engine_shm_placed(segment, true);
	return r;
}

/* Keys are placed by processes of this node only. */
static int serve_place(
	Manager *m, const struct engine_shm_asker *asker, const struct wire_shm_place *q)
{
	struct engine_shm_place place = {.order = q->order, .hard = q->hard};

	memcpy(place.nodes, q->nodes, sizeof(place.nodes));
	if (!q->key)
		return place_segment(m, asker, q->shmid, &place);
	if (q->shmid || asker->node != engine_node(m->engine))
		return STATUS_BAD_REQUEST;
	return place_key(m, asker, q->key, &place);
}

static int serve_node(
	Manager *m, const struct engine_shm_asker *asker, uint32_t shmid, struct reply *a)
{
	EngineSegment *segment;
	int r;

	r = engine_shm_find_present(m->engine, shmid, &segment);
	if (r == 0)
		r = engine_shm_may_read(segment, asker);
	return r ? r : shm_resident_node(m, segment, &a->message.shm_node_reply.node);
}

/* For people; also what is removed. */
static int serve_list(
	Manager *m, const struct engine_shm_asker *asker, uint64_t cursor, struct reply *a)
{
	struct wire_shm_list_reply *answer = &a->message.shm_list_reply;
	EngineSegment *s = engine_segment_next(m->engine, cursor);
	uint8_t *at = a->tail, *next;
	uint64_t last = cursor;

	for (uint32_t i = 0; s && i < LIST_LOOKS; i++, s = engine_segment_next(m->engine, last)) {
		if (s->shm && engine_shm_visible(s, asker)) {
			struct wire_shm_row row;

			engine_shm_row(s, &row);
			next = wire_put_shm_row(at, reply_tail_end(a), &row);
			if (!next)
				break;
			at = next;
			answer->n++;
		}
		last = s->instance;
	}
	answer->next = s ? last : 0;
	reply_set_tail(a, at);
	return 0;
}

int shm_serve(Manager *m, const struct engine_shm_asker *asker, const struct wire_message *q,
	struct reply *a)
{
	switch (q->type) {
	case WIRE_SHM_KEY:
		return serve_key(m, asker, a);
	case WIRE_SHM_GET:
		return serve_get(m, asker, &q->shm_get, a);
	case WIRE_SHM_CONTROL:
		return serve_control(m, asker, &q->shm_control);
	case WIRE_SHM_STAT:
		return serve_stat(m, asker, q->shm_stat.shmid, a);
	case WIRE_SHM_PLACE:
		return serve_place(m, asker, &q->shm_place);
	case WIRE_SHM_NODE:
		return serve_node(m, asker, q->shm_node.shmid, a);
	case WIRE_SHM_LIST:
		return serve_list(m, asker, q->shm_list.cursor, a);
	default:
		return STATUS_NOT_SUPPORTED;
	}
}
