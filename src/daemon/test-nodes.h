/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_NODES_H
#define DAEMON_TEST_NODES_H

/*
 * For tests: nodes 1 … n that know each other, and what a library does with another node's segment,
 * packet by packet. Every failure fails the test.
 */

#include "daemon/test-client.h"
#include "fabric/fabric.h"

#define NODES_MAX 3u

struct nodes {
	unsigned int n;
	struct node node[NODES_MAX + 1]; /* by number; 0 is not used */
	uint16_t port[NODES_MAX + 1];
	char key[NODES_MAX + 1][NODES_MAX + 1][65]; /* of each pair, as in the key files */
};

/* config: what all have besides. Of the n nodes only the first n_started run; the others are known
 * to them. */
void nodes_start(struct nodes *ns, const char *program, unsigned int n, unsigned int n_started,
	const char *config);
/* The same, but each has its own: of node i configs[i - 1]. */
void nodes_start_each(
	struct nodes *ns, const char *program, unsigned int n, const char *const *configs);
/* Another one for node i, from its next start or restart on. */
void nodes_configure(struct nodes *ns, unsigned int i, const char *config);
void nodes_stop(struct nodes *ns);
/* SIGKILL, and wait until it is gone: daemon alone, which comes back, or all of the node. */
void nodes_kill_daemon(struct client *c);
void nodes_kill(struct nodes *ns, unsigned int number, struct client *c);
/* Another life of a node that was killed. */
void nodes_start_one(
	struct nodes *ns, const char *program, unsigned int number, const char *config);

/* A client's import of another node's segment. */
struct remote {
	struct client *client;
	uint32_t import, route;
	struct wire_import_result_reply result;
	FabricPath *path;
	struct fabric_user user;
	unsigned int n_repairs;
};

/* Up to IMPORT_RESULT; returns its status. */
uint32_t remote_connect(
	struct remote *r, struct client *c, uint32_t node, uint32_t id, uint32_t rights);
/* The same with a path. */
void remote_open(struct remote *r, struct client *c, uint32_t node, uint32_t id, uint32_t rights);
/* Only its path. */
void remote_close(struct remote *r);
uint32_t remote_disconnect(struct remote *r);
/* The stream of the route as it is now. */
uint32_t remote_route(struct client *c, uint32_t route, struct wire_route_reply *ret, int *ret_fd);

#endif
