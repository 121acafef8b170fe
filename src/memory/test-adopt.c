/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include "memory/test-memory.h"
#include "memory/test-writers.h"

#define SIZE (9 * MEBIBYTE)

static char bss[4 * PAGE] __attribute__((aligned(4096)));
static char data[4 * PAGE] __attribute__((aligned(4096))) = {1};

static void expect_kind(void *address, size_t size, int result, enum memory_kind kind)
{
	enum memory_kind k = 99;

	assert_int_equal(memory_classify(address, size, &k), result);
	assert_int_equal(k, result ? 99 : kind);
}

static void memory_of_every_kind_is_told_apart(void **state)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600), fd, file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char *p = new_anonymous(4 * PAGE), *other, *sysv = shmat(id, NULL, 0), local[1];
	char *heap = (char *)(((uintptr_t)sbrk(4 * PAGE) + PAGE - 1) & -PAGE);
	struct stat st;

	shmctl(id, IPC_RMID, NULL);
	expect_kind(p, 4 * PAGE, 0, MEMORY_PRIVATE);
	expect_kind(heap, 2 * PAGE, 0, MEMORY_PRIVATE);
	expect_kind(bss, sizeof(bss), 0, MEMORY_PRIVATE);
	expect_kind(data, sizeof(data), 0, MEMORY_PRIVATE);
	expect_kind(sysv, 4 * PAGE, 0, MEMORY_SYSV);
	expect_kind(local, 1, MEMORY_WRONG_KIND, 0);
	expect_kind((void *)(uintptr_t)expect_kind, 1, MEMORY_BAD_ADDRESS, 0);
	expect_kind(NULL, PAGE, MEMORY_BAD_ADDRESS, 0);
	expect_kind(p, 0, MEMORY_BAD_ADDRESS, 0);
	expect_kind(p, SIZE_MAX, MEMORY_BAD_ADDRESS, 0);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_READ), 0);
	expect_kind(p, PAGE, 0, MEMORY_PRIVATE);
	expect_kind(p, 4 * PAGE, MEMORY_BAD_ADDRESS, 0);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_NONE), 0);
	expect_kind(p, 4 * PAGE, MEMORY_BAD_ADDRESS, 0);
	munmap(p + PAGE, PAGE);
	expect_kind(p, 4 * PAGE, MEMORY_BAD_ADDRESS, 0);
	expect_kind(p + PAGE, PAGE, MEMORY_BAD_ADDRESS, 0);

	other = mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	expect_kind(other, PAGE, 0, MEMORY_SHARED_ANON);
	expect_kind(p, 2 * PAGE, MEMORY_WRONG_KIND, 0);
	fd = new_reserved(PAGE, &st);
	mmap(other, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	expect_kind(other, PAGE, MEMORY_WRONG_KIND, 0);
	assert_int_equal(ftruncate(file, PAGE), 0);
	mmap(other, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	expect_kind(other, PAGE, MEMORY_WRONG_KIND, 0);
	mmap(other, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0);
	expect_kind(p, 4 * PAGE, 0, MEMORY_PRIVATE);
	close(file);
	file = open("/dev/zero", O_RDWR);
	mmap(other, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0);
	expect_kind(other, PAGE, 0, MEMORY_PRIVATE);
	shmdt(sysv);
	munmap(p, 4 * PAGE);
	close(file);
	close(fd);
}

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
	assert_int_equal(memory_move(adopter, p, size, st.st_dev, st.st_ino, source ? fd : -1, -1), 0);
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

static void *sleep_until_cancelled(void *userdata)
{
	for (;;)
		pause();
	return NULL;
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

	pthread_create(&thread, NULL, sleep_until_cancelled, NULL);
	assert_int_equal(memory_count_threads(), 2);
	every_private_kind_is_adopted_and_given_back();
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

static void memory_without_pages_is_adopted_as_zeros(void **state)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(SIZE, &st);
	char *p = new_anonymous(SIZE);
	pthread_t thread;

	pthread_create(&thread, NULL, sleep_until_cancelled, NULL);
	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	p[PAGE] = 1;
	assert_int_equal(memory_adopt(adopter, p, SIZE, fd), 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(p[i], i == PAGE);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	memory_adopter_free(adopter);
	munmap(p, SIZE);
	close(fd);
}

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
		assert_int_equal(memory_move(adopter, p, size, st2.st_dev, st2.st_ino, -1, -1), 0);
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
		assert_ptr_equal(mmap(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), p);
		close(fd);
	}
	assert_int_not_equal(writers_finish(&w), 0);
	munmap(p, size);
}

static void revoked_memory_stays_with_its_former_users(void **state)
{
	MemoryAdopter *adopter;
	struct stat st, st2;
	int fd = new_reserved(SIZE, &st), fd2 = new_reserved(SIZE, &st2);
	char *p = new_anonymous(SIZE), *theirs = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

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

/* Adopted pattern 1, then: page 1 replaced, page 3 unmapped, page 5 unreadable, the last 2 MiB moved
 * elsewhere. */
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
	mmap(m->p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	strcpy(m->p + PAGE, "mine");
	munmap(m->p + 3 * PAGE, PAGE);
	mprotect(m->p + 5 * PAGE, PAGE, PROT_NONE);
	m->moved = mremap(m->p + SIZE - 2 * MEBIBYTE, 2 * MEBIBYTE, 2 * MEBIBYTE, MREMAP_MAYMOVE |
		MREMAP_FIXED, new_anonymous(2 * MEBIBYTE));
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
	expect_kind(m->p + 5 * PAGE, PAGE, MEMORY_BAD_ADDRESS, 0);
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

static void undo_leaves_alone_what_the_program_has_replaced(void **state)
{
	struct meddled m;

	meddle(&m);
	assert_int_equal(memory_move(m.adopter, m.p, SIZE, m.st.st_dev, m.st.st_ino, -1, -1), 0);
	check_meddled(&m);
	assert_true(is_private(m.p, 3 * PAGE));
	assert_true(is_private(m.p + 4 * PAGE, SIZE - 2 * MEBIBYTE - 4 * PAGE));
	unmeddle(&m);
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
		child_require(memory_make_private(p, SIZE, st.st_dev, st.st_ino, by_copy ? -1 : fd) == 0);
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

/* What container profiles do. */
static void forbid(int first, int second)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ELEMENTS(code), code};

	child_require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	child_require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void adopt_without_any_right(void)
{
	MemoryAdopter *adopter;
	struct stat st;
	int fd = new_reserved(SIZE, &st), fd2 = new_reserved(SIZE, &st);
	char *p = new_anonymous(SIZE);
	pthread_t thread;

	forbid(SYS_userfaultfd, SYS_ptrace);
	pattern_fill(p, SIZE, 1);
	child_require(memory_adopter_new(-1, &adopter) == 0);
	pthread_create(&thread, NULL, sleep_until_cancelled, NULL);
	child_require(memory_adopt(adopter, p, SIZE, fd) == MEMORY_NO_RIGHT);
	child_require(is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	child_require(memory_count_threads() == 1);
	child_require(memory_adopt(adopter, p, SIZE, fd2) == 0);
	child_require(!is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	child_require(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, -1, -1) == 0);
	child_require(is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	memory_adopter_free(adopter);
}

static void adopt_without_userfaultfd(void)
{
	size_t size = 4 * MEBIBYTE;
	char *p = new_anonymous(size);
	MemoryAdopter *adopter;
	struct writers w;
	struct stat st;

	forbid(SYS_userfaultfd, SYS_userfaultfd);
	child_require(memory_adopter_new(-1, &adopter) == 0);
	writers_start(&w, p, size, 2);
	for (int i = 0; i < 10; i++) {
		int fd = new_reserved(size, &st);

		usleep(2000);
		child_require(memory_adopt(adopter, p, size, fd) == 0);
		usleep(2000);
		child_require(memory_move(adopter, p, size, st.st_dev, st.st_ino, -1, -1) == 0);
		close(fd);
	}
	child_require(writers_finish(&w) == 0);
	child_require(w.kernel_failed == 0);
	memory_adopter_free(adopter);
}

static void adopt_as_a_user(void)
{
	size_t size = 4 * MEBIBYTE;
	char *p = new_anonymous(size);
	MemoryAdopter *adopter;
	struct writers w;
	struct stat st;

	child_require(geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0));
	child_require(prctl(PR_SET_DUMPABLE, 1) == 0);
	child_require(memory_adopter_new(-1, &adopter) == 0);
	writers_start(&w, p, size, 2);
	for (int i = 0; i < 10; i++) {
		int fd = new_reserved(size, &st);

		usleep(2000);
		child_require(memory_adopt(adopter, p, size, fd) == 0);
		usleep(2000);
		child_require(memory_move(adopter, p, size, st.st_dev, st.st_ino, -1, -1) == 0);
		close(fd);
	}
	child_require(writers_finish(&w) == 0);
	/* a userfaultfd of faults in user mode only would make read(2) fail */
	child_require(w.kernel_failed == 0);
	memory_adopter_free(adopter);
}

static void system_calls_of_an_ordinary_user_do_not_fail_meanwhile(void **state)
{
	run_in_child(adopt_as_a_user);
}

static void no_store_is_lost_without_userfaultfd(void **state)
{
	run_in_child(adopt_without_userfaultfd);
}

static void without_userfaultfd_and_ptrace_only_one_thread_can_adopt(void **state)
{
	run_in_child(adopt_without_any_right);
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
		cmocka_unit_test(memory_of_every_kind_is_told_apart),
		cmocka_unit_test(every_private_kind_is_adopted_in_a_process_with_one_thread),
		cmocka_unit_test(nothing_is_left_open_or_mapped),
		cmocka_unit_test(without_userfaultfd_and_ptrace_only_one_thread_can_adopt),
		cmocka_unit_test(every_private_kind_is_adopted_in_a_process_with_more_threads),
		cmocka_unit_test(no_store_is_lost_while_a_file_map_moves),
		cmocka_unit_test(no_store_is_lost_without_userfaultfd),
		cmocka_unit_test(system_calls_of_an_ordinary_user_do_not_fail_meanwhile),
		cmocka_unit_test(memory_without_pages_is_adopted_as_zeros),
		cmocka_unit_test(no_store_is_lost_while_memory_moves),
		cmocka_unit_test(the_naive_way_loses_stores),
		cmocka_unit_test(revoked_memory_stays_with_its_former_users),
		cmocka_unit_test(undo_leaves_alone_what_the_program_has_replaced),
		cmocka_unit_test(revocation_carries_over_what_the_program_has_unmapped),
		cmocka_unit_test(the_stack_in_use_is_not_adopted),
		cmocka_unit_test(undo_of_memory_that_is_all_gone_does_nothing),
		cmocka_unit_test(a_child_gets_memory_of_its_own_copied_on_write),
		cmocka_unit_test(a_child_gets_memory_of_its_own_by_copy),
	};

	alarm(120);
	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
