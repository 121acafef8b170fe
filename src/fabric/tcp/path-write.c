/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saying requests, with the gate. What the stream does not take because it broke counts as said:
 * resume says it again. While the stream is full its answers are read: the target stops reading if
 * we do.
 */
#include "fabric/tcp/path.h"

#include <poll.h>
#include <sys/socket.h>

/* With the gate: whether n more requests may be said now; false: *ret_wait_for, if it is not 0,
 * must be answered first, else the stream must be mended. */
static bool may_say(struct tcp_path *p, unsigned int n, uint64_t *ret_wait_for)
{
	uint64_t room_from = path_said(p) + n + 1;

	*ret_wait_for = 0;
	if (path_state(p) != PATH_UP)
		return false;
	if (room_from > path_acked(p) + FLIGHTS) {
		*ret_wait_for = room_from - FLIGHTS;
		return false;
	}
	if (likely(!path_is_worn(p)))
		return true;
	path_retire(p);
	return false;
}

int path_enter(struct tcp_path *p, unsigned int n, bool again)
{
	for (;;) {
		uint64_t wait_for;
		int r;

		if (again)
			gate_return(&p->gate);
		else
			gate_enter(&p->gate);
		if (may_say(p, n, &wait_for))
			return 0;
		gate_leave(&p->gate);
		r = wait_for ? path_wait(p, wait_for) : path_mend(p);
		if (r)
			return r;
	}
}

void path_add_flight(struct tcp_path *p, struct fabric_user *user, const struct flight *flight)
{
	uint64_t number = path_said(p) + 1;
	struct flight *f = path_flight(p, number);

	*f = *flight;
	if (user) {
		f->tag = user->tag;
		user->last = number;
	}
	if (f->op)
		atomic_store_explicit(&f->op->last, number, memory_order_relaxed);
	atomic_store_explicit(&p->said, number, memory_order_release);
}

size_t path_seal_batch(struct tcp_path *p, struct iovec *iov)
{
	struct batch *b = atomic_load_explicit(&p->batch, memory_order_relaxed);
	struct flight f = {.frame = p->batch_frame, .batch = b, .tag = p->batch_tag};

	*iov = (struct iovec){0};
	if (!b)
		return 0;
	f.frame.size = b->used - FRAME_REQUEST_SIZE;
	frame_request_encode(b->bytes, &f.frame);
	path_add_flight(p, NULL, &f);
	b->number = path_said(p);
	*iov = (struct iovec){b->bytes, b->used};
	atomic_store_explicit(&p->batch, NULL, memory_order_relaxed);
	p->batch_user = NULL;
	return 1;
}

/* Waits until the stream takes more, or has broken. */
static void wait_for_room(struct tcp_path *p, struct patience *patience, bool has_role)
{
	bool taken = !has_role && path_take_role(p);
	int r = 0;

	if (has_role || taken)
		r = path_read(p);
	if (r < 0)
		path_broke(p);
	else if (r == 0)
		path_poll(p, patience, (short)(has_role || taken ? POLLIN | POLLOUT : POLLOUT),
			UINT64_MAX);
	if (taken)
		path_leave_role(p);
}

/* What has been sent is taken off the front. */
static void skip(struct msghdr *m, size_t sent)
{
	while (m->msg_iovlen && sent >= m->msg_iov->iov_len) {
		sent -= m->msg_iov->iov_len;
		m->msg_iov++;
		m->msg_iovlen--;
	}
	if (sent) {
		m->msg_iov->iov_base = (uint8_t *)m->msg_iov->iov_base + sent;
		m->msg_iov->iov_len -= sent;
	}
}

void path_write(struct tcp_path *p, struct iovec *iov, size_t n_iov, unsigned int flags)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n_iov};
	int how = MSG_DONTWAIT | MSG_NOSIGNAL | (flags & WRITE_MORE ? MSG_MORE : 0);
	struct patience patience = {0};

	skip(&m, 0);
	while (m.msg_iovlen && path_state(p) == PATH_UP) {
		ssize_t n = sendmsg(p->fd, &m, how);

		if (n >= 0) {
			atomic_fetch_add_explicit(&p->progress, 1, memory_order_relaxed);
			skip(&m, (size_t)n);
		} else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
			wait_for_room(p, &patience, flags & WRITE_WITH_ROLE);
		} else if (errno != EINTR) {
			path_broke(p);
		}
	}
}
