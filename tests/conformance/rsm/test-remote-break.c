/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forced disconnects of importers on another node: rsmapi.md §5.2, §5.3, Decision 6. Needs two
 * nodes. The table of what an importer sees is that of test-break.c.
 */
#include "agent.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <rsm/rsmapi_ext.h>

typedef void (*ending_t)(agent_t *exporter);

static void unpublish(agent_t *exporter)
{
	EXPECT(agent_do(exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
}

static void destroy(agent_t *exporter)
{
	EXPECT(agent_do(exporter, AGENT_DESTROY, 0, 0, 0), RSM_SUCCESS);
}

static void leave(agent_t *exporter)
{
	EXPECT(agent_do(exporter, AGENT_EXIT, 0, 0, 0), AGENT_GONE);
	CHECK_EQUAL(agent_wait(exporter), 0);
}

static void die(agent_t *exporter)
{
	agent_kill(exporter, SIGKILL);
}

static agent_t exporter;
static rsm_memseg_id_t id;
static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier;

static int connect_there(void)
{
	int code =
		rsm_memseg_import_connect(rig_wire(), rig_other_node(), id, RSM_PERM_RDWR, &import);

	return code ? code : rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier);
}

static void begin(void)
{
	exporter = agent_start_there();
	id = agent_export_to_all(&exporter, 2);
	NEED(connect_there());
}

static int put(off_t offset, uint64_t value)
{
	return rsm_memseg_import_put64(import, offset, &value, 1);
}

static int get(off_t offset)
{
	uint64_t value;

	return rsm_memseg_import_get64(import, offset, &value, 1);
}

static void access_is_broken(void)
{
	rsm_scat_gath_t sg = {.io_request_count = 1, .remote_handle = import};
	uint64_t value = 1;
	rsm_iovec_t entry = {.io_type = RSM_VA_TYPE, .transfer_length = 8};

	entry.local.vaddr = (caddr_t)&value;
	sg.iovec = &entry;
	for (int i = 0; i < 3; i++) {
		EXPECT(put(0, 1), RSMERR_CONN_ABORTED);
		EXPECT(get(8), RSMERR_CONN_ABORTED);
		EXPECT(rsm_memseg_import_putv(&sg), RSMERR_CONN_ABORTED);
		CHECK_EQUAL(sg.io_residual_count, 1);
		EXPECT(rsm_memseg_import_getv(&sg), RSMERR_CONN_ABORTED);
	}
}

/* §5.3: single accesses of a span say nothing, close does, every time */
static void spans_are_broken(void)
{
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	for (int i = 0; i < 3; i++) {
		EXPECT_ONE(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS,
			RSMERR_BARRIER_OPEN_FAILED);
		EXPECT(put(0, 1), RSM_SUCCESS);
		EXPECT_ONE(rsm_memseg_import_order_barrier(&barrier), RSMERR_CONN_ABORTED,
			RSMERR_BARRIER_FAILURE);
		EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	}
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_IMPLICIT));
}

static void signals_are_broken(void)
{
	EXPECT_ONE(rsm_intr_signal_post(import, 0), RSMERR_CONN_ABORTED,
		RSMERR_REMOTE_NODE_UNREACHABLE);
	EXPECT(rsm_intr_signal_wait(import, -1), RSMERR_CONN_ABORTED);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_CONN_ABORTED);
}

static void check_break(ending_t end, rsm_ext_state_t state)
{
	rsm_ext_state_t now;
	void *map;

	begin();
	EXPECT(put(0, 7), RSM_SUCCESS);
	end(&exporter);
	EVENTUALLY(put(0, 1) == RSMERR_CONN_ABORTED);
	access_is_broken();
	spans_are_broken();
	signals_are_broken();
	EVENTUALLY(rsm_ext_import_get_state(import, &now) == RSM_SUCCESS && now == state);
	EXPECT(rsm_memseg_import_map(import, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, 4096),
		RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(connect_there(), RSMERR_SEG_NOT_PUBLISHED);
}

static void unpublish_breaks_imports(void)
{
	check_break(unpublish, RSM_EXT_REVOKED);
}

static void destroy_breaks_imports(void)
{
	check_break(destroy, RSM_EXT_REVOKED);
}

static void exit_of_the_exporter_breaks_imports(void)
{
	check_break(leave, RSM_EXT_EXPORTER_GONE);
}

static void kill_of_the_exporter_breaks_imports(void)
{
	check_break(die, RSM_EXT_EXPORTER_GONE);
}

/* §5.2: the break is there when unpublish returns: no put that comes later succeeds or arrives */
static void unpublish_breaks_before_it_returns(void)
{
	for (uint64_t i = 1; i < 20; i++) {
		begin();
		EXPECT(put(8, i), RSM_SUCCESS);
		unpublish(&exporter);
		EXPECT(put(8, 1000 + i), RSMERR_CONN_ABORTED);
		CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), i);
		EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
		agent_kill(&exporter, SIGKILL);
	}
}

/* §5.4: a span that met the end says so at its close */
static void a_span_that_loses_its_segment_fails(void)
{
	begin();
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	EXPECT(rsm_memseg_import_open_barrier(&barrier), RSM_SUCCESS);
	for (uint64_t i = 0; i < 300; i++)
		EXPECT(put((off_t)(8 * i), i), RSM_SUCCESS);
	unpublish(&exporter);
	for (uint64_t i = 300; i < 600; i++)
		EXPECT(put((off_t)(8 * i), i), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8 * 599), 0);
}

static void *wait_for_ever(void *segment)
{
	EXPECT(rsm_intr_signal_wait(segment, -1), RSMERR_CONN_ABORTED);
	return NULL;
}

/* §9.3 beaten: whoever waits is woken, by poll too */
static void waiting_importers_are_woken(void)
{
	static const ending_t endings[] = {unpublish, die};

	for (int i = 0; i < 2; i++) {
		struct pollfd fd = {.fd = -1};
		pthread_t thread;
		int n;

		begin();
		NEED(rsm_memseg_get_pollfd(import, &fd));
		NEED(pthread_create(&thread, NULL, wait_for_ever, import));
		rig_sleep(20);
		endings[i](&exporter);
		NEED(pthread_join(thread, NULL));
		EXPECT(rsm_intr_signal_wait_pollfd(&fd, 1, 5000, &n), RSM_SUCCESS);
		CHECK(fd.revents & POLLHUP);
	}
}

/* §5.2: a new connection works as soon as an exporter publishes the id again */
static void a_new_connection_works_after_publish(void)
{
	rsm_memseg_import_handle_t stale;

	begin();
	unpublish(&exporter);
	stale = import;
	EXPECT(agent_do(&exporter, AGENT_PUBLISH, id, AGENT_NO_LIST, 0), RSM_SUCCESS);
	EXPECT(connect_there(), RSM_SUCCESS);
	EXPECT(put(8, 5), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 5);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	/* §9.22 beaten: the old one is nothing to the new segment */
	EXPECT(rsm_intr_signal_post(stale, 0), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_disconnect(stale), RSM_SUCCESS);
	EXPECT(put(8, 6), RSM_SUCCESS);
}

/* Not triggers (§5.2): republish, rebind, the end of other importers */
static void republish_and_rebind_break_nothing(void)
{
	begin();
	EXPECT(put(8, 1), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH, 0444, 0, 0), RSM_SUCCESS);
	EXPECT(put(8, 2), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 2);
}

/* §4.3: the new memory's content is what importers see then */
static void rebind_shows_importers_the_new_memory(void)
{
	uint64_t value = 0;

	exporter = agent_start_there();
	id = rig_id();
	NEED(agent_do(&exporter, AGENT_UMASK, 0, 0, 0));
	NEED(agent_do(&exporter, AGENT_CREATE, 2, RSM_ALLOW_REBIND, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, AGENT_NO_LIST, 0));
	NEED(connect_there());
	EXPECT(put(8, 3), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_REBIND, 4711, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(value, 4711);
	EXPECT(put(8, 9), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 9);
}

/* The exporter is not disturbed by importers that are killed; they are forgotten. */
static void killed_importers_disturb_nobody(void)
{
	rsm_ext_segment_t *list;
	uint_t n, n_imports = 0;

	begin();
	for (int i = 0; i < 5; i++) {
		agent_t importer = agent_start();

		NEED(agent_do(&importer, AGENT_CONNECT_TO, rig_other_node(), id, RSM_PERM_RDWR));
		EXPECT(agent_do(&importer, AGENT_PUT, 8, 7, 0), RSM_SUCCESS);
		agent_kill(&importer, SIGKILL);
		EXPECT(put(16, 5), RSM_SUCCESS);
	}
	for (int i = 0; i < 100; i++) {
		NEED(rsm_ext_list_node_segments(rig_other_node(), &list, &n));
		for (uint_t k = 0; k < n; k++)
			if (list[k].id == id)
				n_imports = list[k].import_count;
		rsm_ext_free_segments(list);
		if (n_imports == 1)
			break;
		rig_sleep(20);
	}
	CHECK_EQUAL(n_imports, 1);
	EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
}

/* §9.19 beaten: unpublish does not wait for an importer that does nothing */
static void stopped_importers_hold_up_nobody(void)
{
	agent_t importer = agent_start();

	begin();
	NEED(agent_do(&importer, AGENT_CONNECT_TO, rig_other_node(), id, RSM_PERM_RDWR));
	kill(importer.pid, SIGSTOP);
	EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
	kill(importer.pid, SIGCONT);
	EXPECT(agent_do(&importer, AGENT_PUT, 0, 1, 0), RSMERR_CONN_ABORTED);
}

/* The other way round: an exporter here ends its importers there */
static void importers_there_are_broken_by_an_exporter_here(void)
{
	agent_t importer = agent_start_there();
	char *memory = rig_memory(1);
	rsm_memseg_export_handle_t export = rig_create(memory, 1);

	id = rig_id();
	for (int i = 0; i < 10; i++) {
		NEED(rsm_memseg_export_publish(
			export, &id, (rsmapi_access_entry_t[]){{rig_other_node(), 0666}}, 1));
		EXPECT(agent_do(&importer, AGENT_CONNECT_TO, rig_node(), id, RSM_PERM_RDWR),
			RSM_SUCCESS);
		EXPECT(agent_do(&importer, AGENT_PUT, 8, (uint64_t)i, 0), RSM_SUCCESS);
		agent_begin(&importer, AGENT_IMPORT_WAIT, (uint64_t)-1);
		EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
		EXPECT(agent_finish(&importer), RSMERR_CONN_ABORTED);
		EXPECT(agent_do(&importer, AGENT_PUT, 8, 1000, 0), RSMERR_CONN_ABORTED);
		CHECK_EQUAL(*(volatile uint64_t *)(void *)(memory + 8), i);
		EXPECT(agent_do(&importer, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	}
}

static const rig_test_t tests[] = {
	TEST(unpublish_breaks_imports),
	TEST(destroy_breaks_imports),
	TEST(exit_of_the_exporter_breaks_imports),
	TEST(kill_of_the_exporter_breaks_imports),
	TEST(unpublish_breaks_before_it_returns),
	TEST(a_span_that_loses_its_segment_fails),
	TEST(waiting_importers_are_woken),
	TEST(a_new_connection_works_after_publish),
	TEST(republish_and_rebind_break_nothing),
	TEST(rebind_shows_importers_the_new_memory),
	TEST(killed_importers_disturb_nobody),
	TEST(stopped_importers_hold_up_nobody),
	TEST(importers_there_are_broken_by_an_exporter_here),
};

RIG_MAIN(tests)
