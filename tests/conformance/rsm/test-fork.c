/* SPDX-License-Identifier: Apache-2.0 */
/* fork and exec: rsmapi.md §6.6, Decision 7. */
#include "agent.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
	rsm_memseg_export_handle_t export;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	rsm_memseg_id_t id;
	volatile uint64_t *memory;
	volatile uint64_t *mapping;
} world_t;

static void make_world(world_t *world)
{
	void *address = NULL;

	world->memory = (volatile uint64_t *)(void *)rig_memory(1);
	world->export = rig_export((void *)world->memory, 1, &world->id);
	world->import = rig_import(world->id, RSM_PERM_RDWR, &world->barrier);
	NEED(rsm_memseg_import_map(
		world->import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()));
	world->mapping = address;
}

static void child_calls_export(void *data)
{
	world_t *world = data;
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_memseg_export_unpublish(world->export), RSMERR_NOT_CREATOR);
	EXPECT(rsm_memseg_export_republish(world->export, NULL, 0), RSMERR_NOT_CREATOR);
	/* Published at the parent: the state is checked before the creator (§4.3). */
	EXPECT_ONE(rsm_memseg_export_publish(world->export, &id, NULL, 0), RSMERR_NOT_CREATOR,
		RSMERR_SEG_ALREADY_PUBLISHED);
	/* The reference frees the child's handle; Decision 7 has 12. */
	EXPECT_ONE(rsm_memseg_export_destroy(world->export), RSMERR_NOT_CREATOR, RSM_SUCCESS);
}

/* §6.6: an export belongs to its creator */
static void exports_are_not_the_childs(void)
{
	world_t world = {0};
	uint64_t value = 3;

	make_world(&world);
	rig_in_child(child_calls_export, &world);
	EXPECT(rsm_memseg_import_put64(world.import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(world.memory[0], 3);
	EXPECT(rsm_memseg_import_disconnect(rig_import(world.id, RSM_PERM_RDWR, NULL)),
		RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(world.export), RSM_SUCCESS);
}

static void child_publishes(void *data)
{
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_memseg_export_publish(data, &id, NULL, 0), RSMERR_NOT_CREATOR);
}

static void a_bound_export_is_not_the_childs_to_publish(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id = rig_id();

	rig_in_child(child_publishes, export);
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
}

static void child_stores_privately(void *data)
{
	world_t *world = data;

	CHECK_EQUAL(world->memory[0], 11);
	world->memory[0] = 22;
	CHECK_EQUAL(world->memory[0], 22);
	/* The mapping of an import is shared, as shared mappings are. */
	CHECK_EQUAL(world->mapping[0], 11);
	world->mapping[1] = 33;
	CHECK_EQUAL(world->memory[1], 0);
}

/* §6.6, Decision 7: adopted memory is a private copy in the child; the parent's stays shared */
static void exported_memory_is_private_in_the_child(void)
{
	world_t world = {0};

	make_world(&world);
	world.memory[0] = 11;
	rig_in_child(child_stores_privately, &world);
	CHECK_EQUAL(world.memory[0], 11);
	CHECK_EQUAL(world.mapping[0], 11);
	CHECK_EQUAL(world.memory[1], 33);
	world.memory[2] = 44;
	CHECK_EQUAL(world.mapping[2], 44);
}

static void child_stores(void *data)
{
	world_t *world = data;

	CHECK_EQUAL(world->memory[0], 11);
	world->memory[0] = 22;
}

/* Decision 6: what was exported is the program's private memory again */
static void memory_is_private_again_after_destroy(void)
{
	world_t world = {0};

	make_world(&world);
	world.memory[0] = 11;
	NEED(rsm_memseg_import_unmap(world.import));
	NEED(rsm_memseg_import_disconnect(world.import));
	NEED(rsm_memseg_export_destroy(world.export));
	rig_in_child(child_stores, &world);
	CHECK_EQUAL(world.memory[0], 11);
}

static void child_uses_import(void *data)
{
	world_t *world = data;
	uint64_t value = 55;

	EXPECT(rsm_memseg_import_put64(world->import, 0, &value, 1), RSM_SUCCESS);
	value = 0;
	EXPECT(rsm_memseg_import_get64(world->import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(value, 55);
	world->mapping[1] = 66;
	EXPECT(rsm_intr_signal_post(world->import, 0), RSM_SUCCESS);
}

/* §6.6, Decision 7: import handles work in the child */
static void imports_work_in_the_child(void)
{
	world_t world = {0};

	make_world(&world);
	rig_in_child(child_uses_import, &world);
	CHECK_EQUAL(world.memory[0], 55);
	CHECK_EQUAL(world.memory[1], 66);
	EXPECT(rsm_intr_signal_wait(world.export, 1000), RSM_SUCCESS);
}

static void child_disconnects(void *data)
{
	world_t *world = data;

	EXPECT(rsm_memseg_import_unmap(world->import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(world->import), RSM_SUCCESS);
}

/* Decision 7: over a connection of the child's own, so the parent's is not touched */
static void what_the_child_disconnects_stays_the_parents(void)
{
	world_t world = {0};
	uint64_t value = 9;

	make_world(&world);
	rig_in_child(child_disconnects, &world);
	EXPECT(rsm_memseg_import_put64(world.import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(world.mapping[0], 9);
	EXPECT(rsm_memseg_import_unmap(world.import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(world.import), RSM_SUCCESS);
}

static void child_sees_break(void *data)
{
	world_t *world = data;
	uint64_t value = 1;

	EVENTUALLY(rsm_memseg_import_put64(world->import, 0, &value, 1) == RSMERR_CONN_ABORTED);
	world->mapping[0] = 1;
}

/* §6.6: a forced disconnect hits parent and child */
static void a_break_reaches_the_child(void)
{
	agent_t exporter = agent_start();
	rsm_memseg_id_t id = agent_export(&exporter, 1);
	world_t world = {0};
	void *address = NULL;
	uint64_t value = 1;
	pid_t child;

	world.import = rig_import(id, RSM_PERM_RDWR, &world.barrier);
	NEED(rsm_memseg_import_map(
		world.import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()));
	world.mapping = address;
	child = rig_fork(child_sees_break, &world);
	EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
	rig_join(child);
	EXPECT(rsm_memseg_import_put64(world.import, 0, &value, 1), RSMERR_CONN_ABORTED);
}

static void child_makes_its_own(void *data)
{
	world_t world = {0};
	uint64_t value = 4;

	(void)data;
	make_world(&world);
	EXPECT(rsm_memseg_import_put64(world.import, 0, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(world.memory[0], 4);
	EXPECT(rsm_memseg_import_unmap(world.import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(world.import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(world.export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(world.export), RSM_SUCCESS);
}

/* §6.6: a child may export and import by itself, the memory of its parent's export included */
static void a_child_may_have_segments_of_its_own(void)
{
	world_t world = {0};

	make_world(&world);
	rig_in_child(child_makes_its_own, NULL);
	CHECK_EQUAL(world.memory[0], 0);
}

static void child_exports_the_copy(void *data)
{
	world_t *world = data;
	rsm_memseg_export_handle_t export = NULL;

	EXPECT(rsm_memseg_export_create(
		       rig_controller(), &export, (void *)world->memory, rig_page(), 0),
		RSM_SUCCESS);
	world->memory[0] = 5;
}

static void a_child_may_export_its_copy(void)
{
	world_t world = {0};

	make_world(&world);
	world.memory[0] = 1;
	rig_in_child(child_exports_the_copy, &world);
	CHECK_EQUAL(world.memory[0], 1);
}

/* §6.6, §9.18 beaten: a living child does not keep the parent's segment */
static void destroy_takes_effect_though_a_child_lives(void)
{
	world_t world = {0};
	pid_t pid;

	make_world(&world);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	NEED_TRUE(pid > 0);
	EXPECT(rsm_memseg_import_unmap(world.import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(world.import), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(world.export), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_connect(
		       rig_controller(), rig_node(), world.id, RSM_PERM_READ, &world.import),
		RSMERR_SEG_NOT_PUBLISHED);
}

/* §6.6: the parent's exit ends its exports, though a child lives */
static void exit_of_the_parent_ends_its_exports(void)
{
	rsm_memseg_import_handle_t import;
	int id_pipe[2];
	rsm_memseg_id_t id = 0;
	pid_t pid;

	NEED(pipe(id_pipe));
	pid = fork();
	if (pid == 0) {
		rig_export(rig_memory(1), 1, &id);
		if (fork() == 0) {
			pause();
			_exit(0);
		}
		_exit(write(id_pipe[1], &id, sizeof(id)) != sizeof(id));
	}
	NEED_TRUE(read(id_pipe[0], &id, sizeof(id)) == sizeof(id));
	waitpid(pid, NULL, 0);
	EVENTUALLY(rsm_memseg_import_connect(rig_controller(), rig_node(), id, RSM_PERM_READ,
			   &import) == RSMERR_SEG_NOT_PUBLISHED);
}

enum { LARGE = 8192 }; /* pages: the move away from them takes a while */

static void *unpublish(void *export)
{
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	return NULL;
}

static void child_stores_in_each_page(void *data)
{
	volatile char *memory = data;

	for (size_t i = 0; i < LARGE; i++)
		memory[i * rig_page()] = 22;
}

/* §6.6, Decision 7: private in the child, wherever an unpublish of the parent just is */
static void memory_is_private_in_a_child_made_during_unpublish(void)
{
	agent_t importer = agent_start();
	volatile char *memory = rig_memory(LARGE);
	rsm_memseg_export_handle_t export = rig_create((void *)memory, LARGE);

	for (int round = 0; round < 3; round++) {
		rsm_memseg_id_t id = rig_id();
		pid_t children[4];
		pthread_t thread;
		size_t seen = 0;

		NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
		agent_import(&importer, id);
		NEED(pthread_create(&thread, NULL, unpublish, export));
		for (int i = 0; i < 4; i++) {
			rig_sleep(1 + round);
			children[i] = rig_fork(child_stores_in_each_page, (void *)memory);
		}
		NEED(pthread_join(thread, NULL));
		for (int i = 0; i < 4; i++)
			rig_join(children[i]);
		for (size_t i = 0; i < LARGE; i++)
			seen += memory[i * rig_page()] != 0;
		CHECK_EQUAL(seen, 0);
		EXPECT(agent_do(&importer, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
	}
}

static volatile pid_t forked_by_handler;

static void fork_in_handler(int signal_number)
{
	int error = errno;

	(void)signal_number;
	forked_by_handler = fork();
	errno = error;
}

/* A handler that interrupts a wait may fork, and its child return from there. */
static void check_fork_during_wait(void *segment)
{
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};
	int code, status;

	NEED_TRUE(signal(SIGALRM, fork_in_handler) != SIG_ERR);
	NEED(setitimer(ITIMER_REAL, &soon, NULL));
	code = rsm_intr_signal_wait(segment, 10000);
	if (forked_by_handler == 0)
		_exit(code == RSM_SUCCESS);
	EXPECT(code, RSMERR_INTERRUPTED);
	NEED_TRUE(waitpid(forked_by_handler, &status, 0) == forked_by_handler);
	CHECK_EQUAL(status, 0);
}

static void a_handler_may_fork_during_a_wait(void)
{
	world_t world = {0};

	make_world(&world);
	check_fork_during_wait(world.export);
	check_fork_during_wait(world.import);
}

/* Lets the other end go on; waits for it. */
static void tell(int channel)
{
	NEED_TRUE(write(channel, "", 1) == 1);
}

static void hear(int channel)
{
	char c;

	NEED_TRUE(read(channel, &c, 1) == 1);
}

/* Connects, maps, and leaves that to a child, who stores when told to. */
static void leave_map_to_child(int channel)
{
	volatile uint64_t *map;
	rsm_memseg_id_t id;
	void *address = NULL;

	NEED_TRUE(read(channel, &id, sizeof(id)) == sizeof(id));
	NEED(rsm_memseg_import_map(rig_import(id, RSM_PERM_RDWR, NULL), &address, RSM_MAP_NONE,
		RSM_PERM_RDWR, 0, rig_page()));
	map = address;
	if (fork() != 0)
		_exit(0);
	hear(channel);
	map[0] = 22;
	tell(channel);
	_exit(0);
}

/* Decision 6: also who has only inherited a map does not reach the exporter */
static void children_of_former_importers_do_not_reach_the_exporter(void)
{
	volatile uint64_t *memory = (void *)rig_memory(1);
	rsm_memseg_export_handle_t export;
	rsm_memseg_id_t id;
	int channel[2];
	pid_t importer;

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
	importer = fork();
	if (importer == 0)
		leave_map_to_child(channel[1]);
	export = rig_export((void *)memory, 1, &id);
	NEED_TRUE(write(channel[0], &id, sizeof(id)) == sizeof(id));
	NEED_TRUE(waitpid(importer, NULL, 0) == importer);
	rig_sleep(100); /* until the daemon knows */
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	tell(channel[0]);
	hear(channel[0]);
	CHECK_EQUAL(memory[0], 0);
}

static void children_do_not_reach_an_exporter_by_his_own_import(void)
{
	world_t world = {0};
	int channel[2];
	pid_t child;

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
	make_world(&world);
	child = fork();
	if (child == 0) {
		hear(channel[1]);
		world.mapping[0] = 22;
		_exit(0);
	}
	EXPECT(rsm_memseg_export_unpublish(world.export), RSM_SUCCESS);
	tell(channel[0]);
	NEED_TRUE(waitpid(child, NULL, 0) == child);
	CHECK_EQUAL(world.memory[0], 0);
}

static const rig_test_t tests[] = {
	TEST(exports_are_not_the_childs),
	TEST(a_bound_export_is_not_the_childs_to_publish),
	TEST(exported_memory_is_private_in_the_child),
	TEST(memory_is_private_in_a_child_made_during_unpublish),
	TEST(memory_is_private_again_after_destroy),
	TEST(imports_work_in_the_child),
	TEST(what_the_child_disconnects_stays_the_parents),
	TEST(a_break_reaches_the_child),
	TEST(a_child_may_have_segments_of_its_own),
	TEST(a_child_may_export_its_copy),
	TEST(a_handler_may_fork_during_a_wait),
	TEST(children_of_former_importers_do_not_reach_the_exporter),
	TEST(children_do_not_reach_an_exporter_by_his_own_import),
	TEST(destroy_takes_effect_though_a_child_lives),
	TEST(exit_of_the_parent_ends_its_exports),
};

RIG_MAIN(tests)
