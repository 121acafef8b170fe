/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer-link-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15 */
#endif

#define LINGER	      (2 * NSEC_PER_SEC)
#define LINGERING_MAX 64u

static struct list lingering = {&lingering, &lingering};
static unsigned int n_lingering;

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_again(sd_event_source *source, void *userdata);
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* What is lost is sent again soon, however often: a cable that is joined within the detection time
 * shall not be found cut because TCP pauses longer and longer. */
static void tune_pauses(int fd, unsigned int stall_ms)
{
	static const char plain[] = "reno"; /* bbr would never count as a thin stream */
	unsigned int longest = MAX(stall_ms / 6, 1000u); /* the kernel's least */
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof(plain) - 1);
	setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &longest, sizeof(longest));
}

static void tune(int fd, uint64_t stall)
{
	unsigned int ms = (unsigned int)(stall / NSEC_PER_MSEC);
	int on = 1, idle = MAX((int)(stall / NSEC_PER_SEC / 2), 1), interval = 1, count = 3;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	tune_pauses(fd, ms);
}

/* The loop */

int peer_link_loop_result(int r)
{
	return r == -ESTALE ? 0 : r;
}

int peer_link_set_timer(PeerLink *l, uint64_t timeout)
{
	int r = sd_event_source_set_time_relative(l->timer, timeout / NSEC_PER_USEC);

	if (r >= 0)
		r = sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
	return peer_link_loop_result(r);
}

void peer_link_stop_timer(PeerLink *l)
{
	sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
}

int peer_link_wait_for(PeerLink *l, uint32_t events)
{
	int r;

	if (events == l->events)
		return 0;
	r = peer_link_loop_result(sd_event_source_set_io_events(l->io, events));
	if (r == 0)
		l->events = events;
	return r;
}

/* Life */

static void drop_connection(PeerLink *l)
{
	l->io = sd_event_source_disable_unref(l->io);
	peer_tls_free(l->tls);
	l->tls = NULL;
	l->fd = fd_close(l->fd);
}

static void destroy(PeerLink *l)
{
	drop_connection(l);
	sd_event_source_disable_unref(l->again);
	sd_event_source_disable_unref(l->timer);
	if (!list_empty(&l->link)) {
		list_unlink(&l->link);
		n_lingering--;
	}
	explicit_bzero(l->key, sizeof(l->key));
	free(l->out);
	free(l);
}

void peer_link_free(PeerLink *l)
{
	if (!l)
		return;
	l->dead = true;
	if (l->busy == 0)
		destroy(l);
}

static void leave(PeerLink *l)
{
	if (--l->busy == 0 && l->dead)
		destroy(l);
}

static int link_new(const struct peer_link_options *options, PeerLink **ret_link)
{
	PeerLink *l = malloc(sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	memset(l, 0, offsetof(PeerLink, in));
	l->options = *options;
	l->fd = -1;
	list_init(&l->link);
	r = sd_event_add_time_relative(
		options->event, &l->timer, CLOCK_MONOTONIC, 0, 1, on_timer, l);
	if (r == 0)
		r = sd_event_add_defer(options->event, &l->again, on_again, l);
	if (r == 0)
		r = sd_event_source_set_enabled(l->again, SD_EVENT_OFF);
	if (r < 0) {
		destroy(l);
		return r;
	}
	*ret_link = l;
	return 0;
}

/* Ends */

/* The owner frees it, now or later; nothing happens until then. */
static void report(PeerLink *l, int error)
{
	if (l->dead)
		return;
	if (l->phase == PHASE_LINGER) {
		peer_link_free(l);
		return;
	}
	l->io = sd_event_source_disable_unref(l->io);
	sd_event_source_set_enabled(l->again, SD_EVENT_OFF);
	peer_link_stop_timer(l);
	l->options.ops->closed(l->options.userdata, l, error);
}

/* Refused is only said if all refused; that keys differ is worth more than that others failed. */
static int worse_error(int old, int new)
{
	if (old == 0 || new == -EACCES)
		return new;
	return old == -ECONNREFUSED ? new : old;
}

static int watch(PeerLink *l, uint32_t events)
{
	l->events = events;
	return sd_event_add_io(l->options.event, &l->io, l->fd, events, on_io, l);
}

/* Dialling */

static int begin_connect(PeerLink *l, const struct peer_address *a)
{
	l->fd = socket(a->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return negative_errno();
	tune(l->fd, l->options.stall);
	if (connect(l->fd, (const struct sockaddr *)&a->address, a->length) < 0 &&
		errno != EINPROGRESS)
		return negative_errno();
	l->phase = PHASE_CONNECT;
	return watch(l, EPOLLOUT);
}

static void try_next(PeerLink *l, int error)
{
	int r;

	if (error < 0)
		l->error = worse_error(l->error, error);
	while (l->next < l->n_addresses) {
		drop_connection(l);
		r = begin_connect(l, &l->addresses[l->next++]);
		if (r == 0)
			r = peer_link_set_timer(l, l->options.timeout);
		if (r == 0)
			return;
		l->error = worse_error(l->error, r);
	}
	report(l, l->error);
}

/* An attempt, or an arrived connection, came to nothing. */
static void fail(PeerLink *l, int error)
{
	if (l->phase < PHASE_READY && l->n_addresses > 0)
		try_next(l, error);
	else
		report(l, error);
}

static void handshake(PeerLink *l)
{
	int r = peer_tls_handshake(l->tls);

	if (r == -EAGAIN) {
		r = peer_link_wait_for(l, peer_tls_wants_write(l->tls) ? EPOLLOUT : EPOLLIN);
		if (r < 0)
			fail(l, r);
		return;
	}
	if (r == 0)
		r = peer_link_wait_for(l, EPOLLIN);
	if (r < 0)
		return fail(l, r);
	l->phase = PHASE_READY;
	l->peer = peer_tls_peer(l->tls);
	l->awaiting = l->n_addresses > 0;
	l->options.ops->ready(l->options.userdata, l);
}

static void connected(PeerLink *l)
{
	socklen_t size = sizeof(int);
	int error, r;

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error)
		return fail(l, -error);
	r = peer_tls_new_dialler(l->fd, l->options.self, l->peer, l->key, &l->tls);
	if (r < 0)
		return fail(l, r);
	l->phase = PHASE_HANDSHAKE;
	handshake(l);
}

int peer_link_dial(const struct peer_link_options *options, uint32_t peer,
	const uint8_t key[PEER_KEY_SIZE], const struct peer_address *addresses,
	unsigned int n_addresses, PeerLink **ret_link)
{
	PeerLink *l;
	int r;

	r = link_new(options, &l);
	if (r < 0)
		return r;
	l->peer = peer;
	memcpy(l->key, key, sizeof(l->key));
	l->n_addresses = MIN(n_addresses, PEER_LINK_ADDRESSES);
	memcpy(l->addresses, addresses, l->n_addresses * sizeof(*addresses));
	*ret_link = l;
	return 0;
}

int peer_link_accept(const struct peer_link_options *options, int fd, peer_tls_find_key find_key,
	void *find_userdata, PeerLink **ret_link)
{
	_cleanup_(peer_link_free_p) PeerLink *l = NULL;
	int r;

	r = link_new(options, &l);
	if (r < 0)
		return r;
	peer_link_stop_timer(l);
	l->addresses[0].length = sizeof(l->addresses[0].address);
	if (getpeername(fd, (struct sockaddr *)&l->addresses[0].address, &l->addresses[0].length) <
		0)
		return negative_errno();
	r = peer_tls_new_acceptor(fd, options->self, find_key, find_userdata, &l->tls);
	if (r < 0)
		return r;
	tune(fd, options->stall);
	l->phase = PHASE_HANDSHAKE;
	l->fd = fd;
	r = watch(l, EPOLLIN);
	if (r < 0) {
		l->fd = -1;
		return r;
	}
	*ret_link = take_ptr(l);
	return 0;
}

void peer_link_set_owner(PeerLink *l, const struct peer_link_ops *ops, void *userdata)
{
	l->options.ops = ops;
	l->options.userdata = userdata;
}

uint32_t peer_link_peer(const PeerLink *l)
{
	return l->phase < PHASE_READY && l->tls ? peer_tls_peer(l->tls) : l->peer;
}

const struct peer_address *peer_link_address(const PeerLink *l)
{
	return &l->addresses[l->next ? l->next - 1 : 0];
}

int peer_link_export(const PeerLink *l, const uint8_t context[16], uint8_t ret_key[PEER_KEY_SIZE])
{
	return l->phase == PHASE_READY ? peer_tls_export(l->tls, context, ret_key) : -ENOTCONN;
}

/* Lingering */

static int finish_output(PeerLink *l)
{
	if (l->finished || l->out_at < l->out_end)
		return 0;
	l->finished = true;
	peer_tls_finish(l->tls);
	return shutdown(l->fd, SHUT_WR) < 0 ? negative_errno() : 0;
}

void peer_link_finish(PeerLink *l)
{
	if (!l)
		return;
	if (l->dead || l->phase != PHASE_READY || l->failed || n_lingering >= LINGERING_MAX ||
		!l->io || peer_link_set_timer(l, LINGER) < 0) {
		peer_link_free(l);
		return;
	}
	l->phase = PHASE_LINGER;
	list_append(&lingering, &l->link);
	n_lingering++;
	peer_link_wait_for(l, EPOLLIN | EPOLLOUT);
}

void peer_link_flush_all(uint64_t timeout)
{
	uint64_t now = clock_now(), end = now + timeout;
	PeerLink *l, *tmp;

	for (; !list_empty(&lingering) && now < end; now = clock_now()) {
		struct pollfd p[LINGERING_MAX];
		unsigned int n = 0, i = 0;

		list_for_each (l, &lingering, link)
			p[n++] = (struct pollfd){
				.fd = l->fd, .events = l->finished ? POLLIN : POLLIN | POLLOUT};
		if (poll(p, n, (int)((end - now) / NSEC_PER_MSEC) + 1) < 0)
			return;
		list_for_each_safe (l, tmp, &lingering, link)
			on_io(NULL, l->fd, (uint32_t)p[i++].revents, l);
	}
}

/* Events */

static int exchange(PeerLink *l, uint32_t revents)
{
	int r = 0;

	if (l->failed || (revents & EPOLLOUT))
		r = peer_link_flush(l);
	if (r == 0 && l->phase == PHASE_LINGER)
		r = finish_output(l);
	if (r == 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = l->phase == PHASE_LINGER ? peer_link_receive_end(l) : peer_link_receive(l);
	return r;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	PeerLink *l = userdata;
	int r;

	l->busy++;
	if (l->phase == PHASE_CONNECT) {
		connected(l);
	} else if (l->phase == PHASE_HANDSHAKE) {
		handshake(l);
	} else {
		r = exchange(l, revents);
		if (r < 0)
			fail(l, r);
	}
	leave(l);
	return 0;
}

static int on_again(sd_event_source *source, void *userdata)
{
	PeerLink *l = userdata;

	if (l->phase == PHASE_READY)
		on_io(NULL, l->fd, EPOLLIN, l);
	return 0;
}

/* We may have been stopped ourselves: what can be done now is done before it counts. */
static void out_of_time(PeerLink *l)
{
	uint64_t before = l->progress;
	int r = -ETIMEDOUT;

	if (l->phase == PHASE_READY && l->stalling && !l->awaiting) {
		r = peer_link_flush(l);
		if (r == 0 && l->stalling && l->progress == before)
			r = -ETIMEDOUT;
	}
	if (r < 0)
		fail(l, r);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	PeerLink *l = userdata;

	l->busy++;
	if (l->phase == PHASE_START)
		try_next(l, 0);
	else
		out_of_time(l);
	leave(l);
	return 0;
}

void peer_link_read_pending(PeerLink *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	if (l->phase == PHASE_READY && l->io && poll(&p, 1, 0) > 0)
		on_io(NULL, l->fd, (uint32_t)p.revents, l);
}
