/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What memory can be exported, and what happens to its content: rsmapi.md §4.3 create, §6.6 last
 * point, Decision 5.
 */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define AREA 16384

static char bss[AREA] __attribute__((aligned(4096)));
static char data[AREA] __attribute__((aligned(4096))) = {'d', 'a', 't', 'a'};

static int create(void *memory, size_t size, rsm_memseg_export_handle_t *ret_export)
{
	return rsm_memseg_export_create(rig_controller(), ret_export, memory, size, 0);
}

static void fill(char *memory, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		memory[i] = (char)(seed + i * 7 + (i >> 12));
}

static bool is_filled(const char *memory, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		if (memory[i] != (char)(seed + i * 7 + (i >> 12)))
			return false;
	return true;
}

/* §4.3, §8: content stays, both sides see each other's stores, and all of it stays after destroy */
static void shares_in_place(char *memory, size_t size)
{
	rsm_memseg_export_handle_t export = NULL;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id = rig_id();
	char copy[AREA];
	char byte = 0;

	NEED_TRUE(size <= sizeof(copy));
	fill(memory, size, 1);
	EXPECT(create(memory, size, &export), RSM_SUCCESS);
	NEED_TRUE(export != NULL);
	CHECK(is_filled(memory, size, 1));
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EXPECT(rsm_memseg_import_get(import, 0, copy, size), RSM_SUCCESS);
	CHECK(is_filled(copy, size, 1));
	fill(copy, size, 2);
	EXPECT(rsm_memseg_import_put(import, 0, copy, size), RSM_SUCCESS);
	CHECK(is_filled(memory, size, 2));
	memory[size - 1] ^= 0x55;
	EXPECT(rsm_memseg_import_get(import, (off_t)size - 1, &byte, 1), RSM_SUCCESS);
	CHECK_EQUAL(byte, memory[size - 1]);
	memory[size - 1] ^= 0x55;
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	CHECK(is_filled(memory, size, 2));
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	CHECK(is_filled(memory, size, 2));
	fill(memory, size, 3);
	CHECK(is_filled(memory, size, 3));
}

/* Decision 5: heap as malloc gives it, from brk and from mmap */
static void heap_memory_is_exported(void)
{
	void *aligned = NULL;

	NEED(posix_memalign(&aligned, rig_page(), 2 * rig_page()));
	shares_in_place(aligned, 2 * rig_page());
	free(aligned);
}

static void valloc_memory_is_exported(void)
{
	char *memory = valloc(8192);

	NEED_TRUE(memory != NULL);
	shares_in_place(memory, 8192);
	free(memory);
}

static void large_heap_memory_is_exported(void)
{
	size_t size = 8 << 20;
	void *aligned = NULL;

	NEED(posix_memalign(&aligned, rig_page(), size));
	fill(aligned, size, 5);
	shares_in_place((char *)aligned + size / 2, AREA);
	CHECK(is_filled(aligned, size / 2, 5));
	free(aligned);
}

static void private_anonymous_memory_is_exported(void)
{
	shares_in_place(rig_memory(3), 3 * rig_page());
}

/* Pages that were never touched have content too: zeros */
static void untouched_memory_is_exported_as_zeros(void)
{
	rsm_memseg_id_t id;
	rsmapi_barrier_t barrier;
	uint64_t value = 1;

	rig_export(rig_memory(2), 2, &id);
	EXPECT(rsm_memseg_import_get64(rig_import(id, RSM_PERM_READ, &barrier), 4096, &value, 1),
		RSM_SUCCESS);
	CHECK_EQUAL(value, 0);
}

static void bss_is_exported(void)
{
	shares_in_place(bss, sizeof(bss));
}

static void initialised_data_is_exported(void)
{
	shares_in_place(data, sizeof(data));
}

static int file_with_content(size_t size)
{
	char path[] = "/tmp/rsm-conformance-XXXXXX";
	int fd = mkstemp(path);

	NEED_TRUE(fd >= 0);
	unlink(path);
	NEED(ftruncate(fd, (off_t)size));
	return fd;
}

static char *map_file(int fd, int flags, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	NEED_TRUE(memory != MAP_FAILED);
	return memory;
}

/* Decision 5: a private mapping of a file; the file itself does not change */
static void a_private_file_mapping_is_exported(void)
{
	int fd = file_with_content(2 * rig_page());
	char byte = 1;

	shares_in_place(map_file(fd, MAP_PRIVATE, 2 * rig_page()), 2 * rig_page());
	CHECK(pread(fd, &byte, 1, 100) == 1 && byte == 0);
}

/* §4.3: one segment over several mappings of the system */
static void a_segment_may_span_several_mappings(void)
{
	size_t page = rig_page();
	char *memory = rig_memory(4);
	int fd = file_with_content(page);

	NEED_TRUE(mmap(memory + page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			  0) != MAP_FAILED);
	NEED_TRUE(mmap(memory + 2 * page, page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	shares_in_place(memory, 4 * page);
}

/* Decision 5: shared anonymous memory needs a privileged daemon, else 16 */
static void shared_anonymous_memory_is_exported_or_a_bad_address(void)
{
	char *memory = map_file(-1, MAP_SHARED | MAP_ANONYMOUS, 2 * rig_page());
	rsm_memseg_export_handle_t export = NULL;
	int code = create(memory, 2 * rig_page(), &export);

	EXPECT_ONE(code, RSM_SUCCESS, RSMERR_BAD_ADDR);
	if (code != RSM_SUCCESS)
		return;
	NEED(rsm_memseg_export_destroy(export));
	shares_in_place(memory, 2 * rig_page());
}

/* Decision 5: System V segments always */
static void a_system_v_segment_is_exported(void)
{
	int shmid = shmget(IPC_PRIVATE, 2 * rig_page(), IPC_CREAT | 0600);
	void *memory;

	NEED_TRUE(shmid >= 0);
	memory = shmat(shmid, NULL, 0);
	shmctl(shmid, IPC_RMID, NULL);
	NEED_TRUE(memory != (void *)-1);
	shares_in_place(memory, 2 * rig_page());
	shmdt(memory);
}

/* Two attachments are the same memory before, during and after */
static void a_system_v_segment_stays_shared_with_its_other_attachments(void)
{
	int shmid = shmget(IPC_PRIVATE, rig_page(), IPC_CREAT | 0600);
	rsm_memseg_export_handle_t export = NULL;
	volatile char *first, *second;

	NEED_TRUE(shmid >= 0);
	first = shmat(shmid, NULL, 0);
	second = shmat(shmid, NULL, 0);
	shmctl(shmid, IPC_RMID, NULL);
	NEED_TRUE(first != (void *)-1 && second != (void *)-1);
	EXPECT(create((void *)first, rig_page(), &export), RSM_SUCCESS);
	first[0] = 'x';
	CHECK_EQUAL(second[0], 'x');
	NEED(rsm_memseg_export_destroy(export));
	second[1] = 'y';
	CHECK_EQUAL(first[1], 'y');
}

static void refused(void *memory, size_t size)
{
	rsm_memseg_export_handle_t export = NULL;

	EXPECT(create(memory, size, &export), RSMERR_BAD_ADDR);
	CHECK(export == NULL);
}

/* §4.3: a shared mapping of a file, tmpfs and memfd included */
static void shared_file_mappings_are_bad_addresses(void)
{
	size_t page = rig_page();
	int memory_file = memfd_create("conformance", MFD_CLOEXEC);

	NEED_TRUE(memory_file >= 0 && ftruncate(memory_file, (off_t)page) == 0);
	refused(map_file(file_with_content(page), MAP_SHARED, page), page);
	refused(map_file(memory_file, MAP_SHARED, page), page);
}

/* §4.3: not mapped, at the start, in the middle, at the end */
static void holes_are_bad_addresses(void)
{
	size_t page = rig_page();
	char *memory = rig_memory(5);

	munmap(memory, page);
	munmap(memory + 2 * page, page);
	munmap(memory + 4 * page, page);
	refused(memory, page);
	refused(memory, 2 * page);
	refused(memory + page, 3 * page);
	refused(memory + 3 * page, 2 * page);
	memory[page] = memory[3 * page] = 1;
}

/* Decision 5 */
static void stack_memory_is_a_bad_address(void)
{
	char area[AREA];
	char *aligned = area + (-(uintptr_t)area & (rig_page() - 1));

	area[0] = 1;
	refused(aligned, rig_page());
	CHECK_EQUAL(area[0], 1);
}

/* §4.3: locked for reading and writing, so read-only memory fails with 16 or 27 */
static void read_only_memory_is_refused(void)
{
	size_t page = rig_page();
	char *memory = rig_memory(3);
	rsm_memseg_export_handle_t export;

	NEED(mprotect(memory + page, page, PROT_READ));
	EXPECT_ONE(create(memory + page, page, &export), RSMERR_BAD_ADDR, RSMERR_PERM_DENIED);
	EXPECT_ONE(create(memory, 3 * page, &export), RSMERR_BAD_ADDR, RSMERR_PERM_DENIED);
	NEED(mprotect(memory + page, page, PROT_NONE));
	EXPECT_ONE(create(memory + page, page, &export), RSMERR_BAD_ADDR, RSMERR_PERM_DENIED);
	NEED(mprotect(memory + page, page, PROT_READ | PROT_WRITE));
	shares_in_place(memory, 3 * page);
}

/* Decision 5 */
static void huge_pages_are_a_bad_address(void)
{
	size_t size = 2 << 20;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory == MAP_FAILED)
		rig_skip("no huge pages reserved");
	refused(memory, size);
}

/* A refusal in the middle of a range leaves the rest as it was */
static void a_refused_range_is_unharmed(void)
{
	size_t page = rig_page();
	char *memory = rig_memory(3);
	int fd = file_with_content(page);

	NEED_TRUE(mmap(memory + page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			  0) != MAP_FAILED);
	fill(memory, 3 * page, 9);
	refused(memory, 3 * page);
	CHECK(is_filled(memory, 3 * page, 9));
	memory[page] = 'f';
	CHECK(pread(fd, memory, 1, 0) == 1 && memory[0] == 'f');
}

/* §4.3: memory that was destroyed can be exported again, or unmapped */
static void memory_can_be_exported_again_and_again(void)
{
	char *memory = rig_memory(2);

	for (int i = 0; i < 20; i++)
		shares_in_place(memory, 2 * rig_page());
	EXPECT(munmap(memory, 2 * rig_page()), 0);
	EXPECT(munmap(bss, rig_page()), 0);
}

/* §6.6: the program keeps using its memory from other threads, and loses no store */
static atomic_bool stop, lost;

static void *count_up(void *counter)
{
	atomic_uint_fast64_t *counts = counter;
	uint64_t mine = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		*counts = ++mine;
		if (*counts != mine)
			atomic_store(&lost, true);
	}
	return (void *)(uintptr_t)mine;
}

static void stores_of_other_threads_are_not_lost(void)
{
	enum { N = 4 };
	size_t page = rig_page();
	char *memory = rig_memory(N);
	pthread_t threads[N];

	for (size_t i = 0; i < N; i++)
		NEED(pthread_create(&threads[i], NULL, count_up, memory + i * page));
	for (int i = 0; i < 50; i++) {
		rsm_memseg_export_handle_t export;
		int code = create(memory, N * page, &export);

		/* Decision 5: where userfaultfd is refused, a process with threads gets 32. */
		if (code == RSMERR_INSUFFICIENT_MEM)
			rig_skip("no userfaultfd here");
		EXPECT(code, RSM_SUCCESS);
		if (code == RSM_SUCCESS)
			EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	}
	atomic_store(&stop, true);
	CHECK(!lost);
	for (size_t i = 0; i < N; i++) {
		void *counted;

		NEED(pthread_join(threads[i], &counted));
		CHECK_EQUAL(*(uint64_t *)(void *)(memory + i * page), (uintptr_t)counted);
	}
}

/* §6.5: descriptors go back when segments do */
static size_t n_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void nothing_accumulates(void)
{
	char *memory = rig_memory(2);
	size_t before;

	shares_in_place(memory, 2 * rig_page());
	before = n_descriptors();
	for (int i = 0; i < 30; i++)
		shares_in_place(memory, 2 * rig_page());
	CHECK_EQUAL(n_descriptors(), before);
}

/* §6.5: descriptors of the library do not survive exec */
static void descriptors_are_close_on_exec(void)
{
	bool before[1024];
	rsm_memseg_id_t id;

	for (int fd = 0; fd < 1024; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	rig_export(rig_memory(1), 1, &id);
	rig_import(id, RSM_PERM_RDWR, NULL);
	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		CHECK(before[fd] || flags < 0 || flags & FD_CLOEXEC);
		CHECK(before[fd] || flags < 0 || fd >= 3);
	}
}

static const rig_test_t tests[] = {
	TEST(heap_memory_is_exported),
	TEST(valloc_memory_is_exported),
	TEST(large_heap_memory_is_exported),
	TEST(private_anonymous_memory_is_exported),
	TEST(untouched_memory_is_exported_as_zeros),
	TEST(bss_is_exported),
	TEST(initialised_data_is_exported),
	TEST(a_private_file_mapping_is_exported),
	TEST(a_segment_may_span_several_mappings),
	TEST(shared_anonymous_memory_is_exported_or_a_bad_address),
	TEST(a_system_v_segment_is_exported),
	TEST(a_system_v_segment_stays_shared_with_its_other_attachments),
	TEST(shared_file_mappings_are_bad_addresses),
	TEST(holes_are_bad_addresses),
	TEST(stack_memory_is_a_bad_address),
	TEST(read_only_memory_is_refused),
	TEST(huge_pages_are_a_bad_address),
	TEST(a_refused_range_is_unharmed),
	TEST(memory_can_be_exported_again_and_again),
	TEST(stores_of_other_threads_are_not_lost),
	TEST(nothing_accumulates),
	TEST(descriptors_are_close_on_exec),
};

RIG_MAIN(tests)
