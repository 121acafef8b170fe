/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/test-client.h"

/* kill -9 of daemon and keeper while processes have segments of each other. argv[1]: causewayd. */

static const char *program;
static struct node node;

static int setup(void **state)
{
	node_start(&node, program, "", false);
	return 0;
}

static int teardown(void **state)
{
	node_stop(&node);
	return 0;
}

static void kill_daemon(struct client *c)
{
	kill((pid_t)client_node_status(c).daemon_pid, SIGKILL);
}

static void write_text(int fd, const char *text)
{
	assert_int_equal(pwrite(fd, text, strlen(text) + 1, 0), (ssize_t)strlen(text) + 1);
}

static bool text_is(int fd, const char *text)
{
	char got[32] = "";

	return pread(fd, got, sizeof(got) - 1, 0) > 0 && !strcmp(got, text);
}

/* Another process that has imported id, says so on a pipe and stays until it is killed. */
static pid_t start_importer(uint32_t id, int *ret_from)
{
	struct client c;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint32_t import;

		client_new(&c, &node);
		if (client_connect(&c, id, WIRE_READ | WIRE_WRITE, &import) || !c.n_fds ||
			!text_is(c.fds[0], "exported"))
			_exit(1);
		write_text(c.fds[0], "imported");
		if (write(fds[1], "c", 1) != 1)
			_exit(2);
		while (client_receive(&c) || c.n_resend)
			;
		_exit(3);
	}
	close(fds[1]);
	*ret_from = fds[0];
	return pid;
}

static void two_processes_keep_their_segment_when_the_daemon_is_killed(void **state)
{
	struct wire_node_status_reply s;
	uint32_t segment, id;
	struct client c;
	int fd, from;
	pid_t pid;
	char byte;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 8192, &segment, &fd), STATUS_OK);
	write_text(fd, "exported");
	assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
	pid = start_importer(id, &from);
	assert_int_equal(read(from, &byte, 1), 1);
	kill_daemon(&c);
	client_wait_resend(&c);
	s = client_node_status(&c);
	assert_int_equal(s.n_clients, 2);
	assert_int_equal(s.n_segments, 1);
	assert_int_equal(s.n_imports, 1);
	assert_int_equal(s.restarts, 1);
	assert_true(text_is(fd, "imported"));
	assert_int_equal(c.node->starts, 2);

	/* and the new daemon sees the importer die */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 1000 && client_node_status(&c).n_imports; i++)
		usleep(5000);
	assert_int_equal(client_node_status(&c).n_clients, 1);
	close(from);
	close(fd);
	client_close(&c);
}

static void a_client_that_dies_while_there_is_no_daemon_is_reaped(void **state)
{
	struct wire_node_status_reply s;
	uint32_t segment, id;
	struct client c;
	int fd, from;
	pid_t pid;
	char byte;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &segment, &fd), STATUS_OK);
	write_text(fd, "exported");
	assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
	pid = start_importer(id, &from);
	assert_int_equal(read(from, &byte, 1), 1);
	kill_daemon(&c);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	client_wait_resend(&c);
	for (int i = 0; i < 1000 && client_node_status(&c).n_clients > 1; i++)
		usleep(5000);
	s = client_node_status(&c);
	assert_int_equal(s.n_clients, 1);
	assert_int_equal(s.n_imports, 0);
	close(from);
	close(fd);
	client_close(&c);
}

static void keeper_dies(struct client *c)
{
	kill(node.keeper, SIGKILL);
	waitpid(node.keeper, NULL, 0);
}

/* Asked for more than its socket holds, until the daemon loses patience. */
static void keeper_hangs(struct client *c)
{
	struct wire_message destroy = {.type = WIRE_SEGMENT_DESTROY};
	int status = 0;

	kill(node.keeper, SIGSTOP);
	for (int i = 0; i < 20000 && waitpid(node.keeper, &status, WNOHANG) == 0; i++) {
		assert_int_equal(
			client_create(c, 4096, &destroy.segment_destroy.segment, NULL), STATUS_OK);
		destroy.serial = 0;
		assert_int_equal(client_call(c, &destroy), STATUS_OK);
	}
	assert_true(WIFSIGNALED(status));
}

static void keeper_is_replaced(void (*lose)(struct client *c))
{
	struct wire_node_status_reply s;
	uint32_t segment, id, import;
	struct client c;
	int fd;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &segment, &fd), STATUS_OK);
	write_text(fd, "kept");
	assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
	assert_int_equal(client_connect(&c, id, WIRE_READ, &import), STATUS_OK);
	lose(&c);
	do {
		usleep(2000);
		s = client_node_status(&c);
	} while (!s.keeper_pid || s.keeper_pid == (uint32_t)node.keeper);
	kill_daemon(&c);
	client_wait_resend(&c);
	s = client_node_status(&c);
	assert_int_equal(s.n_segments, 1);
	assert_int_equal(s.n_imports, 1);
	assert_int_equal(
		client_import_word(&c, import), WIRE_IMPORT_WORD(1, WIRE_IMPORT_CONNECTED));
	assert_true(text_is(fd, "kept"));

	/* not our child any more, but it ends as orderly */
	kill((pid_t)s.keeper_pid, SIGTERM);
	while (client_receive(&c))
		;
	client_close(&c);
	for (int i = 0; i < 1000 && access(node.socket, F_OK) == 0; i++)
		usleep(5000);
	assert_int_not_equal(access(node.socket, F_OK), 0);
	close(fd);
	/* for the teardown */
	node_start_again(&node, program, false);
}

static void a_killed_keeper_is_replaced_by_one_that_knows_everything(void **state)
{
	keeper_is_replaced(keeper_dies);
}

static void so_is_one_that_does_not_read(void **state)
{
	keeper_is_replaced(keeper_hangs);
}

static void the_node_page_shows_the_daemons_death(void **state)
{
	struct client c;
	_Atomic uint32_t *alive;
	uint32_t word, pid;

	client_new(&c, &node);
	alive = (_Atomic uint32_t *)&c.node->alive;
	word = atomic_load(alive);
	pid = client_node_status(&c).daemon_pid;
	assert_int_equal(word, pid | FUTEX_WAITERS);
	kill((pid_t)pid, SIGKILL);
	for (int i = 0; i < 10000 && atomic_load(alive) == word; i++)
		usleep(100);
	assert_int_not_equal(atomic_load(alive), word);
	client_wait_resend(&c);
	assert_int_equal(atomic_load(alive), client_node_status(&c).daemon_pid | FUTEX_WAITERS);
	client_close(&c);
}

/* The same request again after a restart, as a library that got no answer would do. */
static uint32_t repeat(struct client *c, struct wire_message *m)
{
	kill_daemon(c);
	client_wait_resend(c);
	return client_call(c, m);
}

static void requests_that_were_carried_out_are_answered_again_without_effect(void **state)
{
	struct wire_message create = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {.space = WIRE_SPACE_RSM, .mode = 0600, .size = 4096}};
	struct wire_message publish = {.type = WIRE_SEGMENT_PUBLISH};
	struct wire_message connect = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_LOOPBACK, 0, 0, WIRE_WRITE}};
	struct wire_message disconnect = {.type = WIRE_IMPORT_DISCONNECT};
	struct wire_message unpublish = {.type = WIRE_SEGMENT_UNPUBLISH};
	struct wire_message destroy = {.type = WIRE_SEGMENT_DESTROY};
	uint64_t instance;
	uint32_t id, import;
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_call(&c, &create), STATUS_OK);
	instance = c.reply.segment_create_reply.instance;
	assert_int_equal(repeat(&c, &create), STATUS_OK);
	assert_int_equal(c.reply.segment_create_reply.instance, instance);
	assert_int_equal(c.n_fds, 1);

	assert_int_equal(client_call(&c, &publish), STATUS_OK);
	id = c.reply.segment_publish_reply.id;
	assert_int_equal(repeat(&c, &publish), STATUS_OK);
	assert_int_equal(c.reply.segment_publish_reply.id, id);

	connect.import_connect.id = id;
	assert_int_equal(client_call(&c, &connect), STATUS_OK);
	import = c.reply.import_connect_reply.import;
	assert_int_equal(repeat(&c, &connect), STATUS_OK);
	assert_int_equal(c.reply.import_connect_reply.import, import);
	assert_int_equal(c.reply.import_connect_reply.size, 4096);
	assert_int_equal(c.n_fds, 1);
	assert_int_equal(client_node_status(&c).n_imports, 1);

	usleep(1100000); /* deaths in quick succession would be the node's end */
	disconnect.import_disconnect.import = import;
	assert_int_equal(client_call(&c, &disconnect), STATUS_OK);
	assert_int_equal(repeat(&c, &disconnect), STATUS_OK);
	assert_int_equal(client_node_status(&c).n_imports, 0);

	assert_int_equal(client_call(&c, &unpublish), STATUS_OK);
	assert_int_equal(repeat(&c, &unpublish), STATUS_OK);
	assert_int_equal(c.reply.segment_unpublish_reply.moved, 0);

	assert_int_equal(client_call(&c, &destroy), STATUS_OK);
	assert_int_equal(repeat(&c, &destroy), STATUS_OK);
	assert_int_equal(client_node_status(&c).n_segments, 0);
	client_close(&c);
}

static void an_old_one_way_request_does_not_end_a_newer_import(void **state)
{
	struct wire_message disconnect = {.type = WIRE_IMPORT_DISCONNECT, .flags = WIRE_ONEWAY};
	uint32_t segment, id, first, second;
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &segment, NULL), STATUS_OK);
	assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
	assert_int_equal(client_connect(&c, id, WIRE_WRITE, &first), STATUS_OK);
	disconnect.import_disconnect.import = first;
	client_send(&c, &disconnect, NULL, 0);
	assert_int_equal(client_connect(&c, id, WIRE_WRITE, &second), STATUS_OK);
	assert_int_equal(first, second);
	kill_daemon(&c);
	client_wait_resend(&c);
	client_send(&c, &disconnect, NULL, 0);
	assert_int_equal(client_node_status(&c).n_imports, 1);
	client_close(&c);
}

static void generations_go_on_where_they_were(void **state)
{
	struct wire_message disconnect = {.type = WIRE_IMPORT_DISCONNECT};
	uint32_t segment, id, import;
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &segment, NULL), STATUS_OK);
	assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
	for (uint32_t generation = 1; generation <= 4; generation++) {
		if (generation == 3) {
			kill_daemon(&c);
			client_wait_resend(&c);
		}
		assert_int_equal(client_connect(&c, id, WIRE_READ, &import), STATUS_OK);
		assert_int_equal(import, 0);
		assert_int_equal(client_import_word(&c, import),
			WIRE_IMPORT_WORD(generation, WIRE_IMPORT_CONNECTED));
		disconnect.import_disconnect.import = import;
		disconnect.serial = 0;
		assert_int_equal(client_call(&c, &disconnect), STATUS_OK);
	}
	client_close(&c);
}

/* /proc/PID/comm of a process, or its first argument. */
static void process_name(pid_t pid, const char *file, char name[32])
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, name, 31);
	assert_true(n > 0);
	name[n] = 0;
	name[strcspn(name, "\n")] = 0;
	close(fd);
}

static void assert_named(pid_t pid, const char *name)
{
	char got[32];

	process_name(pid, "comm", got);
	assert_string_equal(got, name);
}

/* The next datagram, as systemd would get it. */
static void assert_notified(int fd, const char *expected)
{
	char got[128];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	assert_true(n > 0);
	got[n] = 0;
	assert_string_equal(got, expected);
}

static void systemd_and_ps_know_who_is_who(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 10};
	struct wire_node_status_reply s;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64], got[32];
	struct client c;
	pid_t first;
	size_t n;

	n = (size_t)snprintf(name, sizeof(name), "@causeway-test-%d", (int)getpid());
	memcpy(address.sun_path + 1, name + 1, n - 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
	node_start(&node, program, "", false);
	unsetenv("NOTIFY_SOCKET");
	assert_notified(fd, "READY=1");
	client_new(&c, &node);
	s = client_node_status(&c);
	first = node.keeper;
	assert_int_equal(s.keeper_pid, first);
	assert_named(first, "causeway-keep");
	assert_named((pid_t)s.daemon_pid, "causewayd");

	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	snprintf(name, sizeof(name), "MAINPID=%u", s.daemon_pid);
	assert_notified(fd, name);
	s = client_node_status(&c);
	assert_int_not_equal(s.keeper_pid, first);
	snprintf(name, sizeof(name), "MAINPID=%u", s.keeper_pid);
	assert_notified(fd, name);
	assert_named((pid_t)s.keeper_pid, "causeway-keep");
	process_name((pid_t)s.keeper_pid, "cmdline", got);
	assert_string_equal(got, "causeway-keep");

	kill_daemon(&c);
	client_wait_resend(&c);
	s = client_node_status(&c);
	assert_named((pid_t)s.daemon_pid, "causewayd");
	process_name((pid_t)s.daemon_pid, "cmdline", got);
	assert_string_equal(got, "causewayd");
	kill((pid_t)s.keeper_pid, SIGTERM);
	while (client_receive(&c))
		;
	client_close(&c);
	for (int i = 0; i < 1000 && access(node.socket, F_OK) == 0; i++)
		usleep(5000);
	node_remove(&node);
	close(fd);
}

static void many_objects_come_back(void **state)
{
	enum { MANY = 2000 };
	struct client c;
	uint32_t segment, id, import;

	client_new(&c, &node);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(client_create(&c, 4096, &segment, NULL), STATUS_OK);
		assert_int_equal(client_publish(&c, segment, 0, &id), STATUS_OK);
		assert_int_equal(client_connect(&c, id, WIRE_READ, &import), STATUS_OK);
	}
	kill_daemon(&c);
	client_wait_resend(&c);
	assert_int_equal(client_node_status(&c).n_segments, MANY);
	assert_int_equal(client_node_status(&c).n_imports, MANY);
	client_close(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			two_processes_keep_their_segment_when_the_daemon_is_killed, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_client_that_dies_while_there_is_no_daemon_is_reaped, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_killed_keeper_is_replaced_by_one_that_knows_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(so_is_one_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_node_page_shows_the_daemons_death, setup, teardown),
		cmocka_unit_test_setup_teardown(
			requests_that_were_carried_out_are_answered_again_without_effect, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			an_old_one_way_request_does_not_end_a_newer_import, setup, teardown),
		cmocka_unit_test_setup_teardown(generations_go_on_where_they_were, setup, teardown),
		cmocka_unit_test(systemd_and_ps_know_who_is_who),
		cmocka_unit_test_setup_teardown(many_objects_come_back, setup, teardown),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-restart CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
