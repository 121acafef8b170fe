/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/sim/world.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "wire/message.h"
#include "wire/status.h"

static struct sim_target *sim_target(FabricTarget *target)
{
	return container_of(target, struct sim_target, base);
}

/* --- what arrives --- */

static int judge(const struct key *key, const struct stream *s, const struct sim_op *op)
{
	static const uint32_t rights[] = {[OP_PUT] = WIRE_WRITE,
		[OP_GET] = WIRE_READ,
		[OP_ADD] = WIRE_READ | WIRE_WRITE,
		[OP_SWAP] = WIRE_READ | WIRE_WRITE,
		[OP_SIGNAL] = 0};

	return key_check(key, s->connection, op->off, op->n, op->width, rights[op->kind]);
}

/* Goes on where it was left. -EAGAIN: it must wait. */
static int copy(const struct sim_target *t, const struct key *key, struct sim_op *op)
{
	int r = 0;

	while (!r && op->progress < op->n) {
		uint64_t off = op->off + op->progress;
		uint8_t *data = op->data + op->progress;
		size_t n = MIN(op->n - op->progress, COPY_MAX);

		n = key_claim(t->ops, t->userdata, key, off, n, op->kind == OP_PUT);
		if (!n)
			return -EAGAIN;
		r = op->kind == OP_PUT ? key_store(key, off, data, n, op->width)
				       : key_load(key, off, data, n, op->width);
		key_unclaim(t->ops, t->userdata, key, off, n);
		op->progress += n;
	}
	return r;
}

static int atomic(const struct sim_target *t, const struct key *key, struct sim_op *op)
{
	int r;

	if (!key_claim(t->ops, t->userdata, key, op->off, op->width, true))
		return -EAGAIN;
	r = key_atomic(
		key, op->off, op->width, op->kind == OP_SWAP, op->expected, op->value, &op->old);
	key_unclaim(t->ops, t->userdata, key, op->off, op->width);
	return r;
}

static int do_it(const struct sim_target *t, struct key *key, struct sim_op *op)
{
	bool puts = op->kind != OP_GET && op->kind != OP_SIGNAL;
	bool gets = op->kind != OP_PUT && op->kind != OP_SIGNAL;
	int r = 0;

	if (op->kind == OP_SIGNAL)
		t->ops->post(t->userdata, key->region.userdata, op->accumulate);
	else if (op->kind == OP_PUT || op->kind == OP_GET)
		r = copy(t, key, op);
	else
		r = atomic(t, key, op);
	if (r)
		return r;
	key->traffic.posts += op->kind == OP_SIGNAL;
	key->traffic.puts += puts;
	key->traffic.gets += gets;
	key->traffic.put_bytes += puts ? op->n : 0;
	key->traffic.get_bytes += gets ? op->n : 0;
	return 0;
}

bool sim_carry_out(struct stream *s, struct sim_op *op)
{
	struct key *key = keys_find(&s->target->keys, &op->key);

	op->status = judge(key, s, op);
	if (!op->status && !op->checked)
		op->status = do_it(s->target, key, op);
	if (op->status == -EAGAIN)
		return false;
	op->progress = 0;
	atomic_fetch_add(s->done, 1);
	return true;
}

/* --- the tables --- */

static struct stream *find(struct sim_target *t, uint64_t connection)
{
	struct stream *s;
	uint32_t i;

	idtable_for_each (&t->sim->streams, i, s)
		if (s->target == t && s->connection == connection)
			return s;
	return NULL;
}

static int attach(FabricTarget *target, uint64_t connection, int fd, _Atomic uint64_t *done)
{
	struct sim_target *t = sim_target(target);
	struct stream *s = sim_find_stream(t->sim, fd);

	if (!connection || !s)
		return -EINVAL;
	if (s->target || find(t, connection))
		return -EEXIST;
	s->target = t;
	s->connection = connection;
	s->done = done;
	return 0;
}

static void detach(FabricTarget *target, uint64_t connection)
{
	struct sim_target *t = sim_target(target);
	struct stream *s = find(t, connection);

	if (!s)
		return;
	keys_forget(&t->keys, connection);
	sim_end_stream(t->sim, s);
}

static int grant(
	FabricTarget *target, const struct fabric_key *key, const struct fabric_region *region)
{
	return keys_add(&sim_target(target)->keys, key, region);
}

static void revoke_key(FabricTarget *target, const struct fabric_key *key)
{
	struct sim_target *t = sim_target(target);
	struct key *k = keys_find(&t->keys, key);
	struct stream *s;

	if (!k)
		return;
	s = find(t, k->region.connection);
	keys_revoke(&t->keys, k, s);
	if (s)
		s->parked = false;
}

static int set_coherent(FabricTarget *target, const struct fabric_key *key, void *coherent)
{
	struct sim_target *t = sim_target(target);
	struct key *k = keys_find(&t->keys, key);
	struct stream *s;

	if (!k)
		return -ENOENT;
	k->region.coherent = coherent;
	s = find(t, k->region.connection);
	if (s)
		s->parked = false;
	return 0;
}

static void retry(FabricTarget *target)
{
	struct sim_target *t = sim_target(target);
	struct stream *s;
	uint32_t i;

	idtable_for_each (&t->sim->streams, i, s)
		if (s->target == t)
			s->parked = false;
}

static int traffic(
	FabricTarget *target, const struct fabric_key *key, struct fabric_traffic *ret_traffic)
{
	const struct key *k = keys_find(&sim_target(target)->keys, key);

	if (!k)
		return -ENOENT;
	*ret_traffic = k->traffic;
	return 0;
}

static void target_free(FabricTarget *target)
{
	struct sim_target *t = sim_target(target);
	struct stream *s;
	uint32_t i;

	idtable_for_each (&t->sim->streams, i, s)
		if (s->target == t)
			sim_end_stream(t->sim, s);
	keys_deinit(&t->keys);
	free(t);
}

static void do_nothing(FabricTarget *target)
{
}

static const struct fabric_target_backend backend = {
	.free = target_free,
	.run = do_nothing,
	.stop = do_nothing,
	.attach = attach,
	.detach = detach,
	.grant = grant,
	.revoke = revoke_key,
	.set_coherent = set_coherent,
	.retry = retry,
	.traffic = traffic,
};

int sim_target_new(
	Sim *sim, const struct fabric_target_ops *ops, void *userdata, FabricTarget **ret_target)
{
	struct sim_target *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->base.backend = &backend;
	t->sim = sim;
	t->ops = ops;
	t->userdata = userdata;
	keys_init(&t->keys);
	*ret_target = &t->base;
	return 0;
}
