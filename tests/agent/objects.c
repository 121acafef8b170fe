/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that are RSM calls and accesses to memory. */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct buffer buffers[AGENT_OBJECTS];
struct import imports[AGENT_OBJECTS];
rsm_memseg_export_handle_t exports[AGENT_OBJECTS];
rsmapi_controller_handle_t controllers[16];

/* buffers */

/* alloc B SIZE: anonymous private memory */
static void alloc(struct request *q)
{
	struct buffer *b = &buffers[object(q, 0)];

	b->size = number(q, 1);
	b->at = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->at == MAP_FAILED)
		b->at = NULL;
	answer(q, b->at ? 0 : RSMERR_INSUFFICIENT_MEM, "%llu",
		(unsigned long long)(uintptr_t)b->at);
}

/* heap B SIZE: page-aligned memory of malloc's */
static void heap(struct request *q)
{
	struct buffer *b = &buffers[object(q, 0)];

	b->size = number(q, 1);
	b->at = aligned_alloc(4096, b->size);
	answer(q, b->at ? 0 : RSMERR_INSUFFICIENT_MEM, NULL);
}

/* free B */
static void free_buffer(struct request *q)
{
	struct buffer *b = &buffers[object(q, 0)];

	munmap(b->at, b->size);
	*b = (struct buffer){0};
	answer(q, 0, NULL);
}

/* The bytes of fill() in world.py. */
static void fill_bytes(uint8_t *at, size_t n, uint64_t seed)
{
	uint64_t x = seed * 2 + 1;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(at + i, &x, 8);
	}
}

/* fill B SEED */
static void fill(struct request *q)
{
	struct buffer *b = &buffers[object(q, 0)];

	fill_bytes(b->at, b->size, number(q, 1));
	answer(q, 0, NULL);
}

static uint32_t crc32_of(const volatile uint8_t *at, size_t n)
{
	static uint32_t table[256];
	uint32_t crc = ~0u;

	for (uint32_t i = 0; !table[1] && i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		table[i] = c;
	}
	for (size_t i = 0; i < n; i++)
		crc = table[(crc ^ at[i]) & 255] ^ crc >> 8;
	return ~crc;
}

static bool inside(const struct buffer *b, uint64_t off, uint64_t len)
{
	return b->at && off <= b->size && len <= b->size - off;
}

static void answer_sum(struct request *q, const struct buffer *b)
{
	if (b->at)
		answer(q, 0, "%u", crc32_of(b->at, b->size));
}

static void answer_load(struct request *q, const struct buffer *b)
{
	if (inside(b, number(q, 1), number(q, 2)))
		answer_bytes(q, 0, b->at + number(q, 1), number(q, 2));
}

static void do_store(struct request *q, const struct buffer *b)
{
	size_t n;
	uint8_t *bytes = bytes_of(q, 2, &n);

	if (inside(b, number(q, 1), n)) {
		memcpy(b->at + number(q, 1), bytes, n);
		answer(q, 0, NULL);
	}
	free(bytes);
}

/* sum B, load B OFFSET LENGTH, store B OFFSET BYTES; msum, mload, mstore: the same through the map
 * of import I */
static void sum(struct request *q)
{
	answer_sum(q, &buffers[object(q, 0)]);
}

static void load(struct request *q)
{
	answer_load(q, &buffers[object(q, 0)]);
}

static void store(struct request *q)
{
	do_store(q, &buffers[object(q, 0)]);
}

static struct buffer map_of(struct request *q)
{
	struct import *i = &imports[object(q, 0)];

	return (struct buffer){.at = i->map, .size = i->size};
}

static void msum(struct request *q)
{
	struct buffer b = map_of(q);

	answer_sum(q, &b);
}

static void mload(struct request *q)
{
	struct buffer b = map_of(q);

	answer_load(q, &b);
}

static void mstore(struct request *q)
{
	struct buffer b = map_of(q);

	do_store(q, &b);
}

/* controllers */

/* controller C [NAME] */
static void controller(struct request *q)
{
	answer(q,
		rsm_get_controller(
			q->n > 1 ? q->argument[1] : NULL, &controllers[number(q, 0) % 16]),
		NULL);
}

/* release C */
static void release(struct request *q)
{
	answer(q, rsm_release_controller(controllers[number(q, 0) % 16]), NULL);
}

/* topology */
static void topology(struct request *q)
{
	rsm_topology_t *t = NULL;
	int r = rsm_get_interconnect_topology(&t);

	answer(q, r, "%u", t ? t->topology_hdr.local_nodeid : 0);
	rsm_free_interconnect_topology(t);
}

/* exports */

/* create E B [OFFSET LENGTH]: over controller 0 */
static void create(struct request *q)
{
	struct buffer *b = &buffers[object(q, 1)];
	size_t len = q->n > 3 ? number(q, 3) : b->size;

	answer(q,
		rsm_memseg_export_create(
			controllers[0], &exports[object(q, 0)], b->at + number(q, 2), len, 0),
		NULL);
}

static unsigned int access_list(
	const struct request *q, unsigned int from, rsmapi_access_entry_t *list)
{
	unsigned int n = 0;

	for (unsigned int i = from; i < q->n; i++, n++)
		list[n] = (rsmapi_access_entry_t){.ae_permission = (rsm_permission_t)number(q, i)};
	return n;
}

/* publish E ID [MODE]: MODE for node 0 */
static void publish(struct request *q)
{
	rsmapi_access_entry_t list[32];
	unsigned int n = access_list(q, 2, list);
	rsm_memseg_id_t id = (rsm_memseg_id_t)number(q, 1);
	int r = rsm_memseg_export_publish(exports[object(q, 0)], &id, n ? list : NULL, n);

	answer(q, r, "%u", id);
}

/* republish E [MODE] */
static void republish(struct request *q)
{
	rsmapi_access_entry_t list[32];
	unsigned int n = access_list(q, 1, list);

	answer(q, rsm_memseg_export_republish(exports[object(q, 0)], n ? list : NULL, n), NULL);
}

/* unpublish E */
static void unpublish(struct request *q)
{
	answer(q, rsm_memseg_export_unpublish(exports[object(q, 0)]), NULL);
}

/* destroy E */
static void destroy(struct request *q)
{
	answer(q, rsm_memseg_export_destroy(exports[object(q, 0)]), NULL);
}

/* imports */

/* connect I ID [RIGHTS NODE]: with a barrier, so that put and get work */
static void connect_import(struct request *q)
{
	struct import *i = &imports[object(q, 0)];
	rsm_permission_t rights = q->n > 2 ? (rsm_permission_t)number(q, 2) : RSM_PERM_RDWR;
	int r;

	*i = (struct import){0};
	r = rsm_memseg_import_connect(controllers[0], (rsm_node_id_t)number(q, 3),
		(rsm_memseg_id_t)number(q, 1), rights, &i->handle);
	if (!r)
		r = rsm_memseg_import_init_barrier(i->handle, RSM_BAR_DEFAULT, &i->barrier);
	answer(q, r, NULL);
}

/* disconnect I */
static void disconnect(struct request *q)
{
	answer(q, rsm_memseg_import_disconnect(imports[object(q, 0)].handle), NULL);
}

/* put I OFFSET BYTES */
static void put(struct request *q)
{
	size_t n;
	uint8_t *bytes = bytes_of(q, 2, &n);

	answer(q,
		rsm_memseg_import_put(imports[object(q, 0)].handle, (off_t)number(q, 1), bytes, n),
		NULL);
	free(bytes);
}

/* get I OFFSET LENGTH */
static void get(struct request *q)
{
	size_t n = number(q, 2);
	uint8_t *bytes = calloc(1, n + 1);
	int r = rsm_memseg_import_get(imports[object(q, 0)].handle, (off_t)number(q, 1), bytes, n);

	answer_bytes(q, r, bytes, r ? 0 : n);
	free(bytes);
}

static int map_at(const struct request *q, struct import *i, void **ret_at)
{
	rsm_permission_t rights = q->n > 3 ? (rsm_permission_t)number(q, 3) : RSM_PERM_RDWR;

	return rsm_memseg_import_map(
		i->handle, ret_at, RSM_MAP_NONE, rights, (off_t)number(q, 1), number(q, 2));
}

/* map I OFFSET LENGTH [RIGHTS]: in the place of the implicit map of a put or get */
static void map(struct request *q)
{
	struct import *i = &imports[object(q, 0)];
	void *at = NULL;
	int r = map_at(q, i, &at);

	if (r == RSMERR_SEG_ALREADY_MAPPED && !i->map) {
		rsm_memseg_import_unmap(i->handle);
		r = map_at(q, i, &at);
	}
	if (!r) {
		i->map = at;
		i->size = number(q, 2);
	}
	answer(q, r, "%llu", (unsigned long long)(uintptr_t)at);
}

/* unmap I */
static void unmap(struct request *q)
{
	struct import *i = &imports[object(q, 0)];
	int r = rsm_memseg_import_unmap(i->handle);

	if (!r)
		i->map = NULL;
	answer(q, r, NULL);
}

/* events */

/* post HANDLE [FLAGS] */
static void post(struct request *q)
{
	answer(q, rsm_intr_signal_post(handle_of(q, 0), (uint_t)number(q, 1)), NULL);
}

/* wait HANDLE MILLISECONDS */
static void wait_signal(struct request *q)
{
	int ms = q->n > 1 ? atoi(q->argument[1]) : -1;

	answer(q, rsm_intr_signal_wait(handle_of(q, 0), ms), NULL);
}

const struct verb object_verbs[] = {
	{"alloc", alloc},
	{"heap", heap},
	{"free", free_buffer},
	{"fill", fill},
	{"sum", sum},
	{"load", load},
	{"store", store},
	{"msum", msum},
	{"mload", mload},
	{"mstore", mstore},
	{"controller", controller},
	{"release", release},
	{"topology", topology},
	{"create", create},
	{"publish", publish},
	{"republish", republish},
	{"unpublish", unpublish},
	{"destroy", destroy},
	{"connect", connect_import},
	{"disconnect", disconnect},
	{"put", put},
	{"get", get},
	{"map", map},
	{"unmap", unmap},
	{"post", post},
	{"wait", wait_signal},
	{NULL, NULL},
};
