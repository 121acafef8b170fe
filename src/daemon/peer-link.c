/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer-link.h"

#include <endian.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15 */
#endif

#define TIME_PER_TURN (2 * NSEC_PER_MSEC)
#define OUT_MIN	      4096u
#define OUT_MAX	      (16u << 20) /* bytes: a peer's imports may all end at once */
#define LINGER	      (2 * NSEC_PER_SEC)
#define LINGERING_MAX 64u

enum phase {
	PHASE_START,	 /* dialling: nothing tried yet */
	PHASE_CONNECT,	 /* TCP */
	PHASE_HANDSHAKE, /* TLS */
	PHASE_READY,
	PHASE_LINGER, /* without an owner: sending the rest */
};

struct PeerLink {
	struct peer_link_options options;
	enum phase phase;
	int fd;
	PeerTls *tls;
	sd_event_source *io, *timer;
	sd_event_source *again; /* packets in in are left for the next turn */
	uint32_t events;	/* that io waits for */
	unsigned int busy;	/* in a callback: freed later */
	bool dead;		/* freed by its owner */
	int failed;		/* could not keep what was to be sent */
	bool finished;		/* lingering: all was sent */
	struct list link;	/* lingering ones */

	/* dialling */
	uint32_t peer;
	uint8_t key[PEER_KEY_SIZE];
	unsigned int n_addresses, next;
	struct peer_address addresses[PEER_LINK_ADDRESSES]; /* of an arrived one: the first */
	int error;					    /* the one to tell of all attempts */

	uint8_t *out; /* [out_at, out_end) is to be sent */
	size_t out_at, out_end, out_size;
	uint64_t progress; /* peer_tls_sent() when the stall timer was set; timer is on */
	bool stalling;
	bool awaiting; /* dialled, and nothing heard yet; the timer is on */
	size_t n_in;
	uint8_t in[WIRE_PACKET_MAX + PEER_TLS_READ_MIN];
};

static struct list lingering = {&lingering, &lingering};
static unsigned int n_lingering;

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_again(sd_event_source *source, void *userdata);
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* Life */

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

/* After the loop has ended peer_link_flush_all() needs none of its events. */
static int loop_result(int r)
{
	return r == -ESTALE ? 0 : r;
}

static int set_timer(PeerLink *l, uint64_t timeout)
{
	int r = sd_event_source_set_time_relative(l->timer, timeout / NSEC_PER_USEC);

	if (r >= 0)
		r = sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
	return loop_result(r);
}

static void stop_timer(PeerLink *l)
{
	sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
}

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
	stop_timer(l);
	l->options.ops->closed(l->options.userdata, l, error);
}

/* Refused is only said if all refused; that keys differ is worth more than that others failed. */
static int worse_error(int old, int new)
{
	if (old == 0 || new == -EACCES)
		return new;
	return old == -ECONNREFUSED ? new : old;
}

static int wait_for(PeerLink *l, uint32_t events)
{
	int r;

	if (events == l->events)
		return 0;
	r = loop_result(sd_event_source_set_io_events(l->io, events));
	if (r == 0)
		l->events = events;
	return r;
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
			r = set_timer(l, l->options.timeout);
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
		r = wait_for(l, peer_tls_wants_write(l->tls) ? EPOLLOUT : EPOLLIN);
		if (r < 0)
			fail(l, r);
		return;
	}
	if (r == 0)
		r = wait_for(l, EPOLLIN);
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
	stop_timer(l);
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

/* Sending */

/* Makes room behind out_end. */
static int reserve(PeerLink *l, size_t n)
{
	size_t kept = l->out_end - l->out_at, size = MAX(l->out_size, OUT_MIN);
	uint8_t *out;

	if (l->out_size - l->out_end >= n)
		return 0;
	if (kept + n > OUT_MAX)
		return -ENOBUFS;
	while (size - kept < n)
		size *= 2;
	if (size == l->out_size && l->out_at >= kept) {
		memcpy(l->out, l->out + l->out_at, kept);
	} else {
		out = malloc(size);
		if (!out)
			return -ENOMEM;
		if (kept > 0)
			memcpy(out, l->out + l->out_at, kept);
		free(l->out);
		l->out = out;
		l->out_size = size;
	}
	l->out_at = 0;
	l->out_end = kept;
	return 0;
}

void peer_link_send(PeerLink *l, const struct wire_message *message)
{
	ssize_t n = WIRE_HEADER_SIZE + (ssize_t)sizeof(*message) + (ssize_t)message->tail_size;
	int r;

	if (l->failed)
		return;
	r = reserve(l, (size_t)n);
	if (r == 0) {
		n = wire_encode(message, l->out + l->out_end, l->out_size - l->out_end);
		if (n < 0)
			r = (int)n;
		else
			l->out_end += (size_t)n;
	}
	if (r == 0)
		r = wait_for(l, EPOLLIN | EPOLLOUT);
	if (r == 0)
		return;
	/* on_io() tells it */
	l->failed = r;
	wait_for(l, EPOLLIN | EPOLLOUT);
}

/* No progress for as long as the timer runs is the end. */
static int watch_stall(PeerLink *l)
{
	if (l->out_at == l->out_end || l->phase != PHASE_READY) {
		if (l->stalling && !l->awaiting)
			stop_timer(l);
		l->stalling = false;
		return 0;
	}
	if (l->stalling && l->progress == peer_tls_sent(l->tls))
		return 0;
	l->stalling = true;
	l->progress = peer_tls_sent(l->tls);
	return set_timer(l, l->options.stall);
}

static int flush(PeerLink *l)
{
	ssize_t n = 0;
	int r;

	if (l->failed)
		return l->failed;
	while (l->out_at < l->out_end) {
		n = peer_tls_write(l->tls, l->out + l->out_at, l->out_end - l->out_at);
		if (n < 0)
			break;
		l->out_at += (size_t)n;
	}
	if (n < 0 && n != -EAGAIN)
		return (int)n;
	if (l->out_at == l->out_end)
		l->out_at = l->out_end = 0;
	r = watch_stall(l);
	return r < 0 ? r : wait_for(l, l->out_end ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Receiving */

/* The packet at the beginning of [at, at + n): its size, 0 if it is not all there. */
static ssize_t packet_size(const uint8_t *at, size_t n)
{
	uint32_t size;

	if (n < sizeof(size))
		return 0;
	memcpy(&size, at, sizeof(size));
	size = le32toh(size);
	if (size < WIRE_HEADER_SIZE || size > WIRE_PACKET_MAX)
		return -EBADMSG;
	return size <= n ? (ssize_t)size : 0;
}

/* A type that a later version knows is left out. */
static int deliver(PeerLink *l, const uint8_t *packet, size_t size)
{
	struct wire_message message;
	int r = wire_decode(packet, size, &message);

	if (l->awaiting && !l->stalling)
		stop_timer(l);
	l->awaiting = false;
	if (r == -EOPNOTSUPP)
		return 0;
	if (r == 0)
		l->options.ops->message(l->options.userdata, l, &message);
	return r;
}

/* Whole packets that have come; what is left at the end of the turn comes in the next one. */
static int deliver_all(PeerLink *l, uint64_t end)
{
	size_t at = 0;
	ssize_t n;
	int r = 0;

	while ((n = packet_size(l->in + at, l->n_in - at)) > 0) {
		if (clock_now() >= end) {
			r = sd_event_source_set_enabled(l->again, SD_EVENT_ONESHOT);
			break;
		}
		r = deliver(l, l->in + at, (size_t)n);
		if (r < 0 || l->dead || l->phase != PHASE_READY)
			return r;
		at += (size_t)n;
	}
	l->n_in -= at;
	memmove(l->in, l->in + at, l->n_in);
	return n < 0 ? (int)n : loop_result(r);
}

/* Whether the buffer has room for a record. */
static bool may_read(const PeerLink *l)
{
	return !l->dead && l->phase == PHASE_READY && l->n_in < WIRE_PACKET_MAX &&
	       packet_size(l->in, l->n_in) == 0;
}

static int receive(PeerLink *l)
{
	uint64_t end = clock_now() + TIME_PER_TURN;
	int r = deliver_all(l, end);
	ssize_t n;

	while (r == 0 && may_read(l) && clock_now() < end) {
		n = peer_tls_read(l->tls, l->in + l->n_in, sizeof(l->in) - l->n_in);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n < 0 ? (int)n : -ENODATA;
		l->n_in += (size_t)n;
		r = deliver_all(l, end);
	}
	return r;
}

/* Nobody is there to hear it; the end is what is waited for. */
static int receive_end(PeerLink *l)
{
	ssize_t n = peer_tls_read(l->tls, l->in, sizeof(l->in));

	if (n == -EAGAIN)
		return 0;
	return n > 0 ? 0 : -ENODATA;
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
		!l->io || set_timer(l, LINGER) < 0) {
		peer_link_free(l);
		return;
	}
	l->phase = PHASE_LINGER;
	list_append(&lingering, &l->link);
	n_lingering++;
	wait_for(l, EPOLLIN | EPOLLOUT);
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
		r = flush(l);
	if (r == 0 && l->phase == PHASE_LINGER)
		r = finish_output(l);
	if (r == 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = l->phase == PHASE_LINGER ? receive_end(l) : receive(l);
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
		r = flush(l);
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
