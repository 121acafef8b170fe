/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_KEYS_H
#define FABRIC_KEYS_H

/*
 * A target's keys, and what is done behind them: the one place in which an offset from another node
 * becomes an address. Not thread safe; the target's gate is around it.
 */

#include "base/list.h"
#include "fabric/fabric.h"

/* What is copied in one go, through private memory, with accesses of the elements' width. */
#define COPY_MAX 8192u

struct key {
	struct key *next; /* in its bucket */
	struct list gone; /* in keys.revoked */
	struct fabric_key key;
	struct fabric_region region;
	struct fabric_traffic traffic;
	bool revoked; /* kept for the answer; nothing behind it may be touched */
};

struct keys {
	struct key **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t n_keys;
	struct list revoked;
};

void keys_init(struct keys *keys);
void keys_deinit(struct keys *keys);

/* -EEXIST, -ENOMEM */
int keys_add(struct keys *keys, const struct fabric_key *key, const struct fabric_region *region);
struct key *keys_find(const struct keys *keys, const struct fabric_key *key);
/* remember: its connection lives, and operations under way may still hold the key */
void keys_revoke(struct keys *keys, struct key *key, bool remember);
/* The connection is over: its revoked keys are forgotten. */
void keys_forget(struct keys *keys, uint64_t connection);

/* 0, or the status of an operation on n bytes at off that needs these rights. key NULL: none found.
 * width: 0 or that of the elements. */
int key_check(const struct key *key, uint64_t connection, uint64_t off, uint64_t n,
	unsigned int width, uint32_t rights);

/*
 * Around every access below, and every other to the memory of a key: how many of the first of these
 * bytes may be touched until key_unclaim() of just those; 0: none now, and nothing is claimed.
 * Plain memory is there at once. What is not all ends with a page, and so with an element.
 */
static inline size_t key_claim(const struct fabric_target_ops *ops, void *userdata,
	const struct key *key, uint64_t off, size_t n, bool write)
{
	if (likely(!key->region.coherent))
		return n;
	return ops->claim(userdata, key->region.coherent, off, n, write);
}

static inline void key_unclaim(const struct fabric_target_ops *ops, void *userdata,
	const struct key *key, uint64_t off, size_t n)
{
	if (unlikely(key->region.coherent))
		ops->unclaim(userdata, key->region.coherent, off, n);
}

/* After key_check(), n up to COPY_MAX; from and to private memory. 0 or a status. */
int key_store(const struct key *key, uint64_t off, const void *src, size_t n, unsigned int width);
int key_load(const struct key *key, uint64_t off, void *dst, size_t n, unsigned int width);
/* width 4 or 8, aligned */
int key_atomic(const struct key *key, uint64_t off, unsigned int width, bool compare,
	uint64_t expected, uint64_t value, uint64_t *ret_old);

#endif
