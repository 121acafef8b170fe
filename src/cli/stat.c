/* SPDX-License-Identifier: Apache-2.0 */
/* causeway stat: what goes through the segments a second */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/node.h"
#include "cli/segment.h"

#define INTERVAL_MIN NSEC_PER_MSEC
#define INTERVAL_MAX (86400 * NSEC_PER_SEC)

enum {
	STAT_NODE,
	STAT_ID,
	STAT_SPACE,
	STAT_PID,
	STAT_COMMAND,
	STAT_IMPORTS,
	STAT_PUTS,
	STAT_PUT_BYTES,
	STAT_GETS,
	STAT_GET_BYTES,
	STAT_SIGNALS,
	STAT_TO_EXPORTER,
	STAT_TO_IMPORTERS,
	STAT_OWNER,
	STAT_INSTANCE,
	STAT_COLUMNS,
};

static const struct column columns[STAT_COLUMNS] = {
	[STAT_NODE] = {"NODE", "node where the segment is at home", COLUMN_RIGHT},
	[STAT_ID] = {"ID", "the number under which it is published", COLUMN_RIGHT},
	[STAT_SPACE] = {"SPACE", "interface whose numbers these are: rsm, sisci, clshm", 0},
	[STAT_PID] = {"PID", "process that exports it", COLUMN_RIGHT},
	[STAT_COMMAND] = {"COMMAND", "name of this process", 0},
	[STAT_IMPORTS] = {"IMPORTS", "number of imports", COLUMN_RIGHT},
	[STAT_PUTS] = {"PUTS", "puts a second, by all importers", COLUMN_RIGHT},
	[STAT_PUT_BYTES] = {"PUT_BYTES", "bytes that they put a second", COLUMN_RIGHT},
	[STAT_GETS] = {"GETS", "gets a second, by all importers", COLUMN_RIGHT},
	[STAT_GET_BYTES] = {"GET_BYTES", "bytes that they got a second", COLUMN_RIGHT},
	[STAT_SIGNALS] = {"SIGNALS", "signals posted a second, by exporter and importers",
		COLUMN_RIGHT},
	[STAT_TO_EXPORTER] = {"TO_EXPORTER", "signals that importers posted a second",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_TO_IMPORTERS] = {"TO_IMPORTERS",
		"signals that the exporter posted a second, each to all importers",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_OWNER] = {"OWNER", "user who exports it", COLUMN_EXTRA},
	[STAT_INSTANCE] = {"INSTANCE", "number that no other segment of this node ever has",
		COLUMN_RIGHT | COLUMN_EXTRA},
};

/* All counts of one moment; rows by rising instance. */
struct sample {
	uint64_t time; /* CLOCK_MONOTONIC */
	struct wire_stat_row *rows;
	size_t n;
};

static void sample_deinit(struct sample *s)
{
	free(s->rows);
	*s = (struct sample){0};
}

/* fetching */

static void add_counts(struct wire_stat_row *to, const struct wire_stat_row *more)
{
	to->puts += more->puts;
	to->gets += more->gets;
	to->put_bytes += more->put_bytes;
	to->get_bytes += more->get_bytes;
	to->import_posts += more->import_posts;
	to->export_posts += more->export_posts;
}

/* A segment with many imports comes in parts. */
static void take_row(struct sample *s, const struct wire_stat_row *row)
{
	if (s->n && s->rows[s->n - 1].instance == row->instance)
		add_counts(&s->rows[s->n - 1], row);
	else
		s->rows[s->n++] = *row;
}

static int take_rows(const struct cw_reply *reply, struct sample *s)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.stat_reply.n;
	struct wire_stat_row *rows, row;

	if (n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's counts are malformed: %u rows in one packet", n);
	rows = reallocarray(s->rows, s->n + n + 1, sizeof(*rows));
	if (!rows)
		return cli_fail("out of memory");
	s->rows = rows;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_stat_row(at, end, &row);
		if (!at)
			return cli_fail(
				"the daemon's counts are malformed: row %u is cut short", i);
		take_row(s, &row);
	}
	return 0;
}

static int sample_take(uint32_t space, struct sample *ret_sample)
{
	_cleanup_(sample_deinit) struct sample s = {.time = clock_now()};
	struct wire_message request;
	struct cw_reply reply;
	uint32_t cell = 0;
	uint64_t cursor = 0;
	int r;

	do {
		request = (struct wire_message){.type = WIRE_STAT,
			.stat = {.space = space, .cell = cell, .cursor = cursor}};
		r = node_call(&request, "read the counts of the segments", &reply);
		if (!r)
			r = take_rows(&reply, &s);
		if (r)
			return r;
		cursor = reply.message.stat_reply.next;
		cell = reply.message.stat_reply.next_cell;
	} while (cursor);
	*ret_sample = s;
	s = (struct sample){0};
	return 0;
}

/* rates */

/* A second, rounded up, so that only nothing is 0. A count that went back began anew. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t ns)
{
	double v = now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
	uint64_t whole;

	if (v >= 1e19)
		return UINT64_MAX;
	whole = (uint64_t)v;
	return whole + ((double)whole < v);
}

static void make_rates(struct wire_stat_row *row, const struct wire_stat_row *before, uint64_t ns)
{
	row->puts = rate(before->puts, row->puts, ns);
	row->gets = rate(before->gets, row->gets, ns);
	row->put_bytes = rate(before->put_bytes, row->put_bytes, ns);
	row->get_bytes = rate(before->get_bytes, row->get_bytes, ns);
	row->import_posts = rate(before->import_posts, row->import_posts, ns);
	row->export_posts = rate(before->export_posts, row->export_posts, ns);
}

/* The rates of now's segments; all that a new one counted was in between. */
static void sample_rates(const struct sample *before, const struct sample *now,
	struct sample *rates, struct wire_stat_row *ret_total)
{
	static const struct wire_stat_row nothing;
	struct wire_stat_row total = {0};
	uint64_t ns = MAX(now->time - before->time, 1u);

	for (size_t i = 0, old = 0; i < now->n; i++) {
		struct wire_stat_row *row = &rates->rows[i];
		bool known;

		*row = now->rows[i];
		while (old < before->n && before->rows[old].instance < row->instance)
			old++;
		known = old < before->n && before->rows[old].instance == row->instance;
		make_rates(row, known ? &before->rows[old] : &nothing, ns);
		add_counts(&total, row);
		total.n_imports += row->n_imports;
	}
	rates->n = now->n;
	*ret_total = total;
}

/* printing */

static void fill_rates(Table *t, const struct wire_stat_row *row, bool bytes)
{
	table_number(t, STAT_IMPORTS, row->n_imports);
	table_number(t, STAT_PUTS, row->puts);
	table_size(t, STAT_PUT_BYTES, row->put_bytes, bytes);
	table_number(t, STAT_GETS, row->gets);
	table_size(t, STAT_GET_BYTES, row->get_bytes, bytes);
	table_number(t, STAT_SIGNALS, row->import_posts + row->export_posts);
	table_number(t, STAT_TO_EXPORTER, row->import_posts);
	table_number(t, STAT_TO_IMPORTERS, row->export_posts);
}

static void fill_row(Table *t, const struct wire_stat_row *row, bool bytes)
{
	char user[64];

	table_row(t);
	table_number(t, STAT_NODE, row->node);
	if (row->state == WIRE_SEGMENT_PUBLISHED)
		table_number_as(t, STAT_ID, row->id, "0x%x", row->id);
	table_text(t, STAT_SPACE, "%s", space_name(row->space));
	table_number(t, STAT_PID, row->pid);
	table_text(t, STAT_COMMAND, "%s", row->command);
	table_text(t, STAT_OWNER, "%s", user_name(row->uid, user));
	table_number(t, STAT_INSTANCE, row->instance);
	fill_rates(t, row, bytes);
}

static struct json_object *total_json(const struct wire_stat_row *total)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, STAT_COLUMNS);

	table_select(t, "IMPORTS,PUTS,PUT_BYTES,GETS,GET_BYTES,SIGNALS,TO_EXPORTER,TO_IMPORTERS");
	table_row(t);
	fill_rates(t, total, true);
	return table_json_row(t);
}

static void print_json(
	const struct node *node, const Table *t, const struct wire_stat_row *total, uint64_t ns)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "seconds", json_object_new_double((double)ns / 1e9));
	json_object_object_add(root, "segments", table_json(t));
	json_object_object_add(root, "total", total_json(total));
	json_print(root, stdout);
}

static int print(const struct invocation *in, const struct node *node, const struct sample *rates,
	const struct wire_stat_row *total, uint64_t ns)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, STAT_COLUMNS);
	bool bytes = in->option[OPTION_BYTES], headings = !in->option[OPTION_NOHEADINGS];
	const char *list = in->option[OPTION_COLUMNS];
	int r = list ? table_select(t, list) : 0;

	if (r)
		return r;
	for (size_t i = 0; i < rates->n; i++)
		fill_row(t, &rates->rows[i], bytes);
	if (in->option[OPTION_JSON]) {
		print_json(node, t, total, ns);
	} else {
		if (headings) {
			table_row(t);
			table_text(t, STAT_ID, "all");
			fill_rates(t, total, bytes);
		}
		table_print(t, headings, stdout);
	}
	fflush(stdout);
	return 0;
}

/* the command */

static void sleep_until(uint64_t time)
{
	struct timespec ts = clock_timespec(time);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* One interval: *before becomes the sample at its end. */
static int run_once(const struct invocation *in, const struct node *node, uint32_t space,
	uint64_t until, struct sample *before)
{
	_cleanup_(sample_deinit) struct sample now = {0}, rates = {0};
	struct wire_stat_row total;
	uint64_t ns;
	int r;

	sleep_until(until);
	r = sample_take(space, &now);
	if (r)
		return r;
	rates.rows = calloc(now.n + 1, sizeof(*rates.rows));
	if (!rates.rows)
		return cli_fail("out of memory");
	sample_rates(before, &now, &rates, &total);
	ns = now.time - before->time;
	sample_deinit(before);
	*before = now;
	now = (struct sample){0};
	return print(in, node, &rates, &total, ns);
}

static int parse_arguments(const struct invocation *in, uint64_t *ret_interval, uint32_t *ret_count)
{
	const char *seconds = in->n_args > 0 ? in->args[0] : "1";
	const char *count = in->n_args > 1 ? in->args[1] : "1";

	if (parse_duration(seconds, ret_interval) < 0 || *ret_interval < INTERVAL_MIN ||
		*ret_interval > INTERVAL_MAX)
		return cli_usage("'%s' must be a time from 1ms to 86400 seconds.", seconds);
	if (parse_u32(count, ret_count) < 0 || !*ret_count)
		return cli_usage("'%s' must be a number from 1 to %u.", count, UINT32_MAX);
	return 0;
}

/* Asks before it waits: a column that there is not, and the names of those that there are. */
static int check_columns(const struct invocation *in, bool *ret_done)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, STAT_COLUMNS);
	const char *list = in->option[OPTION_COLUMNS];

	*ret_done = list && !strcmp(list, "help");
	if (*ret_done)
		table_print_columns(t, stdout);
	return list && !*ret_done ? table_select(t, list) : 0;
}

int stat_run(const struct invocation *in)
{
	_cleanup_(sample_deinit) struct sample before = {0};
	uint64_t interval, until;
	struct node node;
	uint32_t space, n;
	bool done;
	int r;

	r = check_columns(in, &done);
	if (r || done)
		return r;
	r = parse_arguments(in, &interval, &n);
	if (!r)
		r = segments_space(in, &space);
	if (!r)
		r = node_find(false, &node);
	if (!r)
		r = sample_take(space, &before);
	if (!r && !in->option[OPTION_JSON] && !in->option[OPTION_NOHEADINGS])
		node_print(&node, stdout);
	until = before.time;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = run_once(in, &node, space, until += interval, &before);
	return r;
}
