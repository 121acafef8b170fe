/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_REMOTE_H
#define CLIENT_REMOTE_H

/*
 * What an import of another node's segment does where a local one copies memory: it has a key at
 * the home and shares the route there (route.h) with the other imports of this process.
 *
 * Results are those of the path: 0; STATUS_REVOKED and STATUS_NODE_LOST, which are for good and
 * remembered; STATUS_BROKEN, of one operation; a negative errno of ours. Rights and ranges are the
 * caller's to check. Thread safe.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include "client/import.h"
#include "fabric/fabric.h"

struct connection;
struct cw_route;
struct ofi_offer;

struct cw_remote {
	struct cw_route *route; /* NULL: it is mapped, and nothing else (clshm) */
	FabricPath *path;	/* the route's */
	struct fabric_user user;
	_Atomic int ended;	   /* why nothing goes any more; 0: it does */
	_Atomic bool touched;	   /* by put or get, since the last unmap */
	bool rdma;		   /* its controller is one of RDMA */
	uint32_t index;		   /* at the daemon */
	uint64_t incarnation;	   /* of the segment's node */
	struct cw_remote *parents; /* in a forked child that has connected anew: somebody may still
				      return into a call on it */
};

/*
 * One put or get of n bytes; width: 0, or that of the elements, in the order of this machine. The
 * caller has entered the import; here it is left, and held by a reference instead, before anything
 * can sleep. span: a put is not waited for, and a failure shows at cw_remote_collect().
 */
CW_EXPORT int cw_remote_put(struct cw_import *import, uint64_t off, const void *src, uint64_t n,
	unsigned int width, bool span);
CW_EXPORT int cw_remote_get(
	struct cw_import *import, uint64_t off, void *dst, uint64_t n, unsigned int width);

/* The caller of all below has a reference, and has not entered anything. */

/* *ret_done: pieces carried out, from the first, also on failure. */
CW_EXPORT int cw_remote_putv(struct cw_import *import, const struct fabric_piece *pieces, size_t n,
	bool span, size_t *ret_done);
CW_EXPORT int cw_remote_getv(
	struct cw_import *import, const struct fabric_piece *pieces, size_t n, size_t *ret_done);

/* A put or get of bytes that is begun now and waited for later: *ret_handle. What is at local stays
 * as it is until cw_remote_finish() has returned anything but -EAGAIN (still under way after
 * timeout ns; UINT64_MAX: no limit). One thread at a time; the handle ends with the result. */
CW_EXPORT int cw_remote_start(struct cw_import *import, bool put, uint64_t off, void *local,
	uint64_t n, cw_handle *ret_handle);
/* STATUS_BAD_HANDLE; STATUS_REVOKED in a forked child, too. */
CW_EXPORT int cw_remote_finish(cw_handle handle, uint64_t timeout);

/* Waits until all that was begun is done; how it went stays to be collected. */
CW_EXPORT int cw_remote_order(struct cw_import *import);
/* The same, and the first failure since the last collect. */
CW_EXPORT int cw_remote_collect(struct cw_import *import);
/* Sends what a span has collected. */
CW_EXPORT void cw_remote_flush(struct cw_import *import);

/* Wakes the exporter, after the data. */
int remote_signal(struct cw_import *import, bool accumulate);

int remote_fetch_add(struct cw_import *import, uint64_t off, unsigned int width, uint64_t value,
	uint64_t *ret_old);
int remote_compare_swap(struct cw_import *import, uint64_t off, unsigned int width,
	uint64_t expected, uint64_t value, uint64_t *ret_old);

/* For import.c. The connection's route is the object's on success. controller: enum
 * wire_controller_kind. */
int remote_new(
	const struct connection *connection, uint32_t controller, struct cw_remote **ret_remote);
/* Frees it and what it has of the parent; returns the route, to be left. NULL is fine. */
struct cw_route *remote_free(struct cw_remote *remote);
/* For route.c: what its path asks for of the user of a remote import; ofi_path_options.offer. */
int remote_offer(void *route, const struct fabric_user *user, struct ofi_offer *ret_offer);
/* Before the end: what was begun is done, or cannot be. */
void remote_settle(struct cw_import *import);
/* In a forked child: is its thread inside of a call on this import? */
bool remote_is_inside(const struct cw_import *import);
/* In a forked child, for each transfer: it is the parent's. */
void remote_fork_child(void *transfer);

#endif
