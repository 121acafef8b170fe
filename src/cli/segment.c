/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/segment.h"

#include <time.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/peers.h"

const struct column segment_columns[SEGMENT_COLUMNS] = {
	[SEGMENT_NODE] = {"NODE", "node where the segment is at home", COLUMN_RIGHT},
	[SEGMENT_ID] = {"ID", "the number under which it is published", COLUMN_RIGHT},
	[SEGMENT_SPACE] = {"SPACE", "interface whose numbers these are: rsm, sisci, clshm", 0},
	[SEGMENT_SIZE] = {"SIZE", "size", COLUMN_RIGHT},
	[SEGMENT_STATE] = {"STATE", "bound (not published yet) or published", 0},
	[SEGMENT_MODE] = {"MODE", "rights of owner, group and others, as in ls, without x",
		COLUMN_RIGHT},
	[SEGMENT_OWNER] = {"OWNER", "user who exports it", 0},
	[SEGMENT_PID] = {"PID", "process that exports it", COLUMN_RIGHT},
	[SEGMENT_COMMAND] = {"COMMAND", "name of this process", 0},
	[SEGMENT_IMPORTS] = {"IMPORTS", "number of imports", COLUMN_RIGHT},
	[SEGMENT_AGE] = {"AGE", "time since it was made; seconds in JSON", COLUMN_RIGHT},
	[SEGMENT_CREATED] = {"CREATED", "when it was made", COLUMN_EXTRA},
	[SEGMENT_UID] = {"UID", "number of the user who exports it", COLUMN_RIGHT | COLUMN_EXTRA},
	[SEGMENT_GID] = {"GID", "number of the group", COLUMN_RIGHT | COLUMN_EXTRA},
	[SEGMENT_ACCESS] = {"ACCESS", "entries of its access list", COLUMN_RIGHT | COLUMN_EXTRA},
	[SEGMENT_INSTANCE] = {"INSTANCE", "number that no other segment of this node ever has",
		COLUMN_RIGHT | COLUMN_EXTRA},
};

void segments_deinit(struct segments *s)
{
	free(s->rows);
	free(s->silent);
	*s = (struct segments){0};
}

/* Appends the rows of one answer. */
static int take_rows(const struct cw_reply *reply, struct segments *s)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.list_reply.n;
	struct wire_list_row *rows;

	if (n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's list is malformed: %u rows in one packet", n);
	rows = reallocarray(s->rows, s->n + n, sizeof(*rows));
	if (!rows && s->n + n)
		return cli_fail("out of memory");
	s->rows = rows;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_list_row(at, end, &rows[s->n]);
		if (!at)
			return cli_fail("the daemon's list is malformed: row %u is cut short", i);
		s->n++;
	}
	return 0;
}

/* Appends the segments of node, 0: of the one that answers. Returns 0, EXIT_FAILED after it said
 * why; *ret_result: what the daemon or the library answered, if that was not 0. */
static int fetch(uint32_t space, uint32_t node, struct segments *s, int *ret_result)
{
	struct wire_message request;
	struct cw_reply reply;
	uint64_t cursor = 0;
	int r;

	*ret_result = 0;
	do {
		request = (struct wire_message){.type = WIRE_LIST,
			.list = {.space = space, .cursor = cursor, .node = node}};
		*ret_result = cw_call(&request, NULL, 0, &reply);
		if (*ret_result)
			return 0;
		r = take_rows(&reply, s);
		if (r)
			return r;
		cursor = reply.message.list_reply.next;
	} while (cursor);
	return 0;
}

/* The segments of the node that answers, or of one other. */
static int fetch_one(uint32_t space, uint32_t node, struct segments *s)
{
	int result, r = fetch(space, node, s, &result);
	char trouble[PEER_TROUBLE_MAX];

	if (r || !result)
		return r;
	if (node) {
		peer_trouble(node, trouble);
		return cli_fail("cannot list the segments of node %u: %s%s", node,
			node_result_text(result), trouble);
	}
	return cli_fail("cannot list the segments: %s", node_result_text(result));
}

/* The segments of a node that may be down. */
static int fetch_peer(uint32_t space, uint32_t node, struct segments *s)
{
	struct silent_node *silent;
	char trouble[PEER_TROUBLE_MAX];
	int result, r = fetch(space, node, s, &result);

	if (r || !result)
		return r;
	silent = reallocarray(s->silent, s->n_silent + 1, sizeof(*silent));
	if (!silent)
		return cli_fail("out of memory");
	s->silent = silent;
	silent[s->n_silent++] = (struct silent_node){node, node_result_text(result)};
	peer_trouble(node, trouble);
	cli_fail("node %u: %s%s; its segments are not shown", node, node_result_text(result),
		trouble);
	return 0;
}

static int fetch_all(uint32_t space, struct segments *s)
{
	_cleanup_(peers_deinit) struct peers peers = {0};
	int r = fetch_one(space, 0, s);

	if (!r)
		r = peers_fetch(&peers);
	for (size_t i = 0; r == 0 && i < peers.n; i++)
		if (peers.rows[i].state != WIRE_PEER_SELF)
			r = fetch_peer(space, peers.rows[i].node, s);
	return r;
}

int segments_of(uint32_t node, uint32_t own, struct segments *ret_segments)
{
	_cleanup_(segments_deinit) struct segments s = {0};
	int r = fetch_one(0, node == own ? 0 : node, &s);

	if (r)
		return r;
	*ret_segments = s;
	s = (struct segments){0};
	return 0;
}

int segments_find(const struct invocation *in, uint32_t own, struct segments *ret_segments)
{
	_cleanup_(segments_deinit) struct segments s = {0};
	const char *text = in->option[OPTION_HOME];
	uint32_t space = 0, node = 0;
	int r;

	r = segments_space(in, &space);
	if (!r && text)
		r = peer_parse(text, &node);
	if (!r && text)
		r = fetch_one(space, node == own ? 0 : node, &s);
	else if (!r)
		r = fetch_all(space, &s);
	if (r)
		return r;
	*ret_segments = s;
	s = (struct segments){0};
	return 0;
}

int segments_space(const struct invocation *in, uint32_t *ret_space)
{
	const char *text = in->option[OPTION_SPACE];
	uint32_t space = text ? space_parse(text) : 0;

	if (text && !space)
		return cli_usage("--space=%s: must be rsm, sisci or clshm.", text);
	*ret_space = space;
	return 0;
}

static void set_age(Table *t, uint64_t created)
{
	struct timespec ts;
	uint64_t now, s;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	s = now > created ? (now - created) / NSEC_PER_SEC : 0; /* clocks are set back */
	if (s < 120)
		table_number_as(t, SEGMENT_AGE, s, "%us", (unsigned int)s);
	else if (s < 7200)
		table_number_as(t, SEGMENT_AGE, s, "%umin", (unsigned int)(s / 60));
	else if (s < 48 * 3600)
		table_number_as(t, SEGMENT_AGE, s, "%uh", (unsigned int)(s / 3600));
	else
		table_number_as(t, SEGMENT_AGE, s, "%llud", (unsigned long long)(s / 86400));
}

void segment_row(Table *t, const struct wire_list_row *row, bool bytes)
{
	bool published = row->state == WIRE_SEGMENT_PUBLISHED;
	char user[64];

	table_row(t);
	table_number(t, SEGMENT_NODE, row->node);
	if (published)
		table_number_as(t, SEGMENT_ID, row->id, "0x%x", row->id);
	table_text(t, SEGMENT_SPACE, "%s", space_name(row->space));
	table_size(t, SEGMENT_SIZE, row->size, bytes);
	table_text(t, SEGMENT_STATE, "%s", published ? "published" : "bound");
	table_text(t, SEGMENT_MODE, "%04o", row->mode & 07777);
	table_text(t, SEGMENT_OWNER, "%s", user_name(row->uid, user));
	table_number(t, SEGMENT_PID, row->pid);
	table_text(t, SEGMENT_COMMAND, "%s", row->command);
	table_number(t, SEGMENT_IMPORTS, row->n_imports);
	set_age(t, row->created);
	table_time(t, SEGMENT_CREATED, row->created);
	table_number(t, SEGMENT_UID, row->uid);
	table_number(t, SEGMENT_GID, row->gid);
	table_number(t, SEGMENT_ACCESS, row->n_access);
	table_number(t, SEGMENT_INSTANCE, row->instance);
}
