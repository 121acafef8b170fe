/* SPDX-License-Identifier: Apache-2.0 */
#include "client/route.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "client/remote.h"
#include "fabric/ofi/ofi.h"
#include "wire/status.h"

#define SPAN_BUFFER	16384u
#define SPAN_BUFFER_MAX (1u << 20)
#define SLICE_OPEN	(20 * NSEC_PER_MSEC)
#define NO_GENERATION	UINT32_MAX /* none ever is all ones */
#define AGAIN		1000	   /* of our own, beside every status: the stream broke at once */

static struct {
	pthread_mutex_t lock;
	struct list routes;
	uint64_t serial;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .routes = {&all.routes, &all.routes}};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

/* How many routes there are: nobody looks for what to flush where there are none. */
static _Atomic uint32_t n_routes;

/* the word in the status page */

static const _Atomic uint64_t *route_word(const struct cw_route *route, uint32_t index)
{
	return &route->link->status_page->routes[index];
}

/* Why there is nothing to wait for any more; 0: there is. */
static int route_over(const struct cw_route *route, uint32_t index)
{
	uint32_t state = (uint32_t)atomic_load(route_word(route, index));

	if (state != WIRE_ROUTE_OPENING && state != WIRE_ROUTE_OPEN)
		return STATUS_NODE_LOST;
	return cw_link_suspect(route->link) && cw_link_is_lost(route->link) ? STATUS_NODE_LOST : 0;
}

int route_sleep(const _Atomic uint64_t *word, uint32_t state, uint64_t ns)
{
	struct timespec ts = clock_timespec(ns);

	if (syscall(SYS_futex, wire_word_state(word), FUTEX_WAIT, state, &ts, NULL, 0) == 0)
		return 0;
	return errno == EINTR ? -EINTR : 0;
}

/* Until the daemon has opened another generation than this one: *ret_generation. */
static int await_generation(
	const struct cw_route *route, uint32_t index, uint32_t generation, uint32_t *ret_generation)
{
	const _Atomic uint64_t *word = route_word(route, index);
	uint64_t w;
	int r;

	for (;;) {
		w = atomic_load(word);
		if ((uint32_t)w == WIRE_ROUTE_OPEN && w >> 32 != generation) {
			*ret_generation = (uint32_t)(w >> 32);
			return 0;
		}
		r = route_over(route, index);
		if (r)
			return r;
		/* open already, and soon open again: in between it may not have been seen */
		route_sleep(word, (uint32_t)w,
			(uint32_t)w == WIRE_ROUTE_OPEN ? SLICE_OPEN : NSEC_PER_SEC);
	}
}

/* requests */

static int request_renew(
	const struct cw_route *route, uint32_t index, uint32_t generation, bool stuck)
{
	struct wire_message m = {.type = WIRE_ROUTE_RENEW};

	m.route_renew.route = index;
	m.route_renew.generation = generation;
	m.route_renew.stuck = stuck;
	return cw_link_post(route->link, &m);
}

/* The stream of the present generation. STATUS_WRONG_STATE: there is none yet. */
static int request_stream(
	const struct cw_route *route, uint32_t index, struct wire_route_reply *ret, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_ROUTE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.route.route = index;
	r = cw_link_call_for_fd(route->link, &m, reply);
	if (r)
		return r;
	*ret = reply->message.route_reply;
	*ret_fd = reply->fds[0];
	return 0;
}

/* The next stream after the one of this generation. */
static int next_stream(const struct cw_route *route, uint32_t index, uint32_t generation,
	struct wire_route_reply *ret, int *ret_fd)
{
	uint32_t opened;
	int r;

	for (;;) {
		r = await_generation(route, index, generation, &opened);
		if (r)
			return r;
		r = request_stream(route, index, ret, ret_fd);
		if (!r && ret->generation != generation)
			return 0;
		if (!r)
			fd_close(*ret_fd);
		else if (r != STATUS_WRONG_STATE)
			return r;
		/* that one is broken already, or it changes just now */
		r = request_renew(route, index, opened, false);
		if (r)
			return r;
		usleep(1000);
	}
}

/* what the path asks for */

static int check(void *userdata)
{
	const struct cw_route *route = userdata;

	return route_over(route, route->index);
}

static int renew(struct cw_route *route, FabricPath *path)
{
	uint32_t generation = atomic_load(&route->generation);
	struct wire_route_reply got;
	int fd, r;

	r = route_over(route, route->index);
	if (!r)
		r = request_renew(route, route->index, generation, false);
	if (!r)
		r = next_stream(route, route->index, generation, &got, &fd);
	if (r)
		return r;
	atomic_store(&route->generation, got.generation);
	r = fabric_path_resume(path, fd, got.done);
	if (r)
		fd_close(fd);
	return r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN ? AGAIN : r;
}

static int repair(void *userdata, FabricPath *path)
{
	struct cw_route *route = userdata;
	int r;

	atomic_store(&route->repairing, true);
	do
		r = renew(route, path);
	while (r == AGAIN);
	if (r)
		atomic_store(&route->dead, true);
	atomic_store(&route->repairing, false);
	if (!r || r == STATUS_NODE_LOST)
		return r;
	/* for want of memory or descriptors: the imports cannot go on, and shall know it */
	route_report_stuck(route);
	return STATUS_NODE_LOST;
}

void route_report_stuck(struct cw_route *route)
{
	atomic_store(&route->dead, true);
	if (!atomic_exchange(&route->stuck, true))
		(void)request_renew(route, route->index, atomic_load(&route->generation), true);
}

/* opening */

static bool may_spin(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

static size_t span_buffer(void)
{
	const char *s = secure_getenv("RSM_SPAN_BUFFER");
	uint64_t v;

	if (!s || parse_size(s, &v) < 0 || v > SPAN_BUFFER_MAX)
		v = SPAN_BUFFER;
	return v;
}

static int path_new(const struct cw_route *route, int fd, const struct fabric_path_options *options,
	FabricPath **ret_path)
{
	const struct ofi_path_options rdma = {.path = *options, .offer = remote_offer};

	return route->link->node.hello.flags & WIRE_HELLO_RDMA
		       ? ofi_path_new(fd, &rdma, ret_path)
		       : fabric_tcp_path_new(fd, options, ret_path);
}

static int open_locked(struct cw_route *route, uint32_t index)
{
	struct fabric_path_options options = {
		.check = check,
		.repair = repair,
		.userdata = route,
		.spin = may_spin(),
		.span_buffer = span_buffer(),
	};
	struct wire_route_reply got;
	FabricPath *path;
	int fd, r;

	r = next_stream(route, index, NO_GENERATION, &got, &fd);
	if (r)
		return r;
	route->index = index;
	atomic_store(&route->generation, got.generation);
	/* at the home an operation may wait for a page, for the detection time */
	options.stall = MAX(2 * got.detection, NSEC_PER_SEC);
	options.records = got.records;
	/* it has had another path: only where nodes are lost in the middle of connects */
	r = got.done || got.node != route->node ? STATUS_NODE_UNREACHABLE
						: path_new(route, fd, &options, &path);
	if (r) {
		fd_close(fd);
		return r;
	}
	atomic_store(&route->path, path);
	return 0;
}

/* Is the route with its path the one that the daemon means by index? */
static bool is_current(const struct cw_route *route, uint32_t index)
{
	uint64_t w = atomic_load(route_word(route, index));

	return !atomic_load(&route->dead) && route->index == index &&
	       (atomic_load(&route->repairing) || w >> 32 == atomic_load(&route->generation)) &&
	       !route_over(route, index);
}

/* STATUS_WRONG_STATE: it is over. */
static int open_claimed(struct cw_route *route, uint32_t index)
{
	int r = 0;

	pthread_mutex_lock(&route->lock);
	if (!atomic_load(&route->path) && !atomic_load(&route->dead))
		r = open_locked(route, index);
	else if (!is_current(route, index))
		r = STATUS_WRONG_STATE;
	if (r)
		atomic_store(&route->dead, true);
	pthread_mutex_unlock(&route->lock);
	return r;
}

int route_open(struct cw_route **route, uint32_t index)
{
	struct cw_route *other;
	int r;

	if (index >= WIRE_CLIENT_ROUTES)
		return STATUS_VERSION;
	while ((r = open_claimed(*route, index)) == STATUS_WRONG_STATE) {
		/* nobody gets it any more, so this is another one */
		r = route_claim((*route)->link, (*route)->node, &other);
		if (r)
			return r;
		route_leave(*route);
		*route = other;
	}
	return r;
}

/* the list */

void route_order_lock(void)
{
	pthread_mutex_lock(&order);
}

void route_order_unlock(void)
{
	pthread_mutex_unlock(&order);
}

static struct cw_route *route_new(struct cw_link *link, uint32_t node)
{
	struct cw_route *route = calloc(1, sizeof(*route));

	if (!route)
		return NULL;
	route->link = cw_link_ref(link);
	route->node = node;
	pthread_mutex_init(&route->lock, NULL);
	route->serial = ++all.serial;
	list_append(&all.routes, &route->all);
	atomic_fetch_add(&n_routes, 1);
	return route;
}

static struct cw_route *route_find(const struct cw_link *link, uint32_t node)
{
	struct cw_route *route;

	list_for_each (route, &all.routes, all)
		if (route->link == link && route->node == node && !atomic_load(&route->dead))
			return route;
	return NULL;
}

int route_claim(struct cw_link *link, uint32_t node, struct cw_route **ret_route)
{
	struct cw_route *route;

	pthread_mutex_lock(&all.lock);
	route = route_find(link, node);
	if (!route)
		route = route_new(link, node);
	if (route) {
		route->refs++;
		route->users++;
	}
	pthread_mutex_unlock(&all.lock);
	if (!route)
		return -ENOMEM;
	*ret_route = route;
	return 0;
}

static void route_put(struct cw_route *route, bool leave)
{
	bool last;

	pthread_mutex_lock(&all.lock);
	if (leave && --route->users == 0)
		atomic_store(&route->dead, true); /* whoever holds it for a moment still */
	last = --route->refs == 0;
	if (last)
		list_unlink(&route->all);
	pthread_mutex_unlock(&all.lock);
	if (!last)
		return;
	atomic_fetch_sub(&n_routes, 1);
	fabric_path_free(route->path);
	cw_link_put(route->link);
	pthread_mutex_destroy(&route->lock);
	free(route);
}

void route_leave(struct cw_route *route)
{
	if (route)
		route_put(route, true);
}

/* The first route behind this serial that has a path, with a reference. */
static struct cw_route *next_with_path(uint64_t serial)
{
	struct cw_route *route, *found = NULL;

	pthread_mutex_lock(&all.lock);
	list_for_each (route, &all.routes, all) {
		if (route->serial <= serial || route->abandoned || !atomic_load(&route->path))
			continue;
		found = route;
		route->refs++;
		break;
	}
	pthread_mutex_unlock(&all.lock);
	return found;
}

void route_flush_all(void)
{
	struct cw_route *route;
	uint64_t serial = 0;

	if (likely(!atomic_load_explicit(&n_routes, memory_order_relaxed)))
		return;
	while ((route = next_with_path(serial))) {
		serial = route->serial;
		(void)fabric_flush(route->path);
		route_put(route, false);
	}
}

/* fork */

void route_fork_prepare(void)
{
	pthread_mutex_lock(&order);
	pthread_mutex_lock(&all.lock);
}

void route_fork_parent(void)
{
	pthread_mutex_unlock(&all.lock);
	pthread_mutex_unlock(&order);
}

void route_fork_child(void)
{
	struct cw_route *route;

	list_for_each (route, &all.routes, all) {
		pthread_mutex_init(&route->lock, NULL);
		atomic_store(&route->dead, true);
		if (route->path && !route->abandoned)
			fabric_path_abandon(route->path);
		route->abandoned = true;
	}
	route_fork_parent();
}
