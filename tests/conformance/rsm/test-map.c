/* SPDX-License-Identifier: Apache-2.0 */
/* Map and unmap: rsmapi.md §4.8, §6.1. */
#include "agent.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static char *memory;
static rsm_memseg_export_handle_t export;
static size_t page;

static rsm_memseg_import_handle_t begin(size_t n_pages, rsm_permission_t permission)
{
	rsm_memseg_id_t id;

	page = rig_page();
	memory = rig_memory(n_pages);
	export = rig_export(memory, n_pages, &id);
	return rig_import(id, permission, NULL);
}

static int map(rsm_memseg_import_handle_t import, void **address, off_t offset, size_t length)
{
	return rsm_memseg_import_map(import, address, RSM_MAP_NONE, RSM_PERM_RDWR, offset, length);
}

/* §4.8 order of checks */
static void map_checks_its_arguments_in_order(void)
{
	rsm_memseg_import_handle_t import = begin(2, RSM_PERM_RDWR);
	rsm_memseg_import_handle_t wrong = (rsm_memseg_import_handle_t)(void *)export;
	void *address = NULL;

	EXPECT(rsm_memseg_import_map(NULL, NULL, RSM_MAP_NONE, 0777, 1, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_map(import, NULL, RSM_MAP_NONE, 0777, 1, 0), RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_import_map(wrong, &address, RSM_MAP_NONE, 0777, 1, 0),
		RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, 0777, 1, 0), RSMERR_BAD_PERMS);
	EXPECT(map(import, &address, 1, 0), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, 1, 3 * page), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, 1, page), RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(map(import, &address, 0, page), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, 0777, 1, 0),
		RSMERR_SEG_ALREADY_MAPPED);
	EXPECT(rsm_memseg_import_map(import, NULL, RSM_MAP_NONE, 0777, 1, 0), RSMERR_BAD_ADDR);
}

/* §4.8, §4.6: an implicit map may be a map too: then 9 comes before all that could be wrong with
 * the new one; where the manual's word counts, each fault has its own code */
static void bad_arguments_fail_after_an_implicit_map(void)
{
	rsm_memseg_import_handle_t import = begin(2, RSM_PERM_READ);
	rsmapi_barrier_t barrier;
	uint64_t value;
	void *address = NULL;

	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	NEED(rsm_memseg_import_get64(import, 0, &value, 1));
	EXPECT_ONE(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, 0777, 0, page),
		RSMERR_SEG_ALREADY_MAPPED, RSMERR_BAD_PERMS);
	EXPECT_ONE(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 1, page),
		RSMERR_SEG_ALREADY_MAPPED, RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT_ONE(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, 0),
		RSMERR_SEG_ALREADY_MAPPED, RSMERR_BAD_LENGTH);
}

/* §4.8 order, with §3 row 26: what the kernel would refuse (EACCES) comes after range and alignment
 */
static void the_connections_rights_come_after_the_range(void)
{
	rsm_memseg_import_handle_t import = begin(2, RSM_PERM_READ);
	void *address = NULL;
	static const struct {
		off_t offset;
		size_t pages;
		int code;
	} cases[] = {
		{0, 3, RSMERR_BAD_LENGTH},
		{4096, 2, RSMERR_BAD_OFFSET},
		{8, 1, RSMERR_BAD_MEM_ALIGNMENT},
		{0, 1, RSMERR_BAD_PERMS},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR,
			       cases[i].offset, cases[i].pages * page),
			cases[i].code);
}

/* Decision 1: 20 when the length alone exceeds the segment, else 18 */
static void map_checks_the_range(void)
{
	rsm_memseg_import_handle_t import = begin(2, RSM_PERM_RDWR);
	void *address = NULL;

	EXPECT(map(import, &address, 0, 2 * page + 1), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, 0, (size_t)1 << 63), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, 0, SIZE_MAX), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, (off_t)page, SIZE_MAX - page + 1), RSMERR_BAD_LENGTH);
	EXPECT(map(import, &address, (off_t)page, 2 * page), RSMERR_BAD_OFFSET);
	EXPECT(map(import, &address, (off_t)(2 * page), page), RSMERR_BAD_OFFSET);
	EXPECT(map(import, &address, (off_t)(LONG_MAX & -page), page), RSMERR_BAD_OFFSET);
	EXPECT(map(import, &address, -(off_t)page, page), RSMERR_BAD_OFFSET);
	EXPECT(map(import, &address, LONG_MIN, page), RSMERR_BAD_OFFSET);
	CHECK(address == NULL);
}

/* §4.8: perm must not exceed the connection's; §9.7 beaten: a failed map locks nothing */
static void map_does_not_exceed_the_connection(void)
{
	rsm_memseg_import_handle_t reader = begin(1, RSM_PERM_READ);
	void *address = NULL;

	EXPECT(map(reader, &address, 0, page), RSMERR_BAD_PERMS);
	EXPECT(rsm_memseg_import_map(reader, &address, RSM_MAP_NONE, RSM_PERM_WRITE, 0, page),
		RSMERR_BAD_PERMS);
	EXPECT(rsm_memseg_import_map(reader, &address, RSM_MAP_NONE, RSM_PERM_READ, 1, page - 1),
		RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_import_map(reader, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, page),
		RSM_SUCCESS);
}

/* §4.8: plain loads and stores, both ways, between processes */
static void loads_and_stores_reach_the_other_side(void)
{
	agent_t exporter = agent_start(), importer = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 2);

	agent_import(&importer, id);
	EXPECT(agent_do(&exporter, AGENT_STORE, 8, 123, 0), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_MAP, 0, 2 * rig_page(), RSM_PERM_RDWR), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&importer, AGENT_MAP_LOAD, 8), 123);
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 4096, 456, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 4096), 456);
	EXPECT(agent_do(&exporter, AGENT_STORE, 4104, 789, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&importer, AGENT_MAP_LOAD, 4104), 789);
	CHECK_EQUAL(agent_ask(&importer, AGENT_GET, 4104), 789);
}

/* §4.8 */
static void a_part_is_mapped_from_its_offset(void)
{
	rsm_memseg_import_handle_t import = begin(4, RSM_PERM_RDWR);
	void *address = NULL;

	for (size_t i = 0; i < 4; i++)
		memory[i * page] = (char)('a' + i);
	NEED(map(import, &address, (off_t)page, 2 * page));
	CHECK_EQUAL(*(char *)address, 'b');
	CHECK_EQUAL(((char *)address)[page], 'c');
	((char *)address)[2 * page - 1] = 'z';
	CHECK_EQUAL(memory[3 * page - 1], 'z');
}

/* §4.8: the length need not be a multiple of the page size */
static void a_length_is_rounded_up_to_pages(void)
{
	rsm_memseg_import_handle_t import = begin(2, RSM_PERM_RDWR);
	void *address = NULL;

	NEED(map(import, &address, (off_t)page, 100));
	CHECK_EQUAL((uintptr_t)address % page, 0);
	memory[page + 99] = 'l';
	CHECK_EQUAL(((volatile char *)address)[99], 'l');
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(map(import, &address, 0, 2 * page - 1), RSM_SUCCESS);
}

/* §4.8: RSM_MAP_NONE takes *address for a hint, garbage included; RSM_MAP_RESERVED is ignored */
static void garbage_is_only_a_hint(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	static const uintptr_t hints[] = {1, 0xdeadbeef, 0x123456789abcdef, UINTPTR_MAX};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		void *address = (void *)hints[i];

		NEED(rsm_memseg_import_map(import, &address,
			i % 2 ? RSM_MAP_RESERVED : RSM_MAP_NONE, RSM_PERM_RDWR, 0, page));
		memory[i] = 'h';
		CHECK_EQUAL(((volatile char *)address)[i], 'h');
		EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	}
}

/* A hint that lies in memory in use must not replace it */
static void a_hint_replaces_nothing(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	char *mine = rig_memory(1);
	void *address = mine;

	mine[0] = 'm';
	EXPECT(map(import, &address, 0, page), RSM_SUCCESS);
	CHECK(address != mine);
	CHECK_EQUAL(mine[0], 'm');
}

/* §4.8 RSM_MAP_FIXED: exactly there, replacing what is there and nothing beside */
static void a_fixed_map_replaces_what_is_there(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	char *mine;
	void *address;

	mine = rig_memory(3);
	memset(mine, 'm', 3 * page);
	address = mine + page;
	memory[5] = 's';
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, page),
		RSM_SUCCESS);
	CHECK(address == mine + page);
	CHECK_EQUAL(mine[page + 5], 's');
	CHECK(mine[page - 1] == 'm' && mine[2 * page] == 'm');
	mine[page + 6] = 't';
	CHECK_EQUAL(memory[6], 't');
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	CHECK(mine[page - 1] == 'm' && mine[2 * page] == 'm');
}

/* §4.8 */
static void a_fixed_address_is_aligned(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	void *address = rig_memory(2) + 8;

	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, page),
		RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
}

/* §4.8: what cannot be mapped at all */
static void an_impossible_fixed_address_fails(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	void *address = (void *)(UINTPTR_MAX - page + 1);

	/* mmap's ENOMEM is 20, the rest 33 */
	EXPECT_ONE(rsm_memseg_import_map(import, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, page),
		RSMERR_MAP_FAILED, RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
}

/* §4.8 unmap */
static void unmap_undoes_one_map(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_RDWR);
	void *address = NULL;

	EXPECT(rsm_memseg_import_unmap(NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_unmap((rsm_memseg_import_handle_t)(void *)export),
		RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	NEED(map(import, &address, 0, page));
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	NEED(map(import, &address, 0, page));
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
}

/* §4.8: rights of the map hold in the processor; the signal that a forbidden access brings, or 0 */
static int signal_of(agent_verb_t verb, rsm_permission_t permission)
{
	agent_t exporter = agent_start(), importer = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 1);
	int code;

	agent_import(&importer, id);
	NEED(agent_do(&importer, AGENT_MAP, 0, rig_page(), permission));
	code = agent_do(&importer, verb, 0, 1, 0);
	agent_kill(&exporter, SIGKILL);
	if (code != AGENT_GONE) {
		agent_kill(&importer, SIGKILL);
		return 0;
	}
	return agent_wait(&importer);
}

static void the_processor_enforces_a_maps_rights(void)
{
	CHECK_EQUAL(signal_of(AGENT_MAP_STORE, RSM_PERM_READ), SIGSEGV);
	CHECK_EQUAL(signal_of(AGENT_MAP_LOAD, RSM_PERM_NONE), SIGSEGV);
	CHECK_EQUAL(signal_of(AGENT_MAP_STORE, RSM_PERM_NONE), SIGSEGV);
	CHECK_EQUAL(signal_of(AGENT_MAP_LOAD, RSM_PERM_READ), 0);
	CHECK_EQUAL(signal_of(AGENT_MAP_STORE, RSM_PERM_WRITE), 0);
	CHECK_EQUAL(signal_of(AGENT_MAP_STORE, RSM_PERM_RDWR), 0);
}

/* A map that may only be read cannot be made to write when the connection may not write */
static void a_read_only_connection_stays_read_only(void)
{
	rsm_memseg_import_handle_t import = begin(1, RSM_PERM_READ);
	void *address = NULL;

	memory[0] = 'o';
	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, page));
	if (mprotect(address, page, PROT_READ | PROT_WRITE) == 0)
		*(volatile char *)address = 'x';
	CHECK_EQUAL(*(volatile char *)memory, 'o');
}

static const rig_test_t tests[] = {
	TEST(map_checks_its_arguments_in_order),
	TEST(bad_arguments_fail_after_an_implicit_map),
	TEST(the_connections_rights_come_after_the_range),
	TEST(map_checks_the_range),
	TEST(map_does_not_exceed_the_connection),
	TEST(loads_and_stores_reach_the_other_side),
	TEST(a_part_is_mapped_from_its_offset),
	TEST(a_length_is_rounded_up_to_pages),
	TEST(garbage_is_only_a_hint),
	TEST(a_hint_replaces_nothing),
	TEST(a_fixed_map_replaces_what_is_there),
	TEST(a_fixed_address_is_aligned),
	TEST(an_impossible_fixed_address_fails),
	TEST(unmap_undoes_one_map),
	TEST(the_processor_enforces_a_maps_rights),
	TEST(a_read_only_connection_stays_read_only),
};

RIG_MAIN(tests)
