/* SPDX-License-Identifier: Apache-2.0 */
/* The initiator: each call is one message, each piece of a vector one. */
#include "fabric/sim/world.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/status.h"

#define SLICE	 NSEC_PER_SEC /* check() is asked that often */
#define KEPT_MAX 65536u	      /* a larger put of a span is not said again */
#define SPAN_MAX 256u	      /* puts under way */

static struct sim_path *sim_path(FabricPath *path)
{
	return container_of(path, struct sim_path, base);
}

static void op_free(struct sim_op *op)
{
	list_unlink(&op->link);
	free(op->data);
	free(op);
}

static void settle(struct sim_op *op, int status)
{
	int none = 0;

	if (op->answer) {
		op->answer->there = true;
		op->answer->status = status;
	} else if (status && op->user) {
		atomic_compare_exchange_strong(&op->user->status, &none, status);
	}
}

void sim_answered(struct sim_path *p, struct sim_op *op)
{
	p->acked++;
	settle(op, op->status);
	if (!op->status && op->answer && op->answer->data) {
		if (op->kind == OP_GET)
			memcpy(op->answer->data, op->data, op->n);
		else
			memcpy(op->answer->data, &op->old, sizeof(op->old));
	}
	op_free(op);
}

/* --- waiting --- */

static void send_collected(struct sim_path *p)
{
	struct sim_op *op;

	if (!p->stream)
		return;
	list_for_each (op, &p->ops, link)
		if (op->state == OP_COLLECTED)
			sim_send(p->sim, p->stream, op, false);
	p->collected = 0;
}

static int mend(struct sim_path *p)
{
	int r = p->options.repair ? p->options.repair(p->options.userdata, &p->base)
				  : STATUS_BROKEN;

	if (r)
		p->ended = r;
	return r;
}

/* One arrival, or a second without any. */
static int wait_some(struct sim_path *p, uint64_t since)
{
	uint64_t now = p->sim->now, next = sim_next(p->sim);
	int r;

	if (!p->stream)
		return mend(p);
	sim_run(p->sim, MIN(next, now + SLICE));
	if (next - now < SLICE)
		return 0;
	r = p->options.check ? p->options.check(p->options.userdata) : 0;
	if (!r && p->options.stall && p->sim->now - since >= p->options.stall)
		r = STATUS_TIMED_OUT;
	p->ended = r;
	return r;
}

/* What is waited for: one answer, or that there are not more than `most` of the user's (NULL: of
 * all) without one. */
struct wish {
	const struct answer *answer;
	const struct fabric_user *user;
	size_t most;
};

static bool is_fulfilled(const struct sim_path *p, const struct wish *w)
{
	const struct sim_op *op;
	size_t n = 0;

	if (w->answer)
		return w->answer->there;
	list_for_each (op, &p->ops, link)
		n += !w->user || op->user == w->user;
	return n <= w->most;
}

static int wait_for(struct sim_path *p, const struct wish *w)
{
	uint64_t acked = p->acked, since = p->sim->now;
	int r = p->ended;

	send_collected(p);
	while (!r && !is_fulfilled(p, w)) {
		if (p->acked != acked) {
			acked = p->acked;
			since = p->sim->now;
		}
		r = wait_some(p, since);
	}
	return r;
}

/* Puts of spans without an answer are bounded. */
static int wait_for_room(struct sim_path *p)
{
	return wait_for(p, &(struct wish){.most = SPAN_MAX});
}

/* --- operations --- */

/* Makes the op, a copy of what is given, the path's last. */
static int say(
	struct sim_path *p, struct fabric_user *user, const struct sim_op *given, const void *src)
{
	_cleanup_free_ struct sim_op *op = malloc(sizeof(*op));

	if (!op)
		return -ENOMEM;
	*op = *given;
	op->data = calloc(1, op->n + 1);
	if (!op->data)
		return -ENOMEM;
	if (src && op->n)
		memcpy(op->data, src, op->n);
	op->user = user;
	op->key = user->key;
	op->state = OP_COLLECTED;
	list_append(&p->ops, &((struct sim_op *)take_ptr(op))->link);
	return 0;
}

static int ask(struct sim_path *p, struct fabric_user *user, const struct sim_op *given,
	const void *src, void *dst)
{
	struct answer answer = {.data = dst};
	struct wish wish = {.answer = &answer};
	struct sim_op op = *given, *o;
	int r = p->ended;

	op.kept = true;
	op.answer = &answer;
	if (!r)
		r = say(p, user, &op, src);
	if (!r)
		r = wait_for(p, &wish);
	list_for_each (o, &p->ops, link)
		if (o->answer == &answer)
			o->answer = NULL;
	return r ? r : answer.status;
}

static int put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags)
{
	struct sim_path *p = sim_path(path);
	struct sim_op op = {.kind = OP_PUT, .off = off, .n = n, .width = width};
	int r;

	if (flags & FABRIC_AT_ONCE)
		return -EAGAIN;
	if (!(flags & FABRIC_SPAN))
		return ask(p, user, &op, src, NULL);
	if (p->ended)
		return p->ended;
	op.kept = n <= KEPT_MAX;
	r = say(p, user, &op, src);
	if (r)
		return r;
	p->collected += n;
	if (p->collected >= p->options.span_buffer)
		send_collected(p);
	return wait_for_room(p);
}

static int get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width)
{
	struct sim_op op = {.kind = OP_GET, .off = off, .n = n, .width = width};

	return ask(sim_path(path), user, &op, NULL, dst);
}

static int putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done)
{
	size_t i;
	int r = 0;

	for (i = 0; !r && i < n_pieces; i++)
		r = put(path, user, pieces[i].off, pieces[i].local, pieces[i].n, 0, flags);
	*ret_done = r ? i - 1 : i;
	return r;
}

static int getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done)
{
	size_t i;
	int r = 0;

	for (i = 0; !r && i < n_pieces; i++)
		r = get(path, user, pieces[i].off, pieces[i].local, pieces[i].n, 0);
	*ret_done = r ? i - 1 : i;
	return r;
}

static int atomic(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
	bool compare, uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	struct sim_op op = {.kind = compare ? OP_SWAP : OP_ADD,
		.off = off,
		.n = width,
		.width = width,
		.expected = expected,
		.value = value};

	return ask(sim_path(path), user, &op, NULL, ret_old);
}

static int signal_home(FabricPath *path, struct fabric_user *user, bool accumulate)
{
	struct sim_op op = {.kind = OP_SIGNAL, .accumulate = accumulate};

	return ask(sim_path(path), user, &op, NULL, NULL);
}

static int flush(FabricPath *path)
{
	send_collected(sim_path(path));
	return sim_path(path)->ended;
}

static int order(FabricPath *path, struct fabric_user *user)
{
	struct sim_path *p = sim_path(path);

	return wait_for(p, &(struct wish){.user = user});
}

/* --- going on over another stream; what becomes of whom stands in tcp/path-resume.c --- */

static bool convert(struct sim_op *op, bool done)
{
	bool atomic_op = op->kind == OP_ADD || op->kind == OP_SWAP;

	if (atomic_op ? done : !op->kept && !done) {
		settle(op, STATUS_BROKEN);
		return false;
	}
	op->checked |= done && op->kind != OP_GET;
	op->state = OP_COLLECTED;
	op->progress = 0;
	return true;
}

static uint64_t said(const struct sim_path *p)
{
	uint64_t n = p->acked;

	for (const struct list *l = p->ops.next; l != &p->ops; l = l->next)
		n++;
	return n;
}

static int resume(FabricPath *path, int fd, uint64_t done)
{
	struct sim_path *p = sim_path(path);
	struct stream *s = sim_find_stream(p->sim, fd);
	struct sim_op *op, *next;
	uint64_t n = p->acked;

	if (!s || s->path || done < n || done > said(p))
		return -EBADMSG;
	list_for_each_safe (op, next, &p->ops, link)
		if (!convert(op, ++n <= done))
			op_free(op);
	p->acked = done;
	if (p->stream)
		p->stream->path = NULL;
	p->stream = s;
	s->path = p;
	send_collected(p);
	return 0;
}

/* --- paths --- */

static int add_user(FabricPath *path, struct fabric_user *user)
{
	static uint32_t tags;

	atomic_init(&user->status, 0);
	user->tag = ++tags;
	return 0;
}

static void remove_user(FabricPath *path, struct fabric_user *user)
{
	struct sim_op *op;

	list_for_each (op, &sim_path(path)->ops, link)
		if (op->user == user)
			op->user = NULL;
}

static void abandon(FabricPath *path)
{
	struct sim_path *p = sim_path(path);
	struct sim_op *op, *next;

	list_for_each_safe (op, next, &p->ops, link)
		op_free(op);
	if (p->stream)
		p->stream->path = NULL;
	p->stream = NULL;
	p->ended = STATUS_FORKED;
}

static void path_free(FabricPath *path)
{
	struct sim_path *p = sim_path(path);
	struct stream *s = p->stream;

	abandon(path);
	if (s)
		sim_stream_break(p->sim, (int)s->id);
	free(p);
}

static const struct fabric_path_ops ops = {
	.free = path_free,
	.add_user = add_user,
	.remove_user = remove_user,
	.put = put,
	.get = get,
	.putv = putv,
	.getv = getv,
	.atomic = atomic,
	.signal = signal_home,
	.flush = flush,
	.order = order,
	.resume = resume,
	.abandon = abandon,
};

int sim_path_new(
	Sim *sim, int stream, const struct fabric_path_options *options, FabricPath **ret_path)
{
	struct stream *s = sim_find_stream(sim, stream);
	struct sim_path *p;

	if (!s || s->path)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->base.ops = &ops;
	p->sim = sim;
	p->options = *options;
	p->stream = s;
	list_init(&p->ops);
	s->path = p;
	*ret_path = &p->base;
	return 0;
}
