/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explicit spans: puts are collected in a batch, where those to consecutive offsets become one
 * record. A batch leaves when it is full, when anything else is said on the path, and by flush. Not
 * with its first put while nothing is under way: eight puts and order() took 13.7 µs so, and take
 * 7.8. It stays in its buffer until it is answered; the buffers are used in turn, so at most
 * KEPT_MAX bytes are kept.
 *
 * While a batch is open there is room for its flight: path_enter() always leaves one more.
 */
#include "fabric/tcp/path.h"

#include <stdlib.h>
#include "wire/status.h"

static void say_batch(struct tcp_path *p)
{
	struct iovec iov;

	path_seal_batch(p, &iov);
	path_write(p, &iov, 1, 0);
}

/* Opens a batch in the next buffer; the gate is taken. Returns with it taken, or why not. */
static int open_batch(struct tcp_path *p, struct fabric_user *user)
{
	struct batch **b = &p->batches[p->next_batch];

	if (!*b) {
		*b = malloc(sizeof(**b) + p->batch_size);
		if (!*b)
			return -ENOMEM;
	}
	(*b)->used = FRAME_REQUEST_SIZE;
	p->next_batch = (p->next_batch + 1) % p->n_batches;
	p->batch_user = user;
	p->batch_tag = user->tag;
	p->batch_frame = (struct frame_request){.type = FRAME_BATCH, .key = user->key};
	p->run = NULL;
	user->last = path_said(p) + 1;
	atomic_store_explicit(&p->batch, *b, memory_order_relaxed);
	return 0;
}

static bool has_room(const struct tcp_path *p, const struct fabric_user *user, size_t n)
{
	const struct batch *b = atomic_load_explicit(&p->batch, memory_order_relaxed);

	return b && p->batch_user == user && b->used + FRAME_RECORD_HEAD + n <= p->batch_size;
}

/* The gate, with a batch of the user's that has room for a record of n bytes. */
static int enter_with_batch(struct tcp_path *p, struct fabric_user *user, size_t n)
{
	for (;;) {
		struct batch *b;
		uint64_t number;
		int r = path_enter(p, 0, false);

		if (r)
			return r;
		b = atomic_load_explicit(&p->batch, memory_order_relaxed);
		if (b && p->batch_user == user && b->used + FRAME_RECORD_HEAD + n <= p->batch_size)
			return 0;
		if (b) {
			say_batch(p);
			gate_leave(&p->gate);
			continue;
		}
		b = p->batches[p->next_batch];
		number = b ? b->number : 0;
		if (number <= path_acked(p)) {
			r = open_batch(p, user);
			if (r)
				gate_leave(&p->gate);
			return r;
		}
		/* till half of them are free: who wakes up for one falls asleep over the next */
		number = p->batches[(p->next_batch + p->n_batches / 2) % p->n_batches]->number;
		gate_leave(&p->gate);
		r = path_wait(p, number);
		if (r)
			return r;
	}
}

static void add_record(
	struct tcp_path *p, uint64_t off, const void *src, size_t n, unsigned int width)
{
	struct batch *b = atomic_load_explicit(&p->batch, memory_order_relaxed);

	p->run = b->bytes + b->used;
	p->run_width = width;
	p->run_size = (uint32_t)n;
	p->run_next = off + n;
	frame_record_encode(p->run, off, frame_width_log2(width), (uint32_t)n);
	if (likely(n == 8))
		memcpy(p->run + FRAME_RECORD_HEAD, src, 8);
	else
		memcpy(p->run + FRAME_RECORD_HEAD, src, n);
	b->used += FRAME_RECORD_HEAD + (uint32_t)n;
	p->batch_frame.off++;
}

/* The put that goes on where the one before it ended: what a span must be fast at. */
static inline bool extend_run(struct tcp_path *p, const struct fabric_user *user, uint64_t off,
	const void *src, size_t n, unsigned int width)
{
	struct batch *b = atomic_load_explicit(&p->batch, memory_order_relaxed);

	if (p->batch_user != user || !p->run || off != p->run_next || width != p->run_width ||
		p->run_size + n > FRAME_RECORD_MAX || b->used + n > p->batch_size)
		return false;
	if (likely(n == 8))
		memcpy(b->bytes + b->used, src, 8);
	else
		memcpy(b->bytes + b->used, src, n);
	p->run_size += (uint32_t)n;
	p->run_next += n;
	frame_record_encode(
		p->run, p->run_next - p->run_size, frame_width_log2(width), p->run_size);
	b->used += (uint32_t)n;
	p->batch_frame.off++;
	return true;
}

/* With the gate: adds it if there is room. */
static inline bool collect(struct tcp_path *p, const struct fabric_user *user, uint64_t off,
	const void *src, size_t n, unsigned int width)
{
	if (likely(extend_run(p, user, off, src, n, width)))
		return true;
	if (unlikely(!has_room(p, user, n)))
		return false;
	add_record(p, off, src, n, width);
	return true;
}

static int put_record(struct tcp_path *p, struct fabric_user *user, uint64_t off, const void *src,
	size_t n, unsigned int width)
{
	int r;

	gate_enter(&p->gate);
	if (unlikely(!collect(p, user, off, src, n, width))) {
		gate_leave(&p->gate);
		r = enter_with_batch(p, user, n);
		if (r)
			return r;
		add_record(p, off, src, n, width);
	}
	if (atomic_load_explicit(&p->batch, memory_order_relaxed)->used >= p->limit)
		say_batch(p);
	gate_leave(&p->gate);
	return 0;
}

int path_span_put(struct tcp_path *p, struct fabric_user *user, uint64_t off, const void *src,
	size_t n, unsigned int width)
{
	size_t at = 0;
	int r;

	if (unlikely(off > FRAME_OFFSET_MAX - n)) {
		pthread_mutex_lock(&p->mutex);
		path_fail_user(p, user->tag, STATUS_BAD_OFFSET);
		pthread_mutex_unlock(&p->mutex);
		return 0;
	}
	if (likely(n <= FRAME_RECORD_MAX))
		return put_record(p, user, off, src, n, width);
	for (r = 0; !r && at < n; at += FRAME_RECORD_MAX)
		r = put_record(p, user, off + at, (const uint8_t *)src + at,
			MIN(n - at, FRAME_RECORD_MAX), width);
	return r;
}

/* Not what opens a batch, nor what fills one: that may have to wait. */
bool path_span_put_at_once(struct tcp_path *p, struct fabric_user *user, uint64_t off,
	const void *src, size_t n, unsigned int width)
{
	const struct batch *b;
	bool collected = false;

	if (unlikely(n > FRAME_RECORD_MAX || off > FRAME_OFFSET_MAX - n || !gate_try(&p->gate)))
		return false;
	b = atomic_load_explicit(&p->batch, memory_order_relaxed);
	if (likely(b && b->used + FRAME_RECORD_HEAD + n < p->limit))
		collected = collect(p, user, off, src, n, width);
	gate_leave(&p->gate);
	return collected;
}

int path_flush(FabricPath *path)
{
	struct tcp_path *p = tcp_path(path);

	if (!atomic_load_explicit(&p->batch, memory_order_relaxed))
		return 0;
	gate_enter(&p->gate);
	say_batch(p);
	gate_leave(&p->gate);
	return path_state(p) == PATH_ENDED ? p->ended : 0;
}
