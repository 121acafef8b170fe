/* SPDX-License-Identifier: Apache-2.0 */

/* The memory behind one coherent segment on one node. */

#include "memory/page-store.h"
#include "memory/test-memory.h"

#define PAGES 8
#define SIZE  (PAGES * PAGE)

static void fill(char *page, int value)
{
	memset(page, value, PAGE);
}

static bool is_all(const char *page, int value)
{
	for (size_t i = 0; i < PAGE; i++)
		if (page[i] != (char)value)
			return false;
	return true;
}

struct runs {
	unsigned int n;
	uint64_t offset[8], length[8];
};

static void note_run(void *userdata, uint64_t offset, uint64_t n)
{
	struct runs *runs = userdata;

	assert_true(runs->n < 8);
	runs->offset[runs->n] = offset;
	runs->length[runs->n++] = n;
}

static void a_new_store_is_empty_and_reads_as_zeros(void **state)
{
	struct page_store s;
	struct runs runs = {0};
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	assert_int_equal(s.map_size, PAGES);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(s.map[i], 0);
	assert_int_equal(page_store_read(&s, 3 * PAGE, page, PAGE), 0);
	assert_true(is_all(page, 0));
	assert_int_equal(page_store_present(&s, note_run, &runs), 0);
	assert_int_equal(runs.n, 0);
	page_store_close(&s);
}

static void runs_of_what_is_there_are_told_in_order(void **state)
{
	struct page_store s;
	struct runs runs = {0};
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	fill(page, 1);
	for (unsigned int i = 0; i < PAGES; i++)
		if (i != 0 && i != 4)
			assert_int_equal(page_store_write(&s, i * PAGE, page, PAGE), 0);
	assert_int_equal(page_store_punch(&s, 6 * PAGE, PAGE), 0);
	assert_int_equal(page_store_present(&s, note_run, &runs), 0);
	assert_int_equal(runs.n, 3);
	assert_int_equal(runs.offset[0], PAGE);
	assert_int_equal(runs.length[0], 3 * PAGE);
	assert_int_equal(runs.offset[1], 5 * PAGE);
	assert_int_equal(runs.length[1], PAGE);
	assert_int_equal(runs.offset[2], 7 * PAGE);
	page_store_close(&s);
}

static void reserving_keeps_content_and_makes_zeros(void **state)
{
	struct page_store s;
	struct stat st;
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	fill(page, 5);
	assert_int_equal(page_store_write(&s, PAGE, page, PAGE), 0);
	assert_int_equal(page_store_reserve(&s, 0, 2 * PAGE), 0);
	assert_int_equal(fstat(s.memory, &st), 0);
	assert_int_equal(st.st_blocks * 512, 2 * PAGE);
	assert_int_equal(page_store_read(&s, PAGE, page, PAGE), 0);
	assert_true(is_all(page, 5));
	assert_int_equal(page_store_read(&s, 0, page, PAGE), 0);
	assert_true(is_all(page, 0));
	page_store_close(&s);
}

static void what_is_aside_survives_the_punch_and_comes_back(void **state)
{
	struct page_store s;
	struct stat st;
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	for (int i = 0; i < PAGES; i++) {
		fill(page, 10 + i);
		assert_int_equal(page_store_write(&s, (unsigned int)i * PAGE, page, PAGE), 0);
	}
	assert_int_equal(page_store_save(&s, 0, SIZE), 0);
	assert_int_equal(page_store_punch(&s, 0, SIZE), 0);
	assert_int_equal(page_store_read_aside(&s, 6 * PAGE, page, PAGE), 0);
	assert_true(is_all(page, 16));
	assert_int_equal(page_store_recover(&s, 5 * PAGE, PAGE), 0);
	assert_int_equal(page_store_read(&s, 5 * PAGE, page, PAGE), 0);
	assert_true(is_all(page, 15));
	assert_int_equal(page_store_read(&s, 4 * PAGE, page, PAGE), 0);
	assert_true(is_all(page, 0));
	assert_int_equal(page_store_forget_aside(&s, 0, SIZE), 0);
	assert_int_equal(fstat(s.aside, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	page_store_close(&s);
}

static void a_node_holds_no_more_aside_than_it_may(void **state)
{
	struct page_store s;
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	s.aside_bytes = 2 * PAGE;
	fill(page, 1);
	assert_int_equal(page_store_write(&s, 0, page, PAGE), 0);
	assert_int_equal(page_store_save(&s, 0, 3 * PAGE), -ENOSPC);
	assert_int_equal(page_store_save(&s, 0, 2 * PAGE), 0);
	assert_int_equal(page_store_save(&s, 4 * PAGE, PAGE), -ENOSPC);
	assert_int_equal(page_store_forget_aside(&s, 0, PAGE), 0);
	assert_int_equal(page_store_save(&s, 4 * PAGE, PAGE), 0);
	page_store_close(&s);
}

static void a_home_uses_the_segments_own_memory_where_it_begins(void **state)
{
	struct page_store s;
	struct runs runs = {0};
	struct stat st;
	int memory = new_reserved(SIZE + 2 * PAGE, &st);
	char page[PAGE], there[PAGE];

	assert_int_equal(page_store_new_home(memory, 3 * PAGE, SIZE, 16, &s), -EBADMSG);
	assert_int_equal(page_store_new_home(memory, PAGE, SIZE, PAGES * 16, &s), 0);
	fill(page, 7);
	assert_int_equal(page_store_write(&s, 2 * PAGE, page, PAGE), 0);
	assert_int_equal(pread(memory, there, PAGE, 3 * PAGE), PAGE);
	assert_memory_equal(page, there, PAGE);
	assert_int_equal(page_store_save(&s, 2 * PAGE, PAGE), 0);
	assert_int_equal(page_store_punch(&s, 0, SIZE), 0);
	assert_int_equal(pread(memory, there, PAGE, 3 * PAGE), PAGE);
	assert_true(is_all(there, 0));
	assert_int_equal(page_store_present(&s, note_run, &runs), 0);
	assert_int_equal(runs.n, 0); /* what lies around is not ours */
	assert_int_equal(page_store_recover(&s, 2 * PAGE, PAGE), 0);
	assert_int_equal(page_store_read(&s, 2 * PAGE, there, PAGE), 0);
	assert_memory_equal(page, there, PAGE);
	page_store_close(&s);
	assert_int_equal(close(memory), 0); /* it stayed ours */
}

static void nothing_reaches_beyond_the_segment(void **state)
{
	struct page_store s;
	struct stat st;
	int memory = new_reserved(SIZE + 4 * PAGE, &st);
	char page[PAGE] = {0};

	assert_int_equal(page_store_new_home(memory, PAGE, SIZE, PAGES * 16, &s), 0);
	assert_int_equal(page_store_write(&s, SIZE, page, PAGE), -EINVAL);
	assert_int_equal(page_store_write(&s, SIZE - PAGE, page, 2 * PAGE), -EINVAL);
	assert_int_equal(page_store_write(&s, UINT64_MAX, page, PAGE), -EINVAL);
	assert_int_equal(page_store_read(&s, SIZE, page, PAGE), -EINVAL);
	assert_int_equal(page_store_punch(&s, SIZE, PAGE), -EINVAL);
	assert_int_equal(page_store_punch(&s, 0, SIZE + PAGE), -EINVAL);
	assert_int_equal(page_store_reserve(&s, SIZE, PAGE), -EINVAL);
	assert_int_equal(page_store_save(&s, 0, SIZE + PAGE), -EINVAL);
	assert_int_equal(page_store_recover(&s, SIZE, PAGE), -EINVAL);
	assert_int_equal(page_store_write_aside(&s, SIZE, page, PAGE), -EINVAL);
	assert_int_equal(page_store_read_aside(&s, SIZE, page, PAGE), -EINVAL);
	assert_int_equal(page_store_forget_aside(&s, SIZE, PAGE), -EINVAL);
	page_store_close(&s);
	close(memory);
}

/* As a keeper does: it holds the descriptors, and a successor opens what they are. */
static void a_successor_finds_what_its_predecessor_left(void **state)
{
	struct page_store s, next;
	int memory, table, aside;
	char page[PAGE];

	assert_int_equal(page_store_new(SIZE, &s), 0);
	fill(page, 9);
	assert_int_equal(page_store_write(&s, PAGE, page, PAGE), 0);
	assert_int_equal(page_store_write_aside(&s, 2 * PAGE, page, PAGE), 0);
	s.map[1] = 3;
	memory = dup(s.memory);
	table = dup(s.table);
	aside = dup(s.aside);
	page_store_close(&s);

	assert_int_equal(
		page_store_open(false, memory, 0, SIZE, PAGES + 1, table, aside, &next), -EBADMSG);
	assert_int_equal(
		page_store_open(false, memory, 0, 2 * SIZE, 2 * PAGES, table, aside, &next),
		-EBADMSG);
	assert_int_equal(
		page_store_open(false, memory, 0, SIZE, PAGES, aside, table, &next), -EBADMSG);
	assert_int_equal(page_store_open(false, memory, 0, SIZE, PAGES, table, aside, &next), 0);
	assert_int_equal(next.map[1], 3);
	assert_int_equal(page_store_read(&next, PAGE, page, PAGE), 0);
	assert_true(is_all(page, 9));
	assert_int_equal(page_store_read_aside(&next, 2 * PAGE, page, PAGE), 0);
	assert_true(is_all(page, 9));
	page_store_close(&next);
}

static void read_only_memory_cannot_be_written_by_who_is_nobody(void)
{
	struct page_store s;
	char path[32];
	int fd;

	child_require(page_store_new(SIZE, &s) == 0);
	child_require(page_store_lend(&s, true, &fd) == 0);
	page_store_close(&s);
	child_require(geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0));
	child_require(write(fd, "", 1) < 0);
	child_require(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	child_require(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	child_require(geteuid() != 65534 || open(path, O_RDWR | O_CLOEXEC) < 0);
	_exit(0);
}

static void what_is_lent_to_read_cannot_be_written(void **state)
{
	run_in_child(read_only_memory_cannot_be_written_by_who_is_nobody);
}

static void stores_come_and_go_without_a_trace(void **state)
{
	unsigned int before = count_descriptors();
	struct page_store s;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(page_store_new(SIZE, &s), 0);
		page_store_close(&s);
	}
	assert_int_equal(page_store_new(0, &s), -EINVAL);
	assert_int_equal(page_store_new(PAGE + 1, &s), -EINVAL);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(count_mappings("causeway-pages"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_store_is_empty_and_reads_as_zeros),
		cmocka_unit_test(runs_of_what_is_there_are_told_in_order),
		cmocka_unit_test(reserving_keeps_content_and_makes_zeros),
		cmocka_unit_test(what_is_aside_survives_the_punch_and_comes_back),
		cmocka_unit_test(a_node_holds_no_more_aside_than_it_may),
		cmocka_unit_test(a_home_uses_the_segments_own_memory_where_it_begins),
		cmocka_unit_test(nothing_reaches_beyond_the_segment),
		cmocka_unit_test(a_successor_finds_what_its_predecessor_left),
		cmocka_unit_test(what_is_lent_to_read_cannot_be_written),
		cmocka_unit_test(stores_come_and_go_without_a_trace),
	};

	return cmocka_run_group_tests_name("page-store", tests, NULL, NULL);
}
