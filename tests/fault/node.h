/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_NODE_H
#define TESTS_FAULT_NODE_H

/* A node in a directory of its own, and the file of control.h. */

#include <stdbool.h>
#include <sys/types.h>
#include "control.h"

#define DIRECTORY_MAX 80

typedef struct {
	const char *causewayd;
	char directory[DIRECTORY_MAX];
	pid_t pid;  /* of the process that was started: the keeper */
	int status; /* once it has ended */
} node_t;

/* A new, empty one for this test; socket names must be short. */
void directory_new(char path[DIRECTORY_MAX]);
/* Shared with every process that has the library inject loaded; FAULT_CONTROL is set to its file.
 */
struct fault_control *control_new(const char *directory);

/* Makes the directory and sets CAUSEWAY_SOCKET; nothing runs yet. */
void node_init(node_t *node, const char *causewayd);
/* inject: what it is preloaded with, or NULL. True when it serves, false when it ended; neither
 * within 10 s: it is killed, and the status is that. */
bool node_start(node_t *node, const char *inject);
/* SIGTERM; true if it ended with status 0. */
bool node_stop(node_t *node);
/* Did the node print anything? Shows it if asked, as comments. */
bool node_said(const node_t *node, bool show);
void node_deinit(node_t *node);

/* Descriptors of a process; those of memory that it has mapped. */
unsigned int count_descriptors(pid_t pid);
unsigned int count_memfd_maps(pid_t pid);

#endif
