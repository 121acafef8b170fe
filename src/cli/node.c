/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/node.h"

#include <pwd.h>
#include <string.h>
#include "base/error.h"
#include "cli/command.h"
#include "cli/process.h"
#include "wire/status.h"

#define ATTEMPTS_MAX 8u

const char *node_result_text(int result)
{
	return result < 0 ? strerror(-result) : wire_status_text(result);
}

static int say_attempts(const char *what, const struct cw_attempt *attempts, unsigned int n)
{
	cli_fail("%s", what);
	for (unsigned int i = 0; i < n; i++)
		fprintf(stderr, "  %s: %s\n", attempts[i].socket, attempts[i].text);
	fputs("A program that shares memory starts one for its user. 'causeway run -- COMMAND' "
	      "starts\n"
	      "one for a command, and 'causeway doctor' explains what is in the way.\n",
		stderr);
	return EXIT_FAILED;
}

static bool any_answered(const struct cw_attempt *attempts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (attempts[i].error == 0)
			return true;
	return false;
}

int node_find(bool may_start, struct node *ret_node)
{
	struct wire_message request = {.type = WIRE_NODE_STATUS};
	struct cw_attempt attempts[ATTEMPTS_MAX];
	struct cw_reply reply;
	struct node node;
	unsigned int n;
	int r;

	if (!may_start) {
		n = cw_attempts(attempts, ATTEMPTS_MAX);
		if (!any_answered(attempts, n))
			return say_attempts("no causewayd answers", attempts, n);
	}
	r = cw_connect(&node.connection);
	if (r) {
		n = cw_attempts(attempts, ATTEMPTS_MAX);
		return say_attempts(node_result_text(r), attempts, n);
	}
	r = node_call(&request, "ask the node for its state", &reply);
	if (r)
		return r;
	node.status = reply.message.node_status_reply;
	*ret_node = node;
	return 0;
}

void node_print(const struct node *n, FILE *out)
{
	char user[64];

	fprintf(out, "causewayd (pid %u, %s%s) answers at %s, node %u%s\n", n->status.daemon_pid,
		user_name(n->status.uid, user),
		n->status.flags & WIRE_NODE_EMBEDDED ? ", ends by itself" : "",
		n->connection.socket, n->status.node,
		n->connection.spawned ? " (started just now)" : "");
}

struct json_object *node_json(const struct node *n)
{
	struct json_object *o = json_object_new_object();
	char user[64];

	json_object_object_add(o, "socket", json_object_new_string(n->connection.socket));
	json_object_object_add(o, "pid", json_object_new_int64(n->status.daemon_pid));
	json_object_object_add(o, "uid", json_object_new_int64(n->status.uid));
	json_object_object_add(o, "user", json_object_new_string(user_name(n->status.uid, user)));
	json_object_object_add(o, "node", json_object_new_int64(n->status.node));
	json_object_object_add(
		o, "embedded", json_object_new_boolean(n->status.flags & WIRE_NODE_EMBEDDED));
	json_object_object_add(o, "started_now", json_object_new_boolean(n->connection.spawned));
	return o;
}

int node_config_dir(const struct node *n, char **ret_dir)
{
	char *dir = NULL;
	int r = process_option((pid_t)n->status.daemon_pid, "--config", &dir);

	if (r < 0 && r != -ENOENT)
		return r;
	*ret_dir = dir;
	return 0;
}

int node_call(struct wire_message *request, const char *what, struct cw_reply *ret_reply)
{
	int r = cw_call(request, NULL, 0, ret_reply);

	return r ? cli_fail("cannot %s: %s", what, node_result_text(r)) : 0;
}

const char *user_name(uint32_t uid, char buf[64])
{
	/* thousands of segments often have one owner, and a look-up reads a file */
	static char name[64];
	static uint32_t known;
	struct passwd *p;

	if (!name[0] || known != uid) {
		p = getpwuid(uid);
		if (p)
			snprintf(name, sizeof(name), "%s", p->pw_name);
		else
			snprintf(name, sizeof(name), "%u", uid);
		known = uid;
	}
	return strcpy(buf, name);
}

static const struct {
	uint32_t space;
	const char *name;
} spaces[] = {
	{WIRE_SPACE_RSM, "rsm"},
	{WIRE_SPACE_SISCI, "sisci"},
	{WIRE_SPACE_CLSHM, "clshm"},
};

const char *space_name(uint32_t space)
{
	for (unsigned int i = 0; i < ELEMENTS(spaces); i++)
		if (spaces[i].space == space)
			return spaces[i].name;
	return "?";
}

uint32_t space_parse(const char *text)
{
	for (unsigned int i = 0; i < ELEMENTS(spaces); i++)
		if (!strcmp(spaces[i].name, text))
			return spaces[i].space;
	return 0;
}
