/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_TEST_FIXTURE_H
#define FABRIC_TCP_TEST_FIXTURE_H

/* A target with its thread and paths to it over socket pairs. repair() attaches a new one. */

#include "fabric/test-suite.h"

extern const struct fixture_ops tcp_fixture;

/* Ends the first path's connection between two turns, from any thread, while repair() may be at
 * work; with reborn set that makes a new target in place of the old. */
void tcp_home_kill(struct home *home);
void tcp_home_set_reborn(struct home *home);
/* Of paths made from now on: struct fabric_path_options. */
void tcp_home_set_records(uint64_t n);
/* A connection without a path: our end of it. */
int tcp_home_attach(struct home *home, uint64_t connection, _Atomic uint64_t *done);

#endif
