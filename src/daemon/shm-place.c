/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "daemon/binding.h"
#include "daemon/log.h"
#include "daemon/shm-memory.h"
#include "placement/apply.h"
#include "placement/kernel.h"
#include "wire/status.h"

/*
 * Policies of clshm's segments. The kernel keeps them in the memory file, so a map of it is needed
 * for the time of the call only, and neither a successor nor whoever maps it later has to know. The
 * registry of bindings (binding.h) knows what a hard one may still take.
 *
 * All at once in the main thread, so the pieces of a hard stripe are few: 1024 take some
 * milliseconds.
 */

#define STRIPE_RANGES 1024u
#define HUGE_BYTES    (2u << 20)

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The kernel would drop nodes that are not there, and bind to the rest. */
static int check_nodes(const struct nodeset *nodes, const struct topology *t)
{
	struct nodeset allowed;

	if (nodeset_empty(nodes) || !nodeset_within(nodes, &t->memory))
		return STATUS_BAD_REQUEST;
	/* a kernel without nodes has one */
	if (t->numa && kernel_allowed_nodes(&allowed) == 0 && !nodeset_within(nodes, &allowed))
		return STATUS_BAD_REQUEST;
	return 0;
}

static int check(const struct engine_shm_place *place, const struct topology *t,
	struct placement *ret_placement)
{
	struct placement p = {.order = place->order,
		.hard = place->hard,
		.nodes = nodeset_get_bytes(place->nodes)};
	int r;

	if (place->order < PLACE_FIRSTREF || place->order > PLACE_MOSTFREE || place->hard > 1)
		return STATUS_BAD_REQUEST;
	r = check_nodes(&p.nodes, t);
	if (r == 0)
		*ret_placement = p;
	return r;
}

int shm_place_check(const struct engine_shm_place *place)
{
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct placement placement;
	int r = topology_read("", &topology);

	return r < 0 ? r : check(place, &topology, &placement);
}

static int make_plan(const struct placement *placement, const EngineSegment *segment,
	const struct topology *t, struct plan *ret_plan)
{
	_cleanup_free_ uint64_t *pages = calloc(NODES_MAX, sizeof(*pages));
	struct plan_input input = {
		.n_pages = segment->size / page_size(),
		.unit = 1,
		.huge = HUGE_BYTES / page_size(),
		.ranges = STRIPE_RANGES,
		.bias = (uint32_t)segment->instance,
		.free = pages,
	};
	unsigned int node;

	if (!pages)
		return -ENOMEM;
	nodeset_for_each (&t->memory, node)
		pages[node] = t->nodes[node].free / page_size();
	return plan_make(placement, &input, ret_plan);
}

/* In the place of whatever policies there are. */
static int bind_map(const struct placement *placement, const EngineSegment *segment,
	const struct topology *t, void *map)
{
	_cleanup_(plan_deinit) struct plan plan = {0};
	size_t next = 0;
	int r;

	r = make_plan(placement, segment, t, &plan);
	if (r < 0)
		return r;
	r = plan_apply(&plan, map, &next);
	if (r < 0)
		placement_clear(map, segment->size);
	return r;
}

/* placement: NULL: none any more. */
static int bind_memory(
	const struct placement *placement, const EngineSegment *segment, const struct topology *t)
{
	void *map;
	int r;

	if (!t->numa)
		return 0;
	map = mmap(NULL, segment->size, PROT_READ, MAP_SHARED, manager_segment(segment)->memory, 0);
	if (map == MAP_FAILED)
		return negative_errno();
	r = placement ? bind_map(placement, segment, t, map) : placement_clear(map, segment->size);
	munmap(map, segment->size);
	return r;
}

static void forget_binding(Manager *m, const EngineSegment *segment)
{
	struct binding *b = binding_find_instance(m, segment->instance);

	if (b)
		binding_free(b);
}

/* Who follows free memory for an older placement must not put it in the place of the new one. */
static void stop_filler(Manager *m, const EngineSegment *segment)
{
	struct binding *b = binding_find_instance(m, segment->instance);

	if (b)
		binding_stop_filler(b);
}

/* Known to the registry, and free memory followed where that is wanted. */
static int enter(Manager *m, EngineSegment *segment, const struct binding *content)
{
	struct binding *b;
	int r;

	r = binding_add(m, content);
	/* beyond so many, soft ones are not counted */
	if (r == STATUS_NO_RESOURCES && !content->placement.hard)
		return 0;
	if (r || content->placement.order != PLACE_MOSTFREE)
		return r;
	b = binding_find_instance(m, segment->instance);
	r = binding_start_filler(b, manager_segment(segment)->memory);
	if (r < 0)
		log_limited("clshm segment 0x%x: free memory is not followed: %s", segment->id,
			strerror(-r));
	return 0;
}

/* The guard is asked twice, as the ranges cost the kernel memory, too. */
static int place_checked(Manager *m, EngineSegment *segment, const struct placement *placement,
	const struct topology *t)
{
	struct binding content = {
		.instance = segment->instance,
		.shmid = -1,
		.size = segment->size,
		.placement = *placement,
		.settled = true,
		.uid = segment->uid,
		.created = segment->created,
	};
	int r;

	r = bindings_refresh(m);
	if (r == 0 && placement->hard)
		r = binding_admit(m, &content);
	if (r)
		return r;
	stop_filler(m, segment);
	forget_binding(m, segment);
	r = bind_memory(placement, segment, t);
	if (r == 0)
		r = enter(m, segment, &content);
	if (r)
		bind_memory(NULL, segment, t);
	return r;
}

int shm_place(Manager *m, EngineSegment *segment, const struct engine_shm_place *place)
{
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct placement placement;
	int r;

	r = topology_read("", &topology);
	if (r < 0)
		return r;
	r = check(place, &topology, &placement);
	return r ? r : place_checked(m, segment, &placement, &topology);
}

void shm_place_forget(Manager *m, EngineSegment *segment)
{
	forget_binding(m, segment);
	shm_look_forget(segment);
	shm_lock_forget(segment);
}
