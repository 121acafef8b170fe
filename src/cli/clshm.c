/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/clshm.h"

#include <config.h>
#include <ctype.h>
#include <getopt.h>
#include <string.h>
#include <xp_shm.h>
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/peers.h"
#include "wire/status.h"

#define VERSION_OURS ((uint32_t)CLSHM_USR_MAJOR_VERS << 16 | CLSHM_USR_MINOR_VERS)

/* our own partition */

int clshm_hello(struct wire_shm_hello_reply *ret_reply)
{
	struct wire_message request = {
		.type = WIRE_SHM_HELLO, .shm_hello = {.version = VERSION_OURS}};
	struct cw_reply reply;
	int r = cw_call(&request, NULL, 0, &reply);

	if (r == 0)
		*ret_reply = reply.message.shm_hello_reply;
	return r;
}

const char *clshm_hello_text(int result)
{
	switch (result) {
	case STATUS_NO_DAEMON:
		return "clshm is shut down on this node; 'clshmctl startup' starts it";
	case STATUS_NODE_UNKNOWN:
		return "this node is no partition: its number is above 63";
	case STATUS_VERSION:
		return "the daemon's clshm is of another major version";
	case STATUS_NOT_SUPPORTED:
		return "this causewayd has no clshm";
	}
	return node_result_text(result);
}

int clshm_find(bool may_start, struct node *ret_node, struct wire_shm_hello_reply *ret_reply)
{
	int r = node_find(may_start, ret_node);

	if (r)
		return r;
	r = clshm_hello(ret_reply);
	return r ? cli_fail("%s", clshm_hello_text(r)) : 0;
}

/* all partitions */

void partitions_deinit(struct partitions *p)
{
	free(p->rows);
	*p = (struct partitions){0};
}

const struct partition *partitions_find(const struct partitions *p, uint32_t number)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rows[i].number == number)
			return &p->rows[i];
	return NULL;
}

/* Other hosts' words are shown to people. */
static void make_harmless(char *text)
{
	for (; *text; text++)
		if (!isascii(*text) || iscntrl((unsigned char)*text))
			*text = '?';
}

static int fetch_up(struct partitions *p)
{
	struct wire_message request = {.type = WIRE_SHM_PARTITION_LIST};
	struct wire_shm_partition row;
	const uint8_t *at, *end;
	struct cw_reply reply;
	uint32_t n;
	int r = node_call(&request, "ask for the partitions", &reply);

	if (r)
		return r;
	at = reply.message.tail;
	end = at + reply.message.tail_size;
	n = reply.message.shm_partition_list_reply.n;
	if (n > WIRE_SHM_PARTITIONS)
		return cli_fail("the daemon's list is malformed: %u partitions", n);
	for (; n; n--) {
		at = wire_get_shm_partition(at, end, &row);
		if (!at)
			return cli_fail("the daemon's list of partitions is cut short");
		p->rows[p->n] = (struct partition){
			.number = row.partition, .is_up = true, .version = row.version};
		memcpy(p->rows[p->n].host, row.host, sizeof(row.host));
		make_harmless(p->rows[p->n++].host);
	}
	return 0;
}

/* Why a node of the list is not among those that are up. */
static void set_reason(struct partition *p, const struct wire_node_row *row)
{
	if (row->state == WIRE_PEER_UP)
		snprintf(p->reason, sizeof(p->reason),
			"its clshm is shut down, or of another major version");
	else
		snprintf(p->reason, sizeof(p->reason), "%s%s%s",
			wire_status_text(STATUS_NODE_UNREACHABLE), row->trouble[0] ? ": " : "",
			row->trouble);
	make_harmless(p->reason);
}

static int by_number(const void *a, const void *b)
{
	const struct partition *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int fetch_down(struct partitions *p)
{
	_cleanup_(peers_deinit) struct peers peers = {0};
	int r = peers_fetch(&peers);

	for (size_t i = 0; r == 0 && i < peers.n; i++) {
		const struct wire_node_row *row = &peers.rows[i];

		if (row->node >= WIRE_SHM_PARTITIONS || row->state == WIRE_PEER_SELF ||
			partitions_find(p, row->node) || p->n == 2 * WIRE_SHM_PARTITIONS)
			continue;
		p->rows[p->n] = (struct partition){.number = row->node};
		set_reason(&p->rows[p->n++], row);
	}
	return r;
}

int partitions_fetch(struct partitions *ret_partitions)
{
	/* as many as a daemon may name, and all others */
	_cleanup_(partitions_deinit) struct partitions p = {
		.rows = calloc(2 * WIRE_SHM_PARTITIONS, sizeof(*p.rows))};
	int r;

	if (!p.rows)
		return cli_fail("out of memory");
	r = fetch_up(&p);
	if (!r)
		r = fetch_down(&p);
	if (r)
		return r;
	qsort(p.rows, p.n, sizeof(*p.rows), by_number);
	*ret_partitions = p;
	p = (struct partitions){0};
	return 0;
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, *text ? json_object_new_string(text) : NULL);
}

struct json_object *partitions_json(const struct partitions *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "partition", json_object_new_int64(p->rows[i].number));
		json_object_object_add(o, "up", json_object_new_boolean(p->rows[i].is_up));
		add_text(o, "host", p->rows[i].host);
		add_text(o, "reason", p->rows[i].reason);
		json_object_array_add(list, o);
	}
	return list;
}

/* segments of one */

void shm_rows_deinit(struct shm_rows *s)
{
	free(s->rows);
	*s = (struct shm_rows){0};
}

/* Appends the rows of one answer. */
static int take_rows(const struct cw_reply *reply, struct shm_rows *s)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.shm_list_reply.n;
	struct wire_shm_row *rows;

	if (n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's list is malformed: %u rows in one packet", n);
	rows = reallocarray(s->rows, s->n + n + 1, sizeof(*rows));
	if (!rows)
		return cli_fail("out of memory");
	s->rows = rows;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_shm_row(at, end, &rows[s->n]);
		if (!at)
			return cli_fail("the daemon's list is malformed: row %u is cut short", i);
		s->n++;
	}
	return 0;
}

int shm_rows_fetch(uint32_t partition, struct shm_rows *ret_rows, int *ret_result)
{
	_cleanup_(shm_rows_deinit) struct shm_rows s = {0};
	struct wire_message request;
	struct cw_reply reply;
	uint64_t cursor = 0;
	int r;

	do {
		request = (struct wire_message){.type = WIRE_SHM_LIST,
			.shm_list = {.partition = partition, .cursor = cursor}};
		*ret_result = cw_call(&request, NULL, 0, &reply);
		if (*ret_result)
			return 0;
		r = take_rows(&reply, &s);
		if (r)
			return r;
		cursor = reply.message.shm_list_reply.next;
	} while (cursor);
	*ret_rows = s;
	s = (struct shm_rows){0};
	return 0;
}

/* numbers */

int partition_parse(const char *text, uint32_t *ret_partition)
{
	uint32_t n;

	if (parse_u32(text, &n) < 0 || n >= WIRE_SHM_PARTITIONS)
		return cli_usage("'%s' must be a partition's number from 0 to %u.", text,
			WIRE_SHM_PARTITIONS - 1);
	*ret_partition = n;
	return 0;
}

int shm_number_parse(const char *what, const char *text, uint32_t *ret_number)
{
	uint32_t n;

	if (parse_u32(text, &n) < 0)
		return cli_usage(
			"'%s' is no %s: it must be a number, in hexadecimal after 0x.", text, what);
	if (WIRE_SHM_PARTITION(n) >= WIRE_SHM_PARTITIONS || !WIRE_SHM_NUMBER(n))
		return cli_usage("'%s' is no %s of clshm: those are a partition, from 0 to %u, "
				 "times 0x1000000 and a number that is not 0.",
			text, what, WIRE_SHM_PARTITIONS - 1);
	*ret_number = n;
	return 0;
}

/* command lines */

bool clshm_options(int argc, char **argv, const char *name, const char *help, bool *ret_json,
	char ***ret_words, int *ret_status)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0}};
	bool json = false;
	int c;

	cli_name = name;
	argv[0] = (char *)name; /* getopt says it, too */
	while ((c = getopt_long(argc, argv, "JhV", longs, NULL)) != -1) {
		switch (c) {
		case 'J':
			json = true;
			break;
		case 'h':
			printf("%s\n"
			       "  -J, --json     Print JSON.\n"
			       "  -h, --help     Say what can be given, and end.\n"
			       "  -V, --version  Say which version this is, and end.\n",
				help);
			*ret_status = cli_flushed(EXIT_OK);
			return false;
		case 'V':
			printf("%s (Causeway) " CAUSEWAY_VERSION "\n", name);
			*ret_status = cli_flushed(EXIT_OK);
			return false;
		default:
			*ret_status = EXIT_USAGE;
			return false;
		}
	}
	*ret_json = json;
	*ret_words = argv + optind;
	return true;
}
