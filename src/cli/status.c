/* SPDX-License-Identifier: Apache-2.0 */
/* causeway status: the node, its counts, limits and peers */
#include "base/error.h"
#include "cli/command.h"
#include "cli/peers.h"

enum {
	FIELD_NODE,
	FIELD_SOCKET,
	FIELD_DAEMON,
	FIELD_KEEPER,
	FIELD_USER,
	FIELD_VERSION,
	FIELD_KIND,
	FIELD_STARTED,
	FIELD_RESTARTS,
	FIELD_INCARNATION,
	FIELD_CLIENTS,
	FIELD_SEGMENTS,
	FIELD_IMPORTS,
	FIELD_MEMORY,
	FIELD_MAX_SEGMENT,
	FIELD_MAX_MEMORY,
	FIELD_MAX_SEGMENTS,
	FIELD_MAX_IMPORTS,
	FIELD_USERFAULTFD,
	FIELD_ENCRYPTION,
	FIELD_PEERS,
};

static const struct column columns[] = {
	[FIELD_NODE] = {"Node", "number of the node", 0},
	[FIELD_SOCKET] = {"Socket", "where it answers", 0},
	[FIELD_DAEMON] = {"Daemon", "process id", 0},
	[FIELD_KEEPER] = {"Keeper", "process id", 0},
	[FIELD_USER] = {"User", "whose node it is", 0},
	[FIELD_VERSION] = {"Version", "of the daemon", 0},
	[FIELD_KIND] = {"Kind", "service, or embedded: started by a program, ends by itself", 0},
	[FIELD_STARTED] = {"Started", "when the node began", 0},
	[FIELD_RESTARTS] = {"Restarts", "of the daemon since then", 0},
	[FIELD_INCARNATION] = {"Incarnation", "number of the node's life", 0},
	[FIELD_CLIENTS] = {"Clients", "processes connected", 0},
	[FIELD_SEGMENTS] = {"Segments", "segments", 0},
	[FIELD_IMPORTS] = {"Imports", "imports", 0},
	[FIELD_MEMORY] = {"Memory", "of all segments", 0},
	[FIELD_MAX_SEGMENT] = {"Max segment", "largest segment you may export", 0},
	[FIELD_MAX_MEMORY] = {"Max memory", "all your segments together", 0},
	[FIELD_MAX_SEGMENTS] = {"Max segments", "your segments", 0},
	[FIELD_MAX_IMPORTS] = {"Max imports", "your imports", 0},
	[FIELD_USERFAULTFD] = {"Userfaultfd", "lent to programs or not", 0},
	[FIELD_ENCRYPTION] = {"Encryption",
		"of data that goes to other nodes: required or off, and whether the kernel has TLS",
		0},
	[FIELD_PEERS] = {"Peers", "other nodes that it knows, and how it stands with them", 0},
};

static void fill(Table *t, const struct node *n, bool bytes)
{
	const struct wire_node_status_reply *s = &n->status;
	const struct wire_hello_reply *h = &n->connection.hello;
	char user[64];

	table_row(t);
	table_number(t, FIELD_NODE, s->node);
	table_text(t, FIELD_SOCKET, "%s", n->connection.socket);
	table_number(t, FIELD_DAEMON, s->daemon_pid);
	table_number(t, FIELD_KEEPER, s->keeper_pid);
	table_text(t, FIELD_USER, "%s", user_name(s->uid, user));
	table_text(t, FIELD_VERSION, "%s", s->version);
	table_text(t, FIELD_KIND, "%s", s->flags & WIRE_NODE_EMBEDDED ? "embedded" : "service");
	table_time(t, FIELD_STARTED, s->started);
	table_number(t, FIELD_RESTARTS, s->restarts);
	table_text(t, FIELD_INCARNATION, "%016llx", (unsigned long long)s->incarnation);
	table_number(t, FIELD_CLIENTS, s->n_clients);
	table_number(t, FIELD_SEGMENTS, s->n_segments);
	table_number(t, FIELD_IMPORTS, s->n_imports);
	table_size(t, FIELD_MEMORY, s->bytes, bytes);
	table_size(t, FIELD_MAX_SEGMENT, h->max_segment_bytes, bytes);
	table_size(t, FIELD_MAX_MEMORY, h->max_total_bytes, bytes);
	table_number(t, FIELD_MAX_SEGMENTS, h->max_segments);
	table_number(t, FIELD_MAX_IMPORTS, h->max_imports);
	table_text(t, FIELD_USERFAULTFD, "%s", s->flags & WIRE_NODE_UFFD ? "lent" : "not lent");
	table_text(t, FIELD_ENCRYPTION, "%s, %s", s->flags & WIRE_NODE_ENCRYPT ? "required" : "off",
		s->flags & WIRE_NODE_TLS ? "possible" : "this kernel has no TLS");
}

/* "3: 2 up, 4 away, 7 idle" */
static void fill_peers(Table *t, const struct peers *peers)
{
	_cleanup_free_ char *text = NULL;
	const char *between = ": ";
	unsigned int n = 0;
	size_t size = 0;
	FILE *f;

	for (size_t i = 0; i < peers->n; i++)
		n += peers->rows[i].state != WIRE_PEER_SELF;
	f = open_memstream(&text, &size);
	if (!f)
		return;
	for (size_t i = 0; i < peers->n; i++) {
		const struct wire_node_row *row = &peers->rows[i];

		if (row->state == WIRE_PEER_SELF)
			continue;
		fprintf(f, "%s%u %s", between, row->node, peer_state_name(row->state));
		between = ", ";
	}
	fclose(f);
	table_number_as(t, FIELD_PEERS, n, "%u%s", n, text);
}

int status_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	_cleanup_(peers_deinit) struct peers peers = {0};
	struct node node;
	int r;

	r = node_find(false, &node);
	if (!r)
		r = peers_fetch(&peers);
	if (r)
		return r;
	fill(t, &node, in->option[OPTION_BYTES]);
	fill_peers(t, &peers);
	if (in->option[OPTION_JSON])
		json_print(table_json_row(t), stdout);
	else
		table_print_lines(t, stdout);
	return EXIT_OK;
}
