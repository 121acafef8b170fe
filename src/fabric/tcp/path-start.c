/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that are begun and waited for later. The op of one that is under way is registered all
 * the time, though nobody may wait: whoever reads does what is to be done for it.
 */
#include "fabric/tcp/path.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/clock.h"

struct transfer {
	struct path_op op;
	struct fabric_piece piece;
	struct patience patience;
};

int path_start(FabricPath *path, struct fabric_user *user, bool put, uint64_t off, void *local,
	size_t n, struct fabric_started *started)
{
	struct tcp_path *p = tcp_path(path);
	struct transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->piece = (struct fabric_piece){.off = off, .local = local, .n = n};
	t->op.pieces = &t->piece;
	t->op.n_pieces = 1;
	path_op_begin(p, &t->op);
	r = put ? path_say_puts(p, user, &t->op, &t->op) : path_say_gets(p, user, &t->op);
	if (r) {
		(void)path_op_end(p, &t->op);
		free(t);
		return r;
	}
	started->insides = t;
	return 0;
}

int path_finish(FabricPath *path, struct fabric_started *started, uint64_t timeout)
{
	struct transfer *t = started->insides;
	uint64_t end = timeout ? clock_now() : 0;
	int r;

	if (__builtin_add_overflow(end, timeout, &end))
		end = UINT64_MAX;
	r = path_op_until(tcp_path(path), &t->op, &t->patience, end);
	if (r == -EAGAIN)
		return r;
	if (!r)
		r = t->op.status;
	started->insides = NULL;
	free(t);
	return r;
}
