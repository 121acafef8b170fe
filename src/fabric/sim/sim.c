/* SPDX-License-Identifier: Apache-2.0 */
/* The world: clock, chance, streams and what is under way on them. */
#include "fabric/sim/world.h"

#include <stdlib.h>

#define STREAMS_MAX 4096u

int sim_new(const struct sim_options *options, Sim **ret_sim)
{
	Sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return -ENOMEM;
	sim->options = *options;
	sim->random = options->seed;
	idtable_init(&sim->streams, STREAMS_MAX);
	*ret_sim = sim;
	return 0;
}

void sim_free(Sim *sim)
{
	struct stream *s;
	uint32_t i;

	if (!sim)
		return;
	idtable_for_each (&sim->streams, i, s)
		free(s);
	idtable_deinit(&sim->streams);
	free(sim);
}

uint64_t sim_now(const Sim *sim)
{
	return sim->now;
}

void sim_set_loss(Sim *sim, uint32_t loss)
{
	sim->options.loss = loss;
}

void sim_cut(Sim *sim)
{
	sim->cut = true;
}

void sim_heal(Sim *sim)
{
	sim->cut = false;
}

void sim_advance(Sim *sim, uint64_t ns)
{
	sim_run(sim, sim->now + ns);
}

static uint64_t draw(Sim *sim, uint64_t below)
{
	sim->random = sim->random * 6364136223846793005u + 1442695040888963407u;
	return (sim->random >> 33) % below;
}

/* --- streams --- */

int sim_stream(Sim *sim)
{
	struct stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = idtable_add(&sim->streams, s, &s->id);
	if (r) {
		free(s);
		return r;
	}
	return (int)s->id;
}

struct stream *sim_find_stream(Sim *sim, int id)
{
	return id < 0 ? NULL : idtable_get(&sim->streams, (uint32_t)id);
}

void sim_end_stream(Sim *sim, struct stream *s)
{
	if (s->path)
		s->path->stream = NULL;
	idtable_remove(&sim->streams, s->id);
	free(s);
}

void sim_stream_break(Sim *sim, int id)
{
	struct stream *s = sim_find_stream(sim, id);
	struct sim_target *t;
	uint64_t connection;

	if (!s)
		return;
	t = s->target;
	connection = s->connection;
	sim_end_stream(sim, s);
	if (!t)
		return;
	keys_forget(&t->keys, connection);
	t->ops->closed(t->userdata, connection, NULL);
}

void sim_send(Sim *sim, struct stream *s, struct sim_op *op, bool back)
{
	uint64_t spread = sim->options.delay_max - sim->options.delay_min;
	uint64_t *latest = back ? &s->back : &s->there;

	op->state = back ? OP_COMING : OP_GOING;
	op->at = sim->now + sim->options.delay_min + (spread ? draw(sim, spread + 1) : 0);
	op->at = *latest = MAX(op->at, *latest);
	op->lost = sim->options.loss && draw(sim, 1000000) < sim->options.loss;
}

/* --- the clock --- */

/* The first to arrive on this stream, either way; each way keeps its order. */
static struct sim_op *first_of(const struct stream *s)
{
	struct sim_op *op, *first = NULL;
	bool coming = false, going = false;

	if (!s->path || !s->target)
		return NULL;
	list_for_each (op, &s->path->ops, link) {
		bool *seen = op->state == OP_COMING ? &coming : &going;

		if (op->state == OP_COLLECTED || *seen || (op->state == OP_GOING && s->parked))
			continue;
		*seen = true;
		if (!first || op->at < first->at)
			first = op;
	}
	return first;
}

static struct sim_op *first_of_all(Sim *sim, struct stream **ret_stream)
{
	struct sim_op *op, *first = NULL;
	struct stream *s;
	uint32_t i;

	idtable_for_each (&sim->streams, i, s) {
		op = sim->cut ? NULL : first_of(s);
		if (!op || (first && first->at <= op->at))
			continue;
		first = op;
		*ret_stream = s;
	}
	return first;
}

uint64_t sim_next(Sim *sim)
{
	struct stream *s;
	const struct sim_op *op = first_of_all(sim, &s);

	return op ? MAX(op->at, sim->now) : UINT64_MAX;
}

static void arrive(Sim *sim, struct stream *s, struct sim_op *op)
{
	if (op->lost) {
		sim_stream_break(sim, (int)s->id);
	} else if (op->state == OP_COMING) {
		sim_answered(s->path, op);
	} else {
		s->parked = true; /* until it may try again, which may be at once */
		if (!sim_carry_out(s, op))
			return;
		s->parked = false;
		sim_send(sim, s, op, true);
	}
}

void sim_run(Sim *sim, uint64_t until)
{
	struct stream *s;
	struct sim_op *op;

	while ((op = first_of_all(sim, &s)) && op->at <= until) {
		sim->now = MAX(sim->now, op->at);
		arrive(sim, s, op);
	}
	sim->now = MAX(sim->now, until);
}
