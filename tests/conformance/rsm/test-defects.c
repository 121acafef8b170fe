/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reference does wrong and we do not: the points of rsmapi.md §9 that have no place in
 * another program. README.md has the whole list.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* §9.4: what is stored through broken maps of one segment is not seen in those of another */
static void broken_maps_of_different_segments_share_nothing(void)
{
	agent_t exporters[2] = {agent_start(), agent_start()};
	agent_t importers[2] = {agent_start(), agent_start()};

	for (int i = 0; i < 2; i++) {
		agent_import(&importers[i], agent_export(&exporters[i], 2));
		NEED(agent_do(&importers[i], AGENT_MAP, 0, 2 * rig_page(), RSM_PERM_RDWR));
	}
	for (int i = 0; i < 2; i++) {
		agent_kill(&exporters[i], SIGKILL);
		EVENTUALLY(agent_do(&importers[i], AGENT_PUT, 0, 0, 0) == RSMERR_CONN_ABORTED);
	}
	for (uint64_t offset = 0; offset < 2 * rig_page(); offset += 512)
		NEED(agent_do(&importers[0], AGENT_MAP_STORE, offset, 0x5ec2e7, 0));
	for (uint64_t offset = 0; offset < 2 * rig_page(); offset += 512)
		CHECK_EQUAL(agent_ask(&importers[1], AGENT_MAP_LOAD, offset), 0);
}

/* §9.7: each way in which map fails, and the handle goes on */
static void a_failed_map_leaves_the_handle_usable(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_import_handle_t import;
	size_t page = rig_page();
	void *odd = (void *)8, *address = NULL;

	rig_export(rig_memory(2), 2, &id);
	import = rig_import(id, RSM_PERM_READ, NULL);
	for (int i = 0; i < 3; i++) {
		EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 8, 8),
			RSMERR_BAD_MEM_ALIGNMENT);
		EXPECT(rsm_memseg_import_map(import, &odd, RSM_MAP_FIXED, RSM_PERM_READ, 0, page),
			RSMERR_BAD_MEM_ALIGNMENT);
		EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, 0),
			RSMERR_BAD_LENGTH);
		EXPECT(rsm_memseg_import_map(
			       import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, page),
			RSMERR_BAD_PERMS);
		EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	}
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, page),
		RSM_SUCCESS);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

static int lowest_free_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

/* §9.9: refused connects leave nothing behind: no descriptor, no memory, no handle */
static void refused_connects_leak_nothing(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_node_id_t node = rig_node();
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t id;
	int before;

	rig_export(rig_memory(1), 1, &id);
	NEED(rsm_memseg_import_disconnect(rig_import(id, RSM_PERM_READ, NULL)));
	before = lowest_free_descriptor();
	for (int i = 0; i < 1000; i++) {
		import = (rsm_memseg_import_handle_t)(void *)&id;
		EXPECT(rsm_memseg_import_connect(controller, node, id, 0777, &import),
			RSMERR_PERM_DENIED);
		CHECK(import == NULL);
		import = (rsm_memseg_import_handle_t)(void *)&id;
		EXPECT(rsm_memseg_import_connect(controller, node, id + 1, RSM_PERM_READ, &import),
			RSMERR_SEG_NOT_PUBLISHED);
		CHECK(import == NULL);
	}
	CHECK_EQUAL(lowest_free_descriptor(), before);
}

/* §9.11: what was released twice, or is used after its release, is a bad handle */
static void released_handles_are_bad_for_ever(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	char *memory = rig_memory(1);
	rsm_memseg_id_t id;

	export = rig_export(memory, 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, NULL);
	NEED(rsm_memseg_import_disconnect(import));
	NEED(rsm_memseg_export_destroy(export));
	/* Others come and go in the meantime. */
	for (int i = 0; i < 100; i++) {
		rsm_memseg_id_t other_id;
		rsm_memseg_export_handle_t other = rig_export(memory, 1, &other_id);
		rsm_memseg_import_handle_t another = rig_import(other_id, RSM_PERM_RDWR, NULL);
		uint64_t value = 0;
		void *address = NULL;

		EXPECT(rsm_memseg_import_disconnect(import), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_memseg_import_map(
			       import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, rig_page()),
			RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_memseg_import_unmap(import), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_memseg_export_destroy(export), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_memseg_export_unpublish(export), RSMERR_BAD_SEG_HNDL);
		EXPECT(rsm_intr_signal_post(export, 0), RSMERR_BAD_SEG_HNDL);
		NEED(rsm_memseg_import_disconnect(another));
		NEED(rsm_memseg_export_destroy(other));
	}
	EXPECT(rsm_release_controller(controller), RSM_SUCCESS);
}

/* §9.12, §3 row 31: no descriptor left is 31, not EMFILE, and it passes */
static void lack_of_descriptors_is_a_documented_code(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_node_id_t node = rig_node();
	char *memory = rig_memory(2);
	rsm_memseg_export_handle_t export = NULL;
	rsm_memseg_import_handle_t import = NULL;
	struct rlimit before, none;
	rsm_memseg_id_t id;
	int code;

	rig_export(memory, 1, &id);
	NEED(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 0;
	NEED(setrlimit(RLIMIT_NOFILE, &none));
	errno = EXDEV;
	EXPECT_ONE(
		rsm_memseg_export_create(controller, &export, memory + rig_page(), rig_page(), 0),
		RSMERR_INSUFFICIENT_RESOURCES, RSMERR_INSUFFICIENT_MEM, RSM_SUCCESS);
	code = rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &import);
	EXPECT_ONE(code, RSMERR_INSUFFICIENT_RESOURCES, RSMERR_INSUFFICIENT_MEM, RSM_SUCCESS);
	NEED(setrlimit(RLIMIT_NOFILE, &before));
	if (code == RSM_SUCCESS)
		NEED(rsm_memseg_import_disconnect(import));
	if (export)
		NEED(rsm_memseg_export_destroy(export));
	memory[rig_page()] = 1;
	EXPECT(rsm_memseg_export_create(controller, &export, memory + rig_page(), rig_page(), 0),
		RSM_SUCCESS);
	EXPECT(rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &import),
		RSM_SUCCESS);
}

/* §9.16: the library keeps no pointer to the caller's structure */
static void a_barrier_structure_may_go_away(void)
{
	rsmapi_barrier_t *barrier =
		mmap(NULL, rig_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rsm_memseg_import_handle_t import;
	rsm_memseg_id_t id;
	uint64_t value = 3;

	NEED_TRUE(barrier != MAP_FAILED);
	rig_export(rig_memory(1), 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, barrier);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	memset(barrier, 0xFF, sizeof(*barrier));
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	NEED(munmap(barrier, rig_page()));
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

static void stop(const agent_t *agent)
{
	NEED(kill(agent->pid, SIGSTOP));
	NEED_TRUE(waitpid(agent->pid, NULL, WUNTRACED) == agent->pid);
}

/* §9.19: importers that do not run hold up neither unpublish nor destroy nor signals */
static void stopped_importers_hold_up_nobody(void)
{
	agent_t importers[2] = {agent_start(), agent_start()};
	char *memory = rig_memory(2);
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;
	int64_t start;

	export = rig_export(memory, 2, &id);
	for (int i = 0; i < 2; i++)
		agent_import(&importers[i], id);
	NEED(agent_do(&importers[0], AGENT_MAP, 0, rig_page(), RSM_PERM_RDWR));
	NEED(agent_do(&importers[1], AGENT_PUT, 0, 1, 0));
	agent_begin(&importers[1], AGENT_IMPORT_WAIT, (uint64_t)-1);
	rig_sleep(20);
	for (int i = 0; i < 2; i++)
		stop(&importers[i]);
	start = rig_now();
	EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_republish(export, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	id = rig_id();
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	CHECK(rig_now() - start < 5000);
	for (int i = 0; i < 2; i++)
		NEED(kill(importers[i].pid, SIGCONT));
	EXPECT_ONE(agent_finish(&importers[1]), RSM_SUCCESS, RSMERR_CONN_ABORTED);
	for (int i = 0; i < 2; i++)
		EXPECT(agent_do(&importers[i], AGENT_PUT, 8, 66, 0), RSMERR_CONN_ABORTED);
	CHECK_EQUAL(((uint64_t *)(void *)memory)[1], 0);
}

/* §9.20: nor does an exporter that does not run hold up connect, access or disconnect */
static void a_stopped_exporter_holds_up_nobody(void)
{
	agent_t exporter = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 1);
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	int64_t start = rig_now();
	uint64_t value = 17;

	stop(&exporter);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	CHECK(rig_now() - start < 5000);
	NEED(kill(exporter.pid, SIGCONT));
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 17);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSM_SUCCESS);
}

/* §9.21: one post, one event for each import, through whatever controllers it was connected */
static void controllers_do_not_multiply_signals(void)
{
	char names[3][16] = {"loopback", "sci0", "LOOPBACK3"};
	rsm_memseg_import_handle_t imports[3];
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;

	export = rig_export(rig_memory(1), 1, &id);
	for (int i = 0; i < 3; i++) {
		rsmapi_controller_handle_t controller;

		NEED(rsm_get_controller(names[i], &controller));
		NEED(rsm_memseg_import_connect(
			controller, rig_node(), id, RSM_PERM_RDWR, &imports[i]));
	}
	NEED(rsm_intr_signal_post(export, 0));
	for (int i = 0; i < 3; i++) {
		EXPECT(rsm_intr_signal_wait(imports[i], 0), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(imports[i], 0), RSMERR_TIMEOUT);
	}
}

/* §9.23: no counter of 16 bits comes round to the value that a stale import has */
static void a_broken_import_stays_broken_after_65536_reconnects(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_node_id_t node = rig_node();
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t stale, import;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id;
	int64_t start = rig_now();
	uint64_t value = 0;

	export = rig_export(rig_memory(1), 1, &id);
	stale = rig_import(id, RSM_PERM_RDWR, &barrier);
	NEED(rsm_memseg_import_put64(stale, 0, &value, 1));
	NEED(rsm_memseg_export_unpublish(export));
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	for (int i = 0; i < 65600; i++) {
		NEED(rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &import));
		NEED(rsm_memseg_import_disconnect(import));
		if (i % 64 == 0)
			EXPECT(rsm_memseg_import_put64(stale, 0, &value, 1), RSMERR_CONN_ABORTED);
		if (rig_now() - start > 15000)
			rig_skip("too slow here for 65536 connections");
	}
	for (int i = 0; i < 200; i++) {
		NEED(rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &import));
		EXPECT(rsm_memseg_import_put64(stale, 0, &value, 1), RSMERR_CONN_ABORTED);
		NEED(rsm_memseg_import_disconnect(import));
		EXPECT(rsm_memseg_import_put64(stale, 0, &value, 1), RSMERR_CONN_ABORTED);
	}
}

static void accesses_without_the_kernel(void *data)
{
	rsm_memseg_import_handle_t import = data;
	rsm_memseg_export_handle_t export;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id;
	uint64_t value = 1;
	int code = 0;

	export = rig_export(rig_memory(1), 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	/* Whatever is done once is done now. */
	NEED(rsm_memseg_import_put64(import, 0, &value, 1));
	NEED(rsm_intr_signal_post(import, 0));
	NEED(rsm_intr_signal_wait(export, 0));
	NEED(rsm_intr_signal_post(export, 0));
	NEED(rsm_intr_signal_wait(import, 0));
	/* From here on every system call but read, write, exit and sigreturn kills. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
		rig_skip("no seccomp here");
	for (int i = 0; i < 1000; i++) {
		code |= rsm_memseg_import_put64(import, 8, &value, 1);
		code |= rsm_memseg_import_get64(import, 8, &value, 1);
		code |= rsm_memseg_import_open_barrier(&barrier);
		code |= rsm_memseg_import_order_barrier(&barrier);
		code |= rsm_memseg_import_close_barrier(&barrier);
		code |= rsm_intr_signal_post(import, 0);
		code |= rsm_intr_signal_wait(export, 0);
		code |= rsm_intr_signal_post(export, 0);
		code |= rsm_intr_signal_wait(import, 0);
	}
	syscall(SYS_exit, code != 0);
}

/* §9.28: accesses, barriers, and signals that nobody sleeps for, are no business of the kernel */
static void accesses_barriers_and_signals_need_no_system_call(void)
{
	rig_skip_under_tsan();
	rig_in_child(accesses_without_the_kernel, NULL);
}

/* §9.27, §11: a thousand imports in one process, more than it may have descriptors */
static void a_thousand_imports_in_one_process(void)
{
	enum { N = 1000 };
	static rsm_memseg_import_handle_t imports[N];
	static rsmapi_barrier_t barriers[N];
	rsm_memseg_export_handle_t export;
	struct rlimit limit;
	rsm_memseg_id_t id;
	char *memory = rig_memory(1);
	uint64_t *words = (uint64_t *)(void *)memory;

	NEED(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_cur < 256 ? limit.rlim_cur : 256;
	NEED(setrlimit(RLIMIT_NOFILE, &limit));
	export = rig_export(memory, 1, &id);
	for (int i = 0; i < N; i++)
		imports[i] = rig_import(id, RSM_PERM_RDWR, &barriers[i]);
	for (uint64_t i = 0; i < N; i++) {
		void *address = NULL;
		uint64_t value = i;

		EXPECT(rsm_memseg_import_put64(imports[i], (off_t)(i % 512) * 8, &value, 1),
			RSM_SUCCESS);
		CHECK_EQUAL(words[i % 512], i);
		if (i % 2)
			continue;
		EXPECT(rsm_memseg_import_unmap(imports[i]), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_map(
			       imports[i], &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()),
			RSM_SUCCESS);
		CHECK_EQUAL(((uint64_t *)address)[i % 512], i);
	}
	NEED(rsm_intr_signal_post(export, 0));
	for (int i = 0; i < N; i++) {
		EXPECT(rsm_intr_signal_wait(imports[i], 0), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(imports[i], 0), RSMERR_TIMEOUT);
	}
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	for (int i = 0; i < N; i++) {
		EXPECT(rsm_memseg_import_put64(imports[i], 0, words, 1), RSMERR_CONN_ABORTED);
		if (i % 2 == 0)
			EXPECT(rsm_memseg_import_unmap(imports[i]), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_disconnect(imports[i]), RSM_SUCCESS);
	}
}

static const rig_test_t tests[] = {
	TEST(broken_maps_of_different_segments_share_nothing),
	TEST(a_failed_map_leaves_the_handle_usable),
	TEST(refused_connects_leak_nothing),
	TEST(released_handles_are_bad_for_ever),
	TEST(lack_of_descriptors_is_a_documented_code),
	TEST(a_barrier_structure_may_go_away),
	TEST(stopped_importers_hold_up_nobody),
	TEST(a_stopped_exporter_holds_up_nobody),
	TEST(controllers_do_not_multiply_signals),
	TEST(a_broken_import_stays_broken_after_65536_reconnects),
	TEST(accesses_barriers_and_signals_need_no_system_call),
	TEST(a_thousand_imports_in_one_process),
};

RIG_MAIN(tests)
