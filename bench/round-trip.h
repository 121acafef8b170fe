/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ROUND_TRIP_H
#define BENCH_ROUND_TRIP_H

/*
 * What nothing that asks a daemon can do without: a process waits in epoll for packets on a
 * seqpacket socket and answers each with a descriptor.
 */

#include "bench.h"

struct round_trip {
	int client, server; /* sockets */
	size_t size;	    /* of the memory whose descriptor comes */
	struct bench_partner partner;
};

void round_trip_begin(struct round_trip *trip, size_t size);
/* Returns the descriptor that came. */
int round_trip_make(struct round_trip *trip);
/* A bench_work: n round trips, whose descriptors are closed. */
void round_trip_work(void *trip, unsigned long n);

/* All that answers, the node's processes too, goes to this CPU; < 0: anywhere. */
void round_trip_place(const struct round_trip *trip, int cpu);

#endif
