/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shmbind() takes and refuses, on any machine: every EINVAL and EFAULT of the RFC, in the
 * order of shmbind(3): policy, mask_len, mask, segment, rights, attached, nodes. A refused call
 * leaves no trace.
 */
#include "rig.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		 ((size_t)sysconf(_SC_PAGESIZE))
#define NOBODY_S_SEGMENT 0x7ffffff0

static int id;
static struct mask nodes;

static int prepare(void **state)
{
	nodes = memory_nodes();
	id = new_segment(16 * PAGE, 0600);
	return 0;
}

static void each_policy_is_taken_with_each_strictness(void **state)
{
	static const int orders[] = {0, MEM_FIRSTREF, MEM_STRIPE, MEM_MOSTFREE};
	static const int binds[] = {0, MEM_HARDBIND, MEM_SOFTBIND};

	need_policies();
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 3; j++) {
			assert_int_equal(
				shmbind(id, orders[i] | binds[j], nodes.bits, MASK_BITS), 0);
			assert_int_equal(state_of(id).shm_nattch, 0);
		}
}

static void flags_have_distinct_bits_and_defaults(void **state)
{
	assert_int_equal(
		MEM_FIRSTREF | MEM_STRIPE | MEM_MOSTFREE | MEM_HARDBIND | MEM_SOFTBIND | MEM_COMMIT,
		63);
	need_policies();
	assert_int_equal(shmbind(id, 0, nodes.bits, MASK_BITS), 0);
	assert_bound(id, MEM_FIRSTREF | MEM_SOFTBIND, &nodes);
	assert_int_equal(shmbind(id, MEM_HARDBIND, nodes.bits, MASK_BITS), 0);
	assert_bound(id, MEM_FIRSTREF | MEM_HARDBIND, &nodes);
	assert_int_equal(shmbind(id, MEM_STRIPE, nodes.bits, MASK_BITS), 0);
	assert_bound(id, MEM_STRIPE | MEM_SOFTBIND, &nodes);
}

static void more_than_one_of_a_group_is_refused(void **state)
{
	static const int policies[] = {MEM_FIRSTREF | MEM_STRIPE, MEM_STRIPE | MEM_MOSTFREE,
		MEM_FIRSTREF | MEM_MOSTFREE, MEM_FIRSTREF | MEM_STRIPE | MEM_MOSTFREE,
		MEM_HARDBIND | MEM_SOFTBIND};

	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++)
		REFUSES(id, shmbind(id, policies[i], nodes.bits, MASK_BITS), EINVAL);
	assert_unbound(id);
}

static void unknown_flags_are_refused(void **state)
{
	for (unsigned int bit = 6; bit < 32; bit++)
		REFUSES(id, shmbind(id, (int)(1u << bit), nodes.bits, MASK_BITS), EINVAL);
	REFUSES(id, shmbind(id, -1, nodes.bits, MASK_BITS), EINVAL);
	assert_unbound(id);
}

static void a_mask_needs_a_length(void **state)
{
	static const int lengths[] = {0, -1, -64, INT_MIN};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		REFUSES(id, shmbind(id, 0, nodes.bits, lengths[i]), EINVAL);
}

static void a_mask_that_cannot_be_read_is_no_signal(void **state)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_NONE), 0);
	REFUSES(id, shmbind(id, 0, NULL, 1), EFAULT);
	REFUSES(id, shmbind(id, 0, (unsigned long *)8, 64), EFAULT);
	REFUSES(id, shmbind(id, 0, (unsigned long *)(p + PAGE), 1), EFAULT);
	/* the second long is out of reach */
	REFUSES(id, shmbind(id, 0, (unsigned long *)(p + PAGE) - 1, LONG_BITS + 1), EFAULT);
	REFUSES(id, shmbind(id, 0, (unsigned long *)(void *)-8L, 64), EFAULT);
	assert_unbound(id);
	munmap(p, 2 * PAGE);
}

static void a_mask_is_read_to_its_end_and_no_further(void **state)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long *last = (unsigned long *)(p + PAGE) - 1;

	need_policies();
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_NONE), 0);
	*last = 1ul << first_node();
	assert_int_equal(shmbind(id, 0, last, LONG_BITS), 0);
	assert_int_equal(shmbind(id, 0, last, first_node() + 1), 0);
	munmap(p, 2 * PAGE);
}

static void bits_at_and_above_the_length_do_not_count(void **state)
{
	struct mask m;

	need_policies();
	memset(&m, 0xff, sizeof(m));
	m.bits[0] = ~0ul << (first_node() + 1) | 1ul << first_node();
	assert_int_equal(shmbind(id, 0, m.bits, first_node() + 1), 0);
	REFUSES(id, shmbind(id, 0, m.bits, MASK_BITS), EINVAL);
}

static void masks_may_be_of_any_length(void **state)
{
	static const int lengths[] = {1024, 4096, 32768, 65536, 1 << 20, (1 << 27) + 3};
	size_t bytes = (1 << 24) + 4096;
	unsigned long *m =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need_policies();
	assert_ptr_not_equal(m, MAP_FAILED);
	m[0] = 1ul << first_node();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		assert_int_equal(shmbind(id, 0, m, lengths[i]), 0);
	m[(1 << 27) / LONG_BITS] = 4;
	assert_int_equal(shmbind(id, 0, m, (1 << 27) + 2), 0);
	REFUSES(id, shmbind(id, 0, m, (1 << 27) + 3), EINVAL);
	munmap(m, bytes);
}

static void sets_without_memory_are_refused(void **state)
{
	struct mask empty = {{0}}, absent = mask_of(absent_node()), mixed = nodes;

	mask_add(&mixed, absent_node());
	REFUSES(id, shmbind(id, 0, empty.bits, MASK_BITS), EINVAL);
	REFUSES(id, shmbind(id, 0, absent.bits, MASK_BITS), EINVAL);
	REFUSES(id, shmbind(id, MEM_STRIPE, mixed.bits, MASK_BITS), EINVAL);
	absent = mask_of(MASK_BITS - 1);
	REFUSES(id, shmbind(id, 0, absent.bits, MASK_BITS), EINVAL);
	assert_unbound(id);
}

static void there_must_be_such_a_segment(void **state)
{
	static const int ids[] = {-1, INT_MIN, INT_MAX, NOBODY_S_SEGMENT};
	int removed = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);

	shmctl(removed, IPC_RMID, NULL);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		REFUSES(id, shmbind(ids[i], 0, nodes.bits, MASK_BITS), EINVAL);
	REFUSES(id, shmbind(removed, 0, nodes.bits, MASK_BITS), EINVAL);
}

static void an_attached_segment_is_refused(void **state)
{
	char *p = shmat(id, NULL, 0);

	REFUSES(id, shmbind(id, 0, nodes.bits, MASK_BITS), EINVAL);
	shmdt(p);
	p = shmat(id, NULL, SHM_RDONLY);
	REFUSES(id, shmbind(id, 0, nodes.bits, MASK_BITS), EINVAL);
	shmdt(p);
	assert_unbound(id);
}

static void a_segment_with_pages_is_refused(void **state)
{
	char *p = shmat(id, NULL, 0);

	p[3 * PAGE] = 1;
	shmdt(p);
	REFUSES(id, shmbind(id, 0, nodes.bits, MASK_BITS), EINVAL);
}

static void a_segment_that_was_only_attached_may_be_bound(void **state)
{
	need_policies();
	shmdt(shmat(id, NULL, 0));
	assert_int_equal(shmbind(id, 0, nodes.bits, MASK_BITS), 0);
}

static void a_later_binding_replaces_the_earlier(void **state)
{
	struct mask one = mask_of(first_node());

	need_policies();
	assert_int_equal(shmbind(id, MEM_STRIPE | MEM_HARDBIND, nodes.bits, MASK_BITS), 0);
	assert_int_equal(shmbind(id, MEM_HARDBIND, one.bits, MASK_BITS), 0);
	assert_bound(id, MEM_FIRSTREF | MEM_HARDBIND, &one);
	assert_int_equal(shmbind(id, MEM_STRIPE | MEM_SOFTBIND, nodes.bits, MASK_BITS), 0);
	assert_bound(id, MEM_STRIPE | MEM_SOFTBIND, &nodes);
}

/* Each call has two faults; the one that is looked at first is told. */
static void faults_are_looked_for_in_the_promised_order(void **state)
{
	struct mask empty = {{0}};
	char *p;

	/* policy before mask_len cannot be told apart by errno; before the mask: */
	REFUSES(id, shmbind(id, -1, NULL, 64), EINVAL);
	REFUSES(id, shmbind(id, 0, NULL, 0), EINVAL);
	/* the mask before the segment, its rights and state */
	REFUSES(id, shmbind(NOBODY_S_SEGMENT, 0, NULL, 64), EFAULT);
	p = shmat(id, NULL, 0);
	REFUSES(id, shmbind(id, 0, NULL, 64), EFAULT);
	REFUSES(id, shmbind(id, 0, empty.bits, 64), EINVAL);
	shmdt(p);
}

static void a_binding_outlives_the_process_that_made_it(void **state)
{
	need_policies();
	assert_int_equal(shmbind(id, MEM_STRIPE | MEM_HARDBIND, nodes.bits, MASK_BITS), 0);
	for (int i = 0; i < 3; i++) {
		char *p = shmat(id, NULL, 0);

		memset(p, i, 16 * PAGE);
		shmdt(p);
		assert_bound(id, MEM_STRIPE | MEM_HARDBIND, &nodes);
	}
}

static void commit_allocates_all_pages(void **state)
{
	char *p;
	unsigned char present[16];

	need_policies();
	assert_int_equal(shmbind(id, MEM_COMMIT | MEM_HARDBIND, nodes.bits, MASK_BITS), 0);
	assert_int_equal(state_of(id).shm_nattch, 0);
	p = shmat(id, NULL, 0);
	assert_int_equal(mincore(p, 16 * PAGE, present), 0);
	for (int i = 0; i < 16; i++) {
		assert_true(present[i] & 1);
		assert_int_equal(p[(size_t)i * PAGE], 0);
	}
	shmdt(p);
	/* now it has pages */
	REFUSES(id, shmbind(id, 0, nodes.bits, MASK_BITS), EINVAL);
}

static void get_says_what_is_wrong(void **state)
{
	struct mask m;
	int policy;

	need_policies();
	assert_int_equal(shmbind_get(id, &policy, m.bits, MASK_BITS), -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(shmbind(id, 0, nodes.bits, MASK_BITS), 0);
	REFUSES(id, shmbind_get(id, &policy, m.bits, 0), EINVAL);
	REFUSES(id, shmbind_get(NOBODY_S_SEGMENT, &policy, m.bits, MASK_BITS), EINVAL);
	assert_int_equal(shmbind_get(id, NULL, m.bits, MASK_BITS), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(shmbind_get(id, &policy, NULL, MASK_BITS), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(state_of(id).shm_nattch, 0);
	if (first_node() > 0) {
		assert_int_equal(shmbind_get(id, &policy, m.bits, first_node()), -1);
		assert_int_equal(errno, EINVAL);
	}
}

static void get_writes_whole_longs_and_no_more(void **state)
{
	unsigned long m[3] = {~0ul, ~0ul, 77};
	struct mask one = mask_of(first_node());
	int policy;

	need_policies();
	assert_int_equal(shmbind(id, 0, one.bits, MASK_BITS), 0);
	assert_int_equal(shmbind_get(id, &policy, m, LONG_BITS + 1), 0);
	assert_true(m[0] == one.bits[0] && m[1] == 0);
	assert_int_equal(m[2], 77);
}

static void large_segments_may_be_bound_without_memory_for_them(void **state)
{
	struct mask one = mask_of(first_node());
	int big = shmget(IPC_PRIVATE, (size_t)1 << 40, IPC_CREAT | SHM_NORESERVE | 0600);

	need_policies();
	if (big < 0)
		skip();
	assert_int_equal(shmbind(big, MEM_STRIPE, one.bits, MASK_BITS), 0);
	REFUSES(id, shmbind(big, MEM_HARDBIND, one.bits, MASK_BITS), ENOMEM);
	assert_int_equal(state_of(big).shm_nattch, 0);
	shmctl(big, IPC_RMID, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, remove_segments)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_policy_is_taken_with_each_strictness),
		TEST(flags_have_distinct_bits_and_defaults),
		TEST(more_than_one_of_a_group_is_refused),
		TEST(unknown_flags_are_refused),
		TEST(a_mask_needs_a_length),
		TEST(a_mask_that_cannot_be_read_is_no_signal),
		TEST(a_mask_is_read_to_its_end_and_no_further),
		TEST(bits_at_and_above_the_length_do_not_count),
		TEST(masks_may_be_of_any_length),
		TEST(sets_without_memory_are_refused),
		TEST(there_must_be_such_a_segment),
		TEST(an_attached_segment_is_refused),
		TEST(a_segment_with_pages_is_refused),
		TEST(a_segment_that_was_only_attached_may_be_bound),
		TEST(a_later_binding_replaces_the_earlier),
		TEST(faults_are_looked_for_in_the_promised_order),
		TEST(a_binding_outlives_the_process_that_made_it),
		TEST(commit_allocates_all_pages),
		TEST(get_says_what_is_wrong),
		TEST(get_writes_whole_longs_and_no_more),
		TEST(large_segments_may_be_bound_without_memory_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
