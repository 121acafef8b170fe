/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
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
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-kill-nodes.h"

/*
 * Two nodes, one of whose daemons is killed while they do something together, after each of its
 * main thread's system calls in turn. What was asked for happens all the same, once, and nothing is
 * left of it when it has been taken back.
 *
 * argv[1]: causewayd. KILL_CASE=name runs one case, KILL_EVERY=n only every nth step (default 3; 1
 * for all), KILL_VERBOSE=1 tells each.
 */

#define STEPS_MAX 400u
#define REST	  (10 * NSEC_PER_MSEC)
#define HANGS	  20u /* seconds; of one step */

static const char *program;

/* A client that says again what was not answered, as a library does */

uint32_t call(struct client *c, struct wire_message *m)
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

void call_ok(struct client *c, struct wire_message *m)
{
	assert_int_equal(call(c, m), STATUS_OK);
}

/* A one-way request: with one after it that is answered. */
static void post(struct client *c, struct wire_message *m)
{
	struct wire_message ping = {.type = WIRE_PING};

	m->flags = WIRE_ONEWAY;
	m->serial = 0;
	client_send(c, m, NULL, 0);
	client_send(c, &ping, NULL, 0);
	for (;;) {
		assert_true(client_receive_any(c));
		if (c->reply.type == WIRE_RESEND) {
			client_send(c, m, NULL, 0);
			client_send(c, &ping, NULL, 0);
		} else if (c->reply.serial == ping.serial) {
			return;
		}
	}
}

void wait_imports(struct client *c, uint32_t n)
{
	struct wire_message m = {.type = WIRE_NODE_STATUS};

	for (int i = 0; i < 2000; i++) {
		call_ok(c, &m);
		if (c->reply.node_status_reply.n_imports == n)
			return;
		usleep(2000);
	}
	fail_msg("%u imports, not %u", c->reply.node_status_reply.n_imports, n);
}

static pid_t daemon_of(struct client *c)
{
	struct wire_message m = {.type = WIRE_NODE_STATUS};

	call_ok(c, &m);
	return (pid_t)c->reply.node_status_reply.daemon_pid;
}

uint32_t connect_to(struct scene *s, uint32_t id)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {
			WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, 1, id, WIRE_READ | WIRE_WRITE}};
	struct wire_message ask = {.type = WIRE_IMPORT_RESULT};
	uint32_t generation, status;

	call_ok(&s->b, &m);
	generation = s->b.reply.import_connect_reply.generation;
	s->r.import = ask.import_result.import = s->b.reply.import_connect_reply.import;
	client_wait_word(&s->b.status->imports[s->r.import],
		WIRE_IMPORT_WORD(generation, WIRE_IMPORT_PENDING));
	status = call(&s->b, &ask);
	s->r.result = s->b.reply.import_result_reply;
	s->r.route = s->r.result.route - 1;
	return status;
}

void disconnect(struct scene *s)
{
	struct wire_message m = {
		.type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {s->r.import}};

	call_ok(&s->b, &m);
}

/* The path */

static uint32_t route_state(struct scene *s)
{
	return (uint32_t)atomic_load((_Atomic uint64_t *)&s->b.status->routes[s->r.route]);
}

static int take_route(struct scene *s, struct wire_route_reply *ret)
{
	struct wire_message m = {.type = WIRE_ROUTE, .route = {s->r.route}};

	for (;;) {
		while (route_state(s) == WIRE_ROUTE_OPENING)
			client_wait_word(&s->b.status->routes[s->r.route],
				atomic_load((_Atomic uint64_t *)&s->b.status->routes[s->r.route]));
		if (route_state(s) != WIRE_ROUTE_OPEN)
			return -1;
		if (call(&s->b, &m) == STATUS_OK)
			break;
	}
	*ret = s->b.reply.route_reply;
	return client_take_fd(&s->b, 0);
}

static void renew(struct scene *s, uint32_t generation)
{
	struct wire_message m = {
		.type = WIRE_ROUTE_RENEW, .route_renew = {s->r.route, generation, 0}};

	post(&s->b, &m);
}

static uint32_t generation_of_route(struct scene *s)
{
	return (uint32_t)(atomic_load((_Atomic uint64_t *)&s->b.status->routes[s->r.route]) >> 32);
}

static int repair(void *userdata, FabricPath *path)
{
	struct scene *s = userdata;
	struct wire_route_reply reply;
	int fd;

	s->r.n_repairs++;
	if (route_state(s) == WIRE_ROUTE_OPEN)
		renew(s, generation_of_route(s));
	fd = take_route(s, &reply);
	return fd < 0 ? STATUS_NODE_LOST : fabric_path_resume(path, fd, reply.done);
}

static void open_path(struct scene *s)
{
	struct fabric_path_options options = {
		.repair = repair, .userdata = s, .stall = 10 * NSEC_PER_SEC};
	struct wire_route_reply reply;
	int fd = take_route(s, &reply);

	assert_true(fd >= 0);
	memcpy(s->r.user.key.bytes, s->r.result.key, sizeof(s->r.result.key));
	assert_int_equal(fabric_tcp_path_new(fd, &options, &s->r.path), 0);
	assert_int_equal(fabric_path_add_user(s->r.path, &s->r.user), 0);
}

static void add_one(struct scene *s)
{
	uint64_t old;
	int r = fabric_fetch_add(s->r.path, &s->r.user, 0, 8, 1, &old);

	assert_true(r == 0 || r == STATUS_BROKEN);
	assert_true(r || old == s->n);
	s->n++;
}

static void assert_sum(struct scene *s)
{
	uint64_t sum;

	memcpy(&sum, s->memory, sizeof(sum));
	assert_true(sum == s->n);
}

/* Before and after */

static void prepare_nothing(struct scene *s)
{
}

static void prepare_connected(struct scene *s)
{
	assert_int_equal(connect_to(s, s->id), STATUS_OK);
	open_path(s);
	add_one(s);
}

static struct wire_cell *map_cells(struct client *c, uint32_t side, uint32_t index)
{
	struct wire_message m = {.type = WIRE_CELLS, .cells = {side, index}};
	void *p;

	call_ok(c, &m);
	p = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->fds[0], 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static void prepare_cells(struct scene *s)
{
	prepare_connected(s);
	s->home = map_cells(&s->a, WIRE_SIDE_EXPORT, s->segment);
	s->here = map_cells(&s->b, WIRE_SIDE_IMPORT, s->r.import);
}

/* All that is connected is given back, and nothing remains. */
static void take_back(struct scene *s)
{
	if (s->r.path) {
		fabric_path_remove_user(s->r.path, &s->r.user);
		fabric_path_free(s->r.path);
		s->r.path = NULL;
	}
	disconnect(s);
	wait_imports(&s->b, 0);
	wait_imports(&s->a, 0);
	assert_int_equal(route_state(s), WIRE_ROUTE_FREE);
}

static void verify_connected(struct scene *s)
{
	if (!s->r.path)
		open_path(s);
	add_one(s);
	assert_sum(s);
	wait_imports(&s->a, 1);
	wait_imports(&s->b, 1);
	take_back(s);
}

/* The cases */

static void act_connect(struct scene *s)
{
	assert_int_equal(connect_to(s, s->id), STATUS_OK);
}

static void act_refused(struct scene *s)
{
	assert_int_equal(connect_to(s, s->id + 1), STATUS_NOT_FOUND);
}

static void verify_refused(struct scene *s)
{
	struct wire_message m = {.type = WIRE_IMPORT_RESULT, .import_result = {s->r.import}};

	assert_int_equal(call(&s->b, &m), STATUS_BAD_HANDLE);
	wait_imports(&s->a, 0);
	wait_imports(&s->b, 0);
}

static void act_disconnect(struct scene *s)
{
	disconnect(s);
}

static void verify_disconnect(struct scene *s)
{
	fabric_path_remove_user(s->r.path, &s->r.user);
	fabric_path_free(s->r.path);
	s->r.path = NULL;
	wait_imports(&s->a, 0);
	wait_imports(&s->b, 0);
	assert_int_equal(route_state(s), WIRE_ROUTE_FREE);
}

static void act_renew(struct scene *s)
{
	renew(s, generation_of_route(s));
	add_one(s);
}

static void act_add(struct scene *s)
{
	for (int i = 0; i < 20; i++)
		add_one(s);
}

static void act_unpublish(struct scene *s)
{
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH, .segment_unpublish = {s->segment}};

	call_ok(&s->a, &m);
}

static void verify_unpublish(struct scene *s)
{
	struct wire_message m = {
		.type = WIRE_SEGMENT_PUBLISH, .segment_publish = {s->segment, 0, 0}};
	int r = fabric_put(s->r.path, &s->r.user, 8, "x", 1, 0, 0);

	assert_true(r == STATUS_REVOKED || r == STATUS_NODE_LOST);
	assert_int_equal(s->memory[8], 0);
	client_wait_import(&s->b, s->r.import, WIRE_IMPORT_REVOKED);
	take_back(s);
	call_ok(&s->a, &m);
	s->id = s->a.reply.segment_publish_reply.id;
}

static void act_post_to_guest(struct scene *s)
{
	struct wire_message m = {.type = WIRE_POKE, .poke = {WIRE_SIDE_EXPORT, s->segment, 1}};

	assert_int_equal(atomic_load(&s->home[1].has_pipe), WIRE_CELL_GUEST);
	if ((atomic_fetch_add(&s->home[1].word, 1) & WIRE_CELL_COUNT) == 0)
		post(&s->a, &m);
}

static void verify_guest_has_it(struct scene *s)
{
	for (int i = 0; i < 2000 && atomic_load(&s->here[1].word) == 0; i++)
		usleep(1000);
	usleep(2000);
	assert_int_equal(atomic_load(&s->here[1].word), 1);
	munmap(s->home, WIRE_CELLS_SIZE);
	munmap(s->here, WIRE_CELLS_SIZE);
	take_back(s);
}

static void act_post_to_exporter(struct scene *s)
{
	atomic_store(&s->home[0].word, 0);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
}

static void verify_exporter_has_it(struct scene *s)
{
	assert_int_equal(atomic_load(&s->home[0].word), 1);
	munmap(s->home, WIRE_CELLS_SIZE);
	munmap(s->here, WIRE_CELLS_SIZE);
	take_back(s);
}

static const struct kill_case cases[] = {
	{"connect", prepare_nothing, act_connect, verify_connected},
	{"refused", prepare_nothing, act_refused, verify_refused},
	{"disconnect", prepare_connected, act_disconnect, verify_disconnect},
	{"renew", prepare_connected, act_renew, verify_connected},
	{"add", prepare_connected, act_add, verify_connected},
	{"unpublish", prepare_connected, act_unpublish, verify_unpublish},
	{"post_to_guest", prepare_cells, act_post_to_guest, verify_guest_has_it},
	{"post_to_exporter", prepare_cells, act_post_to_exporter, verify_exporter_has_it},
};

/* Killing */

struct act {
	struct scene *scene;
	const struct kill_case *which;
	_Atomic bool over;
	pthread_t thread;
};

static void *act(void *userdata)
{
	struct act *t = userdata;

	t->which->act(t->scene);
	t->over = true;
	return NULL;
}

/* To its next stop; false when all is over and it has come to rest. */
static bool run_on(pid_t pid, const struct act *t)
{
	uint64_t over = 0;
	int status;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
		fail_msg("ptrace: %s", strerror(errno));
	while (waitpid(pid, &status, WNOHANG | __WALL) == 0) {
		if (t->over && !over)
			over = clock_now();
		if (over && clock_now() - over > REST)
			return false;
		sched_yield();
	}
	assert_true(WIFSTOPPED(status));
	return true;
}

static void let_go(pid_t pid)
{
	int status;

	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
}

static void attach(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) < 0) {
		print_message("skipped: no ptrace here\n");
		skip();
	}
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
}

/* Each system call stops twice. Returns false if all was over before the nth. */
static bool run(
	struct scene *s, const struct kill_case *which, struct client *victim, unsigned int n)
{
	struct act t = {.scene = s, .which = which};
	bool reached = true;
	pid_t pid;

	s->r = (struct remote){.client = &s->b};
	s->home = s->here = NULL;
	which->prepare(s);
	alarm(HANGS);
	pid = daemon_of(victim);
	attach(pid);
	assert_int_equal(pthread_create(&t.thread, NULL, act, &t), 0);
	for (unsigned int i = 0; i < n && reached; i++)
		reached = run_on(pid, &t);
	if (reached) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	} else {
		let_go(pid);
	}
	pthread_join(t.thread, NULL);
	which->verify(s);
	alarm(0);
	return reached;
}

static unsigned int stride(void)
{
	const char *text = getenv("KILL_EVERY");

	return text ? (unsigned int)MAX(1, atoi(text)) : 3;
}

static unsigned int run_all(struct scene *s, const struct kill_case *which, struct client *victim)
{
	unsigned int n = 1;

	for (; n < STEPS_MAX; n += stride()) {
		if (getenv("KILL_VERBOSE"))
			print_message(
				"%s %s %u\n", which->name, victim == &s->a ? "home" : "here", n);
		if (!run(s, which, victim, n))
			break;
	}
	return n;
}

static void begin(struct scene *s)
{
	int fd;

	memset(s, 0, sizeof(*s));
	nodes_start(&s->nodes, program, 2, 2,
		"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=5s\n");
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
}

static void killed_anywhere_it_happens_once_between_nodes(void **state)
{
	const struct kill_case *which = *state;
	static struct scene s;
	unsigned int home, here;

	begin(&s);
	home = run_all(&s, which, &s.a);
	here = run_all(&s, which, &s.b);
	print_message("%s: the home's daemon killed up to step %u, the importer's up to %u\n",
		which->name, home, here);
	munmap(s.memory, SIZE);
	client_close(&s.a);
	client_close(&s.b);
	nodes_stop(&s.nodes);
}

int main(int argc, char **argv)
{
	const struct {
		const struct kill_case *cases;
		size_t n;
	} parts[] = {{cases, ELEMENTS(cases)}, {kill_maps, N_KILL_MAPS},
		{kill_shm_nodes, N_KILL_SHM_NODES}};
	struct CMUnitTest tests[ELEMENTS(cases) + N_KILL_MAPS + N_KILL_SHM_NODES];
	const char *only = getenv("KILL_CASE");
	size_t n = 0;

	if (argc != 2) {
		fprintf(stderr, "Usage: test-kill-nodes CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	for (size_t p = 0; p < ELEMENTS(parts); p++)
		for (size_t i = 0; i < parts[p].n; i++) {
			const struct kill_case *which = &parts[p].cases[i];

			if (!only || !strcmp(only, which->name))
				tests[n++] = (struct CMUnitTest){.name = which->name,
					.test_func = killed_anywhere_it_happens_once_between_nodes,
					.initial_state = (void *)which};
		}
	return _cmocka_run_group_tests("daemon, killed between two nodes", tests, n, NULL, NULL);
}
