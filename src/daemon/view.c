/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/view.h"

#include <config.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/shm.h"
#include "daemon/data-tls.h"
#include "memory/watch.h"
#include "wire/shared.h"
#include "wire/status.h"

#define LIST_LOOKS 4096u /* segments looked at for one packet */

static bool is_visible(const EngineSegment *s, const struct viewer *viewer)
{
	if (viewer->client)
		return engine_segment_visible(s, viewer->client);
	return engine_segment_visible_from(s, viewer->node, &viewer->identity);
}

uint32_t view_pid(const EngineSegment *s)
{
	return (uint32_t)(s->shm ? s->shm->cpid : s->owner->identity.pid);
}

const char *view_command(const EngineSegment *s)
{
	return s->shm ? s->shm->command : s->owner->identity.command;
}

static void fill_row(const EngineSegment *s, struct wire_list_row *row)
{
	*row = (struct wire_list_row){
		.instance = s->instance,
		.space = s->space,
		.node = engine_node(s->owner->engine),
		.id = s->id,
		.state = s->state,
		.size = s->size,
		.mode = s->mode,
		.pid = view_pid(s),
		.uid = s->uid,
		.gid = s->gid,
		.n_imports = s->n_imports,
		.n_access = s->n_access,
		.created = s->created,
	};
	memcpy(row->command, view_command(s), sizeof(row->command));
}

uint8_t *view_list(const Manager *m, const struct viewer *viewer, uint32_t space, uint64_t cursor,
	uint8_t *at, const uint8_t *end, uint64_t *ret_next, uint32_t *ret_n)
{
	EngineSegment *s = engine_segment_next(m->engine, cursor);
	uint64_t last = cursor;
	uint32_t n = 0;

	for (uint32_t i = 0; s && i < LIST_LOOKS; i++, s = engine_segment_next(m->engine, last)) {
		if ((!space || s->space == space) && is_visible(s, viewer)) {
			struct wire_list_row row;
			uint8_t *next;

			fill_row(s, &row);
			next = wire_put_list_row(at, end, &row);
			if (!next)
				break;
			at = next;
			n++;
		}
		last = s->instance;
	}
	*ret_next = s ? last : 0;
	*ret_n = n;
	return at;
}

int view_find(const Manager *m, const struct viewer *viewer, uint32_t space, uint32_t id,
	uint64_t instance, EngineSegment **ret_segment)
{
	EngineSegment *s = instance ? engine_segment_find_instance(m->engine, instance)
				    : engine_segment_find(m->engine, space, id);

	if (!s || !is_visible(s, viewer))
		return STATUS_NOT_FOUND;
	*ret_segment = s;
	return 0;
}

static uint8_t *put_import(uint8_t *at, const uint8_t *end, const EngineImport *import)
{
	struct wire_show_import row = {
		.pid = (uint32_t)import->client->identity.pid,
		.uid = import->client->identity.uid,
		.rights = import->rights,
		.state = import->state,
	};

	memcpy(row.command, import->client->identity.command, sizeof(row.command));
	return wire_put_show_import(at, end, &row);
}

uint8_t *view_show(const EngineSegment *s, uint8_t *at, const uint8_t *end, uint32_t *ret_n_access,
	uint32_t *ret_n_imports)
{
	struct wire_list_row row;
	EngineImport *import;
	uint32_t n = 0;
	uint8_t *next;

	fill_row(s, &row);
	at = wire_put_list_row(at, end, &row);
	for (uint32_t i = 0; i < s->n_access; i++)
		at = wire_put_access(at, end, &s->access[i]);
	*ret_n_access = s->n_access;
	/* how many there are is in the row */
	list_for_each (import, &s->imports, link) {
		next = put_import(at, end, import);
		if (!next)
			break;
		at = next;
		n++;
	}
	*ret_n_imports = n;
	return at;
}

uint32_t view_show_flags(void)
{
	return geteuid() == 0 ? 0 : WIRE_SHOW_ADVISORY;
}

void view_status(const Manager *m, struct wire_node_status_reply *ret_status)
{
	struct engine_counts counts = engine_counts(m->engine);
	struct wire_node_status_reply p = {
		.node = engine_node(m->engine),
		.daemon_pid = (uint32_t)getpid(),
		.keeper_pid = (uint32_t)m->keeper_pid,
		.uid = geteuid(),
		.n_clients = counts.n_clients,
		.n_segments = counts.n_segments,
		.n_imports = counts.n_imports,
		.restarts = m->node_page->starts - 1,
		.bytes = counts.bytes,
		.incarnation = journal_incarnation(m->journal),
		.started = journal_started(m->journal),
	};
	const char *no_maps;

	if (m->options.embedded)
		p.flags |= WIRE_NODE_EMBEDDED;
	if (geteuid() == 0)
		p.flags |= WIRE_NODE_PRIVILEGED;
	if (m->uffd_device >= 0)
		p.flags |= WIRE_NODE_UFFD;
	if (data_tls_kernel_can())
		p.flags |= WIRE_NODE_TLS;
	if (m->options.config->data_encryption)
		p.flags |= WIRE_NODE_ENCRYPT;
	no_maps = watch_impossible(m->uffd_device);
	if (no_maps)
		snprintf(p.no_maps, sizeof(p.no_maps), "%s", no_maps);
	else
		p.flags |= WIRE_NODE_MAPS;
	snprintf(p.version, sizeof(p.version), "%s", CAUSEWAY_VERSION);
	*ret_status = p;
}
