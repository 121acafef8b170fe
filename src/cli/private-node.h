/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PRIVATE_NODE_H
#define CLI_PRIVATE_NODE_H

/*
 * A node in a private directory: daemon and keeper in a process group of their own, so that signals
 * of the terminal do not reach them and one kill() reaches both, whatever became of them meanwhile.
 * This process must be a child subreaper: what loses its parent comes to it and can be waited for.
 * If this process dies, the kernel tells the node to end.
 */

#include <stdbool.h>
#include <sys/types.h>

struct private_node {
	char dir[96]; /* "": none */
	char socket[108];
	pid_t group; /* 0: not running */
};

/*
 * Makes the directory and starts causewayd in it. verbose: its log goes to stderr, else to a file
 * that is shown if it does not start. Waits until it accepts connections; stop is a signalfd that
 * ends the wait. Returns 0, or EXIT_FAILED after it said why; private_node_end() is needed in both
 * cases.
 */
int private_node_start(struct private_node *n, bool verbose, int stop);

/* Ends the node, waits for its processes, removes the directory. */
void private_node_end(struct private_node *n);

#endif
