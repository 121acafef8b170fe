/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/keys.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "wire/message.h"
#include "wire/status.h"

#define BUCKETS_MIN 64u

void keys_init(struct keys *keys)
{
	*keys = (struct keys){0};
	list_init(&keys->revoked);
}

void keys_deinit(struct keys *keys)
{
	for (size_t i = 0; i < keys->n_buckets; i++)
		for (struct key *k = keys->buckets[i], *next; k; k = next) {
			next = k->next;
			free(k);
		}
	free(keys->buckets);
	keys_init(keys);
}

/* Keys are random: any of their bits do. */
static size_t bucket_of(const struct fabric_key *key, size_t n_buckets)
{
	uint64_t bits;

	memcpy(&bits, key->bytes, sizeof(bits));
	return bits & (n_buckets - 1);
}

/* In the same time whatever they have in common. */
static bool is_equal(const struct fabric_key *a, const struct fabric_key *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->bytes, sizeof(x));
	memcpy(y, b->bytes, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

static int grow(struct keys *keys)
{
	size_t n = keys->n_buckets ? keys->n_buckets * 2 : BUCKETS_MIN;
	struct key **buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < keys->n_buckets; i++)
		for (struct key *k = keys->buckets[i], *next; k; k = next) {
			struct key **b = &buckets[bucket_of(&k->key, n)];

			next = k->next;
			k->next = *b;
			*b = k;
		}
	free(keys->buckets);
	keys->buckets = buckets;
	keys->n_buckets = n;
	return 0;
}

struct key *keys_find(const struct keys *keys, const struct fabric_key *key)
{
	if (!keys->n_buckets)
		return NULL;
	for (struct key *k = keys->buckets[bucket_of(key, keys->n_buckets)]; k; k = k->next)
		if (is_equal(&k->key, key))
			return k;
	return NULL;
}

int keys_add(struct keys *keys, const struct fabric_key *key, const struct fabric_region *region)
{
	struct key *k, **b;
	int r;

	if (keys_find(keys, key))
		return -EEXIST;
	if (keys->n_keys >= keys->n_buckets) {
		r = grow(keys);
		if (r)
			return r;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->key = *key;
	k->region = *region;
	list_init(&k->gone);
	b = &keys->buckets[bucket_of(key, keys->n_buckets)];
	k->next = *b;
	*b = k;
	keys->n_keys++;
	return 0;
}

static void drop(struct keys *keys, struct key *key)
{
	struct key **at = &keys->buckets[bucket_of(&key->key, keys->n_buckets)];

	while (*at != key)
		at = &(*at)->next;
	*at = key->next;
	keys->n_keys--;
	list_unlink(&key->gone);
	free(key);
}

void keys_revoke(struct keys *keys, struct key *key, bool remember)
{
	if (!remember) {
		drop(keys, key);
		return;
	}
	if (!key->revoked)
		list_append(&keys->revoked, &key->gone);
	key->revoked = true;
	key->region.base = NULL;
	key->region.fd = -1;
}

void keys_forget(struct keys *keys, uint64_t connection)
{
	struct key *k, *next;

	list_for_each_safe (k, next, &keys->revoked, gone)
		if (k->region.connection == connection)
			drop(keys, k);
}

int key_check(const struct key *key, uint64_t connection, uint64_t off, uint64_t n,
	unsigned int width, uint32_t rights)
{
	if (!key || key->region.connection != connection)
		return STATUS_BAD_HANDLE;
	if (key->revoked)
		return STATUS_REVOKED;
	if (!range_within(off, n, key->region.size))
		return STATUS_BAD_OFFSET;
	if (width && (off | n) & (width - 1))
		return STATUS_BAD_OFFSET;
	return (key->region.rights & rights) == rights ? 0 : STATUS_DENIED;
}

/* Each access is one of the CPU's, whatever the compiler thinks of it. */
#define COPY_ELEMENTS(to, from, n, type, load, store)                                              \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < (n); i_ += sizeof(type)) {                                \
			type v_ = load((const uint8_t *)(from) + i_, type);                        \
			store((uint8_t *)(to) + i_, v_, type);                                     \
		}                                                                                  \
	} while (0)

#define PRIVATE_LOAD(at, type)                                                                     \
	({                                                                                         \
		type p_;                                                                           \
		memcpy(&p_, (at), sizeof(p_));                                                     \
		p_;                                                                                \
	})
#define PRIVATE_STORE(at, v, type) memcpy((at), &(v), sizeof(type))
#define SHARED_LOAD(at, type)	   __atomic_load_n((const type *)(const void *)(at), __ATOMIC_RELAXED)
#define SHARED_STORE(at, v, type)  __atomic_store_n((type *)(void *)(at), (v), __ATOMIC_RELAXED)

/* The first argument is the width; elements are aligned in the region, as it begins with a page. */
static void store_elements(unsigned int width, uint8_t *to, const void *from, size_t n)
{
	if (width == 2)
		COPY_ELEMENTS(to, from, n, uint16_t, PRIVATE_LOAD, SHARED_STORE);
	else if (width == 4)
		COPY_ELEMENTS(to, from, n, uint32_t, PRIVATE_LOAD, SHARED_STORE);
	else if (width == 8)
		COPY_ELEMENTS(to, from, n, uint64_t, PRIVATE_LOAD, SHARED_STORE);
	else
		memcpy(to, from, n);
}

static void load_elements(unsigned int width, void *to, const uint8_t *from, size_t n)
{
	if (width == 2)
		COPY_ELEMENTS(to, from, n, uint16_t, SHARED_LOAD, PRIVATE_STORE);
	else if (width == 4)
		COPY_ELEMENTS(to, from, n, uint32_t, SHARED_LOAD, PRIVATE_STORE);
	else if (width == 8)
		COPY_ELEMENTS(to, from, n, uint64_t, SHARED_LOAD, PRIVATE_STORE);
	else
		memcpy(to, from, n);
}

/* A file that has become shorter, or cannot grow any more. */
static int file_status(ssize_t done)
{
	return done < 0 && (errno == ENOSPC || errno == ENOMEM) ? STATUS_NO_MEMORY
								: STATUS_BAD_ADDRESS;
}

int key_store(const struct key *key, uint64_t off, const void *src, size_t n, unsigned int width)
{
	const struct fabric_region *region = &key->region;
	ssize_t done;

	if (region->base) {
		store_elements(width, region->base + off, src, n);
		return 0;
	}
	done = pwrite(region->fd, src, n, (off_t)(region->offset + off));
	return done == (ssize_t)n ? 0 : file_status(done);
}

int key_load(const struct key *key, uint64_t off, void *dst, size_t n, unsigned int width)
{
	const struct fabric_region *region = &key->region;
	ssize_t done;

	if (region->base) {
		load_elements(width, dst, region->base + off, n);
		return 0;
	}
	done = pread(region->fd, dst, n, (off_t)(region->offset + off));
	return done == (ssize_t)n ? 0 : file_status(done);
}

#define ATOMIC(type)                                                                               \
	do {                                                                                       \
		type *word = (type *)(void *)(key->region.base + off), old = (type)expected;       \
                                                                                                   \
		if (compare)                                                                       \
			__atomic_compare_exchange_n(word, &old, (type)value, false,                \
				__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                               \
		else                                                                               \
			old = __atomic_fetch_add(word, (type)value, __ATOMIC_SEQ_CST);             \
		*ret_old = old;                                                                    \
	} while (0)

int key_atomic(const struct key *key, uint64_t off, unsigned int width, bool compare,
	uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	if (!key->region.base)
		return STATUS_NOT_SUPPORTED;
	if (width == 4)
		ATOMIC(uint32_t);
	else
		ATOMIC(uint64_t);
	return 0;
}
