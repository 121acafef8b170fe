/* SPDX-License-Identifier: Apache-2.0 */
/* causeway cluster start, and how a node of a cluster is started */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/cluster.h"
#include "cli/daemon-start.h"
#include "cli/directory.h"
#include "cli/keys.h"
#include "cli/peers.h"
#include "cli/table.h"

#define DETECTION_MIN (100 * NSEC_PER_MSEC)
#define DETECTION_MAX (60 * NSEC_PER_SEC)

/* nodes */

/* In the child: never returns. */
static void become_node(const struct cluster *c, uint32_t id, const struct daemon_start *s)
{
	setsid();
	if (cluster_network_enter(c, id) || cluster_environment(c, id))
		_exit(EXIT_FAILED);
	unsetenv("CAUSEWAY_SOCKET"); /* for programs */
	daemon_exec(s);
}

struct starting {
	struct daemon_start start;
	char dir[PATH_MAX], socket[sizeof(((struct sockaddr_un *)0)->sun_path)], log[PATH_MAX];
	int ready;
};

static int node_start(const struct cluster *c, uint32_t id, const char *daemon, struct starting *s)
{
	int pipe_fds[2];
	pid_t pid;

	if (!cluster_path(c, id, "socket", s->socket, sizeof(s->socket)) ||
		!cluster_path(c, id, "", s->dir, sizeof(s->dir)) ||
		!cluster_path(c, id, "log", s->log, sizeof(s->log)))
		return cli_fail("the path %s is too long for a socket in it", c->dir);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cli_fail("cannot make a pipe: %s", strerror(errno));
	s->ready = pipe_fds[0];
	s->start = (struct daemon_start){.path = daemon,
		.socket = s->socket,
		.config = s->dir,
		.log = s->log,
		.ready = pipe_fds[1]};
	pid = fork();
	if (pid == 0)
		become_node(c, id, &s->start);
	fd_close(pipe_fds[1]);
	return pid < 0 ? cli_fail("cannot start a process: %s", strerror(errno)) : 0;
}

int cluster_nodes_start(const struct cluster *c, const uint32_t *ids, unsigned int n)
{
	_cleanup_free_ struct starting *list = calloc(n, sizeof(*list));
	char buf[PATH_MAX];
	const char *daemon = daemon_path(buf);
	int r = 0;

	if (!list)
		return cli_fail("out of memory");
	for (unsigned int i = 0; i < n; i++)
		list[i].ready = -1;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = node_start(c, ids[i], daemon, &list[i]);
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = daemon_wait_ready(&list[i].start, list[i].ready, -1);
	for (unsigned int i = 0; i < n; i++)
		fd_close(list[i].ready);
	return r;
}

/* the files of a cluster */

static int write_configuration(const struct cluster *c, uint32_t id, const char *detection)
{
	char dir[PATH_MAX], path[PATH_MAX];
	FILE *f;
	bool ok;

	if (!cluster_path(c, id, "", dir, sizeof(dir)) ||
		!cluster_path(c, id, "causeway.conf", path, sizeof(path)))
		return cli_fail("the path %s is too long", c->dir);
	f = directory_make(dir) ? NULL : fopen(path, "we");
	if (!f)
		return cli_fail("cannot write %s: %s", path, strerror(errno));
	fprintf(f,
		"# Written by causeway cluster start; what you want to change goes into "
		"causeway.conf.d/*.conf.\n"
		"[Node]\nNodeId = %u\n\n[Nodes]\n",
		id);
	for (unsigned int i = 0; i < c->n; i++)
		fprintf(f, "%u = %s\n", c->nodes[i].id, c->nodes[i].address);
	if (detection)
		fprintf(f, "\n[Network]\nDetectionTime = %s\n", detection);
	ok = !ferror(f);
	return fclose(f) == 0 && ok ? 0 : cli_fail("cannot write %s: %s", path, strerror(errno));
}

static int write_files(const struct cluster *c, const uint32_t *ids, const char *detection)
{
	_cleanup_(keys_report_deinit) struct keys_report report = {0};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < c->n; i++)
		r = write_configuration(c, ids[i], detection);
	return r ? r : keys_make(c->dir, ids, c->n, 0, &report);
}

/* the command line */

static int add_node(struct cluster *c, const char *text)
{
	uint32_t id;
	int r = peer_parse(text, &id);

	if (r)
		return r;
	for (unsigned int i = 0; i < c->n; i++)
		if (c->nodes[i].id == id)
			return cli_usage("--ids names node %u twice.", id);
	if (c->n == CLUSTER_NODES_MAX)
		return cli_usage("a cluster has at most %u nodes.", CLUSTER_NODES_MAX);
	c->nodes[c->n++] = (struct cluster_node){.id = id};
	return 0;
}

static int parse_ids(struct cluster *c, const char *list)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy;
	int r = 0;

	if (!copy)
		return cli_fail("out of memory");
	while (r == 0 && rest)
		r = add_node(c, strsep(&rest, ","));
	return r;
}

static int parse_nodes(const struct invocation *in, struct cluster *c)
{
	const char *number = in->option[OPTION_NODES], *ids = in->option[OPTION_IDS];
	uint32_t n = 0;
	int r = 0;

	if (!number && !ids)
		return cli_usage("'cluster start' needs --nodes=N or --ids=LIST.");
	if (number && (parse_u32(number, &n) < 0 || n < 1 || n > CLUSTER_NODES_MAX))
		return cli_usage(
			"--nodes=%s: must be a number from 1 to %u.", number, CLUSTER_NODES_MAX);
	if (ids)
		r = parse_ids(c, ids);
	else
		while (c->n < n)
			c->nodes[c->n] = (struct cluster_node){.id = c->n + 1}, c->n++;
	if (r == 0 && number && c->n != n)
		return cli_usage("--nodes=%u, but --ids has %u.", n, c->n);
	return r;
}

static int check_options(const struct invocation *in, struct cluster *c)
{
	const char *detection = in->option[OPTION_DETECTION];
	uint64_t ns;

	c->netns = in->option[OPTION_NETNS];
	if (c->netns && geteuid() != 0)
		return cli_fail("only root can make network namespaces: run this as root, or "
				"without --netns");
	if (detection &&
		(parse_duration(detection, &ns) < 0 || ns < DETECTION_MIN || ns > DETECTION_MAX))
		return cli_usage("--detection=%s: must be a time from 100ms to 60s.", detection);
	return parse_nodes(in, c);
}

/* There may be another cluster in the directory, or what a crash left of one. */
static int clear_directory(const struct cluster *new)
{
	struct cluster old = {.dir = new->dir, .lock = new->lock};
	_cleanup_(cluster_processes_deinit) struct cluster_processes running = {0};
	bool found;
	int r;

	r = cluster_load(&old, &found);
	if (!r)
		r = cluster_processes_find(&old, 0, &running);
	if (r)
		return r;
	if (running.n)
		return cli_fail("a cluster runs in %s, process %d of node %u for one; 'causeway "
				"cluster stop -d %s' ends it",
			old.dir, running.v[0].pid, running.v[0].node, old.dir);
	if (found)
		cluster_network_remove(&old);
	return 0;
}

static void print(const struct invocation *in, const struct cluster *c)
{
	struct json_object *root, *list;
	char socket[PATH_MAX];

	if (!in->option[OPTION_JSON]) {
		for (unsigned int i = 0; i < c->n; i++)
			printf("node %u: %s\n", c->nodes[i].id, c->nodes[i].address);
		return;
	}
	root = json_object_new_object();
	list = json_object_new_array();
	for (unsigned int i = 0; i < c->n; i++) {
		struct json_object *o = json_object_new_object();

		cluster_path(c, c->nodes[i].id, "socket", socket, sizeof(socket));
		json_object_object_add(o, "node", json_object_new_int64(c->nodes[i].id));
		json_object_object_add(o, "address", json_object_new_string(c->nodes[i].address));
		json_object_object_add(o, "socket", json_object_new_string(socket));
		json_object_array_add(list, o);
	}
	json_object_object_add(root, "nodes", list);
	json_print(root, stdout);
}

static int start(const struct cluster *c, const char *detection)
{
	uint32_t ids[CLUSTER_NODES_MAX];
	int r;

	for (unsigned int i = 0; i < c->n; i++)
		ids[i] = c->nodes[i].id;
	r = write_files(c, ids, detection);
	if (!r)
		r = cluster_network_make(c);
	return r ? r : cluster_nodes_start(c, ids, c->n);
}

int cluster_start_run(const struct invocation *in)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	size_t n;
	int r;

	r = check_options(in, &c);
	if (!r)
		r = directory_open(in, true, &c.dir, &c.lock);
	if (!r)
		r = clear_directory(&c);
	if (!r)
		r = cluster_network_plan(&c);
	if (!r)
		r = cluster_save(&c);
	if (r)
		return r;
	r = start(&c, in->option[OPTION_DETECTION]);
	if (r) {
		cluster_processes_end(&c, 0, false, SIGKILL, 0, &n);
		cluster_network_remove(&c);
		cluster_forget(&c);
		return r;
	}
	print(in, &c);
	return EXIT_OK;
}
