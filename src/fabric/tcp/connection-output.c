/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of a connection: small ones in a buffer, then at most one large get, straight from
 * the memory. Nothing else is carried out before that is sent, so what the other side does not read
 * costs us no more than this. Behind a key that is revoked meanwhile nothing is read: the rest of
 * the reply is zeros, and FAILED follows.
 */
#include "fabric/tcp/target.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "wire/status.h"

bool output_has_room(const struct connection *c)
{
	return OUTPUT_SIZE - c->out_end >= 2 * FRAME_REPLY_SIZE + COPY_MAX;
}

uint8_t *output_reserve(struct connection *c, size_t n)
{
	uint8_t *at = c->out + c->out_end;

	assert(n <= OUTPUT_SIZE - c->out_end);
	c->out_end += n;
	return at;
}

void output_reply(struct connection *c, const struct frame_reply *reply)
{
	frame_reply_encode(output_reserve(c, FRAME_REPLY_SIZE), reply);
}

/* What cannot be sent from the memory itself passes the buffer; in whole pages if it is more. */
static void load_large(struct tcp_target *t, struct connection *c)
{
	struct large_reply *l = &c->large;
	size_t n = MIN(MIN(l->left, COPY_MAX), OUTPUT_SIZE - c->out_end), claimed = 0;
	uint8_t *at;

	if (!l->status) {
		n = claimed = connection_claim(t, c, l->key, l->off, n, false);
		if (!n)
			return;
	}
	at = output_reserve(c, n);
	if (!l->status)
		l->status = key_load(l->key, l->off, at, n, l->width);
	if (claimed)
		key_unclaim(t->ops, t->userdata, l->key, l->off, claimed);
	if (l->status)
		memset(at, 0, n);
	l->off += n;
	l->left -= (uint32_t)n;
}

static void finish_large(struct connection *c)
{
	struct large_reply *l = &c->large;

	if (l->status)
		output_reply(c, &(struct frame_reply){.type = FRAME_FAILED,
					.status = (uint16_t)l->status,
					.number = l->number});
	if (l->status)
		c->said = l->number;
	l->key = NULL;
}

/* The DONE that mostly follows at once leaves with the data, the last n bytes of it. */
static unsigned int append_done(struct connection *c, size_t n, struct iovec *iov, uint8_t *bytes)
{
	if (c->large.more || n < c->large.left)
		return 0;
	frame_reply_encode(
		bytes, &(struct frame_reply){.type = FRAME_DONE, .number = c->large.number});
	*iov = (struct iovec){bytes, FRAME_REPLY_SIZE};
	return 1;
}

static void sent_large(struct connection *c, size_t sent, const uint8_t *done, bool has_done)
{
	struct large_reply *l = &c->large;
	size_t n = MIN(sent, l->left);

	l->off += n;
	l->left -= (uint32_t)n;
	sent -= n;
	if (l->left)
		return;
	if (has_done && sent) { /* it is begun, so it must be true */
		memcpy(output_reserve(c, FRAME_REPLY_SIZE - sent), done + sent,
			FRAME_REPLY_SIZE - sent);
		c->said = l->number;
	}
	l->key = NULL;
}

/* Sends what is in the buffer and the next n bytes of the large reply from the memory. Returns 0 if
 * the kernel took all of it. */
static int send_some(struct connection *c, size_t direct)
{
	uint8_t done[FRAME_REPLY_SIZE];
	size_t buffered = c->out_end - c->out_begin, total = 0;
	struct iovec iov[3] = {{c->out + c->out_begin, buffered}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 1};
	unsigned int n_done = 0;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t sent;

	if (direct) {
		iov[m.msg_iovlen++] =
			(struct iovec){c->large.key->region.base + c->large.off, direct};
		n_done = append_done(c, direct, &iov[2], done);
		m.msg_iovlen += n_done;
		flags |= n_done ? 0 : MSG_MORE; /* the operation's next piece */
	}
	for (size_t i = 0; i < m.msg_iovlen; i++)
		total += iov[i].iov_len;
	do {
		sent = sendmsg(c->fd, &m, flags);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 1 : -EPIPE;
	c->out_begin += MIN((size_t)sent, buffered);
	if (c->out_begin == c->out_end)
		c->out_begin = c->out_end = 0;
	if (direct && (size_t)sent >= buffered)
		sent_large(c, (size_t)sent - buffered, done, n_done);
	return (size_t)sent < total;
}

/* Of a reply that can be sent from the memory: as much as may be touched now. */
static int send_claimed(struct tcp_target *t, struct connection *c)
{
	const struct large_reply *l = &c->large;
	const struct key *key = l->key;
	uint64_t off = l->off;
	size_t n = connection_claim(t, c, key, off, l->left, false);
	int r;

	if (!n && !c->out_end)
		return 1;
	r = send_some(c, n);
	if (n)
		key_unclaim(t->ops, t->userdata, key, off, n);
	return r;
}

static bool is_direct(const struct large_reply *l)
{
	return l->key && !l->status && l->key->region.base && l->width <= 1;
}

static void prepare_large(struct tcp_target *t, struct connection *c)
{
	struct large_reply *l = &c->large;

	if (l->key->revoked && !l->status)
		l->status = STATUS_REVOKED;
	if (is_direct(l))
		return;
	if (l->left && c->out_end < OUTPUT_SIZE)
		load_large(t, c);
	if (!l->left && OUTPUT_SIZE - c->out_end >= FRAME_REPLY_SIZE)
		finish_large(c);
}

int output_flush(struct tcp_target *t, struct connection *c)
{
	while (c->out_end || c->large.key) {
		int r;

		if (c->large.key)
			prepare_large(t, c);
		if (is_direct(&c->large))
			r = send_claimed(t, c);
		else
			r = c->out_end ? send_some(c, 0) : c->large.key != NULL;
		if (r)
			return r;
	}
	return 0;
}
