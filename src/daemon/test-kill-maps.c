/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-kill-nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/*
 * A segment of a's, which a has mapped, is mapped by b, too, and not any more. Whatever was killed
 * meanwhile, nothing that was stored is lost, and whoever changes his mappings afterwards is not
 * kept waiting: somebody reads of it, or nothing is watched any more.
 */

/* Of this scene's clients. */
static int uffd_a = -1, uffd_b = -1;

static void watch_clients(struct scene *s)
{
	if (uffd_a >= 0) {
		close(uffd_a);
		close(uffd_b);
	}
	uffd_a = map_watch_begin(&s->a);
	uffd_b = map_watch_begin(&s->b);
	s->map.watched = true;
}

static _Atomic uint8_t *byte(const struct test_map *m)
{
	return (_Atomic uint8_t *)m->at;
}

static void prepare_home(struct scene *s)
{
	int fd;

	if (!s->map.watched)
		watch_clients(s);
	assert_int_equal(client_create(&s->a, SIZE, &s->map.segment, &fd), STATUS_OK);
	map_export(&s->map.home, &s->a, s->map.segment, fd, SIZE);
	assert_int_equal(client_publish(&s->a, s->map.segment, 0, &s->map.id), STATUS_OK);
	s->map.there.at = NULL;
	atomic_store(byte(&s->map.home), ++s->map.round);
}

static uint32_t enter(struct scene *s, int fd)
{
	struct wire_message watch = {.type = WIRE_MAP_WATCH};
	struct test_map *m = &s->map.there;
	struct wire_map *map;

	*m = (struct test_map){.client = &s->b, .size = SIZE};
	m->at = mmap(NULL, SIZE, PROT_NONE, MAP_SHARED, fd, 0);
	assert_true(m->at != MAP_FAILED);
	close(fd);
	map = &s->b.page->maps[0];
	*map = (struct wire_map){
		.address = (uintptr_t)m->at, .side = WIRE_SIDE_IMPORT, .index = s->r.import};
	atomic_store(&map->length, SIZE);
	if (!atomic_load(&s->b.page->n_maps))
		atomic_store(&s->b.page->n_maps, 1);
	return call(&s->b, &watch);
}

static void act_map(struct scene *s)
{
	struct wire_message memory = {.type = WIRE_IMPORT_MEMORY};

	assert_int_equal(connect_to(s, s->map.id), STATUS_OK);
	memory.import_memory.import = s->r.import;
	call_ok(&s->b, &memory);
	assert_int_equal(enter(s, client_take_fd(&s->b, 0)), STATUS_OK);
	assert_int_equal(mprotect(s->map.there.at, SIZE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(atomic_fetch_add(byte(&s->map.there), 1), s->map.round++);
}

static void prepare_map(struct scene *s)
{
	prepare_home(s);
	act_map(s);
}

static void act_unmap(struct scene *s)
{
	map_close(&s->map.there);
	disconnect(s);
	for (int i = 0; i < 2000 && atomic_load(&s->a.status->export_coherent[s->map.segment]); i++)
		usleep(1000);
}

static void verify_unmapped(struct scene *s)
{
	struct wire_message destroy = {
		.type = WIRE_SEGMENT_DESTROY, .segment_destroy = {s->map.segment}};

	assert_int_equal(atomic_load(byte(&s->map.home)), s->map.round);
	map_close(&s->map.home);
	wait_imports(&s->a, 0);
	wait_imports(&s->b, 0);
	call_ok(&s->a, &destroy);
}

static void verify_map(struct scene *s)
{
	assert_int_equal(atomic_fetch_add(byte(&s->map.home), 1), s->map.round++);
	assert_int_equal(atomic_fetch_add(byte(&s->map.there), 1), s->map.round++);
	act_unmap(s);
	verify_unmapped(s);
}

const struct kill_case kill_maps[N_KILL_MAPS] = {
	{"map", prepare_home, act_map, verify_map},
	{"unmap", prepare_map, act_unmap, verify_unmapped},
};
