/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, by the thread that has the reader's role. An answer that cannot be one breaks the
 * stream.
 */
#include "fabric/tcp/path.h"

#include <sys/socket.h>
#include "wire/status.h"

#define AHEAD_MAX 512u

static size_t available(const struct tcp_path *p)
{
	return p->in_end - p->in_begin;
}

void path_read_reset(struct tcp_path *p)
{
	p->in_begin = p->in_end = 0;
	p->to_left = 0;
}

void path_fail_user(struct tcp_path *p, uint32_t tag, int status)
{
	struct fabric_user *user;
	int none = 0;

	user = idtable_get(&p->users, tag & TAG_INDEX);
	if (user && user->tag == tag)
		atomic_compare_exchange_strong(&user->status, &none, status);
}

static void fail(struct tcp_path *p, const struct flight *f, int status, uint32_t record)
{
	size_t piece;

	if (!f->op) {
		pthread_mutex_lock(&p->mutex);
		path_fail_user(p, f->tag, status);
		pthread_mutex_unlock(&p->mutex);
		return;
	}
	piece = f->frame.type == FRAME_BATCH ? put_request_piece(f->op, f->at, record)
					     : f->at.piece;
	if (f->op->status && f->op->failed <= piece)
		return;
	f->op->status = status;
	f->op->failed = piece;
}

static bool wants_data(const struct flight *f)
{
	return (f->frame.type == FRAME_GET || f->frame.type == FRAME_ADD ||
		       f->frame.type == FRAME_SWAP) &&
	       !f->answered;
}

static int advance(struct tcp_path *p, const struct frame_reply *reply)
{
	uint64_t acked = path_acked(p), n;

	if (reply->number < acked || reply->number > path_said(p))
		return -EBADMSG;
	if (reply->type == FRAME_FAILED) {
		if (reply->number == acked)
			return -EBADMSG;
		fail(p, path_flight(p, reply->number), reply->status, reply->size);
	}
	for (n = acked + 1; n <= reply->number; n++)
		if (wants_data(path_flight(p, n)) &&
			!(n == reply->number && reply->type == FRAME_FAILED))
			return -EBADMSG;
	atomic_store_explicit(&p->acked, reply->number, memory_order_release);
	return 0;
}

/* Where the bytes of this answer go. -EBADMSG: it is none. */
static int place_of(struct tcp_path *p, const struct frame_reply *reply, uint8_t **ret_place)
{
	struct flight *f = path_flight(p, reply->number);
	bool get = f->frame.type == FRAME_GET;

	if (reply->number <= path_acked(p) || reply->number > path_said(p) || !wants_data(f))
		return -EBADMSG;
	if (reply->size != (get ? f->frame.size : 8))
		return -EBADMSG;
	*ret_place = get ? (uint8_t *)f->op->pieces[f->at.piece].local + f->at.at : f->old;
	return 0;
}

static int take_data(struct tcp_path *p, const struct frame_reply *reply)
{
	size_t n = MIN(available(p), reply->size);
	uint8_t *to;
	int r = place_of(p, reply, &to);

	if (r)
		return r;
	path_flight(p, reply->number)->answered = true;
	if (n)
		memcpy(to, p->in + p->in_begin, n);
	p->in_begin += n;
	p->to_left = reply->size - n;
	if (p->to_left)
		p->to = to + n;
	return 0;
}

static int digest(struct tcp_path *p)
{
	while (!p->to_left && available(p) >= FRAME_REPLY_SIZE) {
		struct frame_reply reply;
		int r = frame_reply_decode(p->in + p->in_begin, &reply);

		if (r)
			return r;
		p->in_begin += FRAME_REPLY_SIZE;
		r = reply.type == FRAME_DATA ? take_data(p, &reply) : advance(p, &reply);
		if (r)
			return r;
	}
	return 0;
}

/* Those that wait for what has been answered now. */
static void wake_done(struct tcp_path *p)
{
	struct path_op *op;
	uint64_t acked = path_acked(p);

	pthread_mutex_lock(&p->mutex);
	list_for_each (op, &p->waiting, waiting)
		if (atomic_load_explicit(&op->last, memory_order_relaxed) <= acked)
			pthread_cond_signal(&op->wake);
	pthread_mutex_unlock(&p->mutex);
}

/* How much is read into the buffer: within a large get there comes another piece, whose bytes had
 * to be copied from there. */
static size_t read_ahead(struct tcp_path *p)
{
	uint64_t next = path_acked(p) + 1;
	const struct flight *f = path_flight(p, next);
	size_t room = REPLIES_SIZE - p->in_end;

	if (next > path_said(p) || f->frame.type != FRAME_GET || f->frame.size <= AHEAD_MAX)
		return room;
	return MIN(room, AHEAD_MAX);
}

int path_read(struct tcp_path *p)
{
	struct iovec iov[2];
	struct msghdr m = {.msg_iov = iov};
	uint64_t acked = path_acked(p);
	size_t direct;
	ssize_t n;

	if (p->in_begin) {
		memmove(p->in, p->in + p->in_begin, available(p));
		p->in_end -= p->in_begin;
		p->in_begin = 0;
	}
	if (p->to_left)
		iov[m.msg_iovlen++] = (struct iovec){p->to, p->to_left};
	iov[m.msg_iovlen++] = (struct iovec){p->in + p->in_end, read_ahead(p)};
	do {
		n = recvmsg(p->fd, &m, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return n ? negative_errno() : -EPIPE;
	atomic_fetch_add_explicit(&p->progress, 1, memory_order_relaxed);
	direct = MIN((size_t)n, p->to_left);
	if (direct)
		p->to += direct;
	p->to_left -= direct;
	p->in_end += (size_t)n - direct;
	n = digest(p);
	if (path_acked(p) != acked)
		wake_done(p);
	return n ? (int)n : 1;
}
