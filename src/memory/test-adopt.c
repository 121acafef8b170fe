/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/adopter.h"
#include "memory/test-memory.h"
#include "memory/uffd.h"

#define SIZE (9 * MEBIBYTE)

static char bss[4 * PAGE] __attribute__((aligned(4096)));
static char data[4 * PAGE] __attribute__((aligned(4096))) = {1};

/* Adopts, checks that it is the memfd now, gives back, checks that it is private again. */
static void adopt_and_undo_with(char *p, size_t size, bool source)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(size, &st);
	char byte;

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	pattern_fill(p, size, 1);
	assert_int_equal(memory_adopt(adopter, p, size, fd), 0);
	assert_true(pattern_holds(p, size, 1));
	assert_false(is_private(p, size));
	p[size - 1] = 42;
	assert_int_equal(pread(fd, &byte, 1, (off_t)size - 1), 1);
	assert_int_equal(byte, 42);
	pattern_fill(p, size, 2);
	assert_int_equal(
		memory_move(adopter, p, size, st.st_dev, st.st_ino, source ? fd : -1, -1), 0);
	assert_true(pattern_holds(p, size, 2));
	assert_true(is_private(p, size));
	p[0] = 43;
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_not_equal(byte, 43);
	memory_adopter_free(adopter);
	close(fd);
}

static void adopt_and_undo(char *p, size_t size)
{
	adopt_and_undo_with(p, size, false);
	adopt_and_undo_with(p, size, true);
}

static void every_private_kind_is_adopted_and_given_back(void)
{
	int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char *p = new_anonymous(SIZE);
	char *heap = (char *)(((uintptr_t)sbrk(8 * PAGE) + PAGE - 1) & -PAGE);

	adopt_and_undo(p, SIZE);
	adopt_and_undo(p + PAGE, PAGE);
	munmap(p, SIZE);
	adopt_and_undo(heap, 4 * PAGE);
	adopt_and_undo(bss, sizeof(bss));
	adopt_and_undo(data, sizeof(data));
	assert_int_equal(ftruncate(file, 4 * PAGE), 0);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	adopt_and_undo(p, 4 * PAGE);
	munmap(p, 4 * PAGE);
	close(file);
}

static void every_private_kind_is_adopted_in_a_process_with_one_thread(void **state)
{
	assert_int_equal(memory_count_threads(), 1);
	every_private_kind_is_adopted_and_given_back();
}

static void every_private_kind_is_adopted_in_a_process_with_more_threads(void **state)
{
	pthread_t thread;

	thread = idle_start();
	assert_int_equal(memory_count_threads(), 2);
	every_private_kind_is_adopted_and_given_back();
	idle_stop(thread);
}

static void memory_without_pages_is_adopted_as_zeros(void **state)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(SIZE, &st);
	char *p = new_anonymous(SIZE);
	pthread_t thread;

	thread = idle_start();
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	p[PAGE] = 1;
	assert_int_equal(memory_adopt(adopter, p, SIZE, fd), 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(p[i], i == PAGE);
	idle_stop(thread);
	memory_adopter_free(adopter);
	munmap(p, SIZE);
	close(fd);
}

static int adopt_own_stack(void)
{
	char *p = (char *)(((uintptr_t)__builtin_frame_address(0) & -PAGE) - 2 * PAGE);
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(3 * PAGE, &st), r;

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	r = memory_adopt(adopter, p, 3 * PAGE, fd);
	memory_adopter_free(adopter);
	close(fd);
	return r;
}

static void the_stack_in_use_is_not_adopted(void **state)
{
	assert_int_equal(adopt_own_stack(), MEMORY_WRONG_KIND);
}

static void memory_that_another_userfaultfd_watches_is_busy(void **state)
{
	char *p = new_anonymous(2 * PAGE);
	MemoryAdopter *adopter;
	enum uffd_kind kind;
	struct stat st;
	int fd = new_reserved(2 * PAGE, &st), uffd;

	pattern_fill(p, 2 * PAGE, 1);
	assert_int_equal(uffd_new(-1, &kind, &uffd), 0);
	assert_int_equal(uffd_api(uffd, 0), 0);
	assert_int_equal(uffd_register_wp(uffd, (uintptr_t)p + PAGE, PAGE), 0);
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	assert_int_equal(memory_adopt(adopter, p, 2 * PAGE, fd), MEMORY_BUSY);
	assert_true(is_private(p, 2 * PAGE));
	assert_true(pattern_holds(p, 2 * PAGE, 1));
	close(uffd);
	assert_int_equal(memory_adopt(adopter, p, 2 * PAGE, fd), 0);
	assert_true(pattern_holds(p, 2 * PAGE, 1));
	memory_adopter_free(adopter);
	munmap(p, 2 * PAGE);
	close(fd);
}

static void nothing_is_left_open_or_mapped(void **state)
{
	static const char *const ours[] = {"memfd:test", "---p"};
	unsigned int fds = count_descriptors(), maps[2];

	for (int i = 0; i < 2; i++)
		maps[i] = count_mappings(ours[i]);
	every_private_kind_is_adopted_and_given_back();
	assert_int_equal(count_descriptors(), fds);
	for (int i = 0; i < 2; i++)
		assert_int_equal(count_mappings(ours[i]), maps[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_private_kind_is_adopted_in_a_process_with_one_thread),
		cmocka_unit_test(nothing_is_left_open_or_mapped),
		cmocka_unit_test(every_private_kind_is_adopted_in_a_process_with_more_threads),
		cmocka_unit_test(memory_without_pages_is_adopted_as_zeros),
		cmocka_unit_test(memory_that_another_userfaultfd_watches_is_busy),
		cmocka_unit_test(the_stack_in_use_is_not_adopted),
	};

	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
