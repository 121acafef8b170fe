/* SPDX-License-Identifier: Apache-2.0 */

/* What is left where the process may not do all that adoption would like to. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "memory/adopter.h"
#include "memory/test-memory.h"
#include "memory/test-writers.h"

#define SIZE (9 * MEBIBYTE)

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
	thread = idle_start();
	child_require(memory_adopt(adopter, p, SIZE, fd) == MEMORY_NO_RIGHT);
	child_require(is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	idle_stop(thread);
	child_require(memory_count_threads() == 1);
	child_require(memory_adopt(adopter, p, SIZE, fd2) == 0);
	child_require(!is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	child_require(memory_move(adopter, p, SIZE, st.st_dev, st.st_ino, -1, -1) == 0);
	child_require(is_private(p, SIZE) && pattern_holds(p, SIZE, 1));
	memory_adopter_free(adopter);
}

static void without_userfaultfd_and_ptrace_only_one_thread_can_adopt(void **state)
{
	run_in_child(adopt_without_any_right);
}

static void adopt_and_undo_under_writers(void)
{
	size_t size = 4 * MEBIBYTE;
	char *p = new_anonymous(size);
	MemoryAdopter *adopter;
	struct writers w;
	struct stat st;

	child_require(memory_adopter_new(-1, &adopter) == 0);
	writers_start(&w, p, size, 2);
	for (int i = 0; i < 10; i++) {
		int fd = new_reserved(size, &st);

		usleep(2000);
		child_require(memory_adopt(adopter, p, size, fd) == 0);
		usleep(2000);
		child_require(memory_move(adopter, p, size, st.st_dev, st.st_ino, i % 2 ? fd : -1,
				      -1) == 0);
		close(fd);
	}
	child_require(writers_finish(&w) == 0);
	/* a userfaultfd of faults in user mode only would make read(2) fail */
	child_require(w.kernel_failed == 0);
	memory_adopter_free(adopter);
}

static void adopt_without_userfaultfd(void)
{
	forbid(SYS_userfaultfd, SYS_userfaultfd);
	adopt_and_undo_under_writers();
}

static void no_store_is_lost_without_userfaultfd(void **state)
{
	run_in_child(adopt_without_userfaultfd);
}

static void adopt_as_a_user(void)
{
	child_require(geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0));
	child_require(prctl(PR_SET_DUMPABLE, 1) == 0);
	adopt_and_undo_under_writers();
}

static void undo_without_any_right(void)
{
	size_t size = 4 * MEBIBYTE;
	char *p = new_anonymous(size);
	MemoryAdopter *able, *unable;
	struct writers w;
	struct stat st;
	int fd = new_reserved(size, &st);

	child_require(memory_adopter_new(-1, &able) == 0);
	writers_start(&w, p, size, 2);
	child_require(memory_adopt(able, p, size, fd) == 0);
	forbid(SYS_userfaultfd, SYS_ptrace);
	child_require(memory_adopter_new(-1, &unable) == 0);
	child_require(memory_move(unable, p, size, st.st_dev, st.st_ino, fd, -1) == 0);
	child_require(is_private(p, size));
	child_require(writers_finish(&w) == 0);
	child_require(w.kernel_failed == 0);
	memory_adopter_free(unable);
	memory_adopter_free(able);
}

static void no_store_is_lost_in_an_undo_without_any_right(void **state)
{
	run_in_child(undo_without_any_right);
}

static void system_calls_of_an_ordinary_user_do_not_fail_meanwhile(void **state)
{
	run_in_child(adopt_as_a_user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_userfaultfd_and_ptrace_only_one_thread_can_adopt),
		cmocka_unit_test(no_store_is_lost_without_userfaultfd),
		cmocka_unit_test(no_store_is_lost_in_an_undo_without_any_right),
		cmocka_unit_test(system_calls_of_an_ordinary_user_do_not_fail_meanwhile),
	};

	return cmocka_run_group_tests_name("rights", tests, NULL, NULL);
}
