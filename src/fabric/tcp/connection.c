/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the target does on one connection: reads requests, carries them out, answers. Of what it
 * reads nothing is believed; what is no frame ends the connection.
 */
#include "fabric/tcp/target.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include "wire/message.h"
#include "wire/status.h"

#define AHEAD_MAX  512u
#define DONE_EVERY 16u /* requests of an operation that goes on are answered that often */

static size_t available(const struct connection *c)
{
	return c->in_end - c->in_begin;
}

static uint8_t *consume(struct connection *c, size_t n)
{
	uint8_t *at = c->in + c->in_begin;

	c->in_begin += n;
	return at;
}

/* Before its effect for an atomic, which must not be had twice; after it for everything else. */
static uint64_t count(struct connection *c)
{
	uint64_t number = atomic_load_explicit(c->done, memory_order_relaxed) + 1;

	atomic_store_explicit(c->done, number, memory_order_release);
	return number;
}

static void answer_failure(struct connection *c, uint64_t number)
{
	output_reply(c, &(struct frame_reply){.type = FRAME_FAILED,
				.status = (uint16_t)c->status,
				.size = c->failed,
				.number = number});
	c->said = number;
}

static void finish(struct connection *c)
{
	uint64_t number = count(c);

	if (c->status)
		answer_failure(c, number);
	c->more = c->frame.flags & FRAME_MORE;
	c->state = INPUT_HEADER;
	c->progress = 0;
}

/* --- claims --- */

size_t connection_claim(struct tcp_target *t, struct connection *c, const struct key *key,
	uint64_t off, size_t n, bool write)
{
	size_t claimed;

	if (likely(!key->region.coherent))
		return n;
	if (c->awaits == AWAITS_CLAIM)
		return 0;
	claimed = key_claim(t->ops, t->userdata, key, off, n, write);
	if (!claimed)
		c->awaits = AWAITS_CLAIM;
	return claimed;
}

/* Goes on where it was left. */
static __attribute__((noinline)) int store_claimed(struct tcp_target *t, struct connection *c,
	uint64_t off, const uint8_t *data, uint32_t n, unsigned int width)
{
	int r = 0;

	while (!r && c->progress < n) {
		uint64_t at = off + c->progress;
		size_t claimed = connection_claim(t, c, c->key, at, n - c->progress, true);

		if (!claimed)
			return -EAGAIN;
		r = key_store(c->key, at, data + c->progress, claimed, width);
		key_unclaim(t->ops, t->userdata, c->key, at, claimed);
		c->progress += (uint32_t)claimed;
	}
	c->progress = 0;
	return r;
}

/* The bytes of a small put or a record. 0 or a status; -EAGAIN: it must wait. */
static inline int store(struct tcp_target *t, struct connection *c, uint64_t off,
	const uint8_t *data, uint32_t n, unsigned int width)
{
	if (unlikely(c->key->region.coherent || c->progress))
		return store_claimed(t, c, off, data, n, width);
	return key_store(c->key, off, data, n, width);
}

/* --- requests. Those that may have to wait return false then, and are done again from the
 * beginning, as they are still in the buffer --- */

static bool is_checked_only(const struct connection *c)
{
	return c->frame.flags & FRAME_CHECK;
}

static bool carry_out_put(struct tcp_target *t, struct connection *c, const uint8_t *data)
{
	const struct frame_request *f = &c->frame;

	int r = 0;

	if (!c->status && !is_checked_only(c))
		r = store(t, c, f->off, data, f->size, f->width);
	if (r == -EAGAIN)
		return false;
	if (r)
		c->status = r;
	if (!c->status && !is_checked_only(c)) {
		c->key->traffic.puts++;
		c->key->traffic.put_bytes += f->size;
	}
	finish(c);
	return true;
}

static void begin_large_get(struct connection *c)
{
	const struct frame_request *f = &c->frame;
	uint64_t number = count(c);

	output_reply(
		c, &(struct frame_reply){.type = FRAME_DATA, .size = f->size, .number = number});
	c->large = (struct large_reply){.key = c->key,
		.off = f->off,
		.left = f->size,
		.width = f->size > COPY_MAX ? 0 : f->width,
		.number = number,
		.more = f->flags & FRAME_MORE};
	c->more = f->flags & FRAME_MORE;
}

static void carry_out_get(struct connection *c)
{
	const struct frame_request *f = &c->frame;
	uint8_t *head;

	if (!c->status) {
		c->key->traffic.gets += !(f->flags & FRAME_MORE);
		c->key->traffic.get_bytes += f->size;
		if (f->size > COPY_MAX || (f->size && c->key->region.coherent)) {
			begin_large_get(c);
			return;
		}
		head = c->out + c->out_end;
		c->status = key_load(c->key, f->off, head + FRAME_REPLY_SIZE, f->size, f->width);
	}
	if (!c->status)
		frame_reply_encode(output_reserve(c, FRAME_REPLY_SIZE + f->size),
			&(struct frame_reply){.type = FRAME_DATA,
				.size = f->size,
				.number = atomic_load_explicit(c->done, memory_order_relaxed) + 1});
	finish(c);
}

static bool carry_out_atomic(struct tcp_target *t, struct connection *c, const uint8_t *words)
{
	const struct frame_request *f = &c->frame;
	bool swap = f->type == FRAME_SWAP, good = !c->status;
	uint64_t old, number;
	uint8_t *at;

	if (good && !connection_claim(t, c, c->key, f->off, f->width, true))
		return false;
	number = count(c);
	if (good) {
		c->status = key_atomic(c->key, f->off, f->width, swap, frame_load64(words),
			frame_load64(words + (swap ? 8 : 0)), &old);
		key_unclaim(t->ops, t->userdata, c->key, f->off, f->width);
	}
	if (c->status) {
		answer_failure(c, number);
	} else {
		at = output_reserve(c, FRAME_REPLY_SIZE + 8);
		frame_reply_encode(
			at, &(struct frame_reply){.type = FRAME_DATA, .size = 8, .number = number});
		frame_store64(at + FRAME_REPLY_SIZE, old);
		c->key->traffic.puts++;
		c->key->traffic.gets++;
		c->key->traffic.put_bytes += f->width;
		c->key->traffic.get_bytes += f->width;
	}
	c->more = false;
	return true;
}

static void carry_out_signal(struct tcp_target *t, struct connection *c)
{
	if (!c->status && !is_checked_only(c)) {
		t->ops->post(
			t->userdata, c->key->region.userdata, c->frame.flags & FRAME_ACCUMULATE);
		c->key->traffic.posts++;
	}
	finish(c);
}

static void begin_bulk(struct connection *c)
{
	c->state = INPUT_BULK;
	c->off = c->frame.off;
	c->left = c->frame.size;
	if (!c->status)
		c->key->traffic.puts += !(c->frame.flags & FRAME_MORE);
}

static void begin_batch(struct connection *c)
{
	c->state = INPUT_BATCH;
	c->left = c->frame.size;
	c->n_records = 0;
	/* so many as it says, but not more than can be */
	if (!c->status && !is_checked_only(c))
		c->key->traffic.puts += MIN(c->frame.off, (uint64_t)c->frame.size);
	if (!c->left)
		finish(c);
}

/* What must be there before a request is begun: all of it, if it is small. */
static size_t wanted_at_once(const struct frame_request *f)
{
	uint32_t tail = frame_request_tail(f);

	return FRAME_REQUEST_SIZE +
	       (f->type == FRAME_BATCH || (f->type == FRAME_PUT && tail > COPY_MAX) ? 0 : tail);
}

static int judge(struct tcp_target *t, struct connection *c)
{
	const struct frame_request *f = &c->frame;
	unsigned int width = f->width;

	c->key = keys_find(&t->keys, &f->key);
	switch (f->type) {
	case FRAME_GET:
		return key_check(c->key, c->number, f->off, f->size, width, WIRE_READ);
	case FRAME_PUT:
		return key_check(c->key, c->number, f->off, f->size, width, WIRE_WRITE);
	case FRAME_BATCH: /* each record for itself */
		return key_check(c->key, c->number, 0, 0, 0, WIRE_WRITE);
	case FRAME_SIGNAL:
		return key_check(c->key, c->number, 0, 0, 0, 0);
	default:
		return key_check(c->key, c->number, f->off, f->size, width, WIRE_READ | WIRE_WRITE);
	}
}

/* Each of the take functions: bytes taken; 0: more must come first; a negative errno with reason.
 */
static ssize_t take_request(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	const uint8_t *tail;
	size_t size, moved;
	bool done = true;

	if (available(c) < FRAME_REQUEST_SIZE)
		return 0;
	*ret_reason = frame_request_decode(c->in + c->in_begin, &c->frame);
	if (*ret_reason)
		return -EBADMSG;
	size = wanted_at_once(&c->frame);
	if (available(c) < size)
		return 0;
	moved = size;
	tail = c->in + c->in_begin + FRAME_REQUEST_SIZE;
	c->failed = 0;
	c->bulky = c->frame.type == FRAME_PUT && c->frame.size > COPY_MAX;
	c->status = judge(t, c);
	/* another connection's may be gone before this request is over */
	if (c->status)
		c->key = NULL;
	switch (c->frame.type) {
	case FRAME_PUT:
		if (frame_request_tail(&c->frame) > COPY_MAX)
			begin_bulk(c);
		else
			done = carry_out_put(t, c, tail);
		break;
	case FRAME_BATCH:
		begin_batch(c);
		break;
	case FRAME_GET:
		carry_out_get(c);
		moved += c->frame.size;
		break;
	case FRAME_SIGNAL:
		carry_out_signal(t, c);
		break;
	default:
		done = carry_out_atomic(t, c, tail);
	}
	if (!done)
		return 0;
	consume(c, size);
	return (ssize_t)moved;
}

static bool carry_out_record(struct tcp_target *t, struct connection *c,
	const struct frame_record *record, const uint8_t *data)
{
	int r = key_check(c->key, c->number, record->off, record->size, record->width, WIRE_WRITE);

	if (!r && !is_checked_only(c)) {
		r = store(t, c, record->off, data, record->size, record->width);
		if (r == -EAGAIN)
			return false;
		c->key->traffic.put_bytes += record->size;
	}
	if (likely(!r))
		return true;
	c->progress = 0; /* of one that was revoked meanwhile */
	if (c->status)
		return true;
	c->status = r;
	c->failed = c->n_records;
	return true;
}

static ssize_t take_record(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	struct frame_record record;
	size_t size;

	if (c->left < FRAME_RECORD_HEAD) {
		*ret_reason = "a batch that ends within a record";
		return -EBADMSG;
	}
	if (available(c) < FRAME_RECORD_HEAD)
		return 0;
	frame_record_decode(c->in + c->in_begin, &record);
	if (record.size > FRAME_RECORD_MAX || record.size > c->left - FRAME_RECORD_HEAD) {
		*ret_reason = "a record that is too large";
		return -EBADMSG;
	}
	size = FRAME_RECORD_HEAD + record.size;
	if (available(c) < size)
		return 0;
	if (!carry_out_record(t, c, &record, c->in + c->in_begin + FRAME_RECORD_HEAD))
		return 0;
	consume(c, size);
	c->n_records++;
	c->left -= (uint32_t)size;
	if (!c->left)
		finish(c);
	return (ssize_t)size;
}

static void took_bulk(struct connection *c, size_t n)
{
	if (!c->status)
		c->key->traffic.put_bytes += n;
	c->off += n;
	c->left -= (uint32_t)n;
	if (!c->left)
		finish(c);
}

/* The key may have been revoked since the request came. */
static void look_at_bulk_key(struct connection *c)
{
	if (!c->status && c->key->revoked)
		c->status = STATUS_REVOKED;
}

static ssize_t take_bulk(struct tcp_target *t, struct connection *c)
{
	size_t n = MIN(MIN(available(c), c->left), COPY_MAX);

	if (!n)
		return 0;
	look_at_bulk_key(c);
	if (!c->status) {
		n = connection_claim(t, c, c->key, c->off, n, true);
		if (!n)
			return 0;
		c->status = key_store(c->key, c->off, c->in + c->in_begin, n, 0);
		key_unclaim(t->ops, t->userdata, c->key, c->off, n);
	}
	consume(c, n);
	took_bulk(c, n);
	return (ssize_t)n;
}

static ssize_t take(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	if (c->state == INPUT_BULK)
		return take_bulk(t, c);
	if (c->state == INPUT_BATCH)
		return take_record(t, c, ret_reason);
	return take_request(t, c, ret_reason);
}

/* How much is read into the buffer: after a large put there mostly comes another, whose bytes had
 * to be copied from there. */
static size_t read_ahead(const struct connection *c, size_t direct)
{
	size_t room = INPUT_SIZE - c->in_end;

	if (direct && direct < c->left)
		return 0;
	return c->bulky && (direct || c->state == INPUT_HEADER) ? MIN(room, AHEAD_MAX) : room;
}

/* How much of a large put may be read straight to where it belongs; -EAGAIN: a claim must come
 * first. */
static ssize_t begin_direct(struct tcp_target *t, struct connection *c)
{
	size_t n;

	if (c->state != INPUT_BULK)
		return 0;
	look_at_bulk_key(c);
	if (c->status || !c->key->region.base)
		return 0;
	n = connection_claim(t, c, c->key, c->off, MIN(c->left, TURN_MAX), true);
	return n ? (ssize_t)n : -EAGAIN;
}

static ssize_t receive(struct connection *c, struct iovec *iov, size_t n_iov)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n_iov};
	ssize_t n;

	do {
		n = recvmsg(c->fd, &m, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? negative_errno() : n;
}

/* Those after the first come of an encrypted stream alone. */
static const char *reason_of(int error)
{
	switch (error) {
	case -EFAULT:
		return "the memory behind a key is not there";
	case -EBADMSG:
		return "what came was altered, or is not encrypted";
	case -EINVAL:
	case -EMSGSIZE:
		return "what came is no TLS";
	case -EIO:
		return "a TLS record came that is no data";
	default:
		return NULL;
	}
}

/* Reads what has come, a large put straight to where it belongs. Returns bytes, 0 for none. */
static ssize_t fill(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	struct iovec iov[2];
	ssize_t direct, n;
	size_t room, n_iov = 0;

	if (c->in_begin) {
		memmove(c->in, c->in + c->in_begin, available(c));
		c->in_end -= c->in_begin;
		c->in_begin = 0;
	}
	direct = begin_direct(t, c);
	if (direct < 0)
		return 0;
	if (direct)
		iov[n_iov++] = (struct iovec){c->key->region.base + c->off, (size_t)direct};
	room = read_ahead(c, (size_t)direct);
	iov[n_iov++] = (struct iovec){c->in + c->in_end, room};
	n = receive(c, iov, n_iov);
	if (direct)
		key_unclaim(t->ops, t->userdata, c->key, c->off, (size_t)direct);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		*ret_reason = reason_of((int)n);
		return -EPIPE;
	}
	/* where epoll tells the edge only, it is for the kernel to say that nothing is left */
	c->drained = !c->edge && (size_t)n < (size_t)direct + room;
	c->in_end += (size_t)(n - MIN(n, direct));
	if (direct)
		took_bulk(c, (size_t)MIN(n, direct));
	return n;
}

static void answer_done(struct connection *c)
{
	uint64_t number = atomic_load_explicit(c->done, memory_order_relaxed);

	if (number == c->said || (c->more && number - c->said < DONE_EVERY))
		return;
	output_reply(c, &(struct frame_reply){.type = FRAME_DONE, .number = number});
	c->said = number;
}

/* Until nothing is there, or the turn is over, or the other side must read first. Returns what was
 * moved. */
static ssize_t work(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	size_t moved = 0;

	while (moved < TURN_MAX) {
		ssize_t n;

		if (c->large.key || !output_has_room(c)) {
			n = output_flush(t, c);
			if (n < 0)
				return n;
			if (n)
				break;
		}
		n = take(t, c, ret_reason);
		if (!n && !c->drained && c->awaits != AWAITS_CLAIM)
			n = fill(t, c, ret_reason);
		if (n < 0)
			return n;
		if (!n)
			break;
		moved += (size_t)n;
	}
	return (ssize_t)moved;
}

int connection_turn(struct tcp_target *t, struct connection *c, const char **ret_reason)
{
	ssize_t moved = 0;
	int r;

	*ret_reason = NULL;
	c->drained = false;
	c->awaits = AWAITS_INPUT;
	r = output_flush(t, c);
	if (!r) {
		moved = work(t, c, ret_reason);
		if (moved < 0)
			return -EPIPE;
		if (!c->large.key)
			answer_done(c);
		r = output_flush(t, c);
	}
	if (r < 0)
		return r;
	if (r && (c->awaits != AWAITS_CLAIM || c->out_end))
		c->awaits = AWAITS_ROOM;
	if (c->awaits == AWAITS_INPUT && moved >= TURN_MAX)
		return TURN_MORE;
	return moved ? TURN_DONE : TURN_IDLE;
}
