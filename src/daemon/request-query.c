/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/parse.h"
#include "daemon/query.h"
#include "daemon/rdma.h"
#include "daemon/view.h"
#include "wire/status.h"

/* Questions about the node and its segments. */

int request_ping(ManagerClient *c, struct request *q, struct reply *a)
{
	uint32_t node = q->message.ping.node;

	return query_is_remote(c, node) ? query_begin(c, q, node) : 0;
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

static bool is_type(const char *name, size_t length, const char *type)
{
	return length == strlen(type) && !strncasecmp(name, type, length);
}

static int answer_controller(struct reply *a, uint32_t kind, uint32_t unit)
{
	struct wire_controller_reply *p = &a->message.controller_reply;

	p->kind = kind;
	p->unit = unit;
	if (kind == WIRE_CONTROLLER_TCP)
		snprintf(p->name, sizeof(p->name), "tcp%u", unit);
	else if (kind == WIRE_CONTROLLER_OFI)
		snprintf(p->name, sizeof(p->name), "ofi%u", unit);
	else
		snprintf(p->name, sizeof(p->name), "loopback");
	return 0;
}

/* An alias needs a unit, of which there is one; loopback's does not matter, nor does that of an
 * alias of loopback, which is all that a node without peers has. */
int request_controller(ManagerClient *c, struct request *q, struct reply *a)
{
	const char *name = q->message.controller.name;
	size_t length = type_length(name);
	bool rdma = rdma_kind(c->manager), ofi = rdma && is_type(name, length, "ofi");
	bool tcp = c->manager->peers && is_type(name, length, "tcp");
	uint32_t unit = 0;

	if (is_type(name, length, "loopback"))
		return answer_controller(a, WIRE_CONTROLLER_LOOPBACK, 0);
	if (parse_u32(name + length, &unit) < 0)
		return STATUS_NO_CONTROLLER;
	if (!is_alias(c->manager->options.config->controller_alias, name, length) && !tcp && !ofi)
		return STATUS_NO_CONTROLLER;
	if (!c->manager->peers)
		return answer_controller(a, WIRE_CONTROLLER_LOOPBACK, unit);
	if (unit != 0)
		return STATUS_NO_CONTROLLER;
	return answer_controller(a, rdma && !tcp ? WIRE_CONTROLLER_OFI : WIRE_CONTROLLER_TCP, 0);
}

int request_list(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_list *p = &q->message.list;
	struct wire_list_reply *answer = &a->message.list_reply;
	const struct viewer viewer = {.client = c->engine};

	if (query_is_remote(c, p->node))
		return query_begin(c, q, p->node);
	reply_set_tail(a, view_list(c->manager, &viewer, p->space, p->cursor, a->tail,
				  reply_tail_end(a), &answer->next, &answer->n));
	return 0;
}

int request_show(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_show *p = &q->message.show;
	struct wire_show_reply *answer = &a->message.show_reply;
	const struct viewer viewer = {.client = c->engine};
	EngineSegment *s;
	int r;

	if (query_is_remote(c, p->node))
		return query_begin(c, q, p->node);
	r = view_find(c->manager, &viewer, p->space, p->id, p->instance, &s);
	if (r)
		return r;
	reply_set_tail(
		a, view_show(s, a->tail, reply_tail_end(a), &answer->n_access, &answer->n_imports));
	answer->flags = view_show_flags();
	return 0;
}

int request_node_status(ManagerClient *c, struct request *q, struct reply *a)
{
	uint32_t node = q->message.node_status.asked;

	if (query_is_remote(c, node))
		return query_begin(c, q, node);
	view_status(c->manager, &a->message.node_status_reply);
	return 0;
}
