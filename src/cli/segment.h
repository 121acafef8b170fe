/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SEGMENT_H
#define CLI_SEGMENT_H

/* What list and show have in common: fetching rows of segments, and their columns. */

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

struct segments {
	struct wire_list_row *rows;
	size_t n;
};

/* All segments of space (0: all) that we may know of. Returns 0, or EXIT_FAILED after it said why.
 */
int segments_fetch(uint32_t space, struct segments *ret_segments);
void segments_deinit(struct segments *s);

/* The space of --space, 0 if it was not given. Returns 0, or EXIT_USAGE after it said why. */
int segments_space(const struct invocation *in, uint32_t *ret_space);

void segment_row(Table *t, const struct wire_list_row *row, bool bytes);

#endif
