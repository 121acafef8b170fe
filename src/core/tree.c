/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tree.h"

#include <assert.h>
#include <stddef.h>

/* The finalizer of splitmix64: a bijection, so two nodes never have the same priority. */
static uint64_t priority(const struct tree_node *n)
{
	uint64_t x = n->key + 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void tree_insert(struct tree *t, struct tree_node *node)
{
	struct tree_node **at = &t->root, **low = &node->left, **high = &node->right, *rest;

	while (*at && priority(*at) > priority(node))
		at = node->key < (*at)->key ? &(*at)->left : &(*at)->right;
	rest = *at;
	*at = node;

	/* What was there is split between the two sides of the new node. */
	while (rest) {
		assert(rest->key != node->key);
		if (rest->key < node->key) {
			*low = rest;
			low = &rest->right;
			rest = *low;
		} else {
			*high = rest;
			high = &rest->left;
			rest = *high;
		}
	}
	*low = *high = NULL;
}

void tree_remove(struct tree *t, struct tree_node *node)
{
	struct tree_node **at = &t->root, *low = node->left, *high = node->right;

	while (*at != node) {
		assert(*at);
		at = node->key < (*at)->key ? &(*at)->left : &(*at)->right;
	}
	while (low && high) {
		if (priority(low) > priority(high)) {
			*at = low;
			at = &low->right;
			low = *at;
		} else {
			*at = high;
			at = &high->left;
			high = *at;
		}
	}
	*at = low ? low : high;
}

struct tree_node *tree_get(const struct tree *t, uint64_t key)
{
	struct tree_node *n = t->root;

	while (n && n->key != key)
		n = key < n->key ? n->left : n->right;
	return n;
}

struct tree_node *tree_above(const struct tree *t, uint64_t key)
{
	struct tree_node *n = t->root, *best = NULL;

	while (n) {
		if (n->key > key) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}
