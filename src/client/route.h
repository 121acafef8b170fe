/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_ROUTE_H
#define CLIENT_ROUTE_H

/*
 * Routes: the data connection of this process to one home, shared by all its imports there. The
 * daemons open it and open it anew when it broke; the path over it (fabric.h) says again what was
 * not done. Private to the client library.
 *
 * Who connects claims the route first and opens its path when the daemon has told which one it is;
 * who is done leaves it. The daemon has the route as long as it has an import of ours there, and
 * gives its connection away for good: so what makes the daemon begin or end an import goes to it
 * under route_order_lock(), together with the claim or leave. Otherwise a connection could be taken
 * for a new one that has had another path.
 *
 * Locks: an import's, the order's, a route's, the list's, the link's. Thread safe.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"
#include "client/link.h"
#include "fabric/fabric.h"

struct cw_route {
	struct list all;      /* under the list's lock */
	uint32_t refs, users; /* under the list's lock; those who have claimed it */
	uint64_t serial;      /* in the order of the list */
	struct cw_link *link;
	uint32_t node;
	_Atomic bool dead;	     /* for good; nobody claims it any more */
	bool abandoned;		     /* of the parent process */
	pthread_mutex_t lock;	     /* who opens it */
	FabricPath *_Atomic path;    /* NULL: not opened yet */
	uint32_t index;		     /* at the daemon; as long as there is a path */
	_Atomic uint32_t generation; /* of the stream that the path has */
	_Atomic bool repairing;
	_Atomic bool stuck; /* the daemon was told so */
};

void route_order_lock(void);
void route_order_unlock(void);

/* The route to a node, which may have a path already. -ENOMEM. */
int route_claim(struct cw_link *link, uint32_t node, struct cw_route **ret_route);
/* Makes sure of a path over the daemon's route of this index. The claimed route is exchanged for
 * another one if it turns out to be over. Without the lock. STATUS_NODE_LOST, STATUS_NO_RESOURCES …
 */
int route_open(struct cw_route **route, uint32_t index);
/* NULL is fine. */
void route_leave(struct cw_route *route);

/* The path ended because nothing moved: the daemon ends all imports of the route. */
void route_report_stuck(struct cw_route *route);

/* Sends what the spans of all routes have collected; without waiting for anything. */
void route_flush_all(void);

/* Sleeps until the low half of a word of the status page is not state any more, but not for more
 * than a time. -EINTR: a signal handler ran. */
int route_sleep(const _Atomic uint64_t *word, uint32_t state, uint64_t ns);

/* fork: in the child no route has a connection any more. */
void route_fork_prepare(void);
void route_fork_parent(void);
void route_fork_child(void);

#endif
