/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_TEST_FIXTURE_H
#define FABRIC_TCP_TEST_FIXTURE_H

/* A target with its thread and paths to it over socket pairs. repair() attaches a new one. */

#include "fabric/test-suite.h"

extern const struct fixture_ops tcp_fixture;

#endif
