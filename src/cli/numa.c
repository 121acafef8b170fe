/* SPDX-License-Identifier: Apache-2.0 */
/* causeway numa: the machine's nodes and the segments bound to them */
#include <string.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/node.h"
#include "cli/shm-show.h"
#include "placement/topology.h"

#define ATTEMPTS_MAX 8u

enum {
	NODE_NUMBER,
	NODE_SIZE,
	NODE_FREE,
	NODE_AVAILABLE,
	NODE_CPUS,
	NODE_DISTANCES,
};

static const struct column node_columns[] = {
	[NODE_NUMBER] = {"NODE", "number of the node", COLUMN_RIGHT},
	[NODE_SIZE] = {"SIZE", "its memory", COLUMN_RIGHT},
	[NODE_FREE] = {"FREE", "free memory, without cache", COLUMN_RIGHT},
	[NODE_AVAILABLE] = {"AVAILABLE", "what a segment may still get there", COLUMN_RIGHT},
	[NODE_CPUS] = {"CPUS", "whether it has processors", 0},
	[NODE_DISTANCES] = {"DISTANCES", "to the nodes in this order", 0},
};

enum {
	BOUND_ID,
	BOUND_SIZE,
	BOUND_PRESENT,
	BOUND_POLICY,
	BOUND_NODES,
	BOUND_OWNER,
	BOUND_PID,
	BOUND_FILLER,
};

static const struct column bound_columns[] = {
	[BOUND_ID] = {"ID", "of the segment", COLUMN_RIGHT},
	[BOUND_SIZE] = {"SIZE", "size", COLUMN_RIGHT},
	[BOUND_PRESENT] = {"PRESENT", "in memory or swapped out", COLUMN_RIGHT},
	[BOUND_POLICY] = {"POLICY", "how pages are placed", 0},
	[BOUND_NODES] = {"NODES", "on which nodes", 0},
	[BOUND_OWNER] = {"OWNER", "user who bound it", 0},
	[BOUND_PID] = {"PID", "process that bound it", COLUMN_RIGHT},
	[BOUND_FILLER] = {"FILLER", "process that follows free memory for it", COLUMN_RIGHT},
};

static void fill_nodes(Table *table, const struct topology *t, bool bytes)
{
	unsigned int node, other;

	nodeset_for_each (&t->online, node) {
		char distances[NODESET_TEXT_MAX] = "";
		size_t n = 0;

		nodeset_for_each (&t->online, other)
			n += (size_t)snprintf(distances + n, sizeof(distances) - n,
				n ? " %u" : "%u", topology_distance(t, node, other));
		table_row(table);
		table_number(table, NODE_NUMBER, node);
		table_size(table, NODE_SIZE, t->nodes[node].total, bytes);
		table_size(table, NODE_FREE, t->nodes[node].free, bytes);
		table_size(table, NODE_AVAILABLE, t->nodes[node].available, bytes);
		table_text(table, NODE_CPUS, "%s", nodeset_has(&t->cpus, node) ? "yes" : "no");
		table_text(table, NODE_DISTANCES, "%s", distances);
	}
}

static void fill_bound(Table *table, const struct wire_binding_row *row, bool bytes)
{
	struct nodeset nodes = nodeset_get_bytes(row->nodes);
	char text[NODESET_TEXT_MAX], user[64];

	table_row(table);
	table_number(table, BOUND_ID, row->shmid);
	table_size(table, BOUND_SIZE, row->size, bytes);
	table_size(table, BOUND_PRESENT, row->present, bytes);
	table_text(table, BOUND_POLICY, "%s,%s", placement_order_name(row->order),
		row->hard ? "hard" : "soft");
	table_text(table, BOUND_NODES, "%s", nodeset_format(&nodes, text));
	table_text(table, BOUND_OWNER, "%s", user_name(row->uid, user));
	table_number(table, BOUND_PID, row->pid);
	if (row->filler)
		table_number(table, BOUND_FILLER, row->filler);
}

static int take_rows(Table *table, const struct wire_message *m, bool bytes)
{
	const uint8_t *at = m->tail, *end = at + m->tail_size;
	struct wire_binding_row row;

	for (uint32_t i = 0; i < m->binding_list_reply.n; i++) {
		at = wire_get_binding_row(at, end, &row);
		if (!at)
			return cli_fail("the daemon's list is malformed");
		fill_bound(table, &row, bytes);
	}
	return 0;
}

static bool any_daemon(void)
{
	struct cw_attempt attempts[ATTEMPTS_MAX];
	unsigned int n = cw_attempts(attempts, ATTEMPTS_MAX);

	for (unsigned int i = 0; i < n; i++)
		if (attempts[i].error == 0)
			return true;
	return false;
}

/* What the node knows of; none is started to be asked. */
static int fetch_bound(Table *table, bool bytes)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	struct wire_message request;
	uint32_t cursor = 0;
	int r;

	if (!reply)
		return cli_fail("out of memory");
	do {
		request = (struct wire_message){
			.type = WIRE_BINDING_LIST, .binding_list = {.cursor = cursor}};
		r = node_call(&request, "list the bound segments", reply);
		if (!r)
			r = take_rows(table, &reply->message, bytes);
		if (r)
			return r;
		cursor = reply->message.binding_list_reply.next;
	} while (cursor);
	return 0;
}

static void print(const struct invocation *in, const Table *nodes, const Table *bound, bool known)
{
	bool headings = !in->option[OPTION_NOHEADINGS];
	struct json_object *root;

	if (in->option[OPTION_JSON]) {
		root = json_object_new_object();
		json_object_object_add(root, "nodes", table_json(nodes));
		json_object_object_add(root, "bound", known ? table_json(bound) : NULL);
		json_print(root, stdout);
		return;
	}
	table_print(nodes, headings, stdout);
	if (!known)
		puts("\nno causewayd answers: what is bound is not known");
	else if (table_is_empty(bound))
		puts("\nno bound segments");
	else
		puts("");
	table_print(bound, headings, stdout);
}

int numa_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *nodes = table_new(node_columns, ELEMENTS(node_columns));
	_cleanup_(table_free_p) Table *bound = table_new(bound_columns, ELEMENTS(bound_columns));
	_cleanup_(topology_deinit) struct topology topology = {0};
	bool bytes = in->option[OPTION_BYTES], known = any_daemon();
	int r = topology_read("", &topology);

	if (r < 0)
		return cli_fail("the nodes of this machine cannot be read: %s", strerror(-r));
	fill_nodes(nodes, &topology, bytes);
	r = known ? fetch_bound(bound, bytes) : 0;
	if (r)
		return r;
	print(in, nodes, bound, known);
	return EXIT_OK;
}
