/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway node add, node remove, reload: the node list of the node that answers. Edited is one
 * file of its configuration, causeway.conf.d/nodes.conf, and of that only the line of the node in
 * question; what the daemon then refuses is taken back.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/keys.h"
#include "cli/peers.h"
#include "config/config.h"
#include "wire/status.h"

#define DROP_IN_DIR  "causeway.conf.d"
#define DROP_IN_FILE "nodes.conf"

DEFINE_CLEANUP(FILE *, fclose);

/* The configuration of the daemon that answers. */
struct edit {
	struct node node;
	char *dir; /* as it was told; NULL: the system's */
	struct config *config;
	char file[PATH_MAX]; /* the one to edit */
};

static void edit_deinit(struct edit *e)
{
	config_free(e->config);
	free(e->dir);
}

static int load(const char *dir, struct config **ret_config)
{
	char error[CONFIG_ERROR_MAX];

	return config_load(dir, ret_config, error) < 0 ? cli_fail("%s", error) : 0;
}

static int edit_begin(struct edit *e)
{
	int r = node_find(false, &e->node);

	if (r)
		return r;
	r = node_config_dir(&e->node, &e->dir);
	if (r < 0)
		return cli_fail("cannot see which configuration causewayd, process %u, uses: %s",
			e->node.status.daemon_pid, strerror(-r));
	r = load(e->dir, &e->config);
	if (r)
		return r;
	if (!e->config->node_id)
		return cli_fail("this node has no number, so it cannot have peers: set NodeId= in "
				"%s/causeway.conf, restart causewayd, then add the nodes, this one "
				"first",
			e->config->dir);
	snprintf(e->file, sizeof(e->file), "%s/" DROP_IN_DIR "/" DROP_IN_FILE, e->config->dir);
	return 0;
}

/* the file */

/* "N=" with spaces anywhere */
static bool is_line_of(const char *line, uint32_t node)
{
	_cleanup_free_ char *copy = strdup(line);
	char *equals = copy ? strchr(copy, '=') : NULL, *rest;
	uint32_t number;

	if (!equals)
		return false;
	*equals = '\0';
	return parse_u32(strtok_r(copy, " \t", &rest) ?: "", &number) == 0 && number == node;
}

/* What was in the file; "" if there is none. */
static int read_old(const char *path, char **ret_text)
{
	_cleanup_(fclose_p) FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (!f && errno != ENOENT)
		return cli_fail("cannot read %s: %s", path, strerror(errno));
	if (f && getdelim(&text, &size, '\0', f) < 0 && ferror(f))
		return cli_fail("cannot read %s: %s", path, strerror(errno));
	*ret_text = text ? take_ptr(text) : strdup("");
	return *ret_text ? 0 : cli_fail("out of memory");
}

/* The same with another line for node, or none. */
static char *with_line(const char *old, uint32_t node, const char *address)
{
	_cleanup_free_ char *copy = strdup(old);
	char *text = NULL, *rest = copy;
	bool placed = !address;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!*old)
		fputs("# Kept by causeway node add and causeway node remove.\n", f);
	while (rest && *rest) {
		char *line = strsep(&rest, "\n");

		if (is_line_of(line, node))
			continue;
		fprintf(f, "%s\n", line);
		if (!placed && !strncmp(line, "[Nodes]", 7)) {
			fprintf(f, "%u = %s\n", node, address);
			placed = true;
		}
	}
	if (!placed)
		fprintf(f, "[Nodes]\n%u = %s\n", node, address);
	fclose(f);
	return text;
}

static int write_text(const char *path, const char *text)
{
	char temporary[PATH_MAX + 8], dir[PATH_MAX];
	size_t len = strlen(text);
	int fd, r = 0;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return cli_fail("cannot make the directory %s: %s", dir, strerror(errno));
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return cli_fail("cannot make a file in %s: %s", dir, strerror(errno));
	if (write(fd, text, len) != (ssize_t)len || fchmod(fd, 0644) < 0 || fsync(fd) < 0 ||
		rename(temporary, path) < 0)
		r = negative_errno();
	fd_close(fd);
	if (r == 0)
		return 0;
	unlink(temporary);
	return cli_fail("cannot write %s: %s", path, strerror(-r));
}

/* the daemon */

/* Returns 0, or EXIT_FAILED after it said what the daemon does not like. */
static int reload(uint32_t *ret_n_nodes)
{
	struct wire_message request = {.type = WIRE_RELOAD};
	struct cw_reply reply = {0};
	int r = cw_call(&request, NULL, 0, &reply);

	if (r == STATUS_BAD_REQUEST && reply.message.type == WIRE_RELOAD_REPLY)
		return cli_fail("the daemon goes on with what it had: %s",
			reply.message.reload_reply.trouble);
	if (r == STATUS_DENIED)
		return cli_fail("only root and the daemon's own user may have it reload");
	if (r)
		return cli_fail("cannot have the daemon reload: %s", node_result_text(r));
	*ret_n_nodes = reply.message.reload_reply.n_nodes;
	return 0;
}

int reload_run(const struct invocation *in)
{
	struct node node;
	uint32_t n;
	int r;

	r = node_find(false, &node);
	if (!r)
		r = reload(&n);
	if (r)
		return r;
	if (in->option[OPTION_JSON]) {
		struct json_object *root = json_object_new_object();

		json_object_object_add(root, "daemon", node_json(&node));
		json_object_object_add(root, "nodes", json_object_new_int64(n));
		json_print(root, stdout);
	} else {
		printf("node %u: reloaded, %u nodes\n", node.status.node, n);
	}
	return EXIT_OK;
}

/* Puts text into the file and has the daemon read it; puts old back if that fails. */
static int apply(const struct edit *e, const char *old, const char *text)
{
	struct config *config = NULL;
	uint32_t n;
	int r = write_text(e->file, text);

	if (r)
		return r;
	r = load(e->dir, &config);
	config_free(config);
	if (!r)
		r = reload(&n);
	if (r && *old)
		write_text(e->file, old);
	else if (r)
		unlink(e->file);
	return r;
}

static int edit_line(struct edit *e, uint32_t node, const char *address)
{
	_cleanup_free_ char *old = NULL, *text = NULL;
	int r = read_old(e->file, &old);

	if (r)
		return r;
	text = with_line(old, node, address);
	return text ? apply(e, old, text) : cli_fail("out of memory");
}

/* add */

/* Without a key the node is known, but no connection to it succeeds. */
static void say_key(const struct edit *e, uint32_t node)
{
	_cleanup_free_ char *path = NULL;

	if (config_path(e->config, e->config->key_file, &path) == 0 &&
		keys_file_has(path, node) == 0)
		printf("There is no key for it in %s yet: 'causeway keygen -d DIR %u %u' makes "
		       "one, to be copied to both nodes.\n",
			path, e->node.status.node, node);
}

/* "FILE:LINE" is not of file */
static bool is_elsewhere(const char *origin, const char *file)
{
	size_t n = strlen(file);

	return strncmp(origin, file, n) != 0 || origin[n] != ':';
}

/* A file that is read after ours may say otherwise. */
static int check_added(struct edit *e, uint32_t node, const char *address)
{
	const struct config_node *now;

	config_free(take_ptr(e->config));
	if (load(e->dir, &e->config))
		return EXIT_FAILED;
	now = config_find_node(e->config, node);
	if (now && !strcmp(now->text, address))
		return 0;
	return cli_fail("%s says that node %u is %s, and is read after %s: correct it there, then "
			"'causeway reload'",
		now ? now->origin : "?", node, now ? now->text : "?", e->file);
}

int node_add_run(const struct invocation *in)
{
	_cleanup_(edit_deinit) struct edit e = {0};
	const char *address = in->args[1];
	char host[CONFIG_HOST_MAX];
	uint32_t node, port;
	int r;

	r = peer_parse(in->args[0], &node);
	if (!r && config_address_parse(address, host, &port) < 0)
		r = cli_usage(
			"'%s' must be HOST or HOST:PORT, an IPv6 address in brackets.", address);
	if (!r)
		r = edit_begin(&e);
	if (!r)
		r = edit_line(&e, node, address);
	if (!r)
		r = check_added(&e, node, address);
	if (r)
		return r;
	printf("Node %u is %s, says %s.\n", node, address, e.file);
	if (node == e.node.status.node)
		return EXIT_OK;
	say_key(&e, node);
	printf("On every other node, too: 'causeway node add %u %s'; node %u itself needs all of "
	       "[Nodes].\n",
		node, address, node);
	return EXIT_OK;
}

/* remove */

int node_remove_run(const struct invocation *in)
{
	_cleanup_(edit_deinit) struct edit e = {0};
	const struct config_node *known;
	uint32_t node;
	int r;

	r = peer_parse(in->args[0], &node);
	if (!r)
		r = edit_begin(&e);
	if (r)
		return r;
	known = config_find_node(e.config, node);
	if (!known)
		return cli_fail(
			"there is no node %u in the node list; 'causeway nodes' shows it", node);
	if (node == e.node.status.node)
		return cli_fail("node %u is this one; remove it on the other nodes", node);
	if (is_elsewhere(known->origin, e.file))
		return cli_fail("node %u stands in %s: take the line out there, then 'causeway "
				"reload'",
			node, known->origin);
	r = edit_line(&e, node, NULL);
	if (r)
		return r;
	printf("Node %u is out of %s.\nOn every other node, too: 'causeway node remove %u'; then "
	       "its line can go from each file of keys.\n",
		node, e.file, node);
	return EXIT_OK;
}
