/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_GROUP_PUMP_H
#define SISCI_GROUP_PUMP_H

/*
 * How stores to the map of a multicast group are found: by comparing the map with a copy of what it
 * was, again and again. Changes are sent in aligned pieces of four bytes and multiples, so a word
 * of four or eight bytes is never seen half changed, and nobody's neighbouring word is touched. A
 * single word that was stored after something longer is sent after it.
 *
 * Where this node has a member, what others have written there comes into the map and the copy as
 * well, so that a store of the same value as before is a change again. The caller locks.
 */

#include <stdint.h>
#include "sisci_types.h"

struct group_pump;

/* size: whole pages. *ret_map: what the program stores to; all zero. */
sci_error_t group_pump_new(uint64_t size, struct group_pump **ret_pump, uint8_t **ret_map);
void group_pump_free(struct group_pump *pump); /* NULL is fine */

/* Has been sent by other means. */
void group_pump_note(struct group_pump *pump, uint64_t offset, const void *from, uint64_t n);

/* Calls send for all that has changed. member: what this node's member has, or NULL. Returns after
 * how many ns to come again: soon after changes, less and less often without, never so often that
 * it takes more than a fifth of a processor. */
uint64_t group_pump_run(struct group_pump *pump, const uint8_t *member,
	void (*send)(void *data, uint64_t offset, const void *from, uint64_t n), void *data);

/* Copies what others may read meanwhile, words whole where they are aligned. */
void group_pump_store(uint8_t *to, const void *from, uint64_t n);

#endif
