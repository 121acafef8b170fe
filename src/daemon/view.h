/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H

/*
 * What somebody may see of this node and its segments, as LIST, SHOW and NODE_STATUS tell it: a
 * client here, or a process of another node.
 */

#include "daemon/manager.h"

struct viewer {
	const EngineClient *client; /* NULL: of another node */
	uint32_t node;
	struct engine_identity identity; /* what it is here */
};

/* Who made the segment; it may be gone by now. */
uint32_t view_pid(const EngineSegment *segment);
const char *view_command(const EngineSegment *segment);

/* Records list_row from cursor on, as many as fit before end. Returns where they end. */
uint8_t *view_list(const Manager *m, const struct viewer *viewer, uint32_t space, uint64_t cursor,
	uint8_t *at, const uint8_t *end, uint64_t *ret_next, uint32_t *ret_n);

/* instance 0: by space and id. STATUS_NOT_FOUND: also what may not be seen. */
int view_find(const Manager *m, const struct viewer *viewer, uint32_t space, uint32_t id,
	uint64_t instance, EngineSegment **ret_segment);

/* The tail of SHOW_REPLY; the imports that fit. Returns where it ends. */
uint8_t *view_show(const EngineSegment *segment, uint8_t *at, const uint8_t *end,
	uint32_t *ret_n_access, uint32_t *ret_n_imports);
/* WIRE_SHOW_… */
uint32_t view_show_flags(void);

void view_status(const Manager *m, struct wire_node_status_reply *ret_status);

#endif
