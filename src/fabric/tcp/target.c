/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target over TCP: its tables, and the data thread that gives each connection its turns. Errors
 * of one connection end that connection. While it has been busy the thread looks at the connection
 * that was last in use without asking epoll, for options.spin.
 */
#include "fabric/tcp/target.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/status.h"

#define EVENTS_MAX 32
#define LOOKS	   16u /* at the hot connection, for one at all others */

static struct tcp_target *tcp_target(FabricTarget *target)
{
	return container_of(target, struct tcp_target, base);
}

static struct connection *find(struct tcp_target *t, uint64_t number)
{
	struct connection *c;

	list_for_each (c, &t->connections[number % CONNECTION_BUCKETS], bucket)
		if (c->number == number)
			return c;
	return NULL;
}

/* Takes a connection out of the world; the data thread may still have an event of it. */
static void connection_end(struct tcp_target *t, struct connection *c)
{
	list_unlink(&c->ready);
	list_unlink(&c->halfway);
	list_unlink(&c->parked);
	list_unlink(&c->bucket);
	list_append(&t->over, &c->bucket);
	if (t->hot == c)
		t->hot = NULL;
	epoll_ctl(t->epoll, EPOLL_CTL_DEL, c->fd, NULL); /* others may have duplicates */
	c->fd = fd_close(c->fd);
	keys_forget(&t->keys, c->number);
}

static void free_over(struct tcp_target *t)
{
	struct connection *c, *next;

	list_for_each_safe (c, next, &t->over, bucket) {
		list_unlink(&c->bucket);
		free(c);
	}
}

static void tcp_target_free(FabricTarget *target)
{
	struct tcp_target *t = tcp_target(target);
	struct connection *c, *next;

	for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
		list_for_each_safe (c, next, &t->connections[i], bucket)
			connection_end(t, c);
	free_over(t);
	keys_deinit(&t->keys);
	fd_close(t->epoll);
	fd_close(t->wake);
	free(t);
}

/* --- the tables --- */

static int tcp_attach(FabricTarget *target, uint64_t number, int fd, _Atomic uint64_t *done)
{
	struct tcp_target *t = tcp_target(target);
	_cleanup_free_ struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->number = number;
	c->fd = fd;
	c->edge = fabric_tcp_is_encrypted(fd) ? EPOLLET : 0;
	event.events |= c->edge;
	c->done = done;
	c->said = atomic_load_explicit(done, memory_order_acquire);
	list_init(&c->ready);
	list_init(&c->halfway);
	list_init(&c->parked);
	gate_enter(&t->gate);
	if (!number)
		r = -EINVAL;
	else if (find(t, number))
		r = -EEXIST;
	else if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		r = negative_errno();
	else
		list_append(&t->connections[number % CONNECTION_BUCKETS],
			&((struct connection *)take_ptr(c))->bucket);
	gate_leave(&t->gate);
	return r;
}

static void tcp_detach(FabricTarget *target, uint64_t number)
{
	struct tcp_target *t = tcp_target(target);
	struct connection *c;

	gate_enter(&t->gate);
	c = find(t, number);
	if (c)
		connection_end(t, c);
	gate_leave(&t->gate);
}

static int tcp_grant(
	FabricTarget *target, const struct fabric_key *key, const struct fabric_region *region)
{
	struct tcp_target *t = tcp_target(target);
	int r;

	gate_enter(&t->gate);
	r = keys_add(&t->keys, key, region);
	gate_leave(&t->gate);
	return r;
}

static void wake(struct tcp_target *t)
{
	eventfd_write(t->wake, 1);
}

static void make_ready(struct tcp_target *t, struct connection *c)
{
	if (c->fd >= 0 && list_empty(&c->ready))
		list_append(&t->ready, &c->ready);
}

/* What the key means has changed: if it is what the connection waits for, it looks again. */
static void unpark(struct tcp_target *t, struct connection *c)
{
	if (!c || list_empty(&c->parked))
		return;
	make_ready(t, c);
	wake(t);
}

static void tcp_revoke(FabricTarget *target, const struct fabric_key *key)
{
	struct tcp_target *t = tcp_target(target);
	struct connection *c;
	struct key *k;

	gate_enter(&t->gate);
	k = keys_find(&t->keys, key);
	if (k) {
		c = find(t, k->region.connection);
		keys_revoke(&t->keys, k, c);
		unpark(t, c);
	}
	gate_leave(&t->gate);
}

static int tcp_set_coherent(FabricTarget *target, const struct fabric_key *key, void *coherent)
{
	struct tcp_target *t = tcp_target(target);
	struct key *k;

	gate_enter(&t->gate);
	k = keys_find(&t->keys, key);
	if (k) {
		k->region.coherent = coherent;
		unpark(t, find(t, k->region.connection));
	}
	gate_leave(&t->gate);
	return k ? 0 : -ENOENT;
}

/* By threads that the data thread may be waiting for: without the gate. */
static void tcp_retry(FabricTarget *target)
{
	struct tcp_target *t = tcp_target(target);

	if (!atomic_exchange(&t->retry, true))
		wake(t);
}

static int tcp_traffic(
	FabricTarget *target, const struct fabric_key *key, struct fabric_traffic *ret_traffic)
{
	struct tcp_target *t = tcp_target(target);
	const struct key *k;

	gate_enter(&t->gate);
	k = keys_find(&t->keys, key);
	if (k)
		*ret_traffic = k->traffic;
	gate_leave(&t->gate);
	return k ? 0 : -ENOENT;
}

/* --- the data thread --- */

/* False: epoll will not tell us of it any more. */
static bool watch(struct tcp_target *t, struct connection *c, enum awaited before)
{
	/* that the stream is over cannot be kept out: for who is parked it is told once */
	static const uint32_t events[] = {
		[AWAITS_INPUT] = EPOLLIN, [AWAITS_ROOM] = EPOLLOUT, [AWAITS_CLAIM] = EPOLLET};
	struct epoll_event event = {.events = events[c->awaits], .data.ptr = c};

	list_unlink(&c->parked);
	if (c->awaits == AWAITS_CLAIM)
		list_append(&t->parked, &c->parked);
	if (c->awaits == AWAITS_INPUT)
		event.events |= c->edge;
	return c->awaits == before || epoll_ctl(t->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0;
}

/* A frame that has begun must go on; but not while it is we who do not read. */
static void mind_deadline(struct tcp_target *t, struct connection *c, bool moved)
{
	bool halfway =
		c->awaits == AWAITS_INPUT && (c->state != INPUT_HEADER || c->in_begin != c->in_end);

	if (halfway && !moved && !list_empty(&c->halfway))
		return;
	list_unlink(&c->halfway);
	if (halfway) {
		list_append(&t->halfway, &c->halfway);
		c->since = clock_now();
	}
}

static void end(struct tcp_target *t, struct connection *c, const char *reason)
{
	uint64_t number = c->number;

	connection_end(t, c);
	t->ops->closed(t->userdata, number, reason);
}

static bool serve(struct tcp_target *t, struct connection *c)
{
	enum awaited before = c->awaits;
	const char *reason;
	int r = connection_turn(t, c, &reason);

	if (r < 0) {
		end(t, c, reason);
		return true;
	}
	if (!watch(t, c, before)) {
		end(t, c, "it cannot be watched");
		return true;
	}
	mind_deadline(t, c, r != TURN_IDLE);
	if (r == TURN_IDLE)
		return false;
	t->hot = c;
	if (r == TURN_MORE)
		list_append(&t->ready, &c->ready);
	return true;
}

/* One turn for each connection that is ready now. */
static bool serve_all(struct tcp_target *t)
{
	struct list now;
	bool busy = false;

	gate_return(&t->gate);
	list_init(&now);
	while (!list_empty(&t->ready)) {
		struct list *first = t->ready.next;

		list_unlink(first);
		list_append(&now, first);
	}
	while (!list_empty(&now)) {
		struct connection *c = list_entry(now.next, struct connection, ready);

		list_unlink(&c->ready);
		busy |= serve(t, c);
		if (list_empty(&now))
			break;
		gate_leave(&t->gate);
		gate_return(&t->gate);
	}
	gate_leave(&t->gate);
	return busy;
}

static void expire(struct tcp_target *t, uint64_t now)
{
	struct connection *c;

	gate_return(&t->gate);
	while ((c = list_first(&t->halfway, struct connection, halfway)) &&
		now - c->since >= t->options.frame_timeout)
		end(t, c, "the rest of a frame did not come in time");
	gate_leave(&t->gate);
}

static void look(struct tcp_target *t, int timeout)
{
	struct epoll_event events[EVENTS_MAX];
	struct connection *c;
	int n = epoll_wait(t->epoll, events, EVENTS_MAX, timeout);

	gate_return(&t->gate);
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr)
			make_ready(t, events[i].data.ptr);
		else
			eventfd_read(t->wake, &(eventfd_t){0});
	if (atomic_exchange(&t->retry, false))
		list_for_each (c, &t->parked, parked)
			make_ready(t, c);
	free_over(t);
	gate_leave(&t->gate);
}

/* ms until the first deadline, rounded up */
static int until_deadline(struct tcp_target *t, uint64_t now)
{
	const struct connection *c;
	uint64_t left = 0;

	gate_return(&t->gate);
	c = t->options.frame_timeout ? list_first(&t->halfway, struct connection, halfway) : NULL;
	if (c && now - c->since < t->options.frame_timeout)
		left = t->options.frame_timeout - (now - c->since);
	gate_leave(&t->gate);
	return c ? (int)MIN(left / NSEC_PER_MSEC + 1, 1000000u) : -1;
}

/* Gives the connection that was last in use a turn. */
static bool look_at_hot(struct tcp_target *t)
{
	gate_return(&t->gate);
	if (t->hot && t->hot->awaits == AWAITS_INPUT)
		make_ready(t, t->hot);
	gate_leave(&t->gate);
	return serve_all(t);
}

static void tcp_run(FabricTarget *target)
{
	struct tcp_target *t = tcp_target(target);
	uint64_t now = clock_now(), spin_until = 0;
	unsigned int looks = 0;
	bool busy = false;

	while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
		bool spin =
			now < spin_until && !atomic_load_explicit(&t->retry, memory_order_relaxed);

		if (!spin || ++looks % LOOKS == 0) {
			look(t, spin || busy ? 0 : until_deadline(t, now));
			busy = serve_all(t);
			if (t->options.frame_timeout)
				expire(t, clock_now());
		} else {
			busy = look_at_hot(t);
		}
		now = clock_now();
		if (busy)
			spin_until = now + t->options.spin;
	}
}

static void tcp_stop(FabricTarget *target)
{
	struct tcp_target *t = tcp_target(target);

	atomic_store(&t->stop, true);
	wake(t);
}

static const struct fabric_target_backend backend = {
	.free = tcp_target_free,
	.run = tcp_run,
	.stop = tcp_stop,
	.attach = tcp_attach,
	.detach = tcp_detach,
	.grant = tcp_grant,
	.revoke = tcp_revoke,
	.set_coherent = tcp_set_coherent,
	.retry = tcp_retry,
	.traffic = tcp_traffic,
};

static int open_descriptors(struct tcp_target *t)
{
	struct epoll_event event = {.events = EPOLLIN};

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return negative_errno();
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake < 0)
		return negative_errno();
	return epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->wake, &event) < 0 ? negative_errno() : 0;
}

int fabric_target_new(const struct fabric_target_options *options,
	const struct fabric_target_ops *ops, void *userdata, FabricTarget **ret_target)
{
	struct tcp_target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct tcp_target){.base.backend = &backend,
		.options = *options,
		.ops = ops,
		.userdata = userdata,
		.epoll = -1,
		.wake = -1};
	for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
		list_init(&t->connections[i]);
	list_init(&t->ready);
	list_init(&t->halfway);
	list_init(&t->parked);
	list_init(&t->over);
	keys_init(&t->keys);
	gate_init(&t->gate);
	r = open_descriptors(t);
	if (r) {
		tcp_target_free(&t->base);
		return r;
	}
	*ret_target = &t->base;
	return 0;
}
