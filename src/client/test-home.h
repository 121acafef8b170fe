/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_TEST_HOME_H
#define CLIENT_TEST_HOME_H

/*
 * For tests: a daemon made of threads in this process, node 1, that gives imports of one segment of
 * node 2, and that segment's home, a FabricTarget. The client library finds it by CAUSEWAY_SOCKET.
 * All of it can be told to misbehave. Every failure fails the test.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "fabric/fabric.h"
#include "wire/message.h"
#include "wire/shared.h"

#define HOME_NODE    2u
#define HOME_SIZE    (1u << 20)
#define HOME_CLIENTS 4u
#define HOME_IMPORTS 32u

struct home_import {
	bool used, granted;
	uint32_t generation;
	uint32_t rights;
	uint32_t failure; /* STATUS_OK: none */
	struct fabric_key key;
};

struct home_client {
	int sock; /* -1: free */
	struct wire_status_page *status;
	int status_fd, page_fd, cells_fd;
	const struct wire_client_page *page;
	struct wire_cell *cells;
	struct home_import imports[HOME_IMPORTS];
	uint32_t route_generation;
	int stream; /* the importer's end of the data connection, or -1 */
	_Atomic uint64_t done;
	bool attached;
};

struct home {
	char dir[32], path[48];
	int listener, stop_fds[2];
	pthread_t daemon, data;
	FabricTarget *target;
	uint8_t *memory;
	struct wire_node_page *node;
	int node_fd;
	pthread_mutex_t lock; /* of what follows, and of the clients */
	struct home_client clients[HOME_CLIENTS];
	uint64_t n_keys;
	bool frozen;

	/* what it shall do */
	_Atomic bool hold;	  /* connects stay pending */
	_Atomic uint32_t deaf;	  /* so many hellos end with their connection */
	_Atomic uint32_t forgets; /* so many hellos are answered with RESEND */
	_Atomic bool keep_broken; /* a broken route is not renewed */
	_Atomic uint32_t refuse;  /* status of connects */
	_Atomic uint32_t import_flags;
	_Atomic uint64_t incarnation;		      /* of node 2 */
	_Atomic uint64_t detection;		      /* ns */
	_Atomic uint32_t refuse_memory, refuse_watch; /* statuses */

	/* what it has seen */
	_Atomic uint32_t n_memories, n_watches;
	struct wire_map watched; /* the latest, as it was in the client page */
	char watched_access[8];	 /* "---s": what the process was allowed to do there */
	struct wire_advise advised;
	_Atomic uint32_t n_posts, n_single_posts, n_renews, n_stuck, n_disconnects, n_closed;
};

/* Sets CAUSEWAY_SOCKET. */
void home_start(struct home *home);
void home_stop(struct home *home);

/* The connects that were held. */
void home_answer(struct home *home);
/* The segment is unpublished: no key is good any more. told: the importers' status says so. */
void home_revoke(struct home *home, bool told);
/* All data connections break. */
void home_cut(struct home *home);
/* Node 2 answers no more; its connections stay. */
void home_freeze(struct home *home);
/* Node 2 is lost. */
void home_lose(struct home *home);

#endif
