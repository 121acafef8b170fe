/* SPDX-License-Identifier: Apache-2.0 */
/* Controllers and topology: rsmapi.md §4.1, §4.2, Decisions 3 and 4. */
#include "rig.h"

#include <string.h>

static char loopback[] = "loopback";

/* §4.1 order of checks */
static void get_controller_checks_its_arguments(void)
{
	rsmapi_controller_handle_t controller;
	char absent[] = "nonesuch0";

	EXPECT(rsm_get_controller(loopback, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_get_controller(NULL, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_get_controller(absent, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_get_controller(absent, &controller), RSMERR_CTLR_NOT_PRESENT);
}

/* §4.1, §9.10: names of any length and form */
static void odd_names_are_controllers_not_present(void)
{
	rsmapi_controller_handle_t controller;
	char empty[] = "", digits[] = "0", bare[] = "loopbac", longer[] = "loopbackx0";
	static char endless[5000];

	memset(endless, 'a', sizeof(endless) - 1);
	EXPECT(rsm_get_controller(empty, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(digits, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(bare, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(longer, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(endless, &controller), RSMERR_CTLR_NOT_PRESENT);
	memset(endless, '9', sizeof(endless) - 1);
	memcpy(endless, "tcp", 3);
	EXPECT(rsm_get_controller(endless, &controller), RSMERR_CTLR_NOT_PRESENT);
}

/* §4.1: no name means loopback */
static void no_name_is_loopback(void)
{
	rsmapi_controller_handle_t named = NULL, unnamed = NULL;

	EXPECT(rsm_get_controller(NULL, &unnamed), RSM_SUCCESS);
	EXPECT(rsm_get_controller(loopback, &named), RSM_SUCCESS);
	CHECK(named != NULL && named == unnamed);
}

/* §4.1: type without regard to case; loopback's unit is ignored */
static void spellings_of_loopback_are_one_controller(void)
{
	char names[][12] = {"loopback", "loopback7", "LOOPBACK", "LoopBack0"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rsmapi_controller_handle_t controller = NULL;

		EXPECT(rsm_get_controller(names[i], &controller), RSM_SUCCESS);
		CHECK(controller == rig_controller());
	}
}

/* Decision 3: Solaris programs find their controllers */
static void sci0_is_an_alias(void)
{
	rsmapi_controller_handle_t controller = NULL;
	rsmapi_controller_attr_t attributes;
	char names[][8] = {"sci0", "wcfl0", "wrsm0"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		EXPECT(rsm_get_controller(names[i], &controller), RSM_SUCCESS);
		EXPECT(rsm_get_controller_attr(controller, &attributes), RSM_SUCCESS);
	}
}

/* §4.1: each get needs one release */
static void a_controller_lives_until_its_last_release(void)
{
	rsmapi_controller_handle_t first = NULL, second = NULL;
	rsmapi_controller_attr_t attributes;

	NEED(rsm_get_controller(loopback, &first));
	NEED(rsm_get_controller(loopback, &second));
	CHECK(first == second);
	EXPECT(rsm_release_controller(first), RSM_SUCCESS);
	EXPECT(rsm_get_controller_attr(second, &attributes), RSM_SUCCESS);
	EXPECT(rsm_release_controller(second), RSM_SUCCESS);
	EXPECT(rsm_release_controller(second), RSMERR_BAD_CTLR_HNDL);
	/* Documented 3; the order of checks has 4 for a reference count of 0. */
	EXPECT_ONE(rsm_get_controller_attr(second, &attributes), RSMERR_BAD_CTLR_HNDL,
		RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(loopback, &first), RSM_SUCCESS);
	EXPECT(rsm_get_controller_attr(first, &attributes), RSM_SUCCESS);
}

/* §4.1 order of checks */
static void get_controller_attr_checks_its_arguments(void)
{
	EXPECT(rsm_get_controller_attr(NULL, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_get_controller_attr(rig_controller(), NULL), RSMERR_BAD_ADDR);
}

/* §2.6 encoding: bit i of attr_page_size = pages of 1024 << i bytes; bit k = accesses of 2^k bytes
 */
static void attributes_are_encoded_as_on_solaris(void)
{
	rsmapi_controller_attr_t attributes;

	memset(&attributes, 0xff, sizeof(attributes));
	NEED(rsm_get_controller_attr(rig_controller(), &attributes));
	CHECK_EQUAL(attributes.attr_page_size, rig_page() / 1024);
	CHECK(attributes.attr_direct_access_sizes <= 0x7F);
	CHECK(attributes.attr_atomic_sizes <= 0x7F);
}

/* §4.1 */
static void release_controller_refuses_null(void)
{
	EXPECT(rsm_release_controller(NULL), RSMERR_BAD_CTLR_HNDL);
}

/* §4.1 advice: segments hold references to their controller */
static void segments_survive_the_release_of_their_controller(void)
{
	rsm_memseg_export_handle_t export = NULL;
	rsm_memseg_import_handle_t import = NULL;
	rsmapi_controller_handle_t controller = NULL;
	rsm_memseg_id_t id = rig_id();
	rsmapi_barrier_t barrier;
	uint64_t value = 7;
	char *memory = rig_memory(1);

	NEED(rsm_get_controller(loopback, &controller));
	NEED(rsm_memseg_export_create(controller, &export, memory, rig_page(), 0));
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	NEED(rsm_memseg_import_connect(controller, rig_node(), id, RSM_PERM_RDWR, &import));
	NEED(rsm_release_controller(controller));
	EXPECT(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(*(uint64_t *)(void *)memory, 7);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

/* §4.1, §3 row 4: a released controller makes no segments (3 for refcount 0, or 4) */
static void a_released_controller_makes_no_segments(void)
{
	rsmapi_controller_handle_t controller = NULL;
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;

	NEED(rsm_get_controller(loopback, &controller));
	NEED(rsm_release_controller(controller));
	EXPECT_ONE(rsm_memseg_export_create(controller, &export, rig_memory(1), rig_page(), 0),
		RSMERR_BAD_CTLR_HNDL, RSMERR_CTLR_NOT_PRESENT);
	EXPECT_ONE(rsm_memseg_import_connect(controller, 0, rig_id(), RSM_PERM_READ, &import),
		RSMERR_BAD_CTLR_HNDL, RSMERR_CTLR_NOT_PRESENT);
}

/* §4.2 */
static void topology_refuses_null(void)
{
	EXPECT(rsm_get_interconnect_topology(NULL), RSMERR_BAD_TOPOLOGY_PTR);
	rsm_free_interconnect_topology(NULL);
}

/* §4.2: loopback is not listed; names are terminated; a node alone has an empty topology */
static void topology_lists_real_controllers_only(void)
{
	rsm_topology_t *topology = NULL;

	NEED(rsm_get_interconnect_topology(&topology));
	NEED_TRUE(topology != NULL);
	CHECK(topology->topology_hdr.local_cntlr_count <= 32);
	for (uint_t i = 0; i < topology->topology_hdr.local_cntlr_count; i++) {
		const rsm_connections_hdr_t *header = &topology->connections[i]->hdr;

		CHECK(memchr(header->cntlr_name, 0, sizeof(header->cntlr_name)) != NULL);
		CHECK(strncmp(header->cntlr_name, "loopback", 8) != 0);
		CHECK(header->remote_cntlr_count >= 0);
	}
	rsm_free_interconnect_topology(topology);
}

/* §4.2: a snapshot for each call */
static void each_topology_is_the_callers_own(void)
{
	rsm_topology_t *first = NULL, *second = NULL;
	rsm_node_id_t node;

	NEED(rsm_get_interconnect_topology(&first));
	NEED(rsm_get_interconnect_topology(&second));
	CHECK(first != second);
	node = first->topology_hdr.local_nodeid;
	rsm_free_interconnect_topology(first);
	CHECK_EQUAL(second->topology_hdr.local_nodeid, node);
	rsm_free_interconnect_topology(second);
}

static const rig_test_t tests[] = {
	TEST(get_controller_checks_its_arguments),
	TEST(odd_names_are_controllers_not_present),
	TEST(no_name_is_loopback),
	TEST(spellings_of_loopback_are_one_controller),
	TEST(sci0_is_an_alias),
	TEST(a_controller_lives_until_its_last_release),
	TEST(get_controller_attr_checks_its_arguments),
	TEST(attributes_are_encoded_as_on_solaris),
	TEST(release_controller_refuses_null),
	TEST(segments_survive_the_release_of_their_controller),
	TEST(a_released_controller_makes_no_segments),
	TEST(topology_refuses_null),
	TEST(topology_lists_real_controllers_only),
	TEST(each_topology_is_the_callers_own),
};

RIG_MAIN(tests)
