/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/test-client.h"

/* Clients that want to keep the node from serving others. argv[1]: causewayd. */

#define LINGER_SECONDS 5
#define SOON	       (1 * NSEC_PER_SEC)

static const char *program;
static struct node node;

static int setup(void **state)
{
	node_start(&node, program, "[Daemon]\nHandshakeTimeout=200ms\n", false);
	return 0;
}

static int teardown(void **state)
{
	node_stop(&node);
	return 0;
}

/* A socket whose last close() waits: its data cannot arrive. */
struct trap {
	int fd, reader;
	uint64_t since; /* in the node's hands */
};

static void trap_set(struct trap *t)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	struct linger linger = {1, LINGER_SECONDS};
	socklen_t size = sizeof(a);
	static char data[65536];

	setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(listening, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &size), 0);
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(t->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	t->reader = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(t->reader >= 0);
	close(listening);
	while (send(t->fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

/* Hands n copies to the node, which must not see them before ours is closed: the last close is to
 * be the node's. Returns false if they may not be sent. */
static bool trap_lay(
	struct trap *t, int socket, pid_t daemon, const void *packet, size_t size, unsigned int n)
{
	int fds[FD_PACKET_MAX], r;

	for (unsigned int i = 0; i < n; i++)
		fds[i] = t->fd;
	kill(daemon, SIGSTOP);
	r = fd_send(socket, packet, size, fds, n, 0);
	/* else we are the ones who wait */
	if (r < 0)
		setsockopt(
			t->fd, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger));
	close(t->fd);
	t->since = clock_now();
	kill(daemon, SIGCONT);
	return r == 0;
}

static void assert_others_are_served_soon(const struct trap *t)
{
	struct wire_message ping = {.type = WIRE_PING};
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_call(&c, &ping), STATUS_OK);
	client_close(&c);
	assert_true(clock_now() - t->since < SOON);
}

static size_t encode_ping(uint64_t serial, uint8_t packet[WIRE_PACKET_MAX])
{
	const struct wire_message ping = {.type = WIRE_PING, .serial = serial};
	ssize_t n = wire_encode(&ping, packet, WIRE_PACKET_MAX);

	assert_true(n > 0);
	return (size_t)n;
}

static void a_descriptor_that_cannot_be_closed_soon_keeps_nobody_waiting(void **state)
{
	uint8_t packet[WIRE_PACKET_MAX];
	size_t size = encode_ping(1, packet);
	struct client c;
	struct trap t;

	client_new(&c, &node);
	trap_set(&t);
	assert_true(trap_lay(&t, c.socket, (pid_t)c.hello.daemon_pid, packet, size, 1));
	assert_false(client_receive(&c));
	assert_others_are_served_soon(&t);
	client_close(&c);
	close(t.reader);
}

static void nor_does_one_that_comes_with_a_packet_that_is_too_large(void **state)
{
	static uint8_t packet[WIRE_PACKET_MAX + 1];
	struct client c;
	struct trap t;

	client_new(&c, &node);
	trap_set(&t);
	assert_true(trap_lay(
		&t, c.socket, (pid_t)c.hello.daemon_pid, packet, sizeof(packet), FD_PACKET_MAX));
	assert_false(client_receive(&c));
	assert_others_are_served_soon(&t);
	client_close(&c);
	close(t.reader);
}

static void nor_does_one_that_nobody_received(void **state)
{
	uint8_t packet[WIRE_PACKET_MAX];
	size_t size = encode_ping(1, packet);
	struct client c;
	struct trap t;

	client_new(&c, &node);
	trap_set(&t);
	kill((pid_t)c.hello.daemon_pid, SIGSTOP);
	assert_int_equal(fd_send(c.socket, "malformed", 9, NULL, 0, 0), 0);
	assert_true(trap_lay(&t, c.socket, (pid_t)c.hello.daemon_pid, packet, size, 1));
	assert_false(client_receive(&c));
	client_close(&c);
	assert_others_are_served_soon(&t);
	close(t.reader);
}

static void nor_does_one_that_comes_before_hello(void **state)
{
	uint8_t packet[WIRE_PACKET_MAX];
	size_t size = encode_ping(1, packet);
	struct client c, other;
	struct trap t;

	client_new(&other, &node);
	client_open(&c, &node);
	trap_set(&t);
	trap_lay(&t, c.socket, (pid_t)other.hello.daemon_pid, packet, size, 1);
	assert_others_are_served_soon(&t);
	assert_false(client_receive(&c));
	client_close(&c);
	client_close(&other);
	close(t.reader);
}

static void traps_that_are_set_do_not_keep_a_killed_daemon(void **state)
{
	uint8_t packet[WIRE_PACKET_MAX];
	size_t size = encode_ping(1, packet);
	struct client c, other;
	struct trap t;

	client_new(&other, &node);
	client_new(&c, &node);
	trap_set(&t);
	assert_true(trap_lay(&t, c.socket, (pid_t)c.hello.daemon_pid, packet, size, 1));
	assert_false(client_receive(&c));
	kill((pid_t)other.hello.daemon_pid, SIGKILL);
	client_wait_resend(&other);
	assert_others_are_served_soon(&t);
	client_close(&other);
	client_close(&c);
	close(t.reader);
}

/* 0 is what objects have that no request has made: such a request would be taken for a repetition.
 */
static void a_request_needs_a_number(void **state)
{
	struct wire_message ping = {.type = WIRE_PING};
	uint8_t packet[WIRE_PACKET_MAX];
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_call(&c, &ping), STATUS_OK);
	assert_int_equal(fd_send(c.socket, packet, encode_ping(0, packet), NULL, 0, 0), 0);
	assert_false(client_receive(&c));
	client_close(&c);
}

/* Fewer than would fill the socket with answers. */
static void descriptors_are_not_sent_to_who_does_not_read(void **state)
{
	struct wire_message memory = {.type = WIRE_SEGMENT_MEMORY};
	unsigned int n_answers = 0;
	struct client c;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &memory.segment_memory.segment, NULL), STATUS_OK);
	for (int i = 0; i < 200; i++, memory.serial = 0)
		client_send(&c, &memory, NULL, 0);
	usleep(200000);
	/* the end is also said before what was sent, as an error */
	for (int i = 0; i < 2; i++)
		while (client_receive(&c))
			n_answers++;
	assert_in_range(n_answers, 8, 120);
	client_close(&c);
}

/* Whether a process in so many groups gets an answer. */
static bool is_heard_in_groups(unsigned int n)
{
	struct wire_message hello = {.type = WIRE_HELLO, .hello = {WIRE_MAJOR, WIRE_MINOR, 0, {0}}};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		gid_t groups[100];
		struct client c;

		for (unsigned int i = 0; i < n; i++)
			groups[i] = 1000 + i;
		if (setgroups(n, groups) < 0)
			_exit(2);
		client_open(&c, &node);
		client_send(&c, &hello, NULL, 0);
		_exit(client_receive(&c) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 0;
}

static void who_is_in_more_groups_than_are_kept_is_refused(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_true(is_heard_in_groups(64));
	assert_false(is_heard_in_groups(65));
}

static void limit_descriptors(pid_t pid, rlim_t soft, struct rlimit *ret_saved)
{
	struct rlimit low;

	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &low), 0);
	if (ret_saved)
		*ret_saved = low;
	low.rlim_cur = soft;
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &low, NULL), 0);
}

static void a_node_without_descriptors_is_back_when_there_are_some(void **state)
{
	struct rlimit saved;
	struct client c;

	client_new(&c, &node);
	limit_descriptors(node.keeper, 4, &saved);
	kill((pid_t)client_node_status(&c).daemon_pid, SIGKILL);
	/* longer than a daemon gets that dies for other reasons */
	sleep(2);
	limit_descriptors(node.keeper, saved.rlim_cur, NULL);
	client_wait_resend(&c);
	client_close(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_that_cannot_be_closed_soon_keeps_nobody_waiting),
		cmocka_unit_test(nor_does_one_that_comes_with_a_packet_that_is_too_large),
		cmocka_unit_test(nor_does_one_that_nobody_received),
		cmocka_unit_test(nor_does_one_that_comes_before_hello),
		cmocka_unit_test(a_request_needs_a_number),
		cmocka_unit_test(descriptors_are_not_sent_to_who_does_not_read),
		cmocka_unit_test(who_is_in_more_groups_than_are_kept_is_refused),
		cmocka_unit_test(a_node_without_descriptors_is_back_when_there_are_some),
		cmocka_unit_test(traps_that_are_set_do_not_keep_a_killed_daemon),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-hostile CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, setup, teardown);
}
