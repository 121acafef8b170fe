/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TEST_SUITE_H
#define FABRIC_TEST_SUITE_H

/*
 * What every back end owes fabric.h, as one suite of tests over a fixture that the back end gives:
 * a home with memory behind keys, and paths to it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fabric/fabric.h"

#define MEMORY_SIZE (4u << 20)
#define CONNECTION  7u
#define KEYS_MAX    16u

struct claims;
struct claims_part;

struct home {
	const struct fixture_ops *ops;
	void *insides; /* the fixture's */
	FabricTarget *target;
	FabricPath *path;	 /* the first */
	struct fabric_user user; /* of path, for all of memory, read and write */
	uint8_t *memory;
	int memory_fd;
	struct fabric_key keys[KEYS_MAX]; /* all that were granted */
	struct fabric_region regions[KEYS_MAX];
	struct claims *claims; /* NULL: plain memory */
	struct claims_part *parts[KEYS_MAX];
	unsigned int n_keys;
	_Atomic unsigned int posts, accumulated, closed, repairs;
	_Atomic uint64_t done;	 /* of path */
	_Atomic int repair_with; /* what repair() returns instead of mending */
	_Atomic int check_with;	 /* what check() returns */
	char reason[128];	 /* of the last that was closed; "" for NULL */
};

struct fixture_ops {
	const char *name;
	bool one_sided; /* puts and gets of bytes may pass the target's CPU by: it does not count
			   them */
	void (*begin)(struct home *home, const struct fabric_path_options *options);
	void (*end)(struct home *home);
	/* One more path, over a connection of this number; done: NULL for one of its own */
	FabricPath *(*connect)(struct home *home, uint64_t connection);
	/* Breaks the stream of home->path without losing the home: repair() mends it. */
	void (*cut)(struct home *home);
};

/* A key for [offset, offset + size) of the memory, on this connection. */
struct fabric_key home_grant(
	struct home *home, uint64_t connection, uint64_t offset, uint64_t size, uint32_t rights);
/* To a target that knows nothing of its predecessor. */
void home_grant_again(struct home *home);
void home_begin(
	struct home *home, const struct fixture_ops *fixture, size_t span_buffer, bool spin);
/* All of its memory is coherent; nothing is refused until claims_set_chance(). */
void home_begin_coherent(
	struct home *home, const struct fixture_ops *fixture, size_t span_buffer, bool spin);
void home_end(struct home *home);
void home_add_user(
	struct home *home, FabricPath *path, struct fabric_user *user, struct fabric_key key);
void home_fill(void *to, size_t n, uint64_t seed);
extern const struct fabric_target_ops home_ops;
int home_check(void *userdata);

/* The suite's own main: with plain memory, and with memory that must be claimed. */
int suite_run(const struct fixture_ops *ops);

#endif
