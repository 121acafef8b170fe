/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment of another node mapped here: rsmapi.md §4.8, §4.9, §5.2, §5.4, §6.1;
 * coherent-mapping.md decisions 1, 2 and 8. Needs two nodes.
 */
#include "agent.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rsm/rsmapi_ext.h>

#define N_PAGES 16u

static agent_t exporter;
static rsm_memseg_id_t id;
static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier;
static size_t page;

static int map(void **address, off_t offset, size_t length)
{
	return rsm_memseg_import_map(import, address, RSM_MAP_NONE, RSM_PERM_RDWR, offset, length);
}

static rsm_memseg_import_handle_t connect_here(rsm_permission_t permission)
{
	rsm_memseg_import_handle_t h;

	NEED(rsm_memseg_import_connect(rig_wire(), rig_other_node(), id, permission, &h));
	return h;
}

static void begin(void)
{
	page = rig_page();
	exporter = agent_start_there();
	id = rig_id();
	NEED(agent_do(&exporter, AGENT_UMASK, 0, 0, 0));
	NEED(agent_do(&exporter, AGENT_CREATE, N_PAGES, RSM_ALLOW_REBIND, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, AGENT_NO_LIST, 0));
	import = connect_here(RSM_PERM_RDWR);
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
}

/* All of it. */
static volatile uint64_t *map_all(void)
{
	void *address = NULL;
	int code;

	code = map(&address, 0, N_PAGES * page);
	if (code == RSMERR_MAP_FAILED)
		rig_skip("these nodes cannot keep memory coherent");
	NEED(code);
	return address;
}

static volatile uint64_t *begin_mapped(void)
{
	begin();
	return map_all();
}

/* §4.8 */
static void arguments_are_checked_as_on_one_node(void)
{
	volatile uint64_t *words = begin_mapped();
	rsm_memseg_import_handle_t readable = connect_here(RSM_PERM_READ);
	void *address = NULL;

	(void)words;
	EXPECT(map(&address, 0, page), RSMERR_SEG_ALREADY_MAPPED);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_SEG_STILL_MAPPED);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	EXPECT(map(&address, 1, page), RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(map(&address, 0, 0), RSMERR_BAD_LENGTH);
	EXPECT(map(&address, 0, (N_PAGES + 1) * page), RSMERR_BAD_LENGTH);
	EXPECT(map(&address, (off_t)page, N_PAGES * page), RSMERR_BAD_OFFSET);
	EXPECT(rsm_memseg_import_map(readable, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, page),
		RSMERR_BAD_PERMS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(readable), RSM_SUCCESS);
}

/* §6.1 */
static void loads_and_stores_are_shared_with_the_exporter(void)
{
	volatile uint64_t *words = begin_mapped();

	CHECK_EQUAL(words[0], 0);
	for (uint64_t i = 1; i <= 100; i++) {
		uint64_t at = i * 40 % (N_PAGES * page) / 8 * 8;

		words[at / 8] = i;
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, at), i);
		EXPECT(agent_do(&exporter, AGENT_STORE, at, i + 1000, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8], i + 1000);
	}
}

/* §4.8: what put and get do is seen there, and the reverse */
static void put_get_and_maps_agree(void)
{
	volatile uint64_t *words = begin_mapped();
	static uint64_t out[3000], in[3000];

	for (uint64_t i = 0; i < 3000; i++)
		out[i] = i * i;
	words[1] = 17;
	NEED(rsm_memseg_import_get64(import, 8, in, 1));
	CHECK_EQUAL(in[0], 17);
	NEED(rsm_memseg_import_put(import, 40, out, sizeof(out)));
	for (uint64_t i = 0; i < 3000; i++)
		CHECK(words[5 + i] == out[i]);
	for (uint64_t i = 0; i < 3000; i += 300)
		words[5 + i] = out[i] = i;
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 40 + 300 * 8), 300);
	NEED(rsm_memseg_import_get(import, 40, in, sizeof(in)));
	CHECK(memcmp(in, out, sizeof(in)) == 0);
	NEED(rsm_memseg_import_open_barrier(&barrier));
	words[7] = 77;
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
	/* within the map itself */
	NEED(rsm_memseg_import_put(import, (off_t)(9 * page + 3), (char *)words + 40, 2 * page));
	CHECK(memcmp((char *)words + 9 * page + 3, (char *)words + 40, 2 * page) == 0);
}

/* §4.8: offset and length */
static void any_pages_can_be_mapped_anywhere(void)
{
	volatile uint64_t *words = begin_mapped();
	char *place = mmap(NULL, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *address;

	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i;
	NEED(rsm_memseg_import_unmap(import));
	for (size_t first = 0; first < N_PAGES; first += 3)
		for (size_t n = 1; first + n <= N_PAGES; n += 4) {
			EXPECT(map(&address, (off_t)(first * page), n * page - 5), RSM_SUCCESS);
			for (size_t i = 0; i < n; i++)
				CHECK_EQUAL(((uint64_t *)address)[i * page / 8], first + i);
			EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
		}
	address = place + 2 * page;
	EXPECT(rsm_memseg_import_map(
		       import, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, (off_t)(4 * page), 3 * page),
		RSM_SUCCESS);
	CHECK(address == place + 2 * page);
	CHECK_EQUAL(*(uint64_t *)address, 4);
}

/* §6.1: several processes of both nodes */
static void several_importers_share_one_memory(void)
{
	agent_t here = agent_start(), there = agent_start_there();
	volatile uint64_t *words = begin_mapped();
	agent_t others[2] = {here, there};

	for (size_t i = 0; i < 2; i++) {
		NEED(agent_do(&others[i], AGENT_CONNECT_TO, rig_other_node(), id, RSM_PERM_RDWR));
		NEED(agent_do(&others[i], AGENT_MAP, 0, N_PAGES * page, RSM_PERM_RDWR));
	}
	for (uint64_t i = 0; i < 50; i++) {
		uint64_t at = i % 5 * page + 8;

		words[at / 8] = i;
		CHECK_EQUAL(agent_ask(&here, AGENT_MAP_LOAD, at), i);
		CHECK_EQUAL(agent_ask(&there, AGENT_MAP_LOAD, at), i);
		EXPECT(agent_do(&here, AGENT_MAP_STORE, at, i + 100, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8], i + 100);
		EXPECT(agent_do(&there, AGENT_MAP_STORE, at, i + 200, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8], i + 200);
		CHECK_EQUAL(agent_ask(&here, AGENT_MAP_LOAD, at), i + 200);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, at), i + 200);
	}
}

/* coherent-mapping.md, decision 8: whether they have used the segment before it was mapped here, or
 * not */
static void importers_of_the_home_put_and_get_what_is_elsewhere(void)
{
	agent_t early = agent_start_there(), late = agent_start_there();
	volatile uint64_t *words;
	uint64_t value;

	begin();
	NEED(agent_do(&early, AGENT_CONNECT, id, RSM_PERM_RDWR, 0));
	EXPECT(agent_do(&early, AGENT_PUT, 0, 5, 0), RSM_SUCCESS);
	words = map_all();
	CHECK_EQUAL(words[0], 5);
	NEED(agent_do(&late, AGENT_CONNECT, id, RSM_PERM_RDWR, 0));
	for (uint64_t i = 0; i < 50; i++) {
		uint64_t at = i % 4 * page;

		words[at / 8] = i;
		CHECK_EQUAL(agent_ask(&early, AGENT_GET, at), i);
		words[at / 8] = i + 1;
		CHECK_EQUAL(agent_ask(&late, AGENT_GET, at), i + 1);
		EXPECT(agent_do(&early, AGENT_PUT, at, i + 2, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8], i + 2);
		EXPECT(agent_do(&late, AGENT_PUT, at, i + 3, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8], i + 3);
		NEED(rsm_memseg_import_get64(import, (off_t)at, &value, 1));
		CHECK_EQUAL(value, i + 3);
	}
}

static char *exported;

static void look_in_child(void *unused)
{
	(void)unused;
	for (uint64_t i = 0; i < 4; i++)
		CHECK_EQUAL(((uint64_t *)(void *)exported)[i * page / 8], i + 1);
	*(uint64_t *)(void *)exported = 99;
}

/* spec/rsmapi.md, Decision 7 */
static void a_child_of_the_exporter_has_a_copy_of_what_is_elsewhere(void)
{
	agent_t there = agent_start_there();
	rsmapi_access_entry_t list[2] = {{rig_node(), 0666}, {rig_other_node(), 0666}};
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t own_id = rig_id();

	page = rig_page();
	exported = rig_memory(4);
	export = rig_create(exported, 4);
	NEED(rsm_memseg_export_publish(export, &own_id, list, 2));
	NEED(agent_do(&there, AGENT_CONNECT_TO, rig_node(), own_id, RSM_PERM_RDWR));
	if (agent_do(&there, AGENT_MAP, 0, 4 * page, RSM_PERM_RDWR) == RSMERR_MAP_FAILED)
		rig_skip("these nodes cannot keep memory coherent");
	for (uint64_t i = 0; i < 4; i++)
		NEED(agent_do(&there, AGENT_MAP_STORE, i * page, i + 1, 0));
	rig_in_child(look_in_child, NULL);
	CHECK_EQUAL(agent_ask(&there, AGENT_MAP_LOAD, 0), 1);
	CHECK_EQUAL(*(uint64_t *)(void *)exported, 1);
	NEED(rsm_memseg_export_unpublish(export));
	NEED(rsm_memseg_export_destroy(export));
	CHECK_EQUAL(*(uint64_t *)(void *)(exported + page), 2);
}

/* coherent-mapping.md, decision 1 */
static void who_may_only_read_sees_what_others_store(void)
{
	volatile uint64_t *words = begin_mapped(), *readable;
	rsm_memseg_import_handle_t second = connect_here(RSM_PERM_READ);
	void *address;

	NEED(rsm_memseg_import_map(second, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, 2 * page));
	readable = address;
	for (uint64_t i = 1; i < 20; i++) {
		EXPECT(agent_do(&exporter, AGENT_STORE, 8, i, 0), RSM_SUCCESS);
		CHECK_EQUAL(readable[1], i);
		words[2] = i;
		CHECK_EQUAL(readable[2], i);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 16), i);
	}
	/* what is forced is his alone */
	if (mprotect(address, page, PROT_READ | PROT_WRITE) == 0) {
		readable[3] = 99;
		CHECK_EQUAL(words[3], 0);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 24), 0);
	}
	NEED(rsm_memseg_import_unmap(second));
}

static void the_system_reads_and_writes_there_too(void)
{
	volatile uint64_t *words = begin_mapped();
	uint64_t value = 4711;
	int ends[2];

	NEED(pipe(ends));
	CHECK_EQUAL(write(ends[1], &value, 8), 8);
	CHECK_EQUAL(read(ends[0], (void *)(words + 3 * page / 8), 8), 8);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 3 * page), 4711);
	EXPECT(agent_do(&exporter, AGENT_STORE, 5 * page, 815, 0), RSM_SUCCESS);
	CHECK_EQUAL(write(ends[1], (const void *)(words + 5 * page / 8), 8), 8);
	CHECK_EQUAL(read(ends[0], &value, 8), 8);
	CHECK_EQUAL(value, 815);
}

/* §6.1: what was stored stays when nobody has it mapped any more */
static void stores_outlive_the_map(void)
{
	volatile uint64_t *words = begin_mapped();
	void *address;

	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i + 7;
	NEED(rsm_memseg_import_unmap(import));
	for (size_t i = 0; i < N_PAGES; i++)
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, i * page), i + 7);
	EXPECT(agent_do(&exporter, AGENT_STORE, page, 70, 0), RSM_SUCCESS);
	NEED(map(&address, 0, 2 * page));
	CHECK_EQUAL(((uint64_t *)address)[page / 8], 70);
	NEED(rsm_memseg_import_unmap(import));
	NEED(rsm_memseg_import_disconnect(import));
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 7);
}

static volatile uint64_t *inherited;

static void use_in_child(void *unused)
{
	uint64_t value;

	(void)unused;
	CHECK_EQUAL(inherited[0], 1);
	inherited[0] = 2;
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 2);
	EXPECT(agent_do(&exporter, AGENT_STORE, 8, 3, 0), RSM_SUCCESS);
	CHECK_EQUAL(inherited[1], 3);
	/* connects anew */
	EXPECT(rsm_memseg_import_get64(import, 8, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(value, 3);
	inherited[2] = 4;
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 16), 4);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
}

/* §6.1; spec/rsmapi.md, Decision 7 */
static void a_child_shares_the_map_of_its_parent(void)
{
	inherited = begin_mapped();
	inherited[0] = 1;
	rig_in_child(use_in_child, NULL);
	CHECK_EQUAL(inherited[2], 4);
	EXPECT(agent_do(&exporter, AGENT_STORE, 0, 5, 0), RSM_SUCCESS);
	CHECK_EQUAL(inherited[0], 5);
	NEED(rsm_memseg_import_unmap(import));
}

/* §5.2; coherent-mapping.md, decision 2 */
static void a_revoked_map_is_zeros_that_reach_nobody(void)
{
	volatile uint64_t *words = begin_mapped();

	NEED(rsm_memseg_import_open_barrier(&barrier));
	words[0] = 1;
	words[page / 8] = 2;
	NEED(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0));
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 1);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, page), 2);
	words[2] = 3;
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	EVENTUALLY(words[0] == 0);
	EVENTUALLY(words[page / 8] == 0);
	words[0] = 9;
	CHECK_EQUAL(words[0], 9);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 1);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	/* and the memory is his own again */
	EXPECT(agent_do(&exporter, AGENT_STORE, 8, 5, 0), RSM_SUCCESS);
	NEED(agent_do(&exporter, AGENT_DESTROY, 0, 0, 0));
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 5);
}

/* §5.2: without unpublish, and while an importer of the home has it mapped, too */
static void destroy_takes_the_memory_back_with_every_store(void)
{
	agent_t there = agent_start_there();
	volatile uint64_t *words = begin_mapped();

	NEED(agent_do(&there, AGENT_CONNECT, id, RSM_PERM_RDWR, 0));
	NEED(agent_do(&there, AGENT_MAP, 0, N_PAGES * page, RSM_PERM_RDWR));
	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i + 1;
	EXPECT(agent_do(&there, AGENT_MAP_STORE, 8, 5, 0), RSM_SUCCESS);
	NEED(agent_do(&exporter, AGENT_DESTROY, 0, 0, 0));
	for (size_t i = 0; i < N_PAGES; i++)
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, i * page), i + 1);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 5);
	EXPECT(agent_do(&exporter, AGENT_STORE, 8, 6, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&there, AGENT_MAP_LOAD, 8), 5);
	CHECK_EQUAL(agent_ask(&there, AGENT_MAP_LOAD, page), 2);
	EVENTUALLY(words[page / 8] == 0);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
}

/* §4.8: what the program removes itself */
static void parts_of_a_map_may_go(void)
{
	volatile uint64_t *words = begin_mapped();

	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i + 1;
	NEED(munmap((void *)(words + 4 * page / 8), 2 * page));
	for (size_t i = 0; i < N_PAGES; i++) {
		EXPECT(agent_do(&exporter, AGENT_STORE, i * page, i + 10, 0), RSM_SUCCESS);
		if (i < 4 || i > 5)
			CHECK_EQUAL(words[i * page / 8], i + 10);
	}
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
}

/* §5.2 */
static void an_exporter_that_dies_takes_the_map_with_him(void)
{
	volatile uint64_t *words = begin_mapped();

	words[0] = 1;
	agent_kill(&exporter, SIGKILL);
	EVENTUALLY(words[0] == 0);
	NEED(rsm_memseg_import_open_barrier(&barrier));
	words[page / 8] = 9;
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
}

/* §4.4 */
static void rebind_changes_what_is_mapped(void)
{
	volatile uint64_t *words = begin_mapped();

	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i + 1;
	NEED(agent_do(&exporter, AGENT_REBIND, 4242, 0, 0));
	CHECK_EQUAL(words[0], 4242);
	CHECK_EQUAL(words[page / 8], 0);
	words[1] = 5;
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 5);
	EXPECT(agent_do(&exporter, AGENT_STORE, page, 6, 0), RSM_SUCCESS);
	CHECK_EQUAL(words[page / 8], 6);
	NEED(rsm_memseg_import_unmap(import));
}

/* Ours: rsmapi_ext.h */
static void advice_changes_nothing_but_speed(void)
{
	volatile uint64_t *words = begin_mapped();
	size_t all = N_PAGES * page;

	EXPECT(rsm_memseg_import_advise(NULL, 0, all, 0, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_advise(import, 0, all, 99, 0), RSMERR_BAD_ARGS_ERRORS);
	EXPECT(rsm_memseg_import_advise(import, 0, all, RSM_EXT_ADVICE_HOLD, 0),
		RSMERR_BAD_ARGS_ERRORS);
	EXPECT(rsm_memseg_import_advise(import, 0, all, RSM_EXT_ADVICE_HOLD, 1000001),
		RSMERR_BAD_ARGS_ERRORS);
	EXPECT(rsm_memseg_import_advise(import, 0, 0, RSM_EXT_ADVICE_RANDOM, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_import_advise(import, 8, all, RSM_EXT_ADVICE_RANDOM, 0),
		RSMERR_BAD_OFFSET);
	for (unsigned int advice = RSM_EXT_ADVICE_NORMAL; advice <= RSM_EXT_ADVICE_HOLD; advice++) {
		EXPECT(rsm_memseg_import_advise(import, 0, all, advice, 100), RSM_SUCCESS);
		for (size_t i = 0; i < N_PAGES; i++) {
			EXPECT(agent_do(&exporter, AGENT_STORE, i * page, i + advice, 0),
				RSM_SUCCESS);
			CHECK_EQUAL(words[i * page / 8], i + advice);
			words[i * page / 8 + 1] = i;
			CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, i * page + 8), i);
		}
	}
	NEED(rsm_memseg_import_unmap(import));
	EXPECT(rsm_memseg_import_advise(import, 0, all, 0, 0), RSMERR_SEG_NOT_MAPPED);
}

static const rig_test_t tests[] = {
	TEST(arguments_are_checked_as_on_one_node),
	TEST(loads_and_stores_are_shared_with_the_exporter),
	TEST(put_get_and_maps_agree),
	TEST(any_pages_can_be_mapped_anywhere),
	TEST(several_importers_share_one_memory),
	TEST(importers_of_the_home_put_and_get_what_is_elsewhere),
	TEST(a_child_of_the_exporter_has_a_copy_of_what_is_elsewhere),
	TEST(who_may_only_read_sees_what_others_store),
	TEST(the_system_reads_and_writes_there_too),
	TEST(stores_outlive_the_map),
	TEST(a_child_shares_the_map_of_its_parent),
	TEST(a_revoked_map_is_zeros_that_reach_nobody),
	TEST(destroy_takes_the_memory_back_with_every_store),
	TEST(parts_of_a_map_may_go),
	TEST(an_exporter_that_dies_takes_the_map_with_him),
	TEST(rebind_changes_what_is_mapped),
	TEST(advice_changes_nothing_but_speed),
};
RIG_MAIN(tests)
