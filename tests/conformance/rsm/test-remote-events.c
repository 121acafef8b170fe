/* SPDX-License-Identifier: Apache-2.0 */
/* Signals and descriptors between two nodes: rsmapi.md §4.10, §5.5. Needs two nodes. */
#include "agent.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define FOREVER ((uint64_t)-1)

static agent_t there;
static rsm_memseg_id_t id;

static rsm_memseg_import_handle_t connect_there(void)
{
	rsm_memseg_import_handle_t import;

	NEED(rsm_memseg_import_connect(rig_wire(), rig_other_node(), id, RSM_PERM_RDWR, &import));
	return import;
}

/* The exporter there, the importer here */
static rsm_memseg_import_handle_t begin(void)
{
	there = agent_start_there();
	id = agent_export_to_all(&there, 1);
	return connect_there();
}

/* The exporter here, the importer there */
static rsm_memseg_export_handle_t begin_export(void)
{
	rsm_memseg_export_handle_t export;

	there = agent_start_there();
	export = rig_create(rig_memory(1), 1);
	id = rig_id();
	NEED(rsm_memseg_export_publish(
		export, &id, (rsmapi_access_entry_t[]){{rig_other_node(), 0666}}, 1));
	NEED(agent_do(&there, AGENT_CONNECT_TO, rig_node(), id, RSM_PERM_RDWR));
	return export;
}

static void n_posts_to_an_exporter_there_are_n_waits(void)
{
	rsm_memseg_import_handle_t import = begin();

	for (int i = 0; i < 50; i++)
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	for (int i = 0; i < 50; i++)
		EXPECT(agent_do(&there, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
}

static void n_posts_to_an_importer_there_are_n_waits(void)
{
	rsm_memseg_export_handle_t export = begin_export();

	for (int i = 0; i < 50; i++)
		EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	for (int i = 0; i < 50; i++)
		EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 50, 0, 0), RSMERR_TIMEOUT);
}

/* §4.10: dropped when one is pending at the target */
static void posts_to_an_exporter_there_may_collapse(void)
{
	rsm_memseg_import_handle_t import = begin();

	for (int i = 0; i < 5; i++)
		EXPECT(rsm_intr_signal_post(import, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_EXPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_EXPORT_WAIT, 50, 0, 0), RSMERR_TIMEOUT);
}

static void posts_to_an_importer_there_may_collapse(void)
{
	rsm_memseg_export_handle_t export = begin_export();

	for (int i = 0; i < 5; i++) {
		EXPECT(rsm_intr_signal_post(export, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
		rig_sleep(5); /* so that they do not meet on this node already */
	}
	EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 50, 0, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
}

/* Sleepers are woken, either way. */
static void sleepers_on_both_sides_are_woken(void)
{
	rsm_memseg_import_handle_t import = begin();

	for (int i = 0; i < 20; i++) {
		agent_begin(&there, AGENT_EXPORT_WAIT, FOREVER);
		rig_sleep(i % 4);
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
		EXPECT(agent_finish(&there), RSM_SUCCESS);
		EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(import, 5000), RSM_SUCCESS);
	}
	EXPECT(rsm_intr_signal_wait(import, 20), RSMERR_TIMEOUT);
}

/* §5.5: each import has its count, here and there */
static void every_importer_gets_a_signal_of_its_own(void)
{
	rsm_memseg_import_handle_t imports[4];
	agent_t local;

	there = agent_start_there();
	local = agent_start();
	id = agent_export_to_all(&there, 1);
	for (int i = 0; i < 4; i++)
		imports[i] = connect_there();
	NEED(agent_do(&local, AGENT_CONNECT_TO, rig_other_node(), id, RSM_PERM_READ));
	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	for (int i = 4; i-- > 0;) {
		EXPECT(rsm_intr_signal_wait(imports[i], 5000), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(imports[i], 0), RSMERR_TIMEOUT);
	}
	EXPECT(agent_do(&local, AGENT_IMPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&local, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
}

/* A new import starts at 0. */
static void signals_do_not_outlive_an_import(void)
{
	rsm_memseg_import_handle_t import = begin();

	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 5000), RSM_SUCCESS);
	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	rig_sleep(20);
	NEED(rsm_memseg_import_disconnect(import));
	import = connect_there();
	EXPECT(rsm_intr_signal_wait(import, 20), RSMERR_TIMEOUT);
	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 5000), RSM_SUCCESS);
}

/* A signal comes after the data that was put before it. */
static void a_signal_comes_behind_the_data(void)
{
	rsm_memseg_import_handle_t import = begin();
	rsmapi_barrier_t barrier;

	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	for (uint64_t i = 1; i <= 100; i++) {
		agent_begin(&there, AGENT_EXPORT_WAIT, FOREVER);
		EXPECT(rsm_memseg_import_put64(import, 8, &i, 1), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
		EXPECT(agent_finish(&there), RSM_SUCCESS);
		CHECK_EQUAL(agent_ask(&there, AGENT_LOAD, 8), i);
	}
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
}

/* §4.10, wait_pollfd over a segment of another node, one of this one and a pipe */
static void descriptors_mix_with_others(void)
{
	rsm_memseg_import_handle_t import = begin();
	rsm_memseg_export_handle_t local = rig_create(rig_memory(1), 1);
	struct pollfd fds[3] = {{.fd = -1}};
	int ends[2], n;

	NEED(pipe(ends));
	NEED(rsm_memseg_get_pollfd(import, &fds[0]));
	NEED(rsm_memseg_get_pollfd(local, &fds[1]));
	fds[2] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 3, 10, &n), RSMERR_TIMEOUT);
	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 3, 5000, &n), RSM_SUCCESS);
	CHECK_EQUAL(n, 1);
	CHECK_EQUAL(fds[0].revents, POLLRDNORM);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 3, 10, &n), RSMERR_TIMEOUT);
	EXPECT(agent_do(&there, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	CHECK_EQUAL(poll(fds, 1, 5000), 1);
	EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
	NEED_TRUE(write(ends[1], "", 1) == 1);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 3, 5000, &n), RSM_SUCCESS);
	CHECK_EQUAL(fds[2].revents, POLLIN);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_POLLFD_IN_USE);
	NEED(rsm_memseg_release_pollfd(import));
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* An exporter's descriptor shows what another node's importers post. */
static void an_exporters_descriptor_hears_other_nodes(void)
{
	rsm_memseg_export_handle_t export = begin_export();
	struct pollfd fd = {.fd = -1};
	int n;

	NEED(rsm_memseg_get_pollfd(export, &fd));
	for (int i = 0; i < 10; i++) {
		EXPECT(agent_do(&there, AGENT_IMPORT_POST, 0, 0, 0), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait_pollfd(&fd, 1, 5000, &n), RSM_SUCCESS);
		CHECK_EQUAL(n, 1);
	}
	EXPECT(rsm_intr_signal_wait_pollfd(&fd, 1, 10, &n), RSMERR_TIMEOUT);
}

enum { N_POSTS = 500, N_POSTERS = 3 };

static void *post_many(void *segment)
{
	for (int i = 0; i < N_POSTS; i++)
		EXPECT(rsm_intr_signal_post(segment, 0), RSM_SUCCESS);
	return NULL;
}

/* §5.5: none lost, none invented, with posters and waiter at the same time */
static void no_signal_is_lost_on_the_way(void)
{
	rsm_memseg_export_handle_t export = begin_export();
	pthread_t posters[N_POSTERS];

	for (int i = 0; i < N_POSTERS; i++)
		NEED(pthread_create(&posters[i], NULL, post_many, export));
	for (int i = 0; i < N_POSTS * N_POSTERS; i++)
		EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 5000, 0, 0), RSM_SUCCESS);
	for (int i = 0; i < N_POSTERS; i++)
		NEED(pthread_join(posters[i], NULL));
	EXPECT(agent_do(&there, AGENT_IMPORT_WAIT, 50, 0, 0), RSMERR_TIMEOUT);
	for (int i = 0; i < 100; i++)
		EXPECT(agent_do(&there, AGENT_IMPORT_POST, 0, 0, 0), RSM_SUCCESS);
	for (int i = 0; i < 100; i++)
		EXPECT(rsm_intr_signal_wait(export, 5000), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

static const rig_test_t tests[] = {
	TEST(n_posts_to_an_exporter_there_are_n_waits),
	TEST(n_posts_to_an_importer_there_are_n_waits),
	TEST(posts_to_an_exporter_there_may_collapse),
	TEST(posts_to_an_importer_there_may_collapse),
	TEST(sleepers_on_both_sides_are_woken),
	TEST(every_importer_gets_a_signal_of_its_own),
	TEST(signals_do_not_outlive_an_import),
	TEST(a_signal_comes_behind_the_data),
	TEST(descriptors_mix_with_others),
	TEST(an_exporters_descriptor_hears_other_nodes),
	TEST(no_signal_is_lost_on_the_way),
};

RIG_MAIN(tests)
