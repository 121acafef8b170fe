/* SPDX-License-Identifier: Apache-2.0 */

/* What other threads store while memory changes under them. */

#include "memory/test-memory.h"
#include "memory/test-writers.h"

static void no_store_is_lost_while_memory_moves(void **state)
{
	size_t size = 24 * MEBIBYTE;
	struct writers w;
	MemoryAdopter *adopter;
	char *p = new_anonymous(size);
	struct stat st, st2;

	memset(p, 0, size / 2);
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	writers_start(&w, p, size, 2);
	for (int i = 0; i < 4; i++) {
		int fd = new_reserved(size, &st), fd2 = new_reserved(size, &st2);

		assert_int_equal(memory_adopt(adopter, p, size, fd), 0);
		assert_int_equal(memory_move(adopter, p, size, st.st_dev, st.st_ino, -1, fd2), 0);
		assert_int_equal(
			memory_move(adopter, p, size, st2.st_dev, st2.st_ino, i % 2 ? fd2 : -1, -1),
			0);
		assert_true(is_private(p, size));
		close(fd);
		close(fd2);
	}
	assert_int_equal(writers_finish(&w), 0);
	assert_int_equal(w.kernel_failed, 0);
	assert_true(w.kernel_done > 0);
	memory_adopter_free(adopter);
	munmap(p, size);
}

/* Not anonymous: userfaultfd refuses it, the other threads are stopped instead. */
static void no_store_is_lost_while_a_file_map_moves(void **state)
{
	size_t size = 4 * MEBIBYTE;
	int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	MemoryAdopter *adopter;

	assert_int_equal(ftruncate(file, (off_t)size), 0);
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	for (int i = 0; i < 10; i++) {
		struct stat st;
		struct writers w;
		int fd = new_reserved(size, &st);
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);

		writers_start(&w, p, size, 2);
		usleep(5000);
		assert_int_equal(memory_adopt(adopter, p, size, fd), 0);
		assert_false(is_private(p, size));
		assert_int_equal(writers_finish(&w), 0);
		assert_int_equal(w.kernel_failed, 0);
		munmap(p, size);
		close(fd);
	}
	memory_adopter_free(adopter);
	close(file);
}

/* Shows that the writers do see losses: MEMORY_TEST_NAIVE=1 copies and maps without protection. */
static void the_naive_way_loses_stores(void **state)
{
	size_t size = 24 * MEBIBYTE;
	struct writers w;
	struct stat st;
	char *p;

	if (!getenv("MEMORY_TEST_NAIVE")) {
		print_message("skip: set MEMORY_TEST_NAIVE=1 to see stores lost\n");
		skip();
	}
	p = new_anonymous(size);
	writers_start(&w, p, size, 2);
	for (int i = 0; i < 4; i++) {
		int fd = new_reserved(size, &st);

		usleep(10000);
		assert_int_equal(pwrite(fd, p, size, 0), size);
		assert_ptr_equal(
			mmap(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), p);
		close(fd);
	}
	assert_int_not_equal(writers_finish(&w), 0);
	munmap(p, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_store_is_lost_while_memory_moves),
		cmocka_unit_test(no_store_is_lost_while_a_file_map_moves),
		cmocka_unit_test(the_naive_way_loses_stores),
	};

	alarm(60);
	return cmocka_run_group_tests_name("stores", tests, NULL, NULL);
}
