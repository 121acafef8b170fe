/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done with a cluster that was started: causeway cluster run, status, kill … stop */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/cluster.h"
#include "cli/execute.h"
#include "cli/table.h"

#define STOP_PATIENCE (3 * NSEC_PER_SEC)

static const struct cluster_process *find_role(
	const struct cluster_processes *list, uint32_t node, enum cluster_role role)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].node == node && list->v[i].role == role)
			return &list->v[i];
	return NULL;
}

static bool is_up(const struct cluster_processes *list, uint32_t node)
{
	return find_role(list, node, CLUSTER_KEEPER) || find_role(list, node, CLUSTER_DAEMON);
}

static int say_down(const struct cluster *c, uint32_t node)
{
	return cli_fail("node %u does not run; 'causeway cluster start-node -d %s -n %u' starts it",
		node, c->dir, node);
}

/* run */

static int prepare_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
	struct cluster_node *node;
	int r;

	r = cluster_open_node(in, &c, &node);
	if (!r)
		r = cluster_processes_find(&c, node->id, &list);
	if (!r && !is_up(&list, node->id))
		r = say_down(&c, node->id);
	if (!r)
		r = cluster_network_enter(&c, node->id);
	return r ? r : cluster_environment(&c, node->id);
}

int cluster_run_run(const struct invocation *in)
{
	int r = prepare_run(in);

	return r ? r : execute(in->args);
}

/* status */

enum {
	ROW_NODE,
	ROW_STATE,
	ROW_ADDRESS,
	ROW_DAEMON,
	ROW_KEEPER,
	ROW_PROGRAMS,
	ROW_SOCKET,
};

static const struct column columns[] = {
	[ROW_NODE] = {"NODE", "number of the node", COLUMN_RIGHT},
	[ROW_STATE] = {"STATE", "running, restarting (no daemon just now) or ended", 0},
	[ROW_ADDRESS] = {"ADDRESS", "where other nodes reach it; cut: they cannot", 0},
	[ROW_DAEMON] = {"DAEMON", "process id", COLUMN_RIGHT},
	[ROW_KEEPER] = {"KEEPER", "process id", COLUMN_RIGHT},
	[ROW_PROGRAMS] = {"PROGRAMS", "processes that run there", COLUMN_RIGHT},
	[ROW_SOCKET] = {"SOCKET", "where its programs reach it", 0},
};

static void add_status(Table *t, const struct cluster *c, const struct cluster_node *node,
	const struct cluster_processes *list)
{
	const struct cluster_process *daemon = find_role(list, node->id, CLUSTER_DAEMON),
				     *keeper = find_role(list, node->id, CLUSTER_KEEPER);
	unsigned int programs = 0;
	char socket[PATH_MAX];

	for (size_t i = 0; i < list->n; i++)
		programs += list->v[i].node == node->id && list->v[i].role == CLUSTER_PROGRAM;
	cluster_path(c, node->id, "socket", socket, sizeof(socket));
	table_row(t);
	table_number(t, ROW_NODE, node->id);
	table_text(t, ROW_STATE,
		daemon && keeper   ? "running"
		: daemon || keeper ? "restarting"
				   : "ended");
	table_text(t, ROW_ADDRESS, "%s%s", node->address, node->cut ? " (cut)" : "");
	if (daemon)
		table_number(t, ROW_DAEMON, (uint64_t)daemon->pid);
	if (keeper)
		table_number(t, ROW_KEEPER, (uint64_t)keeper->pid);
	table_number(t, ROW_PROGRAMS, programs);
	table_text(t, ROW_SOCKET, "%s", socket);
}

int cluster_status_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
	const char *chosen = in->option[OPTION_COLUMNS];
	int r;

	if (chosen && !strcmp(chosen, "help")) {
		table_print_columns(t, stdout);
		return EXIT_OK;
	}
	r = chosen ? table_select(t, chosen) : 0;
	if (!r)
		r = cluster_open(in, &c);
	if (!r)
		r = cluster_processes_find(&c, 0, &list);
	if (r)
		return r;
	for (unsigned int i = 0; i < c.n; i++)
		add_status(t, &c, &c.nodes[i], &list);
	if (in->option[OPTION_JSON]) {
		struct json_object *root = json_object_new_object();

		json_object_object_add(root, "nodes", table_json(t));
		json_print(root, stdout);
	} else {
		table_print(t, !in->option[OPTION_NOHEADINGS], stdout);
	}
	return EXIT_OK;
}

/* kill, kill-daemon, start-node */

int cluster_kill_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	struct cluster_node *node;
	size_t n;
	int r;

	r = cluster_open_node(in, &c, &node);
	if (!r)
		r = cluster_processes_end(&c, node->id, false, SIGKILL, 0, &n);
	if (r)
		return r;
	if (n == 0)
		return say_down(&c, node->id);
	printf("node %u: killed %zu processes\n", node->id, n);
	return EXIT_OK;
}

int cluster_kill_daemon_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
	const struct cluster_process *daemon;
	struct cluster_node *node;
	int r;

	r = cluster_open_node(in, &c, &node);
	if (!r)
		r = cluster_processes_find(&c, node->id, &list);
	if (r)
		return r;
	daemon = find_role(&list, node->id, CLUSTER_DAEMON);
	if (!daemon)
		return is_up(&list, node->id)
			       ? cli_fail("node %u has no daemon just now: its keeper is starting "
					  "one",
					 node->id)
			       : say_down(&c, node->id);
	r = cluster_process_kill(daemon);
	if (!r)
		printf("node %u: killed its daemon, process %d\n", node->id, daemon->pid);
	return r;
}

int cluster_start_node_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
	struct cluster_node *node;
	int r;

	r = cluster_open_node(in, &c, &node);
	if (!r)
		r = cluster_processes_find(&c, node->id, &list);
	if (r)
		return r;
	if (is_up(&list, node->id))
		return cli_fail("node %u runs already", node->id);
	r = cluster_nodes_start(&c, &node->id, 1);
	if (!r)
		printf("node %u: %s\n", node->id, node->address);
	return r;
}

/* cut, heal */

static int set_cut(const struct invocation *in, bool cut)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	struct cluster_node *node;
	int r;

	r = cluster_open_node(in, &c, &node);
	if (r)
		return r;
	if (!c.netns)
		return cli_fail("the nodes in %s share one network, which cannot be cut; start the "
				"cluster with --netns, as root",
			c.dir);
	r = cluster_network_cut(&c, node->id, cut);
	if (r)
		return r;
	node->cut = cut;
	return cluster_save(&c);
}

int cluster_cut_run(const struct invocation *in)
{
	return set_cut(in, true);
}

int cluster_heal_run(const struct invocation *in)
{
	return set_cut(in, false);
}

/* stop */

int cluster_stop_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	size_t n;
	int r;

	r = cluster_open(in, &c);
	/* programs first, so that none of them sees its node go */
	if (!r)
		r = cluster_processes_end(&c, 0, true, SIGTERM, STOP_PATIENCE, &n);
	if (!r)
		r = cluster_processes_end(&c, 0, false, SIGTERM, STOP_PATIENCE, &n);
	if (r)
		return r;
	cluster_network_remove(&c);
	for (unsigned int i = 0; i < c.n; i++) {
		char socket[PATH_MAX];

		/* what a killed node left */
		if (cluster_path(&c, c.nodes[i].id, "socket", socket, sizeof(socket)))
			unlink(socket);
	}
	cluster_forget(&c);
	return EXIT_OK;
}
