/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-kill.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "placement/nodeset.h"
#include "placement/plan.h"

/* The requests: what there is before each, and what must be true after it. */

/* What there is before the request */

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

/* The same client comes over another socket, as one does whose process has changed its ids. */
static void prepare_hello_again(struct scene *s)
{
	prepare_connected(s);
	client_open(&s->c, &s->node);
	s->c_open = true;
	ask(s, &s->c, WIRE_HELLO);
	s->request.hello = (struct wire_hello){
		.major = WIRE_MAJOR, .minor = WIRE_MINOR, .resume_client = s->b.hello.client};
	memcpy(s->request.hello.token, s->b.hello.token, sizeof(s->b.hello.token));
	s->b.n_resend = 1; /* it may be heard on either */
}

static void verify_hello_again(struct scene *s)
{
	struct wire_message memory = {.type = WIRE_IMPORT_MEMORY};

	assert_int_equal(s->c.reply.hello_reply.client, s->b.hello.client);
	assert_int_equal((uint32_t)client_import_word(&s->b, s->import), WIRE_IMPORT_CONNECTED);
	assert_counts(s, 2, 1, 1);
	s->c.serial = 1000;
	memory.import_memory.import = s->import;
	assert_int_equal(client_call(&s->c, &memory), STATUS_OK);
}

static struct wire_message binding(const struct scene *s, uint32_t order)
{
	struct wire_message m = {.type = WIRE_BINDING_ADD};
	struct nodeset nodes = nodeset_of(0);

	m.binding_add = (struct wire_binding_add){.shmid = s->shmid, .order = order};
	nodeset_put_bytes(&nodes, m.binding_add.nodes);
	return m;
}

static void binding_done(struct scene *s)
{
	struct wire_message m = {
		.type = WIRE_BINDING_DONE, .binding_done = {.shmid = s->shmid, .kept = 1}};

	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
}

static uint32_t count_bindings(struct scene *s)
{
	struct wire_message m = {.type = WIRE_BINDING_LIST};

	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	return s->a.reply.binding_list_reply.n;
}

/* In place of an older one. */
static void prepare_bind_again(struct scene *s)
{
	struct wire_message m;
	int shmid = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);

	assert_true(shmid >= 0);
	prepare_clients(s);
	s->shmid = (uint32_t)shmid;
	m = binding(s, PLACE_STRIPE);
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	binding_done(s);
	ask(s, &s->a, WIRE_BINDING_ADD);
	s->request = binding(s, PLACE_FIRSTREF);
}

static void verify_bind_again(struct scene *s)
{
	uint32_t n;

	binding_done(s);
	n = count_bindings(s);
	shmctl((int)s->shmid, IPC_RMID, NULL);
	assert_int_equal(n, 1);
	assert_int_equal(count_bindings(s), 0);
}

const struct kill_case kill_cases[] = {
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
	{"hello_again", prepare_hello_again, verify_hello_again},
	{"bind_again", prepare_bind_again, verify_bind_again},
};

const size_t n_kill_cases = ELEMENTS(kill_cases);
