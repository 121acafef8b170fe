/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
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
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/test-client.h"
#include "memory/uffd.h"

/* What each request does, and what happens to those who break the protocol. argv[1]: causewayd. */

static const char *program;
static struct node node;

static int setup(void **state)
{
	node_start(&node, program, "[Daemon]\nHandshakeTimeout=200ms\nIdleExit=200ms\n", false);
	return 0;
}

static int teardown(void **state)
{
	node_stop(&node);
	return 0;
}

/* A published segment of the client. */
static uint32_t export_one(struct client *c, uint32_t *ret_segment)
{
	uint32_t id;

	assert_int_equal(client_create(c, 8192, ret_segment, NULL), STATUS_OK);
	assert_int_equal(client_publish(c, *ret_segment, 0, &id), STATUS_OK);
	return id;
}

static void unpublish_moves_memory_that_another_client_has(void **state)
{
	struct wire_message unpublish = {.type = WIRE_SEGMENT_UNPUBLISH};
	struct wire_message again = {.type = WIRE_IMPORT_MEMORY};
	uint32_t segment, import, id;
	struct client a, b;
	char got[4];
	int old;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	assert_int_equal(client_connect(&b, id, WIRE_READ | WIRE_WRITE, &import), STATUS_OK);
	old = client_take_fd(&b, 0);
	assert_int_equal(
		client_import_word(&b, import), WIRE_IMPORT_WORD(1, WIRE_IMPORT_CONNECTED));
	unpublish.segment_unpublish.segment = segment;
	assert_int_equal(client_call(&a, &unpublish), STATUS_OK);
	assert_int_equal(a.reply.segment_unpublish_reply.moved, 1);
	assert_int_equal(a.n_fds, 1);
	assert_int_equal(pwrite(a.fds[0], "new", 4, 0), 4);
	assert_int_equal(pread(old, got, 4, 0), 4);
	assert_string_equal(got, "");
	assert_int_equal(client_import_word(&b, import), WIRE_IMPORT_WORD(1, WIRE_IMPORT_REVOKED));
	again.import_memory.import = import;
	assert_int_equal(client_call(&b, &again), STATUS_REVOKED);
	close(old);
	client_close(&a);
	client_close(&b);
}

static void without_the_right_to_write_the_description_cannot(void **state)
{
	uint32_t segment, id;
	struct client c;

	client_new(&c, &node);
	id = export_one(&c, &segment);
	assert_int_equal(client_connect(&c, id, 0, NULL), STATUS_OK);
	assert_int_equal(c.n_fds, 0);
	assert_int_equal(client_connect(&c, id, WIRE_READ, NULL), STATUS_OK);
	assert_int_equal(c.reply.import_connect_reply.flags, WIRE_IMPORT_READONLY);
	assert_int_equal(fcntl(c.fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(client_connect(&c, id, WIRE_WRITE, NULL), STATUS_OK);
	assert_int_equal(fcntl(c.fds[0], F_GETFL) & O_ACCMODE, O_RDWR);
	client_close(&c);
}

static void the_exporters_death_shows_in_the_status_page_and_the_cell(void **state)
{
	struct wire_message cells = {.type = WIRE_CELLS, .cells = {WIRE_SIDE_IMPORT, 0}};
	uint32_t segment, id, import;
	struct wire_cell *cell;
	struct client a, b;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &import), STATUS_OK);
	cells.cells.index = import;
	assert_int_equal(client_call(&b, &cells), STATUS_OK);
	cell = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fds[0], 0);
	assert_true(cell != MAP_FAILED);
	assert_int_equal(b.reply.cells_reply.cell, 1);
	assert_int_equal(atomic_load(&cell[1].word), 0);
	client_close(&a);
	client_wait_import(&b, import, WIRE_IMPORT_EXPORTER_GONE);
	for (int i = 0; i < 1000 && !atomic_load(&cell[1].word); i++)
		usleep(1000);
	assert_int_equal(atomic_load(&cell[1].word), WIRE_CELL_LOOK);
	munmap(cell, WIRE_CELLS_SIZE);
	client_close(&b);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void a_pipe_holds_one_byte_however_often_it_is_poked(void **state)
{
	struct wire_message pipe = {.type = WIRE_PIPE, .pipe = {WIRE_SIDE_EXPORT, 0}};
	struct wire_message poke = {.type = WIRE_POKE};
	uint32_t segment, id, import;
	struct client a, b;
	char bytes[8];
	int fd;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	pipe.pipe.index = segment;
	assert_int_equal(client_call(&a, &pipe), STATUS_OK);
	fd = client_take_fd(&a, 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_false(readable(fd));
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &import), STATUS_OK);
	poke.poke.side = WIRE_SIDE_IMPORT;
	poke.poke.index = import;
	for (int i = 0; i < 3; i++, poke.serial = 0)
		assert_int_equal(client_call(&b, &poke), STATUS_OK);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 1);
	poke.poke.cell = 77; /* nobody's */
	assert_int_equal(client_call(&b, &poke), STATUS_OK);
	assert_false(readable(fd));
	close(fd);
	client_close(&a);
	client_close(&b);
}

static void a_new_import_does_not_get_the_cell_of_a_revoked_one(void **state)
{
	struct wire_message cells = {.type = WIRE_CELLS, .cells = {WIRE_SIDE_IMPORT, 0}};
	struct wire_message unpublish = {.type = WIRE_SEGMENT_UNPUBLISH};
	uint32_t segment, id, old, new;
	struct wire_cell *cell;
	struct client a, b;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &old), STATUS_OK);
	unpublish.segment_unpublish.segment = segment;
	assert_int_equal(client_call(&a, &unpublish), STATUS_OK);
	assert_int_equal(client_publish(&a, segment, 0, &id), STATUS_OK);
	assert_int_equal(atomic_load(&a.status->exports[segment].n_cells), 2);
	/* who was revoked may still fetch what was posted before */
	cells.cells.index = old;
	assert_int_equal(client_call(&b, &cells), STATUS_OK);
	assert_int_equal(b.reply.cells_reply.cell, 1);
	cell = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fds[0], 0);
	assert_true(cell != MAP_FAILED);
	atomic_fetch_add(&cell[1].word, 1);
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &new), STATUS_OK);
	assert_int_equal(b.reply.import_connect_reply.cell, 2);
	assert_int_equal(atomic_load(&cell[1].word) & WIRE_CELL_COUNT, 1);
	assert_int_equal(atomic_load(&cell[2].word), 0);
	assert_int_equal(atomic_load(&a.status->exports[segment].n_cells), 3);
	munmap(cell, WIRE_CELLS_SIZE);
	client_close(&a);
	client_close(&b);
}

static void a_poster_that_dies_leaves_no_sleeper_behind(void **state)
{
	struct wire_message pipe = {.type = WIRE_PIPE, .pipe = {WIRE_SIDE_EXPORT, 0}};
	struct wire_message cells = {.type = WIRE_CELLS, .cells = {WIRE_SIDE_EXPORT, 0}};
	uint32_t segment, id, import;
	struct wire_cell *cell;
	struct client a, b;
	int fd;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	cells.cells.index = pipe.pipe.index = segment;
	assert_int_equal(client_call(&a, &cells), STATUS_OK);
	cell = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, a.fds[0], 0);
	assert_int_equal(client_call(&a, &pipe), STATUS_OK);
	fd = client_take_fd(&a, 0);
	assert_int_equal(atomic_load(&cell[0].has_pipe), 1);
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &import), STATUS_OK);
	assert_int_equal(atomic_load(&a.status->exports[segment].n_cells), 2);
	/* b counts and dies before it pokes */
	atomic_fetch_add(&cell[0].word, 1);
	client_close(&b);
	for (int i = 0; i < 1000 && !readable(fd); i++)
		usleep(1000);
	assert_true(readable(fd));
	munmap(cell, WIRE_CELLS_SIZE);
	close(fd);
	client_close(&a);
}

static void list_and_show_tell_of_segments(void **state)
{
	struct wire_message list = {.type = WIRE_LIST};
	struct wire_message show = {.type = WIRE_SHOW};
	uint32_t segment, id, seen = 0;
	const uint8_t *at, *end;
	struct wire_list_row row;
	struct client c;

	client_new(&c, &node);
	for (int i = 0; i < 300; i++)
		id = export_one(&c, &segment);
	do {
		list.serial = 0;
		assert_int_equal(client_call(&c, &list), STATUS_OK);
		at = c.reply.tail;
		end = at + c.reply.tail_size;
		for (uint32_t i = 0; i < c.reply.list_reply.n; i++, seen++) {
			at = wire_get_list_row(at, end, &row);
			assert_non_null(at);
			assert_int_equal(row.size, 8192);
			assert_int_equal(row.pid, getpid());
		}
		list.list.cursor = c.reply.list_reply.next;
	} while (list.list.cursor);
	assert_int_equal(seen, 300);
	assert_int_equal(client_connect(&c, id, WIRE_READ, NULL), STATUS_OK);
	show.show.space = WIRE_SPACE_RSM;
	show.show.id = id;
	assert_int_equal(client_call(&c, &show), STATUS_OK);
	assert_int_equal(c.reply.show_reply.n_imports, 1);
	assert_non_null(wire_get_list_row(
		c.reply.tail, (const uint8_t *)c.reply.tail + c.reply.tail_size, &row));
	assert_int_equal(row.id, id);
	show.show.id = 12345678;
	show.serial = 0;
	assert_int_equal(client_call(&c, &show), STATUS_NOT_FOUND);
	client_close(&c);
}

static uint32_t controller(struct client *c, const char *name)
{
	struct wire_message m = {.type = WIRE_CONTROLLER};

	snprintf(m.controller.name, sizeof(m.controller.name), "%s", name);
	return client_call(c, &m);
}

/* The counts of all segments: how many rows there were, and their sum. */
static uint32_t stat_all(struct client *c, struct wire_stat_row *ret_sum)
{
	struct wire_message q = {.type = WIRE_STAT};
	struct wire_stat_row row;
	uint32_t n = 0;

	*ret_sum = (struct wire_stat_row){0};
	do {
		const uint8_t *at, *end;

		q.serial = 0;
		assert_int_equal(client_call(c, &q), STATUS_OK);
		at = c->reply.tail;
		end = at + c->reply.tail_size;
		for (uint32_t i = 0; i < c->reply.stat_reply.n; i++, n++) {
			at = wire_get_stat_row(at, end, &row);
			assert_non_null(at);
			ret_sum->n_imports = row.n_imports;
			ret_sum->puts += row.puts;
			ret_sum->get_bytes += row.get_bytes;
			ret_sum->import_posts += row.import_posts;
			ret_sum->export_posts += row.export_posts;
		}
		assert_ptr_equal(at, end);
		q.stat.cursor = c->reply.stat_reply.next;
		q.stat.cell = c->reply.stat_reply.next_cell;
	} while (q.stat.cursor);
	return n;
}

static void disconnect(struct client *c, uint32_t import)
{
	struct wire_message m = {.type = WIRE_IMPORT_DISCONNECT};

	m.import_disconnect.import = import;
	assert_int_equal(client_call(c, &m), STATUS_OK);
}

static void what_importers_counted_stays_with_the_segment(void **state)
{
	uint32_t segment, id, import, other;
	struct wire_stat_row sum;
	struct client a, b;

	client_new(&a, &node);
	client_new(&b, &node);
	id = export_one(&a, &segment);
	assert_int_equal(client_connect(&b, id, WIRE_WRITE, &import), STATUS_OK);
	assert_int_equal(client_connect(&a, id, WIRE_WRITE, &other), STATUS_OK);
	wire_count(&b.page->imports[import].puts, 5);
	wire_count(&b.page->imports[import].get_bytes, 1000);
	wire_count(&a.page->imports[other].puts, 7);
	wire_count(&a.page->imports[other].posts, 2);
	wire_count(&a.page->export_posts[segment], 3);
	assert_int_equal(stat_all(&a, &sum), 1);
	assert_int_equal(sum.n_imports, 2);
	assert_int_equal(sum.puts, 12);
	assert_int_equal(sum.get_bytes, 1000);
	assert_int_equal(sum.import_posts, 2);
	assert_int_equal(sum.export_posts, 3);

	disconnect(&a, other);
	assert_int_equal(client_connect(&a, id, WIRE_WRITE, &other), STATUS_OK);
	client_close(&b);
	client_wait_import(&a, other, WIRE_IMPORT_CONNECTED);
	for (int i = 0; i < 1000 && sum.n_imports != 1; i++) {
		usleep(1000);
		stat_all(&a, &sum);
	}
	assert_int_equal(sum.puts, 12);
	assert_int_equal(sum.import_posts, 2);
	client_close(&a);
}

static void a_new_export_does_not_begin_with_an_old_ones_counts(void **state)
{
	struct wire_message destroy = {.type = WIRE_SEGMENT_DESTROY};
	struct wire_stat_row sum;
	uint32_t segment, again;
	struct client c;

	client_new(&c, &node);
	export_one(&c, &segment);
	wire_count(&c.page->export_posts[segment], 3);
	destroy.segment_destroy.segment = segment;
	assert_int_equal(client_call(&c, &destroy), STATUS_OK);
	export_one(&c, &again);
	assert_int_equal(again, segment);
	assert_int_equal(stat_all(&c, &sum), 1);
	assert_int_equal(sum.export_posts, 0);
	client_close(&c);
}

static void counts_of_many_imports_come_in_rows_that_add_up(void **state)
{
	const uint32_t n = 3000;
	struct wire_stat_row sum;
	uint32_t segment, id, import;
	struct client c;

	client_new(&c, &node);
	id = export_one(&c, &segment);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(client_connect(&c, id, WIRE_WRITE, &import), STATUS_OK);
		wire_count(&c.page->imports[import].puts, i);
	}
	assert_true(stat_all(&c, &sum) > 1);
	assert_int_equal(sum.puts, n * (n - 1) / 2);
	client_close(&c);
}

static void counts_are_shown_as_they_are_claimed_and_nothing_worse(void **state)
{
	struct wire_message q = {
		.type = WIRE_STAT, .stat = {.cell = UINT32_MAX, .cursor = UINT64_MAX}};
	uint32_t segment, id, import;
	struct wire_stat_row sum;
	struct client c;

	client_new(&c, &node);
	id = export_one(&c, &segment);
	assert_int_equal(client_connect(&c, id, WIRE_WRITE, &import), STATUS_OK);
	atomic_store(&c.page->imports[import].puts, UINT64_MAX);
	atomic_store(&c.page->export_posts[segment], UINT64_MAX);
	stat_all(&c, &sum);
	assert_true(sum.puts == UINT64_MAX && sum.export_posts == UINT64_MAX);
	assert_int_equal(client_call(&c, &q), STATUS_OK);
	assert_int_equal(c.reply.stat_reply.n, 0);
	q.serial = 0;
	q.stat.cursor = 0;
	assert_int_equal(client_call(&c, &q), STATUS_OK);
	assert_int_equal(c.reply.stat_reply.n, 1);
	client_close(&c);
}

static void controllers_go_by_their_names_and_aliases(void **state)
{
	struct client c;

	client_new(&c, &node);
	assert_int_equal(controller(&c, "loopback"), STATUS_OK);
	assert_int_equal(c.reply.controller_reply.kind, WIRE_CONTROLLER_LOOPBACK);
	assert_int_equal(controller(&c, "LoopBack17"), STATUS_OK);
	assert_int_equal(controller(&c, "wrsm3"), STATUS_OK);
	assert_int_equal(c.reply.controller_reply.unit, 3);
	assert_int_equal(controller(&c, "sci"), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(&c, "tcp0"), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(&c, ""), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(&c, "7"), STATUS_NO_CONTROLLER);
	client_close(&c);
}

static void a_map_is_checked_through_the_clients_userfaultfd(void **state)
{
	struct wire_message watch = {.type = WIRE_WATCH};
	struct wire_message check = {.type = WIRE_CHECK_MAP};
	enum uffd_kind kind;
	uint32_t segment;
	struct client c;
	int memory, uffd;
	void *p;

	client_new(&c, &node);
	if (uffd_new(-1, &kind, &uffd) < 0) {
		print_message("skipped: no userfaultfd here\n");
		client_close(&c);
		skip();
	}
	assert_int_equal(client_call(&c, &check), STATUS_OK);
	assert_int_equal(c.reply.check_map_reply.stage, WIRE_CHECK_NO_UFFD);
	client_send(&c, &watch, &uffd, 1);
	assert_true(client_receive(&c));
	assert_int_equal(c.reply.status, STATUS_OK);

	check.serial = 0;
	assert_int_equal(client_call(&c, &check), STATUS_BAD_HANDLE);
	assert_int_equal(client_create(&c, 8192, &segment, &memory), STATUS_OK);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	memset(p, 1, 8192);
	c.page->maps[5].address = (uintptr_t)p;
	c.page->maps[5].side = WIRE_SIDE_EXPORT;
	c.page->maps[5].index = segment;
	check.check_map.slot = 5;
	for (int i = 0; i < 2; i++) {
		atomic_store(&c.page->maps[5].length, 8192);
		check.serial = 0;
		assert_int_equal(client_call(&c, &check), STATUS_OK);
		assert_int_equal(c.reply.check_map_reply.error, 0);
		assert_int_equal(c.reply.check_map_reply.stage, WIRE_CHECK_DONE);
	}
	atomic_store(&c.page->maps[5].length, 1ull << 40);
	check.serial = 0;
	assert_int_equal(client_call(&c, &check), STATUS_BAD_ADDRESS);
	atomic_store(&c.page->maps[5].length, 8192);
	munmap(p, 8192);
	check.serial = 0;
	assert_int_equal(client_call(&c, &check), STATUS_OK);
	assert_int_equal(c.reply.check_map_reply.stage, WIRE_CHECK_REGISTER);
	close(uffd);
	close(memory);
	client_close(&c);
}

static void a_client_comes_back_with_its_token_on_a_new_socket(void **state)
{
	struct wire_message hello = {.type = WIRE_HELLO, .hello = {WIRE_MAJOR, WIRE_MINOR, 0, {0}}};
	struct wire_message forged;
	struct client c, again;
	uint32_t segment;

	client_new(&c, &node);
	assert_int_equal(client_create(&c, 4096, &segment, NULL), STATUS_OK);
	hello.hello.resume_client = c.hello.client;
	forged = hello;
	client_open(&again, &node);
	assert_int_equal(client_call(&again, &forged), STATUS_BAD_HANDLE);
	assert_false(client_receive(&again));
	client_close(&again);

	client_open(&again, &node);
	memcpy(hello.hello.token, c.hello.token, sizeof(hello.hello.token));
	assert_int_equal(client_call(&again, &hello), STATUS_OK);
	assert_int_equal(again.reply.hello_reply.client, c.hello.client);
	assert_false(client_receive(&c));
	again.serial = c.serial;
	assert_int_equal(client_publish(&again, segment, 0, NULL), STATUS_OK);
	assert_int_equal(client_node_status(&again).n_clients, 1);
	client_close(&again);
	client_close(&c);
}

/* Breaking the protocol. Afterwards the connection must be at its end, and the node alive. */

static void assert_cut_off(struct client *c)
{
	struct client other;

	while (client_receive(c))
		;
	client_new(&other, &node);
	client_node_status(&other);
	client_close(&other);
	client_close(c);
}

static void send_raw(struct client *c, const void *data, size_t size, unsigned int n_fds)
{
	int fds[8] = {0, 0, 0, 0, 0, 0, 0, 0};

	fd_send(c->socket, data, size, fds, n_fds, 0);
}

static void who_breaks_the_protocol_is_cut_off(void **state)
{
	struct wire_message ping = {.type = WIRE_PING}, answer = {.type = WIRE_PING_REPLY};
	struct wire_message hello = {.type = WIRE_HELLO, .hello = {WIRE_MAJOR, WIRE_MINOR, 0, {0}}};
	int fds[1] = {0};
	static uint8_t garbage[2 * WIRE_PACKET_MAX];
	struct client c;

	client_open(&c, &node);
	client_send(&c, &ping, NULL, 0); /* before hello */
	assert_cut_off(&c);

	client_new(&c, &node);
	client_send(&c, &hello, NULL, 0); /* twice */
	assert_cut_off(&c);

	client_new(&c, &node);
	client_send(&c, &answer, NULL, 0);
	assert_cut_off(&c);

	client_new(&c, &node);
	send_raw(&c, "short", 5, 0);
	assert_cut_off(&c);

	client_new(&c, &node);
	send_raw(&c, garbage, sizeof(garbage), 0); /* longer than any packet */
	assert_cut_off(&c);

	client_new(&c, &node);
	memset(garbage, 0xff, sizeof(garbage));
	send_raw(&c, garbage, 100, 8);
	assert_cut_off(&c);

	client_new(&c, &node);
	ping.serial = 0;
	client_send(&c, &ping, fds, 1); /* with a descriptor */
	assert_cut_off(&c);
}

/* A client that gets RESEND late says again what has been answered meanwhile. */
static void a_number_not_above_the_last_is_ignored(void **state)
{
	struct wire_message ping = {.type = WIRE_PING, .serial = 5};
	struct client c;

	client_new(&c, &node);
	client_send(&c, &ping, NULL, 0);
	client_send(&c, &ping, NULL, 0);
	ping.serial = 4;
	client_send(&c, &ping, NULL, 0);
	ping.serial = 6;
	client_send(&c, &ping, NULL, 0);
	assert_true(client_receive(&c));
	assert_int_equal(c.reply.serial, 5);
	assert_true(client_receive(&c));
	assert_int_equal(c.reply.serial, 6);
	client_close(&c);
}

static void who_does_not_read_its_answers_is_cut_off(void **state)
{
	struct wire_message ping = {.type = WIRE_PING};
	struct client c;

	client_new(&c, &node);
	for (int i = 0; i < 5000; i++, ping.serial = 0)
		client_send(&c, &ping, NULL, 0);
	assert_cut_off(&c);
}

static void silence_is_cut_off_in_time(void **state)
{
	uint64_t begin = clock_now(), took;
	struct client c;

	client_open(&c, &node);
	assert_false(client_receive(&c));
	took = clock_now() - begin;
	assert_true(took > 100 * NSEC_PER_MSEC && took < 5 * NSEC_PER_SEC);
	client_close(&c);
}

static void silent_connections_do_not_keep_others_out(void **state)
{
	enum { MANY = 200 };
	static struct client silent[MANY];
	struct client c;

	for (int i = 0; i < MANY; i++)
		client_open(&silent[i], &node);
	client_new(&c, &node);
	client_node_status(&c);
	client_close(&c);
	for (int i = 0; i < MANY; i++)
		client_close(&silent[i]);
}

static void another_major_version_is_told_so(void **state)
{
	struct wire_message hello = {.type = WIRE_HELLO, .hello = {WIRE_MAJOR + 1, 0, 0, {0}}};
	struct client c;

	client_open(&c, &node);
	assert_int_equal(client_call(&c, &hello), STATUS_VERSION);
	assert_int_equal(c.reply.hello_reply.major, WIRE_MAJOR);
	assert_false(client_receive(&c));
	client_close(&c);
}

static void a_request_of_the_future_is_not_supported(void **state)
{
	uint8_t packet[WIRE_HEADER_SIZE] = {WIRE_HEADER_SIZE, 0, 0, 0, 0x77, 0x77, 0, 0, 9};
	struct client c;

	client_new(&c, &node);
	send_raw(&c, packet, sizeof(packet), 0);
	assert_true(client_receive(&c));
	assert_int_equal(c.reply.status, STATUS_NOT_SUPPORTED);
	assert_int_equal(c.reply.serial, 9);
	assert_int_equal(client_node_status(&c).n_clients, 1);
	client_close(&c);
}

/* Nodes */

static int run_second(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl(program, "causewayd", "--socket", node.socket, "--config", node.dir, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_second_node_on_the_same_socket_is_refused(void **state)
{
	struct client c;

	assert_int_equal(run_second(), 1);
	client_new(&c, &node);
	client_close(&c);
}

/* A process that was killed hangs up before it has given up its lock. */
static void wait_unlocked(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s.lock", node.socket);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	close(fd);
}

static void a_dead_nodes_socket_is_taken_over(void **state)
{
	struct client c;
	pid_t daemon;

	client_new(&c, &node);
	daemon = (pid_t)client_node_status(&c).daemon_pid;
	/* the daemon sleeps while its keeper dies, so that neither can replace the other */
	kill(daemon, SIGSTOP);
	kill(node.keeper, SIGKILL);
	kill(daemon, SIGKILL);
	waitpid(node.keeper, NULL, 0);
	while (client_receive(&c))
		;
	client_close(&c);
	wait_unlocked();
	assert_int_equal(access(node.socket, F_OK), 0);

	node_start_again(&node, program, false);
	client_new(&c, &node);
	assert_int_equal(client_node_status(&c).restarts, 0);
	client_close(&c);
}

static void an_embedded_node_ends_after_its_last_client(void **state)
{
	struct node own;
	struct client c;

	node_start(&own, program, "[Daemon]\nIdleExit=300ms\n", true);
	client_new(&c, &own);
	usleep(600000);
	client_node_status(&c);
	client_close(&c);
	node_wait_end(&own);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpublish_moves_memory_that_another_client_has),
		cmocka_unit_test(without_the_right_to_write_the_description_cannot),
		cmocka_unit_test(the_exporters_death_shows_in_the_status_page_and_the_cell),
		cmocka_unit_test(a_pipe_holds_one_byte_however_often_it_is_poked),
		cmocka_unit_test(a_new_import_does_not_get_the_cell_of_a_revoked_one),
		cmocka_unit_test(a_poster_that_dies_leaves_no_sleeper_behind),
		cmocka_unit_test(list_and_show_tell_of_segments),
		cmocka_unit_test(what_importers_counted_stays_with_the_segment),
		cmocka_unit_test(a_new_export_does_not_begin_with_an_old_ones_counts),
		cmocka_unit_test(counts_of_many_imports_come_in_rows_that_add_up),
		cmocka_unit_test(counts_are_shown_as_they_are_claimed_and_nothing_worse),
		cmocka_unit_test(controllers_go_by_their_names_and_aliases),
		cmocka_unit_test(a_map_is_checked_through_the_clients_userfaultfd),
		cmocka_unit_test(a_client_comes_back_with_its_token_on_a_new_socket),
		cmocka_unit_test(who_breaks_the_protocol_is_cut_off),
		cmocka_unit_test(a_number_not_above_the_last_is_ignored),
		cmocka_unit_test(who_does_not_read_its_answers_is_cut_off),
		cmocka_unit_test(silence_is_cut_off_in_time),
		cmocka_unit_test(silent_connections_do_not_keep_others_out),
		cmocka_unit_test(another_major_version_is_told_so),
		cmocka_unit_test(a_request_of_the_future_is_not_supported),
		cmocka_unit_test(a_second_node_on_the_same_socket_is_refused),
		cmocka_unit_test(a_dead_nodes_socket_is_taken_over),
		cmocka_unit_test(an_embedded_node_ends_after_its_last_client),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-requests CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, setup, teardown);
}
