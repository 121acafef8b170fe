/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forced disconnects: rsmapi.md §5.2, §5.3, §11.5, Decision 6. The same table of what an importer
 * sees is checked for each way in which a segment can go away.
 */
#include "agent.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static void crash(agent_t *exporter)
{
	agent_kill(exporter, SIGSEGV);
}

static void become_another_program(agent_t *exporter)
{
	EXPECT(agent_do(exporter, AGENT_EXEC, 0, 0, 0), AGENT_GONE);
}

typedef struct {
	agent_t exporter, importer;
	rsm_memseg_id_t id;
} pair_t;

static pair_t connected_pair(void)
{
	pair_t pair = {.exporter = agent_start(), .importer = agent_start()};

	pair.id = agent_export(&pair.exporter, 2);
	agent_import(&pair.importer, pair.id);
	return pair;
}

static int importer(const pair_t *pair, agent_verb_t verb, uint64_t a, uint64_t b, uint64_t c)
{
	return agent_do(&pair->importer, verb, a, b, c);
}

/* Unpublish and destroy break before they return (§5.2); death is noticed in a moment. */
static void await_break(const pair_t *pair)
{
	EVENTUALLY(importer(pair, AGENT_PUT, 0, 1, 0) == RSMERR_CONN_ABORTED);
}

/* §5.3, implicit mode: 40, for ever, even when the id comes back */
static void access_is_broken(const pair_t *pair)
{
	for (int i = 0; i < 3; i++) {
		EXPECT(importer(pair, AGENT_PUT, 0, 1, 0), RSMERR_CONN_ABORTED);
		EXPECT(importer(pair, AGENT_GET, 8, 0, 0), RSMERR_CONN_ABORTED);
	}
}

/* §5.3, explicit mode: single accesses say nothing, close does, and open starts no new life */
static void spans_are_broken(const pair_t *pair)
{
	EXPECT(importer(pair, AGENT_SET_MODE, RSM_BARRIER_MODE_EXPLICIT, 0, 0), RSM_SUCCESS);
	for (int i = 0; i < 3; i++) {
		int opened = importer(pair, AGENT_OPEN_BARRIER, 0, 0, 0);

		/* 36 is what the reference's generic path says. */
		EXPECT_ONE(opened, RSM_SUCCESS, RSMERR_BARRIER_OPEN_FAILED);
		EXPECT(importer(pair, AGENT_PUT, 0, 1, 0), RSM_SUCCESS);
		/* Documented 38 and 40; the reference says 0 on loopback. */
		EXPECT_ONE(importer(pair, AGENT_ORDER_BARRIER, 0, 0, 0), RSMERR_CONN_ABORTED,
			RSMERR_BARRIER_FAILURE, RSM_SUCCESS);
		EXPECT(importer(pair, AGENT_CLOSE_BARRIER, 0, 0, 0), RSMERR_CONN_ABORTED);
	}
	EXPECT(importer(pair, AGENT_SET_MODE, RSM_BARRIER_MODE_IMPLICIT, 0, 0), RSM_SUCCESS);
}

/* §5.3 with §9.3 beaten: a wait on what is gone ends at once with 40 */
static void signals_are_broken(const pair_t *pair)
{
	/* 39 when the node is held for dead, 0 when the message is dropped */
	EXPECT_ONE(importer(pair, AGENT_IMPORT_POST, 0, 0, 0), RSMERR_CONN_ABORTED,
		RSMERR_REMOTE_NODE_UNREACHABLE, RSM_SUCCESS);
	EXPECT(importer(pair, AGENT_IMPORT_WAIT, (uint64_t)-1, 0, 0), RSMERR_CONN_ABORTED);
	EXPECT(importer(pair, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_CONN_ABORTED);
}

static void check_unmapped_import(ending_t end)
{
	pair_t pair = connected_pair();

	end(&pair.exporter);
	await_break(&pair);
	access_is_broken(&pair);
	spans_are_broken(&pair);
	signals_are_broken(&pair);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_CONNECT, pair.id, RSM_PERM_RDWR, 0), RSMERR_SEG_NOT_PUBLISHED);
}

/* A broken import that was never used cannot be mapped either */
static void check_map_of_broken_import(ending_t end)
{
	pair_t pair = connected_pair();

	end(&pair.exporter);
	EVENTUALLY(importer(&pair, AGENT_MAP, 0, 4096, RSM_PERM_RDWR) == RSMERR_CONN_ABORTED ||
		   importer(&pair, AGENT_UNMAP, 0, 0, 0) != RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_MAP, 0, 4096, RSM_PERM_RDWR), RSMERR_CONN_ABORTED);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
}

/* §5.3: loads and stores through the mapping neither fault nor signal; unmap and disconnect go on
 */
static void check_mapped_import(ending_t end)
{
	pair_t pair = connected_pair();

	EXPECT(agent_do(&pair.exporter, AGENT_STORE, 4096, 77, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_MAP, 0, 2 * rig_page(), RSM_PERM_RDWR), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&pair.importer, AGENT_MAP_LOAD, 4096), 77);
	end(&pair.exporter);
	await_break(&pair);
	for (uint64_t i = 0; i < 2; i++) {
		EXPECT(importer(&pair, AGENT_MAP_LOAD, 4096 * i, 0, 0), RSM_SUCCESS);
		EXPECT(importer(&pair, AGENT_MAP_STORE, 4096 * i, 5, 0), RSM_SUCCESS);
	}
	access_is_broken(&pair);
	spans_are_broken(&pair);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSMERR_SEG_STILL_MAPPED);
	EXPECT(importer(&pair, AGENT_UNMAP, 0, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_MAP, 0, 4096, RSM_PERM_RDWR), RSMERR_CONN_ABORTED);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
}

static void check_all(ending_t end)
{
	check_unmapped_import(end);
	check_map_of_broken_import(end);
	check_mapped_import(end);
}

static void unpublish_breaks_imports(void)
{
	check_all(unpublish);
}

static void destroy_breaks_imports(void)
{
	check_all(destroy);
}

static void exit_of_the_exporter_breaks_imports(void)
{
	check_all(leave);
}

static void kill_of_the_exporter_breaks_imports(void)
{
	check_all(die);
}

static void crash_of_the_exporter_breaks_imports(void)
{
	check_all(crash);
}

static void exec_of_the_exporter_breaks_imports(void)
{
	check_all(become_another_program);
}

/* §5.2: local importers are broken before unpublish and destroy return: no waiting here */
static void unpublish_breaks_before_it_returns(void)
{
	static const ending_t endings[] = {unpublish, destroy};

	for (int i = 0; i < 2; i++) {
		pair_t pair = connected_pair();

		EXPECT(importer(&pair, AGENT_PUT, 0, 1, 0), RSM_SUCCESS);
		endings[i](&pair.exporter);
		EXPECT(importer(&pair, AGENT_PUT, 0, 2, 0), RSMERR_CONN_ABORTED);
	}
}

/*
 * §5.1: what an exporter may do to its own pages. The reference sees it and ends the segment; no
 * document asks for that, so the connection may be broken or not, and the calls may say either. But
 * what lies at these addresses now is the program's, and stays as it is.
 */
static void unmap_pages(char *memory)
{
	NEED(munmap(memory + rig_page(), rig_page()));
}

static bool is_unmapped(char *page)
{
	unsigned char resident;

	return mincore(page, rig_page(), &resident) < 0;
}

static void protect_pages(char *memory)
{
	NEED(mprotect(memory, 2 * rig_page(), PROT_READ));
}

static void replace_pages(char *memory)
{
	NEED_TRUE(mmap(memory, 2 * rig_page(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
	memset(memory, 'n', 2 * rig_page());
}

static void check_loss_of_pages(void (*lose)(char *memory), char expected)
{
	for (int with_unpublish = 0; with_unpublish < 2; with_unpublish++) {
		rsm_memseg_id_t id;
		char *memory = rig_memory(2);
		rsm_memseg_export_handle_t export;
		rsm_memseg_import_handle_t import;
		rsmapi_barrier_t barrier;
		uint64_t value = 1;

		memset(memory, 'o', 2 * rig_page());
		export = rig_export(memory, 2, &id);
		import = rig_import(id, RSM_PERM_RDWR, &barrier);
		NEED(rsm_memseg_import_put64(import, 8, &value, 1));
		lose(memory);
		EXPECT_ONE(rsm_memseg_import_put64(import, (off_t)rig_page(), &value, 1),
			RSM_SUCCESS, RSMERR_CONN_ABORTED);
		if (with_unpublish)
			EXPECT_ONE(rsm_memseg_export_unpublish(export), RSM_SUCCESS,
				RSMERR_SEG_NOT_PUBLISHED);
		EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_put64(import, 8, &value, 1), RSMERR_CONN_ABORTED);
		EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
		CHECK(is_unmapped(memory + rig_page()) == (lose == unmap_pages));
		for (size_t i = 16; i < rig_page(); i++) {
			if (memory[i] != expected) {
				CHECK_EQUAL(memory[i], expected);
				break;
			}
		}
	}
}

static void a_segment_survives_that_its_pages_are_unmapped(void)
{
	check_loss_of_pages(unmap_pages, 'o');
}

static void a_segment_survives_that_its_pages_are_protected(void)
{
	check_loss_of_pages(protect_pages, 'o');
}

static void memory_that_was_mapped_there_since_is_left_alone(void)
{
	check_loss_of_pages(replace_pages, 'n');
}

static void child_sees_its_own(void *data)
{
	char *memory = data;

	CHECK_EQUAL(memory[100], 'n');
	memory[100] = 'c';
}

/* Nor is it shared with anybody, or given to importers */
static void memory_that_was_mapped_there_since_is_not_exported(void)
{
	rsm_memseg_id_t id;
	char *memory = rig_memory(2);
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t import;
	uint64_t value = 0;

	rig_export(memory, 2, &id);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	replace_pages(memory);
	EXPECT_ONE(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS, RSMERR_CONN_ABORTED);
	CHECK_EQUAL(memory[0], 'n');
	rig_in_child(child_sees_its_own, memory);
	CHECK_EQUAL(memory[100], 'n');
}

/* §5.2: what a process does to its own imports */
static void a_process_breaks_its_own_imports(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	char *memory = rig_memory(1);
	uint64_t value = 1;
	void *address = NULL;

	export = rig_export(memory, 1, &id);
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()));
	NEED(rsm_memseg_import_put64(import, 0, &value, 1));
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put64(import, 0, &value, 1), RSMERR_CONN_ABORTED);
	/* Where that goes is not said within one process; it must not fault. */
	*(volatile uint64_t *)address = 2;
	*(volatile uint64_t *)(void *)memory = 3;
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

/* Decision 6: after it nothing that former importers store reaches the exporter, and it keeps all
 */
static void former_importers_do_not_reach_the_exporter(void)
{
	static const ending_t endings[] = {unpublish, destroy};

	for (int i = 0; i < 2; i++) {
		pair_t pair = connected_pair();

		EXPECT(agent_do(&pair.exporter, AGENT_STORE, 8, 31, 0), RSM_SUCCESS);
		EXPECT(importer(&pair, AGENT_MAP, 0, 4096, RSM_PERM_RDWR), RSM_SUCCESS);
		EXPECT(importer(&pair, AGENT_MAP_STORE, 0, 30, 0), RSM_SUCCESS);
		endings[i](&pair.exporter);
		EXPECT(importer(&pair, AGENT_MAP_STORE, 0, 66, 0), RSM_SUCCESS);
		importer(&pair, AGENT_PUT, 8, 66, 0);
		CHECK_EQUAL(agent_ask(&pair.exporter, AGENT_LOAD, 0), 30);
		CHECK_EQUAL(agent_ask(&pair.exporter, AGENT_LOAD, 8), 31);
		/* Nor do the exporter's later stores reach them. */
		EXPECT(agent_do(&pair.exporter, AGENT_STORE, 16, 99, 0), RSM_SUCCESS);
		CHECK_EQUAL(agent_ask(&pair.importer, AGENT_MAP_LOAD, 16), 0);
	}
}

/* §5.2: to recover unmap, disconnect, connect; the content is the exporter's */
static void a_new_connection_works_after_publish(void)
{
	pair_t pair = connected_pair();

	EXPECT(importer(&pair, AGENT_PUT, 0, 12, 0), RSM_SUCCESS);
	unpublish(&pair.exporter);
	EXPECT(importer(&pair, AGENT_PUT, 0, 13, 0), RSMERR_CONN_ABORTED);
	EXPECT(agent_do(&pair.exporter, AGENT_PUBLISH, pair.id, AGENT_NO_LIST, 0), RSM_SUCCESS);
	/* The old connection never heals. */
	access_is_broken(&pair);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	agent_import(&pair.importer, pair.id);
	CHECK_EQUAL(agent_ask(&pair.importer, AGENT_GET, 0), 12);
	EXPECT(importer(&pair, AGENT_PUT, 0, 14, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&pair.exporter, AGENT_LOAD, 0), 14);
}

/* §5.2: the new exporter may be another process */
static void a_new_connection_works_to_another_exporter(void)
{
	agent_t heir = agent_start();
	pair_t pair = connected_pair();

	NEED(agent_do(&heir, AGENT_CREATE, 1, 0, 0));
	die(&pair.exporter);
	await_break(&pair);
	EVENTUALLY(agent_do(&heir, AGENT_PUBLISH, pair.id, AGENT_NO_LIST, 0) == RSM_SUCCESS);
	access_is_broken(&pair);
	EXPECT(importer(&pair, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	agent_import(&pair.importer, pair.id);
	EXPECT(importer(&pair, AGENT_PUT, 0, 15, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&heir, AGENT_LOAD, 0), 15);
}

/* §9.22 beaten: a stale import neither signals nor is signalled by the next segment of its id */
static void a_stale_import_is_nothing_to_the_next_segment(void)
{
	agent_t heir = agent_start();
	pair_t pair = connected_pair();

	NEED(agent_do(&heir, AGENT_CREATE, 1, 0, 0));
	destroy(&pair.exporter);
	EXPECT(agent_do(&heir, AGENT_PUBLISH, pair.id, AGENT_NO_LIST, 0), RSM_SUCCESS);
	importer(&pair, AGENT_IMPORT_POST, 0, 0, 0);
	EXPECT(agent_do(&heir, AGENT_EXPORT_WAIT, 50, 0, 0), RSMERR_TIMEOUT);
	EXPECT(agent_do(&heir, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_CONN_ABORTED);
}

/* §5.3, §9.22 beaten: nor by what its exporter posts later, whether published again or not */
static void a_broken_import_gets_no_more_signals(void)
{
	pair_t pair = connected_pair();

	unpublish(&pair.exporter);
	EXPECT(agent_do(&pair.exporter, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_CONN_ABORTED);
	EXPECT(agent_do(&pair.exporter, AGENT_PUBLISH, pair.id, AGENT_NO_LIST, 0), RSM_SUCCESS);
	EXPECT(agent_do(&pair.exporter, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_CONN_ABORTED);
}

/* The same within one process */
static void an_own_broken_import_gets_no_more_signals(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_export_handle_t export = rig_export(rig_memory(1), 1, &id);
	rsm_memseg_import_handle_t import = rig_import(id, RSM_PERM_RDWR, NULL);

	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_CONN_ABORTED);
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_CONN_ABORTED);
	/* Nor does it signal. */
	EXPECT_ONE(rsm_intr_signal_post(import, 0), RSMERR_CONN_ABORTED,
		RSMERR_REMOTE_NODE_UNREACHABLE, RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* §9.3 beaten: importers that wait for ever are woken with 40 */
static void waiting_importers_are_woken(void)
{
	static const ending_t endings[] = {unpublish, destroy, leave, die, become_another_program};

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		pair_t pair = connected_pair();

		agent_begin(&pair.importer, AGENT_IMPORT_WAIT, (uint64_t)-1);
		rig_sleep(30);
		endings[i](&pair.exporter);
		EXPECT(agent_finish(&pair.importer), RSMERR_CONN_ABORTED);
	}
}

/* An exporter that waits goes on waiting when its importers die: others may come */
static void a_waiting_exporter_outlives_its_importers(void)
{
	agent_t later = agent_start();
	pair_t pair = connected_pair();

	agent_begin(&pair.exporter, AGENT_EXPORT_WAIT, (uint64_t)-1);
	die(&pair.importer);
	rig_sleep(50);
	agent_import(&later, pair.id);
	EXPECT(agent_do(&later, AGENT_IMPORT_POST, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_finish(&pair.exporter), RSM_SUCCESS);
}

/* §5.2: republish is no break */
static void republish_breaks_nothing(void)
{
	pair_t pair = connected_pair();

	EXPECT(importer(&pair, AGENT_MAP, 0, 4096, RSM_PERM_RDWR), RSM_SUCCESS);
	EXPECT(agent_do(&pair.exporter, AGENT_REPUBLISH, 0444, 0, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_PUT, 0, 5, 0), RSM_SUCCESS);
	EXPECT(importer(&pair, AGENT_MAP_STORE, 8, 6, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&pair.exporter, AGENT_LOAD, 0), 5);
	CHECK_EQUAL(agent_ask(&pair.exporter, AGENT_LOAD, 8), 6);
}

/* As many descriptors as are in use now, or as the process may have. */
static void allow_descriptors(bool more)
{
	static struct rlimit normal;
	struct rlimit none;
	int next = dup(0);

	if (more) {
		NEED(setrlimit(RLIMIT_NOFILE, &normal));
		return;
	}
	NEED_TRUE(next >= 0);
	close(next);
	NEED(getrlimit(RLIMIT_NOFILE, &normal));
	none = (struct rlimit){(rlim_t)next, normal.rlim_max};
	NEED(setrlimit(RLIMIT_NOFILE, &none));
}

/* What goes wrong on the way to fresh memory is made good by the next call. */
static void check_unpublish_half_way(bool again)
{
	agent_t importer = agent_start();
	volatile uint64_t *memory = (void *)rig_memory(1);
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;

	memory[0] = 1;
	export = rig_export((void *)memory, 1, &id);
	agent_import(&importer, id);
	EXPECT(agent_do(&importer, AGENT_MAP, 0, rig_page(), RSM_PERM_RDWR), RSM_SUCCESS);
	allow_descriptors(false);
	EXPECT_ONE(rsm_memseg_export_unpublish(export), RSM_SUCCESS, RSMERR_INSUFFICIENT_RESOURCES);
	allow_descriptors(true);
	if (again)
		EXPECT_ONE(
			rsm_memseg_export_unpublish(export), RSM_SUCCESS, RSMERR_SEG_NOT_PUBLISHED);
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 0, 5, 0), RSM_SUCCESS);
	CHECK_EQUAL(memory[0], 1);
	EXPECT(agent_do(&importer, AGENT_UNMAP, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	memory[0] = 2;
	agent_import(&importer, id);
	CHECK_EQUAL(agent_ask(&importer, AGENT_GET, 0), 2);
	EXPECT(agent_do(&importer, AGENT_PUT, 0, 3, 0), RSM_SUCCESS);
	CHECK_EQUAL(memory[0], 3);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSMERR_SEG_NOT_PUBLISHED);
}

static void an_unpublish_without_descriptors_is_finished_by_the_next(void)
{
	check_unpublish_half_way(true);
}

static void an_unpublish_without_descriptors_is_finished_by_publish(void)
{
	check_unpublish_half_way(false);
}

/* A sandbox without userfaultfd and ptrace. */
static void forbid_to_hold_threads(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, USERFAULTFD_IOC_NEW, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void *sleep_for_ever(void *unused)
{
	pause();
	return unused;
}

/* Decision 6, where threads can be held in no way */
static void former_importers_do_not_reach_a_sandboxed_exporter(void)
{
	agent_t importer = agent_start();
	volatile uint64_t *memory = (void *)rig_memory(1);
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;
	pthread_t thread;

	rig_skip_under_tsan();
	forbid_to_hold_threads();
	memory[0] = 1;
	export = rig_export((void *)memory, 1, &id);
	agent_import(&importer, id);
	EXPECT(agent_do(&importer, AGENT_MAP, 0, rig_page(), RSM_PERM_RDWR), RSM_SUCCESS);
	NEED(pthread_create(&thread, NULL, sleep_for_ever, NULL));
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 0, 5, 0), RSM_SUCCESS);
	CHECK_EQUAL(memory[0], 1);
}

/* The importers have the same memory after a rebind as before it. */
static void nor_after_a_rebind(void)
{
	agent_t importer = agent_start();
	volatile uint64_t *first = (void *)rig_memory(1), *second = (void *)rig_memory(1);
	rsm_memseg_id_t id = rig_id();
	rsm_memseg_export_handle_t export;
	pthread_t thread;

	rig_skip_under_tsan();
	forbid_to_hold_threads();
	first[0] = 1;
	second[0] = 2;
	NEED(rsm_memseg_export_create(
		rig_controller(), &export, (void *)first, rig_page(), RSM_ALLOW_REBIND));
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	agent_import(&importer, id);
	EXPECT(agent_do(&importer, AGENT_MAP, 0, rig_page(), RSM_PERM_RDWR), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_rebind(export, (void *)second, 0, rig_page()), RSM_SUCCESS);
	NEED(pthread_create(&thread, NULL, sleep_for_ever, NULL));
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 0, 5, 0), RSM_SUCCESS);
	CHECK(first[0] == 1 && second[0] == 2);
}

/* §4.3: other memory cannot become the segment's while threads store to it that nobody can hold */
static void a_rebind_in_a_sandbox_changes_nothing(void)
{
	agent_t importer = agent_start();
	volatile uint64_t *first = (void *)rig_memory(1), *second = (void *)rig_memory(1);
	rsm_memseg_id_t id = rig_id();
	rsm_memseg_export_handle_t export;
	pthread_t thread;

	rig_skip_under_tsan();
	forbid_to_hold_threads();
	first[0] = 1;
	second[0] = 2;
	NEED(rsm_memseg_export_create(
		rig_controller(), &export, (void *)first, rig_page(), RSM_ALLOW_REBIND));
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	agent_import(&importer, id);
	NEED(pthread_create(&thread, NULL, sleep_for_ever, NULL));
	EXPECT(rsm_memseg_export_rebind(export, (void *)second, 0, rig_page()),
		RSMERR_INSUFFICIENT_MEM);
	CHECK(first[0] == 1 && second[0] == 2);
	first[0] = 3;
	CHECK_EQUAL(agent_ask(&importer, AGENT_GET, 0), 3);
	EXPECT(agent_do(&importer, AGENT_PUT, 0, 4, 0), RSM_SUCCESS);
	CHECK(first[0] == 4 && second[0] == 2);
}

static const rig_test_t tests[] = {
	TEST(unpublish_breaks_imports),
	TEST(destroy_breaks_imports),
	TEST(exit_of_the_exporter_breaks_imports),
	TEST(kill_of_the_exporter_breaks_imports),
	TEST(crash_of_the_exporter_breaks_imports),
	TEST(exec_of_the_exporter_breaks_imports),
	TEST(unpublish_breaks_before_it_returns),
	TEST(a_segment_survives_that_its_pages_are_unmapped),
	TEST(a_segment_survives_that_its_pages_are_protected),
	TEST(memory_that_was_mapped_there_since_is_left_alone),
	TEST(memory_that_was_mapped_there_since_is_not_exported),
	TEST(a_process_breaks_its_own_imports),
	TEST(former_importers_do_not_reach_the_exporter),
	TEST(former_importers_do_not_reach_a_sandboxed_exporter),
	TEST(nor_after_a_rebind),
	TEST(a_rebind_in_a_sandbox_changes_nothing),
	TEST(an_unpublish_without_descriptors_is_finished_by_the_next),
	TEST(an_unpublish_without_descriptors_is_finished_by_publish),
	TEST(a_new_connection_works_after_publish),
	TEST(a_new_connection_works_to_another_exporter),
	TEST(a_stale_import_is_nothing_to_the_next_segment),
	TEST(a_broken_import_gets_no_more_signals),
	TEST(an_own_broken_import_gets_no_more_signals),
	TEST(waiting_importers_are_woken),
	TEST(a_waiting_exporter_outlives_its_importers),
	TEST(republish_breaks_nothing),
};

RIG_MAIN(tests)
