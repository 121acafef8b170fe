/* SPDX-License-Identifier: Apache-2.0 */
/* Export segments, arguments and states: rsmapi.md §4.3, §2.5, §5.1. */
#include "agent.h"

#include <signal.h>

#define HUGE_SIZE ((size_t)1 << 63)

/* §4.3 create, order of checks: each call has the faults of all later checks too */
static void create_checks_its_arguments_in_order(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_memseg_export_handle_t export;
	size_t page = rig_page();
	char *memory = rig_memory(2);

	EXPECT(rsm_memseg_export_create(NULL, NULL, NULL, 0, 0), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_memseg_export_create(controller, NULL, NULL, 0, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_create(controller, &export, NULL, 0, 0), RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_export_create(controller, &export, memory + 1, 0, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_export_create(controller, &export, memory + 1, page, 0),
		RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_export_create(controller, &export, memory, page + 8, 0),
		RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_export_create(controller, &export, memory + 512, page, 0),
		RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_export_create(controller, &export, memory, 1, 0),
		RSMERR_BAD_MEM_ALIGNMENT);
}

/* §4.3 create: *memseg = 0 once it may be written */
static void a_failed_create_clears_the_handle(void)
{
	rsm_memseg_export_handle_t export = (void *)rig_memory(1);

	EXPECT(rsm_memseg_export_create(rig_controller(), &export, NULL, 0, 0), RSMERR_BAD_ADDR);
	CHECK(export == NULL);
}

/* §4.3 create: more than the address space has is too long, no memory, or no address */
static void create_refuses_absurd_sizes(void)
{
	rsm_memseg_export_handle_t export;
	char *memory = rig_memory(1);

	EXPECT_ONE(rsm_memseg_export_create(rig_controller(), &export, memory, HUGE_SIZE, 0),
		RSMERR_BAD_LENGTH, RSMERR_BAD_ADDR, RSMERR_INSUFFICIENT_MEM);
	EXPECT_ONE(rsm_memseg_export_create(
			   rig_controller(), &export, memory, SIZE_MAX - rig_page() + 1, 0),
		RSMERR_BAD_LENGTH, RSMERR_BAD_ADDR, RSMERR_INSUFFICIENT_MEM);
}

/* §4.3 create: unknown flag bits are ignored */
static void create_ignores_unknown_flags(void)
{
	rsm_memseg_export_handle_t export = NULL;

	EXPECT(rsm_memseg_export_create(rig_controller(), &export, rig_memory(1), rig_page(),
		       0xFFFFFFF8u | RSM_ALLOW_REBIND | RSM_CREATE_SEG_DONTWAIT),
		RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

/* Decision 1: RSM_LOCK_OPS is taken by create and refused by publish */
static void a_segment_with_locks_cannot_be_published(void)
{
	rsm_memseg_export_handle_t export = NULL;
	rsm_memseg_id_t id = rig_id();

	NEED(rsm_memseg_export_create(
		rig_controller(), &export, rig_memory(1), rig_page(), RSM_LOCK_OPS));
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSMERR_LOCKS_NOT_SUPPORTED);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

/* §4.3 publish order of checks */
static void publish_checks_its_arguments_in_order(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsmapi_access_entry_t bad_list[1] = {{rig_node(), 0667}};
	rsm_memseg_id_t reserved = 1, id = rig_id(), other = rig_id();

	EXPECT(rsm_memseg_export_publish(NULL, NULL, NULL, 1), RSMERR_BAD_SEGID);
	EXPECT(rsm_memseg_export_publish(export, NULL, NULL, 1), RSMERR_BAD_SEGID);
	EXPECT(rsm_memseg_export_publish(NULL, &reserved, NULL, 1), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_publish(export, &reserved, NULL, 1), RSMERR_BAD_ACL);
	EXPECT(rsm_memseg_export_publish(export, &reserved, bad_list, 1), RSMERR_RESERVED_SEGID);
	EXPECT(rsm_memseg_export_publish(export, &id, bad_list, 1), RSMERR_BAD_ACL);
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_publish(export, &reserved, NULL, 1), RSMERR_BAD_ACL);
	EXPECT(rsm_memseg_export_publish(export, &reserved, bad_list, 1),
		RSMERR_SEG_ALREADY_PUBLISHED);
	EXPECT(rsm_memseg_export_publish(export, &other, NULL, 0), RSMERR_SEG_ALREADY_PUBLISHED);
}

/* §4.3 publish, §2.5: 1..0x3FFFFF and 0x80000000.. are reserved, the rest is not policed */
static void publish_refuses_reserved_ids(void)
{
	static const rsm_memseg_id_t reserved[] = {
		1, 0xFFFFF, 0x100000, 0x200000, 0x3FFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF};
	static const rsm_memseg_id_t open_ids[] = {
		0x400000, 0x4FFFFF, 0x500000, 0x5FFFFF, 0x7FFFFFFF};
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		rsm_memseg_id_t id = reserved[i];

		EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSMERR_RESERVED_SEGID);
	}
	for (size_t i = 0; i < sizeof(open_ids) / sizeof(open_ids[0]); i++) {
		rsm_memseg_id_t id = open_ids[i];
		int code = rsm_memseg_export_publish(export, &id, NULL, 0);

		/* Another run may hold such a fixed id at this moment. */
		EXPECT_ONE(code, RSM_SUCCESS, RSMERR_SEGID_IN_USE);
		if (code == RSM_SUCCESS)
			EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	}
}

/* §4.3 publish, §2.5: id 0 = the system chooses, from 0x80000000 upward, never twice */
static void id_zero_asks_for_an_id(void)
{
	rsm_memseg_export_handle_t exports[8];
	rsm_memseg_id_t ids[8] = {0};

	for (int i = 0; i < 8; i++) {
		exports[i] = rig_create(rig_memory(1), 1);
		NEED(rsm_memseg_export_publish(exports[i], &ids[i], NULL, 0));
		CHECK(ids[i] >= 0x80000000);
		for (int j = 0; j < i; j++)
			CHECK(ids[i] != ids[j]);
	}
	NEED(rsm_memseg_import_disconnect(rig_import(ids[3], RSM_PERM_RDWR, NULL)));
}

/* §4.3 publish: an id that was given stays as it is */
static void publish_leaves_a_given_id_alone(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id = rig_id(), before = id;

	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	CHECK_EQUAL(id, before);
}

/* §3 row 21, Decision 4: numerically above 0666, foreign nodes, more entries than nodes */
static void publish_checks_the_access_list(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_node_id_t node = rig_node();
	rsmapi_access_entry_t list[3] = {{node, 0}};
	static const rsm_permission_t bad[] = {0667, 0700, 0777, 01000, 0xFFFFFFFF};
	static const rsm_permission_t good[] = {0, 0222, 0444, 0600, 0624, 0666};
	static const rsm_node_id_t foreign[] = {65, 4711, 0xFFFF, 0xFFFFFFFF};
	rsm_memseg_id_t id = rig_id();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		list[0].ae_permission = bad[i];
		EXPECT(rsm_memseg_export_publish(export, &id, list, 1), RSMERR_BAD_ACL);
	}
	list[0].ae_permission = 0666;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		list[0].ae_node = foreign[i];
		EXPECT(rsm_memseg_export_publish(export, &id, list, 1), RSMERR_BAD_ACL);
	}
	for (int i = 0; i < 3; i++)
		list[i] = (rsmapi_access_entry_t){node, 0666};
	EXPECT(rsm_memseg_export_publish(export, &id, list, 3), RSMERR_BAD_ACL);
	EXPECT(rsm_memseg_export_publish(export, &id, list, 0xFFFFFFFF), RSMERR_BAD_ACL);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		list[0].ae_permission = good[i];
		EXPECT(rsm_memseg_export_publish(export, &id, list, 1), RSM_SUCCESS);
		EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	}
}

/* §4.3 publish: a list of length 0 is no list */
static void an_empty_list_is_no_list(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsmapi_access_entry_t unused[1] = {{0xFFFFFFFF, 07777}};
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_memseg_export_publish(export, &id, unused, 0), RSM_SUCCESS);
	NEED(rsm_memseg_import_disconnect(rig_import(id, RSM_PERM_RDWR, NULL)));
}

/* §3 row 24: an id is unique on its node, whoever has it */
static void an_id_is_used_once_on_a_node(void)
{
	agent_t agent = agent_start();
	rsm_memseg_id_t id = agent_export(&agent, 1);
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);

	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSMERR_SEGID_IN_USE);
	EXPECT(agent_do(&agent, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
	EXPECT(agent_do(&agent, AGENT_PUBLISH, id, AGENT_NO_LIST, 0), RSMERR_SEGID_IN_USE);
}

/* §3 row 24: within one process too */
static void an_id_is_used_once_in_a_process(void)
{
	rsm_memseg_export_handle_t other = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id;

	rig_export(rig_memory(1), 1, &id);
	EXPECT(rsm_memseg_export_publish(other, &id, NULL, 0), RSMERR_SEGID_IN_USE);
}

/* §5.2 the exporter's end is a destroy: its id is free again */
static void an_id_is_free_after_its_exporter_was_killed(void)
{
	agent_t agent = agent_start();
	rsm_memseg_id_t id = agent_export(&agent, 1);
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);

	agent_kill(&agent, SIGKILL);
	EVENTUALLY(rsm_memseg_export_publish(export, &id, NULL, 0) != RSMERR_SEGID_IN_USE);
	NEED(rsm_memseg_import_disconnect(rig_import(id, RSM_PERM_RDWR, NULL)));
}

/* §5.1 states of an export */
static void an_export_goes_through_its_states(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t first = rig_id(), second = rig_id();

	EXPECT(rsm_memseg_export_unpublish(export), RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_export_republish(export, NULL, 0), RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_export_publish(export, &first, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_republish(export, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_export_publish(export, &first, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_publish(export, &second, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSMERR_BAD_SEG_HNDL);
}

/* §4.3 republish order of checks */
static void republish_checks_its_arguments_in_order(void)
{
	rsmapi_access_entry_t list[1] = {{rig_node(), 0667}};
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_memseg_export_republish(NULL, NULL, 1), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_republish(export, NULL, 1), RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_export_republish(export, list, 1), RSMERR_SEG_NOT_PUBLISHED);
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	EXPECT(rsm_memseg_export_republish(export, NULL, 1), RSMERR_BAD_ACL);
	EXPECT(rsm_memseg_export_republish(export, list, 1), RSMERR_BAD_ACL);
	list[0] = (rsmapi_access_entry_t){0xFFFF, 0666};
	EXPECT(rsm_memseg_export_republish(export, list, 1), RSMERR_BAD_ACL);
}

/* §4.3 */
static void null_and_freed_handles_are_bad_handles(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_memseg_export_unpublish(NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_destroy(NULL), RSMERR_BAD_SEG_HNDL);
	NEED(rsm_memseg_export_destroy(export));
	/* §9.11 beaten: no use after free */
	EXPECT(rsm_memseg_export_destroy(export), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_unpublish(export), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_republish(export, NULL, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSMERR_BAD_SEG_HNDL);
}

/* §3 row 5: a freed handle is not the next segment's */
static void a_freed_handle_is_never_another_segment(void)
{
	rsm_memseg_export_handle_t old = rig_create(rig_memory(1), 1), export;
	rsm_memseg_id_t id;

	NEED(rsm_memseg_export_destroy(old));
	export = rig_export(rig_memory(1), 1, &id);
	CHECK(export != old);
	EXPECT(rsm_memseg_export_unpublish(old), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_destroy(old), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
}

/* §3 row 5: handle of another kind */
static void an_import_handle_is_no_export(void)
{
	rsm_memseg_export_handle_t wrong;
	rsm_memseg_id_t id, other = rig_id();

	rig_export(rig_memory(1), 1, &id);
	wrong = (rsm_memseg_export_handle_t)(void *)rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_memseg_export_publish(wrong, &other, NULL, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_republish(wrong, NULL, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_unpublish(wrong), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_destroy(wrong), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_disconnect((rsm_memseg_import_handle_t)(void *)wrong),
		RSM_SUCCESS);
}

/* §4.3: the same memory in several segments, for instance for several controllers; test-overlap.c
 * has the rest */
static void the_same_memory_may_be_exported_twice(void)
{
	char *memory = rig_memory(2);
	rsm_memseg_export_handle_t first, second;
	rsm_memseg_id_t first_id, second_id;
	rsmapi_barrier_t barrier;
	uint64_t value = 0x1122334455667788;

	first = rig_export(memory, 2, &first_id);
	second = rig_export(memory, 2, &second_id);
	NEED(rsm_memseg_import_put64(rig_import(second_id, RSM_PERM_RDWR, &barrier), 0, &value, 1));
	value = 0;
	NEED(rsm_memseg_import_get64(rig_import(first_id, RSM_PERM_RDWR, &barrier), 0, &value, 1));
	CHECK_EQUAL(value, 0x1122334455667788);
	EXPECT(rsm_memseg_export_destroy(first), RSM_SUCCESS);
	CHECK_EQUAL(*(uint64_t *)(void *)memory, 0x1122334455667788);
	EXPECT(rsm_memseg_export_destroy(second), RSM_SUCCESS);
	CHECK_EQUAL(*(uint64_t *)(void *)memory, 0x1122334455667788);
}

static const rig_test_t tests[] = {
	TEST(create_checks_its_arguments_in_order),
	TEST(a_failed_create_clears_the_handle),
	TEST(create_refuses_absurd_sizes),
	TEST(create_ignores_unknown_flags),
	TEST(a_segment_with_locks_cannot_be_published),
	TEST(publish_checks_its_arguments_in_order),
	TEST(publish_refuses_reserved_ids),
	TEST(id_zero_asks_for_an_id),
	TEST(publish_leaves_a_given_id_alone),
	TEST(publish_checks_the_access_list),
	TEST(an_empty_list_is_no_list),
	TEST(an_id_is_used_once_on_a_node),
	TEST(an_id_is_used_once_in_a_process),
	TEST(an_id_is_free_after_its_exporter_was_killed),
	TEST(an_export_goes_through_its_states),
	TEST(republish_checks_its_arguments_in_order),
	TEST(null_and_freed_handles_are_bad_handles),
	TEST(a_freed_handle_is_never_another_segment),
	TEST(an_import_handle_is_no_export),
	TEST(the_same_memory_may_be_exported_twice),
};

RIG_MAIN(tests)
