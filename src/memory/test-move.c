/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/test-memory.h"

#define SIZE (9 * MEBIBYTE)

static void revoked_memory_stays_with_its_former_users(void **state)
{
	MemoryAdopter *adopter;
	struct stat st, st2;
	int fd = new_reserved(SIZE, &st), fd2 = new_reserved(SIZE, &st2);
	char *p = new_anonymous(SIZE),
	     *theirs = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	pattern_fill(p, SIZE, 3);
	assert_int_equal(memory_adopt(adopter, p, SIZE, fd), 0);
	assert_true(pattern_holds(theirs, SIZE, 3));
	assert_int_equal(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, -1, fd2), 0);
	assert_true(pattern_holds(p, SIZE, 3));
	pattern_fill(theirs, SIZE, 4);
	assert_true(pattern_holds(p, SIZE, 3));
	pattern_fill(p, SIZE, 5);
	assert_true(pattern_holds(theirs, SIZE, 4));
	assert_int_equal(pwrite(fd2, "new", 3, 0), 3);
	assert_memory_equal(p, "new", 3);
	memory_adopter_free(adopter);
	munmap(p, SIZE);
	munmap(theirs, SIZE);
	close(fd);
	close(fd2);
}

/* Adopted pattern 1, then: page 1 replaced, page 3 unmapped, page 5 unreadable, the last 2 MiB
 * moved elsewhere. */
struct meddled {
	MemoryAdopter *adopter;
	char *p, *moved;
	int fd;
	struct stat st;
};

static void meddle(struct meddled *m)
{
	m->p = new_anonymous(SIZE);
	m->fd = new_reserved(SIZE, &m->st);
	assert_int_equal(memory_adopter_new(-1, &m->adopter), 0);
	pattern_fill(m->p, SIZE, 1);
	assert_int_equal(memory_adopt(m->adopter, m->p, SIZE, m->fd), 0);
	mmap(m->p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		0);
	strcpy(m->p + PAGE, "mine");
	munmap(m->p + 3 * PAGE, PAGE);
	mprotect(m->p + 5 * PAGE, PAGE, PROT_NONE);
	m->moved = mremap(m->p + SIZE - 2 * MEBIBYTE, 2 * MEBIBYTE, 2 * MEBIBYTE,
		MREMAP_MAYMOVE | MREMAP_FIXED, new_anonymous(2 * MEBIBYTE));
	assert_ptr_not_equal(m->moved, MAP_FAILED);
}

static void check_meddled(struct meddled *m)
{
	char *other = new_anonymous(SIZE), vec[1];

	pattern_fill(other, SIZE, 1);
	assert_memory_equal(m->p, other, PAGE);
	assert_string_equal(m->p + PAGE, "mine");
	assert_memory_equal(m->p + 2 * PAGE, other + 2 * PAGE, PAGE);
	assert_int_equal(mincore(m->p + 3 * PAGE, PAGE, (void *)vec), -1);
	assert_int_equal(mincore(m->p + SIZE - PAGE, PAGE, (void *)vec), -1);
	assert_false(is_private(m->p + 5 * PAGE, PAGE));
	assert_int_equal(mprotect(m->p + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_memory_equal(m->p + 4 * PAGE, other + 4 * PAGE, SIZE - 2 * MEBIBYTE - 4 * PAGE);
	munmap(other, SIZE);
}

static void unmeddle(struct meddled *m)
{
	memory_adopter_free(m->adopter);
	munmap(m->p, SIZE - 2 * MEBIBYTE);
	munmap(m->moved, 2 * MEBIBYTE);
	close(m->fd);
}

static void undo_what_is_meddled_with(bool source)
{
	struct meddled m;

	meddle(&m);
	assert_int_equal(
		memory_move(m.adopter, m.p, SIZE, m.st.st_dev, m.st.st_ino, source ? m.fd : -1, -1),
		0);
	check_meddled(&m);
	assert_true(is_private(m.p, 3 * PAGE));
	assert_true(is_private(m.p + 4 * PAGE, SIZE - 2 * MEBIBYTE - 4 * PAGE));
	unmeddle(&m);
}

static void undo_leaves_alone_what_the_program_has_replaced(void **state)
{
	undo_what_is_meddled_with(false);
	undo_what_is_meddled_with(true);
}

static void revocation_carries_over_what_the_program_has_unmapped(void **state)
{
	struct meddled m;
	struct stat st;
	int fd = new_reserved(SIZE, &st);
	char *all = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

	meddle(&m);
	assert_int_equal(memory_move(m.adopter, m.p, SIZE, m.st.st_dev, m.st.st_ino, -1, fd), 0);
	check_meddled(&m);
	assert_true(pattern_holds(all, SIZE, 1));
	munmap(all, SIZE);
	close(fd);
	unmeddle(&m);
}

static void undo_of_memory_that_is_all_gone_does_nothing(void **state)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(SIZE, &st);
	char *p = new_anonymous(SIZE);

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	assert_int_equal(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, -1, -1), 0);
	munmap(p, SIZE);
	assert_int_equal(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, -1, -1), 0);
	memory_adopter_free(adopter);
	close(fd);
}

/* Programs close what they do not know, and numbers are used again. */
static void a_descriptor_of_something_else_is_not_read(void **state)
{
	MemoryAdopter *adopter;
	struct stat st, st2;
	int fd = new_reserved(SIZE, &st), other = new_reserved(SIZE, &st2);
	char *p = new_anonymous(SIZE);

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	pattern_fill(p, SIZE, 1);
	assert_int_equal(memory_adopt(adopter, p, SIZE, fd), 0);
	assert_int_equal(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, other, -1), 0);
	assert_true(is_private(p, SIZE));
	assert_true(pattern_holds(p, SIZE, 1));
	memory_adopter_free(adopter);
	munmap(p, SIZE);
	close(fd);
	close(other);
}

static void a_child_gets_memory_of_its_own(bool by_copy)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(SIZE, &st), go[2], status;
	char *p = new_anonymous(SIZE), c = 0;
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	pattern_fill(p, SIZE, 1);
	assert_int_equal(memory_adopt(adopter, p, SIZE, fd), 0);
	munmap(p + PAGE, PAGE);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(30);
		child_require(
			memory_make_private(p, SIZE, st.st_dev, st.st_ino, by_copy ? -1 : fd) == 0);
		memory_adopter_free(adopter);
		child_require(is_private(p, PAGE));
		memset(p, 7, PAGE);
		child_require(write(go[1], "x", 1) == 1);
		usleep(50000);
		child_require(p[0] == 7);
		/* pages that it has not stored to keep what they were at the fork only by copy */
		child_require(!by_copy || p[5 * PAGE] != 9);
		_exit(0);
	}
	assert_int_equal(read(go[0], &c, 1), 1);
	p[5 * PAGE] = 9;
	assert_int_not_equal(p[0], 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	memory_adopter_free(adopter);
	munmap(p, SIZE);
	close(fd);
	close(go[0]);
	close(go[1]);
}

static void a_child_gets_memory_of_its_own_copied_on_write(void **state)
{
	a_child_gets_memory_of_its_own(false);
}

static void a_child_gets_memory_of_its_own_by_copy(void **state)
{
	a_child_gets_memory_of_its_own(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revoked_memory_stays_with_its_former_users),
		cmocka_unit_test(undo_leaves_alone_what_the_program_has_replaced),
		cmocka_unit_test(revocation_carries_over_what_the_program_has_unmapped),
		cmocka_unit_test(undo_of_memory_that_is_all_gone_does_nothing),
		cmocka_unit_test(a_descriptor_of_something_else_is_not_read),
		cmocka_unit_test(a_child_gets_memory_of_its_own_copied_on_write),
		cmocka_unit_test(a_child_gets_memory_of_its_own_by_copy),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
