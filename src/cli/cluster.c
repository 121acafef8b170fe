/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cluster.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/directory.h"

#define STATE_FILE "cluster"

DEFINE_CLEANUP(FILE *, fclose);

void cluster_deinit(struct cluster *c)
{
	fd_close(c->lock);
	free(c->dir);
	*c = CLUSTER_INIT;
}

/* One line of DIR/cluster; false: it is none. */
static bool read_line(struct cluster *c, const char *line)
{
	struct cluster_node *node = &c->nodes[c->n];
	char more[8] = "";
	int n;

	if (line[0] == '#')
		return true;
	if (!strcmp(line, "netns\n")) {
		c->netns = true;
		return true;
	}
	if (c->n == CLUSTER_NODES_MAX)
		return false;
	*node = (struct cluster_node){0};
	n = sscanf(line, "node %u %47s %7s", &node->id, node->address, more);
	node->cut = n == 3 && !strcmp(more, "cut");
	c->n++;
	return n == 2 || node->cut;
}

int cluster_load(struct cluster *c, bool *ret_found)
{
	char path[PATH_MAX], line[128];
	_cleanup_(fclose_p) FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/" STATE_FILE, c->dir);
	f = fopen(path, "re");
	*ret_found = f;
	if (!f)
		return errno == ENOENT ? 0 : cli_fail("cannot read %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (!read_line(c, line))
			return cli_fail("%s is not what 'causeway cluster start' wrote: \"%.*s\"",
				path, (int)strcspn(line, "\n"), line);
	return 0;
}

int cluster_save(const struct cluster *c)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/" STATE_FILE, c->dir);
	snprintf(temporary, sizeof(temporary), "%s/." STATE_FILE, c->dir);
	f = fopen(temporary, "we");
	if (!f)
		return cli_fail("cannot write %s: %s", temporary, strerror(errno));
	fputs("# Written by causeway cluster start.\n", f);
	if (c->netns)
		fputs("netns\n", f);
	for (unsigned int i = 0; i < c->n; i++)
		fprintf(f, "node %u %s%s\n", c->nodes[i].id, c->nodes[i].address,
			c->nodes[i].cut ? " cut" : "");
	ok = !ferror(f);
	if (fclose(f) == 0 && ok && rename(temporary, path) == 0)
		return 0;
	return cli_fail("cannot write %s: %s", path, strerror(errno));
}

void cluster_forget(const struct cluster *c)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" STATE_FILE, c->dir);
	if (unlink(path) < 0 && errno != ENOENT)
		cli_fail("cannot remove %s: %s", path, strerror(errno));
}

int cluster_open(const struct invocation *in, struct cluster *ret_cluster)
{
	_cleanup_(cluster_deinit) struct cluster c = CLUSTER_INIT;
	bool found;
	int r;

	r = directory_open(in, false, &c.dir, &c.lock);
	if (!r)
		r = cluster_load(&c, &found);
	if (r)
		return r;
	if (!found)
		return cli_fail("there is no cluster in %s; 'causeway cluster start -n 3 -d %s' "
				"starts one",
			c.dir, c.dir);
	*ret_cluster = c;
	c = CLUSTER_INIT;
	return 0;
}

static void say_nodes(const struct cluster *c, const char *given)
{
	fprintf(stderr, "causeway: there is no node '%s' in %s; it has", given, c->dir);
	for (unsigned int i = 0; i < c->n; i++)
		fprintf(stderr, "%s %u", i ? "," : "", c->nodes[i].id);
	fputc('\n', stderr);
}

int cluster_open_node(
	const struct invocation *in, struct cluster *ret_cluster, struct cluster_node **ret_node)
{
	const char *text = in->option[OPTION_ID];
	uint32_t id;
	int r;

	if (!text)
		return cli_usage("'%s' needs --node=ID.", in->command->name);
	r = cluster_open(in, ret_cluster);
	if (r)
		return r;
	if (parse_u32(text, &id) == 0)
		for (unsigned int i = 0; i < ret_cluster->n; i++)
			if (ret_cluster->nodes[i].id == id) {
				*ret_node = &ret_cluster->nodes[i];
				return 0;
			}
	say_nodes(ret_cluster, text);
	return EXIT_FAILED;
}

bool cluster_path(const struct cluster *c, uint32_t id, const char *name, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s/%u%s%s", c->dir, id, *name ? "/" : "", name);

	return n > 0 && (size_t)n < size;
}

int cluster_environment(const struct cluster *c, uint32_t id)
{
	char dir[PATH_MAX], socket[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (!cluster_path(c, id, "", dir, sizeof(dir)) ||
		!cluster_path(c, id, "socket", socket, sizeof(socket)))
		return cli_fail("the path %s is too long for a socket in it", c->dir);
	if (setenv(CLUSTER_MARKER, dir, 1) < 0 || setenv("CAUSEWAY_SOCKET", socket, 1) < 0)
		return cli_fail("out of memory");
	return 0;
}
