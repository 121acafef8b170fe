/* SPDX-License-Identifier: Apache-2.0 */
/* The path over TCP: its making and end, its users, and the operations of one small request. */
#include "fabric/tcp/path.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/status.h"

static void tcp_path_free(FabricPath *path)
{
	struct tcp_path *p = tcp_path(path);

	for (unsigned int i = 0; i < p->n_batches; i++)
		free(p->batches[i]);
	free(p->flights);
	idtable_deinit(&p->users);
	fd_close(p->fd);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

static int tcp_add_user(FabricPath *path, struct fabric_user *user)
{
	struct tcp_path *p = tcp_path(path);
	uint32_t index;
	int r;

	pthread_mutex_lock(&p->mutex);
	r = idtable_add(&p->users, user, &index);
	if (!r) {
		atomic_init(&user->status, 0);
		user->last = 0;
		user->tag = ++p->tags << 16 | index;
	}
	pthread_mutex_unlock(&p->mutex);
	return r;
}

static void tcp_remove_user(FabricPath *path, struct fabric_user *user)
{
	struct tcp_path *p = tcp_path(path);

	gate_enter(&p->gate);
	if (p->batch_user ==
		user) /* what it holds leaves with the next; another may not extend it */
		p->batch_user = NULL;
	pthread_mutex_lock(&p->mutex);
	idtable_remove(&p->users, user->tag & TAG_INDEX);
	pthread_mutex_unlock(&p->mutex);
	gate_leave(&p->gate);
}

/* Says one request that has no bytes but its words, and waits. */
static int ask(struct tcp_path *p, struct fabric_user *user, const struct flight *given)
{
	struct fabric_piece none = {0};
	struct path_op op = {.pieces = &none, .n_pieces = 1};
	struct flight f = *given;
	uint8_t head[FRAME_REQUEST_SIZE + FRAME_ATOMIC_SIZE];
	struct iovec iov[2] = {{0}, {head, FRAME_REQUEST_SIZE + frame_request_tail(&f.frame)}};
	int r, ended;

	f.op = &op;
	f.frame.key = user->key;
	frame_request_encode(head, &f.frame);
	frame_store64(head + FRAME_REQUEST_SIZE, f.words[0]);
	frame_store64(head + FRAME_REQUEST_SIZE + 8, f.words[1]);
	path_op_begin(p, &op);
	r = path_enter(p, 1, false);
	if (!r) {
		path_seal_batch(p, &iov[0]);
		path_add_flight(p, user, &f);
		path_write(p, iov, 2, 0);
		gate_leave(&p->gate);
	}
	ended = path_op_end(p, &op);
	if (r || ended)
		return r ? r : ended;
	return op.status;
}

static int tcp_atomic(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
	bool compare, uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	uint8_t old[8];
	struct flight f = {.frame = {.type = compare ? FRAME_SWAP : FRAME_ADD,
				   .width = (uint8_t)width,
				   .size = width,
				   .off = off},
		.words = {compare ? expected : value, compare ? value : 0},
		.old = old};
	int r = ask(tcp_path(path), user, &f);

	if (!r)
		*ret_old = frame_load64(old);
	return r;
}

static int tcp_signal(FabricPath *path, struct fabric_user *user, bool accumulate)
{
	struct flight f = {
		.frame = {.type = FRAME_SIGNAL, .flags = accumulate ? FRAME_ACCUMULATE : 0}};

	return ask(tcp_path(path), user, &f);
}

static int tcp_order(FabricPath *path, struct fabric_user *user)
{
	struct tcp_path *p = tcp_path(path);
	uint64_t number;
	int r = path_flush(path);

	if (r || path_state(p) == PATH_ENDED)
		return r ? r : p->ended;
	gate_enter(&p->gate);
	number = user ? user->last : path_said(p);
	gate_leave(&p->gate);
	return path_wait(p, number);
}

static int init_locks(struct tcp_path *p)
{
	int r = -pthread_mutex_init(&p->mutex, NULL);

	gate_init(&p->gate);
	if (!r)
		r = -pthread_cond_init(&p->changed, NULL);
	return r;
}

/* The locks may be held by threads that are not in this process. */
static void tcp_abandon(FabricPath *path)
{
	struct tcp_path *p = tcp_path(path);

	init_locks(p);
	list_init(&p->waiting);
	p->reading = p->mending = false;
	p->batch_user = NULL;
	atomic_store(&p->batch, NULL);
	p->fd = fd_close(p->fd);
	p->ended = STATUS_FORKED;
	atomic_store(&p->state, PATH_ENDED);
}

static const struct fabric_path_ops ops = {
	.free = tcp_path_free,
	.add_user = tcp_add_user,
	.remove_user = tcp_remove_user,
	.put = path_put,
	.get = path_get,
	.putv = path_putv,
	.getv = path_getv,
	.atomic = tcp_atomic,
	.signal = tcp_signal,
	.flush = path_flush,
	.order = tcp_order,
	.resume = path_resume,
	.start = path_start,
	.finish = path_finish,
	.abandon = tcp_abandon,
};

static void choose_batches(struct tcp_path *p)
{
	size_t smallest = FRAME_REQUEST_SIZE + FRAME_RECORD_HEAD + FRAME_RECORD_MAX;
	size_t size = MIN(p->options.span_buffer, (size_t)FRAME_BATCH_MAX / 2);

	p->limit = (uint32_t)size;
	p->batch_size = (uint32_t)MAX(size, smallest);
	p->n_batches = (unsigned int)MIN(MAX(KEPT_MAX / p->batch_size, BATCHES_MIN), BATCHES_MAX);
}

int fabric_tcp_path_new(int fd, const struct fabric_path_options *options, FabricPath **ret_path)
{
	struct tcp_path *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->base.ops = &ops;
	p->options = *options;
	p->fd = -1;
	list_init(&p->waiting);
	idtable_init(&p->users, TAG_INDEX + 1);
	choose_batches(p);
	r = init_locks(p);
	p->flights = calloc(FLIGHTS, sizeof(*p->flights));
	if (!p->flights)
		r = -ENOMEM;
	if (r) {
		tcp_path_free(&p->base);
		return r;
	}
	p->fd = fd;
	path_worn_begin(p);
	*ret_path = &p->base;
	return 0;
}
