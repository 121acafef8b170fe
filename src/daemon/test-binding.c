/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/test-client.h"
#include "placement/nodeset.h"
#include "placement/plan.h"

/* The registry of System V segments that are bound to NUMA nodes. argv[1]: causewayd. */

#define SIZE	 (64 * 4096ul)
#define STRANGER 12345u

static const char *program;
static struct node node;
static struct client client;
static int id;

static int setup(void **state)
{
	node_start(&node, program, "", false);
	chmod(node.dir, 0755); /* other users must reach the socket */
	client_new(&client, &node);
	id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	return id < 0;
}

static int teardown(void **state)
{
	shmctl(id, IPC_RMID, NULL);
	client_close(&client);
	node_stop(&node);
	return 0;
}

static uint32_t add(struct client *c, int shmid, uint32_t order, uint32_t hard)
{
	struct wire_message m = {.type = WIRE_BINDING_ADD};
	struct nodeset nodes = nodeset_of(0);

	m.binding_add =
		(struct wire_binding_add){.shmid = (uint32_t)shmid, .order = order, .hard = hard};
	nodeset_put_bytes(&nodes, m.binding_add.nodes);
	return client_call(c, &m);
}

static uint32_t done(struct client *c, int shmid, bool kept, void *address)
{
	struct wire_message m = {.type = WIRE_BINDING_DONE};

	m.binding_done = (struct wire_binding_done){
		.shmid = (uint32_t)shmid, .kept = kept, .address = (uint64_t)(uintptr_t)address};
	return client_call(c, &m);
}

/* The number of bindings, of which row is the first. */
static uint32_t list(struct client *c, struct wire_binding_row *row)
{
	struct wire_message m = {.type = WIRE_BINDING_LIST};
	const uint8_t *tail;

	memset(row, 0, sizeof(*row));
	assert_int_equal(client_call(c, &m), STATUS_OK);
	tail = c->reply.tail;
	if (c->reply.binding_list_reply.n)
		assert_non_null(wire_get_binding_row(tail, tail + c->reply.tail_size, row));
	return c->reply.binding_list_reply.n;
}

static void a_binding_is_known_from_done_to_the_end_of_the_segment(void **state)
{
	struct wire_binding_row row;

	assert_int_equal(add(&client, id, PLACE_STRIPE, 1), STATUS_OK);
	assert_int_equal(list(&client, &row), 0);
	assert_int_equal(done(&client, id, true, NULL), STATUS_OK);
	assert_int_equal(list(&client, &row), 1);
	assert_int_equal(row.shmid, id);
	assert_int_equal(row.order, PLACE_STRIPE);
	assert_int_equal(row.hard, 1);
	assert_int_equal(row.size, SIZE);
	assert_int_equal(row.present, 0);
	assert_int_equal(row.pid, getpid());
	/* again: another one takes its place */
	assert_int_equal(add(&client, id, PLACE_FIRSTREF, 0), STATUS_OK);
	assert_int_equal(done(&client, id, true, NULL), STATUS_OK);
	assert_int_equal(list(&client, &row), 1);
	assert_int_equal(row.order, PLACE_FIRSTREF);
	shmctl(id, IPC_RMID, NULL);
	assert_int_equal(list(&client, &row), 0);
}

static void what_could_not_be_bound_is_forgotten(void **state)
{
	struct wire_binding_row row;

	assert_int_equal(add(&client, id, PLACE_STRIPE, 1), STATUS_OK);
	assert_int_equal(done(&client, id, false, NULL), STATUS_OK);
	assert_int_equal(done(&client, id, true, NULL), STATUS_NOT_FOUND);
	assert_int_equal(list(&client, &row), 0);
}

static void malformed_bindings_are_refused(void **state)
{
	struct wire_message m = {.type = WIRE_BINDING_ADD};

	assert_int_equal(add(&client, id, 0, 0), STATUS_BAD_REQUEST);
	assert_int_equal(add(&client, id, 4, 0), STATUS_BAD_REQUEST);
	assert_int_equal(add(&client, id, PLACE_STRIPE, 2), STATUS_BAD_REQUEST);
	assert_int_equal(add(&client, -1, PLACE_STRIPE, 0), STATUS_NOT_FOUND);
	assert_int_equal(add(&client, 0x7ffffff0, PLACE_STRIPE, 0), STATUS_NOT_FOUND);
	m.binding_add.shmid = (uint32_t)id;
	m.binding_add.order = PLACE_STRIPE;
	assert_int_equal(client_call(&client, &m), STATUS_BAD_REQUEST);
	assert_int_equal(done(&client, id, true, NULL), STATUS_NOT_FOUND);
	/* nodes that are not there hold nothing */
	m = (struct wire_message){.type = WIRE_BINDING_ADD};
	m.binding_add.shmid = (uint32_t)id;
	m.binding_add.order = PLACE_FIRSTREF;
	m.binding_add.hard = 1;
	m.binding_add.nodes[NODESET_BYTES - 1] = 0x80;
	assert_int_equal(client_call(&client, &m), STATUS_NO_MEMORY);
}

/* In another process, of this user (0) or another one; gives what work did. */
static uint32_t elsewhere(unsigned int uid, uint32_t (*work)(struct client *c))
{
	struct client c;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (uid && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(255);
		client_new(&c, &node);
		_exit((int)work(&c));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (uint32_t)WEXITSTATUS(status);
}

static uint32_t add_it(struct client *c)
{
	return add(c, id, PLACE_STRIPE, 0);
}

static uint32_t say_done(struct client *c)
{
	return done(c, id, true, NULL);
}

static void strangers_bind_nothing_of_others(void **state)
{
	if (geteuid() != 0) {
		print_message("skip: needs root to be another user\n");
		skip();
	}
	assert_int_equal(elsewhere(STRANGER, add_it), STATUS_DENIED);
	assert_int_equal(elsewhere(0, add_it), STATUS_OK);
	assert_int_equal(elsewhere(STRANGER, say_done), STATUS_DENIED);
}

static void only_who_added_it_says_that_it_is_done(void **state)
{
	assert_int_equal(add_it(&client), STATUS_OK);
	assert_int_equal(elsewhere(0, say_done), STATUS_NOT_FOUND);
	assert_int_equal(say_done(&client), STATUS_OK);
	assert_int_equal(say_done(&client), STATUS_NOT_FOUND);
}

/* Memory that is none of the segment's is not handed to a filler. */
static void addresses_of_other_memory_are_not_believed(void **state)
{
	int other = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	void *wrong[] = {
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		shmat(other, NULL, 0), (void *)8, (void *)-4096L};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(add(&client, id, PLACE_MOSTFREE, 0), STATUS_OK);
		assert_int_equal(done(&client, id, true, wrong[i]), STATUS_OK);
		assert_int_equal(client.reply.binding_done_reply.filler, 0);
	}
	shmdt(wrong[1]);
	shmctl(other, IPC_RMID, NULL);
	munmap(wrong[0], SIZE);
}

static uint32_t start_filler(void)
{
	void *p = shmat(id, NULL, 0);

	assert_int_equal(add(&client, id, PLACE_MOSTFREE, 0), STATUS_OK);
	assert_int_equal(done(&client, id, true, p), STATUS_OK);
	shmdt(p);
	return client.reply.binding_done_reply.filler;
}

/* Until the registry has no filler any more. */
static void wait_without_filler(void)
{
	struct wire_binding_row row;

	for (int i = 0; i < 1000; i++) {
		if (list(&client, &row) == 0 || row.filler == 0)
			return;
		usleep(10000);
	}
	fail_msg("the filler goes on");
}

static void need_a_filler(uint32_t pid)
{
	if (pid)
		return;
	print_message("skip: no right to open map_files\n");
	skip();
}

static void a_filler_ends_when_the_segment_is_full(void **state)
{
	char *p;

	need_a_filler(start_filler());
	p = shmat(id, NULL, 0);
	memset(p, 1, SIZE);
	shmdt(p);
	wait_without_filler();
}

static void a_filler_does_not_keep_a_segment_that_was_removed(void **state)
{
	struct shmid_ds d;
	uint32_t pid = start_filler();

	need_a_filler(pid);
	assert_int_equal(shmctl(id, IPC_STAT, &d), 0);
	assert_int_equal(d.shm_nattch, 0);
	shmctl(id, IPC_RMID, NULL);
	for (int i = 0; i < 1000 && kill((pid_t)pid, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill((pid_t)pid, 0), -1);
}

static void a_filler_that_is_killed_is_not_missed(void **state)
{
	uint32_t pid = start_filler();

	need_a_filler(pid);
	kill((pid_t)pid, SIGKILL);
	wait_without_filler();
	need_a_filler(start_filler());
}

static void a_killed_daemon_forgets_neither_binding_nor_filler(void **state)
{
	struct wire_binding_row before, after;
	uint32_t pid = start_filler();

	assert_int_equal(list(&client, &before), 1);
	kill((pid_t)client_node_status(&client).daemon_pid, SIGKILL);
	client_wait_resend(&client);
	assert_int_equal(list(&client, &after), 1);
	assert_memory_equal(&before, &after, sizeof(before));
	if (!pid)
		return;
	assert_int_equal(kill((pid_t)pid, 0), 0);
	shmctl(id, IPC_RMID, NULL);
	wait_without_filler();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_binding_is_known_from_done_to_the_end_of_the_segment),
		TEST(what_could_not_be_bound_is_forgotten),
		TEST(malformed_bindings_are_refused),
		TEST(strangers_bind_nothing_of_others),
		TEST(only_who_added_it_says_that_it_is_done),
		TEST(addresses_of_other_memory_are_not_believed),
		TEST(a_filler_ends_when_the_segment_is_full),
		TEST(a_filler_does_not_keep_a_segment_that_was_removed),
		TEST(a_filler_that_is_killed_is_not_missed),
		TEST(a_killed_daemon_forgets_neither_binding_nor_filler),
	};

	program = argv[1];
	return argc == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
