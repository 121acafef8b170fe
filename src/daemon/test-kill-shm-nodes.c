/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-kill-nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

/*
 * b asks a's partition. Whatever was killed meanwhile b is answered as if nothing had been, and
 * what it asked for was done once.
 */

#define HOME	1u /* a's partition; b's is 2 */
#define BOTH	0x6u
#define VERSION 0x00010000u
#define BYTES	5000u

static uint32_t shm_key_of(struct client *c)
{
	struct wire_message m = {.type = WIRE_SHM_KEY, .shm_key = {HOME}};

	call_ok(c, &m);
	return c->reply.shm_key_reply.key;
}

static uint32_t shm_get_of(struct client *c, uint32_t key, uint32_t flags, uint32_t *ret_shmid)
{
	struct wire_message m = {.type = WIRE_SHM_GET, .shm_get = {key, BYTES, 0600, flags}};
	uint32_t status = call(c, &m);

	*ret_shmid = c->reply.shm_get_reply.shmid;
	return status;
}

static uint32_t shm_stat_of(struct client *c, uint32_t shmid, struct wire_shm_row *ret_row)
{
	struct wire_message m = {.type = WIRE_SHM_STAT, .shm_stat = {shmid}};
	uint32_t status = call(c, &m);
	const uint8_t *tail = c->reply.tail;

	if (status == STATUS_OK)
		assert_non_null(wire_get_shm_row(tail, tail + c->reply.tail_size, ret_row));
	return status;
}

static void control(struct client *c, uint32_t shmid, uint32_t command)
{
	struct wire_message m = {.type = WIRE_SHM_CONTROL,
		.shm_control = {shmid, command, geteuid(), getegid(), 0640}};

	call_ok(c, &m);
}

static void prepare_key(struct scene *s)
{
	struct wire_message hello = {.type = WIRE_SHM_HELLO, .shm_hello = {VERSION}};

	call_ok(&s->b, &hello);
	s->shm.key = shm_key_of(&s->b);
}

static void prepare_segment(struct scene *s)
{
	prepare_key(s);
	assert_int_equal(shm_get_of(&s->b, s->shm.key, 0, &s->shm.shmid), STATUS_OK);
}

/* --- keys --- */

static void act_key(struct scene *s)
{
	s->shm.made = shm_key_of(&s->b);
}

/* One was made: numbers follow each other. */
static void verify_key(struct scene *s)
{
	assert_int_equal(s->shm.made, s->shm.key + 1);
	assert_int_equal(shm_key_of(&s->a), s->shm.key + 2);
}

/* --- segments --- */

static void act_get(struct scene *s)
{
	assert_int_equal(
		shm_get_of(&s->b, s->shm.key, WIRE_SHM_EXCLUSIVE, &s->shm.shmid), STATUS_OK);
}

static void verify_get(struct scene *s)
{
	struct wire_shm_row row;
	uint32_t shmid;

	assert_int_equal(shm_get_of(&s->a, s->shm.key, 0, &shmid), STATUS_OK);
	assert_int_equal(shmid, s->shm.shmid);
	assert_int_equal(
		shm_get_of(&s->b, s->shm.key, WIRE_SHM_EXCLUSIVE, &shmid), STATUS_ID_IN_USE);
	assert_int_equal(shm_stat_of(&s->a, s->shm.shmid, &row), STATUS_OK);
	assert_int_equal(row.size, BYTES);
	assert_int_equal(row.n_attached, 0);
	control(&s->a, s->shm.shmid, WIRE_SHM_REMOVE);
}

static void act_remove(struct scene *s)
{
	control(&s->b, s->shm.shmid, WIRE_SHM_REMOVE);
}

static void verify_remove(struct scene *s)
{
	struct wire_shm_row row;
	uint32_t shmid;

	assert_int_equal(shm_stat_of(&s->a, s->shm.shmid, &row), STATUS_NOT_FOUND);
	assert_int_equal(shm_stat_of(&s->b, s->shm.shmid, &row), STATUS_NOT_FOUND);
	assert_int_equal(shm_get_of(&s->b, s->shm.key, 0, &shmid), STATUS_NOT_FOUND);
}

static void act_set(struct scene *s)
{
	control(&s->b, s->shm.shmid, WIRE_SHM_SET);
}

static void verify_set(struct scene *s)
{
	struct wire_shm_row row;

	assert_int_equal(shm_stat_of(&s->a, s->shm.shmid, &row), STATUS_OK);
	assert_int_equal(row.mode, 0640);
	control(&s->a, s->shm.shmid, WIRE_SHM_REMOVE);
}

/* --- questions --- */

static void act_look(struct scene *s)
{
	struct wire_message list = {.type = WIRE_SHM_LIST, .shm_list = {HOME, 0}};
	struct wire_shm_row row;

	assert_int_equal(shm_stat_of(&s->b, s->shm.shmid, &row), STATUS_OK);
	assert_int_equal(row.key, s->shm.key);
	call_ok(&s->b, &list);
	assert_int_equal(s->b.reply.shm_list_reply.n, 1);
}

static void verify_look(struct scene *s)
{
	control(&s->a, s->shm.shmid, WIRE_SHM_REMOVE);
}

static uint64_t partitions(struct client *c)
{
	struct wire_message m = {.type = WIRE_SHM_PARTITION_LIST};
	const uint8_t *at, *end;
	struct wire_shm_partition row;
	uint64_t up = 0;

	call_ok(c, &m);
	at = c->reply.tail;
	end = at + c->reply.tail_size;
	while (at < end) {
		at = wire_get_shm_partition(at, end, &row);
		assert_non_null(at);
		up |= 1ull << row.partition;
	}
	return up;
}

static void act_partitions(struct scene *s)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(partitions(&s->b), BOTH);
}

static void verify_partitions(struct scene *s)
{
	act_partitions(s);
}

const struct kill_case kill_shm_nodes[N_KILL_SHM_NODES] = {
	{"shm_key", prepare_key, act_key, verify_key},
	{"shm_get", prepare_key, act_get, verify_get},
	{"shm_remove", prepare_segment, act_remove, verify_remove},
	{"shm_set", prepare_segment, act_set, verify_set},
	{"shm_look", prepare_segment, act_look, verify_look},
	{"shm_partitions", prepare_key, act_partitions, verify_partitions},
};
