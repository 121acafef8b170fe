/* SPDX-License-Identifier: Apache-2.0 */
/* causeway list: the segments of all nodes */
#include <string.h>
#include "cli/command.h"
#include "cli/node.h"
#include "cli/segment.h"

static struct json_object *silent_json(const struct segments *s)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n_silent; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "node", json_object_new_int64(s->silent[i].node));
		json_object_object_add(o, "reason", json_object_new_string(s->silent[i].reason));
		json_object_array_add(list, o);
	}
	return list;
}

static void print(const struct invocation *in, const struct node *node,
	const struct segments *segments, const Table *t)
{
	struct json_object *root;

	if (!in->option[OPTION_JSON]) {
		if (!in->option[OPTION_NOHEADINGS])
			node_print(node, stdout);
		if (table_is_empty(t) && !in->option[OPTION_NOHEADINGS])
			puts("no segments that you may know of");
		table_print(t, !in->option[OPTION_NOHEADINGS], stdout);
		return;
	}
	root = json_object_new_object();
	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "segments", table_json(t));
	json_object_object_add(root, "silent", silent_json(segments));
	json_print(root, stdout);
}

int list_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(segment_columns, SEGMENT_COLUMNS);
	_cleanup_(segments_deinit) struct segments segments = {0};
	const char *columns = in->option[OPTION_COLUMNS];
	struct node node;
	int r;

	if (columns && !strcmp(columns, "help")) {
		table_print_columns(t, stdout);
		return EXIT_OK;
	}
	r = columns ? table_select(t, columns) : 0;
	if (!r)
		r = node_find(false, &node);
	if (!r)
		r = segments_find(in, node.status.node, &segments);
	if (r)
		return r;
	for (size_t i = 0; i < segments.n; i++)
		segment_row(t, &segments.rows[i], in->option[OPTION_BYTES]);
	print(in, &node, &segments, t);
	return EXIT_OK;
}
