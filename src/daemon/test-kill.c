/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/journal.h"
#include "daemon/record.h"
#include "daemon/test-client.h"

/*
 * A daemon killed inside a request, at every step that its successor can tell from the one before:
 * after each of its system calls, and, between them, after each change of the journal or of the
 * memory that clients see. Each time in a new node. The client then says again what was not
 * answered, and the effect must be there exactly once; what keeper, daemon and journal hold must be
 * the same whatever the step.
 *
 * argv[1]: causewayd. KILL_CASE=name runs one request, KILL_AT=calls:n or changes:n one step of it.
 */

static const char *program;

/* A node, two clients, what they have, and the request that is to be disturbed. */
struct scene {
	struct node node;
	pid_t daemon;
	struct client a, b, c; /* a exports, b imports; c has not said hello */
	bool b_open, c_open;
	uint32_t segment, sibling, id, import;
	int pipe; /* of the import; -1: none */
	struct wire_cell *cells;
	Journal *journal; /* only read */

	struct client *who;
	struct wire_message request; /* type 0: who closes its connection */
	uint8_t tail[64];
	bool killed;
};

/* What is left when all is said; the same for each step. */
struct remains {
	unsigned int keeper, daemon; /* descriptors */
	unsigned int records;
};

struct kill_case {
	const char *name;
	void (*prepare)(struct scene *s);
	void (*verify)(struct scene *s);
};

/* Looking into processes */

/* Calls fn with each descriptor of a process and what it is until that returns true. */
static unsigned int each_fd(
	pid_t pid, bool (*fn)(const char *path, const char *what, void *userdata), void *userdata)
{
	char dir[32], path[64], what[128];
	struct dirent *e;
	unsigned int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d))) {
		ssize_t len;

		snprintf(path, sizeof(path), "%.24s/%.20s", dir, e->d_name);
		len = readlink(path, what, sizeof(what) - 1);
		if (len < 0)
			continue;
		what[len] = 0;
		/* made with the first handshake, and stays: a restarted daemon may have none */
		if (!strcmp(what, "anon_inode:[timerfd]"))
			continue;
		n++;
		if (fn && fn(path, what, userdata))
			break;
	}
	closedir(d);
	return n;
}

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

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* Of all that a successor or a client can see, without system calls. */
static uint64_t look(const struct scene *s)
{
	uint64_t body[JOURNAL_BODY_SIZE / 8], h = journal_end(s->journal);

	for (uint32_t i = 1; i < journal_end(s->journal); i++) {
		uint32_t kind = journal_read(s->journal, i, body, sizeof(body));

		h = mix(h, kind);
		for (size_t n = 0; kind && n < ELEMENTS(body); n++)
			h = mix(h, body[n]);
	}
	for (uint32_t i = 0; i < 3; i++) {
		h = mix(h, atomic_load(&s->a.status->exports[i].n_cells));
		h = mix(h, client_import_word(&s->b, i));
		if (s->cells)
			h = mix(mix(h, s->cells[i].word), s->cells[i].has_pipe);
	}
	return h;
}

/* Disturbing the daemon */

static unsigned int ticks; /* since the daemon last went on */

static void on_tick(int sig)
{
	ticks++;
}

/* Only while the daemon is disturbed: nothing else expects to be interrupted. */
static void clock_run(bool on)
{
	const struct sigaction action = {.sa_handler = on_tick};
	struct itimerval tick = {.it_interval = {.tv_usec = on ? 50000 : 0}};

	tick.it_value = tick.it_interval;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

/* Lets it run with this request to its next stop. Returns false when it sleeps instead. */
static bool run_on(struct scene *s, int request)
{
	int status;

	if (ptrace(request, s->daemon, NULL, NULL) < 0)
		fail_msg("ptrace: %s", strerror(errno));
	ticks = 0;
	while (waitpid(s->daemon, &status, __WALL) < 0)
		if (ticks >= 2)
			return false;
	assert_true(WIFSTOPPED(status));
	return true;
}

/* Done with everything before, so that the steps are always the same ones. */
static void wait_asleep(pid_t pid)
{
	char path[32], line[256], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 5000; i++) {
		f = fopen(path, "re");
		assert_non_null(f);
		state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		fclose(f);
		assert_non_null(state);
		if (state[2] == 'S')
			return;
		usleep(200);
	}
	fail_msg("the daemon does not come to rest");
}

/* Returns false if that is not allowed here. */
static bool attach(struct scene *s)
{
	int status;

	wait_asleep(s->daemon);
	if (ptrace(PTRACE_SEIZE, s->daemon, NULL, PTRACE_O_TRACESYSGOOD) < 0)
		return false;
	assert_int_equal(ptrace(PTRACE_INTERRUPT, s->daemon, NULL, NULL), 0);
	assert_int_equal(waitpid(s->daemon, &status, __WALL), s->daemon);
	return true;
}

static void kill_daemon(struct scene *s)
{
	int status;

	kill(s->daemon, SIGKILL);
	/* a traced one is ours to wait for; another one the keeper's */
	while (waitpid(s->daemon, &status, __WALL) < 0 && errno == EINTR)
		;
	s->killed = true;
}

/* The daemon may be anywhere, also asleep. */
static void detach(struct scene *s)
{
	int status;

	if (ptrace(PTRACE_DETACH, s->daemon, NULL, NULL) == 0)
		return;
	ptrace(PTRACE_INTERRUPT, s->daemon, NULL, NULL);
	assert_int_equal(waitpid(s->daemon, &status, __WALL), s->daemon);
	assert_int_equal(ptrace(PTRACE_DETACH, s->daemon, NULL, NULL), 0);
}

/* Kills it after n system calls. Returns false if the request took less. */
static bool kill_after_calls(struct scene *s, unsigned int n)
{
	struct __ptrace_syscall_info info;
	bool received = false;
	uint64_t nr = 0;

	while (n > 0) {
		if (!run_on(s, PTRACE_SYSCALL))
			return false;
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, s->daemon, sizeof(info), &info) > 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			nr = info.entry.nr;
			if (received && (nr == SYS_epoll_pwait
#ifdef SYS_epoll_wait
						|| nr == SYS_epoll_wait
#endif
						))
				return false;
		} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
			received |= nr == SYS_recvmsg && info.exit.rval >= 0;
			n--;
		}
	}
	kill_daemon(s);
	return true;
}

/* Kills it after n changes. Returns false if the request made less. */
static bool kill_after_changes(struct scene *s, unsigned int n)
{
	uint64_t before = look(s), now;

	while (n > 0) {
		if (!run_on(s, PTRACE_SINGLESTEP))
			return false;
		now = look(s);
		n -= now != before;
		before = now;
	}
	kill_daemon(s);
	return true;
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

static uint32_t call_cells(struct client *c, uint32_t side, uint32_t index)
{
	struct wire_message m = {.type = WIRE_CELLS, .cells = {side, index}};

	return client_call(c, &m);
}

static void map_cells(struct scene *s)
{
	s->cells = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->b.fds[0], 0);
	assert_true(s->cells != MAP_FAILED);
}

/* What there is before the request */

static void prepare_clients(struct scene *s)
{
	client_new(&s->a, &s->node);
	client_new(&s->b, &s->node);
	s->b_open = true;
}

static void prepare_segment(struct scene *s)
{
	prepare_clients(s);
	assert_int_equal(client_create(&s->a, 8192, &s->segment, NULL), STATUS_OK);
}

static void prepare_published(struct scene *s)
{
	prepare_segment(s);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
}

static void prepare_connected(struct scene *s)
{
	prepare_published(s);
	assert_int_equal(client_connect(&s->b, s->id, WIRE_WRITE, &s->import), STATUS_OK);
}

/* With all that an import can have. */
static void prepare_everything(struct scene *s)
{
	struct wire_message pipe = {.type = WIRE_PIPE};

	prepare_connected(s);
	assert_int_equal(pwrite(s->b.fds[0], "old", 4, 0), 4);
	assert_int_equal(call_cells(&s->b, WIRE_SIDE_IMPORT, s->import), STATUS_OK);
	map_cells(s);
	pipe.pipe.side = WIRE_SIDE_IMPORT;
	pipe.pipe.index = s->import;
	assert_int_equal(client_call(&s->b, &pipe), STATUS_OK);
	s->pipe = client_take_fd(&s->b, 0);
	pipe.serial = 0;
	pipe.pipe.side = WIRE_SIDE_EXPORT;
	pipe.pipe.index = s->segment;
	assert_int_equal(client_call(&s->a, &pipe), STATUS_OK);
}

static void ask(struct scene *s, struct client *who, uint32_t type)
{
	s->who = who;
	s->request.type = type;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void assert_counts(
	struct scene *s, uint32_t n_clients, uint32_t n_segments, uint32_t n_imports)
{
	struct client *c = s->a.socket >= 0 ? &s->a : &s->b;
	struct wire_node_status_reply status = client_node_status(c);

	for (int i = 0; i < 1000 && status.n_clients != n_clients; i++) {
		usleep(2000);
		status = client_node_status(c);
	}
	assert_int_equal(status.n_clients, n_clients);
	assert_int_equal(status.n_segments, n_segments);
	assert_int_equal(status.n_imports, n_imports);
}

/* The requests */

static void prepare_create(struct scene *s)
{
	prepare_clients(s);
	ask(s, &s->a, WIRE_SEGMENT_CREATE);
	s->request.segment_create =
		(struct wire_segment_create){.space = WIRE_SPACE_RSM, .mode = 0600, .size = 8192};
}

static void verify_create(struct scene *s)
{
	uint32_t segment = s->a.reply.segment_create_reply.segment, id, import;
	int memory = client_take_fd(&s->a, 0);
	char got[4];

	assert_int_equal(segment, 0);
	assert_int_equal(pwrite(memory, "new", 4, 0), 4);
	close(memory);
	assert_counts(s, 2, 1, 0);
	assert_int_equal(client_publish(&s->a, segment, 0, &id), STATUS_OK);
	assert_int_equal(client_connect(&s->b, id, WIRE_READ, &import), STATUS_OK);
	assert_int_equal(pread(s->b.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "new");
}

static void prepare_publish(struct scene *s)
{
	prepare_segment(s);
	ask(s, &s->a, WIRE_SEGMENT_PUBLISH);
	s->request.segment_publish.segment = s->segment;
}

static void verify_publish(struct scene *s)
{
	uint32_t import;

	s->id = s->a.reply.segment_publish_reply.id;
	assert_int_equal(client_publish(&s->a, s->segment, 0, NULL), STATUS_ALREADY_PUBLISHED);
	assert_int_equal(client_connect(&s->b, s->id, WIRE_READ, &import), STATUS_OK);
	assert_counts(s, 2, 1, 1);
}

static void prepare_republish(struct scene *s)
{
	const struct wire_access access = {.node = 0, .mode = 0640};
	uint8_t *end;

	prepare_published(s);
	ask(s, &s->a, WIRE_SEGMENT_REPUBLISH);
	end = wire_put_access(s->tail, s->tail + sizeof(s->tail), &access);
	s->request.segment_republish.segment = s->segment;
	s->request.segment_republish.n_access = 1;
	s->request.tail = s->tail;
	s->request.tail_size = (size_t)(end - s->tail);
}

static void verify_republish(struct scene *s)
{
	struct wire_message show = {.type = WIRE_SHOW};

	show.show.space = WIRE_SPACE_RSM;
	show.show.id = s->id;
	assert_int_equal(client_call(&s->a, &show), STATUS_OK);
	assert_int_equal(s->a.reply.show_reply.n_access, 1);
	assert_counts(s, 2, 1, 0);
}

static void assert_lost(struct scene *s, uint32_t state)
{
	client_wait_import(&s->b, s->import, state);
	assert_true(readable(s->pipe));
	assert_int_equal(atomic_load(&s->cells[1].word), WIRE_CELL_LOOK);
	assert_int_equal(client_connect(&s->b, s->id, WIRE_READ, NULL), STATUS_NOT_FOUND);
}

static void prepare_unpublish(struct scene *s)
{
	prepare_everything(s);
	ask(s, &s->a, WIRE_SEGMENT_UNPUBLISH);
	s->request.segment_unpublish.segment = s->segment;
}

static void verify_unpublish(struct scene *s)
{
	uint32_t id, import;
	char got[4] = "?";
	int memory;

	assert_int_equal(s->a.reply.segment_unpublish_reply.moved, 1);
	memory = client_take_fd(&s->a, 0);
	assert_int_equal(pread(memory, got, 4, 0), 4);
	assert_string_equal(got, "");
	assert_int_equal(pwrite(memory, "new", 4, 0), 4);
	close(memory);
	assert_lost(s, WIRE_IMPORT_REVOKED);
	assert_counts(s, 2, 1, 1);
	/* the revoked import keeps its cell, the fresh memory is the segment's */
	assert_int_equal(client_publish(&s->a, s->segment, 0, &id), STATUS_OK);
	assert_int_equal(client_connect(&s->b, id, WIRE_READ, &import), STATUS_OK);
	assert_int_equal(s->b.reply.import_connect_reply.cell, 2);
	assert_int_equal(pread(s->b.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "new");
}

/* Another segment with the same memory, which must move along. */
static void prepare_unpublish_sibling(struct scene *s)
{
	struct wire_message create = {.type = WIRE_SEGMENT_CREATE};

	prepare_everything(s);
	create.segment_create.space = WIRE_SPACE_RSM;
	create.segment_create.mode = 0600;
	create.segment_create.size = 8192;
	create.segment_create.same = 1 + s->segment;
	assert_int_equal(client_call(&s->a, &create), STATUS_OK);
	s->sibling = s->a.reply.segment_create_reply.segment;
	ask(s, &s->a, WIRE_SEGMENT_UNPUBLISH);
	s->request.segment_unpublish.segment = s->segment;
}

static void verify_unpublish_sibling(struct scene *s)
{
	int memory = client_take_fd(&s->a, 0);
	struct stat moved, other;
	uint32_t id;

	assert_int_equal(fstat(memory, &moved), 0);
	close(memory);
	assert_lost(s, WIRE_IMPORT_REVOKED);
	assert_int_equal(client_publish(&s->a, s->sibling, 0, &id), STATUS_OK);
	assert_int_equal(client_connect(&s->b, id, WIRE_READ, NULL), STATUS_OK);
	assert_int_equal(fstat(s->b.fds[0], &other), 0);
	assert_int_equal(other.st_ino, moved.st_ino);
	assert_counts(s, 2, 2, 2);
}

static void prepare_destroy(struct scene *s)
{
	prepare_everything(s);
	ask(s, &s->a, WIRE_SEGMENT_DESTROY);
	s->request.segment_destroy.segment = s->segment;
}

static void prepare_destroy_oneway(struct scene *s)
{
	prepare_destroy(s);
	s->request.flags = WIRE_ONEWAY;
}

static void verify_destroy(struct scene *s)
{
	assert_lost(s, WIRE_IMPORT_REVOKED);
	assert_counts(s, 2, 0, 1);
}

static void prepare_connect(struct scene *s)
{
	prepare_published(s);
	assert_int_equal(call_cells(&s->a, WIRE_SIDE_EXPORT, s->segment), STATUS_OK);
	ask(s, &s->b, WIRE_IMPORT_CONNECT);
	s->request.import_connect = (struct wire_import_connect){.space = WIRE_SPACE_RSM,
		.controller = WIRE_CONTROLLER_LOOPBACK,
		.id = s->id,
		.rights = WIRE_WRITE};
}

static void verify_connect(struct scene *s)
{
	const struct wire_import_connect_reply r = s->b.reply.import_connect_reply;

	assert_int_equal(r.import, 0);
	assert_int_equal(r.cell, 1);
	assert_int_equal(s->b.n_fds, 1);
	assert_int_equal(client_import_word(&s->b, 0),
		WIRE_IMPORT_WORD(r.generation, WIRE_IMPORT_CONNECTED));
	assert_int_equal(atomic_load(&s->a.status->exports[s->segment].n_cells), 2);
	assert_counts(s, 2, 1, 1);
}

static void prepare_disconnect(struct scene *s)
{
	prepare_everything(s);
	ask(s, &s->b, WIRE_IMPORT_DISCONNECT);
	s->request.import_disconnect.import = s->import;
}

static void prepare_disconnect_oneway(struct scene *s)
{
	prepare_disconnect(s);
	s->request.flags = WIRE_ONEWAY;
}

static void verify_disconnect(struct scene *s)
{
	assert_int_equal(
		client_import_word(&s->b, s->import), WIRE_IMPORT_WORD(1, WIRE_IMPORT_FREE));
	assert_int_equal(atomic_load(&s->a.status->exports[s->segment].n_cells), 1);
	assert_counts(s, 2, 1, 0);
	assert_int_equal(client_connect(&s->b, s->id, WIRE_READ, &s->import), STATUS_OK);
	assert_int_equal(s->b.reply.import_connect_reply.generation, 2);
}

static void prepare_cells(struct scene *s)
{
	prepare_connected(s);
	ask(s, &s->b, WIRE_CELLS);
	s->request.cells.side = WIRE_SIDE_IMPORT;
	s->request.cells.index = s->import;
}

static void verify_cells(struct scene *s)
{
	struct stat mine, theirs;

	assert_int_equal(s->b.reply.cells_reply.cell, 1);
	assert_int_equal(fstat(s->b.fds[0], &mine), 0);
	assert_int_equal(call_cells(&s->a, WIRE_SIDE_EXPORT, s->segment), STATUS_OK);
	assert_int_equal(fstat(s->a.fds[0], &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	assert_counts(s, 2, 1, 1);
}

static void prepare_pipe_of_import(struct scene *s)
{
	prepare_connected(s);
	assert_int_equal(call_cells(&s->b, WIRE_SIDE_IMPORT, s->import), STATUS_OK);
	map_cells(s);
	ask(s, &s->b, WIRE_PIPE);
	s->request.pipe.side = WIRE_SIDE_IMPORT;
	s->request.pipe.index = s->import;
}

static void prepare_pipe_of_export(struct scene *s)
{
	prepare_connected(s);
	ask(s, &s->a, WIRE_PIPE);
	s->request.pipe.side = WIRE_SIDE_EXPORT;
	s->request.pipe.index = s->segment;
}

/* The other side counts and pokes: one byte, in the pipe that was handed out. */
static void verify_pipe(struct scene *s)
{
	struct client *other = s->who == &s->a ? &s->b : &s->a;
	uint32_t own = s->who == &s->a ? 0 : 1;
	struct wire_message poke = {.type = WIRE_POKE};
	int fd = client_take_fd(s->who, 0);
	char bytes[4];

	assert_false(readable(fd));
	if (!s->cells) {
		assert_int_equal(call_cells(&s->b, WIRE_SIDE_IMPORT, s->import), STATUS_OK);
		map_cells(s);
	}
	assert_int_equal(atomic_load(&s->cells[own].has_pipe), 1);
	poke.poke.side = other == &s->a ? WIRE_SIDE_EXPORT : WIRE_SIDE_IMPORT;
	poke.poke.index = other == &s->a ? s->segment : s->import;
	poke.poke.cell = own;
	assert_int_equal(client_call(other, &poke), STATUS_OK);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 1);
	close(fd);
	assert_counts(s, 2, 1, 1);
}

static void prepare_importers_end(struct scene *s)
{
	prepare_everything(s);
	ask(s, &s->b, 0);
}

static void verify_importers_end(struct scene *s)
{
	assert_counts(s, 1, 1, 0);
	assert_int_equal(atomic_load(&s->a.status->exports[s->segment].n_cells), 1);
}

static void prepare_exporters_end(struct scene *s)
{
	prepare_everything(s);
	ask(s, &s->a, 0);
}

static void verify_exporters_end(struct scene *s)
{
	assert_counts(s, 1, 0, 1);
	assert_lost(s, WIRE_IMPORT_EXPORTER_GONE);
}

static void prepare_hello(struct scene *s)
{
	prepare_published(s);
	client_open(&s->c, &s->node);
	s->c_open = true;
	ask(s, &s->c, WIRE_HELLO);
	s->request.hello = (struct wire_hello){.major = WIRE_MAJOR, .minor = WIRE_MINOR};
}

static void verify_hello(struct scene *s)
{
	assert_int_equal(s->c.n_fds, s->c.reply.hello_reply.flags & WIRE_HELLO_UFFD ? 4 : 3);
	assert_counts(s, 3, 1, 0);
	assert_int_equal(client_connect(&s->c, s->id, WIRE_WRITE, &s->import), STATUS_OK);
}

static const struct kill_case cases[] = {
	{"create", prepare_create, verify_create},
	{"publish", prepare_publish, verify_publish},
	{"republish", prepare_republish, verify_republish},
	{"unpublish", prepare_unpublish, verify_unpublish},
	{"unpublish_sibling", prepare_unpublish_sibling, verify_unpublish_sibling},
	{"destroy", prepare_destroy, verify_destroy},
	{"destroy_oneway", prepare_destroy_oneway, verify_destroy},
	{"connect", prepare_connect, verify_connect},
	{"disconnect", prepare_disconnect, verify_disconnect},
	{"disconnect_oneway", prepare_disconnect_oneway, verify_disconnect},
	{"cells", prepare_cells, verify_cells},
	{"pipe_of_import", prepare_pipe_of_import, verify_pipe},
	{"pipe_of_export", prepare_pipe_of_export, verify_pipe},
	{"importers_end", prepare_importers_end, verify_importers_end},
	{"exporters_end", prepare_exporters_end, verify_exporters_end},
	{"hello", prepare_hello, verify_hello},
};

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

typedef bool (*disturb_fn)(struct scene *s, unsigned int n);

/* with[0]: what remains afterwards, with[1]: once the clients are gone; found out if disturb is
 * NULL. Returns false if the request was over before its nth step. */
static bool run(
	const struct kill_case *which, disturb_fn disturb, unsigned int n, struct remains with[2])
{
	struct scene s;
	bool reached = true;

	scene_begin(&s, which);
	if (!disturb) {
		kill_daemon(&s);
		say(&s);
	} else {
		if (!attach(&s)) {
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
			detach(&s);
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
 * that sleep in turn would take. */
static void stay_on_one_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ELEMENTS(cases)];
	const char *only = getenv("KILL_CASE");
	size_t n = 0;

	if (argc != 2) {
		fprintf(stderr, "Usage: test-kill CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	stay_on_one_processor();
	for (size_t i = 0; i < ELEMENTS(cases); i++)
		if (!only || !strcmp(only, cases[i].name))
			tests[n++] = (struct CMUnitTest){.name = cases[i].name,
				.test_func = killed_anywhere_it_happens_exactly_once,
				.initial_state = (void *)&cases[i]};
	return _cmocka_run_group_tests("daemon, killed inside a request", tests, n, NULL, NULL);
}
