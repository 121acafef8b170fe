/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/test-attach.h"

#define PAGE 4096u

void shm_hello(struct client *c)
{
	struct wire_message m = {.type = WIRE_SHM_HELLO, .shm_hello = {0x10000}};

	assert_int_equal(client_call(c, &m), STATUS_OK);
}

uint32_t shm_make(struct client *c, uint64_t size, uint32_t mode)
{
	struct wire_message key = {.type = WIRE_SHM_KEY, .shm_key = {WIRE_SHM_HERE}};
	struct wire_message get = {.type = WIRE_SHM_GET};

	assert_int_equal(client_call(c, &key), STATUS_OK);
	get.shm_get =
		(struct wire_shm_get){c->reply.shm_key_reply.key, size, mode, WIRE_SHM_EXCLUSIVE};
	assert_int_equal(client_call(c, &get), STATUS_OK);
	return c->reply.shm_get_reply.shmid;
}

uint32_t shm_remove(struct client *c, uint32_t shmid)
{
	struct wire_message m = {
		.type = WIRE_SHM_CONTROL, .shm_control = {shmid, WIRE_SHM_REMOVE, 0, 0, 0}};

	return client_call(c, &m);
}

uint64_t shm_attached(struct client *c, uint32_t shmid)
{
	struct wire_message m = {.type = WIRE_SHM_STAT, .shm_stat = {shmid}};
	const uint8_t *tail;
	struct wire_shm_row row;

	assert_int_equal(client_call(c, &m), STATUS_OK);
	tail = c->reply.tail;
	assert_non_null(wire_get_shm_row(tail, tail + c->reply.tail_size, &row));
	return row.n_attached;
}

/* Attaches */

static uint32_t finish(struct attach *a)
{
	struct client *c = a->client;
	struct wire_message ask = {.type = WIRE_IMPORT_RESULT, .import_result = {a->import}};
	uint32_t status;

	client_wait_word(&c->status->imports[a->import],
		WIRE_IMPORT_WORD(a->generation, WIRE_IMPORT_PENDING));
	status = client_call(c, &ask);
	if (status)
		return status;
	assert_int_equal(c->reply.import_result_reply.route, 0);
	a->size = c->reply.import_result_reply.size;
	return 0;
}

/* What both kinds of answer say. */
static uint32_t begin(struct attach *a, struct client *c, struct wire_message *m)
{
	const struct wire_import_connect_reply *p = &c->reply.import_connect_reply;
	uint32_t status = client_call(c, m);

	*a = (struct attach){.client = c, .fd = -1};
	if (status)
		return status;
	a->import = p->import;
	a->generation = p->generation;
	a->size = p->size;
	a->write = p->rights & WIRE_WRITE;
	assert_int_equal(p->route, 0);
	if (p->state == WIRE_IMPORT_PENDING)
		return finish(a);
	a->fd = client_take_fd(c, 0);
	return 0;
}

uint32_t attach_connect(struct attach *a, struct client *c, uint32_t shmid, uint32_t rights)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_CLSHM, WIRE_CONTROLLER_TCP, WIRE_SHM_PARTITION(shmid),
			shmid, rights}};

	return begin(a, c, &m);
}

uint32_t attach_inherit(struct attach *a, struct client *c, const struct wire_hello_reply *parent,
	const struct attach *parents)
{
	struct wire_message m = {.type = WIRE_SHM_INHERIT,
		.shm_inherit = {.client = parent->client,
			.import = parents->import,
			.generation = parents->generation}};

	memcpy(m.shm_inherit.token, parent->token, sizeof(m.shm_inherit.token));
	return begin(a, c, &m);
}

void attach_map(struct attach *a)
{
	int fd = a->fd;

	a->fd = -1;
	if (fd < 0)
		assert_int_equal(map_memory(a->client, a->import, &fd), STATUS_OK);
	assert_int_equal(map_enter(&a->map, a->client, WIRE_SIDE_IMPORT, a->import, 0, fd, a->size,
				 a->write ? PROT_READ | PROT_WRITE : PROT_READ),
		STATUS_OK);
}

void attach_open(struct attach *a, struct client *c, uint32_t shmid, uint32_t rights)
{
	assert_int_equal(attach_connect(a, c, shmid, rights), STATUS_OK);
	attach_map(a);
}

void attach_close(struct attach *a)
{
	struct wire_message m = {.type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {a->import}};

	map_close(&a->map);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	assert_int_equal(client_call(a->client, &m), STATUS_OK);
}

_Atomic uint64_t *attach_word(const struct attach *a, unsigned int page)
{
	return (_Atomic uint64_t *)(a->map.at + page * PAGE);
}
