/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers and modes: rsmapi.md §4.9, §5.4, Decision 1 for the codes that only the reference gives.
 */
#include "rig.h"

static rsm_memseg_id_t id;
static rsm_memseg_export_handle_t export;

static rsm_memseg_import_handle_t begin(rsmapi_barrier_t *barrier)
{
	export = rig_export(rig_memory(1), 1, &id);
	return rig_import(id, RSM_PERM_RDWR, barrier);
}

/* §4.9 */
static void init_checks_its_arguments(void)
{
	rsm_memseg_import_handle_t import = begin(NULL);
	rsmapi_barrier_t barrier;

	EXPECT(rsm_memseg_import_init_barrier(NULL, RSM_BAR_DEFAULT, NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_init_barrier(NULL, RSM_BAR_DEFAULT, &barrier),
		RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, NULL),
		RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_init_barrier(
		       (rsm_memseg_import_handle_t)(void *)export, RSM_BAR_DEFAULT, &barrier),
		RSMERR_BAD_SEG_HNDL);
}

/* §4.9: the type is ignored */
static void every_type_is_taken(void)
{
	static const rsm_barrier_type_t types[] = {RSM_BARRIER_SEGMENT, RSM_BARRIER_NODE,
		RSM_BARRIER_SEGMENT_THREAD, RSM_BARRIER_NODE_THREAD, (rsm_barrier_type_t)0x77};
	rsm_memseg_import_handle_t import = begin(NULL);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		rsmapi_barrier_t barrier;

		EXPECT(rsm_memseg_import_init_barrier(import, types[i], &barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_destroy_barrier(&barrier), RSM_SUCCESS);
	}
}

/* §4.9 */
static void null_is_a_bad_barrier(void)
{
	EXPECT(rsm_memseg_import_open_barrier(NULL), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_order_barrier(NULL), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_close_barrier(NULL), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_destroy_barrier(NULL), RSMERR_BAD_BARRIER_PTR);
}

static void is_uninitialised(rsmapi_barrier_t *barrier)
{
	EXPECT(rsm_memseg_import_open_barrier(barrier), RSMERR_BARRIER_UNINITIALIZED);
	EXPECT(rsm_memseg_import_order_barrier(barrier), RSMERR_BARRIER_UNINITIALIZED);
	EXPECT(rsm_memseg_import_close_barrier(barrier), RSMERR_BARRIER_UNINITIALIZED);
	EXPECT(rsm_memseg_import_destroy_barrier(barrier), RSMERR_BARRIER_UNINITIALIZED);
}

/* §4.9: a zeroed structure is not initialised; a destroyed one neither */
static void zeroed_and_destroyed_barriers_are_uninitialised(void)
{
	rsmapi_barrier_t zeroed = {0}, barrier;

	is_uninitialised(&zeroed);
	begin(&barrier);
	EXPECT(rsm_memseg_import_destroy_barrier(&barrier), RSM_SUCCESS);
	is_uninitialised(&barrier);
}

/* §5.4: open … order … close, again and again */
static void a_span_is_opened_ordered_and_closed(void)
{
	rsmapi_barrier_t barrier;

	begin(&barrier);
	for (int i = 0; i < 3; i++) {
		EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_order_barrier(&barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_order_barrier(&barrier), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
	}
}

/* §3 row 37, Decision 1 */
static void order_and_close_need_an_open_span(void)
{
	rsmapi_barrier_t barrier;

	begin(&barrier);
	EXPECT(rsm_memseg_import_order_barrier(&barrier), RSMERR_BARRIER_NOT_OPENED);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_BARRIER_NOT_OPENED);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_BARRIER_NOT_OPENED);
}

/* §5.4 */
static void a_span_may_be_opened_twice(void)
{
	rsmapi_barrier_t barrier;

	begin(&barrier);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
}

/* Decision 1: 13 after the import was disconnected */
static void a_barrier_ends_with_its_import(void)
{
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import = begin(&barrier), next;

	NEED(rsm_memseg_import_open_barrier(&barrier));
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	next = rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_memseg_import_order_barrier(&barrier), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_destroy_barrier(&barrier), RSMERR_BAD_BARRIER_PTR);
	EXPECT(rsm_memseg_import_init_barrier(next, RSM_BAR_DEFAULT, &barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
}

/* §4.9: one import, several barriers: each has its span; any of them serves the implicit mode */
static void an_import_may_have_several_barriers(void)
{
	rsmapi_barrier_t first, second;
	rsm_memseg_import_handle_t import = begin(&first);
	uint64_t value = 0;

	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &second));
	EXPECT(rsm_memseg_import_open_barrier(&first), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_open_barrier(&second), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&first), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&second), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_destroy_barrier(&second), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_destroy_barrier(&first), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSMERR_BARRIER_UNINITIALIZED);
}

/* §2.3, §4.9 */
static void the_mode_is_implicit_until_it_is_set(void)
{
	rsm_memseg_import_handle_t import = begin(NULL);
	rsm_barrier_mode_t mode = RSM_BARRIER_MODE_EXPLICIT;

	EXPECT(rsm_memseg_import_get_mode(import, &mode), RSM_SUCCESS);
	CHECK_EQUAL(mode, RSM_BARRIER_MODE_IMPLICIT);
	EXPECT(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get_mode(import, &mode), RSM_SUCCESS);
	CHECK_EQUAL(mode, RSM_BARRIER_MODE_EXPLICIT);
	EXPECT(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_IMPLICIT), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get_mode(import, &mode), RSM_SUCCESS);
	CHECK_EQUAL(mode, RSM_BARRIER_MODE_IMPLICIT);
}

/* §4.9; Decision 1 for 25 */
static void modes_are_checked(void)
{
	rsm_memseg_import_handle_t import = begin(NULL);
	rsm_memseg_import_handle_t wrong = (rsm_memseg_import_handle_t)(void *)export;
	rsm_barrier_mode_t mode = RSM_BARRIER_MODE_EXPLICIT;

	EXPECT(rsm_memseg_import_set_mode(NULL, RSM_BARRIER_MODE_EXPLICIT), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_set_mode(wrong, RSM_BARRIER_MODE_EXPLICIT), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_set_mode(import, (rsm_barrier_mode_t)2), RSMERR_BAD_MODE);
	EXPECT(rsm_memseg_import_set_mode(import, (rsm_barrier_mode_t)0x1001), RSMERR_BAD_MODE);
	EXPECT(rsm_memseg_import_get_mode(NULL, &mode), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_get_mode(NULL, NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_get_mode(wrong, &mode), RSMERR_BAD_SEG_HNDL);
	/* §9.8: the reference crashes; a bad argument of the call or a bad address. */
	EXPECT_ONE(rsm_memseg_import_get_mode(import, NULL), RSMERR_BAD_SEG_HNDL, RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_import_get_mode(import, &mode), RSM_SUCCESS);
	CHECK_EQUAL(mode, RSM_BARRIER_MODE_IMPLICIT);
}

/* §5.4: what was put within a span is there when it closed */
static void a_closed_span_has_arrived(void)
{
	rsmapi_barrier_t barrier;
	char *memory = rig_memory(1);
	rsm_memseg_import_handle_t import;

	export = rig_export(memory, 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	for (uint64_t i = 0; i < 100; i++)
		EXPECT(rsm_memseg_import_put64(import, (off_t)(8 * i), &i, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
	for (uint64_t i = 0; i < 100; i++)
		CHECK_EQUAL(((volatile uint64_t *)(void *)memory)[i], i);
}

static const rig_test_t tests[] = {
	TEST(init_checks_its_arguments),
	TEST(every_type_is_taken),
	TEST(null_is_a_bad_barrier),
	TEST(zeroed_and_destroyed_barriers_are_uninitialised),
	TEST(a_span_is_opened_ordered_and_closed),
	TEST(order_and_close_need_an_open_span),
	TEST(a_span_may_be_opened_twice),
	TEST(a_barrier_ends_with_its_import),
	TEST(an_import_may_have_several_barriers),
	TEST(the_mode_is_implicit_until_it_is_set),
	TEST(modes_are_checked),
	TEST(a_closed_span_has_arrived),
};

RIG_MAIN(tests)
