/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps of other nodes' segments when nodes fail: rsmapi.md §5.2, §5.4; coherent-mapping.md,
 * decisions 2, 3, 5 and 6. What can happen to a node is in the environment, as in
 * test-remote-trouble.c.
 */
#include "agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <rsm/rsmapi_ext.h>

#define N_PAGES 16u

static agent_t there;
static rsm_memseg_id_t id;
static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier;
static size_t page;

static void happen(const char *what)
{
	const char *command = getenv(what);

	if (!command)
		rig_skip("needs a way to make nodes fail");
	NEED(system(command));
}

static int connect_there(void)
{
	return rsm_memseg_import_connect(rig_wire(), rig_other_node(), id, RSM_PERM_RDWR, &import);
}

/* A segment of the other node, all of it. */
static volatile uint64_t *begin_mapped(void)
{
	void *address = NULL;
	int code;

	page = rig_page();
	there = agent_start_there();
	id = agent_export_to_all(&there, N_PAGES);
	EVENTUALLY(connect_there() == RSM_SUCCESS);
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	code = rsm_memseg_import_map(
		import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, N_PAGES * page);
	if (code == RSMERR_MAP_FAILED)
		rig_skip("these nodes cannot keep memory coherent");
	NEED(code);
	return address;
}

static atomic_bool enough;

static void *restart(void *what)
{
	for (int i = 0; i < 3; i++) {
		happen(what);
		rig_sleep(100);
	}
	enough = true;
	return NULL;
}

static void check_restart(const char *what)
{
	volatile uint64_t *words = begin_mapped();
	pthread_t thread;
	uint64_t n = 0;

	NEED(pthread_create(&thread, NULL, restart, (void *)what));
	while (!enough) {
		uint64_t at = ++n % N_PAGES * page;

		NEED(rsm_memseg_import_open_barrier(&barrier));
		words[at / 8] = n;
		EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
		CHECK_EQUAL(agent_ask(&there, AGENT_LOAD, at), n);
		EXPECT(agent_do(&there, AGENT_STORE, at + 8, n, 0), RSM_SUCCESS);
		CHECK_EQUAL(words[at / 8 + 1], n);
	}
	NEED(pthread_join(thread, NULL));
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

static void maps_outlive_the_daemon_of_who_has_them(void)
{
	check_restart("RSM_NODE1_RESTART");
}

static void maps_outlive_the_daemon_of_the_home(void)
{
	check_restart("RSM_NODE2_RESTART");
}

/* Decision 2 */
static void the_loss_of_the_home_leaves_zeros(void)
{
	volatile uint64_t *words = begin_mapped();
	uint64_t value;

	for (size_t i = 0; i < N_PAGES; i++)
		words[i * page / 8] = i + 1;
	CHECK_EQUAL(agent_ask(&there, AGENT_LOAD, page), 2);
	NEED(rsm_memseg_import_open_barrier(&barrier));
	happen("RSM_NODE2_KILL");
	EVENTUALLY(words[0] == 0);
	for (size_t i = 0; i < N_PAGES; i++)
		CHECK_EQUAL(words[i * page / 8], 0);
	words[5] = 5;
	CHECK_EQUAL(words[5], 5);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	happen("RSM_NODE2_START");
}

static int close_span(rsmapi_barrier_t *span)
{
	int code = rsm_memseg_import_close_barrier(span);

	NEED(rsm_memseg_import_open_barrier(span));
	return code;
}

/* Decision 5: the last that anybody has seen stays; and whoever has the segment connected is told,
 * once, maps or not */
static void a_lost_node_takes_its_latest_stores_with_it(void)
{
	rsmapi_access_entry_t list[2];
	rsmapi_barrier_t spans[2];
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t imports[2];
	volatile uint64_t *words;
	void *map = NULL;
	int code;

	page = rig_page();
	there = agent_start_there();
	list[0] = (rsmapi_access_entry_t){rig_node(), 0666};
	list[1] = (rsmapi_access_entry_t){rig_other_node(), 0666};
	words = (volatile uint64_t *)(void *)rig_memory(N_PAGES);
	export = rig_create((void *)words, N_PAGES);
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, list, 2));
	for (size_t i = 0; i < 2; i++) {
		imports[i] = rig_import(id, RSM_PERM_RDWR, &spans[i]);
		NEED(rsm_memseg_import_open_barrier(&spans[i]));
	}
	NEED(rsm_memseg_import_map(imports[0], &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, page));
	EVENTUALLY(
		agent_do(&there, AGENT_CONNECT_TO, rig_node(), id, RSM_PERM_RDWR) == RSM_SUCCESS);
	code = agent_do(&there, AGENT_MAP, 0, N_PAGES * page, RSM_PERM_RDWR);
	if (code == RSMERR_MAP_FAILED)
		rig_skip("these nodes cannot keep memory coherent");
	NEED(code);
	NEED(agent_do(&there, AGENT_MAP_STORE, 0, 7, 0));
	CHECK_EQUAL(words[0], 7);
	EXPECT(close_span(&spans[0]), RSM_SUCCESS);
	NEED(agent_do(&there, AGENT_MAP_STORE, 0, 8, 0));
	NEED(agent_do(&there, AGENT_MAP_STORE, page, 9, 0));
	happen("RSM_NODE2_KILL");
	CHECK_EQUAL(words[0], 7);
	CHECK_EQUAL(((uint64_t *)map)[0], 7);
	CHECK_EQUAL(words[page / 8], 0);
	for (size_t i = 0; i < 2; i++) {
		EXPECT(close_span(&spans[i]), RSMERR_CONN_ABORTED);
		EXPECT(close_span(&spans[i]), RSM_SUCCESS);
	}
	words[0] = 10;
	CHECK_EQUAL(((uint64_t *)map)[0], 10);
	happen("RSM_NODE2_START");
}

static void store_in_child(void *map)
{
	*(volatile uint64_t *)map = 3;
}

/* Decision 2: nobody is there any more who would answer a fault */
static void the_loss_of_the_own_node_stops_nobody(void)
{
	volatile uint64_t *words = begin_mapped();
	uint64_t value;

	words[0] = 1;
	happen("RSM_NODE1_KILL");
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_CONN_ABORTED);
	for (size_t i = 1; i < N_PAGES; i++) {
		CHECK_EQUAL(words[i * page / 8], 0);
		words[i * page / 8] = i;
	}
	rig_in_child(store_in_child, (void *)words);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	happen("RSM_NODE1_START");
}

static const rig_test_t tests[] = {
	TEST(maps_outlive_the_daemon_of_who_has_them),
	TEST(maps_outlive_the_daemon_of_the_home),
	TEST(the_loss_of_the_home_leaves_zeros),
	TEST(a_lost_node_takes_its_latest_stores_with_it),
	TEST(the_loss_of_the_own_node_stops_nobody),
};

RIG_MAIN(tests)
