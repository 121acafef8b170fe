/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PINGPONG_H
#define BENCH_PINGPONG_H

/* The witness of the machine's state: ns of a round trip of one cache line between two threads on
 * the first and the last CPU. Leaves the caller's CPUs as they were, and no thread behind. NaN with
 * one CPU. */
double bench_pingpong(void);

#endif
