/* SPDX-License-Identifier: Apache-2.0 */
/* The published segments of a node, asked of the daemon piece by piece. */
#include <stdlib.h>
#include <string.h>
#include <rsm/rsmapi_ext.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "client/connection.h"
#include "wire/status.h"

struct listing {
	rsm_ext_segment_t *segments;
	uint_t n, max;
};

static int append(struct listing *l, const struct wire_list_row *row)
{
	if (l->n == l->max) {
		uint_t max = MAX(16u, l->max * 2);
		rsm_ext_segment_t *grown = reallocarray(l->segments, max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->segments = grown;
		l->max = max;
	}
	l->segments[l->n] = (rsm_ext_segment_t){
		.node = row->node,
		.id = row->id,
		.size = row->size,
		.mode = row->mode,
		.pid = row->pid,
		.uid = row->uid,
		.gid = row->gid,
		.import_count = row->n_imports,
	};
	memcpy(l->segments[l->n].command, row->command, sizeof(row->command));
	l->n++;
	return 0;
}

static int append_rows(struct listing *l, const struct wire_message *m)
{
	const uint8_t *at = m->tail, *end = at + m->tail_size;

	for (uint32_t i = 0; i < m->list_reply.n; i++) {
		struct wire_list_row row;
		int r;

		at = wire_get_list_row(at, end, &row);
		if (!at)
			return STATUS_VERSION;
		r = row.state == WIRE_SEGMENT_PUBLISHED ? append(l, &row) : 0;
		if (r)
			return r;
	}
	return 0;
}

static int list(struct listing *l, uint32_t node)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	uint64_t cursor = 0;
	int r;

	if (!reply)
		return -ENOMEM;
	do {
		struct wire_message m = {.type = WIRE_LIST};

		m.list.space = WIRE_SPACE_RSM;
		m.list.cursor = cursor;
		m.list.node = node;
		r = cw_call(&m, NULL, 0, reply);
		if (!r)
			r = append_rows(l, &reply->message);
		if (r)
			return r;
		/* a daemon that does not get on must not keep us here for ever */
		if (reply->message.list_reply.next && reply->message.list_reply.next <= cursor)
			return STATUS_VERSION;
		cursor = reply->message.list_reply.next;
	} while (cursor);
	return 0;
}

RSM_API int rsm_ext_list_node_segments(
	rsm_node_id_t node, rsm_ext_segment_t **segments, uint_t *segment_count)
{
	struct listing l = {0};
	int r;

	if (!segments || !segment_count)
		return RSMERR_BAD_ADDR;
	r = list(&l, node);
	if (r) {
		free(l.segments);
		return rsm_code(r, ABOUT_CONTROLLER);
	}
	*segments = l.segments;
	*segment_count = l.n;
	return RSM_SUCCESS;
}

RSM_API int rsm_ext_list_segments(rsm_ext_segment_t **segments, uint_t *segment_count)
{
	return rsm_ext_list_node_segments(0, segments, segment_count);
}

RSM_API void rsm_ext_free_segments(rsm_ext_segment_t *segments)
{
	free(segments);
}
