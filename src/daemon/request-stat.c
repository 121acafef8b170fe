/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <string.h>
#include "daemon/data.h"
#include "daemon/view.h"

/*
 * What goes through segments, added up: the counts in the client pages of exporters and importers,
 * which are claims of programs, and those of the data thread, for imports of other nodes. For
 * people to look at. Each is a read of some memory, so a packet covers only so many, and a segment
 * may need several.
 */

#define STAT_LOOKS 1024u /* segments and imports looked at for one packet */

static void fill_row(const EngineSegment *s, struct wire_stat_row *row)
{
	*row = (struct wire_stat_row){
		.instance = s->instance,
		.space = s->space,
		.node = engine_node(s->owner->engine),
		.id = s->id,
		.state = s->state,
		.pid = view_pid(s),
		.uid = s->uid,
		.n_imports = s->n_imports,
	};
	memcpy(row->command, view_command(s), sizeof(row->command));
}

static void add_import(Manager *m, const EngineImport *import, struct traffic *sum)
{
	const ManagerClient *client;

	if (import_is_guest(import)) {
		data_add_traffic(m, import, sum);
		return;
	}
	client = import->client->userdata;
	client_page_add_import(client->maps, import->index, sum);
}

/* Adds the imports from *cell on, as many as looks allow. *cell: where to go on, 0 at the end. */
static void add_imports(
	Manager *m, const EngineSegment *s, uint32_t *cell, uint32_t *looks, struct traffic *sum)
{
	for (uint32_t i = *cell; i < s->n_cells; i++, (*looks)++) {
		const EngineImport *import = idtable_get(&s->cells, i);

		if (*looks >= STAT_LOOKS) {
			*cell = i;
			return;
		}
		if (import)
			add_import(m, import, sum);
	}
	*cell = 0;
}

/* The next part of a segment; what belongs to no import is in the first one. */
static void count(Manager *m, const EngineSegment *s, uint32_t *cell, uint32_t *looks,
	struct wire_stat_row *row)
{
	const ManagerClient *owner = s->owner->userdata; /* NULL: of clshm */
	struct traffic sum = {0};

	fill_row(s, row);
	if (*cell == 0) {
		sum = manager_segment(s)->ended;
		if (owner)
			row->export_posts = client_page_export_posts(owner->maps, s->index);
		*cell = 1;
	}
	add_imports(m, s, cell, looks, &sum);
	row->puts = sum.puts;
	row->gets = sum.gets;
	row->put_bytes = sum.put_bytes;
	row->get_bytes = sum.get_bytes;
	row->import_posts = sum.posts;
}

int request_stat(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_stat *p = &q->message.stat;
	struct wire_stat_reply *answer = &a->message.stat_reply;
	Engine *engine = c->manager->engine;
	EngineSegment *s = p->cell ? engine_segment_find_instance(engine, p->cursor) : NULL;
	uint32_t cell = s ? p->cell : 0, looks = 0;
	uint64_t last = p->cursor;
	uint8_t *at = a->tail;

	if (!s)
		s = engine_segment_next(engine, last);
	while (s && looks < STAT_LOOKS) {
		uint32_t next_cell = cell;
		struct wire_stat_row row;
		uint8_t *next;

		looks++;
		if ((!p->space || s->space == p->space) && engine_segment_visible(s, c->engine)) {
			count(c->manager, s, &next_cell, &looks, &row);
			next = wire_put_stat_row(at, reply_tail_end(a), &row);
			if (!next)
				break;
			at = next;
			answer->n++;
		} else {
			next_cell = 0;
		}
		cell = next_cell;
		last = s->instance;
		if (!cell)
			s = engine_segment_next(engine, last);
	}
	answer->next = s ? last : 0;
	answer->next_cell = cell;
	reply_set_tail(a, at);
	return 0;
}
