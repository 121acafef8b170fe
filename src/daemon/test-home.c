/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-fake.h"

/*
 * A client of node 1 imports of node 2, which is the test: routes, when connects are granted,
 * refused and revoked in any order. argv[1]: causewayd.
 */

static const char *program;

struct scene {
	struct nodes nodes;
	struct client b;
	struct fake home;
	int port; /* of node 2: for data connections */
};

static void listen_on(struct scene *s)
{
	const struct sockaddr_in address = fake_address(&s->nodes, 2);
	int on = 1;

	s->port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->port, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(s->port, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->port, 16), 0);
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(
		&s->nodes, program, 2, 1, "[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=2s\n");
	listen_on(s);
	client_new(&s->b, &s->nodes.node[1]);
	fake_open(&s->home, &s->nodes, 2);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	fake_close(&s->home);
	if (s->port >= 0)
		close(s->port);
	client_close(&s->b);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

/* The client's side */

static struct wire_import_connect_reply begin_connect(struct scene *s)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, 2, 1, WIRE_READ}};

	assert_int_equal(client_call(&s->b, &m), STATUS_OK);
	return s->b.reply.import_connect_reply;
}

static uint32_t result(struct scene *s, const struct wire_import_connect_reply *import,
	struct wire_import_result_reply *ret)
{
	struct wire_message m = {.type = WIRE_IMPORT_RESULT, .import_result = {import->import}};
	uint32_t status;

	client_wait_word(&s->b.status->imports[import->import],
		WIRE_IMPORT_WORD(import->generation, WIRE_IMPORT_PENDING));
	status = client_call(&s->b, &m);
	*ret = s->b.reply.import_result_reply;
	return status;
}

static void disconnect(struct scene *s, const struct wire_import_connect_reply *import)
{
	struct wire_message m = {
		.type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {import->import}};

	assert_int_equal(client_call(&s->b, &m), STATUS_OK);
}

static uint64_t route_word(const struct scene *s, uint32_t number)
{
	return atomic_load((_Atomic uint64_t *)&s->b.status->routes[number - 1]);
}

static void wait_route(const struct scene *s, uint32_t number, uint32_t state)
{
	uint64_t word;

	while ((uint32_t)(word = route_word(s, number)) != state)
		client_wait_word(&s->b.status->routes[number - 1], word);
}

static void renew(struct scene *s, uint32_t number)
{
	struct wire_message m = {.type = WIRE_ROUTE_RENEW,
		.flags = WIRE_ONEWAY,
		.route_renew = {number - 1, (uint32_t)(route_word(s, number) >> 32), 0}};

	client_send(&s->b, &m, NULL, 0);
}

/* The home's side */

static void answer(
	struct scene *s, const struct wire_message *asked, uint32_t status, uint8_t grant)
{
	struct wire_message m = {.type = WIRE_PEER_CONNECT_REPLY,
		.serial = asked->serial,
		.status = status,
		.peer_connect_reply = {.client = asked->peer_connect.client,
			.index = asked->peer_connect.index,
			.generation = asked->peer_connect.generation,
			.instance = 77,
			.size = 4096,
			.rights = asked->peer_connect.rights}};

	memset(m.peer_connect_reply.key, 0xee, sizeof(m.peer_connect_reply.key));
	memset(m.peer_connect_reply.grant, grant, sizeof(m.peer_connect_reply.grant));
	fake_say(&s->home, &m);
	(void)fake_heard(&s->home, 0);
}

static void answer_data(struct scene *s, const struct wire_message *asked, uint32_t status,
	uint8_t grant, uint64_t done)
{
	struct wire_message m = {.type = WIRE_PEER_DATA_REPLY,
		.serial = asked->serial,
		.status = status,
		.peer_data_reply = {.client = asked->peer_data.client, .done = done}};

	memset(m.peer_data_reply.grant, grant, sizeof(m.peer_data_reply.grant));
	fake_say(&s->home, &m);
	(void)fake_heard(&s->home, 0);
}

static void say_lost(struct scene *s, const struct wire_message *asked)
{
	struct wire_message m = {.type = WIRE_PEER_LOST,
		.flags = WIRE_ONEWAY,
		.peer_lost = {asked->peer_connect.client, asked->peer_connect.index,
			asked->peer_connect.generation, WIRE_IMPORT_REVOKED}};

	fake_say(&s->home, &m);
	fake_hear(&s->home, WIRE_PEER_DISCONNECT);
}

/* The next connection that is no TLS. */
static int accept_stream(struct scene *s)
{
	struct pollfd p = {.fd = s->port, .events = POLLIN};
	uint8_t first;
	int fd;

	for (;;) {
		assert_int_equal(poll(&p, 1, 5000), 1);
		fd = accept4(s->port, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd >= 0);
		if (recv(fd, &first, 1, MSG_PEEK) == 1 && first == 'C')
			return fd;
		close(fd);
	}
}

/* The data connection that comes, which must have this grant. */
static int take_stream(struct scene *s, uint8_t grant)
{
	uint8_t hello[FABRIC_HELLO_SIZE], got[16], expected[16];
	uint32_t node, flags;
	int fd = accept_stream(s);

	assert_int_equal(recv(fd, hello, sizeof(hello), MSG_WAITALL), sizeof(hello));
	assert_int_equal(fabric_hello_decode(hello, &node, &flags, got), 0);
	assert_int_equal(node, 1);
	memset(expected, grant, sizeof(expected));
	assert_memory_equal(got, expected, sizeof(got));
	return fd;
}

static void assert_no_stream(struct scene *s)
{
	struct pollfd p = {.fd = s->port, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 100), 0);
}

static bool has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;

	return poll(&p, 1, 2000) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* One that is connected. */
static struct wire_import_connect_reply connected(
	struct scene *s, struct wire_message *ret_asked, int *ret_stream)
{
	struct wire_import_connect_reply a = begin_connect(s);
	struct wire_import_result_reply r;

	*ret_asked = fake_hear(&s->home, WIRE_PEER_CONNECT);
	assert_int_equal(ret_asked->peer_connect.data, 1);
	answer(s, ret_asked, 0, 'a');
	*ret_stream = take_stream(s, 'a');
	assert_int_equal(result(s, &a, &r), STATUS_OK);
	assert_int_equal(r.route, a.route);
	return a;
}

static int take_route(struct scene *s, uint32_t number, struct wire_route_reply *ret)
{
	int fd;

	assert_int_equal(remote_route(&s->b, number - 1, ret, &fd), STATUS_OK);
	return fd;
}

/* Tests */

static void two_connects_at_once_share_a_stream(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a = begin_connect(s), b = begin_connect(s);
	struct wire_message first = fake_hear(&s->home, WIRE_PEER_CONNECT);
	struct wire_message second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	struct wire_import_result_reply r;
	int stream;

	assert_int_equal(a.route, b.route);
	assert_int_equal(first.peer_connect.data, 1);
	assert_int_equal(second.peer_connect.data, 1);
	answer(s, &first, 0, 'a');
	answer(s, &second, 0, 'b');
	stream = take_stream(s, 'a');
	assert_int_equal(result(s, &a, &r), STATUS_OK);
	assert_int_equal(result(s, &b, &r), STATUS_OK);
	assert_no_stream(s);
	disconnect(s, &a);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_OPEN);
	disconnect(s, &b);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_FREE);
	assert_true(has_ended(stream));
	close(stream);
}

static void the_first_that_is_granted_opens_the_route(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a = begin_connect(s), b = begin_connect(s);
	struct wire_message first = fake_hear(&s->home, WIRE_PEER_CONNECT);
	struct wire_message second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	struct wire_import_result_reply r;

	answer(s, &first, STATUS_NOT_FOUND, 'a');
	assert_int_equal(result(s, &a, &r), STATUS_NOT_FOUND);
	assert_no_stream(s);
	answer(s, &second, 0, 'b');
	close(take_stream(s, 'b'));
	assert_int_equal(result(s, &b, &r), STATUS_OK);
	assert_int_equal(r.route, b.route);
}

static void a_route_stays_with_a_guest_that_stays(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a, b;
	struct wire_message first, second;
	struct wire_import_result_reply r;
	int stream;

	a = connected(s, &first, &stream);
	b = begin_connect(s);
	second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	assert_int_equal(second.peer_connect.data, 0);
	say_lost(s, &first);
	answer(s, &second, 0, 0);
	assert_int_equal(result(s, &b, &r), STATUS_OK);
	assert_int_equal(r.route, a.route);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_OPEN);
	assert_no_stream(s);
	close(stream);
}

static void a_route_is_lost_with_its_last_import(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a, b;
	struct wire_message first, second;
	struct wire_import_result_reply r;
	int stream;

	a = connected(s, &first, &stream);
	say_lost(s, &first);
	wait_route(s, a.route, WIRE_ROUTE_LOST);
	assert_true(has_ended(stream));
	close(stream);
	b = begin_connect(s);
	assert_int_not_equal(a.route, b.route);
	second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	assert_int_equal(second.peer_connect.data, 1);
	answer(s, &second, 0, 'b');
	close(take_stream(s, 'b'));
	assert_int_equal(result(s, &b, &r), STATUS_OK);
	disconnect(s, &a);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_FREE);
	assert_int_equal((uint32_t)route_word(s, b.route), WIRE_ROUTE_OPEN);
}

/* The home has forgotten the process while connects were under way, and counts from 0. */
static void a_guest_that_is_new_has_another_route(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a, b, c;
	struct wire_message first, second, third;
	struct wire_import_result_reply r;
	struct wire_route_reply route;
	int stream;

	a = connected(s, &first, &stream);
	b = begin_connect(s);
	second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	say_lost(s, &first);
	c = begin_connect(s);
	third = fake_hear(&s->home, WIRE_PEER_CONNECT);
	assert_int_equal(third.peer_connect.data, 1);
	answer(s, &second, STATUS_NOT_FOUND, 0);
	assert_int_equal(result(s, &b, &r), STATUS_NOT_FOUND);
	answer(s, &third, 0, 'c');
	assert_true(has_ended(stream));
	close(stream);
	stream = take_stream(s, 'c');
	assert_int_equal(result(s, &c, &r), STATUS_OK);
	assert_int_not_equal(r.route, a.route);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_LOST);
	close(take_route(s, r.route, &route));
	assert_int_equal(route.done, 0);
	close(stream);
}

/* Two that were asked for and not answered: in the next session they share its route. */
static void what_was_not_answered_is_connected_in_the_next_session(void **state)
{
	struct wire_message bye = {.type = WIRE_PEER_BYE, .flags = WIRE_ONEWAY};
	struct scene *s = *state;
	struct wire_import_connect_reply a, b, c;
	struct wire_message first, second, third;
	struct wire_import_result_reply rb, rc;
	int stream;

	a = connected(s, &first, &stream);
	b = begin_connect(s);
	c = begin_connect(s);
	fake_hear(&s->home, WIRE_PEER_CONNECT);
	fake_hear(&s->home, WIRE_PEER_CONNECT);
	fake_say(&s->home, &bye);
	while (!s->home.over)
		sd_event_run(s->home.event, 10000);
	client_wait_import(&s->b, a.import, WIRE_IMPORT_NODE_LOST);
	assert_true(has_ended(stream));
	close(stream);
	fake_close(&s->home);
	fake_open(&s->home, &s->nodes, 2);
	second = fake_hear(&s->home, WIRE_PEER_CONNECT);
	third = fake_hear(&s->home, WIRE_PEER_CONNECT);
	assert_int_equal(second.peer_connect.data, 1);
	assert_int_equal(third.peer_connect.data, 1);
	answer(s, &third, 0, 'c');
	answer(s, &second, 0, 'b');
	close(take_stream(s, 'c'));
	assert_int_equal(result(s, &b, &rb), STATUS_OK);
	assert_int_equal(result(s, &c, &rc), STATUS_OK);
	assert_int_equal(rb.route, rc.route);
	assert_int_not_equal(rb.route, a.route);
	assert_no_stream(s);
}

static void a_renewed_route_goes_on_counting(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a;
	struct wire_message first, asked;
	struct wire_route_reply before, after;
	int stream, fd;

	a = connected(s, &first, &stream);
	fd = take_route(s, a.route, &before);
	renew(s, a.route);
	asked = fake_hear(&s->home, WIRE_PEER_DATA);
	assert_true(asked.peer_data.client == first.peer_connect.client);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_OPENING);
	/* who slept in the former wakes */
	assert_true(has_ended(fd));
	close(fd);
	close(stream);
	answer_data(s, &asked, 0, 'r', 5);
	stream = take_stream(s, 'r');
	wait_route(s, a.route, WIRE_ROUTE_OPEN);
	close(take_route(s, a.route, &after));
	assert_int_equal(after.done, 5);
	assert_int_equal(after.generation, before.generation + 1);
	close(stream);
}

static void a_home_that_forgot_the_guest_ends_its_imports(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a;
	struct wire_message first, asked;
	int stream;

	a = connected(s, &first, &stream);
	renew(s, a.route);
	asked = fake_hear(&s->home, WIRE_PEER_DATA);
	answer_data(s, &asked, STATUS_NOT_FOUND, 0, 0);
	client_wait_import(&s->b, a.import, WIRE_IMPORT_NODE_LOST);
	assert_int_equal((uint32_t)route_word(s, a.route), WIRE_ROUTE_LOST);
	close(stream);
}

/* Until the detection time has passed; each attempt has a grant of its own. */
static void a_stream_that_cannot_be_made_is_tried_again(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a;
	struct wire_import_result_reply r;
	struct wire_message asked;

	close(s->port);
	s->port = -1;
	a = begin_connect(s);
	asked = fake_hear(&s->home, WIRE_PEER_CONNECT);
	answer(s, &asked, 0, 'a');
	asked = fake_hear(&s->home, WIRE_PEER_DATA);
	answer_data(s, &asked, 0, 'b', 0);
	asked = fake_hear(&s->home, WIRE_PEER_DATA);
	listen_on(s);
	answer_data(s, &asked, 0, 'c', 0);
	close(take_stream(s, 'c'));
	assert_int_equal(result(s, &a, &r), STATUS_OK);
}

static void a_stream_that_cannot_be_made_at_all_ends_the_connect(void **state)
{
	struct scene *s = *state;
	uint64_t before = clock_now();
	struct wire_import_connect_reply a;
	struct wire_import_result_reply r;
	struct wire_message asked;

	close(s->port);
	s->port = -1;
	a = begin_connect(s);
	asked = fake_hear(&s->home, WIRE_PEER_CONNECT);
	answer(s, &asked, 0, 'a');
	while ((uint32_t)client_import_word(&s->b, a.import) == WIRE_IMPORT_PENDING) {
		struct wire_message ping = {.type = WIRE_PEER_PING, .flags = WIRE_ONEWAY};

		fake_say(&s->home, &ping);
		if (!fake_heard(&s->home, WIRE_PEER_DATA))
			continue;
		asked = fake_hear(&s->home, WIRE_PEER_DATA);
		answer_data(s, &asked, 0, 'b', 0);
	}
	assert_int_equal(result(s, &a, &r), STATUS_NODE_UNREACHABLE);
	assert_in_range(clock_now() - before, 1 * NSEC_PER_SEC, 5 * NSEC_PER_SEC);
	assert_true(fake_heard(&s->home, WIRE_PEER_DISCONNECT));
}

static void silence_wakes_who_waits_in_the_stream(void **state)
{
	struct scene *s = *state;
	struct wire_import_connect_reply a;
	struct wire_message first;
	struct wire_route_reply route;
	uint64_t before;
	int stream, fd;
	char byte;

	a = connected(s, &first, &stream);
	fd = take_route(s, a.route, &route);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	before = clock_now();
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_in_range(clock_now() - before, NSEC_PER_SEC, 4 * NSEC_PER_SEC);
	client_wait_import(&s->b, a.import, WIRE_IMPORT_NODE_LOST);
	wait_route(s, a.route, WIRE_ROUTE_LOST);
	close(fd);
	close(stream);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(two_connects_at_once_share_a_stream),
		TEST(the_first_that_is_granted_opens_the_route),
		TEST(a_route_stays_with_a_guest_that_stays),
		TEST(a_route_is_lost_with_its_last_import),
		TEST(a_guest_that_is_new_has_another_route),
		TEST(what_was_not_answered_is_connected_in_the_next_session),
		TEST(a_renewed_route_goes_on_counting),
		TEST(a_home_that_forgot_the_guest_ends_its_imports),
		TEST(a_stream_that_cannot_be_made_is_tried_again),
		TEST(a_stream_that_cannot_be_made_at_all_ends_the_connect),
		TEST(silence_wakes_who_waits_in_the_stream),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: test-home CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests_name("daemon, at the mercy of a home", tests, NULL, NULL);
}
