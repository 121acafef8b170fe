/* SPDX-License-Identifier: Apache-2.0 */
/* causeway stat: what goes through the segments a second */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/node.h"
#include "cli/sample.h"
#include "cli/segment.h"
#include "wire/page.h"

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
	STAT_FAULTS,
	STAT_MOVES,
	STAT_MOVED_BYTES,
	STAT_TO_EXPORTER,
	STAT_TO_IMPORTERS,
	STAT_NODES,
	STAT_READ_FAULTS,
	STAT_WRITE_FAULTS,
	STAT_LOCAL_FAULTS,
	STAT_PAGES_IN,
	STAT_PAGES_OUT,
	STAT_INVALIDATED,
	STAT_HOLDS,
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
	[STAT_FAULTS] = {"FAULTS",
		"loads and stores of this node a second that had to wait for another node's page",
		COLUMN_RIGHT},
	[STAT_MOVES] = {"MOVES", "pages that came or went a second, with their content",
		COLUMN_RIGHT},
	[STAT_MOVED_BYTES] = {"MOVED_BYTES", "bytes that these are", COLUMN_RIGHT},
	[STAT_TO_EXPORTER] = {"TO_EXPORTER", "signals that importers posted a second",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_TO_IMPORTERS] = {"TO_IMPORTERS",
		"signals that the exporter posted a second, each to all importers",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_NODES] = {"NODES", "number of other nodes that have it mapped",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_READ_FAULTS] = {"READ_FAULTS", "of the faults, loads", COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_WRITE_FAULTS] = {"WRITE_FAULTS", "of the faults, stores",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_LOCAL_FAULTS] = {"LOCAL_FAULTS",
		"loads and stores a second that this node's daemon answered by itself",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_PAGES_IN] = {"PAGES_IN", "of the moves, those to this node",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_PAGES_OUT] = {"PAGES_OUT", "of the moves, those from this node",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_INVALIDATED] = {"INVALIDATED",
		"pages a second that this node could read and may not any more",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_HOLDS] = {"HOLDS", "how often a second others waited for the hold time of a page",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[STAT_OWNER] = {"OWNER", "user who exports it", COLUMN_EXTRA},
	[STAT_INSTANCE] = {"INSTANCE", "number that no other segment of this node ever has",
		COLUMN_RIGHT | COLUMN_EXTRA},
};

/* printing */

static void fill_calls(Table *t, const struct wire_stat_row *row, bool bytes)
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

static void fill_maps(Table *t, const struct sample_row *row, bool bytes)
{
	const struct wire_coherent_row *m = &row->maps;

	table_number(t, STAT_FAULTS, m->read_faults + m->write_faults);
	table_number(t, STAT_MOVES, sample_moves(row));
	table_size(t, STAT_MOVED_BYTES, sample_moves(row) * PAGE_BYTES, bytes);
	table_number(t, STAT_READ_FAULTS, m->read_faults);
	table_number(t, STAT_WRITE_FAULTS, m->write_faults);
	table_number(t, STAT_LOCAL_FAULTS, m->local_faults);
	table_number(t, STAT_PAGES_IN, m->pages_in);
	table_number(t, STAT_PAGES_OUT, m->pages_out);
	table_number(t, STAT_INVALIDATED, m->invalidated);
	table_number(t, STAT_HOLDS, m->holds);
}

static void fill_row(Table *t, const struct sample_row *r, bool bytes)
{
	const struct wire_stat_row *row = &r->row;
	char user[64];

	table_row(t);
	table_number(t, STAT_NODE, row->node);
	if (row->state == WIRE_SEGMENT_PUBLISHED)
		table_number_as(t, STAT_ID, row->id, "0x%x", row->id);
	table_text(t, STAT_SPACE, "%s", space_name(row->space));
	table_number(t, STAT_INSTANCE, row->instance);
	fill_maps(t, r, bytes);
	if (r->foreign)
		return;
	table_number(t, STAT_PID, row->pid);
	table_text(t, STAT_COMMAND, "%s", row->command);
	table_text(t, STAT_OWNER, "%s", user_name(row->uid, user));
	table_number(t, STAT_NODES, r->maps.n_nodes);
	fill_calls(t, row, bytes);
}

static void fill_total(Table *t, const struct sample_row *total, bool bytes)
{
	table_row(t);
	fill_calls(t, &total->row, bytes);
	fill_maps(t, total, bytes);
}

static struct json_object *total_json(const struct sample_row *total)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, STAT_COLUMNS);

	table_select(t, "IMPORTS,PUTS,PUT_BYTES,GETS,GET_BYTES,SIGNALS,TO_EXPORTER,TO_IMPORTERS,"
			"FAULTS,MOVES,MOVED_BYTES,READ_FAULTS,WRITE_FAULTS,LOCAL_FAULTS,PAGES_IN,"
			"PAGES_OUT,INVALIDATED,HOLDS");
	fill_total(t, total, true);
	return table_json_row(t);
}

static void print_json(
	const struct node *node, const Table *t, const struct sample_row *total, uint64_t ns)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "seconds", json_object_new_double((double)ns / 1e9));
	json_object_object_add(root, "segments", table_json(t));
	json_object_object_add(root, "total", total_json(total));
	json_print(root, stdout);
}

static int print(const struct invocation *in, const struct node *node, const struct sample *rates,
	const struct sample_row *total, uint64_t ns)
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
			fill_total(t, total, bytes);
			table_text(t, STAT_ID, "all");
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
	struct sample_row total;
	uint64_t ns;
	int r;

	sleep_until(until);
	r = sample_take(space, node->status.node, &now);
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
		r = sample_take(space, node.status.node, &before);
	if (!r && !in->option[OPTION_JSON] && !in->option[OPTION_NOHEADINGS])
		node_print(&node, stdout);
	until = before.time;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = run_once(in, &node, space, until += interval, &before);
	return r;
}
