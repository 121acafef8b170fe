/* SPDX-License-Identifier: Apache-2.0 */
#include "client/connect.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "wire/status.h"

static void request_disconnect(struct cw_link *link, uint32_t index)
{
	struct wire_message m = {.type = WIRE_IMPORT_DISCONNECT};

	m.import_disconnect.import = index;
	(void)cw_link_post(link, &m);
}

void connection_end(struct cw_link *link, bool known, uint32_t index, struct cw_route *route)
{
	if (route)
		route_order_lock();
	if (known)
		request_disconnect(link, index);
	if (route) {
		route_leave(route);
		route_order_unlock();
	}
}

static bool is_pending(const struct wire_import_connect_reply *got)
{
	return got->state == WIRE_IMPORT_PENDING;
}

static_assert(sizeof(struct wire_shm_inherit_reply) == sizeof(struct wire_import_connect_reply) &&
		      offsetof(struct wire_shm_inherit_reply, home_cell) ==
			      offsetof(struct wire_import_connect_reply, home_cell),
	"the answers are alike");

static int request(
	struct cw_link *link, struct wire_message *m, uint32_t rights, struct connection *c)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	r = cw_link_call(link, m, NULL, 0, reply);
	if (r)
		return r;
	c->got = reply->message.import_connect_reply;
	c->remote = is_pending(&c->got);
	if (reply->n_fds != (rights && !c->remote ? 1 : 0) ||
		c->got.import >= WIRE_CLIENT_IMPORTS) {
		fd_close_many(reply->fds, reply->n_fds);
		return STATUS_VERSION;
	}
	c->fd = reply->n_fds ? reply->fds[0] : -1;
	return 0;
}

static int request_connect(
	struct cw_link *link, const struct wire_import_connect *what, struct connection *c)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT, .import_connect = *what};

	return request(link, &m, what->rights, c);
}

/* Until the home has answered, or this node's daemon has given up on it. */
static int await_result(const struct cw_link *link, uint32_t index, bool interruptible)
{
	const _Atomic uint64_t *word = &link->status_page->imports[index];

	while ((uint32_t)atomic_load(word) == WIRE_IMPORT_PENDING) {
		if (cw_link_suspect(link) && cw_link_is_lost((struct cw_link *)link))
			return STATUS_NODE_LOST;
		if (route_sleep(word, WIRE_IMPORT_PENDING, NSEC_PER_SEC) == -EINTR && interruptible)
			return STATUS_INTERRUPTED;
	}
	return 0;
}

/* What became of a pending connect. *ret_known: whether the daemon still knows the import. */
static int request_result(
	struct cw_link *link, struct wire_import_connect_reply *got, bool *ret_known)
{
	struct wire_message m = {.type = WIRE_IMPORT_RESULT};
	_cleanup_free_ struct cw_reply *reply = calloc(1, sizeof(*reply));
	const struct wire_import_result_reply *p;
	int r;

	*ret_known = true;
	if (!reply)
		return -ENOMEM;
	m.import_result.import = got->import;
	r = cw_link_call(link, &m, NULL, 0, reply);
	fd_close_many(reply->fds, r ? 0 : reply->n_fds);
	if (r > 0 && reply->message.serial == m.serial && reply->message.status == (uint32_t)r) {
		*ret_known = r == STATUS_WRONG_STATE;
		/* here these are of the segment's node, which did not answer to the end */
		return r == STATUS_NODE_LOST || r == STATUS_TIMED_OUT ? STATUS_NODE_UNREACHABLE : r;
	}
	if (r)
		return r;
	p = &reply->message.import_result_reply;
	got->generation = p->generation;
	got->instance = p->instance;
	got->size = p->size;
	got->rights = p->rights;
	got->flags = p->flags;
	got->cell = p->cell;
	got->route = p->route;
	memcpy(got->key, p->key, sizeof(got->key));
	got->incarnation = p->incarnation;
	got->home_cell = p->home_cell;
	return 0;
}

/* Waits for the home, then for the route. The connection is ended on failure. */
static int finish_pending(struct cw_link *link, struct connection *c, bool interruptible)
{
	bool known = true;
	int r;

	do {
		r = await_result(link, c->got.import, interruptible);
		if (r)
			break;
		route_order_lock();
		r = request_result(link, &c->got, &known);
		if (!known)
			route_leave(take_ptr(c->route));
		route_order_unlock();
	} while (r == STATUS_WRONG_STATE);
	if (!r && c->route)
		r = c->got.route ? route_open(&c->route, c->got.route - 1) : STATUS_VERSION;
	if (r)
		connection_end(link, known, c->got.import, c->route);
	return r;
}

/* A segment of another node, or perhaps of this one, that needs no route. */
static int finish_mapped(struct cw_link *link, struct connection *c, bool interruptible)
{
	return c->remote ? finish_pending(link, c, interruptible) : 0;
}

static int connect_mapped(struct cw_link *link, const struct wire_import_connect *what,
	bool interruptible, struct connection *c)
{
	int r = request_connect(link, what, c);

	return r ? r : finish_mapped(link, c, interruptible);
}

int connection_inherit(struct cw_link *link, const struct wire_shm_inherit *what, uint32_t rights,
	struct connection *ret_connection)
{
	struct wire_message m = {.type = WIRE_SHM_INHERIT, .shm_inherit = *what};
	struct connection c = {.link = link, .fd = -1};
	int r = request(link, &m, rights, &c);

	if (!r)
		r = finish_mapped(link, &c, false);
	if (!r)
		*ret_connection = c;
	return r;
}

/* A segment that may be of another node: the route there is claimed together with the request. */
static int connect_by_route(struct cw_link *link, const struct wire_import_connect *what,
	bool interruptible, struct connection *c)
{
	int r;

	route_order_lock();
	r = route_claim(link, what->node, &c->route);
	if (!r) {
		r = request_connect(link, what, c);
		if (r || !is_pending(&c->got))
			route_leave(take_ptr(c->route));
	}
	route_order_unlock();
	return r || !c->route ? r : finish_pending(link, c, interruptible);
}

int connection_make(struct cw_link *link, const struct wire_import_connect *what,
	bool interruptible, struct connection *ret_connection)
{
	struct connection c = {.link = link, .fd = -1};
	bool here = !what->node || what->node == link->node.hello.node;
	int r;

	if (what->space == WIRE_SPACE_CLSHM) {
		r = connect_mapped(link, what, interruptible, &c);
		if (!r)
			*ret_connection = c;
		return r;
	}
	r = here ? request_connect(link, what, &c)
		 : connect_by_route(link, what, interruptible, &c);
	if (!r && c.remote && !c.route) {
		connection_end(link, true, c.got.import, NULL);
		return STATUS_VERSION;
	}
	if (!r)
		*ret_connection = c;
	return r;
}
