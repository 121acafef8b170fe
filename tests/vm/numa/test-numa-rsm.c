/* SPDX-License-Identifier: Apache-2.0 */
/* An export of RSM whose pages are moved to nodes: rsm_ext_export_place(). Wants four nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <rsm/rsmapi_ext.h>

#define PAGES 300u
#define PAGE  ((size_t)sysconf(_SC_PAGESIZE))

static rsmapi_controller_handle_t controller;
static rsm_memseg_export_handle_t export;
static char *memory;

static int make_export(void **state)
{
	static char name[] = "loopback";

	memory = mmap(
		NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		memory[i] = (char)(i * 31);
	return rsm_get_controller(name, &controller) ||
	       rsm_memseg_export_create(controller, &export, memory, PAGES * PAGE, 0);
}

static int end_export(void **state)
{
	int r = rsm_memseg_export_destroy(export);

	for (size_t i = 0; i < PAGES * PAGE; i++)
		assert_int_equal(memory[i], (char)(i * 31));
	munmap(memory, PAGES * PAGE);
	return r || rsm_release_controller(controller);
}

static void count(size_t on[4])
{
	memset(on, 0, 4 * sizeof(*on));
	for (size_t i = 0; i < PAGES; i++) {
		void *page = memory + i * PAGE;
		int status;

		assert_int_equal(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0), 0);
		assert_in_range(status, 0, 3);
		on[status]++;
	}
}

static void pages_move_to_the_nodes_of_a_stripe(void **state)
{
	unsigned long nodes = 0xe;
	size_t on[4];

	assert_int_equal(rsm_ext_export_place(export, RSM_EXT_STRIPE | RSM_EXT_HARD, &nodes, 4), 0);
	count(on);
	assert_true(on[0] == 0 && on[1] == PAGES / 3 && on[2] == PAGES / 3 && on[3] == PAGES / 3);
}

static void pages_that_are_well_placed_stay_and_others_go_near(void **state)
{
	unsigned long first = 0xf, second = 0x5;
	size_t on[4];

	assert_int_equal(rsm_ext_export_place(export, RSM_EXT_STRIPE, &first, 4), 0);
	assert_int_equal(
		rsm_ext_export_place(export, RSM_EXT_FIRSTREF | RSM_EXT_HARD, &second, 4), 0);
	count(on);
	/* in a row of nodes 1 is as near to 0 as to 2 */
	assert_true(on[1] == 0 && on[3] == 0 && on[0] >= PAGES / 4 && on[2] >= PAGES / 2);
}

static void importers_get_the_same_pages(void **state)
{
	unsigned long nodes = 4;
	rsm_memseg_id_t id = 0;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	char byte;
	size_t on[4];

	assert_int_equal(rsm_ext_export_place(export, RSM_EXT_HARD, &nodes, 3), 0);
	assert_int_equal(rsm_memseg_export_publish(export, &id, NULL, 0), 0);
	assert_int_equal(rsm_memseg_import_connect(controller, 0, id, RSM_PERM_RDWR, &import), 0);
	assert_int_equal(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier), 0);
	assert_int_equal(rsm_memseg_import_get(import, 5000, &byte, 1), 0);
	assert_int_equal(byte, (char)(5000 * 31));
	assert_int_equal(rsm_memseg_import_disconnect(import), 0);
	count(on);
	assert_int_equal(on[2], PAGES);
	assert_int_equal(rsm_memseg_export_unpublish(export), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_export, end_export)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages_move_to_the_nodes_of_a_stripe),
		TEST(pages_that_are_well_placed_stay_and_others_go_near),
		TEST(importers_get_the_same_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
