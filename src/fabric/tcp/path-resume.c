/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on over another stream. What had no answer is said again in the old order under new
 * numbers, which begin behind `done`:
 *
 *   a put or signal above done	as it was, so it is had once
 *   … at or below done		as FRAME_CHECK: it has been carried out or has failed, and the
 *				check tells which
 *   a get			as it was
 *   an atomic at or below done	not: its answer is lost, STATUS_BROKEN
 *   a put not kept, above done	not: STATUS_BROKEN for its user
 */
#include "fabric/tcp/path.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/status.h"

struct renumbering {
	uint64_t acked, said; /* old */
	uint64_t *numbers;    /* the new ones of acked … said */
	uint64_t next;	      /* the new one of said + 1 */
};

static uint64_t renumber(const struct renumbering *n, uint64_t old)
{
	if (old < n->acked)
		return old;
	return old > n->said ? n->next : n->numbers[old - n->acked];
}

static bool is_atomic(const struct flight *f)
{
	return f->frame.type == FRAME_ADD || f->frame.type == FRAME_SWAP;
}

/* Nobody waits, and its bytes are the caller's again. */
static bool is_lost(const struct flight *f)
{
	return !f->op && !f->batch;
}

static void fail(struct tcp_path *p, const struct flight *f)
{
	if (!f->op)
		path_fail_user(p, f->tag, STATUS_BROKEN);
	else if (!f->op->status)
		f->op->status = STATUS_BROKEN;
}

/* What becomes of a flight; false: it is not said again. */
static bool convert(struct tcp_path *p, struct flight *f, bool done)
{
	if (is_atomic(f) && f->answered)
		return false;
	if (is_atomic(f) ? done : is_lost(f) && !done) {
		fail(p, f);
		return false;
	}
	f->answered = false;
	if (done && f->frame.type != FRAME_GET)
		f->frame.flags |= FRAME_CHECK;
	return true;
}

/* With gate, role and mutex. */
static void renumber_flights(
	struct tcp_path *p, uint64_t done, const struct flight *old, struct renumbering *n)
{
	uint64_t said = done;

	n->numbers[0] = done;
	for (uint64_t i = n->acked + 1; i <= n->said; i++) {
		struct flight f = old[i - n->acked - 1];

		if (convert(p, &f, i <= done)) {
			said++;
			*path_flight(p, said) = f;
			if (f.batch)
				f.batch->number = said;
		} else if (f.batch) {
			f.batch->number = 0;
		}
		n->numbers[i - n->acked] = said;
	}
	n->next = said + 1;
	atomic_store_explicit(&p->acked, done, memory_order_release);
	atomic_store_explicit(&p->said, said, memory_order_release);
}

static void renumber_waits(struct tcp_path *p, const struct renumbering *n)
{
	struct path_op *op;
	struct fabric_user *user;
	uint32_t i;

	list_for_each (op, &p->waiting, waiting)
		atomic_store_explicit(&op->last,
			renumber(n, atomic_load_explicit(&op->last, memory_order_relaxed)),
			memory_order_relaxed);
	idtable_for_each (&p->users, i, user)
		user->last = renumber(n, user->last);
}

static void write_put(struct tcp_path *p, struct flight *f)
{
	struct put_request r;
	struct cursor at = f->at;

	if (f->op)
		put_request_build(&r, f->op, &at);
	else
		r.n_iov = 2;
	frame_request_encode(r.head, &f->frame);
	r.iov[0] = (struct iovec){0};
	r.iov[1] = (struct iovec){r.head, FRAME_REQUEST_SIZE};
	if (f->frame.type == FRAME_PUT && f->frame.flags & FRAME_CHECK)
		r.n_iov = 2;
	path_write(p, r.iov, r.n_iov, WRITE_WITH_ROLE);
}

static void write_batch(struct tcp_path *p, struct flight *f)
{
	struct iovec iov = {f->batch->bytes, f->batch->used};

	frame_request_encode(f->batch->bytes, &f->frame);
	path_write(p, &iov, 1, WRITE_WITH_ROLE);
}

static void write_other(struct tcp_path *p, struct flight *f)
{
	uint8_t head[FRAME_REQUEST_SIZE + FRAME_ATOMIC_SIZE];
	struct iovec iov = {head, FRAME_REQUEST_SIZE + frame_request_tail(&f->frame)};

	frame_request_encode(head, &f->frame);
	frame_store64(head + FRAME_REQUEST_SIZE, f->words[0]);
	frame_store64(head + FRAME_REQUEST_SIZE + 8, f->words[1]);
	path_write(p, &iov, 1, WRITE_WITH_ROLE);
}

static void say_again(struct tcp_path *p, uint64_t from)
{
	uint64_t said = path_said(p);

	for (uint64_t i = from; i <= said && path_state(p) == PATH_UP; i++) {
		struct flight *f = path_flight(p, i);

		if (f->batch)
			write_batch(p, f);
		else if (f->frame.type == FRAME_PUT || f->frame.type == FRAME_BATCH)
			write_put(p, f);
		else
			write_other(p, f);
	}
}

/* Those that are complete without an answer. */
static void wake_all(struct tcp_path *p)
{
	struct path_op *op;

	list_for_each (op, &p->waiting, waiting)
		pthread_cond_signal(&op->wake);
}

/* Gate and role are ours. The stream is p's on success. */
static int take_stream(struct tcp_path *p, int fd, uint64_t done)
{
	struct renumbering n = {.acked = path_acked(p), .said = path_said(p)};
	_cleanup_free_ struct flight *old = NULL;
	_cleanup_free_ uint64_t *numbers = NULL;
	size_t n_flights = n.said - n.acked;

	if (done < n.acked || done > n.said)
		return -EBADMSG;
	old = malloc((n_flights + 1) * sizeof(*old));
	n.numbers = numbers = malloc((n_flights + 1) * sizeof(*numbers));
	if (!old || !numbers)
		return -ENOMEM;
	for (size_t i = 0; i < n_flights; i++)
		old[i] = *path_flight(p, n.acked + 1 + i);
	pthread_mutex_lock(&p->mutex);
	if (path_state(p) == PATH_ENDED) {
		pthread_mutex_unlock(&p->mutex);
		return p->ended;
	}
	renumber_flights(p, done, old, &n);
	renumber_waits(p, &n);
	fd_close(p->fd);
	p->fd = fd;
	path_read_reset(p);
	path_worn_begin(p);
	atomic_fetch_add_explicit(&p->progress, 1, memory_order_relaxed);
	atomic_store_explicit(&p->state, PATH_UP, memory_order_release);
	wake_all(p);
	pthread_mutex_unlock(&p->mutex);
	say_again(p, done + 1);
	return 0;
}

int path_resume(FabricPath *path, int fd, uint64_t done)
{
	struct tcp_path *p = tcp_path(path);
	int r;

	gate_enter(&p->gate);
	pthread_mutex_lock(&p->mutex);
	while (p->reading)
		pthread_cond_wait(&p->changed, &p->mutex);
	p->reading = true;
	pthread_mutex_unlock(&p->mutex);
	r = take_stream(p, fd, done);
	path_leave_role(p);
	gate_leave(&p->gate);
	return r;
}
