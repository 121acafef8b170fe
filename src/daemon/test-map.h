/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_MAP_H
#define DAEMON_TEST_MAP_H

/*
 * For tests: maps of segments, as a library makes them so that they can be watched. Every failure
 * fails the test.
 */

#include "daemon/test-nodes.h"

struct test_map {
	struct client *client;
	uint32_t slot;
	uint8_t *at;
	uint64_t size;
};

/* Gives a userfaultfd of this process, which is returned: as long as that is open maps stay
 * watched, also by nobody. */
int map_watch_begin(struct client *c);
/* Enters a map in the client page; protection: what it gets in the end. Returns MAP_WATCH's status;
 * the map is there all the same. */
uint32_t map_enter(struct test_map *m, struct client *c, uint32_t side, uint32_t index,
	uint64_t offset, int fd, uint64_t size, int protection);
/* The memory of an import of another node's segment; returns IMPORT_MEMORY's status. */
uint32_t map_memory(struct client *c, uint32_t import, int *ret_fd);
/* Both for all of an import; must succeed. */
void map_remote(struct test_map *m, struct client *c, uint32_t import, uint64_t size, bool write);
/* Must succeed, for all of an export. */
void map_export(struct test_map *m, struct client *c, uint32_t segment, int fd, uint64_t size);
void map_close(struct test_map *m);

#endif
