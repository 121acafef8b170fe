/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_NODESET_H
#define PLACEMENT_NODESET_H

/* A set of NUMA nodes, as many as any kernel can have. Plain data; no state. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_MAX	  1024u
#define NODESET_WORD_BITS ((unsigned int)(CHAR_BIT * sizeof(unsigned long)))
#define NODESET_WORDS	  (NODES_MAX / NODESET_WORD_BITS)
#define NODESET_BYTES	  (NODES_MAX / 8)
#define NODESET_TEXT_MAX  4096u /* the longest list of nodes is shorter */

struct nodeset {
	unsigned long bits[NODESET_WORDS]; /* as the kernel's masks */
};

/* node: below NODES_MAX */
static inline void nodeset_add(struct nodeset *s, unsigned int node)
{
	s->bits[node / NODESET_WORD_BITS] |= 1ul << node % NODESET_WORD_BITS;
}

static inline void nodeset_remove(struct nodeset *s, unsigned int node)
{
	s->bits[node / NODESET_WORD_BITS] &= ~(1ul << node % NODESET_WORD_BITS);
}

static inline bool nodeset_has(const struct nodeset *s, unsigned int node)
{
	return s->bits[node / NODESET_WORD_BITS] >> node % NODESET_WORD_BITS & 1;
}

struct nodeset nodeset_of(unsigned int node);
unsigned int nodeset_count(const struct nodeset *s);
bool nodeset_empty(const struct nodeset *s);
bool nodeset_equal(const struct nodeset *a, const struct nodeset *b);
bool nodeset_meets(const struct nodeset *a, const struct nodeset *b);
bool nodeset_within(const struct nodeset *inner, const struct nodeset *outer);
void nodeset_unite(struct nodeset *s, const struct nodeset *other);

/* The lowest node at or above this number; NODES_MAX if there is none. */
unsigned int nodeset_next(const struct nodeset *s, unsigned int node);
#define nodeset_for_each(s, node)                                                                  \
	for ((node) = nodeset_next(s, 0); (node) < NODES_MAX; (node) = nodeset_next(s, (node) + 1))

/* Lists such as "0-2,5". Parsing is strict but for white space at the end; nothing at all is the
 * empty set. -EINVAL; -ERANGE: a node that no machine has. */
int nodeset_parse(const char *text, struct nodeset *ret_set);
/* Returns buf. */
char *nodeset_format(const struct nodeset *s, char buf[NODESET_TEXT_MAX]);

/* For messages: bit n % 8 of byte n / 8 is node n. */
void nodeset_put_bytes(const struct nodeset *s, uint8_t bytes[NODESET_BYTES]);
struct nodeset nodeset_get_bytes(const uint8_t bytes[NODESET_BYTES]);

#endif
