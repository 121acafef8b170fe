/* SPDX-License-Identifier: Apache-2.0 */
/* causeway nodes */
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/peers.h"

enum {
	NODES_NODE,
	NODES_ADDRESS,
	NODES_STATE,
	NODES_IMPORTS,
	NODES_GUESTS,
	NODES_HEARD,
	NODES_DATA,
	NODES_TROUBLE,
	NODES_SESSION,
	NODES_INCARNATION,
	NODES_COLUMNS,
};

static const struct column columns[NODES_COLUMNS] = {
	[NODES_NODE] = {"NODE", "number of the node", COLUMN_RIGHT},
	[NODES_ADDRESS] = {"ADDRESS", "where it is reached", 0},
	[NODES_STATE] = {"STATE",
		"self, up, idle (nothing in common, so no connection), dialling, or away (the "
		"connection broke, and it is not lost yet)",
		0},
	[NODES_IMPORTS] = {"IMPORTS", "imports that this node has there", COLUMN_RIGHT},
	[NODES_GUESTS] = {"GUESTS", "imports that it has here", COLUMN_RIGHT},
	[NODES_HEARD] = {"HEARD", "time since it last said something; nanoseconds in JSON",
		COLUMN_RIGHT},
	[NODES_DATA] = {"DATA",
		"how data goes there: plain, encrypted, or impossible (one of the two nodes "
		"requires encryption and one cannot); nothing before they have spoken",
		0},
	[NODES_TROUBLE] = {"TROUBLE", "why it could not be reached last time", 0},
	[NODES_SESSION] = {"SESSION", "number of the session with it", COLUMN_EXTRA},
	[NODES_INCARNATION] = {"INCARNATION", "number of the node's life", COLUMN_EXTRA},
};

static void set_heard(Table *t, uint64_t ns)
{
	if (ns < 10 * NSEC_PER_SEC)
		table_number_as(t, NODES_HEARD, ns, "%.1fs", (double)ns / 1e9);
	else if (ns < 7200 * NSEC_PER_SEC)
		table_number_as(t, NODES_HEARD, ns, "%us", (unsigned int)(ns / NSEC_PER_SEC));
	else
		table_number_as(
			t, NODES_HEARD, ns, "%uh", (unsigned int)(ns / NSEC_PER_SEC / 3600));
}

static void add_row(Table *t, const struct wire_node_row *row, enum wire_encryption data)
{
	table_row(t);
	table_number(t, NODES_NODE, row->node);
	table_text(t, NODES_ADDRESS, "%s", row->address);
	table_text(t, NODES_STATE, "%s", peer_state_name(row->state));
	table_number(t, NODES_IMPORTS, row->n_imports);
	table_number(t, NODES_GUESTS, row->n_guests);
	if (row->heard)
		set_heard(t, row->heard);
	if (peer_data_name(data))
		table_text(t, NODES_DATA, "%s", peer_data_name(data));
	if (row->trouble[0])
		table_text(t, NODES_TROUBLE, "%s", row->trouble);
	if (row->session)
		table_text(t, NODES_SESSION, "%016llx", (unsigned long long)row->session);
	if (row->incarnation)
		table_text(t, NODES_INCARNATION, "%016llx", (unsigned long long)row->incarnation);
}

static void print(const struct invocation *in, const struct node *node, const Table *t)
{
	bool headings = !in->option[OPTION_NOHEADINGS];
	struct json_object *root;

	if (!in->option[OPTION_JSON]) {
		if (headings)
			node_print(node, stdout);
		if (headings && table_is_empty(t))
			puts("no other nodes: [Nodes] in causeway.conf(5) names them");
		table_print(t, headings, stdout);
		return;
	}
	root = json_object_new_object();
	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "nodes", table_json(t));
	json_print(root, stdout);
}

int nodes_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, NODES_COLUMNS);
	_cleanup_(peers_deinit) struct peers peers = {0};
	const char *chosen = in->option[OPTION_COLUMNS];
	struct node node;
	int r;

	if (chosen && !strcmp(chosen, "help")) {
		table_print_columns(t, stdout);
		return EXIT_OK;
	}
	r = chosen ? table_select(t, chosen) : 0;
	if (!r)
		r = node_find(false, &node);
	if (!r)
		r = peers_fetch(&peers);
	if (r)
		return r;
	for (size_t i = 0; i < peers.n; i++)
		add_row(t, &peers.rows[i], peers.data[i]);
	print(in, &node, t);
	return EXIT_OK;
}
