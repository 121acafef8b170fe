/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_NODE_H
#define CLI_NODE_H

/*
 * The node that this process talks to: which one it is, and requests that say what went wrong.
 */

#include "cli/table.h"
#include "client/connection.h"

struct node {
	struct cw_node connection;
	struct wire_node_status_reply status;
};

/* Finds the node that answers. may_start: like any program, that is, start one if there is none;
 * else that is a failure. Returns 0, or EXIT_FAILED after it said what was tried and what can be
 * done. */
int node_find(bool may_start, struct node *ret_node);

/* "causewayd (pid 7, root) answers at /run/causeway/socket, node 0" */
void node_print(const struct node *n, FILE *out);
struct json_object *node_json(const struct node *n);

/* The directory that its daemon was told to read its configuration from, the caller's to free;
 * NULL: the system's. A negative errno: that cannot be seen. */
int node_config_dir(const struct node *n, char **ret_dir);

/* cw_call() for requests without descriptors. Returns 0, or EXIT_FAILED after it said what doing
 * failed: "cannot list the segments: …" */
int node_call(struct wire_message *request, const char *what, struct cw_reply *ret_reply);

/* What a result of the library means, for people. */
const char *node_result_text(int result);

/* The name of a user, or its number. */
const char *user_name(uint32_t uid, char buf[64]);

/* "rsm"; "?" for a number that is none. space_parse: 0 if text names none. */
const char *space_name(uint32_t space);
uint32_t space_parse(const char *text);

#endif
