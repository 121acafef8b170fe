/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SEGMENT_PAGES_H
#define CLI_SEGMENT_PAGES_H

/* Which node has which page of a segment of this node, drawn or as JSON. */

#include <json-c/json.h>
#include <stdint.h>

struct segment_pages {
	uint64_t n_pages;
	struct wire_owner_run *runs;
	size_t n;
};

/* Returns 0, or EXIT_FAILED after it said what is wrong. */
int segment_pages_get(uint64_t instance, struct segment_pages *ret_pages);
void segment_pages_deinit(struct segment_pages *pages);

/* home: this node's number */
void segment_pages_print(const struct segment_pages *pages, uint32_t home);
struct json_object *segment_pages_json(const struct segment_pages *pages);

#endif
