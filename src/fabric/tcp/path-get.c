/* SPDX-License-Identifier: Apache-2.0 */
/* Gets: their requests are said many at a time; the reader stores the answers where they belong. */
#include "fabric/tcp/path.h"

#define BURST_MAX 32u

static void build(struct flight *f, const struct path_op *op, struct cursor *at)
{
	const struct fabric_piece *piece = &op->pieces[at->piece];
	size_t n = MIN(piece->n - at->at, op->width > 1 ? FRAME_RECORD_MAX : FRAME_BULK_MAX);

	f->at = *at;
	f->frame.off = piece->off + at->at;
	f->frame.size = (uint32_t)n;
	at->at += n;
	if (at->at < piece->n) {
		f->frame.flags = FRAME_MORE;
		return;
	}
	f->frame.flags = 0;
	at->piece++;
	at->at = 0;
}

static void say_burst(
	struct tcp_path *p, struct fabric_user *user, struct path_op *op, struct cursor *at)
{
	struct flight f = {
		.frame = {.type = FRAME_GET, .width = (uint8_t)op->width, .key = user->key},
		.op = op};
	uint8_t heads[BURST_MAX][FRAME_REQUEST_SIZE];
	struct iovec iov[2] = {{0}, {heads, 0}};

	path_seal_batch(p, &iov[0]);
	for (unsigned int i = 0; i < BURST_MAX && at->piece < op->n_pieces; i++) {
		build(&f, op, at);
		frame_request_encode(heads[i], &f.frame);
		path_add_flight(p, user, &f);
		iov[1].iov_len += FRAME_REQUEST_SIZE;
	}
	path_write(p, iov, 2, 0);
}

int path_say_gets(struct tcp_path *p, struct fabric_user *user, struct path_op *op)
{
	struct cursor at = {0};
	int r;

	while (at.piece < op->n_pieces) {
		r = path_enter(p, BURST_MAX, at.piece || at.at);
		if (r)
			return r;
		say_burst(p, user, op, &at);
		gate_leave(&p->gate);
	}
	return 0;
}

static int get(struct tcp_path *p, struct fabric_user *user, struct path_op *op, size_t *ret_done)
{
	int r, ended;

	path_op_begin(p, op);
	r = path_say_gets(p, user, op);
	ended = path_op_end(p, op);
	if (r || ended)
		return r ? r : ended;
	*ret_done = op->status ? op->failed : op->n_pieces;
	return op->status;
}

int path_get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width)
{
	struct fabric_piece piece = {.off = off, .local = dst, .n = n};
	struct path_op op = {.pieces = &piece, .n_pieces = 1, .width = width};
	size_t done;

	return get(tcp_path(path), user, &op, &done);
}

int path_getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done)
{
	struct path_op op = {.pieces = pieces, .n_pieces = n_pieces};
	size_t done = 0;
	int r = 0;

	if (n_pieces)
		r = get(tcp_path(path), user, &op, &done);
	*ret_done = done;
	return r;
}
