/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_SIM_SIM_H
#define FABRIC_SIM_SIM_H

/*
 * A transport for tests: targets and paths of one process, one thread and one clock, which stands
 * still but for who waits. The same seed and calls give the same run. A target's run() returns at
 * once; it has its turns when messages arrive.
 *
 * Messages arrive in the order in which they were sent, each after a delay. One that is lost breaks
 * its stream in its place: those before it arrive, those after it do not. While the world is cut
 * nothing arrives; what is under way comes when it is healed.
 */

#include "fabric/fabric.h"

typedef struct Sim Sim;

struct sim_options {
	uint64_t seed;
	uint64_t delay_min, delay_max; /* ns, one way */
	uint32_t loss;		       /* of a million messages, either way */
};

int sim_new(const struct sim_options *options, Sim **ret_sim);
void sim_free(Sim *sim); /* after its paths and targets */

uint64_t sim_now(const Sim *sim); /* ns since it was made */
void sim_advance(Sim *sim, uint64_t ns);
void sim_set_loss(Sim *sim, uint32_t loss);
void sim_cut(Sim *sim);
void sim_heal(Sim *sim);

/* A stream, in place of a connected pair of sockets: its number is the fd of
 * fabric_target_attach(), of sim_path_new() and of fabric_path_resume(). Negative errno. */
int sim_stream(Sim *sim);
void sim_stream_break(Sim *sim, int stream);

int sim_target_new(
	Sim *sim, const struct fabric_target_ops *ops, void *userdata, FabricTarget **ret_target);
int sim_path_new(
	Sim *sim, int stream, const struct fabric_path_options *options, FabricPath **ret_path);

#endif
