/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_KILL_NODES_H
#define DAEMON_TEST_KILL_NODES_H

/*
 * For the test of two nodes one of whose daemons is killed: the scene, and what is done in it.
 */

#include "daemon/test-map.h"

#define SIZE 4096u

/* a exports on node 1, b imports on node 2. */
struct scene {
	struct nodes nodes;
	struct client a, b;
	uint32_t segment, id;
	uint8_t *memory;
	struct remote r;
	struct wire_cell *home, *here; /* cells as a and b see them; NULL: not mapped */
	uint64_t n;		       /* additions so far, to the first word */
	struct {
		uint32_t segment, id;
		struct test_map home, there;
		bool watched;
		uint8_t round;
	} map; /* another segment of a's, for one act; test-kill-maps.c */
	struct {
		uint32_t key, shmid, made;
	} shm; /* of a's partition, asked for by b; test-kill-shm-nodes.c */
};

struct kill_case {
	const char *name;
	void (*prepare)(struct scene *s);
	void (*act)(struct scene *s); /* in a thread of its own */
	void (*verify)(struct scene *s);
};

/* A client that says again what was not answered, as a library does; its status. */
uint32_t call(struct client *c, struct wire_message *m);
void call_ok(struct client *c, struct wire_message *m);
/* Until it has so many. */
void wait_imports(struct client *c, uint32_t n);
/* b's import, s->r, of a's segment. */
uint32_t connect_to(struct scene *s, uint32_t id);
void disconnect(struct scene *s);

/* --- test-kill-maps.c --- */

#define N_KILL_MAPS 2u

extern const struct kill_case kill_maps[N_KILL_MAPS];

/* --- test-kill-shm-nodes.c --- */

#define N_KILL_SHM_NODES 6u

extern const struct kill_case kill_shm_nodes[N_KILL_SHM_NODES];

#endif
