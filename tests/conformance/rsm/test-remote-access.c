/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An importer here, an exporter on another node: connect, put, get, vectors, barriers and rights;
 * rsmapi.md §4.5–§4.9, §5.4, §6.1, §6.4, Decisions 4 and 8. Needs two nodes.
 */
#include "agent.h"

#include <string.h>

#include <rsm/rsmapi_ext.h>

#define N_PAGES 64u
#define SIZE	(N_PAGES * 4096)

static agent_t exporter;
static rsm_memseg_id_t id;
static rsm_node_id_t there;
static rsmapi_controller_handle_t wire;
static rsmapi_barrier_t barrier;

static int connect_to(rsm_permission_t permission, rsm_memseg_import_handle_t *ret_import)
{
	return rsm_memseg_import_connect(wire, there, id, permission, ret_import);
}

static void begin_exporter(void)
{
	exporter = agent_start_there();
	there = rig_other_node();
	wire = rig_wire();
	id = agent_export_to_all(&exporter, N_PAGES);
}

static rsm_memseg_import_handle_t begin(rsm_permission_t permission)
{
	rsm_memseg_import_handle_t import;

	begin_exporter();
	NEED(connect_to(permission, &import));
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	return import;
}

/* §4.2, Decision 4 */
static void the_topology_tells_the_other_node(void)
{
	agent_t agent = agent_start_there();
	rsm_topology_t *topology;
	rsm_remote_cntlr_t *remote;

	(void)agent;
	NEED(rsm_get_interconnect_topology(&topology));
	CHECK(topology->topology_hdr.local_cntlr_count >= 1);
	for (unsigned int i = 0; i < topology->topology_hdr.local_cntlr_count; i++) {
		CHECK_EQUAL(topology->connections[i]->hdr.remote_cntlr_count, 1);
		remote = &topology->connections[i]->remote_cntlr[0];
		CHECK(remote->remote_nodeid != topology->topology_hdr.local_nodeid);
		CHECK(strcmp(remote->remote_cntlrname, topology->connections[i]->hdr.cntlr_name) ==
			0);
	}
	rsm_free_interconnect_topology(topology);
}

/* §4.1, Decision 3: other names lead to the same controller on a node with peers */
static void aliases_lead_to_the_wire(void)
{
	agent_t agent = agent_start_there();
	const char *const names[] = {"sci0", "wrsm0"};
	rsmapi_controller_attr_t attr;

	(void)agent;
	wire = rig_wire();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rsmapi_controller_handle_t same = NULL;
		char name[16];

		strcpy(name, names[i]);
		EXPECT(rsm_get_controller(name, &same), RSM_SUCCESS);
		CHECK(same == wire);
	}
	CHECK(rig_controller() != wire);
	EXPECT(rsm_get_controller_attr(wire, &attr), RSM_SUCCESS);
	CHECK_EQUAL(attr.attr_page_size, 0x4);
	CHECK_EQUAL(attr.attr_direct_access_sizes & 0xf, 0xf);
}

/* §4.5 */
static void connect_tells_why_it_cannot(void)
{
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t unknown = rig_id();

	begin_exporter();
	EXPECT(rsm_memseg_import_connect(rig_controller(), there, id, RSM_PERM_READ, &import),
		RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_memseg_import_connect(wire, 4711, id, RSM_PERM_READ, &import),
		RSMERR_REMOTE_NODE_UNREACHABLE);
	CHECK(import == NULL);
	EXPECT(rsm_memseg_import_connect(wire, there, unknown, RSM_PERM_READ, &import),
		RSMERR_SEG_NOT_PUBLISHED);
	/* the segment is not this node's */
	EXPECT(rsm_memseg_import_connect(wire, rig_node(), id, RSM_PERM_READ, &import),
		RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_import_connect(wire, there, id, 0700, &import), RSMERR_PERM_DENIED);
	EXPECT(connect_to(RSM_PERM_RDWR, &import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_BAD_SEG_HNDL);
}

/* §6.4: a local segment may be imported through the controller of other nodes */
static void the_wire_leads_to_this_node_too(void)
{
	agent_t agent = agent_start_there();
	char *memory = rig_memory(1);
	rsm_memseg_import_handle_t import;
	uint64_t value = 7;

	(void)agent;
	wire = rig_wire();
	rig_export(memory, 1, &id);
	NEED(rsm_memseg_import_connect(wire, rig_node(), id, RSM_PERM_RDWR, &import));
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	EXPECT(rsm_memseg_import_put64(import, 8, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(((uint64_t *)(void *)memory)[1], 7);
}

/* §6.1: entries by node; what one says of another node does not count here */
static void access_lists_are_by_node(void)
{
	rsm_memseg_import_handle_t import;
	rsm_node_id_t here;

	exporter = agent_start_there();
	there = rig_other_node();
	here = rig_node();
	wire = rig_wire();
	id = rig_id();
	NEED(agent_do(&exporter, AGENT_UMASK, 0, 0, 0));
	NEED(agent_do(&exporter, AGENT_CREATE, 1, 0, 0));
	EXPECT(agent_do(&exporter, AGENT_PUBLISH_TO, id, 4711, 0666), RSMERR_BAD_ACL);
	EXPECT(agent_do(&exporter, AGENT_PUBLISH_TO, id, there, 0666), RSM_SUCCESS);
	EXPECT(connect_to(RSM_PERM_READ, &import), RSMERR_SEG_NOT_PUBLISHED_TO_NODE);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH_TO, here, 0444, 0), RSM_SUCCESS);
	EXPECT(connect_to(RSM_PERM_RDWR, &import), RSMERR_PERM_DENIED);
	EXPECT(connect_to(RSM_PERM_READ, &import), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH_TO, there, 0666, 0), RSM_SUCCESS);
	/* what was granted stays */
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	EXPECT(rsm_memseg_import_get(import, 0, &here, 4), RSM_SUCCESS);
	EXPECT(connect_to(RSM_PERM_READ, &import), RSMERR_SEG_NOT_PUBLISHED_TO_NODE);
}

/* §4.6: what one side does the other sees, in both directions */
static void both_sides_see_the_same_bytes(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	uint64_t value = 0x0123456789abcdef, got = 0;

	EXPECT(rsm_memseg_import_put64(import, 4096, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 4096), value);
	EXPECT(agent_do(&exporter, AGENT_STORE, 8, 99, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get64(import, 8, &got, 1), RSM_SUCCESS);
	CHECK_EQUAL(got, 99);
}

static unsigned char pattern(size_t i, unsigned int seed)
{
	return (unsigned char)(i * 31 + i / 253 + seed);
}

/* §4.6: put and get of any length, at any offset */
static void bytes_of_any_length_arrive(void)
{
	static const size_t lengths[] = {
		0, 1, 3, 8, 100, 4095, 4096, 8192, 8193, 65535, 65537, SIZE - 5};
	static unsigned char out[SIZE], in[SIZE];
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i];

		for (size_t k = 0; k < n; k++)
			out[k] = pattern(k, i);
		memset(in, 0, sizeof(in));
		EXPECT(rsm_memseg_import_put(import, (off_t)(i % 6), out, n), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_get(import, (off_t)(i % 6), in, n), RSM_SUCCESS);
		CHECK(memcmp(in, out, n) == 0);
	}
}

/* §4.6: elements of each width */
static void elements_of_each_width_arrive(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

#define WIDTH(bits)                                                                                \
	do {                                                                                       \
		uint##bits##_t out[100], in[100] = {0};                                            \
                                                                                                   \
		for (unsigned int i = 0; i < 100; i++)                                             \
			out[i] = (uint##bits##_t)(i * 0x0102030405060708u + 3);                    \
		EXPECT(rsm_memseg_import_put##bits(import, 64, out, 100), RSM_SUCCESS);            \
		EXPECT(rsm_memseg_import_get##bits(import, 64, in, 100), RSM_SUCCESS);             \
		CHECK(memcmp(in, out, sizeof(in)) == 0);                                           \
		EXPECT(rsm_memseg_import_put##bits(import, 64, out, 0), RSM_SUCCESS);              \
	} while (0)

	WIDTH(8);
	WIDTH(16);
	WIDTH(32);
	WIDTH(64);
#undef WIDTH
}

/* §4.6: arguments are judged as on this node */
static void arguments_are_checked_in_order(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_READ);
	uint64_t value = 0;

	EXPECT(rsm_memseg_import_get64(import, 0, NULL, 1), RSMERR_BAD_ADDR);
	EXPECT(rsm_memseg_import_get64(import, 4, &value, 1), RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSMERR_PERM_DENIED);
	EXPECT(rsm_memseg_import_get64(import, SIZE, &value, 1), RSMERR_BAD_OFFSET);
	EXPECT(rsm_memseg_import_get(import, 0, &value, SIZE + 1), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_import_get64(import, SIZE - 8, &value, 1), RSM_SUCCESS);
	NEED(rsm_memseg_import_destroy_barrier(&barrier));
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_BARRIER_UNINITIALIZED);
}

/* A connection without rights has signals only. */
static void a_connection_may_have_no_rights(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_NONE);
	uint64_t value = 0;

	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_PERM_DENIED);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSMERR_PERM_DENIED);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
}

/* As on this node: put and get may have mapped */
static void unmap_succeeds_once_after_put_and_get(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	uint64_t value = 0;

	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* vectors */

enum { N = 16 };

static uint64_t values[N];
static rsm_iovec_t entries[N];

static rsm_scat_gath_t vector(rsm_memseg_import_handle_t import, uint_t flags)
{
	rsm_scat_gath_t sg = {.io_request_count = N, .io_residual_count = 4711, .flags = flags};

	sg.remote_handle = import;
	sg.iovec = entries;
	for (size_t i = 0; i < N; i++) {
		values[i] = i + 100;
		entries[i] = (rsm_iovec_t){
			.io_type = RSM_VA_TYPE, .remote_offset = i * 4096, .transfer_length = 8};
		entries[i].local.vaddr = (caddr_t)&values[i];
	}
	return sg;
}

/* §4.7 */
static void vectors_arrive(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t handle;
	char *local = rig_memory(1);
	rsm_scat_gath_t sg = vector(import, RSM_IMPLICIT_SIGPOST);

	EXPECT(rsm_memseg_import_putv(&sg), RSM_SUCCESS);
	CHECK_EQUAL(sg.io_residual_count, 0);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 15 * 4096), 115);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
	NEED(rsm_create_localmemory_handle(wire, &handle, local, rig_page()));
	sg = vector(import, 0);
	for (size_t i = 0; i < N; i++) {
		entries[i].io_type = RSM_HANDLE_TYPE;
		entries[i].local.handle = handle;
		entries[i].local_offset = i * 8;
	}
	EXPECT(rsm_memseg_import_getv(&sg), RSM_SUCCESS);
	for (size_t i = 0; i < N; i++)
		CHECK_EQUAL(((uint64_t *)(void *)local)[i], i + 100);
}

/* §4.7: exact at every entry; those before the bad one have been done, no signal is posted */
static void the_residual_is_exact_at_every_entry(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	for (size_t bad = 0; bad < N; bad++) {
		rsm_scat_gath_t sg = vector(import, RSM_IMPLICIT_SIGPOST);

		values[bad ? bad - 1 : 0] = 1000 + bad;
		entries[bad].remote_offset = SIZE;
		EXPECT(rsm_memseg_import_putv(&sg), RSMERR_BAD_OFFSET);
		CHECK_EQUAL(sg.io_residual_count, N - bad);
		if (bad)
			CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, (bad - 1) * 4096), 1000 + bad);
	}
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
}

/* barriers */

static void set_mode(rsm_memseg_import_handle_t import, rsm_barrier_mode_t mode)
{
	NEED(rsm_memseg_import_set_mode(import, mode));
}

/* §5.4: all of a span is there when it has been closed, what is before order when that returns */
static void a_closed_span_has_arrived(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	set_mode(import, RSM_BARRIER_MODE_EXPLICIT);
	for (uint64_t round = 1; round <= 5; round++) {
		EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
		for (uint64_t i = 0; i < SIZE / 8; i += 3) {
			uint64_t value = i * round;

			EXPECT(rsm_memseg_import_put64(import, (off_t)(i * 8), &value, 1),
				RSM_SUCCESS);
		}
		EXPECT(rsm_memseg_import_order_barrier(&barrier), RSM_SUCCESS);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 24), 3 * round);
		EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, (SIZE / 8 - 1) / 3 * 3 * 8),
			(SIZE / 8 - 1) / 3 * 3 * round);
	}
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_BARRIER_NOT_OPENED);
}

/* §4.9: a get within a span sees what was put before it */
static void a_get_comes_behind_the_puts_of_its_span(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	set_mode(import, RSM_BARRIER_MODE_EXPLICIT);
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t back = 0;

		EXPECT(rsm_memseg_import_put64(import, 8, &i, 1), RSM_SUCCESS);
		if (i % 7)
			continue;
		EXPECT(rsm_memseg_import_get64(import, 8, &back, 1), RSM_SUCCESS);
		CHECK_EQUAL(back, i);
	}
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
}

/* What is collected leaves with a change of the mode, with a signal and with a wait. */
static void collected_puts_leave(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	uint64_t value = 1;

	set_mode(import, RSM_BARRIER_MODE_EXPLICIT);
	for (; value < 10; value++)
		EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	set_mode(import, RSM_BARRIER_MODE_IMPLICIT);
	EVENTUALLY(agent_ask(&exporter, AGENT_LOAD, 0) == 9);
	set_mode(import, RSM_BARRIER_MODE_EXPLICIT);
	for (; value < 20; value++)
		EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 19);
	for (; value < 30; value++)
		EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 1), RSMERR_TIMEOUT);
	EVENTUALLY(agent_ask(&exporter, AGENT_LOAD, 0) == 29);
	for (; value < 40; value++)
		EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EVENTUALLY(agent_ask(&exporter, AGENT_LOAD, 0) == 39);
}

/* §2.2 of rsmapi_ext.h: sizes, states, lists and transfers with completion are as on this node */
static void extensions_reach_other_nodes(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	uint64_t out[8] = {1, 2, 3, 4, 5, 6, 7, 8}, in[8] = {0};
	rsm_ext_request_t puts[8], gets[8];
	rsm_ext_segment_t *list;
	rsm_ext_state_t state;
	uint_t n, n_found = 0;
	size_t size;

	EXPECT(rsm_ext_import_get_size(import, &size), RSM_SUCCESS);
	CHECK_EQUAL(size, SIZE);
	EXPECT(rsm_ext_import_get_state(import, &state), RSM_SUCCESS);
	CHECK_EQUAL(state, RSM_EXT_CONNECTED);
	EXPECT(rsm_ext_list_node_segments(there, &list, &n), RSM_SUCCESS);
	for (uint_t i = 0; i < n; i++)
		n_found += list[i].id == id && list[i].node == there && list[i].size == SIZE;
	CHECK_EQUAL(n_found, 1);
	rsm_ext_free_segments(list);
	for (size_t i = 0; i < 8; i++)
		EXPECT(rsm_ext_import_put_start(import, (off_t)(i * 4096), &out[i], 8, &puts[i]),
			RSM_SUCCESS);
	for (size_t i = 8; i-- > 0;)
		EXPECT(rsm_ext_wait(&puts[i], -1), RSM_SUCCESS);
	for (size_t i = 0; i < 8; i++)
		EXPECT(rsm_ext_import_get_start(import, (off_t)(i * 4096), &in[i], 8, &gets[i]),
			RSM_SUCCESS);
	for (size_t i = 0; i < 8; i++)
		EVENTUALLY(rsm_ext_test(&gets[i]) == RSM_SUCCESS);
	CHECK(memcmp(in, out, sizeof(in)) == 0);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 7 * 4096), 8);
	EXPECT(rsm_ext_import_put_start(import, SIZE, out, 8, &puts[0]), RSMERR_BAD_OFFSET);
}

/* The other way round: the exporter here, the importer there */
static void importers_there_reach_an_exporter_here(void)
{
	agent_t importer = agent_start_there();
	char *memory = rig_memory(1);
	rsm_memseg_export_handle_t export;

	export = rig_create(memory, 1);
	id = rig_id();
	NEED(rsm_memseg_export_publish(
		export, &id, (rsmapi_access_entry_t[]){{rig_other_node(), 0666}}, 1));
	EXPECT(agent_do(&importer, AGENT_CONNECT_TO, rig_node(), id, RSM_PERM_RDWR), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_PUT, 8, 77, 0), RSM_SUCCESS);
	CHECK_EQUAL(*(volatile uint64_t *)(void *)(memory + 8), 77);
	*(volatile uint64_t *)(void *)(memory + 16) = 88;
	CHECK_EQUAL(agent_ask(&importer, AGENT_GET, 16), 88);
	EXPECT(agent_do(&importer, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

static void child_part(void *import)
{
	uint64_t value = 5, back = 0;

	EXPECT(rsm_memseg_import_put64(import, 40, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get64(import, 32, &back, 1), RSM_SUCCESS);
	CHECK_EQUAL(back, 4);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* Decision 7: imports work in a child, over a connection of its own */
static void a_child_has_imports_of_its_own(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	uint64_t value = 4;

	EXPECT(rsm_memseg_import_put64(import, 32, &value, 1), RSM_SUCCESS);
	rig_in_child(child_part, import);
	EXPECT(rsm_memseg_import_get64(import, 40, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(value, 5);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* §4.5: several imports of one segment, and of several segments there, are independent */
static void imports_of_one_process_are_independent(void)
{
	enum { N_IMPORTS = 20 };
	rsm_memseg_import_handle_t imports[N_IMPORTS];
	rsmapi_barrier_t barriers[N_IMPORTS];
	uint64_t value;

	begin_exporter();
	for (uint64_t i = 0; i < N_IMPORTS; i++) {
		NEED(connect_to(RSM_PERM_RDWR, &imports[i]));
		NEED(rsm_memseg_import_init_barrier(imports[i], RSM_BAR_DEFAULT, &barriers[i]));
		EXPECT(rsm_memseg_import_put64(imports[i], (off_t)i * 8, &i, 1), RSM_SUCCESS);
	}
	for (size_t i = 0; i < N_IMPORTS; i++) {
		EXPECT(rsm_memseg_import_get64(
			       imports[i], (off_t)(N_IMPORTS - 1 - i) * 8, &value, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(value, N_IMPORTS - 1 - i);
		EXPECT(rsm_memseg_import_disconnect(imports[i]), RSM_SUCCESS);
	}
}

static const rig_test_t tests[] = {
	TEST(the_topology_tells_the_other_node),
	TEST(aliases_lead_to_the_wire),
	TEST(connect_tells_why_it_cannot),
	TEST(the_wire_leads_to_this_node_too),
	TEST(access_lists_are_by_node),
	TEST(both_sides_see_the_same_bytes),
	TEST(bytes_of_any_length_arrive),
	TEST(elements_of_each_width_arrive),
	TEST(arguments_are_checked_in_order),
	TEST(a_connection_may_have_no_rights),
	TEST(unmap_succeeds_once_after_put_and_get),
	TEST(vectors_arrive),
	TEST(the_residual_is_exact_at_every_entry),
	TEST(a_closed_span_has_arrived),
	TEST(a_get_comes_behind_the_puts_of_its_span),
	TEST(collected_puts_leave),
	TEST(extensions_reach_other_nodes),
	TEST(importers_there_reach_an_exporter_here),
	TEST(a_child_has_imports_of_its_own),
	TEST(imports_of_one_process_are_independent),
};

RIG_MAIN(tests)
