/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_RSM_DEMO_H
#define EXAMPLES_RSM_DEMO_H

/* What exporter and importer of the demo agree on, besides the segment id and size on their command
 * lines: RSM tells an importer neither. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rsmapi.h>

/* The importer writes this back over the start of the segment. */
struct demo_result {
	char sha256[72]; /* of what it read, hexadecimal, NUL-terminated */
	uint64_t words;
};

static inline const char *rsm_text(int code)
{
	switch (code) {
	case RSM_SUCCESS:
		return "success";
	case RSMERR_CTLR_NOT_PRESENT:
		return "no such controller (does a causewayd run? ask `causeway doctor`)";
	case RSMERR_SEG_NOT_PUBLISHED:
		return "no segment is published under this id";
	case RSMERR_PERM_DENIED:
		return "the segment's rights do not allow this";
	case RSMERR_CONN_ABORTED:
		return "connection aborted: the exporter unpublished the segment or is gone";
	case RSMERR_BARRIER_FAILURE:
		return "the connection broke in the span: it is not known what arrived";
	case RSMERR_REMOTE_NODE_UNREACHABLE:
		return "the node does not answer";
	case RSMERR_TIMEOUT:
		return "time is over";
	default:
		return "see <sys/rsm/rsm_common.h>";
	}
}

/* Ends the program with a line that says what did not work. */
static inline void must(const char *who, const char *what, int code)
{
	if (code == RSM_SUCCESS)
		return;
	fprintf(stderr, "%s: %s failed with RSM error %d: %s\n", who, what, code, rsm_text(code));
	exit(1);
}

#endif
