/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_SIM_WORLD_H
#define FABRIC_SIM_WORLD_H

/* The simulation's insides: world, target and path, each in a file of its own. */

#include "base/idtable.h"
#include "base/list.h"
#include "fabric/backend.h"
#include "fabric/keys.h"
#include "fabric/sim/sim.h"

enum op_kind {
	OP_PUT,
	OP_GET,
	OP_ADD,
	OP_SWAP,
	OP_SIGNAL,
};

enum op_state {
	OP_COLLECTED, /* by a span, not sent */
	OP_GOING,
	OP_COMING, /* carried out, the answer is under way */
};

struct answer;

struct sim_op {
	struct list link; /* in its path's ops */
	enum op_kind kind;
	enum op_state state;
	bool lost;		  /* on the present way */
	bool checked;		  /* carried out before; only its status is wanted */
	bool kept;		  /* said again if need be */
	uint64_t at;		  /* arrives */
	struct fabric_user *user; /* NULL: it has gone */
	struct fabric_key key;
	uint64_t off;
	uint8_t *data; /* a put's, or what a get found */
	size_t n;
	unsigned int width;
	uint64_t expected, value, old;
	bool accumulate;
	size_t progress; /* bytes that have been copied, while it awaits a claim */
	int status;
	struct answer *answer; /* of who waits; NULL: nobody does */
};

struct answer {
	bool there;
	int status;
	void *data;
};

struct sim_path {
	FabricPath base;
	Sim *sim;
	struct fabric_path_options options;
	struct stream *stream; /* NULL: broken */
	struct list ops;       /* without an answer, in order */
	uint64_t acked;	       /* number of the latest with an answer */
	size_t collected;
	int ended;
};

struct stream {
	uint32_t id;
	struct sim_path *path;
	struct sim_target *target;
	uint64_t connection;
	_Atomic uint64_t *done;
	uint64_t there, back; /* when the latest of each way arrives */
	bool parked;	      /* the first to arrive awaits a claim, the others await it */
};

struct sim_target {
	FabricTarget base;
	Sim *sim;
	const struct fabric_target_ops *ops;
	void *userdata;
	struct keys keys;
};

struct Sim {
	struct sim_options options;
	uint64_t now, random;
	bool cut;
	struct idtable streams;
};

/* sim.c */

/* The time of the next arrival; UINT64_MAX: none will be. */
uint64_t sim_next(Sim *sim);
/* Lets the clock go on to `until`, and what arrives until then arrive. */
void sim_run(Sim *sim, uint64_t until);
/* Sends the op of this stream; back: its answer. */
void sim_send(Sim *sim, struct stream *stream, struct sim_op *op, bool back);
struct stream *sim_find_stream(Sim *sim, int id);
void sim_end_stream(Sim *sim, struct stream *stream);

/* target.c */

/* The op has arrived: has its effect, is counted; its status is in it. False: it must wait. */
bool sim_carry_out(struct stream *stream, struct sim_op *op);

/* path.c */

/* The op's answer has arrived. */
void sim_answered(struct sim_path *path, struct sim_op *op);

#endif
