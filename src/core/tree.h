/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TREE_H
#define CORE_TREE_H

/*
 * Ordered set of objects by a 64-bit key: a treap whose nodes live in the objects, so that nothing
 * is allocated and nothing can fail. The priority is a hash of the key; keys must therefore not be
 * chosen by a stranger. All operations are O(log n).
 */

#include <stdint.h>

struct tree_node {
	uint64_t key;
	struct tree_node *left, *right;
};

struct tree {
	struct tree_node *root;
};

/* node->key is set and not in the tree. */
void tree_insert(struct tree *t, struct tree_node *node);
/* node is in the tree. */
void tree_remove(struct tree *t, struct tree_node *node);
struct tree_node *tree_get(const struct tree *t, uint64_t key);
/* The node with the smallest key above this one, or NULL. */
struct tree_node *tree_above(const struct tree *t, uint64_t key);

#endif
