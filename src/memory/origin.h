/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_ORIGIN_H
#define MEMORY_ORIGIN_H

/*
 * What is left of an adopted range: the program may have unmapped, replaced or moved pieces of it
 * without our knowing. Only what still maps the same file at the same place is ours.
 */

#include "memory/adopter.h"

/* The adopted memory as it was made. */
struct origin {
	struct range range;
	dev_t device;
	ino_t inode;
};

struct origin_piece {
	struct range range;
	int protection;
};

/* First piece at or after address. Results: 1, 0: none, negative errno. */
int origin_find(const struct origin *origin, uint64_t address, struct origin_piece *ret_piece);

/* A piece that nobody may read cannot be copied; its protection comes back with the new memory. */
int origin_piece_open(const struct origin_piece *piece);

/* fd if it is a descriptor of that memory, else -1: numbers are used again. */
int origin_descriptor(const struct origin *origin, int fd);

/* Copies the content of pieces that are ours no more to the same place in memfd. If nothing of ours
 * is left there is no way to that content, and nothing is done. */
int origin_carry_lost(const struct origin *origin, int memfd);

#endif
