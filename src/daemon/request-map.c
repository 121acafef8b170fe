/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include "base/cleanup.h"
#include "base/closer.h"
#include "daemon/coherent.h"
#include "memory/uffd.h"
#include "wire/status.h"

/* Watching a client's maps through the userfaultfd that it gave. */

#define PAGE 4096u

/* Bounds the time that a check takes; one page is like the next. */
#define CHECK_BYTES (2ul << 20)

int request_watch(ManagerClient *c, struct request *q, struct reply *a)
{
	if (!uffd_check(q->fds[0]))
		return STATUS_BAD_REQUEST;
	coherent_client_watch(c->manager, c);
	closer_close(c->uffd);
	c->uffd = take_fd(&q->fds[0]);
	keeper_link_store(c->manager->link, KEEP_UFFD, c->engine->id, c->uffd);
	return 0;
}

static EngineSegment *mapped_segment(ManagerClient *c, const struct wire_map *map)
{
	EngineImport *import;

	if (map->side == WIRE_SIDE_EXPORT)
		return engine_segment_get(c->engine, map->index);
	if (map->side != WIRE_SIDE_IMPORT)
		return NULL;
	import = engine_import_get(c->engine, map->index);
	return import ? import->segment : NULL;
}

static int map_of_slot(ManagerClient *c, uint32_t slot, struct wire_map *ret_map)
{
	EngineSegment *segment;
	struct wire_map map;
	int r;

	r = client_page_read(c->maps, slot, &map);
	if (r < 0)
		return r == -ERANGE ? STATUS_BAD_REQUEST : r;
	segment = mapped_segment(c, &map);
	if (!map.length || !segment)
		return STATUS_BAD_HANDLE;
	if (!range_within(map.offset, map.length, segment->size) || map.address % PAGE ||
		map.length % PAGE || !range_within(map.address, map.length, UINT64_MAX))
		return STATUS_BAD_ADDRESS;
	*ret_map = map;
	return 0;
}

/* Each step that succeeds moves the stage on; what was registered is released in any case. No step
 * is longer for a longer map: a client chooses that. */
static int check_map(
	ManagerClient *c, uint64_t features, const struct wire_map *map, uint32_t *stage)
{
	uint64_t at = map->address, part = MIN(map->length, CHECK_BYTES);
	int uffd = c->uffd, r, last;

	*stage = WIRE_CHECK_API;
	/* as coherent maps need it, if that may be; once is enough */
	r = coherent_uffd_begin(c);
	if (r < 0)
		r = uffd_api(c->uffd, features);
	if (r < 0 && r != -EINVAL)
		return r;
	*stage = WIRE_CHECK_REGISTER;
	r = uffd_register_wp(uffd, at, part);
	if (r < 0)
		return r;
	*stage = WIRE_CHECK_PROTECT;
	r = uffd_protect(uffd, at, part, true);
	if (r == 0) {
		*stage = WIRE_CHECK_RELEASE;
		r = uffd_protect(uffd, at, part, false);
	}
	last = uffd_unregister(uffd, at, part);
	if (r < 0 || last < 0)
		return r < 0 ? r : last;
	*stage = WIRE_CHECK_DONE;
	return 0;
}

int request_check_map(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_check_map_reply *p = &a->message.check_map_reply;
	uint64_t features = uffd_features(c->manager->uffd_device) & UFFD_WANT_WP_UNPOPULATED;
	struct wire_map map;
	int r;

	if (c->uffd < 0) {
		p->stage = WIRE_CHECK_NO_UFFD;
		return 0;
	}
	r = map_of_slot(c, q->message.check_map.slot, &map);
	if (r)
		return r;
	p->error = (uint32_t)-check_map(c, features, &map, &p->stage);
	return 0;
}
