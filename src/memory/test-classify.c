/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/shm.h>
#include "memory/test-memory.h"

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
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600), fd,
	    file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
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

	other = mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
		-1, 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_of_every_kind_is_told_apart),
	};

	return cmocka_run_group_tests_name("classify", tests, NULL, NULL);
}
