/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-nodes.h"

/*
 * Routes of clients that break the rules, or whose daemons are killed at any time. argv[1]:
 * causewayd. KILL_SEED=n: other times.
 */

#define SIZE 65536u

static const char *program;

/* a exports on node 1, b imports on node 2; node 3 does not run. */
struct scene {
	struct nodes nodes;
	struct client a, b;
	uint32_t segment, id;
	uint8_t *memory;
	struct remote r;
};

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 2,
		"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=1s\n");
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	remote_close(&s->r);
	munmap(s->memory, SIZE);
	client_close(&s->a);
	client_close(&s->b);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

static void open_remote(struct scene *s)
{
	remote_open(&s->r, &s->b, 1, s->id, WIRE_READ | WIRE_WRITE);
}

static void assert_works(struct scene *s)
{
	static uint64_t number;
	uint64_t got;

	number++;
	assert_int_equal(fabric_put(s->r.path, &s->r.user, 8, &number, 8, 8, 0), 0);
	assert_memory_equal(s->memory + 8, &number, 8);
	assert_int_equal(fabric_get(s->r.path, &s->r.user, 8, &got, 8, 8), 0);
	assert_int_equal(got, number);
}

static uint64_t route_word(const struct scene *s)
{
	return atomic_load((_Atomic uint64_t *)&s->b.status->routes[s->r.route]);
}

static void send_renew(struct scene *s, uint32_t route, uint32_t generation, uint32_t stuck)
{
	struct wire_message m = {.type = WIRE_ROUTE_RENEW, .flags = WIRE_ONEWAY};

	m.route_renew = (struct wire_route_renew){route, generation, stuck};
	client_send(&s->b, &m, NULL, 0);
}

static void wait_imports(struct client *c, uint32_t n)
{
	for (int i = 0; i < 1000 && client_node_status(c).n_imports != n; i++)
		usleep(5000);
	assert_int_equal(client_node_status(c).n_imports, n);
}

/* Clients that break the rules */

static void what_is_not_there_cannot_be_asked_for(void **state)
{
	static const uint32_t numbers[] = {0, 1, 4095, 4096, 65536, UINT32_MAX};
	struct scene *s = *state;
	struct wire_message m;

	open_remote(s);
	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		uint32_t other = numbers[i] + (numbers[i] == s->r.route);

		m = (struct wire_message){.type = WIRE_ROUTE, .route = {other}};
		assert_int_equal(client_call(&s->b, &m), STATUS_BAD_HANDLE);
		m = (struct wire_message){.type = WIRE_ROUTE_RENEW, .route_renew = {other, 1, 1}};
		assert_int_equal(client_call(&s->b, &m), STATUS_BAD_HANDLE);
		m = (struct wire_message){.type = WIRE_IMPORT_RESULT, .import_result = {other}};
		assert_int_equal(client_call(&s->b, &m), STATUS_BAD_HANDLE);
		/* nor what is another client's */
		m = (struct wire_message){.type = WIRE_ROUTE, .route = {numbers[i]}};
		assert_int_equal(client_call(&s->a, &m), STATUS_BAD_HANDLE);
	}
	assert_works(s);
}

static void a_local_import_has_no_result(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_IMPORT_RESULT};
	uint32_t import;

	assert_int_equal(client_connect(&s->a, s->id, WIRE_READ, &import), STATUS_OK);
	m.import_result.import = import;
	assert_int_equal(client_call(&s->a, &m), STATUS_BAD_HANDLE);
	open_remote(s);
	assert_works(s);
}

static void a_node_that_does_not_run_is_unreachable(void **state)
{
	struct scene *s = *state;

	assert_int_equal(remote_connect(&s->r, &s->b, 3, 1, WIRE_READ), STATUS_NODE_UNREACHABLE);
	wait_imports(&s->b, 0);
}

static void renewing_for_ever_costs_little(void **state)
{
	struct scene *s = *state;
	uint64_t until = clock_now() + NSEC_PER_SEC / 2;
	uint32_t first, last;

	open_remote(s);
	first = (uint32_t)(route_word(s) >> 32);
	while (clock_now() < until) {
		send_renew(s, s->r.route, (uint32_t)(route_word(s) >> 32), 0);
		client_node_status(&s->b);
	}
	last = (uint32_t)(route_word(s) >> 32);
	assert_in_range(last - first, 1, 6);
	assert_works(s);
}

static void renewing_what_is_over_changes_nothing(void **state)
{
	struct scene *s = *state;
	uint64_t word;

	open_remote(s);
	word = route_word(s);
	for (uint32_t i = 0; i < 10; i++)
		send_renew(s, s->r.route, (uint32_t)(word >> 32) - 5 + i + (i >= 5), 0);
	send_renew(s, s->r.route, (uint32_t)(word >> 32) - 1, 1);
	client_node_status(&s->b);
	assert_true(route_word(s) == word);
	assert_works(s);
	assert_int_equal(s->r.n_repairs, 0);
}

static void a_stuck_route_ends_its_imports(void **state)
{
	struct scene *s = *state;

	open_remote(s);
	send_renew(s, s->r.route, (uint32_t)(route_word(s) >> 32), 1);
	client_wait_import(&s->b, s->r.import, WIRE_IMPORT_NODE_LOST);
	assert_int_equal((uint32_t)route_word(s), WIRE_ROUTE_LOST);
	wait_imports(&s->a, 0);
	/* the node is not lost: a new import has a new route */
	remote_close(&s->r);
	open_remote(s);
	assert_works(s);
}

static void a_client_cannot_delay_the_end_of_its_stream(void **state)
{
	static const uint8_t rubbish[4096];
	struct linger slow = {1, 30};
	struct scene *s = *state;
	struct wire_route_reply reply;
	uint64_t before;
	pid_t home;
	int fd;

	open_remote(s);
	home = (pid_t)client_node_status(&s->a).daemon_pid;
	assert_int_equal(remote_route(&s->b, s->r.route, &reply, &fd), STATUS_OK);
	/* data that the home never reads keep a close waiting */
	kill(home, SIGSTOP);
	while (send(fd, rubbish, sizeof(rubbish), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &slow, sizeof(slow)), 0);
	close(fd);
	remote_close(&s->r);
	before = clock_now();
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	client_node_status(&s->b);
	assert_true(clock_now() - before < NSEC_PER_SEC);
	kill(home, SIGCONT);
	client_wait_import(&s->b, s->r.import, WIRE_IMPORT_FREE);
}

/* What people see */

static struct wire_stat_row stat_of(struct client *c)
{
	struct wire_message m = {.type = WIRE_STAT};
	struct wire_stat_row row;

	assert_int_equal(client_call(c, &m), STATUS_OK);
	assert_int_equal(c->reply.stat_reply.n, 1);
	assert_non_null(wire_get_stat_row(
		c->reply.tail, (const uint8_t *)c->reply.tail + c->reply.tail_size, &row));
	return row;
}

static void what_guests_do_is_counted_at_the_home(void **state)
{
	struct scene *s = *state;
	struct wire_stat_row row;
	char bytes[100] = "";

	open_remote(s);
	assert_int_equal(fabric_put(s->r.path, &s->r.user, 0, bytes, 100, 0, 0), 0);
	assert_int_equal(fabric_put(s->r.path, &s->r.user, 0, bytes, 50, 0, 0), 0);
	assert_int_equal(fabric_get(s->r.path, &s->r.user, 0, bytes, 10, 0), 0);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	row = stat_of(&s->a);
	assert_int_equal(row.n_imports, 1);
	assert_int_equal(row.puts, 2);
	assert_int_equal(row.put_bytes, 150);
	assert_int_equal(row.gets, 1);
	assert_int_equal(row.get_bytes, 10);
	assert_int_equal(row.import_posts, 1);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	wait_imports(&s->a, 0);
	row = stat_of(&s->a);
	assert_int_equal(row.puts, 2);
	assert_int_equal(row.put_bytes, 150);
}

/* What is left */

static unsigned int count_fds(uint32_t pid)
{
	char path[32];
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct left {
	unsigned int daemon, keeper;
};

static struct left count_left(struct client *c)
{
	struct wire_node_status_reply status = client_node_status(c);

	return (struct left){count_fds(status.daemon_pid), count_fds(status.keeper_pid)};
}

static void assert_left(struct client *c, struct left expected)
{
	struct left now = count_left(c);

	for (int i = 0; i < 500 && memcmp(&now, &expected, sizeof(now)); i++) {
		usleep(5000);
		now = count_left(c);
	}
	assert_int_equal(now.daemon, expected.daemon);
	assert_int_equal(now.keeper, expected.keeper);
}

/* With all that an import of another node can have. */
static void come_and_go(struct scene *s)
{
	struct wire_message pipe = {.type = WIRE_PIPE};
	struct client own;

	client_new(&own, &s->nodes.node[2]);
	remote_open(&s->r, &own, 1, s->id, WIRE_READ | WIRE_WRITE);
	assert_works(s);
	pipe.pipe.side = WIRE_SIDE_IMPORT;
	pipe.pipe.index = s->r.import;
	assert_int_equal(client_call(&own, &pipe), STATUS_OK);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	remote_close(&s->r);
	client_close(&own);
}

static void nothing_is_left_of_processes_that_came_and_went(void **state)
{
	struct scene *s = *state;
	struct left home, here;

	/* keeps the session, and what is made for the first guest */
	open_remote(s);
	home = count_left(&s->a);
	here = count_left(&s->b);
	remote_close(&s->r);
	for (int i = 0; i < 30; i++)
		come_and_go(s);
	wait_imports(&s->a, 1);
	assert_left(&s->a, home);
	assert_left(&s->b, here);
}

/* Processes that are killed */

static void kill_keeper(struct node *n, struct client *c)
{
	uint32_t old = client_node_status(c).keeper_pid;

	kill((pid_t)old, SIGKILL);
	while (client_node_status(c).keeper_pid == old)
		usleep(2000);
	/* it is not our child, and has taken the files over */
	waitpid(n->keeper, NULL, 0);
	n->keeper = (pid_t)client_node_status(c).keeper_pid;
}

static void stop_adopted(struct node *n)
{
	/* not our child: whoever adopts it may leave its body lying about for long */
	struct pollfd p = {(int)syscall(SYS_pidfd_open, n->keeper, 0), POLLIN, 0};

	assert_true(p.fd >= 0);
	kill(n->keeper, SIGTERM);
	assert_int_equal(poll(&p, 1, 10000), 1);
	close(p.fd);
	n->keeper = 0;
	node_remove(n);
}

static void a_new_keeper_has_all_of_it(void **state)
{
	struct scene *s = *state;

	open_remote(s);
	kill_keeper(&s->nodes.node[1], &s->a);
	kill_keeper(&s->nodes.node[2], &s->b);
	assert_works(s);
	nodes_kill_daemon(&s->a);
	assert_works(s);
	assert_int_equal(s->r.n_repairs, 1);
	nodes_kill_daemon(&s->b);
	assert_works(s);
	assert_int_equal(s->r.n_repairs, 1);
	remote_close(&s->r);
	stop_adopted(&s->nodes.node[1]);
	stop_adopted(&s->nodes.node[2]);
}

/* A killer at work: both daemons, one or the other, at any time. */
static pid_t killer_start(struct scene *s, unsigned int rounds, unsigned int seed)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	srand(seed);
	for (unsigned int i = 0; i < rounds; i++) {
		struct client c;
		unsigned int node = 1 + (unsigned int)rand() % 2;

		client_new(&c, &s->nodes.node[node]);
		usleep((useconds_t)rand() % 30000);
		kill((pid_t)client_node_status(&c).daemon_pid, SIGKILL);
		client_close(&c);
	}
	_exit(0);
}

static bool killer_works(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == 0)
		return true;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return false;
}

/* As a library does it: says again what was not answered. */
static uint32_t call(struct client *c, struct wire_message *m)
{
	m->serial = 0;
	client_send(c, m, NULL, 0);
	for (;;) {
		assert_true(client_receive_any(c));
		if (c->reply.type == WIRE_RESEND)
			client_send(c, m, NULL, 0);
		else if (c->reply.serial == m->serial)
			return c->reply.status;
	}
}

static uint32_t connect_patiently(struct scene *s)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {
			WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, 1, s->id, WIRE_READ | WIRE_WRITE}};
	struct wire_message ask = {.type = WIRE_IMPORT_RESULT};
	uint64_t word;
	uint32_t status;

	assert_int_equal(call(&s->b, &m), STATUS_OK);
	s->r = (struct remote){.client = &s->b, .import = s->b.reply.import_connect_reply.import};
	word = WIRE_IMPORT_WORD(s->b.reply.import_connect_reply.generation, WIRE_IMPORT_PENDING);
	client_wait_word(&s->b.status->imports[s->r.import], word);
	ask.import_result.import = s->r.import;
	status = call(&s->b, &ask);
	s->r.result = s->b.reply.import_result_reply;
	s->r.route = s->r.result.route - 1;
	return status;
}

static void disconnect_patiently(struct scene *s)
{
	struct wire_message m = {
		.type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {s->r.import}};

	assert_int_equal(call(&s->b, &m), STATUS_OK);
}

static unsigned int seed(void)
{
	const char *text = getenv("KILL_SEED");

	return text ? (unsigned int)atoi(text) : 1;
}

static void connects_survive_daemons_that_are_killed(void **state)
{
	struct scene *s = *state;
	pid_t killer = killer_start(s, 20, seed());
	unsigned int n = 0;
	uint64_t end = clock_now() + 20 * NSEC_PER_SEC;

	for (; killer_works(killer); n++) {
		uint32_t status = connect_patiently(s);

		assert_int_equal(status, STATUS_OK);
		disconnect_patiently(s);
		assert_true(clock_now() < end);
	}
	print_message("%u connects\n", n);
	assert_int_equal(connect_patiently(s), STATUS_OK);
	disconnect_patiently(s);
	assert_int_equal((uint32_t)s->b.status->routes[s->r.route], WIRE_ROUTE_FREE);
	wait_imports(&s->b, 0);
	wait_imports(&s->a, 0);
}

static void what_is_done_is_done_once_whoever_is_killed(void **state)
{
	struct scene *s = *state;
	pid_t killer;
	uint64_t old, n = 0, lost = 0, got;

	open_remote(s);
	killer = killer_start(s, 20, seed() + 1000);
	while (killer_works(killer)) {
		int r = fabric_fetch_add(s->r.path, &s->r.user, 0, 8, 1, &old);

		/* done, but nobody knows what was there before */
		assert_true(r == 0 || r == STATUS_BROKEN);
		lost += r == STATUS_BROKEN;
		assert_true(r || old == n);
		n++;
	}
	memcpy(&got, s->memory, 8);
	print_message("%lu additions, %lu answers lost, %u repairs\n", (unsigned long)n,
		(unsigned long)lost, s->r.n_repairs);
	assert_true(got == n);
	assert_works(s);
	wait_imports(&s->a, 1);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_there_cannot_be_asked_for),
		TEST(a_local_import_has_no_result),
		TEST(a_node_that_does_not_run_is_unreachable),
		TEST(renewing_for_ever_costs_little),
		TEST(renewing_what_is_over_changes_nothing),
		TEST(a_stuck_route_ends_its_imports),
		TEST(a_client_cannot_delay_the_end_of_its_stream),
		TEST(what_guests_do_is_counted_at_the_home),
		TEST(nothing_is_left_of_processes_that_came_and_went),
		TEST(a_new_keeper_has_all_of_it),
		TEST(connects_survive_daemons_that_are_killed),
		TEST(what_is_done_is_done_once_whoever_is_killed),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: test-route CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests_name("daemon, routes", tests, NULL, NULL);
}
