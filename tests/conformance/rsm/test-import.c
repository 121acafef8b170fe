/* SPDX-License-Identifier: Apache-2.0 */
/* Connect and disconnect: rsmapi.md §4.5, §5.2. Rights are in test-rights.c. */
#include "agent.h"

static int connect_to(
	rsm_memseg_id_t id, rsm_permission_t permission, rsm_memseg_import_handle_t *ret_import)
{
	return rsm_memseg_import_connect(rig_controller(), rig_node(), id, permission, ret_import);
}

/* §4.5 order of checks */
static void connect_checks_its_arguments_in_order(void)
{
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t absent = rig_id();

	EXPECT(rsm_memseg_import_connect(NULL, 4711, absent, 0777, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_memseg_import_connect(NULL, 4711, absent, 0777, &import), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_memseg_import_connect(rig_controller(), 4711, absent, 0777, NULL),
		RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_connect(rig_controller(), 4711, absent, 0777, &import),
		RSMERR_PERM_DENIED);
	/* §4.5: loopback with a foreign node is 4; Decision 4: an unknown node is 39 */
	EXPECT_ONE(
		rsm_memseg_import_connect(rig_controller(), 4711, absent, RSM_PERM_READ, &import),
		RSMERR_CTLR_NOT_PRESENT, RSMERR_REMOTE_NODE_UNREACHABLE);
	EXPECT(connect_to(absent, RSM_PERM_READ, &import), RSMERR_SEG_NOT_PUBLISHED);
}

/* §4.5: bits outside 0600 */
static void connect_takes_owner_bits_only(void)
{
	static const rsm_permission_t bad[] = {
		0666, 0444, 0060, 0004, 0100, 0700, 01600, 0x80000000};
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t id;

	rig_export(rig_memory(1), 1, &id);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT(connect_to(id, bad[i], &import), RSMERR_PERM_DENIED);
}

/* §4.5: *im_memseg = 0; §9.9 beaten */
static void a_failed_connect_clears_the_handle(void)
{
	rsm_memseg_import_handle_t import = (void *)rig_memory(1);

	EXPECT(connect_to(rig_id(), RSM_PERM_READ, &import), RSMERR_SEG_NOT_PUBLISHED);
	CHECK(import == NULL);
	import = (void *)rig_memory(1);
	EXPECT(connect_to(rig_id(), 0777, &import), RSMERR_PERM_DENIED);
	CHECK(import == NULL);
}

/* §8: ids are not range-checked at connect */
static void unknown_ids_are_not_published(void)
{
	static const rsm_memseg_id_t ids[] = {0, 1, 0x3FFFFF, 0xFFFFFFFE, 0xFFFFFFFF};
	rsm_memseg_import_handle_t import;

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		EXPECT(connect_to(ids[i], RSM_PERM_READ, &import), RSMERR_SEG_NOT_PUBLISHED);
}

/* §5.1: bound is not published, and unpublished is not published any more */
static void only_published_segments_can_be_connected(void)
{
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t id;

	export = rig_export(rig_memory(1), 1, &id);
	EXPECT(connect_to(id, RSM_PERM_RDWR, &import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(connect_to(id, RSM_PERM_RDWR, &import), RSMERR_SEG_NOT_PUBLISHED);
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	EXPECT(connect_to(id, RSM_PERM_RDWR, &import), RSM_SUCCESS);
	NEED(rsm_memseg_export_destroy(export));
	EXPECT(connect_to(id, RSM_PERM_RDWR, &import), RSMERR_SEG_NOT_PUBLISHED);
}

/* Decision 4: 0 on loopback means this node */
static void node_zero_on_loopback_is_this_node(void)
{
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t id;

	rig_export(rig_memory(1), 1, &id);
	EXPECT(rsm_memseg_import_connect(rig_controller(), 0, id, RSM_PERM_RDWR, &import),
		RSM_SUCCESS);
}

/* §4.5: perm 0 connects and gives nothing; rights are checked before the range */
static void a_connection_without_rights_gives_nothing(void)
{
	rsm_memseg_import_handle_t import;
	void *address = NULL;
	rsm_memseg_id_t id;
	rsmapi_barrier_t barrier;
	uint64_t value = 0;

	rig_export(rig_memory(1), 1, &id);
	EXPECT(connect_to(id, RSM_PERM_NONE, &import), RSM_SUCCESS);
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_PERM_DENIED);
	EXPECT(rsm_memseg_import_put64(import, 1 << 20, &value, 1), RSMERR_PERM_DENIED);
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, rig_page()),
		RSMERR_BAD_PERMS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* §4.5 */
static void a_process_may_import_its_own_export_many_times(void)
{
	enum { N = 20 };
	rsm_memseg_import_handle_t imports[N];
	rsmapi_barrier_t barriers[N];
	rsm_memseg_id_t id;

	rig_export(rig_memory(1), 1, &id);
	for (uint64_t i = 0; i < N; i++) {
		imports[i] = rig_import(id, RSM_PERM_RDWR, &barriers[i]);
		for (uint64_t j = 0; j < i; j++)
			CHECK(imports[i] != imports[j]);
		EXPECT(rsm_memseg_import_put64(imports[i], (off_t)(8 * i), &i, 1), RSM_SUCCESS);
	}
	for (uint64_t i = 0; i < N; i++) {
		uint64_t value = N;

		EXPECT(rsm_memseg_import_get64(imports[N - 1 - i], (off_t)(8 * i), &value, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(value, i);
	}
	for (uint64_t i = 0; i < N; i++)
		EXPECT(rsm_memseg_import_disconnect(imports[i]), RSM_SUCCESS);
}

/* §4.5 disconnect */
static void null_and_freed_handles_are_bad_handles(void)
{
	rsm_memseg_import_handle_t import, next;
	rsm_memseg_id_t id;
	uint64_t value = 0;

	rig_export(rig_memory(1), 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_memseg_import_disconnect(NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	next = rig_import(id, RSM_PERM_RDWR, NULL);
	CHECK(next != import);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_disconnect(next), RSM_SUCCESS);
}

/* §3 row 5 */
static void an_export_handle_is_no_import(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_export_handle_t export = rig_export(rig_memory(1), 1, &id);

	EXPECT(rsm_memseg_import_disconnect((rsm_memseg_import_handle_t)(void *)export),
		RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
}

/* §4.5: explicitly mapped → 10; implicitly mapped → unmapped without a word */
static void disconnect_refuses_explicit_mappings_only(void)
{
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id;
	void *address = NULL;
	uint64_t value = 0;

	rig_export(rig_memory(1), 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, NULL);
	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()));
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_SEG_STILL_MAPPED);
	*(volatile char *)address = 1;
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* §5.2: importers in several processes share the same bytes */
static void importers_and_exporter_see_the_same_bytes(void)
{
	agent_t exporter = agent_start(), first = agent_start(), second = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 2);

	agent_import(&first, id);
	agent_import(&second, id);
	EXPECT(agent_do(&exporter, AGENT_STORE, 0, 11, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&first, AGENT_GET, 0), 11);
	EXPECT(agent_do(&first, AGENT_PUT, 4096, 22, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 4096), 22);
	CHECK_EQUAL(agent_ask(&second, AGENT_GET, 4096), 22);
	EXPECT(agent_do(&first, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&second, AGENT_PUT, 8, 33, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 33);
}

/* The death of an importer is nothing to the others */
static void a_killed_importer_disturbs_nobody(void)
{
	agent_t exporter = agent_start(), victim = agent_start(), other = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 1);

	agent_import(&victim, id);
	agent_import(&other, id);
	EXPECT(agent_do(&victim, AGENT_MAP, 0, 4096, RSM_PERM_RDWR), RSM_SUCCESS);
	agent_kill(&victim, 9);
	EXPECT(agent_do(&other, AGENT_PUT, 0, 44, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 44);
	EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_DESTROY, 0, 0, 0), RSM_SUCCESS);
}

static const rig_test_t tests[] = {
	TEST(connect_checks_its_arguments_in_order),
	TEST(connect_takes_owner_bits_only),
	TEST(a_failed_connect_clears_the_handle),
	TEST(unknown_ids_are_not_published),
	TEST(only_published_segments_can_be_connected),
	TEST(node_zero_on_loopback_is_this_node),
	TEST(a_connection_without_rights_gives_nothing),
	TEST(a_process_may_import_its_own_export_many_times),
	TEST(null_and_freed_handles_are_bad_handles),
	TEST(an_export_handle_is_no_import),
	TEST(disconnect_refuses_explicit_mappings_only),
	TEST(importers_and_exporter_see_the_same_bytes),
	TEST(a_killed_importer_disturbs_nobody),
};

RIG_MAIN(tests)
