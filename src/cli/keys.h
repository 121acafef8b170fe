/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

/*
 * The keys of a set of nodes: DIR/N/keys for node N, a line "PEER KEY" each pair that N is in, the
 * key in 64 hexadecimal digits, the same in both files. A file appears whole or not at all; a pair
 * whose files disagree is an error, never repaired by guessing which one is right.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_NODE_MAX 65535u /* highest number of a node */

struct keys_file {
	uint32_t node;
	bool changed;
};

/* What keys_make() found and did. */
struct keys_report {
	struct keys_file *files; /* by rising node */
	size_t n_files;
	size_t n_made; /* keys */
};

/*
 * Makes what keys are missing between nodes, and those that have some in dir already; new ones for
 * replace, if it is not 0. Makes dir and the directories in it. One at a time: the caller holds a
 * lock on dir. Returns 0, or EXIT_FAILED after it said what is wrong.
 */
int keys_make(const char *dir, const uint32_t *nodes, size_t n_nodes, uint32_t replace,
	struct keys_report *ret_report);

/* Whether the file at path has a key for peer: 1 or 0, or a negative errno. */
int keys_file_has(const char *path, uint32_t peer);

void keys_report_deinit(struct keys_report *r);

#endif
