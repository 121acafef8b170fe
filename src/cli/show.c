/* SPDX-License-Identifier: Apache-2.0 */
/* causeway show: one segment, its access list and its importers */
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/node.h"
#include "cli/segment.h"
#include "cli/segment-pages.h"

enum { ACCESS_NODE, ACCESS_MODE };

static const struct column access_columns[] = {
	[ACCESS_NODE] = {"NODE", "node", COLUMN_RIGHT},
	[ACCESS_MODE] = {"MODE", "rights there", COLUMN_RIGHT},
};

enum { IMPORT_PID, IMPORT_OWNER, IMPORT_RIGHTS, IMPORT_STATE, IMPORT_COMMAND };

static const struct column import_columns[] = {
	[IMPORT_PID] = {"PID", "process", COLUMN_RIGHT},
	[IMPORT_OWNER] = {"OWNER", "its user", 0},
	[IMPORT_RIGHTS] = {"RIGHTS", "what it may do", 0},
	[IMPORT_STATE] = {"STATE", "connected, or why not any more", 0},
	[IMPORT_COMMAND] = {"COMMAND", "its name", 0},
};

/* One segment, ready to be printed. */
struct view {
	Table *segment, *access, *imports;
	struct segment_pages pages;
	bool advisory;
	uint32_t n_more; /* imports that did not fit into the answer */
};

static void view_deinit(struct view *v)
{
	table_free(v->segment);
	table_free(v->access);
	table_free(v->imports);
	segment_pages_deinit(&v->pages);
}

static const char *state_name(uint32_t state)
{
	switch (state) {
	case WIRE_IMPORT_CONNECTED:
		return "connected";
	case WIRE_IMPORT_REVOKED:
		return "revoked";
	case WIRE_IMPORT_EXPORTER_GONE:
		return "exporter gone";
	case WIRE_IMPORT_PENDING:
		return "connecting";
	case WIRE_IMPORT_FAILED:
		return "refused";
	case WIRE_IMPORT_NODE_LOST:
		return "node lost";
	}
	return "?";
}

static void add_access(Table *t, const struct wire_access *a)
{
	table_row(t);
	table_number(t, ACCESS_NODE, a->node);
	table_text(t, ACCESS_MODE, "%04o", a->mode & 07777);
}

/* No list means every node, with the segment's own mode. */
static void add_access_for_all(Table *t, uint32_t mode)
{
	table_row(t);
	table_text(t, ACCESS_NODE, "all");
	table_text(t, ACCESS_MODE, "%04o", mode & 07777);
}

static void add_import(Table *t, const struct wire_show_import *i)
{
	char user[64];

	table_row(t);
	table_number(t, IMPORT_PID, i->pid);
	table_text(t, IMPORT_OWNER, "%s", user_name(i->uid, user));
	table_text(t, IMPORT_RIGHTS, "%s%s", i->rights & WIRE_READ ? "r" : "-",
		i->rights & WIRE_WRITE ? "w" : "-");
	table_text(t, IMPORT_STATE, "%s", state_name(i->state));
	table_text(t, IMPORT_COMMAND, "%s", i->command);
}

/* Fills v from an answer; false: malformed. */
static bool read_reply(const struct cw_reply *reply, bool bytes, struct view *v)
{
	const struct wire_show_reply *s = &reply->message.show_reply;
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	struct wire_list_row row;
	struct wire_access access;
	struct wire_show_import import;

	at = wire_get_list_row(at, end, &row);
	if (!at)
		return false;
	segment_row(v->segment, &row, bytes);
	if (s->n_access == 0)
		add_access_for_all(v->access, row.mode);
	for (uint32_t i = 0; i < s->n_access; i++) {
		at = wire_get_access(at, end, &access);
		if (!at)
			return false;
		add_access(v->access, &access);
	}
	for (uint32_t i = 0; i < s->n_imports; i++) {
		at = wire_get_show_import(at, end, &import);
		if (!at)
			return false;
		add_import(v->imports, &import);
	}
	v->n_more = row.n_imports > s->n_imports ? row.n_imports - s->n_imports : 0;
	v->advisory = s->flags & WIRE_SHOW_ADVISORY;
	return true;
}

static void print_view(const struct view *v)
{
	table_print_lines(v->segment, stdout);
	if (v->advisory)
		puts("advisory: daemon and users have the same uid, so the kernel cannot enforce "
		     "these rights");
	fputs("\nAccess list\n", stdout);
	table_print(v->access, true, stdout);
	fputs("\nImports\n", stdout);
	table_print(v->imports, true, stdout);
	if (v->n_more)
		printf("and %u more\n", v->n_more);
}

static struct json_object *view_json(const struct view *v)
{
	struct json_object *o = table_json_row(v->segment);

	json_object_object_add(o, "advisory", json_object_new_boolean(v->advisory));
	json_object_object_add(o, "access_list", table_json(v->access));
	json_object_object_add(o, "importers", table_json(v->imports));
	return o;
}

/* Which one, to the daemon: of other nodes by number, here by instance, so that it is the one that
 * was listed. */
static struct wire_message show_request(const struct wire_list_row *row, uint32_t own)
{
	struct wire_message m = {.type = WIRE_SHOW};

	if (row->node == own)
		m.show.instance = row->instance;
	else
		m.show = (struct wire_show){.space = row->space, .node = row->node, .id = row->id};
	return m;
}

/* Where its pages are is known at home alone. */
static void print_pages(const struct view *v, const struct wire_list_row *row, uint32_t own)
{
	if (row->node == own)
		segment_pages_print(&v->pages, own);
	else
		printf("\nPages: node %u knows, where they are at home; ask there: causeway show "
		       "0x%x --pages\n",
			row->node, row->id);
}

static void add_pages_json(struct json_object *o, const struct view *v, bool known)
{
	json_object_object_add(o, "pages", known ? segment_pages_json(&v->pages) : NULL);
}

/* list: NULL, or where JSON goes */
static int show_one(const struct wire_list_row *row, uint32_t own, const struct invocation *in,
	struct json_object *list)
{
	bool bytes = in->option[OPTION_BYTES], pages = in->option[OPTION_PAGES];
	struct json_object *o;
	struct wire_message request = show_request(row, own);
	_cleanup_(view_deinit) struct view v = {
		.segment = table_new(segment_columns, SEGMENT_COLUMNS),
		.access = table_new(access_columns, ELEMENTS(access_columns)),
		.imports = table_new(import_columns, ELEMENTS(import_columns)),
	};
	struct cw_reply reply;
	int r;

	r = table_select(v.segment, "+CREATED,GID");
	if (!r)
		r = node_call(&request, "show the segment", &reply);
	if (r)
		return r;
	if (!read_reply(&reply, bytes, &v))
		return cli_fail("cannot show the segment: the daemon's answer is malformed");
	if (pages && row->node == own)
		r = segment_pages_get(row->instance, &v.pages);
	if (r)
		return r;
	if (list) {
		o = view_json(&v);
		if (pages)
			add_pages_json(o, &v, row->node == own);
		json_object_array_add(list, o);
		return 0;
	}
	print_view(&v);
	if (pages)
		print_pages(&v, row, own);
	return 0;
}

static int show_all(
	const struct segments *segments, uint32_t id, uint32_t own, const struct invocation *in)
{
	struct json_object *list = in->option[OPTION_JSON] ? json_object_new_array() : NULL;
	unsigned int n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < segments->n; i++) {
		const struct wire_list_row *row = &segments->rows[i];

		if (row->state != WIRE_SEGMENT_PUBLISHED || row->id != id)
			continue;
		if (n++ && !list)
			putchar('\n');
		r = show_one(row, own, in, list);
	}
	if (r == 0 && n == 0)
		r = cli_fail(
			"no segment 0x%x that you may know of is published%s%s; 'causeway list' "
			"shows those that are",
			id, in->option[OPTION_SPACE] ? " in space " : "",
			in->option[OPTION_SPACE] ? in->option[OPTION_SPACE] : "");
	if (r == 0 && list)
		json_print(list, stdout);
	else
		json_object_put(list);
	return r;
}

int show_run(const struct invocation *in)
{
	_cleanup_(segments_deinit) struct segments segments = {0};
	struct node node;
	uint32_t id;
	int r;

	if (parse_u32(in->args[0], &id) < 0)
		return cli_usage("'%s' is not the number of a segment: it must be from 0 to "
				 "4294967295, or hexadecimal after 0x.",
			in->args[0]);
	r = node_find(false, &node);
	if (!r)
		r = segments_find(in, node.status.node, &segments);
	return r ? r : show_all(&segments, id, node.status.node, in);
}
