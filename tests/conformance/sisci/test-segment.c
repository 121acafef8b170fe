/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local segments: sisci.md §5.2, §6.1, §7, traps T7, T9, T11, T12, T19, T23, T25, T29, T35.
 */
#include "rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

static sci_desc_t sd;

static sci_local_segment_t created(unsigned int id, size_t size, unsigned int flags)
{
	sci_local_segment_t segment = NULL;

	NEED(SCICreateSegment, sd, &segment, id, size, NULL, NULL, flags);
	CHECK(segment != NULL);
	return segment;
}

static void create_checks_its_parameters(void)
{
	sci_local_segment_t s = NULL;

	sd = rig_open();
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateSegment, sd, NULL, 1, PAGE, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateSegment, NULL, &s, 1, PAGE, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateSegment, sd, &s, 1, 0, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateSegment, sd, &s, 1, PAGE, NULL, NULL,
		SCI_FLAG_USE_CALLBACK);
	CODE(SCI_ERR_ILLEGAL_FLAG, SCICreateSegment, sd, &s, 1, PAGE, NULL, NULL, 0x80000000u);
	CODE(SCI_ERR_FLAG_NOT_IMPLEMENTED, SCICreateSegment, sd, &s, 1, PAGE, NULL, NULL,
		SCI_FLAG_PHYSICAL);
	/* program M */
	CODE(SCI_ERR_FLAG_NOT_IMPLEMENTED, SCICreateSegment, sd, &s, 1, PAGE, NULL, NULL,
		SCI_FLAG_PRIVATE | SCI_FLAG_EMPTY);
	CODE(SCI_ERR_NOSPC, SCICreateSegment, sd, &s, 1, SIZE_MAX, NULL, NULL, 0);
	CODE(SCI_ERR_NOSPC, SCICreateSegment, sd, &s, 1, (size_t)1 << 62, NULL, NULL, 0);
	CHECK(!s);
}

static void any_number_is_an_id(void)
{
	unsigned int ids[] = {0, 1, 0xffffffffu, 0xba000000u, rig_id()};
	sci_local_segment_t s;

	sd = rig_open();
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		s = created(ids[i], PAGE, 0);
		CHECK_EQUAL(SCIGetLocalSegmentId(s), ids[i]);
		OK(SCIRemoveSegment, s, 0);
	}
}

static void an_id_is_taken_from_create_to_remove(void)
{
	unsigned int id = rig_id();
	sci_local_segment_t s, other = NULL;

	sd = rig_open();
	s = created(id, PAGE, 0);
	CODE(SCI_ERR_SEGMENTID_USED, SCICreateSegment, sd, &other, id, PAGE, NULL, NULL, 0);
	CHECK(!other);
	OK(SCIRemoveSegment, s, 0);
	OK(SCIRemoveSegment, created(id, PAGE, 0), 0);
}

static void has_segment(void *data)
{
	unsigned int id = *(unsigned int *)data;

	(void)rig_segment(rig_open(), id, PAGE);
	rig_tell_parent(1);
	rig_hear_parent();
}

/* T19 */
static void a_killed_process_gives_its_ids_back_at_once(void)
{
	unsigned int id = rig_id();
	rig_peer_t peer = rig_here(has_segment, &id);
	sci_local_segment_t s;

	sd = rig_open();
	rig_hear(peer);
	CODE(SCI_ERR_SEGMENTID_USED, SCICreateSegment, sd, &s, id, PAGE, NULL, NULL, 0);
	rig_kill(peer);
	EVENTUALLY(SAYS(SCICreateSegment, sd, &s, id, PAGE, NULL, NULL, 0) == SCI_ERR_OK);
}

/* T9 */
static void auto_id_takes_the_lowest_free_one(void)
{
	unsigned int id = rig_id() & ~0xffu;
	sci_local_segment_t a, b, c;

	sd = rig_open();
	a = created(id, PAGE, SCI_FLAG_AUTO_ID);
	b = created(id, PAGE, SCI_FLAG_AUTO_ID);
	CHECK_EQUAL(SCIGetLocalSegmentId(a), id);
	CHECK_EQUAL(SCIGetLocalSegmentId(b), id + 1);
	OK(SCIRemoveSegment, a, 0);
	c = created(id, PAGE, SCI_FLAG_AUTO_ID);
	CHECK_EQUAL(SCIGetLocalSegmentId(c), id);
}

static void the_size_is_the_one_asked_for(void)
{
	size_t sizes[] = {1, 8, 50, PAGE - 1, PAGE, PAGE + 1, 16u << 20};

	sd = rig_open();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sci_local_segment_t s = created(rig_id(), sizes[i], 0);

		CHECK_EQUAL(SCIGetLocalSegmentSize(s), sizes[i]);
		OK(SCIRemoveSegment, s, 0);
	}
	CHECK_EQUAL(SCIGetLocalSegmentSize(NULL), 0);
	CHECK_EQUAL(SCIGetLocalSegmentId(NULL), 0);
}

/* without their memory, which a test does not take */
static void segments_may_be_larger_than_four_gigabytes(void)
{
	const size_t size = ((size_t)5 << 30) + 1;
	sci_local_segment_t s;

	sd = rig_open();
	if (SAYS(SCICreateSegment, sd, &s, rig_id(), size, NULL, NULL, SCI_FLAG_EMPTY) ==
		SCI_ERR_NOSPC)
		rig_skip("no such segment is allowed here");
	CHECK_EQUAL(SCIGetLocalSegmentSize(s), size);
	OK(SCIRemoveSegment, s, 0);
}

/* T29 */
static void fresh_memory_is_zero(void)
{
	static const char zeros[3 * PAGE];
	sci_map_t map;
	char *p;

	sd = rig_open();
	for (int i = 0; i < 3; i++) {
		sci_local_segment_t s = created(rig_id(), sizeof(zeros), 0);

		p = SCIMapLocalSegment(s, &map, 0, sizeof(zeros), NULL, 0, &(sci_error_t){0});
		NEED_TRUE(p);
		CHECK(!memcmp(p, zeros, sizeof(zeros)));
		memset(p, 0xab, sizeof(zeros));
		OK(SCIUnmapSegment, map, 0);
		OK(SCIRemoveSegment, s, 0);
	}
}

static void states_are_checked(void)
{
	sci_local_segment_t s;

	sd = rig_open();
	s = created(rig_id(), PAGE, 0);
	CODE(SCI_ERR_SEGMENT_NOT_PREPARED, SCISetSegmentAvailable, s, 0, 0);
	/* T23 */
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCISetSegmentUnavailable, s, 0, 0);
	OK(SCIPrepareSegment, s, 0, SCI_FLAG_BROADCAST);
	OK(SCIPrepareSegment, s, 0, SCI_FLAG_DMA_SOURCE_ONLY);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCISetSegmentUnavailable, s, 0, 0);
	OK(SCISetSegmentAvailable, s, 0, 0);
	OK(SCISetSegmentAvailable, s, 0, 0);
	OK(SCISetSegmentUnavailable, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCISetSegmentUnavailable, s, 0, 0);
	OK(SCISetSegmentAvailable, s, 0, 0);
	OK(SCIRemoveSegment, s, 0);
}

static void adapters_are_checked(void)
{
	sci_local_segment_t s;

	sd = rig_open();
	s = created(rig_id(), PAGE, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIPrepareSegment, s, 1, 0);
	CODE(SCI_ERR_ILLEGAL_ADAPTERNO, SCIPrepareSegment, s, 1000, 0);
	OK(SCIPrepareSegment, s, 0, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCISetSegmentAvailable, s, 127, 0);
	CODE(SCI_ERR_ILLEGAL_ADAPTERNO, SCISetSegmentUnavailable, s, 128, 0);
}

static void a_removed_segment_is_an_illegal_parameter(void)
{
	sci_local_segment_t s;
	sci_map_t map;

	sd = rig_open();
	s = created(rig_id(), PAGE, 0);
	OK(SCIRemoveSegment, s, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveSegment, s, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIPrepareSegment, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCISetSegmentAvailable, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCISetSegmentUnavailable, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIShareSegment, s, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIMapLocalSegment, s, &map, 0, PAGE, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForLocalSegmentEvent, s, NULL, NULL, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRegisterSegmentMemory, NULL, 0, s, 0);
	/* a handle of another kind */
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveSegment, (sci_local_segment_t)sd, 0);
}

static void a_mapped_segment_is_busy(void)
{
	sci_local_segment_t s;
	sci_map_t map;

	sd = rig_open();
	s = created(rig_id(), PAGE, 0);
	NEED_TRUE(SCIMapLocalSegment(s, &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	CODE(SCI_ERR_BUSY, SCIRemoveSegment, s, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIRemoveSegment, s, 0);
}

static void private_segments_are_never_available(void)
{
	unsigned int id = rig_id();
	sci_local_segment_t s;
	sci_remote_segment_t r;

	sd = rig_open();
	s = created(id, PAGE, SCI_FLAG_PRIVATE);
	/* the id is ignored, so it is free */
	OK(SCIRemoveSegment, created(id, PAGE, 0), 0);
	OK(SCIPrepareSegment, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCISetSegmentAvailable, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCISetSegmentUnavailable, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIShareSegment, s, 0);
	CODE(SCI_ERR_NO_SUCH_SEGMENT, SCIConnectSegment, sd, &r, rig_node(), id, 0, NULL, NULL, 0,
		0);
	OK(SCIRemoveSegment, s, 0);
}

/* §5.2: memory of the program's */

static char *memory(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(p != MAP_FAILED);
	return p;
}

static void an_empty_segment_gets_the_program_s_memory(void)
{
	unsigned int id = rig_id();
	char *p = memory(4 * PAGE);
	sci_local_segment_t s;
	sci_remote_segment_t r;
	volatile char *there;
	sci_map_t map;

	sd = rig_open();
	strcpy(p, "before");
	s = created(id, 4 * PAGE, SCI_FLAG_EMPTY);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIPrepareSegment, s, 0, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIMapLocalSegment, s, &map, 0, PAGE, NULL, 0);
	OK(SCIRegisterSegmentMemory, p, 4 * PAGE, s, SCI_FLAG_LOCK_USER_MEM);
	CHECK(!strcmp(p, "before"));
	OK(SCIPrepareSegment, s, 0, 0);
	OK(SCISetSegmentAvailable, s, 0, 0);
	r = rig_connect(sd, rig_node(), id);
	there = SCIMapRemoteSegment(r, &map, 0, 4 * PAGE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(there);
	CHECK(!strcmp((char *)there, "before"));
	there[0] = 'B';
	CHECK(!strcmp(p, "Before"));
	p[4 * PAGE - 1] = 'x';
	CHECK(there[4 * PAGE - 1] == 'x');
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
	OK(SCIRemoveSegment, s, 0);
	CHECK(!strcmp(p, "Before"));
	p[1] = 'E';
	CHECK(munmap(p, 4 * PAGE) == 0);
}

static void register_checks_memory(void)
{
	char *p = memory(4 * PAGE);
	sci_local_segment_t s, full;

	sd = rig_open();
	s = created(rig_id(), 2 * PAGE, SCI_FLAG_EMPTY);
	full = created(rig_id(), 2 * PAGE, 0);
	CODE(SCI_ERR_ILLEGAL_ADDRESS, SCIRegisterSegmentMemory, NULL, 2 * PAGE, s, 0);
	CODE(SCI_ERR_ILLEGAL_ADDRESS, SCIRegisterSegmentMemory, p + 1, 2 * PAGE, s, 0);
	CODE(SCI_ERR_SIZE_ALIGNMENT, SCIRegisterSegmentMemory, p, 2 * PAGE - 1, s, 0);
	CODE(SCI_ERR_OUT_OF_RANGE, SCIRegisterSegmentMemory, p, 3 * PAGE, s, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIRegisterSegmentMemory, p, 2 * PAGE, full, 0);
	OK(SCIRegisterSegmentMemory, p, 2 * PAGE, s, 0);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIRegisterSegmentMemory, p, 2 * PAGE, s, 0);
	OK(SCIRemoveSegment, s, 0);
	/* nothing mapped there */
	s = created(rig_id(), 2 * PAGE, SCI_FLAG_EMPTY);
	munmap(p, 2 * PAGE);
	CODE(SCI_ERR_ILLEGAL_ADDRESS, SCIRegisterSegmentMemory, p, 2 * PAGE, s, 0);
}

/* T35 */
static void close_is_busy_while_something_is_in_use(void)
{
	sci_local_segment_t s;
	sci_map_t map;

	sd = rig_open();
	s = rig_segment(sd, rig_id(), PAGE);
	CODE(SCI_ERR_BUSY, SCIClose, sd, 0);
	OK(SCISetSegmentUnavailable, s, 0, 0);
	NEED_TRUE(SCIMapLocalSegment(s, &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	CODE(SCI_ERR_BUSY, SCIClose, sd, 0);
	OK(SCIUnmapSegment, map, 0);
	OK(SCIClose, sd, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveSegment, s, 0);
}

static void close_gives_up_what_is_idle(void)
{
	unsigned int id = rig_id(), published = rig_id();
	sci_remote_segment_t r;
	sci_desc_t other;

	sd = rig_open();
	OK(SCIOpen, &other, 0);
	(void)rig_segment(other, published, PAGE);
	(void)created(id, PAGE, 0);
	r = rig_connect(sd, rig_node(), published);
	OK(SCIClose, sd, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIDisconnectSegment, r, 0);
	sd = other;
	OK(SCIRemoveSegment, created(id, PAGE, 0), 0);
}

static void terminate_frees_everything(void)
{
	unsigned int id = rig_id();
	sci_map_t map;

	for (int i = 0; i < 20; i++) {
		sd = rig_open();
		NEED_TRUE(SCIMapLocalSegment(
			rig_segment(sd, id, PAGE), &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
		(void)rig_connect(sd, rig_node(), id);
		SCITerminate();
	}
}

static void hundreds_of_segments_hang_on_one_descriptor(void)
{
	sci_local_segment_t s[300];

	sd = rig_open();
	for (int i = 0; i < 300; i++)
		s[i] = rig_segment(sd, rig_id() * 2 + (unsigned int)i * 0x10001u, PAGE);
	for (int i = 0; i < 300; i++)
		OK(SCIRemoveSegment, s[i], 0);
}

static const rig_test_t tests[] = {
	TEST(create_checks_its_parameters),
	TEST(any_number_is_an_id),
	TEST(an_id_is_taken_from_create_to_remove),
	TEST(a_killed_process_gives_its_ids_back_at_once),
	TEST(auto_id_takes_the_lowest_free_one),
	TEST(the_size_is_the_one_asked_for),
	TEST(segments_may_be_larger_than_four_gigabytes),
	TEST(fresh_memory_is_zero),
	TEST(states_are_checked),
	TEST(adapters_are_checked),
	TEST(a_removed_segment_is_an_illegal_parameter),
	TEST(a_mapped_segment_is_busy),
	TEST(private_segments_are_never_available),
	TEST(an_empty_segment_gets_the_program_s_memory),
	TEST(register_checks_memory),
	TEST(close_is_busy_while_something_is_in_use),
	TEST(close_gives_up_what_is_idle),
	TEST(terminate_frees_everything),
	TEST(hundreds_of_segments_hang_on_one_descriptor),
};

RIG_MAIN(tests)
