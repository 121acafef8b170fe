/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

const char bench_what[] = "remote";

const struct bench_group bench_groups[] = {
	{"fabric", group_fabric, "operations on another host's memory, both ends awake"},
	{"asleep", group_fabric_asleep, "the same, both ends asleep in between"},
	{"batches", group_fabric_batches, "small puts collected, and vectors"},
	{0},
};
