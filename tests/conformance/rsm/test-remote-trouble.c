/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes do to each other's programs when they fail: rsmapi.md §5.2, §5.3, §9.3, §9.20. What
 * can happen to a node is in the environment, each a line for the shell: RSM_NODE2_KILL is a power
 * failure, RSM_NODE2_START its end; RSM_NODE1_RESTART and RSM_NODE2_RESTART is what programs are
 * not to notice.
 */
#include "agent.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <rsm/rsmapi_ext.h>

static agent_t exporter;
static rsm_memseg_id_t id;
static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier;

static void happen(const char *what)
{
	const char *command = getenv(what);

	if (!command)
		rig_skip("needs a way to make nodes fail");
	NEED(system(command));
}

static int connect_there(void)
{
	int code =
		rsm_memseg_import_connect(rig_wire(), rig_other_node(), id, RSM_PERM_RDWR, &import);

	return code ? code : rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier);
}

static void begin(void)
{
	exporter = agent_start_there();
	id = agent_export_to_all(&exporter, 16);
	/* a node that was started a moment ago may not be known yet */
	EVENTUALLY(connect_there() == RSM_SUCCESS);
}

static int put(off_t offset, uint64_t value)
{
	return rsm_memseg_import_put64(import, offset, &value, 1);
}

static atomic_bool enough;

static void *restart_here(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		happen("RSM_NODE1_RESTART");
		rig_sleep(100);
	}
	enough = true;
	return NULL;
}

static void *restart_there(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		happen("RSM_NODE2_RESTART");
		rig_sleep(100);
	}
	enough = true;
	return NULL;
}

/* Every put tells the truth: it has arrived, exactly once. */
static void check_restart(void *(*restart)(void *))
{
	enum { WORDS = 8000 };
	pthread_t thread;
	uint64_t n = 0, value, seen = 0;

	begin();
	NEED(pthread_create(&thread, NULL, restart, NULL));
	while (!enough) {
		n++;
		EXPECT(put((off_t)(8 * (n % WORDS)), n), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_get64(import, (off_t)(8 * (n % WORDS)), &value, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(value, n);
		if (n % 50)
			continue;
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
		seen++;
	}
	NEED(pthread_join(thread, NULL));
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8 * (n % WORDS)), n);
	for (uint64_t i = 0; i < seen; i++)
		EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 5000), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 100), RSMERR_TIMEOUT);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

static void a_restart_of_the_importers_daemon_goes_unnoticed(void)
{
	check_restart(restart_here);
}

static void a_restart_of_the_exporters_daemon_goes_unnoticed(void)
{
	check_restart(restart_there);
}

/* Spans over a restart: either all is there, or close says that it may not be. */
static void spans_over_a_restart_tell_the_truth(void)
{
	uint64_t n = 0;
	pthread_t thread;

	begin();
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(pthread_create(&thread, NULL, restart_there, NULL));
	while (!enough) {
		int code;

		n++;
		NEED(rsm_memseg_import_open_barrier(&barrier));
		for (off_t i = 0; i < 2000; i++)
			EXPECT(put(8 * i, n), RSM_SUCCESS);
		code = rsm_memseg_import_close_barrier(&barrier);
		EXPECT_ONE(code, RSM_SUCCESS, RSMERR_BARRIER_FAILURE);
		if (code == RSM_SUCCESS)
			CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8 * 1999), n);
	}
	NEED(pthread_join(thread, NULL));
}

static void *wait_for_ever(void *unused)
{
	(void)unused;
	EXPECT(rsm_intr_signal_wait(import, -1), RSMERR_CONN_ABORTED);
	return NULL;
}

static void *put_for_ever(void *unused)
{
	int code;

	(void)unused;
	while ((code = put(0, 1)) == RSM_SUCCESS)
		;
	EXPECT(code, RSMERR_CONN_ABORTED);
	return NULL;
}

/* §9.3, §9.20 beaten: every wait ends, with the code of a broken connection */
static void the_loss_of_a_node_ends_everything(void)
{
	pthread_t waiter, putter;
	rsm_ext_state_t state;
	uint64_t value = 0;
	int64_t start;

	begin();
	NEED(pthread_create(&waiter, NULL, wait_for_ever, NULL));
	NEED(pthread_create(&putter, NULL, put_for_ever, NULL));
	rig_sleep(50);
	happen("RSM_NODE2_KILL");
	start = rig_now();
	NEED(pthread_join(putter, NULL));
	NEED(pthread_join(waiter, NULL));
	CHECK(rig_now() - start < 10000);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSMERR_CONN_ABORTED);
	EXPECT(rsm_intr_signal_post(import, 0), RSMERR_CONN_ABORTED);
	EXPECT(rsm_ext_import_get_state(import, &state), RSM_SUCCESS);
	CHECK_EQUAL(state, RSM_EXT_NODE_LOST);
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	EXPECT(put(0, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(connect_there(), RSMERR_REMOTE_NODE_UNREACHABLE);
	/* and in its next life */
	happen("RSM_NODE2_START");
	begin();
	EXPECT(put(8, 3), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 3);
}

/* An import of the life before stays broken, whatever the next one publishes. */
static void imports_do_not_meet_another_life(void)
{
	rsm_memseg_import_handle_t stale;

	begin();
	stale = import;
	happen("RSM_NODE2_KILL");
	happen("RSM_NODE2_START");
	begin();
	EXPECT(put(8, 3), RSM_SUCCESS);
	import = stale;
	EXPECT(put(8, 4), RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 8), 3);
}

static const rig_test_t tests[] = {
	TEST(a_restart_of_the_importers_daemon_goes_unnoticed),
	TEST(a_restart_of_the_exporters_daemon_goes_unnoticed),
	TEST(spans_over_a_restart_tell_the_truth),
	TEST(the_loss_of_a_node_ends_everything),
	TEST(imports_do_not_meet_another_life),
};

RIG_MAIN(tests)
