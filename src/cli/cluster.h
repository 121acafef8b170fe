/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLUSTER_H
#define CLI_CLUSTER_H

/*
 * Several nodes on one machine. All that is known of a cluster is in its directory DIR:
 *
 *   DIR/cluster      which nodes there are, their addresses, whether they have network namespaces;
 *                    it is there before anything is started and goes after everything has ended,
 *                    so that whatever crashes, 'cluster stop' finds what to clear up
 *   DIR/N/           node N: causeway.conf, keys, socket, log
 *
 * Processes are known by CAUSEWAY_CLUSTER_NODE=DIR/N in their environment, which children inherit,
 * and are signalled through pidfds: never by name or a number that was written down.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "cli/command.h"

#define CLUSTER_NODES_MAX 64u
#define CLUSTER_MARKER	  "CAUSEWAY_CLUSTER_NODE"

struct cluster_node {
	uint32_t id;
	char address[48];
	bool cut;
};

struct cluster {
	char *dir; /* real path */
	int lock;  /* held on it */
	bool netns;
	struct cluster_node nodes[CLUSTER_NODES_MAX];
	unsigned int n;
};

/* cluster.c */

#define CLUSTER_INIT ((struct cluster){.lock = -1})

/* The cluster in --directory. Returns 0, EXIT_USAGE or EXIT_FAILED after it said why. */
int cluster_open(const struct invocation *in, struct cluster *ret_cluster);
/* The same and the node of --node. */
int cluster_open_node(
	const struct invocation *in, struct cluster *ret_cluster, struct cluster_node **ret_node);
void cluster_deinit(struct cluster *c);

/* Reads DIR/cluster into c, whose dir is set. *ret_found: whether there is one. */
int cluster_load(struct cluster *c, bool *ret_found);
int cluster_save(const struct cluster *c);
void cluster_forget(const struct cluster *c);

/* DIR/ID/name; false: too long. name: "" for the directory. */
bool cluster_path(const struct cluster *c, uint32_t id, const char *name, char *buf, size_t size);

/* Gives this process the environment of a node. */
int cluster_environment(const struct cluster *c, uint32_t id);

/* cluster-process.c */

enum cluster_role {
	CLUSTER_KEEPER, /* in the order in which they are killed */
	CLUSTER_DAEMON,
	CLUSTER_PROGRAM,
};

struct cluster_process {
	uint32_t node;
	pid_t pid;
	int pidfd;
	enum cluster_role role;
};

struct cluster_processes {
	struct cluster_process *v; /* by role */
	size_t n;
};

/* Those of node id, 0: of all nodes, but not this one. Returns 0, or EXIT_FAILED after it said why.
 */
int cluster_processes_find(
	const struct cluster *c, uint32_t id, struct cluster_processes *ret_processes);
void cluster_processes_deinit(struct cluster_processes *p);

/* SIGKILL for one. */
int cluster_process_kill(const struct cluster_process *p);

/* Sends the signal to all of node id, 0: of all, or to their programs alone, and waits until there
 * are none any more, SIGKILL for those that are there after the given time. *ret_n: processes that
 * ended. */
int cluster_processes_end(const struct cluster *c, uint32_t id, bool programs, int signal,
	uint64_t patience, size_t *ret_n);

/* cluster-network.c */

/* Fills in the addresses of the nodes. */
int cluster_network_plan(struct cluster *c);
/* Makes the namespaces, links and addresses; nothing without netns. */
int cluster_network_make(const struct cluster *c);
/* Takes away what there is of them. */
void cluster_network_remove(const struct cluster *c);
/* Moves this process into node id's network. */
int cluster_network_enter(const struct cluster *c, uint32_t id);
/* Cuts node id off, or joins it again. */
int cluster_network_cut(const struct cluster *c, uint32_t id, bool cut);

/* cluster-start.c */

/* Starts these nodes of c together and waits until they serve. */
int cluster_nodes_start(const struct cluster *c, const uint32_t *ids, unsigned int n);

#endif
