/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <config.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/parse.h"
#include "wire/status.h"

/* Questions about the node and its segments. */

#define LIST_LOOKS 4096u /* segments looked at for one packet */

int request_ping(ManagerClient *c, struct request *q, struct reply *a)
{
	return 0;
}

/* "<type><unit>": the unit is the digits at the end. */
static size_t type_length(const char *name)
{
	size_t n = strlen(name);

	while (n > 0 && isdigit((unsigned char)name[n - 1]))
		n--;
	return n;
}

static bool is_alias(const char *words, const char *type, size_t length)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == length && n > 0 && !strncasecmp(words, type, n))
			return true;
		words += n;
		words += strspn(words, " ");
	}
	return false;
}

int request_controller(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_controller_reply *p = &a->message.controller_reply;
	const char *name = q->message.controller.name;
	const char *aliases = c->manager->options.config->controller_alias;
	size_t length = type_length(name);

	/* An alias needs a unit, loopback's does not matter. */
	if (length != strlen("loopback") || strncasecmp(name, "loopback", length)) {
		if (!is_alias(aliases, name, length) || parse_u32(name + length, &p->unit) < 0)
			return STATUS_NO_CONTROLLER;
	}
	p->kind = WIRE_CONTROLLER_LOOPBACK;
	snprintf(p->name, sizeof(p->name), "loopback");
	return 0;
}

/* Loopback is never listed, and there are no peers. */
int request_topology(ManagerClient *c, struct request *q, struct reply *a)
{
	a->message.topology_reply.node = engine_node(c->manager->engine);
	return 0;
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
		.pid = (uint32_t)s->owner->identity.pid,
		.uid = s->uid,
		.gid = s->gid,
		.n_imports = s->n_imports,
		.n_access = s->n_access,
		.created = s->created,
	};
	memcpy(row->command, s->owner->identity.command, sizeof(row->command));
}

int request_list(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_list *p = &q->message.list;
	struct wire_list_reply *answer = &a->message.list_reply;
	Engine *engine = c->manager->engine;
	EngineSegment *s = engine_segment_next(engine, p->cursor);
	uint8_t *at = a->tail, *next;
	uint64_t last = p->cursor;

	for (uint32_t i = 0; s && i < LIST_LOOKS; i++, s = engine_segment_next(engine, last)) {
		if ((!p->space || s->space == p->space) && engine_segment_visible(s, c->engine)) {
			struct wire_list_row row;

			fill_row(s, &row);
			next = wire_put_list_row(at, reply_tail_end(a), &row);
			if (!next)
				break;
			at = next;
			answer->n++;
		}
		last = s->instance;
	}
	answer->next = s ? last : 0;
	reply_set_tail(a, at);
	return 0;
}

static int find_shown(ManagerClient *c, const struct wire_show *p, EngineSegment **ret_segment)
{
	Engine *engine = c->manager->engine;
	EngineSegment *s;

	if (p->instance)
		s = engine_segment_find_instance(engine, p->instance);
	else if (p->node && p->node != engine_node(engine))
		return STATUS_NODE_UNKNOWN;
	else
		s = engine_segment_find(engine, p->space, p->id);
	if (!s || !engine_segment_visible(s, c->engine))
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

int request_show(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_show_reply *answer = &a->message.show_reply;
	struct wire_list_row row;
	uint8_t *at, *next;
	EngineSegment *s;
	EngineImport *import;
	int r;

	r = find_shown(c, &q->message.show, &s);
	if (r)
		return r;
	fill_row(s, &row);
	at = wire_put_list_row(a->tail, reply_tail_end(a), &row);
	for (uint32_t i = 0; i < s->n_access; i++)
		at = wire_put_access(at, reply_tail_end(a), &s->access[i]);
	answer->n_access = s->n_access;
	/* As many as fit; how many there are is in the row. */
	list_for_each (import, &s->imports, link) {
		next = put_import(at, reply_tail_end(a), import);
		if (!next)
			break;
		at = next;
		answer->n_imports++;
	}
	if (geteuid() != 0)
		answer->flags |= WIRE_SHOW_ADVISORY;
	reply_set_tail(a, at);
	return 0;
}

int request_node_status(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_node_status_reply *p = &a->message.node_status_reply;
	Manager *m = c->manager;
	struct engine_counts counts = engine_counts(m->engine);

	*p = (struct wire_node_status_reply){
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
	if (m->options.embedded)
		p->flags |= WIRE_NODE_EMBEDDED;
	if (geteuid() == 0)
		p->flags |= WIRE_NODE_PRIVILEGED;
	if (m->uffd_device >= 0)
		p->flags |= WIRE_NODE_UFFD;
	snprintf(p->version, sizeof(p->version), "%s", CAUSEWAY_VERSION);
	return 0;
}
