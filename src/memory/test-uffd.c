/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "memory/test-memory.h"
#include "memory/uffd.h"

#define SIZE (4 * PAGE)

static void a_userfaultfd_is_known_by_its_link(void **state)
{
	enum uffd_kind kind;
	int fd, p[2];

	assert_int_equal(uffd_new(-1, &kind, &fd), 0);
	assert_true(uffd_check(fd));
	assert_true(uffd_features(-1) & UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	assert_int_equal(uffd_api(fd, 0), 0);
	assert_int_equal(pipe(p), 0);
	assert_false(uffd_check(p[0]));
	assert_false(uffd_check(-1));
	close(fd);
	close(p[0]);
	close(p[1]);
}

/* The client: maps, makes the userfaultfd, gives both away, then stores when it is told to. */
static void play_client(int sock, int device, uid_t uid)
{
	uint64_t address, value = 0;
	struct stat st;
	enum uffd_kind kind;
	char *map;
	int memfd, fds[2];

	child_require(uid == 0 || (setgid(uid) == 0 && setuid(uid) == 0));
	memfd = new_reserved(SIZE, &st);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	child_require(map != MAP_FAILED);
	map[0] = 1;
	address = (uintptr_t)map;
	fds[0] = memfd;
	child_require(uffd_new(device, &kind, &fds[1]) == 0);
	child_require(kind == UFFD_FULL);
	child_require(fd_send(sock, &address, sizeof(address), fds, 2, 0) == 0);
	child_require(recv(sock, &value, sizeof(value), 0) == sizeof(value));
	/* by system call, which a UFFD_USER_ONLY one would fail with EFAULT */
	child_require(recv(sock, map, sizeof(value), 0) == sizeof(value));
	child_require(map[0] == 7);
	child_require(send(sock, &value, sizeof(value), 0) == sizeof(value));
	child_require(recv(sock, &value, sizeof(value), 0) == sizeof(value));
	map[0] = 9;
	_exit(0);
}

static void wait_for_write_fault(int uffd, uint64_t address)
{
	struct pollfd p = {uffd, POLLIN, 0};
	struct uffd_msg m;

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(uffd, &m, sizeof(m)), sizeof(m));
	assert_int_equal(m.event, UFFD_EVENT_PAGEFAULT);
	assert_true(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
	assert_int_equal(m.arg.pagefault.address & ~(PAGE - 1), address);
}

static void play_daemon(int device, uid_t uid)
{
	uint64_t address, value = 7;
	unsigned int n;
	int s[2], fds[FD_PACKET_MAX], status;
	char *map;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		play_client(s[1], device, uid);
	close(s[1]);
	assert_int_equal(fd_recv(s[0], &address, sizeof(address), fds, &n, 0), sizeof(address));
	assert_int_equal(n, 2);
	assert_int_equal(memfd_check(fds[0], SIZE), 0);
	assert_true(uffd_check(fds[1]));
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fds[0], 0);
	assert_ptr_not_equal(map, MAP_FAILED);

	assert_int_equal(uffd_api(fds[1], UFFD_FEATURE_WP_HUGETLBFS_SHMEM), 0);
	assert_int_equal(uffd_register_coherent(fds[1], address, SIZE), 0);
	assert_int_equal(uffd_protect(fds[1], address, SIZE, true), 0);
	assert_int_equal(send(s[0], &value, sizeof(value), 0), sizeof(value));
	assert_int_equal(send(s[0], &value, sizeof(value), 0), sizeof(value));
	wait_for_write_fault(fds[1], address);
	assert_int_equal(map[0], 1);
	assert_int_equal(uffd_protect(fds[1], address, SIZE, false), 0);
	assert_int_equal(recv(s[0], &value, sizeof(value), 0), sizeof(value));
	assert_int_equal(map[0], 7);

	/* nothing is held back any more once the range is given up */
	assert_int_equal(uffd_protect(fds[1], address, SIZE, true), 0);
	assert_int_equal(uffd_unregister(fds[1], address, SIZE), 0);
	assert_int_equal(send(s[0], &value, sizeof(value), 0), sizeof(value));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(map[0], 9);
	munmap(map, SIZE);
	fd_close_many(fds, n);
	close(s[0]);
}

static void a_daemon_blocks_and_releases_a_store_of_its_client(void **state)
{
	if (geteuid() != 0) {
		print_message("skip: needs root for faults inside system calls\n");
		skip();
	}
	play_daemon(-1, 0);
}

static void a_lent_device_serves_a_client_without_rights(void **state)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (geteuid() != 0 || device < 0) {
		print_message("skip: needs root and /dev/userfaultfd\n");
		skip();
	}
	play_daemon(device, 65534);
	close(device);
}

/* Read-only pages between writable ones: each is a mapping of its own. */
static void a_range_of_several_mappings_is_protected_and_freed(void **state)
{
	struct stat st;
	enum uffd_kind kind;
	int fd, memfd = new_reserved(SIZE, &st);
	char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	uint64_t address = (uintptr_t)map;
	struct pollfd p;

	assert_true(map != MAP_FAILED);
	memset(map, 1, SIZE);
	assert_int_equal(mprotect(map + PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(uffd_new(-1, &kind, &fd), 0);
	assert_int_equal(
		uffd_api(fd, kind == UFFD_USER_ONLY ? 0 : UFFD_FEATURE_WP_HUGETLBFS_SHMEM), 0);
	assert_int_equal(uffd_register_wp(fd, address, SIZE), 0);
	assert_int_equal(uffd_protect(fd, address, SIZE, true), 0);
	assert_int_equal(uffd_protect(fd, address, SIZE, false), 0);
	map[0] = map[3 * PAGE] = 2;
	p = (struct pollfd){fd, POLLIN, 0};
	assert_int_equal(poll(&p, 1, 0), 0);
	munmap(map, SIZE);
	close(memfd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_of_several_mappings_is_protected_and_freed),
		cmocka_unit_test(a_userfaultfd_is_known_by_its_link),
		cmocka_unit_test(a_daemon_blocks_and_releases_a_store_of_its_client),
		cmocka_unit_test(a_lent_device_serves_a_client_without_rights),
	};

	return cmocka_run_group_tests_name("uffd", tests, NULL, NULL);
}
