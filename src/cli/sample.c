/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sample.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/node.h"
#include "wire/status.h"

void sample_deinit(struct sample *s)
{
	free(s->rows);
	*s = (struct sample){0};
}

/* What is counted, wherever it is added or made a rate. */
static void each_count(struct sample_row *a, const struct sample_row *b,
	uint64_t (*f)(uint64_t a, uint64_t b, uint64_t data), uint64_t data)
{
#define EACH(field) a->field = f(a->field, b->field, data)
	EACH(row.puts);
	EACH(row.gets);
	EACH(row.put_bytes);
	EACH(row.get_bytes);
	EACH(row.import_posts);
	EACH(row.export_posts);
	EACH(maps.read_faults);
	EACH(maps.write_faults);
	EACH(maps.local_faults);
	EACH(maps.pages_in);
	EACH(maps.pages_out);
	EACH(maps.invalidated);
	EACH(maps.holds);
#undef EACH
}

static uint64_t add(uint64_t a, uint64_t b, uint64_t unused)
{
	return a + b;
}

/* fetching */

/* Room for n more rows. */
static int make_room(struct sample *s, uint32_t n)
{
	struct sample_row *rows;

	if (n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's counts are malformed: %u rows in one packet", n);
	rows = reallocarray(s->rows, s->n + n + 1, sizeof(*rows));
	if (!rows)
		return cli_fail("out of memory");
	s->rows = rows;
	return 0;
}

static int cut_short(uint32_t i)
{
	return cli_fail("the daemon's counts are malformed: row %u is cut short", i);
}

/* A segment with many imports comes in parts. */
static void take_row(struct sample *s, const struct wire_stat_row *row)
{
	const struct sample_row more = {.row = *row};

	if (s->n && s->rows[s->n - 1].row.instance == row->instance)
		each_count(&s->rows[s->n - 1], &more, add, 0);
	else
		s->rows[s->n++] = more;
}

static int take_rows(const struct cw_reply *reply, struct sample *s)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.stat_reply.n;
	struct wire_stat_row row;
	int r = make_room(s, n);

	for (uint32_t i = 0; !r && i < n; i++) {
		at = wire_get_stat_row(at, end, &row);
		if (!at)
			return cut_short(i);
		take_row(s, &row);
	}
	return r;
}

static int take_calls(uint32_t space, struct sample *s)
{
	struct wire_message request;
	struct cw_reply reply;
	uint32_t cell = 0;
	uint64_t cursor = 0;
	int r;

	do {
		request = (struct wire_message){.type = WIRE_STAT,
			.stat = {.space = space, .cell = cell, .cursor = cursor}};
		r = node_call(&request, "read the counts of the segments", &reply);
		if (!r)
			r = take_rows(&reply, s);
		if (r)
			return r;
		cursor = reply.message.stat_reply.next;
		cell = reply.message.stat_reply.next_cell;
	} while (cursor);
	return 0;
}

/* Of this node's segments the row is there, unless the segment is new. */
static void take_maps_row(struct sample *s, const struct wire_coherent_row *maps, uint32_t own)
{
	if (maps->node == own) {
		for (size_t i = 0; i < s->n; i++)
			if (!s->rows[i].foreign && s->rows[i].row.instance == maps->instance)
				s->rows[i].maps = *maps;
		return;
	}
	s->rows[s->n++] = (struct sample_row){.row = {.instance = maps->instance,
						      .space = maps->space,
						      .node = maps->node,
						      .id = maps->id,
						      .state = WIRE_SEGMENT_PUBLISHED},
		.maps = *maps,
		.foreign = true};
}

static int take_maps_rows(
	const struct cw_reply *reply, uint32_t space, uint32_t own, struct sample *s)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.coherent_stat_reply.n;
	struct wire_coherent_row maps;
	int r = make_room(s, n);

	for (uint32_t i = 0; !r && i < n; i++) {
		at = wire_get_coherent_row(at, end, &maps);
		if (!at)
			return cut_short(i);
		if (!space || maps.space == space)
			take_maps_row(s, &maps, own);
	}
	return r;
}

/* An older daemon has no maps of other nodes' memory. */
static int take_maps(uint32_t space, uint32_t own, struct sample *s)
{
	struct wire_message request;
	struct cw_reply reply;
	uint64_t cursor = 0;
	int r;

	do {
		request = (struct wire_message){
			.type = WIRE_COHERENT_STAT, .coherent_stat = {.cursor = cursor}};
		r = cw_call(&request, NULL, 0, &reply);
		if (r == STATUS_NOT_SUPPORTED)
			return 0;
		if (r)
			return cli_fail(
				"cannot read the counts of the maps: %s", node_result_text(r));
		r = take_maps_rows(&reply, space, own, s);
		if (r)
			return r;
		cursor = reply.message.coherent_stat_reply.next;
	} while (cursor);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct sample_row *x = a, *y = b;

	if (x->foreign != y->foreign)
		return x->foreign - y->foreign;
	if (x->row.node != y->row.node)
		return x->row.node < y->row.node ? -1 : 1;
	return x->row.instance < y->row.instance ? -1 : x->row.instance > y->row.instance;
}

int sample_take(uint32_t space, uint32_t own, struct sample *ret_sample)
{
	_cleanup_(sample_deinit) struct sample s = {.time = clock_now()};
	int r = take_calls(space, &s);

	if (!r)
		r = take_maps(space, own, &s);
	if (r)
		return r;
	if (s.n)
		qsort(s.rows, s.n, sizeof(*s.rows), compare);
	*ret_sample = s;
	s = (struct sample){0};
	return 0;
}

/* rates */

/* A second, rounded up, so that only nothing is 0. A count that went back began anew. */
static uint64_t rate(uint64_t now, uint64_t before, uint64_t ns)
{
	double v = now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
	uint64_t whole;

	if (v >= 1e19)
		return UINT64_MAX;
	whole = (uint64_t)v;
	return whole + ((double)whole < v);
}

void sample_rates(const struct sample *before, const struct sample *now, struct sample *rates,
	struct sample_row *ret_total)
{
	static const struct sample_row nothing;
	struct sample_row total = {0};
	uint64_t ns = MAX(now->time - before->time, 1u);

	for (size_t i = 0, old = 0; i < now->n; i++) {
		struct sample_row *row = &rates->rows[i];
		bool known;

		*row = now->rows[i];
		while (old < before->n && compare(&before->rows[old], row) < 0)
			old++;
		known = old < before->n && compare(&before->rows[old], row) == 0;
		each_count(row, known ? &before->rows[old] : &nothing, rate, ns);
		each_count(&total, row, add, 0);
		total.row.n_imports += row->row.n_imports;
	}
	rates->n = now->n;
	*ret_total = total;
}
