/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "agent.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SECONDS = 20, /* RSM_TEST_SECONDS where time goes by more slowly */
	EXIT_FAILED = 1,
	EXIT_SKIPPED = 77,
};

static atomic_int n_failures;

int64_t rig_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void rig_sleep(int milliseconds)
{
	int64_t end = rig_now() + milliseconds;

	/* A signal must not shorten it. */
	for (int64_t left = milliseconds; left > 0; left = end - rig_now())
		poll(NULL, 0, (int)left);
}

static void failed(const char *file, int line, const char *text)
{
	atomic_fetch_add(&n_failures, 1);
	dprintf(STDOUT_FILENO, "# %s:%d: %s\n", file, line, text);
}

void rig_expect(const char *file, int line, const char *what, int got, size_t n, const int *codes)
{
	char text[512];
	int length;

	for (size_t i = 0; i < n; i++)
		if (codes[i] == got)
			return;
	length = snprintf(text, sizeof(text), "%.300s: is %d, should be %d", what, got, codes[0]);
	for (size_t i = 1; i < n; i++)
		length +=
			snprintf(text + length, sizeof(text) - (size_t)length, " or %d", codes[i]);
	failed(file, line, text);
}

void rig_check(const char *file, int line, const char *what, bool holds)
{
	if (!holds)
		failed(file, line, what);
}

void rig_equal(const char *file, int line, const char *l, const char *r, uint64_t a, uint64_t b)
{
	char text[512];

	if (a == b)
		return;
	snprintf(text, sizeof(text), "%.200s is %#jx, %.200s is %#jx", l, (uintmax_t)a, r,
		(uintmax_t)b);
	failed(file, line, text);
}

void rig_need(const char *file, int line, const char *what, int got)
{
	char text[512];

	if (got == 0)
		return;
	snprintf(text, sizeof(text), "%.300s: is %d, cannot go on", what, got);
	failed(file, line, text);
	_exit(EXIT_FAILED);
}

void rig_skip(const char *reason)
{
	dprintf(STDOUT_FILENO, "# skipped: %s\n", reason);
	_exit(EXIT_SKIPPED);
}

void rig_skip_under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
	rig_skip("TSan has a thread and system calls of its own");
#endif
}

/* The exit status of a child, or -1 when its time is over. */
static int await(pid_t pid, int64_t end)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (rig_now() > end)
			return -1;
		rig_sleep(1);
	}
	return status;
}

static int run_one(const rig_test_t *test)
{
	const char *seconds = getenv("RSM_TEST_SECONDS");
	int limit = (seconds ? atoi(seconds) : SECONDS) * 1000, status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		test->run();
		_exit(n_failures ? EXIT_FAILED : 0);
	}
	if (pid < 0)
		return EXIT_FAILED;
	setpgid(pid, pid);
	status = await(pid, rig_now() + limit);
	/* The test is over: so are its agents and children, which are in its group. */
	kill(-pid, SIGKILL);
	if (status == -1) {
		waitpid(pid, &status, 0);
		printf("# no end within %d ms\n", limit);
		return EXIT_FAILED;
	}
	if (WIFSIGNALED(status)) {
		printf("# killed by signal %d\n", WTERMSIG(status));
		return EXIT_FAILED;
	}
	return WEXITSTATUS(status);
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc <= 1;
}

int rig_main(const rig_test_t *tests, size_t n_tests, int argc, char **argv)
{
	int n_failed = 0;

	if (argc == 3 && !strcmp(argv[1], "--agents"))
		agent_serve_afar(argv[2]);
	printf("1..%zu\n", n_tests);
	for (size_t i = 0; i < n_tests; i++) {
		int result = wanted(tests[i].name, argc, argv) ? run_one(&tests[i]) : EXIT_SKIPPED;

		printf("%s %zu - %s%s\n", result == 0 || result == EXIT_SKIPPED ? "ok" : "not ok",
			i + 1, tests[i].name, result == EXIT_SKIPPED ? " # SKIP" : "");
		n_failed += result != 0 && result != EXIT_SKIPPED;
	}
	return n_failed > 0;
}

rsm_memseg_id_t rig_id(void)
{
	static atomic_uint n_used;

	/* 256 ids for each process id; ids begin above the ranges that have a name. */
	return 0x600000 + (((uint32_t)getpid() * 256 + n_used++ % 256) & 0x3FFFFFFF);
}

size_t rig_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

char *rig_memory(size_t n_pages)
{
	void *memory = mmap(NULL, n_pages * rig_page(), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(memory != MAP_FAILED);
	return memory;
}

rsmapi_controller_handle_t rig_controller(void)
{
	rsmapi_controller_handle_t controller = NULL;
	char name[] = "loopback";

	NEED(rsm_get_controller(name, &controller));
	return controller;
}

rsm_node_id_t rig_node(void)
{
	rsm_topology_t *topology;
	rsm_node_id_t node;

	NEED(rsm_get_interconnect_topology(&topology));
	node = topology->topology_hdr.local_nodeid;
	rsm_free_interconnect_topology(topology);
	return node;
}

static rsm_connections_t *first_connections(rsm_topology_t **ret_topology)
{
	NEED(rsm_get_interconnect_topology(ret_topology));
	if (!(*ret_topology)->topology_hdr.local_cntlr_count ||
		!(*ret_topology)->connections[0]->hdr.remote_cntlr_count)
		rig_skip("needs two nodes");
	return (*ret_topology)->connections[0];
}

rsmapi_controller_handle_t rig_wire(void)
{
	rsmapi_controller_handle_t controller = NULL;
	rsm_topology_t *topology;

	NEED(rsm_get_controller(first_connections(&topology)->hdr.cntlr_name, &controller));
	rsm_free_interconnect_topology(topology);
	return controller;
}

rsm_node_id_t rig_other_node(void)
{
	rsm_topology_t *topology;
	rsm_node_id_t node = first_connections(&topology)->remote_cntlr[0].remote_nodeid;

	rsm_free_interconnect_topology(topology);
	return node;
}

rsm_memseg_export_handle_t rig_create(void *memory, size_t n_pages)
{
	rsm_memseg_export_handle_t export = NULL;

	NEED(rsm_memseg_export_create(rig_controller(), &export, memory, n_pages * rig_page(), 0));
	return export;
}

rsm_memseg_export_handle_t rig_export(void *memory, size_t n_pages, rsm_memseg_id_t *ret_id)
{
	rsm_memseg_export_handle_t export = rig_create(memory, n_pages);
	rsm_memseg_id_t id = rig_id();

	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	*ret_id = id;
	return export;
}

rsm_memseg_import_handle_t rig_import(
	rsm_memseg_id_t id, rsm_permission_t permission, rsmapi_barrier_t *barrier)
{
	rsm_memseg_import_handle_t import = NULL;

	NEED(rsm_memseg_import_connect(rig_controller(), rig_node(), id, permission, &import));
	if (barrier)
		NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, barrier));
	return import;
}

pid_t rig_fork(void (*part)(void *data), void *data)
{
	pid_t child = fork();

	if (child == 0) {
		n_failures = 0;
		part(data);
		_exit(n_failures ? EXIT_FAILED : 0);
	}
	NEED_TRUE(child > 0);
	return child;
}

void rig_join(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		dprintf(STDOUT_FILENO, "# child killed by signal %d\n", WTERMSIG(status));
	rig_check(__FILE__, __LINE__, "a child failed", status == 0);
}

void rig_in_child(void (*part)(void *data), void *data)
{
	rig_join(rig_fork(part, data));
}
