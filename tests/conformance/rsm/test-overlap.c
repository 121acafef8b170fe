/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One memory in several segments: rsmapi.md §4.3 (overlapping exports are allowed), Decisions 5
 * and 6. Identical ranges are the case of a program that exports through several controllers.
 */
#include "agent.h"

#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 4

static size_t page;
static char *memory;

static void begin(void)
{
	page = rig_page();
	memory = rig_memory(PAGES);
	for (size_t i = 0; i < PAGES * page; i++)
		memory[i] = (char)(i >> 8);
}

/* §4.3 allows all overlaps; an implementation may know identical ranges only. */
static void need_overlaps(void)
{
	rsm_memseg_export_handle_t first, second;
	char *pages = rig_memory(2);
	int code;

	first = rig_create(pages, 2);
	code = rsm_memseg_export_create(rig_controller(), &second, pages, rig_page(), 0);
	if (code == RSMERR_BAD_ADDR)
		rig_skip("overlaps of other than identical ranges are refused as bad addresses");
	NEED(code);
	NEED(rsm_memseg_export_destroy(second));
	NEED(rsm_memseg_export_destroy(first));
}

/* A segment over some pages of the memory, with an import of it. */
typedef struct {
	size_t first_page, n_pages;
	rsm_memseg_id_t id;
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
} view_t;

static view_t view_of(size_t first_page, size_t n_pages)
{
	return (view_t){.first_page = first_page, .n_pages = n_pages};
}

static void open_view(view_t *view)
{
	view->export = rig_export(memory + view->first_page * page, view->n_pages, &view->id);
	view->import = rig_import(view->id, RSM_PERM_RDWR, &view->barrier);
}

/* Its length with the terminating zero. */
static int put_text(rsm_memseg_import_handle_t import, off_t offset, const char *text)
{
	char copy[16];

	strcpy(copy, text);
	return rsm_memseg_import_put(import, offset, copy, strlen(copy) + 1);
}

static void close_view(view_t *view)
{
	EXPECT(rsm_memseg_import_disconnect(view->import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(view->export), RSM_SUCCESS);
}

/* All bytes of the view are the exporter's, and a put reaches exactly its place. */
static void check_view(view_t *view, char mark)
{
	size_t size = view->n_pages * page, begin_at = view->first_page * page;
	char copy[PAGES * 4096];

	NEED_TRUE(size <= sizeof(copy));
	EXPECT(rsm_memseg_import_get(view->import, 0, copy, size), RSM_SUCCESS);
	CHECK(memcmp(copy, memory + begin_at, size) == 0);
	for (size_t i = 0; i < view->n_pages; i++) {
		EXPECT(rsm_memseg_import_put(view->import, (off_t)(i * page + 7), &mark, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(memory[begin_at + i * page + 7], mark);
		memory[begin_at + i * page + 8] = mark;
		EXPECT(rsm_memseg_import_get(view->import, (off_t)(i * page + 8), copy, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(copy[0], mark);
	}
}

/* Views that open and close in every order that matters: stack and queue. */
static void check_views(view_t *views, size_t n)
{
	for (int queue = 0; queue < 2; queue++) {
		size_t lo = 0, hi = n;

		for (size_t i = 0; i < n; i++) {
			open_view(&views[i]);
			for (size_t j = 0; j <= i; j++)
				check_view(&views[j], (char)(10 * i + j));
		}
		while (lo < hi) {
			close_view(&views[queue ? lo : hi - 1]);
			*(queue ? &lo : &hi) += queue ? 1 : (size_t)-1;
			for (size_t j = lo; j < hi; j++)
				check_view(&views[j], (char)(100 + j));
		}
	}
}

#define CHECK_VIEWS(...)                                                                           \
	do {                                                                                       \
		view_t views[] = {__VA_ARGS__};                                                    \
                                                                                                   \
		begin();                                                                           \
		check_views(views, sizeof(views) / sizeof(views[0]));                              \
	} while (0)

static void identical_ranges_share_their_bytes(void)
{
	CHECK_VIEWS(view_of(0, 4), view_of(0, 4), view_of(0, 4));
}

static void a_range_within_another_shares_its_bytes(void)
{
	need_overlaps();
	CHECK_VIEWS(view_of(0, 4), view_of(1, 2), view_of(2, 1));
}

static void a_range_around_another_shares_its_bytes(void)
{
	need_overlaps();
	CHECK_VIEWS(view_of(1, 1), view_of(0, 3), view_of(0, 4));
}

static void ranges_that_overlap_in_part_share_their_bytes(void)
{
	need_overlaps();
	CHECK_VIEWS(view_of(0, 2), view_of(1, 2), view_of(2, 2));
}

static void a_range_that_bridges_two_shares_their_bytes(void)
{
	need_overlaps();
	CHECK_VIEWS(view_of(0, 2), view_of(2, 2), view_of(1, 2), view_of(0, 4));
}

/* The program's memory is its own again when the last segment over it has gone, and not before */
static void child_stores(void *data)
{
	(void)data;
	memory[page] = 'c';
}

static void memory_is_private_after_the_last_destroy(void)
{
	view_t first = view_of(1, 2), second = view_of(1, 2);

	begin();
	open_view(&first);
	open_view(&second);
	close_view(&first);
	check_view(&second, 3);
	close_view(&second);
	memory[page] = 'p';
	rig_in_child(child_stores, NULL);
	CHECK_EQUAL(memory[page], 'p');
	EXPECT(munmap(memory, PAGES * page), 0);
}

/* Each segment has its own state, rights, events */
static void segments_over_one_memory_are_separate(void)
{
	view_t first = view_of(0, 4), second = view_of(0, 4);

	begin();
	open_view(&first);
	open_view(&second);
	NEED(rsm_intr_signal_post(first.import, 0));
	EXPECT(rsm_intr_signal_wait(second.export, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(first.export, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(first.export), RSM_SUCCESS);
	EXPECT(put_text(first.import, 0, "x"), RSMERR_CONN_ABORTED);
	check_view(&second, 5);
}

/*
 * Decision 6 with two segments: the importer of the one that stays reaches everything as before;
 * the former importer of the other reaches nothing by calls at once, and nothing by his map when
 * the last of the segments has gone. Whether he does until then is not written.
 */
static void unpublish_of_one_leaves_the_other_connected(void)
{
	agent_t former = agent_start(), present = agent_start();
	rsm_memseg_export_handle_t first, second;
	rsm_memseg_id_t first_id, second_id;
	uint64_t *words;

	begin();
	words = (uint64_t *)(void *)memory;
	first = rig_export(memory, PAGES, &first_id);
	second = rig_export(memory, PAGES, &second_id);
	agent_import(&former, first_id);
	agent_import(&present, second_id);
	NEED(agent_do(&former, AGENT_MAP, 0, page, RSM_PERM_RDWR));
	NEED(agent_do(&present, AGENT_MAP, 0, page, RSM_PERM_RDWR));
	words[0] = 1;
	CHECK_EQUAL(agent_ask(&former, AGENT_MAP_LOAD, 0), 1);
	CHECK_EQUAL(agent_ask(&present, AGENT_MAP_LOAD, 0), 1);
	EXPECT(rsm_memseg_export_unpublish(first), RSM_SUCCESS);
	EXPECT(agent_do(&former, AGENT_PUT, 8, 66, 0), RSMERR_CONN_ABORTED);
	CHECK_EQUAL(words[1], 0);
	words[3] = 3;
	CHECK_EQUAL(agent_ask(&present, AGENT_MAP_LOAD, 24), 3);
	CHECK_EQUAL(agent_ask(&present, AGENT_GET, 24), 3);
	EXPECT(agent_do(&present, AGENT_MAP_STORE, 32, 4, 0), RSM_SUCCESS);
	EXPECT(agent_do(&present, AGENT_PUT, 40, 5, 0), RSM_SUCCESS);
	CHECK(words[4] == 4 && words[5] == 5);
	EXPECT(rsm_memseg_export_destroy(first), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&present, AGENT_GET, 24), 3);
	EXPECT(rsm_memseg_export_destroy(second), RSM_SUCCESS);
	EXPECT(agent_do(&present, AGENT_PUT, 40, 6, 0), RSMERR_CONN_ABORTED);
	EXPECT(agent_do(&former, AGENT_MAP_STORE, 16, 66, 0), RSM_SUCCESS);
	EXPECT(agent_do(&present, AGENT_MAP_STORE, 48, 66, 0), RSM_SUCCESS);
	CHECK(words[0] == 1 && words[3] == 3 && words[4] == 4 && words[5] == 5);
	CHECK(words[2] == 0 && words[6] == 0);
}

static char *attach(int shmid)
{
	void *address = shmat(shmid, NULL, 0);

	NEED_TRUE(address != (void *)-1);
	return address;
}

static int shared_segment(size_t n_pages)
{
	int shmid = shmget(IPC_PRIVATE, n_pages * rig_page(), IPC_CREAT | 0600);
	char *keep;

	NEED_TRUE(shmid >= 0);
	/* Gone with its last attachment, which is this test's. */
	keep = attach(shmid);
	shmctl(shmid, IPC_RMID, NULL);
	memset(keep, 0, n_pages * rig_page());
	return shmid;
}

static void child_exports_system_v(void *data)
{
	int shmid = *(int *)data;
	char *attached = attach(shmid);
	rsm_memseg_id_t id;
	rsmapi_barrier_t barrier;
	rsm_memseg_export_handle_t export = rig_export(attached, PAGES, &id);
	rsm_memseg_import_handle_t import = rig_import(id, RSM_PERM_RDWR, &barrier);

	EXPECT(put_text(import, 100, "child"), RSM_SUCCESS);
	CHECK(strcmp(attached + 100, "child") == 0);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	strcpy(attached + 200, "after");
}

/* Decision 5: two processes export one System V segment; it is one memory to both, always */
static void processes_may_export_one_system_v_segment(void)
{
	int shmid = shared_segment(PAGES);
	char *attached = attach(shmid);
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;
	char text[6];

	export = rig_export(attached, PAGES, &id);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	rig_in_child(child_exports_system_v, &shmid);
	EXPECT(rsm_memseg_import_get(import, 100, text, 6), RSM_SUCCESS);
	CHECK(memcmp(text, "child", 6) == 0);
	EXPECT(rsm_memseg_import_get(import, 200, text, 6), RSM_SUCCESS);
	CHECK(memcmp(text, "after", 6) == 0);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	CHECK(memcmp(attached + 100, "child", 6) == 0);
}

/* A part of it, and two attachments of one process in two segments */
static void attachments_of_a_system_v_segment_are_one_memory(void)
{
	int shmid = shared_segment(PAGES);
	char *first = attach(shmid), *second = attach(shmid);
	rsmapi_barrier_t barriers[2];
	rsm_memseg_import_handle_t imports[2];
	rsm_memseg_id_t id;
	char byte = 0;

	page = rig_page();
	rig_export(first, PAGES, &id);
	imports[0] = rig_import(id, RSM_PERM_RDWR, &barriers[0]);
	rig_export(second + page, 2, &id);
	imports[1] = rig_import(id, RSM_PERM_RDWR, &barriers[1]);
	EXPECT(put_text(imports[0], (off_t)page + 5, "x"), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get(imports[1], 5, &byte, 1), RSM_SUCCESS);
	CHECK(byte == 'x' && first[page + 5] == 'x' && second[page + 5] == 'x');
	EXPECT(put_text(imports[1], (off_t)page, "y"), RSM_SUCCESS);
	CHECK(first[2 * page] == 'y' && second[2 * page] == 'y');
	EXPECT(put_text(imports[1], 2 * (off_t)page, "z"), RSMERR_BAD_OFFSET);
}

/* Read-only attachments cannot be exported: locked for reading and writing (§4.3) */
static void a_read_only_attachment_is_refused(void)
{
	int shmid = shared_segment(1);
	void *address = shmat(shmid, NULL, SHM_RDONLY);
	rsm_memseg_export_handle_t export;

	NEED_TRUE(address != (void *)-1);
	EXPECT_ONE(rsm_memseg_export_create(rig_controller(), &export, address, rig_page(), 0),
		RSMERR_BAD_ADDR, RSMERR_PERM_DENIED);
}

static void child_uses_shared_memory(void *data)
{
	volatile char *shared = data;

	shared[0] = 'c';
	EVENTUALLY(shared[1] == 'i');
	EVENTUALLY(shared[2] == 'p');
	shared[3] = 'd';
}

/* Decision 5: shared anonymous memory stays shared with those who have it */
static void shared_anonymous_memory_stays_shared(void)
{
	char *shared =
		mmap(NULL, rig_page(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id = rig_id();
	char byte = 0;
	pid_t child;
	int code;

	NEED_TRUE(shared != MAP_FAILED);
	child = rig_fork(child_uses_shared_memory, shared);
	code = rsm_memseg_export_create(rig_controller(), &export, shared, rig_page(), 0);
	if (code == RSMERR_BAD_ADDR)
		rig_skip("shared anonymous memory needs a privileged daemon (Decision 5)");
	NEED(code);
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EVENTUALLY(shared[0] == 'c');
	EXPECT(rsm_memseg_import_get(import, 0, &byte, 1), RSM_SUCCESS);
	CHECK_EQUAL(byte, 'c');
	EXPECT(put_text(import, 1, "i"), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	shared[2] = 'p';
	rig_join(child);
	CHECK_EQUAL(shared[3], 'd');
}

static const rig_test_t tests[] = {
	TEST(identical_ranges_share_their_bytes),
	TEST(a_range_within_another_shares_its_bytes),
	TEST(a_range_around_another_shares_its_bytes),
	TEST(ranges_that_overlap_in_part_share_their_bytes),
	TEST(a_range_that_bridges_two_shares_their_bytes),
	TEST(memory_is_private_after_the_last_destroy),
	TEST(segments_over_one_memory_are_separate),
	TEST(unpublish_of_one_leaves_the_other_connected),
	TEST(processes_may_export_one_system_v_segment),
	TEST(attachments_of_a_system_v_segment_are_one_memory),
	TEST(a_read_only_attachment_is_refused),
	TEST(shared_anonymous_memory_stays_shared),
};

RIG_MAIN(tests)
