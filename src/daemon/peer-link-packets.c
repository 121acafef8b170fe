/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer-link-private.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"

/* What goes through a connection: packets that are to be sent, packets that have come. */

#define TIME_PER_TURN (2 * NSEC_PER_MSEC)
#define OUT_MIN	      4096u
#define OUT_MAX	      (16u << 20) /* bytes: a peer's imports may all end at once */

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
		r = peer_link_wait_for(l, EPOLLIN | EPOLLOUT);
	if (r == 0)
		return;
	/* on_io() tells it */
	l->failed = r;
	peer_link_wait_for(l, EPOLLIN | EPOLLOUT);
}

/* No progress for as long as the timer runs is the end. */
static int watch_stall(PeerLink *l)
{
	if (l->out_at == l->out_end || l->phase != PHASE_READY) {
		if (l->stalling && !l->awaiting)
			peer_link_stop_timer(l);
		l->stalling = false;
		return 0;
	}
	if (l->stalling && l->progress == peer_tls_sent(l->tls))
		return 0;
	l->stalling = true;
	l->progress = peer_tls_sent(l->tls);
	return peer_link_set_timer(l, l->options.stall);
}

int peer_link_flush(PeerLink *l)
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
	return r < 0 ? r : peer_link_wait_for(l, l->out_end ? EPOLLIN | EPOLLOUT : EPOLLIN);
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
		peer_link_stop_timer(l);
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
	return n < 0 ? (int)n : peer_link_loop_result(r);
}

/* Whether the buffer has room for a record. */
static bool may_read(const PeerLink *l)
{
	return !l->dead && l->phase == PHASE_READY && l->n_in < WIRE_PACKET_MAX &&
	       packet_size(l->in, l->n_in) == 0;
}

int peer_link_receive(PeerLink *l)
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

int peer_link_receive_end(PeerLink *l)
{
	ssize_t n = peer_tls_read(l->tls, l->in, sizeof(l->in));

	if (n == -EAGAIN)
		return 0;
	return n > 0 ? 0 : -ENODATA;
}
