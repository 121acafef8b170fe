/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/record.h"
#include "daemon/test-kill.h"

/*
 * A daemon killed inside a request, at every step that its successor can tell from the one before:
 * after each of its system calls, and, between them, after each change of the journal or of the
 * memory that clients see. Each time in a new node. The client then says again what was not
 * answered, and the effect must be there exactly once; what keeper, daemon and journal hold must be
 * the same whatever the step.
 *
 * argv[1]: causewayd; argv[2]: whose requests, engine or clshm. KILL_CASE=name runs one request,
 * KILL_AT=calls:n or changes:n one step of it.
 */

static const char *program;

/* What is left when all is said; the same for each step. */
struct remains {
	unsigned int keeper, daemon; /* descriptors */
	unsigned int records;
};

/* What is held */

static bool print_fd(const char *path, const char *what, void *userdata)
{
	print_error("  %s %s\n", path, what);
	return false;
}

static bool open_journal(const char *path, const char *what, void *userdata)
{
	if (strncmp(what, "/memfd:causeway-journal", 23))
		return false;
	*(int *)userdata = open(path, O_RDWR | O_CLOEXEC);
	return true;
}

static unsigned int count_records(const Journal *j)
{
	struct record_client body;
	unsigned int n = 0;

	for (uint32_t i = 1; i < journal_end(j); i++)
		n += journal_read(j, i, &body, sizeof(body)) != 0;
	return n;
}

static void print_remains(const struct scene *s)
{
	uint8_t body[JOURNAL_BODY_SIZE];

	print_error("keeper:\n");
	each_fd(s->node.keeper, print_fd, NULL);
	print_error("daemon:\n");
	each_fd(s->daemon, print_fd, NULL);
	for (uint32_t i = 1; i < journal_end(s->journal); i++)
		print_error("record %u: kind %u\n", i, journal_read(s->journal, i, body, 1));
}

/* The client's side */

static void say(struct scene *s)
{
	if (s->request.type)
		client_send(s->who, &s->request, NULL, 0);
	else
		close(take_fd(&s->who->socket));
}

/* A connection that had not said hello is lost with the daemon. */
static void connect_again(struct scene *s)
{
	assert_ptr_equal(s->who, &s->c);
	client_close(&s->c);
	client_open(&s->c, &s->node);
	s->request.serial = 0;
	say(s);
}

/* As a library does it: what has not been answered is said again when the daemon asks. A one-way
 * request is answered by the answer to the next. */
static void hear(struct scene *s)
{
	struct wire_message ping = {.type = WIRE_PING}, *last = &s->request;

	if (!s->request.type)
		return;
	if (s->request.flags & WIRE_ONEWAY) {
		last = &ping;
		client_send(s->who, last, NULL, 0);
	}
	for (;;) {
		if (!client_receive_any(s->who)) {
			connect_again(s);
		} else if (s->who->reply.type == WIRE_RESEND) {
			client_send(s->who, &s->request, NULL, 0);
			if (last != &s->request)
				client_send(s->who, last, NULL, 0);
		} else if (s->who->reply.serial == last->serial) {
			break;
		}
	}
	assert_int_equal(s->who->reply.type, last->type | WIRE_REPLY_BIT);
	assert_int_equal(s->who->reply.status, STATUS_OK);
}

/* The request's reply stays in who. */
static void wait_restart(struct scene *s, struct client *c)
{
	struct client copy = *c;

	if (!s->killed || c->socket < 0 || !c->node || c->n_resend)
		return;
	c->n_fds = 0;
	client_wait_resend(c);
	copy.serial = c->serial;
	copy.n_resend = c->n_resend;
	*c = copy;
}

/* One run */

static void scene_begin(struct scene *s, const struct kill_case *which)
{
	int fd = -1;

	memset(s, 0, sizeof(*s));
	s->a.socket = s->b.socket = s->c.socket = s->pipe = -1;
	node_start(&s->node, program, "[Daemon]\nLogLevel=crit\n", false);
	each_fd(s->node.keeper, open_journal, &fd);
	assert_int_equal(journal_open(fd, &s->journal), 0);
	which->prepare(s);
	s->daemon = (pid_t)client_node_status(&s->a).daemon_pid;
}

static struct remains count_remains(struct scene *s)
{
	return (struct remains){
		.keeper = each_fd(s->node.keeper, NULL, NULL),
		.daemon = each_fd(s->daemon, NULL, NULL),
		.records = count_records(s->journal),
	};
}

/* Packets to the keeper and closed connections take their time. */
static void assert_remains(struct scene *s, const struct remains *expected)
{
	struct remains now = count_remains(s);

	for (int i = 0; i < 1000 && memcmp(&now, expected, sizeof(now)); i++) {
		usleep(2000);
		now = count_remains(s);
	}
	if (memcmp(&now, expected, sizeof(now)))
		print_remains(s);
	assert_int_equal(now.keeper, expected->keeper);
	assert_int_equal(now.daemon, expected->daemon);
	assert_int_equal(now.records, expected->records);
}

static void close_clients(struct scene *s)
{
	client_close(&s->a);
	if (s->b_open)
		client_close(&s->b);
	if (s->c_open)
		client_close(&s->c);
	if (s->pipe >= 0)
		close(s->pipe);
	if (s->cells)
		munmap(s->cells, WIRE_CELLS_SIZE);
}

/* Waits until two counts in a row are the same. */
static struct remains settle(struct scene *s)
{
	struct remains before, now = count_remains(s);

	do {
		before = now;
		usleep(20000);
		now = count_remains(s);
	} while (memcmp(&before, &now, sizeof(now)));
	return now;
}

/* with[0]: what remains afterwards, with[1]: once the clients are gone; found out if disturb is
 * NULL. Returns false if the request was over before its nth step. */
static bool run(
	const struct kill_case *which, disturb_fn disturb, unsigned int n, struct remains with[2])
{
	struct scene s;
	bool reached = true;

	scene_begin(&s, which);
	if (!disturb) {
		daemon_kill(&s);
		say(&s);
	} else {
		if (!daemon_attach(&s)) {
			print_message("skipped: no ptrace here\n");
			close_clients(&s);
			journal_close(s.journal);
			node_stop(&s.node);
			skip();
		}
		say(&s);
		clock_run(true);
		reached = disturb(&s, n);
		clock_run(false);
		if (!reached)
			daemon_detach(&s);
	}
	hear(&s);
	wait_restart(&s, &s.a);
	wait_restart(&s, &s.b);
	which->verify(&s);
	s.daemon = (pid_t)client_node_status(s.a.socket >= 0 ? &s.a : &s.b).daemon_pid;
	if (!disturb)
		with[0] = settle(&s);
	else
		assert_remains(&s, &with[0]);
	close_clients(&s);
	if (!disturb)
		with[1] = settle(&s);
	else
		assert_remains(&s, &with[1]);
	journal_close(s.journal);
	node_stop(&s.node);
	return reached;
}

static unsigned int run_all(
	const struct kill_case *which, const char *what, disturb_fn disturb, struct remains with[2])
{
	const char *at = getenv("KILL_AT");
	size_t length = strlen(what);
	unsigned int n = 1;

	if (at) {
		if (!strncmp(at, what, length) && at[length] == ':')
			run(which, disturb, (unsigned int)atoi(at + length + 1), with);
		return 0;
	}
	for (;; n++) {
		if (getenv("KILL_VERBOSE"))
			print_message("KILL_CASE=%s KILL_AT=%s:%u\n", which->name, what, n);
		if (!run(which, disturb, n, with))
			return n - 1;
	}
}

static void killed_anywhere_it_happens_exactly_once(void **state)
{
	const struct kill_case *which = *state;
	struct remains with[2];
	unsigned int calls, changes;

	run(which, NULL, 0, with);
	calls = run_all(which, "calls", kill_after_calls, with);
	changes = run_all(which, "changes", kill_after_changes, with);
	print_message(
		"%s: killed after %u system calls, %u changes\n", which->name, calls, changes);
}

/* A step hands over from us to the daemon and back: on one processor that costs a tenth of what two
 * that sleep in turn would take. The two halves run side by side. */
static void stay_on_one_processor(bool first)
{
	cpu_set_t all, one;
	size_t cpu = CPU_SETSIZE;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all) && (cpu == CPU_SETSIZE || !first))
			cpu = i;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static size_t add_cases(const struct kill_case *cases, size_t n_cases, struct CMUnitTest *tests)
{
	const char *only = getenv("KILL_CASE");
	size_t n = 0;

	for (size_t i = 0; i < n_cases; i++)
		if (!only || !strcmp(only, cases[i].name))
			tests[n++] = (struct CMUnitTest){.name = cases[i].name,
				.test_func = killed_anywhere_it_happens_exactly_once,
				.initial_state = (void *)&cases[i]};
	return n;
}

int main(int argc, char **argv)
{
	_cleanup_free_ struct CMUnitTest *tests =
		calloc(MAX(n_kill_cases, n_kill_shm_cases), sizeof(*tests));
	bool clshm;
	size_t n;

	if (argc != 3 || !tests) {
		fprintf(stderr, "Usage: test-kill CAUSEWAYD engine|clshm\n");
		return 2;
	}
	program = argv[1];
	clshm = !strcmp(argv[2], "clshm");
	stay_on_one_processor(!clshm);
	n = clshm ? add_cases(kill_shm_cases, n_kill_shm_cases, tests)
		  : add_cases(kill_cases, n_kill_cases, tests);
	return _cmocka_run_group_tests("daemon, killed inside a request", tests, n, NULL, NULL);
}
