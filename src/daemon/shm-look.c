/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "daemon/manager-peer.h"
#include "placement/apply.h"
#include "wire/status.h"

/*
 * On which NUMA node a segment's pages are. The kernel tells it of pages in this process's page
 * table only, about a microsecond each, so a segment of many is looked at piece by piece, in turns
 * of the loop; who asked meanwhile is served again when the look is over. Holes are stepped over
 * and stay holes. Pages that come or go during the look may or may not be seen.
 */

#define TURN_PAGES    2048u
#define AT_ONCE_TURNS 2
#define QUESTIONS_MAX 64u /* of other nodes, for one look */

/* Of another node. */
struct question {
	struct list link;
	uint32_t node;
	struct wire_message message;
	uint8_t tail[];
};

struct ShmLook {
	Manager *manager;
	EngineSegment *segment; /* NULL: gone */
	int memory;		/* a description of our own, for its position */
	uint64_t at, size;
	bool over;
	int result; /* then; 0: all are on node */
	uint32_t node;
	struct list questions;
	uint32_t n_questions;
	sd_event_source *turn;
};

static void look_free(struct ShmLook *l)
{
	struct question *q, *tmp;

	if (!l)
		return;
	if (l->segment)
		manager_segment(l->segment)->look = NULL;
	list_for_each_safe (q, tmp, &l->questions, link)
		free(q);
	sd_event_source_disable_unref(l->turn);
	fd_close(l->memory);
	free(l);
}
DEFINE_CLEANUP(struct ShmLook *, look_free);

/* result 0: all has been looked at. What is swapped out is nowhere. */
static void finish(struct ShmLook *l, int result)
{
	l->over = true;
	l->result = result || l->node != NODES_MAX ? result : STATUS_WRONG_STATE;
}

/* *node: of those before; NODES_MAX: there were none. */
static int piece_node(const struct placement_count *count, uint32_t *node)
{
	for (uint32_t i = 0; i < NODES_MAX; i++) {
		if (count->on[i] && *node != NODES_MAX && *node != i)
			return STATUS_WRONG_STATE;
		if (count->on[i])
			*node = i;
	}
	return 0;
}

static int look_at(struct ShmLook *l, uint64_t from, uint64_t length)
{
	struct placement_count count;
	void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, l->memory, (off_t)from);
	int r;

	if (map == MAP_FAILED)
		return negative_errno();
	r = placement_count(
		map, length / (uint64_t)sysconf(_SC_PAGESIZE), false, &count, NULL, NULL);
	munmap(map, length);
	return r < 0 ? r : piece_node(&count, &l->node);
}

/* The next piece that has pages. */
static void take_turn(struct ShmLook *l)
{
	off_t from = lseek(l->memory, (off_t)l->at, SEEK_DATA);
	uint64_t length;
	int r;

	if (from < 0 || (uint64_t)from >= l->size)
		return finish(l, 0);
	length = MIN(l->size - (uint64_t)from, TURN_PAGES * (uint64_t)sysconf(_SC_PAGESIZE));
	r = look_at(l, (uint64_t)from, length);
	l->at = (uint64_t)from + length;
	if (r || l->at >= l->size)
		finish(l, r);
}

static void serve_questions(struct ShmLook *l)
{
	struct question *q;

	while ((q = list_first(&l->questions, struct question, link))) {
		ManagerPeer *p = manager_peer_find(l->manager, q->node);

		list_unlink(&q->link);
		if (p && p->link)
			shm_peer_serve(p, &q->message);
		free(q);
	}
}

/* Those who wait for other looks find theirs still under way. */
static void serve_clients(Manager *m)
{
	ManagerClient *c, *tmp;

	list_for_each_safe (c, tmp, &m->clients, link)
		if (c->again.type == WIRE_SHM_NODE)
			manager_client_go_on(c);
}

static int on_turn(sd_event_source *source, void *userdata)
{
	struct ShmLook *l = userdata;

	if (l->segment)
		take_turn(l);
	else
		finish(l, STATUS_NOT_FOUND);
	if (!l->over)
		return 0;
	serve_clients(l->manager);
	serve_questions(l);
	look_free(l);
	return 0;
}

static int look_new(Manager *m, EngineSegment *segment, struct ShmLook **ret_look)
{
	_cleanup_(look_free_p) struct ShmLook *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->manager = m;
	l->memory = -1;
	l->node = NODES_MAX;
	l->size = segment->size;
	list_init(&l->questions);
	r = fd_reopen(manager_segment(segment)->memory, O_RDONLY, &l->memory);
	if (r < 0)
		return r;
	l->segment = segment;
	manager_segment(segment)->look = l;
	*ret_look = take_ptr(l);
	return 0;
}

/* After everything else that the loop has to do. */
static int look_go_on(struct ShmLook *l)
{
	int r = sd_event_add_defer(l->manager->event, &l->turn, on_turn, l);

	if (r == 0)
		r = sd_event_source_set_enabled(l->turn, SD_EVENT_ON);
	if (r == 0)
		r = sd_event_source_set_priority(l->turn, SD_EVENT_PRIORITY_IDLE);
	return r;
}

static int look_result(const struct ShmLook *l, uint32_t *ret_node)
{
	if (l->result == 0)
		*ret_node = l->node;
	return l->result;
}

int shm_resident_node(Manager *m, EngineSegment *segment, uint32_t *ret_node)
{
	_cleanup_(look_free_p) struct ShmLook *l = NULL;
	struct ShmLook *under_way = manager_segment(segment)->look;
	int r;

	if (under_way)
		return under_way->over ? look_result(under_way, ret_node) : REQUEST_AGAIN;
	r = look_new(m, segment, &l);
	if (r < 0)
		return r;
	for (int i = 0; i < AT_ONCE_TURNS && !l->over; i++)
		take_turn(l);
	if (l->over)
		return look_result(l, ret_node);
	r = look_go_on(l);
	if (r < 0)
		return r;
	take_ptr(l);
	return REQUEST_AGAIN;
}

int shm_node_later(ManagerPeer *p, const struct wire_message *message)
{
	EngineSegment *segment =
		engine_shm_find(p->peers->manager->engine, message->peer_shm_node.shmid);
	struct ShmLook *l = segment ? manager_segment(segment)->look : NULL;
	struct question *q;

	if (!l || l->over || l->n_questions >= QUESTIONS_MAX)
		return STATUS_NO_RESOURCES;
	q = malloc(sizeof(*q) + message->tail_size);
	if (!q)
		return -ENOMEM;
	q->node = p->number;
	q->message = *message;
	q->message.tail = q->tail;
	if (message->tail_size)
		memcpy(q->tail, message->tail, message->tail_size);
	list_append(&l->questions, &q->link);
	l->n_questions++;
	return 0;
}

/* The loop tells those who wait. */
void shm_look_forget(EngineSegment *segment)
{
	struct ShmLook *l = manager_segment(segment)->look;

	if (l)
		l->segment = NULL;
	manager_segment(segment)->look = NULL;
}
