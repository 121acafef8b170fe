/* SPDX-License-Identifier: Apache-2.0 */
/* Every function is MT-safe: rsmapi.md §0, §6.7; races of the reference (§9.17) are beaten. */
#include "agent.h"

#include <pthread.h>
#include <stdatomic.h>

enum { N_THREADS = 8, DURATION = 700 };

static rsm_memseg_id_t id;
static rsm_memseg_export_handle_t export;
static rsmapi_controller_handle_t controller;
static rsm_node_id_t node;
static _Atomic(rsm_memseg_import_handle_t) shared;
static rsmapi_barrier_t barrier;
static char *memory;
static int64_t deadline;

static void begin(size_t n_pages)
{
	memory = rig_memory(n_pages);
	export = rig_export(memory, n_pages, &id);
	controller = rig_controller();
	node = rig_node();
	deadline = rig_now() + DURATION;
}

static bool running(void)
{
	return rig_now() < deadline;
}

static void run_threads(void *(*body)(void *number), size_t n, pthread_t *threads)
{
	for (size_t i = 0; i < n; i++)
		NEED(pthread_create(&threads[i], NULL, body, (void *)i));
}

static void join_threads(size_t n, const pthread_t *threads)
{
	for (size_t i = 0; i < n; i++)
		NEED(pthread_join(threads[i], NULL));
}

/* Each thread has its own place: whatever it put it must get. */
static void *put_and_get(void *number)
{
	off_t place = (off_t)(uintptr_t)number * 512;
	uint64_t value = 0, got;

	while (running()) {
		rsm_memseg_import_handle_t import = shared;

		value++;
		EXPECT(rsm_memseg_import_put64(import, place, &value, 1), RSM_SUCCESS);
		got = 0;
		EXPECT(rsm_memseg_import_get64(import, place, &got, 1), RSM_SUCCESS);
		if (got != value) {
			CHECK_EQUAL(got, value);
			break;
		}
	}
	return NULL;
}

static void threads_share_an_import(void)
{
	pthread_t threads[N_THREADS];

	begin(1);
	shared = rig_import(id, RSM_PERM_RDWR, &barrier);
	run_threads(put_and_get, N_THREADS, threads);
	join_threads(N_THREADS, threads);
	EXPECT(rsm_memseg_import_disconnect(shared), RSM_SUCCESS);
}

static void *map_and_unmap(void *number)
{
	(void)number;
	while (running()) {
		void *address = NULL;
		int code = rsm_memseg_import_map(
			shared, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page());

		/* 9 when another thread mapped, by this call or by an access; 11 when it unmapped.
		 */
		EXPECT_ONE(code, RSM_SUCCESS, RSMERR_SEG_ALREADY_MAPPED);
		EXPECT_ONE(rsm_memseg_import_unmap(shared), RSM_SUCCESS, RSMERR_SEG_NOT_MAPPED);
	}
	return NULL;
}

/* §9.17: accesses go on while others map and unmap; none fails, none reads wrong */
static void accesses_survive_map_and_unmap(void)
{
	pthread_t threads[N_THREADS], mappers[2];

	begin(1);
	shared = rig_import(id, RSM_PERM_RDWR, &barrier);
	run_threads(put_and_get, N_THREADS, threads);
	run_threads(map_and_unmap, 2, mappers);
	join_threads(N_THREADS, threads);
	join_threads(2, mappers);
	rsm_memseg_import_unmap(shared);
	EXPECT(rsm_memseg_import_disconnect(shared), RSM_SUCCESS);
}

static void *access_what_may_be_gone(void *number)
{
	off_t place = (off_t)(uintptr_t)number * 512;
	uint64_t value = 0;

	while (running()) {
		/* 5 for a handle that was freed, 35 between connect and init_barrier. */
		EXPECT_ONE(rsm_memseg_import_put64(shared, place, &value, 1), RSM_SUCCESS,
			RSMERR_BAD_SEG_HNDL, RSMERR_BARRIER_UNINITIALIZED);
		EXPECT_ONE(rsm_memseg_import_get64(shared, place, &value, 1), RSM_SUCCESS,
			RSMERR_BAD_SEG_HNDL, RSMERR_BARRIER_UNINITIALIZED);
		/* 40 too when the connection ends within the call: nothing is written about that.
		 */
		EXPECT_ONE(rsm_intr_signal_post(shared, 0), RSM_SUCCESS, RSMERR_BAD_SEG_HNDL,
			RSMERR_CONN_ABORTED);
		EXPECT_ONE(rsm_intr_signal_wait(shared, 0), RSMERR_TIMEOUT, RSMERR_BAD_SEG_HNDL,
			RSMERR_CONN_ABORTED);
	}
	return NULL;
}

/* Disconnect while others use the handle: they get a bad handle, nobody crashes */
static void accesses_survive_disconnect(void)
{
	static rsmapi_barrier_t barriers[2];
	pthread_t threads[N_THREADS];

	begin(1);
	shared = rig_import(id, RSM_PERM_RDWR, &barriers[0]);
	run_threads(access_what_may_be_gone, N_THREADS, threads);
	for (int i = 1; running(); i++) {
		rsm_memseg_import_handle_t old = shared;

		shared = rig_import(id, RSM_PERM_RDWR, &barriers[i % 2]);
		EXPECT(rsm_memseg_import_disconnect(old), RSM_SUCCESS);
	}
	join_threads(N_THREADS, threads);
}

static void *connect_and_disconnect(void *number)
{
	off_t place = (off_t)(uintptr_t)number * 512;
	uint64_t value = (uintptr_t)number, got = 0;

	while (running()) {
		rsm_memseg_import_handle_t import = NULL;
		rsmapi_barrier_t mine;

		NEED(rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &import));
		NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &mine));
		EXPECT(rsm_memseg_import_put64(import, place, &value, 1), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_get64(import, place, &got, 1), RSM_SUCCESS);
		CHECK_EQUAL(got, value);
		EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	}
	return NULL;
}

static void threads_connect_and_disconnect(void)
{
	pthread_t threads[N_THREADS];

	begin(1);
	run_threads(connect_and_disconnect, N_THREADS, threads);
	join_threads(N_THREADS, threads);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

static void *export_and_destroy(void *number)
{
	char *mine = rig_memory(1);
	uint64_t value = (uintptr_t)number;

	while (running()) {
		rsm_memseg_export_handle_t own = NULL;
		rsm_memseg_id_t chosen = 0;

		*(volatile uint64_t *)(void *)mine = ++value;
		NEED(rsm_memseg_export_create(controller, &own, mine, rig_page(), 0));
		EXPECT(rsm_memseg_export_publish(own, &chosen, NULL, 0), RSM_SUCCESS);
		EXPECT(rsm_memseg_export_unpublish(own), RSM_SUCCESS);
		EXPECT(rsm_memseg_export_destroy(own), RSM_SUCCESS);
		CHECK_EQUAL(*(volatile uint64_t *)(void *)mine, value);
	}
	return NULL;
}

static void threads_export_and_destroy(void)
{
	pthread_t threads[N_THREADS];

	begin(1);
	run_threads(export_and_destroy, N_THREADS, threads);
	join_threads(N_THREADS, threads);
}

static void *access_what_may_break(void *number)
{
	off_t place = (off_t)(uintptr_t)number * 512;
	uint64_t value = 0;

	while (running()) {
		EXPECT_ONE(rsm_memseg_import_put64(shared, place, &value, 1), RSM_SUCCESS,
			RSMERR_CONN_ABORTED, RSMERR_BAD_SEG_HNDL, RSMERR_BARRIER_UNINITIALIZED);
		EXPECT_ONE(rsm_memseg_import_get64(shared, place, &value, 1), RSM_SUCCESS,
			RSMERR_CONN_ABORTED, RSMERR_BAD_SEG_HNDL, RSMERR_BARRIER_UNINITIALIZED);
	}
	return NULL;
}

/* The exporter in another process comes and goes under eight threads */
static void accesses_survive_an_unsteady_exporter(void)
{
	static rsmapi_barrier_t barriers[2];
	agent_t exporter = agent_start();
	pthread_t threads[N_THREADS];

	id = agent_export(&exporter, 1);
	deadline = rig_now() + DURATION;
	shared = rig_import(id, RSM_PERM_RDWR, &barriers[0]);
	run_threads(access_what_may_break, N_THREADS, threads);
	for (int i = 1; running(); i++) {
		rsm_memseg_import_handle_t old = shared;

		EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
		EXPECT(agent_do(&exporter, AGENT_PUBLISH, id, AGENT_NO_LIST, 0), RSM_SUCCESS);
		shared = rig_import(id, RSM_PERM_RDWR, &barriers[i % 2]);
		EXPECT(rsm_memseg_import_disconnect(old), RSM_SUCCESS);
	}
	join_threads(N_THREADS, threads);
}

static void child_puts(void *data)
{
	uint64_t value = 1;

	(void)data;
	EXPECT(rsm_memseg_import_put64(shared, 7 * 512, &value, 1), RSM_SUCCESS);
}

/* §6.6: a fork in a threaded program leaves no lock of the library behind */
static void a_child_of_a_threaded_program_may_call_the_library(void)
{
	pthread_t threads[2];

	begin(1);
	shared = rig_import(id, RSM_PERM_RDWR, &barrier);
	run_threads(connect_and_disconnect, 2, threads);
	while (running())
		rig_in_child(child_puts, NULL);
	join_threads(2, threads);
}

static void *wait_for_signal(void *export)
{
	EXPECT_ONE(rsm_intr_signal_wait(export, 10000), RSMERR_BAD_SEG_HNDL, RSM_SUCCESS);
	return NULL;
}

/* what was exported is the program's own when destroy returns, whoever is just being woken */
static void memory_may_be_exported_anew_at_once(void)
{
	void *memory = rig_memory(2);

	for (int i = 0; i < 50; i++) {
		rsm_memseg_export_handle_t export = rig_create(memory, 1), larger;
		pthread_t thread;

		NEED(pthread_create(&thread, NULL, wait_for_signal, export));
		rig_sleep(2);
		EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
		larger = rig_create(memory, 2);
		EXPECT(rsm_memseg_export_destroy(larger), RSM_SUCCESS);
		NEED(pthread_join(thread, NULL));
	}
}

static const rig_test_t tests[] = {
	TEST(threads_share_an_import),
	TEST(accesses_survive_map_and_unmap),
	TEST(accesses_survive_disconnect),
	TEST(threads_connect_and_disconnect),
	TEST(threads_export_and_destroy),
	TEST(memory_may_be_exported_anew_at_once),
	TEST(accesses_survive_an_unsteady_exporter),
	TEST(a_child_of_a_threaded_program_may_call_the_library),
};

RIG_MAIN(tests)
