/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the pages of bound segments come from, on a machine with several nodes. Each binding is
 * made by a process that ends, and the pages are touched by a program that knows nothing of the
 * library.
 */
#include "../../conformance/shmbind/rig.h"
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

struct binding {
	int id, policy, node; /* where the binder runs */
	struct mask mask;
};

static int n_nodes, cpu_nodes[ORACLE_NODES], n_cpu_nodes;

static int look_at_the_machine(void **state)
{
	struct mask m = memory_nodes();

	for (n_nodes = 0; m.bits[0] >> n_nodes & 1; n_nodes++)
		if (oracle_has_cpu(n_nodes))
			cpu_nodes[n_cpu_nodes++] = n_nodes;
	return n_nodes < 4;
}

static struct mask mask_of_bits(unsigned long bits)
{
	struct mask m = {{bits}};

	return m;
}

static int bind_and_end(void *data)
{
	struct binding *b = data;

	return shmbind(b->id, b->policy, b->mask.bits, MASK_BITS) == 0 ? 0 : errno;
}

static int bound_segment(size_t pages, int policy, unsigned long nodes)
{
	struct binding b = {
		new_segment(pages * PAGE, 0600 | SHM_NORESERVE), policy, 0, mask_of_bits(nodes)};

	assert_int_equal(in_child(0, bind_and_end, &b), 0);
	assert_int_equal(state_of(b.id).shm_nattch, 0);
	return b.id;
}

/* By a stranger on that node. */
static void touch(int id, int node, size_t first, size_t n)
{
	char words[5][16];
	int status;
	pid_t pid;

	snprintf(words[0], 16, "%d", id);
	snprintf(words[1], 16, "%d", node);
	snprintf(words[2], 16, "%zu", first);
	snprintf(words[3], 16, "%zu", n);
	pid = fork();
	if (pid == 0) {
		execlp("numa-oracle", "numa-oracle", "touch", words[0], words[1], words[2],
			words[3], NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static size_t sum_within(const struct oracle_count *c, unsigned long nodes)
{
	size_t sum = 0;

	for (int node = 0; node < ORACLE_NODES; node++)
		if (nodes >> node & 1)
			sum += c->on[node];
	return sum;
}

static size_t unevenness(const struct oracle_count *c, unsigned long nodes)
{
	size_t least = (size_t)-1, most = 0;

	for (int node = 0; node < ORACLE_NODES; node++)
		if (nodes >> node & 1) {
			least = c->on[node] < least ? c->on[node] : least;
			most = c->on[node] > most ? c->on[node] : most;
		}
	return most - least;
}

static void first_reference_is_local_where_the_set_allows(void **state)
{
	static const int binds[] = {MEM_SOFTBIND, MEM_HARDBIND};

	for (int i = 0; i < 2; i++)
		for (int c = 0; c < n_cpu_nodes; c++) {
			int id = bound_segment(64, MEM_FIRSTREF | binds[i], (1ul << n_nodes) - 1);
			struct oracle_count count;

			touch(id, cpu_nodes[c], 0, 64);
			count = oracle_count(id, 0, 0);
			assert_int_equal(count.on[cpu_nodes[c]], 64);
			remove_segments(NULL);
		}
}

static void first_reference_from_outside_goes_to_the_nearest_of_the_set(void **state)
{
	static const int binds[] = {MEM_SOFTBIND, MEM_HARDBIND};

	for (int i = 0; i < 2; i++) {
		int id = bound_segment(64, binds[i], 1ul << 1 | 1ul << 3);
		struct oracle_count count;

		/* a machine in a row: 0 is next to 1 */
		touch(id, 0, 0, 64);
		count = oracle_count(id, 0, 0);
		assert_int_equal(count.on[1], 64);
		remove_segments(NULL);
	}
}

static void first_reference_is_each_pages_own(void **state)
{
	int id = bound_segment(80, MEM_FIRSTREF | MEM_HARDBIND, 3);
	struct oracle_count count;

	touch(id, 0, 0, 30);
	touch(id, 1, 30, 50);
	count = oracle_count(id, 0, 0);
	assert_int_equal(count.on[0], 30);
	assert_int_equal(count.on[1], 50);
}

static void stripes_are_even_to_a_page_over_every_set(void **state)
{
	static const size_t sizes[] = {1, 7, 64, 1000};
	static const int binds[] = {MEM_SOFTBIND, MEM_HARDBIND};

	for (int b = 0; b < 2; b++)
		for (size_t i = 0; i < 4; i++)
			for (unsigned long nodes = 1; nodes < 16; nodes++) {
				int id = bound_segment(sizes[i], MEM_STRIPE | binds[b], nodes);
				struct oracle_count count;

				oracle_touch(id, 0, sizes[i]);
				count = oracle_count(id, 0, 0);
				assert_int_equal(sum_within(&count, nodes), sizes[i]);
				assert_true(unevenness(&count, nodes) <= 1);
				remove_segments(NULL);
			}
}

static void stripes_of_many_small_segments_are_even_together(void **state)
{
	struct oracle_count sum = {{0}, 0};

	for (int i = 0; i < 60; i++) {
		int id = bound_segment(1, MEM_STRIPE | (i % 2 ? MEM_HARDBIND : 0), 7);
		struct oracle_count count;

		oracle_touch(id, 0, 1);
		count = oracle_count(id, 0, 0);
		for (int node = 0; node < 3; node++)
			sum.on[node] += count.on[node];
		if (i % 6 == 5)
			remove_segments(NULL);
	}
	/* the kernel's ids do not go up by one at each step, so not exactly */
	for (int node = 0; node < 3; node++)
		assert_true(sum.on[node] >= 5);
}

static void an_order_of_touching_makes_no_difference_to_stripes(void **state)
{
	int id = bound_segment(90, MEM_STRIPE | MEM_HARDBIND, 0xe);
	struct oracle_count count;

	touch(id, 2, 60, 30);
	touch(id, 0, 30, 30);
	touch(id, 1, 0, 30);
	count = oracle_count(id, 0, 0);
	assert_int_equal(sum_within(&count, 0xe), 90);
	assert_int_equal(unevenness(&count, 0xe), 0);
}

/* More ranges than a process may have maps, and then more pages than there are ranges. */
static void hard_stripes_go_beyond_65530_ranges(void **state)
{
	static const size_t sizes[] = {65536, 66000};

	for (int i = 0; i < 2; i++) {
		size_t grain = (sizes[i] + 65535) / 65536;
		int id = bound_segment(sizes[i], MEM_STRIPE | MEM_HARDBIND, 0xd);
		struct oracle_count count;

		/* two ends and where one attach of the binder ended and the next began */
		for (size_t at = 0; at + 600 <= sizes[i]; at += (sizes[i] - 600) / 16) {
			oracle_touch(id, at, 600);
			count = oracle_count(id, at, 600);
			assert_int_equal(sum_within(&count, 0xd), 600);
			assert_true(unevenness(&count, 0xd) <= 2 * grain);
		}
		print_message("%zu pages: ranges of %zu\n", sizes[i], grain);
		remove_segments(NULL);
	}
}

static void the_shell_of_the_policies_is_read_back(void **state)
{
	static const int policies[] = {MEM_FIRSTREF | MEM_SOFTBIND, MEM_FIRSTREF | MEM_HARDBIND,
		MEM_STRIPE | MEM_SOFTBIND, MEM_STRIPE | MEM_HARDBIND, MEM_MOSTFREE | MEM_SOFTBIND,
		MEM_MOSTFREE | MEM_HARDBIND};

	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++) {
		struct mask mask = mask_of_bits(0xb);
		int id = bound_segment(100, policies[i], 0xb);

		assert_bound(id, policies[i], &mask);
	}
}

static void most_free_goes_to_the_node_with_most_free_memory(void **state)
{
	int id = bound_segment(16, MEM_MOSTFREE, 0xf), best = 0;
	struct oracle_count count;

	for (int node = 1; node < 4; node++)
		if (oracle_free(node) > oracle_free(best))
			best = node;
	/* far from the node that is chosen */
	touch(id, best ? 0 : 1, 0, 16);
	count = oracle_count(id, 0, 0);
	assert_int_equal(count.on[best], 16);
}

static void soft_bindings_overflow_to_other_nodes(void **state)
{
	static const int policies[] = {MEM_FIRSTREF, MEM_STRIPE, MEM_MOSTFREE};

	for (int i = 0; i < 3; i++) {
		size_t pages = (oracle_free(1) + (16u << 20)) / PAGE;
		int id = bound_segment(pages, policies[i], 2);
		struct oracle_count count;

		touch(id, 0, 0, pages);
		count = oracle_count(id, 0, 0);
		assert_int_equal(count.absent, 0);
		assert_true(count.on[1] > pages / 2);
		assert_true(count.on[1] < pages);
		remove_segments(NULL);
	}
}

static void refuse(size_t pages, int policy, unsigned long nodes)
{
	struct binding b = {
		new_segment(pages * PAGE, 0600 | SHM_NORESERVE), policy, 0, mask_of_bits(nodes)};

	assert_int_equal(in_child(0, bind_and_end, &b), ENOMEM);
	assert_int_equal(state_of(b.id).shm_nattch, 0);
	assert_unbound(b.id);
	remove_segments(NULL);
}

static void hard_bindings_that_cannot_be_kept_are_refused(void **state)
{
	size_t pages = oracle_free(1) / PAGE + 1;

	refuse(pages, MEM_FIRSTREF | MEM_HARDBIND, 2);
	refuse(pages, MEM_MOSTFREE | MEM_HARDBIND, 2);
	refuse(3 * pages, MEM_STRIPE | MEM_HARDBIND, 0xe);
	refuse(pages, MEM_HARDBIND | MEM_COMMIT, 2);
}

static void hard_bindings_hold_most_of_a_node(void **state)
{
	static const int orders[] = {MEM_FIRSTREF, MEM_STRIPE, MEM_MOSTFREE};

	for (int i = 0; i < 3; i++) {
		size_t pages = oracle_free(1) / PAGE * 7 / 10;
		int id = bound_segment(pages, orders[i] | MEM_HARDBIND, 2);
		struct oracle_count count;

		touch(id, 0, 0, pages);
		count = oracle_count(id, 0, 0);
		assert_int_equal(count.on[1], pages);
		remove_segments(NULL);
	}
}

static void commit_takes_all_pages_or_none(void **state)
{
	size_t pages = oracle_free(1) / PAGE * 7 / 10;
	int id = bound_segment(pages, MEM_STRIPE | MEM_HARDBIND | MEM_COMMIT, 2);
	struct oracle_count count = oracle_count(id, 0, 0);
	struct binding b = {.id = new_segment(pages * PAGE, 0600 | SHM_NORESERVE)};

	assert_int_equal(count.on[1], pages);
	/* there is no room for another one */
	b.policy = MEM_HARDBIND | MEM_COMMIT;
	b.mask = mask_of_bits(2);
	assert_int_equal(in_child(0, bind_and_end, &b), ENOMEM);
	count = oracle_count(b.id, 0, 0);
	assert_int_equal(count.absent, pages);
}

#define TEST(name) cmocka_unit_test_teardown(name, remove_segments)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_reference_is_local_where_the_set_allows),
		TEST(first_reference_from_outside_goes_to_the_nearest_of_the_set),
		TEST(first_reference_is_each_pages_own),
		TEST(stripes_are_even_to_a_page_over_every_set),
		TEST(stripes_of_many_small_segments_are_even_together),
		TEST(an_order_of_touching_makes_no_difference_to_stripes),
		TEST(hard_stripes_go_beyond_65530_ranges),
		TEST(the_shell_of_the_policies_is_read_back),
		TEST(most_free_goes_to_the_node_with_most_free_memory),
		TEST(soft_bindings_overflow_to_other_nodes),
		TEST(hard_bindings_that_cannot_be_kept_are_refused),
		TEST(hard_bindings_hold_most_of_a_node),
		TEST(commit_takes_all_pages_or_none),
	};

	return cmocka_run_group_tests(tests, look_at_the_machine, NULL);
}
