/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/test-client.h"

/* Which memory a client may name as its segment's. argv[1]: causewayd. */

#define SIZE 8192u

static const char *program;
static struct node node;

static int setup(void **state)
{
	node_start(&node, program, "", false);
	return 0;
}

static int teardown(void **state)
{
	node_stop(&node);
	return 0;
}

static uint32_t create_at(struct client *c, uint64_t address, uint64_t size)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {
			.space = WIRE_SPACE_RSM, .mode = 0600, .size = size, .address = address}};

	return client_call(c, &m);
}

static uint32_t create_same(struct client *c, uint32_t same, uint64_t size)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {
			.space = WIRE_SPACE_RSM, .mode = 0600, .size = size, .same = same}};

	return client_call(c, &m);
}

static void *map(int flags)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void private_memory_is_refused(void **state)
{
	void *p = map(MAP_PRIVATE);
	struct client c;

	client_new(&c, &node);
	assert_int_equal(create_at(&c, (uintptr_t)p, SIZE), STATUS_NOT_ADOPTABLE);
	assert_int_equal(create_at(&c, (uintptr_t)&c & ~4095ul, 4096), STATUS_NOT_ADOPTABLE);
	munmap(p, SIZE);
	assert_int_equal(create_at(&c, (uintptr_t)p, SIZE), STATUS_BAD_ADDRESS);
	assert_int_equal(create_at(&c, UINT64_MAX - 4095, SIZE), STATUS_BAD_ADDRESS);
	assert_int_equal(client_node_status(&c).n_segments, 0);
	client_close(&c);
}

static void more_than_the_mapping_is_refused(void **state)
{
	int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	void *p = shmat(id, NULL, 0);
	struct client c;

	assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
	assert_true(p != (void *)-1);
	client_new(&c, &node);
	assert_int_equal(create_at(&c, (uintptr_t)p, (uint64_t)1 << 30), STATUS_BAD_ADDRESS);
	assert_int_equal(create_at(&c, (uintptr_t)p + 4096, SIZE), STATUS_BAD_ADDRESS);
	assert_int_equal(create_at(&c, (uintptr_t)p + 4096, 4096), STATUS_OK);
	client_close(&c);
	shmdt(p);
}

static void read_only_memory_is_refused(void **state)
{
	void *p = map(MAP_SHARED);
	struct client c;

	assert_int_equal(mprotect(p, SIZE, PROT_READ), 0);
	client_new(&c, &node);
	assert_int_equal(create_at(&c, (uintptr_t)p, SIZE), STATUS_NOT_ADOPTABLE);
	client_close(&c);
	munmap(p, SIZE);
}

static void shared_files_are_refused(void **state)
{
	int fd = memfd_create("SYSV00000000", MFD_CLOEXEC);
	struct client c;
	void *p;

	assert_int_equal(ftruncate(fd, SIZE), 0);
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	client_new(&c, &node);
	assert_int_equal(create_at(&c, (uintptr_t)p, SIZE), STATUS_NOT_ADOPTABLE);
	client_close(&c);
	munmap(p, SIZE);
	close(fd);
}

static void memory_is_shared_only_with_a_segment_of_the_client_of_that_size(void **state)
{
	uint32_t segment, other;
	struct client a, b;

	client_new(&a, &node);
	client_new(&b, &node);
	assert_int_equal(client_create(&a, SIZE, &segment, NULL), STATUS_OK);
	assert_int_equal(create_same(&a, segment + 1, 2 * SIZE), STATUS_BAD_HANDLE);
	/* its own index, before it is there */
	assert_int_equal(create_same(&a, segment + 2, SIZE), STATUS_BAD_HANDLE);
	assert_int_equal(create_same(&a, UINT32_MAX, SIZE), STATUS_BAD_HANDLE);
	assert_int_equal(create_same(&b, segment + 1, SIZE), STATUS_BAD_HANDLE);
	assert_int_equal(client_node_status(&a).n_segments, 1);
	assert_int_equal(create_same(&a, segment + 1, SIZE), STATUS_OK);
	other = a.reply.segment_create_reply.segment;
	assert_int_not_equal(other, segment);
	client_close(&a);
	client_close(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_memory_is_refused),
		cmocka_unit_test(more_than_the_mapping_is_refused),
		cmocka_unit_test(read_only_memory_is_refused),
		cmocka_unit_test(shared_files_are_refused),
		cmocka_unit_test(memory_is_shared_only_with_a_segment_of_the_client_of_that_size),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-memory CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests_name("daemon-memory", tests, setup, teardown);
}
