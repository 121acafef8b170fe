/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts that go straight from the caller's memory. Pieces that are small, or of elements, are
 * gathered as records of BATCH requests; others are PUT requests of up to FRAME_BULK_MAX, between
 * which other threads come in. How a request is made of its pieces depends on nothing else, so that
 * it can be made again.
 */
#include "fabric/tcp/path.h"

static const struct fabric_piece *piece_at(const struct path_op *op, struct cursor at)
{
	return &op->pieces[at.piece];
}

static size_t left_at(const struct path_op *op, struct cursor at)
{
	return piece_at(op, at)->n - at.at;
}

static bool is_record(const struct path_op *op, struct cursor at)
{
	return (left_at(op, at) <= FRAME_RECORD_MAX || op->width > 1) &&
	       piece_at(op, at)->off <= FRAME_OFFSET_MAX - piece_at(op, at)->n;
}

static size_t size_of_record(const struct path_op *op, struct cursor at)
{
	return MIN(left_at(op, at), FRAME_RECORD_MAX);
}

static void step(const struct path_op *op, struct cursor *at, size_t n)
{
	at->at += n;
	if (at->at < piece_at(op, *at)->n)
		return;
	at->piece++;
	at->at = 0;
}

static bool is_end(const struct path_op *op, struct cursor at)
{
	return at.piece >= op->n_pieces;
}

static void build_put(struct put_request *r, const struct path_op *op, struct cursor *at)
{
	const struct fabric_piece *piece = piece_at(op, *at);
	size_t n = MIN(left_at(op, *at), op->width > 1 ? FRAME_RECORD_MAX : FRAME_BULK_MAX);

	r->frame.type = FRAME_PUT;
	r->frame.width = (uint8_t)op->width;
	r->frame.off = piece->off + at->at;
	r->frame.size = (uint32_t)n;
	if (n)
		r->iov[r->n_iov++] = (struct iovec){(uint8_t *)piece->local + at->at, n};
	step(op, at, n);
	r->frame.flags = at->at ? FRAME_MORE : 0;
}

static void build_batch(struct put_request *r, const struct path_op *op, struct cursor *at)
{
	unsigned int i;

	r->frame.type = FRAME_BATCH;
	for (i = 0; i < RECORDS_MAX && !is_end(op, *at) && is_record(op, *at); i++) {
		const struct fabric_piece *piece = piece_at(op, *at);
		size_t n = size_of_record(op, *at);

		if (r->frame.size + FRAME_RECORD_HEAD + n > FRAME_BATCH_MAX)
			break;
		frame_record_encode(r->records[i], piece->off + at->at, frame_width_log2(op->width),
			(uint32_t)n);
		r->iov[r->n_iov++] = (struct iovec){r->records[i], FRAME_RECORD_HEAD};
		r->iov[r->n_iov++] = (struct iovec){(uint8_t *)piece->local + at->at, n};
		r->frame.size += FRAME_RECORD_HEAD + (uint32_t)n;
		r->frame.off += at->at == 0;
		step(op, at, n);
	}
	r->frame.flags = is_end(op, *at) ? 0 : FRAME_MORE;
}

void put_request_build(struct put_request *r, const struct path_op *op, struct cursor *at)
{
	bool alone = at->piece + 1 == op->n_pieces && left_at(op, *at) <= FRAME_RECORD_MAX;

	r->frame.size = 0;
	r->frame.off = 0;
	r->frame.width = 0;
	r->n_iov = 2;
	if (is_record(op, *at) && !alone)
		build_batch(r, op, at);
	else
		build_put(r, op, at);
	r->iov[0] = (struct iovec){0};
	r->iov[1] = (struct iovec){r->head, FRAME_REQUEST_SIZE};
}

size_t put_request_piece(const struct path_op *op, struct cursor at, uint32_t index)
{
	while (index-- && !is_end(op, at))
		step(op, &at, size_of_record(op, at));
	return MIN(at.piece, op->n_pieces - 1);
}

/* Says one request of the op. who: the op that waits for it, or NULL. */
static void say(struct tcp_path *p, struct fabric_user *user, struct path_op *op,
	struct path_op *who, struct cursor *at)
{
	struct put_request r;
	struct flight f = {.op = who, .at = *at};

	r.frame.key = user->key;
	put_request_build(&r, op, at);
	frame_request_encode(r.head, &r.frame);
	f.frame = r.frame;
	path_seal_batch(p, &r.iov[0]);
	path_add_flight(p, user, &f);
	path_write(p, r.iov, r.n_iov, r.frame.flags & FRAME_MORE ? WRITE_MORE : 0);
}

int path_say_puts(
	struct tcp_path *p, struct fabric_user *user, struct path_op *op, struct path_op *who)
{
	struct cursor at = {0};
	int r;

	while (!is_end(op, at)) {
		r = path_enter(p, 1, at.piece || at.at);
		if (r)
			return r;
		say(p, user, op, who, &at);
		gate_leave(&p->gate);
	}
	return 0;
}

static int put_and_wait(
	struct tcp_path *p, struct fabric_user *user, struct path_op *op, size_t *ret_done)
{
	int r, ended;

	path_op_begin(p, op);
	r = path_say_puts(p, user, op, op);
	ended = path_op_end(p, op);
	if (r || ended)
		return r ? r : ended;
	*ret_done = op->status ? op->failed : op->n_pieces;
	return op->status;
}

/* Elements and what fits into a record are collected; the rest goes its way at once from the
 * caller's memory, with what was collected before, and is neither kept nor waited for: to copy
 * 64 KiB costs as much as to send them. */
static int put_large_in_span(
	struct tcp_path *p, struct fabric_user *user, struct fabric_piece piece, unsigned int width)
{
	struct path_op op = {.pieces = &piece, .n_pieces = 1, .width = width};

	return path_say_puts(p, user, &op, NULL);
}

static int put_alone(
	struct tcp_path *p, struct fabric_user *user, struct fabric_piece piece, unsigned int width)
{
	struct path_op op = {.pieces = &piece, .n_pieces = 1, .width = width};
	size_t done;

	return put_and_wait(p, user, &op, &done);
}

int path_put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags)
{
	struct tcp_path *p = tcp_path(path);
	struct fabric_piece piece;

	if (flags & FABRIC_AT_ONCE)
		return path_span_put_at_once(p, user, off, src, n, width) ? 0 : -EAGAIN;
	if (flags & FABRIC_SPAN && (n <= FRAME_RECORD_MAX || width > 1))
		return path_span_put(p, user, off, src, n, width);
	piece = (struct fabric_piece){.off = off, .local = (void *)src, .n = n};
	return flags & FABRIC_SPAN ? put_large_in_span(p, user, piece, width)
				   : put_alone(p, user, piece, width);
}

int path_putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done)
{
	struct path_op op = {.pieces = pieces, .n_pieces = n_pieces};
	size_t done = 0;
	int r = 0;

	if (flags & FABRIC_SPAN)
		while (!r && done < n_pieces) {
			r = path_put(path, user, pieces[done].off, pieces[done].local,
				pieces[done].n, 0, flags);
			done += !r;
		}
	else if (n_pieces)
		r = put_and_wait(tcp_path(path), user, &op, &done);
	*ret_done = done;
	return r;
}
