/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-shm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

uint32_t shm_call(struct client *c, struct wire_message m)
{
	m.serial = 0;
	return client_call(c, &m);
}

uint32_t shm_hello(struct client *c)
{
	const struct wire_message m = {.type = WIRE_SHM_HELLO, .shm_hello = {0x00010000}};

	return shm_call(c, m);
}

uint32_t shm_key(struct client *c, uint32_t partition, uint32_t *ret_key)
{
	const struct wire_message m = {.type = WIRE_SHM_KEY, .shm_key = {partition}};
	uint32_t status = shm_call(c, m);

	if (!status)
		*ret_key = c->reply.shm_key_reply.key;
	return status;
}

uint32_t shm_get(struct client *c, uint32_t key, uint64_t size, uint32_t *ret_shmid)
{
	const struct wire_message m = {.type = WIRE_SHM_GET, .shm_get = {key, size, 0600, 0}};
	uint32_t status = shm_call(c, m);

	if (!status)
		*ret_shmid = c->reply.shm_get_reply.shmid;
	return status;
}

uint32_t shm_control(struct client *c, uint32_t shmid, uint32_t command)
{
	const struct wire_message m = {
		.type = WIRE_SHM_CONTROL, .shm_control = {.shmid = shmid, .command = command}};

	return shm_call(c, m);
}

uint32_t shm_stat(struct client *c, uint32_t shmid, struct wire_shm_row *ret_row)
{
	const struct wire_message m = {.type = WIRE_SHM_STAT, .shm_stat = {shmid}};
	uint32_t status = shm_call(c, m);
	const uint8_t *tail = c->reply.tail;

	if (!status)
		assert_non_null(wire_get_shm_row(tail, tail + c->reply.tail_size, ret_row));
	return status;
}

uint64_t shm_partitions_of(struct client *c)
{
	const struct wire_message m = {.type = WIRE_SHM_PARTITION_LIST};
	const uint8_t *at, *end;
	struct wire_shm_partition row;
	uint64_t up = 0, bit;

	assert_int_equal(shm_call(c, m), STATUS_OK);
	at = c->reply.tail;
	end = at + c->reply.tail_size;
	for (uint32_t i = 0; i < c->reply.shm_partition_list_reply.n; i++) {
		at = wire_get_shm_partition(at, end, &row);
		assert_non_null(at);
		assert_true(row.partition < WIRE_SHM_PARTITIONS);
		bit = 1ull << row.partition;
		assert_true(bit > up); /* ascending */
		up |= bit;
	}
	assert_ptr_equal(at, end);
	return up;
}

bool shm_partition_row(const struct client *c, uint32_t partition, struct wire_shm_partition *ret)
{
	const uint8_t *at = c->reply.tail, *end = at + c->reply.tail_size;

	for (uint32_t i = 0; i < c->reply.shm_partition_list_reply.n && at; i++) {
		at = wire_get_shm_partition(at, end, ret);
		if (at && ret->partition == partition)
			return true;
	}
	return false;
}
