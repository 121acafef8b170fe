/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
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
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-nodes.h"

/*
 * Two nodes: a process of node 2 uses a segment of node 1. argv[1]: causewayd.
 */

#define SIZE   (1u << 20)
#define NOBODY 65534u

static const char *program;

/* a exports on node 1, b imports on node 2. */
struct scene {
	struct nodes nodes;
	struct client a, b;
	uint32_t segment, id;
	uint8_t *memory; /* the exporter's */
	uint8_t *sysv;	 /* which it is part of; NULL: a memfd */
	struct remote r;
};

static void map_memory(struct scene *s, int fd)
{
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
}

static const char config[] =
	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=1s\n";

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	nodes_start(&s->nodes, program, 2, 2, config);
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	map_memory(s, fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	*state = s;
	return 0;
}

/* The exporter's memory is a System V segment, from its second page on. */
static void export_sysv(struct scene *s)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {.space = WIRE_SPACE_RSM, .mode = 0600, .size = SIZE}};
	int id = shmget(IPC_PRIVATE, SIZE + 4096, IPC_CREAT | 0666);

	s->sysv = shmat(id, NULL, 0);
	assert_true(s->sysv != (void *)-1);
	s->memory = s->sysv + 4096;
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	m.segment_create.address = (uintptr_t)s->memory;
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	s->segment = s->a.reply.segment_create_reply.segment;
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	/* only now: an unprivileged daemon knows it by its id */
	assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
}

static int begin_sysv(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(&s->nodes, program, 2, 2, config);
	export_sysv(s);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	remote_close(&s->r);
	if (s->sysv)
		shmdt(s->sysv);
	else
		munmap(s->memory, SIZE);
	if (s->a.socket >= 0)
		client_close(&s->a);
	client_close(&s->b);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

static void open_remote(struct scene *s, uint32_t rights)
{
	remote_open(&s->r, &s->b, 1, s->id, rights);
}

static int put(struct scene *s, uint64_t off, const void *data, size_t n)
{
	return fabric_put(s->r.path, &s->r.user, off, data, n, 0, 0);
}

static int get(struct scene *s, uint64_t off, void *data, size_t n)
{
	return fabric_get(s->r.path, &s->r.user, off, data, n, 0);
}

static void wait_counts(struct client *c, uint32_t n_segments, uint32_t n_imports)
{
	struct wire_node_status_reply status = client_node_status(c);

	for (int i = 0;
		i < 2000 && (status.n_segments != n_segments || status.n_imports != n_imports);
		i++) {
		usleep(5000);
		status = client_node_status(c);
	}
	assert_int_equal(status.n_segments, n_segments);
	assert_int_equal(status.n_imports, n_imports);
}

/* What is there and who may */

static void a_put_lands_in_the_segment_of_another_node(void **state)
{
	struct scene *s = *state;
	char got[8];

	open_remote(s, WIRE_READ | WIRE_WRITE);
	assert_int_equal(s->r.result.size, SIZE);
	assert_int_equal(put(s, 4000, "far away", 8), 0);
	assert_memory_equal(s->memory + 4000, "far away", 8);
	memcpy(s->memory + SIZE - 8, "and back", 8);
	assert_int_equal(get(s, SIZE - 8, got, 8), 0);
	assert_memory_equal(got, "and back", 8);
	assert_int_equal(put(s, SIZE - 7, got, 8), STATUS_BAD_OFFSET);
	wait_counts(&s->a, 1, 1);
}

static void large_transfers_arrive_whole(void **state)
{
	struct scene *s = *state;
	uint8_t *data = malloc(SIZE);

	open_remote(s, WIRE_READ | WIRE_WRITE);
	for (uint32_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(put(s, 0, data, SIZE), 0);
	assert_memory_equal(s->memory, data, SIZE);
	for (uint32_t i = 0; i < SIZE; i++)
		s->memory[i] ^= 0x5a;
	assert_int_equal(get(s, 0, data, SIZE), 0);
	assert_memory_equal(s->memory, data, SIZE);
	free(data);
}

static void atomics_are_atomic_to_programs_of_the_home(void **state)
{
	struct scene *s = *state;
	_Atomic uint64_t *word;
	uint64_t old;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	word = (_Atomic uint64_t *)(s->memory + 64);
	atomic_store(word, 40);
	assert_int_equal(fabric_fetch_add(s->r.path, &s->r.user, 64, 8, 2, &old), 0);
	assert_int_equal(old, 40);
	assert_int_equal(atomic_load(word), 42);
	assert_int_equal(fabric_compare_swap(s->r.path, &s->r.user, 64, 8, 42, 7, &old), 0);
	assert_int_equal(old, 42);
	assert_int_equal(atomic_load(word), 7);
}

static void rights_are_those_that_were_asked_for_and_granted(void **state)
{
	struct scene *s = *state;
	uint64_t old;
	char byte;

	open_remote(s, WIRE_READ);
	assert_int_equal(put(s, 0, "x", 1), STATUS_DENIED);
	assert_int_equal(get(s, 0, &byte, 1), 0);
	assert_int_equal(fabric_fetch_add(s->r.path, &s->r.user, 0, 8, 1, &old), STATUS_DENIED);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	remote_close(&s->r);

	open_remote(s, WIRE_WRITE);
	assert_int_equal(put(s, 0, "x", 1), 0);
	assert_int_equal(get(s, 0, &byte, 1), STATUS_DENIED);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	remote_close(&s->r);

	open_remote(s, 0);
	assert_int_equal(put(s, 0, "y", 1), STATUS_DENIED);
	assert_int_equal(get(s, 0, &byte, 1), STATUS_DENIED);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	assert_int_equal(s->memory[0], 'x');
}

static void what_connect_may_not_have_is_told_by_its_result(void **state)
{
	struct scene *s = *state;
	struct wire_message route = {.type = WIRE_ROUTE};
	struct wire_message result = {.type = WIRE_IMPORT_RESULT};

	assert_int_equal(remote_connect(&s->r, &s->b, 1, s->id + 1, WIRE_READ), STATUS_NOT_FOUND);
	/* it is gone with the answer, and its route too */
	result.import_result.import = s->r.import;
	assert_int_equal(client_call(&s->b, &result), STATUS_BAD_HANDLE);
	assert_int_equal(client_call(&s->b, &route), STATUS_BAD_HANDLE);
	assert_int_equal(remote_connect(&s->r, &s->b, 3, s->id, WIRE_READ), STATUS_NODE_UNKNOWN);
	wait_counts(&s->a, 1, 0);
	wait_counts(&s->b, 0, 0);
}

static void imports_of_one_home_share_a_route(void **state)
{
	struct scene *s = *state;
	struct remote second;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	assert_int_equal(remote_connect(&second, &s->b, 1, s->id, WIRE_WRITE), STATUS_OK);
	assert_int_equal(second.route, s->r.route);
	assert_int_equal(fabric_path_add_user(s->r.path, &second.user), 0);
	assert_int_equal(fabric_put(s->r.path, &second.user, 8, "second", 6, 0, 0), 0);
	assert_memory_equal(s->memory + 8, "second", 6);
	assert_int_equal(remote_disconnect(&second), STATUS_OK);
	wait_counts(&s->a, 1, 1);
	assert_int_equal(fabric_put(s->r.path, &second.user, 8, "gone", 4, 0, 0), STATUS_REVOKED);
	assert_int_equal(put(s, 8, "first", 5), 0);
	fabric_path_remove_user(s->r.path, &second.user);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	assert_int_equal((uint32_t)s->b.status->routes[s->r.route], WIRE_ROUTE_FREE);
	wait_counts(&s->a, 1, 0);
}

static void memory_that_others_share_is_reached_too(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH};
	uint64_t old;
	char got[8];
	int r;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	assert_int_equal(put(s, 0, "begin", 6), 0);
	assert_int_equal(put(s, SIZE - 4, "end", 4), 0);
	assert_string_equal((char *)s->memory, "begin");
	assert_string_equal((char *)s->memory + SIZE - 4, "end");
	assert_int_equal(get(s, SIZE - 4, got, 4), 0);
	assert_string_equal(got, "end");
	assert_int_equal(put(s, SIZE - 3, "end", 4), STATUS_BAD_OFFSET);
	/* what we open by its file may be shortened by others, and is not mapped */
	r = fabric_fetch_add(s->r.path, &s->r.user, 64, 8, 5, &old);
	assert_int_equal(r, geteuid() == 0 ? STATUS_NOT_SUPPORTED : 0);
	assert_int_equal(s->memory[64], r ? 0 : 5);
	assert_int_equal(((uint8_t *)s->sysv)[4095], 0);
	m.segment_unpublish.segment = s->segment;
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	assert_int_not_equal(put(s, 0, "after", 6), 0);
	assert_string_equal((char *)s->memory, "begin");
}

/* The same test once more, by a user whose daemons cannot open it by its file. */
static void memory_that_others_share_is_reached_without_privilege(void **state)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("skipped: we have no privilege to do without\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ||
			access(program, X_OK) < 0)
			_exit(77);
		execl("/proc/self/exe", "test-guest", program,
			"memory_that_others_share_is_reached_too", NULL);
		_exit(77);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: user %u cannot reach the programs\n", NOBODY);
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Signals */

static struct wire_cell *cells(struct client *c, uint32_t side, uint32_t index, uint32_t *ret_own)
{
	struct wire_message m = {.type = WIRE_CELLS, .cells = {side, index}};
	void *p;

	assert_int_equal(client_call(c, &m), STATUS_OK);
	*ret_own = c->reply.cells_reply.cell;
	p = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->fds[0], 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static int pipe_of(struct client *c, uint32_t side, uint32_t index)
{
	struct wire_message m = {.type = WIRE_PIPE, .pipe = {side, index}};

	assert_int_equal(client_call(c, &m), STATUS_OK);
	return client_take_fd(c, 0);
}

static void wait_count(struct wire_cell *cell, uint32_t n)
{
	for (int i = 0; i < 2000 && (atomic_load(&cell->word) & WIRE_CELL_COUNT) != n; i++)
		usleep(2000);
	assert_int_equal(atomic_load(&cell->word) & WIRE_CELL_COUNT, n);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

/* As the exporter's library does it for one guest. */
static void post_to_guest(struct scene *s, struct wire_cell *all, uint32_t cell, bool accumulate)
{
	struct wire_message m = {.type = WIRE_POKE,
		.flags = WIRE_ONEWAY,
		.poke = {WIRE_SIDE_EXPORT, s->segment, cell}};

	assert_int_equal(atomic_load(&all[cell].has_pipe), WIRE_CELL_GUEST);
	if (!accumulate)
		atomic_store(&all[cell].once, 1);
	else if (atomic_fetch_add(&all[cell].word, 1) & WIRE_CELL_COUNT)
		return;
	client_send(&s->a, &m, NULL, 0);
}

static void signals_of_importers_come_after_their_data(void **state)
{
	struct scene *s = *state;
	struct wire_cell *home;
	uint32_t own;
	int fd;

	open_remote(s, WIRE_WRITE);
	home = cells(&s->a, WIRE_SIDE_EXPORT, s->segment, &own);
	assert_int_equal(own, 0);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, true), 0);
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, false), 0);
	assert_int_equal(atomic_load(&home[0].word), 2);
	fd = pipe_of(&s->a, WIRE_SIDE_EXPORT, s->segment);
	assert_true(readable(fd, 0));
	atomic_store(&home[0].word, 0);
	assert_int_equal(read(fd, (char[4]){0}, 4), 1);
	assert_false(readable(fd, 0));
	assert_int_equal(fabric_signal(s->r.path, &s->r.user, false), 0);
	assert_int_equal(atomic_load(&home[0].word), 1);
	assert_true(readable(fd, 0));
	close(fd);
	munmap(home, WIRE_CELLS_SIZE);
}

static void signals_of_the_exporter_reach_guests(void **state)
{
	struct scene *s = *state;
	struct wire_cell *home, *here;
	uint32_t own;
	int fd;

	open_remote(s, WIRE_READ);
	home = cells(&s->a, WIRE_SIDE_EXPORT, s->segment, &own);
	/* before the importer has cells */
	post_to_guest(s, home, 1, true);
	post_to_guest(s, home, 1, true);
	here = cells(&s->b, WIRE_SIDE_IMPORT, s->r.import, &own);
	assert_int_equal(own, s->r.result.cell);
	wait_count(&here[own], 2);
	fd = pipe_of(&s->b, WIRE_SIDE_IMPORT, s->r.import);
	assert_true(readable(fd, 0));
	/* and after; what does not accumulate does so only when nothing is there */
	post_to_guest(s, home, 1, false);
	post_to_guest(s, home, 1, true);
	wait_count(&here[own], 3);
	atomic_store(&here[own].word, 0);
	assert_int_equal(read(fd, (char[4]){0}, 4), 1);
	post_to_guest(s, home, 1, false);
	wait_count(&here[own], 1);
	assert_true(readable(fd, 2000));
	assert_int_equal(atomic_load(&home[1].word), 0);
	close(fd);
	munmap(home, WIRE_CELLS_SIZE);
	munmap(here, WIRE_CELLS_SIZE);
}

/* Ends */

struct stream {
	struct scene *scene;
	_Atomic bool stop;
	_Atomic int result;
	_Atomic uint32_t rounds;
	pthread_t thread;
};

/* Puts whole segments of one byte each until that fails. */
static void *put_for_ever(void *userdata)
{
	struct stream *t = userdata;
	uint8_t *data = malloc(SIZE);
	int r = 0;

	for (uint32_t i = 1; r == 0 && !t->stop; i++) {
		memset(data, (int)i, SIZE);
		r = put(t->scene, 0, data, SIZE);
		t->rounds++;
	}
	t->result = r;
	free(data);
	return NULL;
}

static void stream_begin(struct stream *t, struct scene *s)
{
	*t = (struct stream){.scene = s};
	assert_int_equal(pthread_create(&t->thread, NULL, put_for_ever, t), 0);
	while (t->rounds < 3)
		usleep(100);
}

static void assert_nothing_moves(struct scene *s)
{
	uint8_t *before = malloc(SIZE);

	memcpy(before, s->memory, SIZE);
	usleep(50000);
	assert_memory_equal(before, s->memory, SIZE);
	free(before);
}

static void assert_over(struct scene *s, struct stream *t, uint32_t state)
{
	assert_nothing_moves(s);
	pthread_join(t->thread, NULL);
	assert_int_equal(t->result, STATUS_REVOKED);
	client_wait_import(&s->b, s->r.import, state);
}

static void unpublish_is_answered_when_nothing_moves_any_more(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH, .segment_unpublish = {s->segment}};
	struct stream t;

	open_remote(s, WIRE_WRITE);
	stream_begin(&t, s);
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	assert_over(s, &t, WIRE_IMPORT_REVOKED);
	/* nobody has the memory who could keep it */
	assert_int_equal(s->a.reply.segment_unpublish_reply.moved, 0);
	wait_counts(&s->a, 1, 0);
	/* the route was lost with its last import, and goes with it */
	assert_int_equal((uint32_t)s->b.status->routes[s->r.route], WIRE_ROUTE_LOST);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	assert_int_equal((uint32_t)s->b.status->routes[s->r.route], WIRE_ROUTE_FREE);
	wait_counts(&s->b, 0, 0);
}

static void destroy_is_answered_when_nothing_moves_any_more(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_SEGMENT_DESTROY, .segment_destroy = {s->segment}};
	struct stream t;

	open_remote(s, WIRE_WRITE);
	stream_begin(&t, s);
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	assert_over(s, &t, WIRE_IMPORT_REVOKED);
	wait_counts(&s->a, 0, 0);
}

static void republish_takes_nothing_from_who_is_connected(void **state)
{
	struct scene *s = *state;
	const struct wire_access access = {.node = 1, .mode = 0666};
	struct wire_message m = {
		.type = WIRE_SEGMENT_REPUBLISH, .segment_republish = {s->segment, 1}};
	uint8_t tail[64];
	struct remote other;

	open_remote(s, WIRE_WRITE);
	m.tail = tail;
	m.tail_size = (size_t)(wire_put_access(tail, tail + sizeof(tail), &access) - tail);
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	assert_int_equal(put(s, 0, "still", 5), 0);
	assert_int_equal(remote_connect(&other, &s->b, 1, s->id, WIRE_READ), STATUS_NOT_LISTED);
}

static void the_exporters_end_is_told(void **state)
{
	struct scene *s = *state;
	struct stream t;

	open_remote(s, WIRE_WRITE);
	stream_begin(&t, s);
	client_close(&s->a);
	s->a.socket = -1;
	client_wait_import(&s->b, s->r.import, WIRE_IMPORT_EXPORTER_GONE);
	assert_over(s, &t, WIRE_IMPORT_EXPORTER_GONE);
}

static void the_importers_end_leaves_nothing_at_the_home(void **state)
{
	struct scene *s = *state;

	open_remote(s, WIRE_WRITE);
	wait_counts(&s->a, 1, 1);
	remote_close(&s->r);
	client_close(&s->b);
	wait_counts(&s->a, 1, 0);
	client_new(&s->b, &s->nodes.node[2]);
}

static void a_pending_import_can_be_given_up(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, 1, s->id, WIRE_READ}};

	for (int i = 0; i < 20; i++) {
		m.serial = 0;
		s->r.client = &s->b;
		assert_int_equal(client_call(&s->b, &m), STATUS_OK);
		s->r.import = s->b.reply.import_connect_reply.import;
		usleep((useconds_t)i * 300);
		assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
	}
	wait_counts(&s->b, 0, 0);
	wait_counts(&s->a, 1, 0);
	open_remote(s, WIRE_WRITE);
	assert_int_equal(put(s, 0, "x", 1), 0);
}

static void a_node_that_is_killed_takes_its_segments_along(void **state)
{
	struct scene *s = *state;
	struct stream t;

	open_remote(s, WIRE_WRITE);
	stream_begin(&t, s);
	nodes_kill(&s->nodes, 1, &s->a);
	client_wait_import(&s->b, s->r.import, WIRE_IMPORT_NODE_LOST);
	pthread_join(t.thread, NULL);
	assert_int_equal(t.result, STATUS_NODE_LOST);
	assert_int_equal((uint32_t)s->b.status->routes[s->r.route], WIRE_ROUTE_LOST);
	assert_int_equal(remote_disconnect(&s->r), STATUS_OK);
}

static void a_node_that_is_killed_is_no_guest_any_more(void **state)
{
	struct scene *s = *state;

	open_remote(s, WIRE_WRITE);
	wait_counts(&s->a, 1, 1);
	nodes_kill(&s->nodes, 2, &s->b);
	wait_counts(&s->a, 1, 0);
}

/* Daemons that are killed */

static void the_homes_daemon_may_be_killed(void **state)
{
	struct scene *s = *state;
	uint64_t old, n = 0;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 20; i++, n++) {
			int r = fabric_fetch_add(s->r.path, &s->r.user, 0, 8, 1, &old);

			assert_true(r == 0 || r == STATUS_BROKEN);
			if (r == 0)
				assert_int_equal(old, n);
		}
		nodes_kill_daemon(&s->a);
		s->a.n_resend = 0;
	}
	assert_int_equal(get(s, 0, &old, 8), 0);
	assert_int_equal(old, n);
	assert_int_equal(s->r.n_repairs, 5);
	assert_int_equal(
		client_import_word(&s->b, s->r.import) & UINT32_MAX, WIRE_IMPORT_CONNECTED);
	wait_counts(&s->a, 1, 1);
}

static void the_importers_daemon_may_be_killed(void **state)
{
	struct scene *s = *state;
	struct wire_cell *home, *here;
	uint32_t own;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	home = cells(&s->a, WIRE_SIDE_EXPORT, s->segment, &own);
	here = cells(&s->b, WIRE_SIDE_IMPORT, s->r.import, &own);
	for (uint32_t round = 0; round < 5; round++) {
		assert_int_equal(put(s, round, &"abcde"[round], 1), 0);
		post_to_guest(s, home, 1, true);
		nodes_kill_daemon(&s->b);
		s->b.n_resend = 0;
		assert_int_equal(s->memory[round], "abcde"[round]);
		post_to_guest(s, home, 1, true);
		wait_count(&here[own], 2 * round + 2);
	}
	assert_int_equal(s->r.n_repairs, 0);
	wait_counts(&s->a, 1, 1);
	munmap(home, WIRE_CELLS_SIZE);
	munmap(here, WIRE_CELLS_SIZE);
}

static void signals_survive_the_homes_daemon(void **state)
{
	struct scene *s = *state;
	struct wire_cell *home, *here;
	uint32_t own;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	home = cells(&s->a, WIRE_SIDE_EXPORT, s->segment, &own);
	here = cells(&s->b, WIRE_SIDE_IMPORT, s->r.import, &own);
	for (uint32_t round = 0; round < 5; round++) {
		post_to_guest(s, home, 1, true);
		nodes_kill_daemon(&s->a);
		s->a.n_resend = 0;
		post_to_guest(s, home, 1, true);
		wait_count(&here[own], 2 * round + 2);
	}
	munmap(home, WIRE_CELLS_SIZE);
	munmap(here, WIRE_CELLS_SIZE);
}

static void both_daemons_may_be_killed_at_once(void **state)
{
	struct scene *s = *state;
	struct stream t;

	open_remote(s, WIRE_READ | WIRE_WRITE);
	stream_begin(&t, s);
	for (int round = 0; round < 3; round++) {
		struct wire_node_status_reply a = client_node_status(&s->a);
		uint32_t before = t.rounds;

		kill((pid_t)a.daemon_pid, SIGKILL);
		usleep((useconds_t)round * 1000);
		while (t.rounds < before + 5 && t.result == 0)
			usleep(1000);
	}
	t.stop = true;
	pthread_join(t.thread, NULL);
	assert_int_equal(t.result, 0);
	remote_close(&s->r);
	client_wait_resend(&s->a);
	wait_counts(&s->a, 1, 1);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_put_lands_in_the_segment_of_another_node),
		TEST(large_transfers_arrive_whole),
		TEST(atomics_are_atomic_to_programs_of_the_home),
		TEST(rights_are_those_that_were_asked_for_and_granted),
		TEST(what_connect_may_not_have_is_told_by_its_result),
		TEST(imports_of_one_home_share_a_route),
		cmocka_unit_test_setup_teardown(
			memory_that_others_share_is_reached_too, begin_sysv, end),
		cmocka_unit_test(memory_that_others_share_is_reached_without_privilege),
		TEST(signals_of_importers_come_after_their_data),
		TEST(signals_of_the_exporter_reach_guests),
		TEST(unpublish_is_answered_when_nothing_moves_any_more),
		TEST(destroy_is_answered_when_nothing_moves_any_more),
		TEST(republish_takes_nothing_from_who_is_connected),
		TEST(the_exporters_end_is_told),
		TEST(the_importers_end_leaves_nothing_at_the_home),
		TEST(a_pending_import_can_be_given_up),
		TEST(a_node_that_is_killed_takes_its_segments_along),
		TEST(a_node_that_is_killed_is_no_guest_any_more),
		TEST(the_homes_daemon_may_be_killed),
		TEST(the_importers_daemon_may_be_killed),
		TEST(signals_survive_the_homes_daemon),
		TEST(both_daemons_may_be_killed_at_once),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: test-guest CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests_name("daemon, guests", tests, NULL, NULL);
}
