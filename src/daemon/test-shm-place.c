/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/binding.h"
#include "daemon/filler.h"
#include "daemon/pin.h"
#include "daemon/shm.h"
#include "memory/memfd.h"
#include "placement/apply.h"
#include "wire/status.h"

/*
 * Where the memory of clshm's segments comes from: the manager's part of it, without a daemon.
 * Pages are touched by other processes. On a machine of one node all sets have one node; in a
 * virtual machine with several (tests/vm/test_clshm_place.py) the same tests say more.
 */

#define PAGE  4096ul
#define PAGES 64ul

static Manager m;
static EngineClient *estate;
static struct topology topology;

static int setup(void **state)
{
	static const struct engine_limits limits = {
		.max_segment_bytes = 1ull << 46,
		.max_bytes_per_user = 1ull << 46,
		.max_segments_per_user = 1000,
		.max_imports_per_user = 1000,
		.max_clients_per_user = 1000,
	};
	struct engine_identity identity = {.uid = getuid(), .gid = getgid()};
	int journal;

	m = (Manager){.link = -1};
	list_init(&m.bindings);
	list_init(&m.clients);
	assert_int_equal(sd_event_new(&m.event), 0);
	assert_int_equal(journal_create(1, 1, &journal), 0);
	assert_int_equal(journal_open(journal, &m.journal), 0);
	assert_int_equal(engine_new(1, &limits, &manager_engine_ops, &m, &m.engine), 0);
	assert_int_equal(engine_client_new(m.engine, &identity, &estate), 0);
	assert_int_equal(topology_read("", &topology), 0);
	return 0;
}

static int teardown(void **state)
{
	engine_client_free(estate);
	assert_true(list_empty(&m.bindings));
	engine_free(m.engine);
	journal_close(m.journal);
	sd_event_unref(m.event);
	topology_deinit(&topology);
	return 0;
}

static EngineSegment *new_segment(uint64_t bytes)
{
	EngineSegment *segment;
	ManagerSegment *s;
	int memory;

	assert_int_equal(
		engine_segment_create(estate, WIRE_SPACE_RSM, bytes, 0600, 0, 0, &segment), 0);
	assert_int_equal(memfd_new("test", bytes, &memory), 0);
	assert_int_equal(manager_segment_new(segment, &memory, 0, &s), 0);
	return segment;
}

static int memory_of(const EngineSegment *segment)
{
	return manager_segment(segment)->memory;
}

static char *map_of(const EngineSegment *segment)
{
	char *p = mmap(
		NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_of(segment), 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void touch(const EngineSegment *segment, uint64_t first, uint64_t n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char *p = map_of(segment);

		for (uint64_t i = first; i < first + n; i++)
			p[i * PAGE] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static struct placement_count count(const EngineSegment *segment)
{
	struct placement_count c;
	char *p = map_of(segment);

	assert_int_equal(placement_count(p, segment->size / PAGE, false, &c, NULL, NULL), 0);
	munmap(p, segment->size);
	return c;
}

static int place_nodes(EngineSegment *segment, uint32_t order, uint32_t hard, struct nodeset nodes)
{
	struct engine_shm_place place = {.order = order, .hard = hard};

	nodeset_put_bytes(&nodes, place.nodes);
	return shm_place(&m, segment, &place);
}

static unsigned int last_node(void)
{
	unsigned int node, last = 0;

	nodeset_for_each (&topology.memory, node)
		last = node;
	return last;
}

static void pages_that_others_touch_come_from_the_node(void **state)
{
	for (uint32_t order = PLACE_FIRSTREF; order <= PLACE_MOSTFREE; order++)
		for (uint32_t hard = 0; hard < 2; hard++) {
			EngineSegment *segment = new_segment(PAGES * PAGE);
			unsigned int node;

			nodeset_for_each (&topology.memory, node) {
				assert_int_equal(
					place_nodes(segment, order, hard, nodeset_of(node)), 0);
				assert_int_equal(count(segment).absent, PAGES);
			}
			touch(segment, 0, PAGES);
			assert_int_equal(count(segment).on[last_node()], PAGES);
			engine_segment_destroy(segment);
		}
}

static void a_stripe_is_even_also_where_it_has_few_pieces(void **state)
{
	static const uint64_t sizes[] = {PAGES, 8192};
	unsigned int n = nodeset_count(&topology.memory), node;

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		EngineSegment *segment = new_segment(sizes[i] * PAGE);
		struct placement_count c;

		assert_int_equal(place_nodes(segment, PLACE_STRIPE, 1, topology.memory), 0);
		touch(segment, 0, sizes[i]);
		c = count(segment);
		nodeset_for_each (&topology.memory, node)
			assert_in_range(c.on[node], sizes[i] / n - 8, sizes[i] / n + 8);
		engine_segment_destroy(segment);
	}
}

static void what_is_no_placement_is_refused(void **state)
{
	EngineSegment *segment = new_segment(PAGES * PAGE);
	struct nodeset none = {0}, absent = nodeset_of(NODES_MAX - 1), one = nodeset_of(0);
	struct engine_shm_place place = {.order = PLACE_FIRSTREF};

	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 0, none), STATUS_BAD_REQUEST);
	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 0, absent), STATUS_BAD_REQUEST);
	nodeset_add(&absent, 0);
	assert_int_equal(place_nodes(segment, PLACE_STRIPE, 1, absent), STATUS_BAD_REQUEST);
	assert_int_equal(place_nodes(segment, 0, 0, one), STATUS_BAD_REQUEST);
	assert_int_equal(place_nodes(segment, PLACE_MOSTFREE + 1, 0, one), STATUS_BAD_REQUEST);
	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 2, one), STATUS_BAD_REQUEST);
	assert_int_equal(shm_place_check(&place), STATUS_BAD_REQUEST);
	nodeset_put_bytes(&one, place.nodes);
	assert_int_equal(shm_place_check(&place), 0);
	assert_true(list_empty(&m.bindings));
	engine_segment_destroy(segment);
}

static uint64_t available(void)
{
	assert_int_equal(topology_refresh(&topology, ""), 0);
	return topology.nodes[last_node()].available;
}

static void hard_ones_are_not_given_the_same_memory_twice(void **state)
{
	uint64_t bytes = available() / 10 * 6 / PAGE * PAGE;
	EngineSegment *first = new_segment(bytes), *second = new_segment(bytes),
		      *large = new_segment(2 * bytes);
	struct nodeset node = nodeset_of(last_node());

	assert_int_equal(place_nodes(large, PLACE_FIRSTREF, 1, node), STATUS_NO_MEMORY);
	assert_int_equal(place_nodes(first, PLACE_FIRSTREF, 1, node), 0);
	assert_int_equal(place_nodes(second, PLACE_STRIPE, 1, node), STATUS_NO_MEMORY);
	/* softly it may be, and counts for those that come later */
	assert_int_equal(place_nodes(second, PLACE_STRIPE, 0, node), 0);
	assert_int_equal(place_nodes(first, PLACE_STRIPE, 1, node), STATUS_NO_MEMORY);
	engine_segment_destroy(second);
	/* itself is not counted beside itself */
	assert_int_equal(place_nodes(first, PLACE_FIRSTREF, 1, node), 0);
	second = new_segment(bytes);
	engine_segment_destroy(first);
	assert_int_equal(place_nodes(second, PLACE_STRIPE, 1, node), 0);
	engine_segment_destroy(second);
	engine_segment_destroy(large);
}

static void a_refused_placement_changes_nothing(void **state)
{
	EngineSegment *segment = new_segment(PAGES * PAGE);
	struct placement found;
	struct nodeset none = {0};
	char *p;

	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 1, nodeset_of(last_node())), 0);
	assert_int_equal(place_nodes(segment, PLACE_STRIPE, 0, none), STATUS_BAD_REQUEST);
	p = map_of(segment);
	assert_int_equal(placement_find(p, PAGES, 8, &found), 0);
	assert_int_equal(found.order, PLACE_FIRSTREF);
	assert_true(found.hard);
	munmap(p, segment->size);
	engine_segment_destroy(segment);
}

static int64_t blocks(const EngineSegment *segment)
{
	struct stat st;

	assert_int_equal(fstat(memory_of(segment), &st), 0);
	return st.st_blocks;
}

static void the_node_of_what_is_there_is_found_and_holes_stay_holes(void **state)
{
	EngineSegment *segment = new_segment(1ull << 40);
	int64_t before;
	uint32_t node = 77;

	assert_int_equal(shm_resident_node(&m, segment, &node), STATUS_WRONG_STATE);
	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 0, nodeset_of(last_node())), 0);
	touch(segment, 5, 3);
	touch(segment, (1ull << 40) / PAGE - 1, 1);
	before = blocks(segment);
	assert_int_equal(shm_resident_node(&m, segment, &node), 0);
	assert_int_equal(node, last_node());
	assert_int_equal(blocks(segment), before);
	engine_segment_destroy(segment);
}

static void pages_on_two_nodes_have_none(void **state)
{
	unsigned int n = nodeset_count(&topology.memory);
	EngineSegment *segment = new_segment(PAGES * PAGE);
	uint32_t node;

	assert_int_equal(place_nodes(segment, PLACE_STRIPE, 1, topology.memory), 0);
	touch(segment, 0, PAGES);
	assert_int_equal(shm_resident_node(&m, segment, &node), n > 1 ? STATUS_WRONG_STATE : 0);
	engine_segment_destroy(segment);
}

static void many_pages_take_several_turns(void **state)
{
	EngineSegment *segment = new_segment(3 * 8192 * PAGE);
	unsigned int turns = 0;
	uint32_t node;

	/* with pages on two nodes it is over soon */
	assert_int_equal(place_nodes(segment, PLACE_FIRSTREF, 0, nodeset_of(last_node())), 0);
	touch(segment, 0, 3 * 8192);
	assert_int_equal(shm_resident_node(&m, segment, &node), REQUEST_AGAIN);
	assert_int_equal(shm_resident_node(&m, segment, &node), REQUEST_AGAIN);
	for (; manager_segment(segment)->look; turns++)
		assert_int_equal(sd_event_run(m.event, NSEC_PER_SEC / NSEC_PER_USEC), 1);
	assert_in_range(turns, 8, 16);
	/* or the segment ends before */
	assert_int_equal(shm_resident_node(&m, segment, &node), REQUEST_AGAIN);
	engine_segment_destroy(segment);
	assert_int_equal(sd_event_run(m.event, NSEC_PER_SEC / NSEC_PER_USEC), 1);
	assert_int_equal(sd_event_run(m.event, 0), 0);
}

/* Of our latest child. */
static unsigned long locked_kb(pid_t *ret_pid)
{
	unsigned long kb = 0;
	char path[64], line[256];
	FILE *f = fopen("/proc/thread-self/children", "r");
	int pid = 0;

	assert_non_null(f);
	while (fscanf(f, "%d", &pid) == 1)
		;
	fclose(f);
	*ret_pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = pid ? fopen(path, "r") : NULL;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %lu", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static void a_locked_segment_is_all_in_memory_until_it_is_unlocked(void **state)
{
	EngineSegment *segment = new_segment(PAGES * PAGE);
	uint64_t end = clock_now() + 20 * NSEC_PER_SEC;
	pid_t pid;

	touch(segment, 3, 1);
	assert_int_equal(shm_lock(&m, segment, true), 0);
	assert_int_equal(shm_lock(&m, segment, true), 0);
	while (blocks(segment) * 512 < (int64_t)segment->size && clock_now() < end)
		usleep(1000);
	assert_int_equal(blocks(segment) * 512, segment->size);
	assert_int_equal(locked_kb(&pid), segment->size / 1024);
	assert_int_equal(shm_lock(&m, segment, false), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(shm_lock(&m, segment, false), 0);
	/* or to its end */
	assert_int_equal(shm_lock(&m, segment, true), 0);
	locked_kb(&pid);
	engine_segment_destroy(segment);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(pages_that_others_touch_come_from_the_node),
		TEST(a_stripe_is_even_also_where_it_has_few_pieces),
		TEST(what_is_no_placement_is_refused),
		TEST(hard_ones_are_not_given_the_same_memory_twice),
		TEST(a_refused_placement_changes_nothing),
		TEST(the_node_of_what_is_there_is_found_and_holes_stay_holes),
		TEST(pages_on_two_nodes_have_none),
		TEST(many_pages_take_several_turns),
		TEST(a_locked_segment_is_all_in_memory_until_it_is_unlocked),
	};

	/* the processes that the daemon starts are of its own executable: here of this one */
	if (argc == 3 && strcmp(argv[1], "--filler-fd") == 0)
		return filler_run(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "--pin-fd") == 0)
		return pin_run(atoi(argv[2]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
