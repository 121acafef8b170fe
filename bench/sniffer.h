/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SNIFFER_H
#define BENCH_SNIFFER_H

/* Counts round trips of TCP on the wires of this process's network. */

int sniffer_open(void);
/* How often something came after something had gone out, since the last time. */
unsigned int sniffer_round_trips(int sniffer);

#endif
