/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_NODE_H
#define DAEMON_NODE_H

/*
 * Three roles of the one executable (filler.h is the fourth): the first process, which becomes the
 * keeper; the daemon proper; a keeper that a daemon starts because its own died. Each returns an
 * exit status.
 */

#include <stdbool.h>
#include "config/config.h"

struct node_options {
	const char *socket;	/* NULL: the default */
	const char *config_dir; /* NULL: the default */
	const struct config *config;
	bool embedded;
	int ready_fd; /* -1: none */
};

int node_run_first(const struct node_options *options);
int node_run_daemon(const struct node_options *options, int link);
int node_run_keeper(const struct node_options *options, int link);

#endif
