/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

/*
 * What causeway stat shows: the counts of all segments at one moment, and the rates between two
 * such moments. A segment of another node has a row of its own if processes of this node have it
 * mapped.
 */

#include "base/cleanup.h"
#include "client/connection.h"

struct sample_row {
	struct wire_stat_row row; /* of another node's segment: space, node and id only */
	struct wire_coherent_row maps;
	bool foreign;
};

struct sample {
	uint64_t time; /* CLOCK_MONOTONIC */
	struct sample_row
		*rows; /* this node's by rising instance, then others' by node, instance */
	size_t n;
};

void sample_deinit(struct sample *s); /* may be used again */

/* space 0: all. Returns 0, or EXIT_FAILED after it said why. */
int sample_take(uint32_t space, uint32_t own, struct sample *ret_sample);

/* The rates of now's segments a second, rounded up; all that a new one counted was in between.
 * *ret_total: their sum. rates is empty and has room for now's rows. */
void sample_rates(const struct sample *before, const struct sample *now, struct sample *rates,
	struct sample_row *ret_total);

/* Pages with content that have come and gone. */
static inline uint64_t sample_moves(const struct sample_row *row)
{
	return row->maps.pages_in + row->maps.pages_out;
}

#endif
