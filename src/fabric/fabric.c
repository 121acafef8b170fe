/* SPDX-License-Identifier: Apache-2.0 */
/* From the contract to the back end, and what all of them share: arguments, and the hello. */

#include "fabric/fabric.h"

#include <stdatomic.h>
#include <string.h>
#include "fabric/backend.h"
#include "fabric/keys.h"

static bool is_width(unsigned int width)
{
	return width <= 8 && (0x117u >> width & 1);
}

/* --- paths --- */

void fabric_path_free(FabricPath *path)
{
	if (path)
		path->ops->free(path);
}

int fabric_path_add_user(FabricPath *path, struct fabric_user *user)
{
	return path->ops->add_user(path, user);
}

void fabric_path_remove_user(FabricPath *path, struct fabric_user *user)
{
	path->ops->remove_user(path, user);
}

int fabric_put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags)
{
	if (unlikely(!is_width(width)))
		return -EINVAL;
	return path->ops->put(path, user, off, src, n, width, flags);
}

int fabric_get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width)
{
	if (unlikely(!is_width(width)))
		return -EINVAL;
	return path->ops->get(path, user, off, dst, n, width);
}

int fabric_putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done)
{
	return path->ops->putv(path, user, pieces, n_pieces, flags, ret_done);
}

int fabric_getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done)
{
	return path->ops->getv(path, user, pieces, n_pieces, ret_done);
}

int fabric_fetch_add(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
	uint64_t value, uint64_t *ret_old)
{
	if (width != 4 && width != 8)
		return -EINVAL;
	return path->ops->atomic(path, user, off, width, false, 0, value, ret_old);
}

int fabric_compare_swap(FabricPath *path, struct fabric_user *user, uint64_t off,
	unsigned int width, uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	if (width != 4 && width != 8)
		return -EINVAL;
	return path->ops->atomic(path, user, off, width, true, expected, value, ret_old);
}

int fabric_signal(FabricPath *path, struct fabric_user *user, bool accumulate)
{
	return path->ops->signal(path, user, accumulate);
}

int fabric_start(FabricPath *path, struct fabric_user *user, bool put, uint64_t off, void *local,
	size_t n, struct fabric_started *ret_started)
{
	*ret_started = (struct fabric_started){0};
	if (path->ops->start && n)
		return path->ops->start(path, user, put, off, local, n, ret_started);
	if (n)
		ret_started->result = put ? fabric_put(path, user, off, local, n, 0, 0)
					  : fabric_get(path, user, off, local, n, 0);
	return 0;
}

int fabric_finish(FabricPath *path, struct fabric_started *started, uint64_t timeout)
{
	return started->insides ? path->ops->finish(path, started, timeout) : started->result;
}

int fabric_flush(FabricPath *path)
{
	return path->ops->flush(path);
}

int fabric_order(FabricPath *path, struct fabric_user *user)
{
	return path->ops->order(path, user);
}

int fabric_collect(FabricPath *path, struct fabric_user *user)
{
	int r = path->ops->order(path, user);

	return r ? r : atomic_exchange_explicit(&user->status, 0, memory_order_relaxed);
}

int fabric_path_resume(FabricPath *path, int fd, uint64_t done)
{
	return path->ops->resume(path, fd, done);
}

void fabric_path_abandon(FabricPath *path)
{
	path->ops->abandon(path);
}

/* --- targets --- */

void fabric_target_free(FabricTarget *target)
{
	if (target)
		target->backend->free(target);
}

void fabric_target_run(FabricTarget *target)
{
	target->backend->run(target);
}

void fabric_target_stop(FabricTarget *target)
{
	target->backend->stop(target);
}

int fabric_target_attach(FabricTarget *target, uint64_t connection, int fd, _Atomic uint64_t *done)
{
	return target->backend->attach(target, connection, fd, done);
}

void fabric_target_detach(FabricTarget *target, uint64_t connection)
{
	target->backend->detach(target, connection);
}

int fabric_target_grant(
	FabricTarget *target, const struct fabric_key *key, const struct fabric_region *region)
{
	return target->backend->grant(target, key, region);
}

void fabric_target_revoke(FabricTarget *target, const struct fabric_key *key)
{
	target->backend->revoke(target, key);
}

int fabric_target_set_coherent(FabricTarget *target, const struct fabric_key *key, void *coherent)
{
	return target->backend->set_coherent(target, key, coherent);
}

void fabric_target_retry(FabricTarget *target)
{
	target->backend->retry(target);
}

int fabric_target_traffic(
	FabricTarget *target, const struct fabric_key *key, struct fabric_traffic *ret_traffic)
{
	return target->backend->traffic(target, key, ret_traffic);
}

/* --- the hello: magic, version, node, flags, grant --- */

static const uint8_t hello_magic[8] = {'C', 'W', 'd', 'a', 't', 'a', 0, 1};

static void store32(uint8_t *at, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t load32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

void fabric_hello_encode(
	uint8_t hello[FABRIC_HELLO_SIZE], uint32_t node, uint32_t flags, const uint8_t grant[16])
{
	memcpy(hello, hello_magic, sizeof(hello_magic));
	store32(hello + 8, node);
	store32(hello + 12, flags);
	memcpy(hello + 16, grant, 16);
}

int fabric_hello_decode(const uint8_t hello[FABRIC_HELLO_SIZE], uint32_t *ret_node,
	uint32_t *ret_flags, uint8_t ret_grant[16])
{
	uint32_t flags = load32(hello + 12);

	if (memcmp(hello, hello_magic, sizeof(hello_magic)) || flags & ~FABRIC_HELLO_TLS)
		return -EBADMSG;
	*ret_node = load32(hello + 8);
	*ret_flags = flags;
	memcpy(ret_grant, hello + 16, 16);
	return 0;
}
