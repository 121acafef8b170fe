/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_ATTACH_H
#define DAEMON_TEST_ATTACH_H

/*
 * For tests: segments of clshm, and what a library does to attach them, packet by packet. Every
 * failure fails the test.
 */

#include <stdatomic.h>
#include "daemon/test-map.h"

/* SHM_HELLO, once a client. */
void shm_hello(struct client *c);
/* A new segment of the client's node. */
uint32_t shm_make(struct client *c, uint64_t size, uint32_t mode);
uint32_t shm_remove(struct client *c, uint32_t shmid);
/* Attaches on all nodes, as the owner counts them. */
uint64_t shm_attached(struct client *c, uint32_t shmid);

/* A client's attach. */
struct attach {
	struct client *client;
	uint32_t import, generation;
	int fd; /* of this node's memory; -1: another node's, or taken */
	struct test_map map;
	uint64_t size;
	bool write;
};

/* Connects; 0 or why not. */
uint32_t attach_connect(struct attach *a, struct client *c, uint32_t shmid, uint32_t rights);
/* The same for what another client has, by its number and token. */
uint32_t attach_inherit(struct attach *a, struct client *c, const struct wire_hello_reply *parent,
	const struct attach *parents);
void attach_map(struct attach *a);
/* Both. */
void attach_open(struct attach *a, struct client *c, uint32_t shmid, uint32_t rights);
void attach_close(struct attach *a);

_Atomic uint64_t *attach_word(const struct attach *a, unsigned int page);

#endif
