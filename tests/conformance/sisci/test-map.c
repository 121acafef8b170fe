/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: sisci.md §5.4, traps T4 – T6, T10 – T12, T31.
 */
#include "rig.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define SIZE (16 * PAGE)

static sci_desc_t sd;
static sci_local_segment_t local;
static sci_remote_segment_t remote;

static void begin(size_t size)
{
	unsigned int id = rig_id();

	sd = rig_open();
	local = rig_segment(sd, id, size);
	remote = rig_connect(sd, rig_node(), id);
}

static char *map_local(
	size_t offset, size_t size, void *address, unsigned int flags, sci_map_t *map)
{
	sci_error_t error = RIG_POISON;
	char *p = SCIMapLocalSegment(local, map, offset, size, address, flags, &error);

	CHECK(!p == (error != SCI_ERR_OK));
	return p;
}

static char *map_remote(
	size_t offset, size_t size, void *address, unsigned int flags, sci_map_t *map)
{
	sci_error_t error = RIG_POISON;
	char *p = (char *)SCIMapRemoteSegment(remote, map, offset, size, address, flags, &error);

	CHECK(!p == (error != SCI_ERR_OK));
	return p;
}

/* T5, T6 */
static void both_sides_see_each_other_s_stores(void)
{
	sci_map_t a, b;
	char *l, *r;

	begin(SIZE);
	l = map_local(0, SIZE, NULL, 0, &a);
	r = map_remote(0, SIZE, NULL, 0, &b);
	NEED_TRUE(l && r);
	strcpy(l, "local");
	CHECK(!strcmp(r, "local"));
	strcpy(r + PAGE, "remote");
	CHECK(!strcmp(l + PAGE, "remote"));
	CHECK(SCIGetMapPointer(a) == l);
	CHECK(SCIGetMapPointer(b) == r);
	CHECK(!SCIGetMapPointer(NULL));
}

/* T10 */
static void maps_begin_and_end_anywhere(void)
{
	sci_map_t map, whole;
	char *l;

	begin(SIZE);
	l = map_local(0, SIZE, NULL, 0, &whole);
	for (size_t at = 0; at < SIZE; at++)
		l[at] = (char)(at * 7 + at / 256);
	for (size_t at = 1, size = 1; at + size <= SIZE; at += size, size = size * 3 + 1) {
		char *p = map_remote(at, size, NULL, 0, &map);

		NEED_TRUE(p);
		CHECK(!memcmp(p, l + at, size));
		p = map_local(at, size, NULL, 0, &map);
		NEED_TRUE(p);
		CHECK(!memcmp(p, l + at, size));
		/* map is overwritten, as programs do */
	}
}

/* T31 */
static void a_map_from_the_beginning_begins_at_a_page(void)
{
	sci_map_t map;

	begin(SIZE);
	CHECK_EQUAL((uintptr_t)map_local(0, 100, NULL, 0, &map) % PAGE, 0);
	CHECK_EQUAL((uintptr_t)map_remote(0, 100, NULL, 0, &map) % PAGE, 0);
}

/* T11 */
static void a_map_may_go_on_to_the_end_of_the_page(void)
{
	sci_map_t map;
	char *p;

	begin(32);
	p = map_remote(0, 480, NULL, 0, &map);
	NEED_TRUE(p);
	p[479] = 1;
	p = map_local(0, PAGE, NULL, 0, &map);
	NEED_TRUE(p);
	CHECK(p[479] == 1);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapLocalSegment, local, &map, 0, PAGE + 1, NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapRemoteSegment, remote, &map, 0, PAGE + 1, NULL, 0);
}

static void ranges_are_checked(void)
{
	sci_map_t map = NULL;

	begin(SIZE);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapLocalSegment, local, &map, SIZE, 1, NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapLocalSegment, local, &map, SIZE_MAX, 2, NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapRemoteSegment, remote, &map, 1, SIZE, NULL, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIMapRemoteSegment, remote, &map, PAGE, SIZE_MAX - 2, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMapLocalSegment, local, &map, 0, 0, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMapLocalSegment, local, NULL, 0, PAGE, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMapRemoteSegment, remote, NULL, 0, PAGE, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMapRemoteSegment, (sci_remote_segment_t)local, &map, 0,
		PAGE, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIUnmapSegment, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIUnmapSegment, (sci_map_t)&map, 0);
	CHECK(!map);
}

/* T12 */
static void a_local_map_needs_no_prepare(void)
{
	sci_map_t map;

	sd = rig_open();
	NEED(SCICreateSegment, sd, &local, rig_id(), PAGE, NULL, NULL, 0);
	CHECK(map_local(0, PAGE, NULL, 0, &map) != NULL);
	OK(SCIUnmapSegment, map, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIUnmapSegment, map, 0);
}

static void hints_mean_nothing(void)
{
	sci_map_t map;

	begin(SIZE);
	CHECK(map_local(0, SIZE, (void *)(uintptr_t)12345, 0, &map) != NULL);
	CHECK(map_remote(PAGE, PAGE, (void *)(uintptr_t)12345,
		      SCI_FLAG_BROADCAST | SCI_FLAG_IO_MAP_IOSPACE | SCI_FLAG_SHARED_MAP |
			      SCI_FLAG_WRITE_BACK_CACHE_MAP,
		      &map) != NULL);
}

static void fixed_maps_lie_where_they_are_wanted(void)
{
	char *place = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sci_map_t a, b, c;
	char *l;

	NEED_TRUE(place != MAP_FAILED);
	begin(SIZE);
	l = map_local(0, SIZE, NULL, 0, &c);
	CHECK(map_remote(PAGE, PAGE, place, SCI_FLAG_FIXED_MAP_ADDR, &a) == place);
	CHECK(map_local(2 * PAGE + 5, PAGE, place + 4 * PAGE + 5, SCI_FLAG_FIXED_MAP_ADDR, &b) ==
		place + 4 * PAGE + 5);
	l[PAGE + 3] = 'f';
	l[2 * PAGE + 5] = 'g';
	CHECK(place[3] == 'f');
	CHECK(place[4 * PAGE + 5] == 'g');
	place[4] = 'h';
	CHECK(l[PAGE + 4] == 'h');
	CODE(SCI_ERR_ILLEGAL_ADDRESS, SCIMapLocalSegment, local, &c, 0, PAGE, place + 1,
		SCI_FLAG_FIXED_MAP_ADDR);
	CODE(SCI_ERR_ILLEGAL_ADDRESS, SCIMapRemoteSegment, remote, &c, 0, PAGE, NULL,
		SCI_FLAG_FIXED_MAP_ADDR);
	OK(SCIUnmapSegment, a, 0);
	OK(SCIUnmapSegment, b, 0);
	CHECK(l[PAGE + 4] == 'h');
}

static sigjmp_buf fault;

static void on_fault(int signal)
{
	siglongjmp(fault, signal);
}

static bool can_store(char *p)
{
	if (sigsetjmp(fault, 1))
		return false;
	*(volatile char *)p = 1;
	return true;
}

static void read_only_maps_can_be_read_alone(void)
{
	sci_map_t a, b, c;
	char *l, *r, *w;

	signal(SIGSEGV, on_fault);
	begin(SIZE);
	w = map_local(0, SIZE, NULL, 0, &a);
	l = map_local(PAGE + 1, 10, NULL, SCI_FLAG_READONLY_MAP, &b);
	r = map_remote(PAGE + 1, 10, NULL, SCI_FLAG_READONLY_MAP, &c);
	NEED_TRUE(l && r);
	strcpy(w + PAGE + 1, "read");
	CHECK(!strcmp(l, "read") && !strcmp(r, "read"));
	CHECK(!can_store(l));
	CHECK(!can_store(r));
	CHECK(can_store(w));
	OK(SCIUnmapSegment, b, 0);
	OK(SCIUnmapSegment, c, 0);
}

/* T4, program A: a file read straight into the map */
static void system_calls_read_and_write_maps(void)
{
	sci_map_t a, b;
	char *l, *r;
	int fds[2];

	begin(SIZE);
	l = map_local(0, SIZE, NULL, 0, &a);
	r = map_remote(0, SIZE, NULL, 0, &b);
	NEED_TRUE(l && r && pipe(fds) == 0);
	memset(l, 'p', SIZE / 2);
	CHECK_EQUAL(write(fds[1], r, SIZE / 2), SIZE / 2);
	CHECK_EQUAL(read(fds[0], r + SIZE / 2, SIZE / 2), SIZE / 2);
	CHECK(!memcmp(l, l + SIZE / 2, SIZE / 2));
}

static const rig_test_t tests[] = {
	TEST(both_sides_see_each_other_s_stores),
	TEST(maps_begin_and_end_anywhere),
	TEST(a_map_from_the_beginning_begins_at_a_page),
	TEST(a_map_may_go_on_to_the_end_of_the_page),
	TEST(ranges_are_checked),
	TEST(a_local_map_needs_no_prepare),
	TEST(hints_mean_nothing),
	TEST(fixed_maps_lie_where_they_are_wanted),
	TEST(read_only_maps_can_be_read_alone),
	TEST(system_calls_read_and_write_maps),
};

RIG_MAIN(tests)
