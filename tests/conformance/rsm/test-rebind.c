/* SPDX-License-Identifier: Apache-2.0 */
/* Rebind: rsmapi.md §4.3, §5.1, §6.6. */
#include "rig.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 2

static rsm_memseg_export_handle_t export;
static rsm_memseg_id_t id;
static size_t size;
static char *first, *second;

static void begin_with(uint_t flags)
{
	size = PAGES * rig_page();
	first = rig_memory(PAGES);
	second = rig_memory(PAGES);
	memset(first, 'a', size);
	memset(second, 'b', size);
	NEED(rsm_memseg_export_create(rig_controller(), &export, first, size, flags));
}

static void begin(void)
{
	begin_with(RSM_ALLOW_REBIND);
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
}

static int rebind(void *memory)
{
	return rsm_memseg_export_rebind(export, memory, 0, size);
}

static volatile char *map(rsm_memseg_import_handle_t import)
{
	void *address = NULL;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, size));
	return address;
}

static char get(rsm_memseg_import_handle_t import, off_t offset)
{
	char byte = 0;

	EXPECT(rsm_memseg_import_get(import, offset, &byte, 1), RSM_SUCCESS);
	return byte;
}

static void put(rsm_memseg_import_handle_t import, off_t offset, char byte)
{
	EXPECT(rsm_memseg_import_put(import, offset, &byte, 1), RSM_SUCCESS);
}

static bool is_filled(const char *memory, char byte)
{
	for (size_t i = 0; i < size; i++)
		if (memory[i] != byte)
			return false;
	return true;
}

/* §4.3 order: NULL handle, NULL address, not allowed, size, same address, alignment */
static void rebind_checks_its_arguments_in_order(void)
{
	begin();
	EXPECT(rsm_memseg_export_rebind(NULL, NULL, 0, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_rebind(NULL, second, 0, size), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_rebind(export, NULL, 0, 0), RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_export_rebind(export, second + 8, 0, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_export_rebind(export, first, 0, 0), RSMERR_BAD_LENGTH);
	/* Create says 17 to the same fault. */
	EXPECT(rsm_memseg_export_rebind(export, second + 8, 0, size), RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_export_rebind(export, first + 8, 0, size), RSMERR_BAD_ADDR);
}

/* §4.3: the whole segment only */
static void a_part_cannot_be_rebound(void)
{
	begin();
	EXPECT(rsm_memseg_export_rebind(export, second, 0, rig_page()), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_export_rebind(export, second, 0, size + rig_page()), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_export_rebind(export, second, 0, size - 1), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_export_rebind(export, second, 0, SIZE_MAX), RSMERR_BAD_LENGTH);
}

/* §4.3: off is not used */
static void the_offset_is_ignored(void)
{
	begin();
	EXPECT(rsm_memseg_export_rebind(export, second, 12345, size), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_rebind(export, first, -1, size), RSM_SUCCESS);
}

/* §4.3: before size and alignment, after the NULLs */
static void rebind_must_have_been_allowed(void)
{
	begin_with(RSM_CREATE_SEG_DONTWAIT);
	EXPECT(rsm_memseg_export_rebind(export, NULL, 0, size), RSMERR_BAD_ADDR);
	EXPECT(rebind(second), RSMERR_REBIND_NOT_ALLOWED);
	EXPECT(rebind(first), RSMERR_REBIND_NOT_ALLOWED);
	EXPECT(rsm_memseg_export_rebind(export, second + 8, 0, 0), RSMERR_REBIND_NOT_ALLOWED);
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	EXPECT(rebind(second), RSMERR_REBIND_NOT_ALLOWED);
	CHECK(is_filled(first, 'a') && is_filled(second, 'b'));
}

/* §3 row 5 */
static void other_handles_are_bad_handles(void)
{
	rsm_memseg_import_handle_t import;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_memseg_export_rebind(
		       (rsm_memseg_export_handle_t)(void *)import, second, 0, size),
		RSMERR_BAD_SEG_HNDL);
	NEED(rsm_memseg_export_destroy(export));
	EXPECT(rebind(second), RSMERR_BAD_SEG_HNDL);
}

static void child_rebinds(void *data)
{
	(void)data;
	EXPECT(rebind(second), RSMERR_NOT_CREATOR);
}

/* §6.6 */
static void the_child_is_not_the_creator(void)
{
	begin();
	rig_in_child(child_rebinds, NULL);
	EXPECT(rebind(second), RSM_SUCCESS);
}

/* §4.3: the same address changes nothing */
static void the_same_memory_is_no_change(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	for (int i = 0; i < 3; i++) {
		EXPECT(rebind(first), RSM_SUCCESS);
		first[0] = (char)('0' + i);
		CHECK_EQUAL(get(import, 0), '0' + i);
		put(import, 1, (char)('5' + i));
		CHECK_EQUAL(first[1], '5' + i);
	}
}

/* §4.3: contents are not copied; the exporter goes on with its new pointer */
static void importers_see_the_new_memory(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	CHECK_EQUAL(get(import, 5), 'a');
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK(is_filled(second, 'b'));
	CHECK_EQUAL(get(import, 5), 'b');
	CHECK_EQUAL(get(import, (off_t)size - 1), 'b');
	second[5] = 'c';
	CHECK_EQUAL(get(import, 5), 'c');
	put(import, 6, 'd');
	CHECK_EQUAL(second[6], 'd');
}

/* §4.3: transparent to importers, who may have mapped it */
static void maps_see_the_new_memory(void)
{
	volatile char *mapping;

	begin();
	mapping = map(rig_import(id, RSM_PERM_RDWR, NULL));
	CHECK_EQUAL(mapping[5], 'a');
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK_EQUAL(mapping[5], 'b');
	CHECK_EQUAL(mapping[size - 1], 'b');
	second[5] = 'c';
	CHECK_EQUAL(mapping[5], 'c');
	mapping[6] = 'd';
	CHECK_EQUAL(second[6], 'd');
	CHECK(is_filled(first, 'a'));
}

/* §4.3: a map of a part stays a map of that part */
static void a_map_of_a_part_follows(void)
{
	rsm_memseg_import_handle_t import;
	void *address = NULL;

	begin();
	import = rig_import(id, RSM_PERM_READ, NULL);
	NEED(rsm_memseg_import_map(
		import, &address, RSM_MAP_NONE, RSM_PERM_READ, (off_t)rig_page(), rig_page()));
	second[rig_page()] = 'x';
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK_EQUAL(*(volatile char *)address, 'x');
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* §4.3: what the importers wrote stays in the old memory, and nothing comes any more */
static void the_old_memory_is_private_again(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	volatile char *mapping;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	mapping = map(import);
	put(import, 0, 'p');
	mapping[1] = 'm';
	first[2] = 'e';
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK(first[0] == 'p' && first[1] == 'm' && first[2] == 'e' && first[3] == 'a');
	put(import, 0, 'q');
	mapping[1] = 'n';
	CHECK(first[0] == 'p' && first[1] == 'm');
	first[4] = 'z';
	CHECK_EQUAL(mapping[4], 'b');
	CHECK_EQUAL(get(import, 4), 'b');
	/* To be unmapped, too: that is no break of the segment (§5.2). */
	NEED(munmap(first, size));
	CHECK_EQUAL(get(import, 4), 'b');
	put(import, 4, 'y');
	CHECK_EQUAL(second[4], 'y');
}

static void child_stores_in_old_memory(void *data)
{
	(void)data;
	first[0] = 'c';
	CHECK_EQUAL(first[0], 'c');
}

/* Private in the sense of fork: parent and child have their own */
static void the_old_memory_is_not_shared_with_children(void)
{
	begin();
	EXPECT(rebind(second), RSM_SUCCESS);
	rig_in_child(child_stores_in_old_memory, NULL);
	CHECK_EQUAL(first[0], 'a');
}

/* §5.1: in BOUND too; publish gives the new memory */
static void a_bound_segment_is_rebound(void)
{
	rsmapi_barrier_t barrier;

	begin_with(RSM_ALLOW_REBIND);
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK(is_filled(first, 'a') && is_filled(second, 'b'));
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	CHECK_EQUAL(get(rig_import(id, RSM_PERM_RDWR, &barrier), 0), 'b');
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rebind(first), RSM_SUCCESS);
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	CHECK_EQUAL(get(rig_import(id, RSM_PERM_RDWR, &barrier), 0), 'a');
}

/* Forth and back, and the segment's end leaves both to the program */
static void memories_take_turns(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	volatile char *mapping;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	mapping = map(import);
	for (int i = 0; i < 40; i++) {
		char *now = i % 2 ? first : second, *before = i % 2 ? second : first;

		EXPECT(rebind(now), RSM_SUCCESS);
		now[0] = (char)(i + 1);
		before[0] = (char)-i;
		CHECK_EQUAL(mapping[0], i + 1);
		put(import, 1, (char)(i + 50));
		CHECK_EQUAL(now[1], i + 50);
	}
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	CHECK(first[1] == 39 + 50 && second[1] == 38 + 50);
	memset(first, 1, size);
	memset(second, 2, size);
	CHECK(is_filled(first, 1) && is_filled(second, 2));
}

/* §4.3: what create would refuse; the segment keeps the memory that it has */
static void a_failed_rebind_changes_nothing(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	char *hole = rig_memory(PAGES);
	int fd = memfd_create("conformance", MFD_CLOEXEC);
	void *shared;

	begin();
	NEED_TRUE(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED_TRUE(shared != MAP_FAILED);
	NEED(munmap(hole + rig_page(), rig_page()));
	NEED(mprotect(second + rig_page(), rig_page(), PROT_READ));
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EXPECT(rebind(hole), RSMERR_BAD_ADDR);
	EXPECT(rebind(shared), RSMERR_BAD_ADDR);
	EXPECT_ONE(rebind(second), RSMERR_BAD_ADDR, RSMERR_PERM_DENIED);
	hole[0] = 1;
	first[7] = 'x';
	CHECK_EQUAL(get(import, 7), 'x');
	put(import, 8, 'y');
	CHECK_EQUAL(first[8], 'y');
	CHECK(is_filled(second, 'b'));
	NEED(mprotect(second + rig_page(), rig_page(), PROT_READ | PROT_WRITE));
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK_EQUAL(get(import, 7), 'b');
}

/* §5.2: rebind breaks nothing: spans close well, signals stay */
static void rebind_is_no_break(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;

	begin();
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	NEED(rsm_intr_signal_post(export, 0));
	NEED(rsm_intr_signal_post(import, 0));
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	EXPECT(rebind(second), RSM_SUCCESS);
	put(import, 0, 'w');
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
	CHECK_EQUAL(second[0], 'w');
	EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	/* New connections get the new memory. */
	CHECK_EQUAL(*map(rig_import(id, RSM_PERM_RDWR, NULL)), 'w');
}

/* What an importer in another process says and hears, a byte for a step. */
typedef struct {
	int to_child[2], to_parent[2];
} steps_t;

static void say(const int *end)
{
	NEED_TRUE(write(end[1], "", 1) == 1);
}

static void hear(const int *end)
{
	char byte;

	NEED_TRUE(read(end[0], &byte, 1) == 1);
}

static void importer_in_another_process(void *data)
{
	steps_t *steps = data;
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	volatile char *mapping;

	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	mapping = map(import);
	CHECK_EQUAL(mapping[0], 'a');
	put(import, 1, 'p');
	say(steps->to_parent);
	hear(steps->to_child);
	CHECK_EQUAL(mapping[0], 'b');
	CHECK_EQUAL(get(import, 0), 'b');
	mapping[1] = 'q';
	put(import, 2, 'r');
	say(steps->to_parent);
	hear(steps->to_child);
	CHECK_EQUAL(mapping[3], 's');
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* §4.3: the importers of other processes too have the new memory when rebind has returned */
static void importers_of_other_processes_follow(void)
{
	steps_t steps;
	pid_t child;

	NEED(pipe(steps.to_child));
	NEED(pipe(steps.to_parent));
	begin();
	child = rig_fork(importer_in_another_process, &steps);
	hear(steps.to_parent);
	CHECK_EQUAL(first[1], 'p');
	EXPECT(rebind(second), RSM_SUCCESS);
	say(steps.to_child);
	hear(steps.to_parent);
	CHECK(second[1] == 'q' && second[2] == 'r');
	CHECK(first[1] == 'p' && first[2] == 'a');
	second[3] = 's';
	first[3] = 't';
	say(steps.to_child);
	rig_join(child);
}

static void stopped_importer(void *data)
{
	steps_t *steps = data;
	volatile char *mapping = map(rig_import(id, RSM_PERM_RDWR, NULL));

	say(steps->to_parent);
	hear(steps->to_child);
	EVENTUALLY(mapping[0] == 'b');
	mapping[1] = 'w';
}

/* §9.19 in spirit: an importer that does not run keeps nobody waiting; or it keeps the old memory
 */
static void a_stopped_importer_does_not_hold_up_rebind(void)
{
	steps_t steps;
	pid_t child;
	int64_t start;

	NEED(pipe(steps.to_child));
	NEED(pipe(steps.to_parent));
	begin();
	child = rig_fork(stopped_importer, &steps);
	hear(steps.to_parent);
	NEED(kill(child, SIGSTOP));
	NEED_TRUE(waitpid(child, NULL, WUNTRACED) == child);
	start = rig_now();
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK(rig_now() - start < 10000);
	NEED(kill(child, SIGCONT));
	say(steps.to_child);
	rig_join(child);
	CHECK(first[0] == 'a' && first[1] == 'a');
	CHECK_EQUAL(second[1], 'w');
}

static atomic_bool stop;

static void *access_all_the_time(void *import)
{
	volatile char *mapping = map(import);
	char bytes[64];

	while (!stop) {
		char seen = mapping[100];

		EXPECT(rsm_memseg_import_get(import, 100, bytes, sizeof(bytes)), RSM_SUCCESS);
		CHECK(seen == 'a' || seen == 'b');
		CHECK(bytes[0] == 'a' || bytes[0] == 'b');
	}
	return NULL;
}

/* §4.3: access during it gives undefined data but no crash */
static void accesses_survive_rebind(void)
{
	rsmapi_barrier_t barriers[3];
	pthread_t threads[3];

	begin();
	for (int i = 0; i < 3; i++)
		NEED(pthread_create(&threads[i], NULL, access_all_the_time,
			rig_import(id, RSM_PERM_RDWR, &barriers[i])));
	for (int i = 0; i < 60; i++)
		EXPECT(rebind(i % 2 ? first : second), RSM_SUCCESS);
	stop = true;
	for (int i = 0; i < 3; i++)
		NEED(pthread_join(threads[i], NULL));
	CHECK(is_filled(first, 'a') && is_filled(second, 'b'));
}

/* Two segments may exchange their memories */
static void segments_exchange_their_memories(void)
{
	rsm_memseg_export_handle_t other;
	rsm_memseg_id_t other_id = rig_id();
	rsmapi_barrier_t barriers[2];
	rsm_memseg_import_handle_t imports[2];
	char *third;

	begin();
	third = rig_memory(PAGES);
	NEED(rsm_memseg_export_create(rig_controller(), &other, second, size, RSM_ALLOW_REBIND));
	NEED(rsm_memseg_export_publish(other, &other_id, NULL, 0));
	imports[0] = rig_import(id, RSM_PERM_RDWR, &barriers[0]);
	imports[1] = rig_import(other_id, RSM_PERM_RDWR, &barriers[1]);
	EXPECT(rebind(third), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_rebind(other, first, 0, size), RSM_SUCCESS);
	EXPECT(rebind(second), RSM_SUCCESS);
	CHECK_EQUAL(get(imports[0], 0), 'b');
	CHECK_EQUAL(get(imports[1], 0), 'a');
	put(imports[0], 1, 'x');
	put(imports[1], 1, 'y');
	CHECK(first[1] == 'y' && second[1] == 'x' && third[1] == 0);
}

static const rig_test_t tests[] = {
	TEST(rebind_checks_its_arguments_in_order),
	TEST(a_part_cannot_be_rebound),
	TEST(the_offset_is_ignored),
	TEST(rebind_must_have_been_allowed),
	TEST(other_handles_are_bad_handles),
	TEST(the_child_is_not_the_creator),
	TEST(the_same_memory_is_no_change),
	TEST(importers_see_the_new_memory),
	TEST(maps_see_the_new_memory),
	TEST(a_map_of_a_part_follows),
	TEST(the_old_memory_is_private_again),
	TEST(the_old_memory_is_not_shared_with_children),
	TEST(a_bound_segment_is_rebound),
	TEST(memories_take_turns),
	TEST(a_failed_rebind_changes_nothing),
	TEST(rebind_is_no_break),
	TEST(importers_of_other_processes_follow),
	TEST(a_stopped_importer_does_not_hold_up_rebind),
	TEST(accesses_survive_rebind),
	TEST(segments_exchange_their_memories),
};

RIG_MAIN(tests)
