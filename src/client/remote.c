/* SPDX-License-Identifier: Apache-2.0 */
#include "client/remote.h"

#include <byteswap.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "client/connect.h"
#include "client/route.h"
#include "fabric/ofi/ofi.h"

#define BOUNCE_SIZE 16384u

/* What this thread holds by a reference while it is in the path: a handler that interrupts it may
 * fork, and the child return from there. */
static __thread const struct cw_import *inside;

static int take_route(struct cw_remote *remote, const struct connection *connection)
{
	remote->route = connection->route;
	remote->path = connection->route->path;
	memcpy(remote->user.key.bytes, connection->got.key, FABRIC_KEY_SIZE);
	return fabric_path_add_user(remote->path, &remote->user);
}

int remote_new(
	const struct connection *connection, uint32_t controller, struct cw_remote **ret_remote)
{
	_cleanup_free_ struct cw_remote *remote = calloc(1, sizeof(*remote));
	int r = 0;

	if (!remote)
		return -ENOMEM;
	remote->incarnation = connection->got.incarnation;
	remote->rdma = controller == WIRE_CONTROLLER_OFI;
	remote->index = connection->got.import;
	if (connection->route)
		r = take_route(remote, connection);
	else
		remote->ended = STATUS_NOT_SUPPORTED;
	if (r)
		return r;
	*ret_remote = take_ptr(remote);
	return 0;
}

struct cw_route *remote_free(struct cw_remote *remote)
{
	struct cw_route *route;

	if (!remote)
		return NULL;
	route_leave(remote_free(remote->parents));
	route = remote->route;
	if (route && !route->abandoned)
		fabric_path_remove_user(remote->path, &remote->user);
	free(remote);
	return route;
}

/* RDMA */

static int take_offer(const struct wire_rdma_reply *p, struct ofi_offer *ret_offer)
{
	static_assert(sizeof(p->address) == OFI_ADDRESS_MAX, "part of the protocol");
	if (p->address_size > OFI_ADDRESS_MAX)
		return STATUS_VERSION;
	*ret_offer = (struct ofi_offer){
		.kind = p->kind,
		.endpoint = p->endpoint,
		.address_size = p->address_size,
		.key = p->key,
		.base = p->base,
		.size = p->size,
		.rights = p->rights,
	};
	memcpy(ret_offer->address, p->address, sizeof(p->address));
	memcpy(ret_offer->ticket, p->ticket, sizeof(p->ticket));
	return 0;
}

int remote_offer(void *userdata, const struct fabric_user *user, struct ofi_offer *ret_offer)
{
	const struct cw_remote *remote = container_of(user, struct cw_remote, user);
	struct wire_message m = {.type = WIRE_RDMA, .rdma.import = remote->index};
	_cleanup_free_ struct cw_reply *reply = NULL;
	struct cw_route *route = userdata;
	int r;

	if (!remote->rdma)
		return STATUS_NOT_SUPPORTED;
	reply = malloc(sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	r = cw_link_call(route->link, &m, NULL, 0, reply);
	return r ? r : take_offer(&reply->message.rdma_reply, ret_offer);
}

bool remote_is_inside(const struct cw_import *import)
{
	return inside == import;
}

/* going in and out */

static void hold(struct cw_import *import)
{
	atomic_fetch_add(&import->refs, 1);
	cw_leave();
}

/* The object to go on with, which is another one in a child that has connected anew. */
static int begin(struct cw_import *import, struct cw_remote **ret_remote)
{
	int r = cw_import_ready(import);

	if (unlikely(r))
		return r;
	*ret_remote = import->remote;
	r = atomic_load_explicit(&import->remote->ended, memory_order_relaxed);
	if (likely(!r))
		inside = import;
	return r;
}

static int end_unlikely(struct cw_remote *remote, int r)
{
	switch (r) {
	case STATUS_BAD_HANDLE: /* the home has forgotten the key, and why */
		r = STATUS_REVOKED;
		break;
	case STATUS_TIMED_OUT: /* the node lives, but nothing moves */
		route_report_stuck(remote->route);
		r = STATUS_NODE_LOST;
		break;
	case STATUS_REVOKED:
	case STATUS_NODE_LOST:
		break;
	default:
		return r;
	}
	atomic_store(&remote->ended, r);
	return r;
}

/* What the path's result means. */
static inline int end(struct cw_remote *remote, int r)
{
	inside = NULL;
	return likely(!r) ? 0 : end_unlikely(remote, r);
}

static void touch(struct cw_remote *remote)
{
	if (!atomic_load_explicit(&remote->touched, memory_order_relaxed))
		atomic_store_explicit(&remote->touched, true, memory_order_relaxed);
}

/* put and get */

static void swap_items(void *to, const void *from, size_t n, unsigned int width)
{
#define SWAP(bits)                                                                                 \
	for (size_t i = 0; i < n / (bits / 8); i++)                                                \
	((uint##bits##_t *)to)[i] = bswap_##bits(((const uint##bits##_t *)from)[i])

	switch (width) {
	case 2:
		SWAP(16);
		break;
	case 4:
		SWAP(32);
		break;
	case 8:
		SWAP(64);
		break;
	}
#undef SWAP
}

static bool must_swap(const struct cw_import *import, unsigned int width)
{
	return unlikely(import->foreign_endian) && width > 1;
}

static int put_swapped(struct cw_remote *remote, uint64_t off, const uint8_t *src, uint64_t n,
	unsigned int width, unsigned int flags)
{
	uint64_t bounce[BOUNCE_SIZE / 8];
	int r = 0;

	for (uint64_t at = 0; at < n && !r; at += BOUNCE_SIZE) {
		size_t piece = MIN(n - at, BOUNCE_SIZE);

		swap_items(bounce, src + at, piece, width);
		r = fabric_put(remote->path, &remote->user, off + at, bounce, piece, width, flags);
	}
	return r;
}

static int put_held(struct cw_import *import, uint64_t off, const void *src, uint64_t n,
	unsigned int width, unsigned int flags)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	if (r)
		return r;
	touch(remote);
	if (must_swap(import, width))
		r = put_swapped(remote, off, src, n, width, flags);
	else if (n)
		r = fabric_put(remote->path, &remote->user, off, src, n, width, flags);
	r = end(remote, r);
	if (likely(!r))
		cw_import_count(import, true, n);
	return r;
}

/* A put that is only collected: no need to hold the import. */
static bool put_at_once(
	struct cw_import *import, uint64_t off, const void *src, uint64_t n, unsigned int width)
{
	struct cw_remote *remote;

	if (unlikely(!cw_import_connected(import) || cw_link_suspect(import->link) ||
		     must_swap(import, width) || !n))
		return false;
	remote = import->remote;
	if (atomic_load_explicit(&remote->ended, memory_order_relaxed) ||
		fabric_put(remote->path, &remote->user, off, src, n, width,
			FABRIC_SPAN | FABRIC_AT_ONCE))
		return false;
	touch(remote);
	cw_import_count(import, true, n);
	return true;
}

int cw_remote_put(struct cw_import *import, uint64_t off, const void *src, uint64_t n,
	unsigned int width, bool span)
{
	int r;

	if (span && likely(put_at_once(import, off, src, n, width))) {
		cw_leave();
		return 0;
	}
	hold(import);
	r = put_held(import, off, src, n, width, span ? FABRIC_SPAN : 0);
	cw_import_put(import);
	return r;
}

static int get_held(
	struct cw_import *import, uint64_t off, void *dst, uint64_t n, unsigned int width)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	if (r)
		return r;
	touch(remote);
	if (n)
		r = fabric_get(remote->path, &remote->user, off, dst, n, width);
	r = end(remote, r);
	if (r)
		return r;
	if (must_swap(import, width))
		swap_items(dst, dst, n, width);
	cw_import_count(import, false, n);
	return 0;
}

int cw_remote_get(struct cw_import *import, uint64_t off, void *dst, uint64_t n, unsigned int width)
{
	int r;

	hold(import);
	r = get_held(import, off, dst, n, width);
	cw_import_put(import);
	return r;
}

static void count_pieces(
	const struct cw_import *import, bool put, const struct fabric_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cw_import_count(import, put, pieces[i].n);
}

int cw_remote_putv(struct cw_import *import, const struct fabric_piece *pieces, size_t n, bool span,
	size_t *ret_done)
{
	struct cw_remote *remote;
	int r;

	*ret_done = 0;
	r = begin(import, &remote);
	if (r)
		return r;
	touch(remote);
	r = end(remote, fabric_putv(remote->path, &remote->user, pieces, n, span ? FABRIC_SPAN : 0,
				ret_done));
	count_pieces(import, true, pieces, *ret_done);
	return r;
}

int cw_remote_getv(
	struct cw_import *import, const struct fabric_piece *pieces, size_t n, size_t *ret_done)
{
	struct cw_remote *remote;
	int r;

	*ret_done = 0;
	r = begin(import, &remote);
	if (r)
		return r;
	touch(remote);
	r = end(remote, fabric_getv(remote->path, &remote->user, pieces, n, ret_done));
	count_pieces(import, false, pieces, *ret_done);
	return r;
}

/* begun now, waited for later */

struct transfer {
	struct cw_import *import; /* a reference, so that the route stays */
	struct cw_remote *remote;
	struct fabric_started started;
	bool put;
	bool forked; /* the parent's */
	uint64_t n;
};

void remote_fork_child(void *transfer)
{
	((struct transfer *)transfer)->forked = true;
}

static int start_held(struct transfer *t, uint64_t off, void *local)
{
	int r = begin(t->import, &t->remote);

	if (r)
		return r;
	touch(t->remote);
	return end(t->remote, fabric_start(t->remote->path, &t->remote->user, t->put, off, local,
				      t->n, &t->started));
}

int cw_remote_start(struct cw_import *import, bool put, uint64_t off, void *local, uint64_t n,
	cw_handle *ret_handle)
{
	_cleanup_free_ struct transfer *t = calloc(1, sizeof(*t));
	cw_handle handle;
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct transfer){.import = import, .put = put, .n = n};
	/* first, since it can fail, and what was begun cannot be taken back */
	r = cw_handle_new(CW_TRANSFER, t, &handle);
	if (!r) {
		r = start_held(t, off, local);
		if (r)
			cw_handle_retire(handle);
	}
	if (r)
		return r;
	atomic_fetch_add(&import->refs, 1);
	*ret_handle = handle;
	take_ptr(t);
	return 0;
}

int cw_remote_finish(cw_handle handle, uint64_t timeout)
{
	struct transfer *t = cw_handle_peek(handle, CW_TRANSFER);
	int r;

	if (!t)
		return STATUS_BAD_HANDLE;
	if (t->forked) {
		/* as is its reference: the child's import has none of it */
		cw_handle_retire(handle);
		free(t);
		return STATUS_REVOKED;
	}
	r = fabric_finish(t->remote->path, &t->started, timeout);
	if (r == -EAGAIN)
		return r;
	r = end(t->remote, r);
	if (!r)
		cw_import_count(t->import, t->put, t->n);
	cw_handle_retire(handle);
	cw_import_put(t->import);
	free(t);
	return r;
}

/* order */

int cw_remote_order(struct cw_import *import)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	if (r)
		return r;
	r = fabric_order(remote->path, &remote->user);
	return end(remote, r ? r : atomic_load(&remote->user.status));
}

int cw_remote_collect(struct cw_import *import)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	return r ? r : end(remote, fabric_collect(remote->path, &remote->user));
}

void cw_remote_flush(struct cw_import *import)
{
	struct cw_remote *remote;

	if (begin(import, &remote) == 0)
		(void)end(remote, fabric_flush(remote->path));
}

void remote_settle(struct cw_import *import)
{
	/* what waits for a new connection is not waited for here */
	if (!import->forked && import->remote->route &&
		!atomic_load(&import->remote->route->repairing))
		(void)cw_remote_order(import);
}

/* signals and atomics */

int remote_signal(struct cw_import *import, bool accumulate)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	return r ? r : end(remote, fabric_signal(remote->path, &remote->user, accumulate));
}

int remote_fetch_add(struct cw_import *import, uint64_t off, unsigned int width, uint64_t value,
	uint64_t *ret_old)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	return r ? r
		 : end(remote, fabric_fetch_add(
				       remote->path, &remote->user, off, width, value, ret_old));
}

int remote_compare_swap(struct cw_import *import, uint64_t off, unsigned int width,
	uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	struct cw_remote *remote;
	int r = begin(import, &remote);

	return r ? r
		 : end(remote, fabric_compare_swap(remote->path, &remote->user, off, width,
				       expected, value, ret_old));
}
