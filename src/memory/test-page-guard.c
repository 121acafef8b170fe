/* SPDX-License-Identifier: Apache-2.0 */

/* Processes that hold the kernel's lock of a memory file and never let it go. */

#include "memory/page-guard.h"
#include "memory/adopter.h"
#include "memory/test-watched.h"

static _Atomic pid_t told;
static _Atomic unsigned int n_told;

static void note_told(pid_t pid)
{
	told = pid;
	n_told++;
}

/* Memory whose fault nobody answers. */
static char *trap_new(void)
{
	struct uffdio_register r = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *trap = new_anonymous(PAGE);
	enum uffd_kind kind;
	int uffd;

	child_require(uffd_new(-1, &kind, &uffd) == 0 && uffd_api(uffd, 0) == 0);
	r.range = (struct uffdio_range){(uintptr_t)trap, PAGE};
	child_require(ioctl(uffd, UFFDIO_REGISTER, &r) == 0);
	return trap;
}

enum way { WRITES, WRITES_AND_CLOSES, WRITES_BY_ANOTHER_NUMBER, HOLDS_ONLY };

/* By another process with the same descriptors. */
static void close_soon(int fd, bool replace)
{
	if (syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0) != 0)
		return;
	usleep(20000);
	if (replace)
		dup2(STDERR_FILENO, fd);
	else
		close(fd);
	_exit(0);
}

static void behave(const struct page_store *store, enum way way)
{
	char *trap;
	int fd;

	alarm(60);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child_require(page_store_lend(store, false, &fd) == 0);
	close(store->memory);
	trap = trap_new();
	if (way == WRITES_AND_CLOSES)
		close_soon(fd, false);
	if (way == WRITES_BY_ANOTHER_NUMBER && dup(fd) >= 0)
		close_soon(fd, true);
	if (way == HOLDS_ONLY)
		pause();
	(void)!pwrite(fd, trap, PAGE, 0);
	_exit(0);
}

static pid_t start(const struct page_store *store, enum way way)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		behave(store, way);
	usleep(100000);
	return pid;
}

static void end_one_in_the_way(enum way way)
{
	struct page_store store;
	char page[PAGE] = {1};
	pid_t hostile, other;
	uint64_t begun;
	int status;

	need_rights();
	page_guard_tell(note_told);
	n_told = 0;
	assert_int_equal(page_store_new(WATCHED_SIZE, &store), 0);
	other = start(&store, HOLDS_ONLY);
	hostile = start(&store, way);
	begun = clock_now();
	assert_int_equal(page_store_punch(&store, 0, PAGE), 0);
	assert_int_equal(page_store_write(&store, 0, page, PAGE), 0);
	assert_in_range(clock_now() - begun, PAGE_GUARD_SOON * PAGE_GUARD_LOOK, 10 * NSEC_PER_SEC);
	assert_int_equal(waitpid(hostile, &status, 0), hostile);
	assert_int_equal(status, SIGKILL);
	until(n_told > 0);
	assert_int_equal(told, hostile);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, &status, 0), other);
	page_guard_tell(NULL);
	page_store_close(&store);
}

static void who_writes_and_never_ends_is_ended(void **state)
{
	end_one_in_the_way(WRITES);
}

static void who_has_closed_what_it_writes_to_is_ended(void **state)
{
	end_one_in_the_way(WRITES_AND_CLOSES);
}

/* The number of its descriptor means another file by now. */
static void who_has_another_file_there_is_ended(void **state)
{
	end_one_in_the_way(WRITES_BY_ANOTHER_NUMBER);
}

static void without_calls_there_is_no_thread(void **state)
{
	struct page_store store;
	char page[PAGE] = {1};
	int n;

	assert_int_equal(page_store_new(WATCHED_SIZE, &store), 0);
	assert_int_equal(page_store_write(&store, 0, page, PAGE), 0);
	n = memory_count_threads();
	until(memory_count_threads() == n - 1);
	assert_int_equal(page_store_write(&store, 0, page, PAGE), 0);
	assert_int_equal(memory_count_threads(), n);
	page_store_close(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_writes_and_never_ends_is_ended),
		cmocka_unit_test(who_has_closed_what_it_writes_to_is_ended),
		cmocka_unit_test(who_has_another_file_there_is_ended),
		cmocka_unit_test(without_calls_there_is_no_thread),
	};

	return cmocka_run_group_tests_name("page-guard", tests, NULL, NULL);
}
