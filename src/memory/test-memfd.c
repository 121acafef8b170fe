/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include "base/cleanup.h"
#include "memory/test-memory.h"

#define SIZE (4 * PAGE)

static void a_new_memfd_passes_its_own_check(void **state)
{
	_cleanup_close_ int fd = -1, other = -1;
	struct stat st;

	assert_int_equal(memfd_new("name", SIZE, &fd), 0);
	assert_int_equal(memfd_check(fd, SIZE), 0);
	assert_int_equal(memfd_check(fd, SIZE + PAGE), -EBADF);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(memfd_reopen(fd, &other), 0);
	assert_int_equal(memfd_check(other, SIZE), 0);
	assert_int_equal(memfd_new("none", 0, &other), -EINVAL);
}

static void nobody_changes_size_or_seals(void **state)
{
	_cleanup_close_ int fd = -1;

	assert_int_equal(memfd_new("name", SIZE, &fd), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * SIZE), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(memfd_check(fd, SIZE), 0);
}

static void reserving_allocates_and_is_refused_without_space(void **state)
{
	_cleanup_close_ int fd = -1, huge = -1;
	struct stat st;
	uint64_t beyond = 1ull << 45;

	assert_int_equal(memfd_new("name", SIZE, &fd), 0);
	assert_int_equal(memfd_reserve(fd, PAGE, PAGE), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, PAGE);
	assert_int_equal(memfd_reserve(fd, UINT64_MAX, PAGE), -EINVAL);

	assert_int_equal(memfd_reserve(fd, SIZE, PAGE), -EPERM);

	/* more than any machine has */
	assert_int_equal(memfd_new("huge", beyond, &huge), 0);
	assert_int_equal(memfd_reserve(huge, 0, beyond), -ENOMEM);
	assert_int_equal(fstat(huge, &st), 0);
	assert_int_equal(st.st_blocks, 0);
}

static void other_descriptors_are_refused(void **state)
{
	int unsealed = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), p[2], s[2],
	    zero = open("/dev/zero", O_RDWR | O_CLOEXEC), path,
	    file = open("/", O_TMPFILE | O_RDWR, 0600), good,
	    folder = open("/proc/self", O_RDONLY | O_DIRECTORY),
	    shm = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);

	assert_int_equal(ftruncate(unsealed, SIZE), 0);
	assert_int_equal(memfd_check(unsealed, SIZE), -EBADF);
	assert_int_equal(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(memfd_check(unsealed, SIZE), -EBADF);
	assert_int_equal(fcntl(unsealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
	assert_int_equal(memfd_check(unsealed, SIZE), -EBADF);
	assert_int_equal(memfd_new("good", SIZE, &good), 0);
	path = open("/proc/self/fd", O_PATH);
	assert_int_equal(memfd_check(path, SIZE), -EBADF);
	close(path);
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", good);
	path = open(link, O_PATH);
	assert_true(path >= 0);
	assert_int_equal(memfd_check(path, SIZE), -EBADF);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(memfd_check(p[i], SIZE), -EBADF);
		assert_int_equal(memfd_check(s[i], SIZE), -EBADF);
		close(p[i]);
		close(s[i]);
	}
	assert_int_equal(memfd_check(zero, SIZE), -EBADF);
	assert_int_equal(memfd_check(file, SIZE), -EBADF);
	assert_int_equal(memfd_check(folder, SIZE), -EBADF);
	assert_int_equal(memfd_check(shm, 0), -EBADF);
	assert_int_equal(memfd_check(-1, SIZE), -EBADF);
	close(unsealed);
	close(zero);
	close(file);
	close(folder);
	close(shm);
	close(path);
	close(good);
}

static void try_everything_as_a_stranger(void)
{
	char link[64];
	int fd, reader, again;
	void *map;

	child_require(memfd_new("secret", SIZE, &fd) == 0);
	child_require(memfd_reopen_readonly(fd, &reader) == 0);
	close(fd);
	child_require(setgid(65534) == 0 && setuid(65534) == 0);

	child_require(write(reader, "x", 1) < 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", reader);
	child_require(open(link, O_RDWR) < 0);
	child_require(open(link, O_WRONLY) < 0);
	child_require(memfd_reopen(reader, &again) < 0);
	child_require(fchmod(reader, 0666) < 0);
	child_require(ftruncate(reader, 0) < 0);
	child_require(fcntl(reader, F_ADD_SEALS, F_SEAL_WRITE) < 0);
	child_require(fallocate(reader, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0);
	child_require(mmap(NULL, SIZE, PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED);
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, reader, 0);
	child_require(map != MAP_FAILED);
	child_require(mprotect(map, SIZE, PROT_READ | PROT_WRITE) < 0);
	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (unsigned long)map,
		(unsigned long)map + SIZE);
	child_require(open(link, O_RDWR) < 0);
	child_require(memfd_check(reader, SIZE) == 0);
}

static void a_reader_of_another_uid_cannot_become_a_writer(void **state)
{
	if (geteuid() != 0) {
		print_message("skip: needs root to become another uid\n");
		skip();
	}
	run_in_child(try_everything_as_a_stranger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_memfd_passes_its_own_check),
		cmocka_unit_test(nobody_changes_size_or_seals),
		cmocka_unit_test(reserving_allocates_and_is_refused_without_space),
		cmocka_unit_test(other_descriptors_are_refused),
		cmocka_unit_test(a_reader_of_another_uid_cannot_become_a_writer),
	};

	return cmocka_run_group_tests_name("memfd", tests, NULL, NULL);
}
