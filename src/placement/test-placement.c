/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "placement/admission.h"
#include "placement/apply.h"
#include "placement/kernel.h"
#include "placement/sysv.h"
#include "placement/topology.h"

static struct nodeset set(const char *text)
{
	struct nodeset s;

	assert_int_equal(nodeset_parse(text, &s), 0);
	return s;
}

static void lists_of_nodes_are_read_as_written(void **state)
{
	static const char *const lists[] = {"", "0", "0-2,5", "63-64,1023", "0-1023"};
	char text[NODESET_TEXT_MAX];

	for (size_t i = 0; i < ELEMENTS(lists); i++) {
		struct nodeset s = set(lists[i]);

		assert_string_equal(nodeset_format(&s, text), lists[i]);
	}
	assert_int_equal(nodeset_count(&(struct nodeset){0}), 0);
	struct nodeset s = set("0-2,5\n");
	assert_int_equal(nodeset_count(&s), 4);
}

static void bad_lists_are_refused(void **state)
{
	static const char *const lists[] = {
		",", "1,", ",1", "-", "1-", "2-1", "1-2-3", "x", "1 2", "+1"};
	struct nodeset s = set("7");

	for (size_t i = 0; i < ELEMENTS(lists); i++)
		assert_int_equal(nodeset_parse(lists[i], &s), -EINVAL);
	assert_int_equal(nodeset_parse("1024", &s), -ERANGE);
	assert_int_equal(nodeset_parse("99999999999999999999", &s), -ERANGE);
	assert_true(nodeset_has(&s, 7));
}

static void sets_survive_a_message(void **state)
{
	uint8_t bytes[NODESET_BYTES];
	struct nodeset s = set("0,9,64-66,1023"), t;

	nodeset_put_bytes(&s, bytes);
	assert_int_equal(bytes[1], 2);
	t = nodeset_get_bytes(bytes);
	assert_true(nodeset_equal(&s, &t));
}

/* Plans */

static struct plan plan_of(
	enum placement_order order, bool hard, const char *nodes, const struct plan_input *input)
{
	struct placement p = {.order = order, .hard = hard, .nodes = set(nodes)};
	struct plan plan;
	uint64_t at = 0;

	assert_int_equal(plan_make(&p, input, &plan), 0);
	for (size_t i = 0; i < plan.n_ranges; i++) {
		assert_int_equal(plan.ranges[i].first, at);
		assert_true(plan.ranges[i].n > 0);
		at += plan.ranges[i].n;
	}
	assert_int_equal(at, input->n_pages);
	return plan;
}

static void sum(const struct plan *plan, uint64_t pages[NODES_MAX])
{
	memset(pages, 0, NODES_MAX * sizeof(*pages));
	for (size_t i = 0; i < plan->n_ranges; i++)
		pages[plan->ranges[i].node] += plan->ranges[i].n;
}

static void one_range_is_enough_where_the_kernel_chooses(void **state)
{
	struct plan_input in = {.n_pages = 1000, .unit = 1};
	struct plan p = plan_of(PLACE_FIRSTREF, true, "1,3", &in);

	assert_int_equal(p.n_ranges, 1);
	assert_int_equal(p.ranges[0].node, PLAN_ANY_NODE);
	plan_deinit(&p);
	p = plan_of(PLACE_STRIPE, false, "1,3", &in);
	assert_int_equal(p.n_ranges, 1);
	plan_deinit(&p);
}

static void a_hard_stripe_goes_page_by_page_from_where_the_bias_says(void **state)
{
	struct plan_input in = {.n_pages = 7, .unit = 1, .bias = 4};
	static const uint32_t nodes[] = {3, 5, 1, 3, 5, 1, 3};
	struct plan p = plan_of(PLACE_STRIPE, true, "1,3,5", &in);

	assert_int_equal(p.n_ranges, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(p.ranges[i].node, nodes[i]);
	plan_deinit(&p);
}

static void hard_stripes_are_even_to_a_grain_at_any_size(void **state)
{
	static const uint64_t sizes[] = {
		1, 2, 65535, 65536, 65537, 131073, 1000000, 33554433, 100000000};

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		struct plan_input in = {.n_pages = sizes[i], .unit = 1, .huge = 512, .bias = 2};
		struct plan p = plan_of(PLACE_STRIPE, true, "0-2", &in);
		uint64_t pages[NODES_MAX];

		sum(&p, pages);
		assert_true(p.n_ranges <= PLAN_STRIPES_MAX);
		assert_int_equal(p.grain, sizes[i] <= 65536 ? 1
					  : sizes[i] <= 33554432
						  ? (sizes[i] + 65535) / 65536
						  : ((sizes[i] + 65535) / 65536 + 511) / 512 * 512);
		for (unsigned int a = 0; a < 3; a++)
			for (unsigned int b = 0; b < 3; b++)
				assert_true(pages[a] <= pages[b] + p.grain);
		plan_deinit(&p);
	}
}

static void ranges_of_huge_pages_are_whole_huge_pages(void **state)
{
	struct plan_input in = {.n_pages = 512 * 5, .unit = 512};
	struct plan p = plan_of(PLACE_STRIPE, true, "0,1", &in);

	assert_int_equal(p.n_ranges, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(p.ranges[i].n, 512);
	plan_deinit(&p);
}

static void a_stripe_over_one_node_is_one_range(void **state)
{
	struct plan_input in = {.n_pages = 65536, .unit = 1};
	struct plan p = plan_of(PLACE_STRIPE, true, "0", &in);

	assert_int_equal(p.n_ranges, 1);
	assert_int_equal(p.ranges[0].node, 0);
	plan_deinit(&p);
}

static void most_free_levels_what_is_free_however_far_it_is_filled(void **state)
{
	const uint64_t free[] = {9000, 1000, 5000, 7000};
	struct plan_input in = {.n_pages = 4000, .unit = 1, .free = free};
	struct plan p = plan_of(PLACE_MOSTFREE, false, "1-3", &in);
	uint64_t pages[NODES_MAX];

	assert_true(p.ranges[0].node == 3 && p.ranges[0].n >= 2000);
	sum(&p, pages);
	assert_int_equal(pages[0] + pages[1], 0);
	assert_int_equal(pages[2], 1000);
	assert_int_equal(pages[3], 3000);
	plan_deinit(&p);
}

static void most_free_goes_on_when_nothing_is_free(void **state)
{
	const uint64_t free[] = {10, 0};
	struct plan_input in = {.n_pages = 100000, .unit = 1, .free = free};
	struct plan p = plan_of(PLACE_MOSTFREE, true, "0,1", &in);
	uint64_t pages[NODES_MAX];

	sum(&p, pages);
	assert_true(p.n_ranges <= PLAN_MOSTFREE_MAX);
	assert_true(pages[0] <= pages[1] + 2 * p.grain && pages[1] <= pages[0] + 2 * p.grain);
	plan_deinit(&p);
}

/* Admission */

static struct claim claim(enum placement_order order, bool hard, const char *nodes, uint64_t bytes)
{
	return (struct claim){{order, hard, set(nodes)}, bytes};
}

static const struct topology machine = {
	.n = 4,
	.nodes = (struct topology_node[]){{.available = 100}, {.available = 100}, {.available = 0},
		{.available = 50}},
};

static void a_binding_is_allowed_up_to_what_its_nodes_have(void **state)
{
	struct claim c = claim(PLACE_FIRSTREF, true, "0-1", 200);

	assert_true(admission_allows(&c, 1, &machine));
	c.bytes++;
	assert_false(admission_allows(&c, 1, &machine));
	c.placement.hard = false;
	assert_true(admission_allows(&c, 1, &machine));
	c = claim(PLACE_FIRSTREF, true, "2,900", 1);
	assert_false(admission_allows(&c, 1, &machine));
}

static void each_node_of_a_hard_stripe_must_hold_its_part(void **state)
{
	struct claim c = claim(PLACE_STRIPE, true, "0,1,3", 150);

	assert_true(admission_allows(&c, 1, &machine));
	c.bytes++;
	assert_false(admission_allows(&c, 1, &machine));
	c = claim(PLACE_MOSTFREE, true, "0,1,3", 250);
	assert_true(admission_allows(&c, 1, &machine));
}

static void what_others_may_take_is_not_there(void **state)
{
	struct claim c[] = {claim(PLACE_FIRSTREF, true, "0", 40),
		claim(PLACE_STRIPE, true, "0,1", 80), claim(PLACE_FIRSTREF, false, "0,3", 20)};

	assert_true(admission_allows(c, 3, &machine));
	c[0].bytes++;
	assert_false(admission_allows(c, 3, &machine));
}

static void a_new_binding_must_not_starve_an_older_one(void **state)
{
	struct claim c[] = {
		claim(PLACE_FIRSTREF, true, "0,1", 150), claim(PLACE_FIRSTREF, true, "1", 100)};

	/* it may put all of its pages on node 1 */
	assert_false(admission_allows(c, 2, &machine));
	c[1] = claim(PLACE_FIRSTREF, true, "3", 10000);
	assert_true(admission_allows(c, 2, &machine));
	/* a soft one is as welcome as any process */
	c[0] = claim(PLACE_FIRSTREF, false, "1", 1000);
	c[1] = claim(PLACE_FIRSTREF, true, "1", 100);
	assert_true(admission_allows(c, 2, &machine));
}

/* Topology, from files as a machine with a node of memory alone has them */

static char root[] = "/tmp/test-placement-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_root(void **state)
{
	static bool made;

	if (made)
		return 0;
	made = true;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

#define NODES "sys/devices/system/node/"

static void put_zones(void)
{
	put("proc/zoneinfo", "Node 0, zone      DMA\n"
			     "  per-node stats\n"
			     "      nr_inactive_file 300\n"
			     "      nr_active_file 100\n"
			     "      nr_dirty 15\n"
			     "      nr_writeback 5\n"
			     "      nr_zone_active_file 7\n"
			     "  pages free     1000\n"
			     "        boost    30\n"
			     "        min      35\n"
			     "        low      10\n"
			     "        high     50\n"
			     "        managed  3000\n"
			     "        protection: (0, 100, 200, 200)\n"
			     "  pagesets\n"
			     "    cpu: 0\n"
			     "              high:  378\n"
			     "Node 0, zone    DMA32\n"
			     "  pages free     10\n"
			     "        low      10\n"
			     "        high     20\n"
			     "        managed  500\n"
			     "        protection: (0, 0, 0, 0)\n"
			     "Node 2, zone   Normal\n"
			     "  pages free     5000\n"
			     "        low      1\n"
			     "        high     0\n"
			     "        managed  6000\n"
			     "        protection: (0, 0, 0, 0)\n");
}

static void a_machine_is_read_from_its_files(void **state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct topology t;

	put(NODES "online", "0,2\n");
	put(NODES "has_memory", "0,2\n");
	put(NODES "has_cpu", "0\n");
	put(NODES "node0/distance", "10 30\n");
	put(NODES "node2/distance", "35 10\n");
	put(NODES "node2/hugepages/hugepages-2048kB/free_hugepages", "3\n");
	put_zones();
	assert_int_equal(topology_read(root, &t), 0);
	assert_true(t.numa);
	assert_int_equal(t.n, 3);
	assert_int_equal(topology_distance(&t, 0, 2), 30);
	assert_int_equal(topology_distance(&t, 2, 0), 35);
	assert_int_equal(topology_distance(&t, 2, 2), 10);
	assert_false(nodeset_has(&t.cpus, 2));
	assert_int_equal(t.nodes[0].total, 3500 * page);
	assert_int_equal(t.nodes[0].free, 1010 * page);
	/* 1000 - 20 - 512 - 200 free, 400 - 20 - 20 of the cache; a 64th of 3500; so for node 2 */
	assert_int_equal(t.nodes[0].available, (268 + 360 - 54) * page);
	assert_int_equal(t.nodes[2].available, (5000 - 512 - 93) * page);
	assert_int_equal(topology_free_huge(root, 2, 2 << 20), 6 << 20);
	assert_int_equal(topology_free_huge(root, 0, 2 << 20), 0);
	topology_deinit(&t);
}

static void a_kernel_without_nodes_has_node_0(void **state)
{
	char path[256];
	struct topology t;

	put_zones();
	snprintf(path, sizeof(path), "%s/%sonline", root, NODES);
	remove(path);
	assert_int_equal(topology_read(root, &t), 0);
	assert_false(t.numa);
	assert_int_equal(t.n, 1);
	assert_true(nodeset_has(&t.memory, 0));
	assert_int_equal(t.nodes[0].free, 1010 * (uint64_t)sysconf(_SC_PAGESIZE));
	topology_deinit(&t);
}

static void this_machine_can_be_read(void **state)
{
	struct topology t;
	unsigned int node;

	assert_int_equal(topology_read("", &t), 0);
	nodeset_for_each (&t.memory, node) {
		assert_true(t.nodes[node].total > 0);
		assert_true(t.nodes[node].free <= t.nodes[node].total);
		assert_true(t.nodes[node].available <= t.nodes[node].total);
	}
	topology_deinit(&t);
}

/* System V */

static void the_kernels_list_is_understood(void **state)
{
	struct sysv_segment s;

	assert_true(sysv_parse(
		"        -5      32769  1600              16384    12    13      2  1000   100 "
		" 1001   101 1763644000          0 1763644000                  8192                "
		"  4096",
		&s));
	assert_int_equal(s.key, -5);
	assert_int_equal(s.shmid, 32769);
	assert_int_equal(s.mode, 01600);
	assert_int_equal(s.size, 16384);
	assert_int_equal(s.n_attached, 2);
	assert_int_equal(s.cuid, 1001);
	assert_int_equal(s.resident, 8192);
	assert_int_equal(s.swapped, 4096);
	assert_false(sysv_parse("       key      shmid perms", &s));
}

static void rights_follow_the_kernels_rule(void **state)
{
	struct sysv_segment s = {.mode = 0640, .uid = 10, .cuid = 11, .gid = 20, .cgid = 21};
	gid_t groups[] = {5, 21};
	struct sysv_user user = {.uid = 10, .gid = 1};

	assert_int_equal(sysv_lacks(&s, &user, 06), 0);
	user.uid = 11;
	assert_int_equal(sysv_lacks(&s, &user, 06), 0);
	user.uid = 12;
	assert_int_equal(sysv_lacks(&s, &user, 06), 06);
	user.groups = groups;
	user.n_groups = 2;
	assert_int_equal(sysv_lacks(&s, &user, 06), 02);
	user.privileged = true;
	assert_int_equal(sysv_lacks(&s, &user, 06), 0);
	/* the owner's bits count for the owner, even if others may more */
	s.mode = 0066;
	user = (struct sysv_user){.uid = 10, .gid = 20};
	assert_int_equal(sysv_lacks(&s, &user, 04), 04);
}

/* What works on one node */

#define PAGES 64u

static void policies_are_found_as_they_were_applied(void **state)
{
	static const struct {
		enum placement_order order;
		bool hard;
	} cases[] = {{PLACE_FIRSTREF, true}, {PLACE_FIRSTREF, false}, {PLACE_STRIPE, true},
		{PLACE_STRIPE, false}, {PLACE_MOSTFREE, false}};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), free = 1000;
	struct plan_input in = {.n_pages = PAGES, .unit = 1, .free = &free};
	void *p =
		mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct placement found;

	assert_ptr_not_equal(p, MAP_FAILED);
	if (placement_clear(p, PAGES * page) == -ENOSYS)
		skip();
	assert_int_equal(placement_find(p, PAGES, PAGES, &found), PLACEMENT_NONE);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct plan plan = plan_of(cases[i].order, cases[i].hard, "0", &in);
		size_t next = 0;

		assert_int_equal(plan_apply(&plan, p, &next), 0);
		assert_int_equal(next, plan.n_ranges);
		assert_int_equal(placement_find(p, PAGES, PAGES, &found), 0);
		assert_int_equal(found.order, cases[i].order);
		assert_int_equal(found.hard, cases[i].hard);
		assert_true(nodeset_equal(&found.nodes, &plan.placement.nodes));
		plan_deinit(&plan);
	}
	assert_int_equal(placement_clear(p, page), 0);
	assert_int_equal(placement_find(p, PAGES, PAGES, &found), PLACEMENT_MIXED);
	munmap(p, PAGES * page);
}

static void counting_pages_makes_none(void **state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char *p =
		mmap(NULL, 3000 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct placement_count count;

	assert_ptr_not_equal(p, MAP_FAILED);
	p[0] = p[5 * page] = p[2999 * page] = 1;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(placement_count(p, 3000, false, &count, NULL, NULL), 0);
		assert_int_equal(count.absent, 2997);
	}
	munmap(p, 3000 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_nodes_are_read_as_written),
		cmocka_unit_test(bad_lists_are_refused),
		cmocka_unit_test(sets_survive_a_message),
		cmocka_unit_test(one_range_is_enough_where_the_kernel_chooses),
		cmocka_unit_test(a_hard_stripe_goes_page_by_page_from_where_the_bias_says),
		cmocka_unit_test(hard_stripes_are_even_to_a_grain_at_any_size),
		cmocka_unit_test(ranges_of_huge_pages_are_whole_huge_pages),
		cmocka_unit_test(a_stripe_over_one_node_is_one_range),
		cmocka_unit_test(most_free_levels_what_is_free_however_far_it_is_filled),
		cmocka_unit_test(most_free_goes_on_when_nothing_is_free),
		cmocka_unit_test(a_binding_is_allowed_up_to_what_its_nodes_have),
		cmocka_unit_test(each_node_of_a_hard_stripe_must_hold_its_part),
		cmocka_unit_test(what_others_may_take_is_not_there),
		cmocka_unit_test(a_new_binding_must_not_starve_an_older_one),
		cmocka_unit_test_setup(a_machine_is_read_from_its_files, make_root),
		cmocka_unit_test_setup(a_kernel_without_nodes_has_node_0, make_root),
		cmocka_unit_test(this_machine_can_be_read),
		cmocka_unit_test(the_kernels_list_is_understood),
		cmocka_unit_test(rights_follow_the_kernels_rule),
		cmocka_unit_test(policies_are_found_as_they_were_applied),
		cmocka_unit_test(counting_pages_makes_none),
	};

	return cmocka_run_group_tests(tests, NULL, remove_root);
}
