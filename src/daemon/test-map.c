/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/test-map.h"
#include "memory/uffd.h"

int map_watch_begin(struct client *c)
{
	struct wire_message m = {.type = WIRE_WATCH};
	enum uffd_kind kind;
	int uffd;

	assert_int_equal(uffd_new(-1, &kind, &uffd), 0);
	assert_int_equal(kind, UFFD_FULL);
	client_send(c, &m, &uffd, 1);
	assert_true(client_receive(c));
	assert_int_equal(c->reply.status, STATUS_OK);
	return uffd;
}

static uint32_t free_slot(const struct wire_client_page *page)
{
	uint32_t slot = 0;

	while (atomic_load(&page->maps[slot].length))
		slot++;
	return slot;
}

uint32_t map_enter(struct test_map *m, struct client *c, uint32_t side, uint32_t index,
	uint64_t offset, int fd, uint64_t size, int protection)
{
	struct wire_message watch = {.type = WIRE_MAP_WATCH};
	struct wire_map *map;
	uint32_t status;
	int flags = MAP_SHARED;

	if (side == WIRE_SIDE_IMPORT && protection == PROT_READ)
		flags = MAP_PRIVATE;
	*m = (struct test_map){.client = c, .size = size, .slot = free_slot(c->page)};
	m->at = mmap(NULL, size, PROT_NONE, flags, fd, (off_t)offset);
	assert_true(m->at != MAP_FAILED);
	close(fd);
	map = &c->page->maps[m->slot];
	map->address = (uintptr_t)m->at;
	map->offset = offset;
	map->side = side;
	map->index = index;
	atomic_store(&map->length, size);
	if (atomic_load(&c->page->n_maps) <= m->slot)
		atomic_store(&c->page->n_maps, m->slot + 1);
	watch.map_watch.slot = m->slot;
	status = client_call(c, &watch);
	assert_int_equal(mprotect(m->at, size, protection), 0);
	return status;
}

uint32_t map_memory(struct client *c, uint32_t import, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_IMPORT_MEMORY, .import_memory = {import}};
	uint32_t status = client_call(c, &m);

	if (status == STATUS_OK)
		*ret_fd = client_take_fd(c, 0);
	return status;
}

void map_remote(struct test_map *m, struct client *c, uint32_t import, uint64_t size, bool write)
{
	int fd;

	assert_int_equal(map_memory(c, import, &fd), STATUS_OK);
	assert_int_equal(map_enter(m, c, WIRE_SIDE_IMPORT, import, 0, fd, size,
				 write ? PROT_READ | PROT_WRITE : PROT_READ),
		STATUS_OK);
}

void map_export(struct test_map *m, struct client *c, uint32_t segment, int fd, uint64_t size)
{
	assert_int_equal(
		map_enter(m, c, WIRE_SIDE_EXPORT, segment, 0, fd, size, PROT_READ | PROT_WRITE),
		STATUS_OK);
}

void map_close(struct test_map *m)
{
	if (!m->at)
		return;
	atomic_store(&m->client->page->maps[m->slot].length, 0);
	munmap(m->at, m->size);
	m->at = NULL;
}
