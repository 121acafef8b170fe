/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway bench: what put, get and signals to another node take. It needs a segment to work on,
 * and somebody who answers signals: causeway bench --serve there. Who serves is found in the node's
 * list of segments by the name that it gives itself.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/peers.h"
#include "cli/segment.h"
#include "cli/times.h"
#include "client/export.h"
#include "client/import.h"
#include "client/remote.h"
#include "wire/status.h"

#define SERVER_NAME    "causeway-bench"
#define SERVER_SIZE    (1u << 20)
#define TIMES_MAX      20000u
#define TIMES_MIN      10u
#define WORK_TIME      (200 * NSEC_PER_MSEC) /* of each row */
#define SIGNAL_TIMEOUT (5 * NSEC_PER_SEC)

static void *get_memory(void)
{
	void *p =
		mmap(NULL, SERVER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* serving */

static int serve(cw_handle segment)
{
	int r;

	do {
		r = cw_signal_wait(segment, UINT64_MAX);
		if (r == 0)
			r = cw_signal_post(segment, true);
	} while (r == 0 || r == STATUS_INTERRUPTED);
	return cli_fail("cannot serve any longer: %s", node_result_text(r));
}

/* Until a signal of the terminal ends it. */
static int bench_serve(void)
{
	void *memory = get_memory();
	cw_handle segment;
	struct node node;
	uint32_t id = 0;
	int r;

	/* before the daemon sees us */
	if (!memory || prctl(PR_SET_NAME, SERVER_NAME) < 0)
		return cli_fail("cannot prepare to serve: %s", strerror(errno));
	r = node_find(true, &node);
	if (r)
		return r;
	r = cw_export_create(WIRE_SPACE_RSM, memory, SERVER_SIZE, 0666, 0, &segment);
	if (!r)
		r = cw_export_publish(segment, &id, NULL, 0);
	if (r)
		return cli_fail("cannot export memory to work on: %s", node_result_text(r));
	printf("segment 0x%x serves until it is interrupted; on another node: causeway bench %u\n",
		id, node.status.node);
	fflush(stdout);
	return serve(segment);
}

/* measuring */

enum bench_work { WORK_PUT, WORK_GET, WORK_SIGNAL };

struct bench {
	cw_handle import;
	void *memory;
	uint64_t times[TIMES_MAX];
	uint32_t n;
};

static int copy_local(struct cw_import *import, void *memory, size_t size, bool put)
{
	uint8_t *base;
	int r = cw_import_base(import, &base);

	if (!r) {
		memcpy(put ? base : memory, put ? memory : base, size);
		atomic_thread_fence(memory_order_seq_cst);
		r = cw_import_ready(import);
	}
	cw_leave();
	return r;
}

/* As a program's put or get in implicit mode: it is done when this returns. */
static int transfer(struct bench *b, size_t size, bool put)
{
	struct cw_import *import = cw_enter(b->import, CW_IMPORT_SEGMENT);

	if (!import)
		return STATUS_BAD_HANDLE;
	if (!import->remote)
		return copy_local(import, b->memory, size, put);
	return put ? cw_remote_put(import, 0, b->memory, size, 0, false)
		   : cw_remote_get(import, 0, b->memory, size, 0);
}

static int do_work(struct bench *b, enum bench_work work, size_t size)
{
	int r;

	if (work != WORK_SIGNAL)
		return transfer(b, size, work == WORK_PUT);
	r = cw_signal_post(b->import, true);
	return r ? r : cw_signal_wait(b->import, SIGNAL_TIMEOUT);
}

/* Fills b->times, sorted. The first time does not count: it makes connections and maps. */
static int measure(struct bench *b, enum bench_work work, size_t size)
{
	uint64_t end = clock_now() + WORK_TIME, start, now;
	int r = do_work(b, work, size);

	now = clock_now();
	for (b->n = 0; r == 0 && b->n < TIMES_MAX && (b->n < TIMES_MIN || now < end); b->n++) {
		start = now;
		r = do_work(b, work, size);
		now = clock_now();
		b->times[b->n] = now - start;
	}
	times_sort(b->times, b->n);
	return r;
}

/* printing */

enum { BENCH_WORK, BENCH_SIZE, BENCH_COUNT, BENCH_MIN, BENCH_MEDIAN, BENCH_P99, BENCH_RATE };

static const struct column columns[] = {
	[BENCH_WORK] = {"WORK", "put, get, or signal: there and back", 0},
	[BENCH_SIZE] = {"SIZE", "bytes", COLUMN_RIGHT},
	[BENCH_COUNT] = {"COUNT", "how many were measured", COLUMN_RIGHT},
	[BENCH_MIN] = {"MIN", "the shortest; nanoseconds in JSON", COLUMN_RIGHT},
	[BENCH_MEDIAN] = {"MEDIAN", "half of them took at most this", COLUMN_RIGHT},
	[BENCH_P99] = {"P99", "99 of 100 took at most this", COLUMN_RIGHT},
	[BENCH_RATE] = {"MB/S", "at the median, one after the other", COLUMN_RIGHT},
};

static void set_time(Table *t, unsigned int column, uint64_t ns)
{
	table_number_as(t, column, ns, "%.2fus", (double)ns / 1e3);
}

static void add_row(Table *t, const struct bench *b, const char *work, size_t size)
{
	uint64_t median = times_percentile(b->times, b->n, 50);

	table_row(t);
	table_text(t, BENCH_WORK, "%s", work);
	if (size)
		table_size(t, BENCH_SIZE, size, false);
	table_number(t, BENCH_COUNT, b->n);
	set_time(t, BENCH_MIN, b->times[0]);
	set_time(t, BENCH_MEDIAN, median);
	set_time(t, BENCH_P99, times_percentile(b->times, b->n, 99));
	if (size)
		table_number_as(t, BENCH_RATE, size * 1000 / MAX(median, 1u), "%.1f",
			(double)size * 1e3 / (double)MAX(median, 1u));
}

/* All rows; 0 or what ended it. */
static int run_all(struct bench *b, Table *t)
{
	static const size_t sizes[] = {8, 64, 512, 4096, 65536, SERVER_SIZE};
	static const char *const names[] = {[WORK_PUT] = "put", [WORK_GET] = "get"};
	int r = 0;

	for (enum bench_work work = WORK_PUT; work <= WORK_GET; work++)
		for (unsigned int i = 0; r == 0 && i < ELEMENTS(sizes); i++) {
			r = measure(b, work, sizes[i]);
			if (r == 0)
				add_row(t, b, names[work], sizes[i]);
		}
	if (r == 0)
		r = measure(b, WORK_SIGNAL, 0);
	if (r == 0)
		add_row(t, b, "signal", 0);
	return r;
}

/* the command */

static int find_server(uint32_t node, uint32_t own, uint32_t *ret_id)
{
	_cleanup_(segments_deinit) struct segments s = {0};
	int r = segments_of(node, own, &s);

	if (r)
		return r;
	for (size_t i = 0; i < s.n; i++)
		if (!strcmp(s.rows[i].command, SERVER_NAME) && s.rows[i].space == WIRE_SPACE_RSM &&
			s.rows[i].state == WIRE_SEGMENT_PUBLISHED &&
			s.rows[i].size == SERVER_SIZE) {
			*ret_id = s.rows[i].id;
			return 0;
		}
	return cli_fail(
		"nobody serves on node %u: run 'causeway bench --serve' there meanwhile", node);
}

/* As a program would that takes the first controller there is. */
static uint32_t best_controller(uint32_t node, uint32_t own)
{
	struct cw_node here;

	if (node == own)
		return WIRE_CONTROLLER_LOOPBACK;
	return cw_connect(&here) == 0 && here.hello.flags & WIRE_HELLO_RDMA ? WIRE_CONTROLLER_OFI
									    : WIRE_CONTROLLER_TCP;
}

static int connect_server(struct bench *b, uint32_t node, uint32_t own, uint32_t id)
{
	int r = cw_import_connect(WIRE_SPACE_RSM, best_controller(node, own), node, id,
		WIRE_READ | WIRE_WRITE, &b->import);

	return r ? cli_fail("cannot connect to segment 0x%x of node %u: %s", id, node,
			   node_result_text(r))
		 : 0;
}

static void print(const struct invocation *in, const struct node *node, uint32_t to, const Table *t)
{
	struct json_object *root;

	if (!in->option[OPTION_JSON]) {
		node_print(node, stdout);
		table_print(t, true, stdout);
		return;
	}
	root = json_object_new_object();
	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "node", json_object_new_int64(to));
	json_object_object_add(root, "rows", table_json(t));
	json_print(root, stdout);
}

static int bench_node(const struct invocation *in, uint32_t to)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	_cleanup_free_ struct bench *b = calloc(1, sizeof(*b));
	struct node node;
	uint32_t id = 0;
	int r;

	if (!b || !(b->memory = get_memory()))
		return cli_fail("out of memory");
	memset(b->memory, 1, SERVER_SIZE);
	r = node_find(false, &node);
	if (!r)
		r = find_server(to, node.status.node, &id);
	if (!r)
		r = connect_server(b, to, node.status.node, id);
	if (r)
		return r;
	r = run_all(b, t);
	cw_import_disconnect(b->import);
	munmap(b->memory, SERVER_SIZE);
	print(in, &node, to, t);
	if (r == STATUS_NODE_LOST && to != node.status.node)
		return cli_fail("ended early: node %u is lost", to);
	return r ? cli_fail("ended early: %s", node_result_text(r)) : 0;
}

int bench_run(const struct invocation *in)
{
	uint32_t to;
	int r;

	if (!in->option[OPTION_SERVE] != !!in->n_args)
		return cli_usage("'bench' needs either a NODE, or --serve.");
	if (in->option[OPTION_SERVE])
		return bench_serve();
	r = peer_parse(in->args[0], &to);
	return r ? r : bench_node(in, to);
}
