/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SEGMENT_H
#define CLI_SEGMENT_H

/* What list, show and bench have in common: finding segments, and their columns. */

#include "cli/command.h"
#include "cli/node.h"

enum segment_column {
	SEGMENT_NODE,
	SEGMENT_ID,
	SEGMENT_SPACE,
	SEGMENT_SIZE,
	SEGMENT_STATE,
	SEGMENT_MODE,
	SEGMENT_OWNER,
	SEGMENT_PID,
	SEGMENT_COMMAND,
	SEGMENT_IMPORTS,
	SEGMENT_AGE,
	SEGMENT_CREATED,
	SEGMENT_UID,
	SEGMENT_GID,
	SEGMENT_ACCESS,
	SEGMENT_INSTANCE,
	SEGMENT_COLUMNS,
};

extern const struct column segment_columns[SEGMENT_COLUMNS];

/* A node that did not say which segments it has. */
struct silent_node {
	uint32_t node;
	const char *reason;
};

struct segments {
	struct wire_list_row *rows;
	size_t n;
	struct silent_node *silent;
	size_t n_silent;
};

/* The space of --space, 0 if it was not given. Returns 0, or EXIT_USAGE after it said why. */
int segments_space(const struct invocation *in, uint32_t *ret_space);

/*
 * All segments that we may know of, of all nodes or of that of --node. A node that does not answer
 * is named on stderr and in silent; that is a failure only if --node asked for it alone. own: the
 * number of the node that answers. Returns 0, EXIT_USAGE, or EXIT_FAILED after it said why.
 */
int segments_find(const struct invocation *in, uint32_t own, struct segments *ret_segments);
/* Those of one node. */
int segments_of(uint32_t node, uint32_t own, struct segments *ret_segments);
void segments_deinit(struct segments *s);

void segment_row(Table *t, const struct wire_list_row *row, bool bytes);

#endif
