/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of huge pages, whose policies the kernel forgets with the map that set them: their pages
 * are allocated at once. Wants four huge pages of 2 MiB on node 0, three on node 1, none on node 2.
 */
#include "../../conformance/shmbind/rig.h"
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUGE  ((size_t)2 << 20)
#define SMALL (HUGE / (size_t)sysconf(_SC_PAGESIZE))

static struct mask mask_of_bits(unsigned long bits)
{
	struct mask m = {{bits}};

	return m;
}

static int huge_segment(size_t pages)
{
	return new_segment(pages * HUGE, 0600 | SHM_HUGETLB);
}

static int bind(int id, int policy, unsigned long nodes)
{
	struct mask m = mask_of_bits(nodes);

	return shmbind(id, policy, m.bits, MASK_BITS) == 0 ? 0 : errno;
}

static void stripes_of_huge_pages_are_even(void **state)
{
	static const int binds[] = {MEM_HARDBIND, MEM_SOFTBIND};

	for (int i = 0; i < 2; i++) {
		int id = huge_segment(6);
		struct oracle_count c;

		assert_int_equal(bind(id, MEM_STRIPE | binds[i], 3), 0);
		assert_int_equal(state_of(id).shm_nattch, 0);
		c = oracle_count(id, 0, 6 * SMALL);
		assert_int_equal(c.on[0], 3 * SMALL);
		assert_int_equal(c.on[1], 3 * SMALL);
		remove_segments(NULL);
	}
}

static void huge_pages_stay_in_their_set(void **state)
{
	int id = huge_segment(2);
	struct oracle_count c;

	assert_int_equal(bind(id, MEM_HARDBIND, 2), 0);
	c = oracle_count(id, 0, 2 * SMALL);
	assert_int_equal(c.on[1], 2 * SMALL);
}

static void most_free_counts_huge_pages(void **state)
{
	int id = huge_segment(5);
	struct oracle_count c;

	assert_int_equal(bind(id, MEM_MOSTFREE | MEM_HARDBIND, 3), 0);
	c = oracle_count(id, 0, 5 * SMALL);
	assert_int_equal(c.on[0], 3 * SMALL);
	assert_int_equal(c.on[1], 2 * SMALL);
}

static void huge_pages_that_are_not_there_are_refused_and_none_is_kept(void **state)
{
	int id = huge_segment(4);

	assert_int_equal(bind(id, MEM_HARDBIND, 2), ENOMEM);
	assert_int_equal(bind(id, MEM_STRIPE | MEM_HARDBIND, 5), ENOMEM);
	assert_int_equal(state_of(id).shm_nattch, 0);
	assert_int_equal(oracle_count(id, 0, 4 * SMALL).absent, 4 * SMALL);
	/* softly they come from elsewhere */
	assert_int_equal(bind(id, MEM_SOFTBIND, 2), 0);
	assert_int_equal(oracle_count(id, 0, 4 * SMALL).absent, 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, remove_segments)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stripes_of_huge_pages_are_even),
		TEST(huge_pages_stay_in_their_set),
		TEST(most_free_counts_huge_pages),
		TEST(huge_pages_that_are_not_there_are_refused_and_none_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
