/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_WATCHED_H
#define BENCH_WATCHED_H

/*
 * A process that touches pages which are absent or protected, and this one, which answers through
 * its userfaultfd as a daemon of the same node does: the least that a coherent map can cost. Also
 * how pages are touched and timed, for memory of other nodes, too.
 */

#include "bench.h"
#include "memory/mapper.h"
#include "memory/page-store.h"

#define WATCHED_PAGE	4096ul
#define WATCHED_SIZE	(64ul << 20)
#define WATCHED_RUN_MAX 128ul
#define WATCHED_EACH	1024u /* faults of one kind in a round */

enum watched_order {
	LOAD_EACH,  /* WATCHED_EACH pages: the median time of a load, ns */
	STORE_EACH, /* of a store */
	LOAD_ALL,   /* this many bytes in order: ns */
	STORE_ALL,
	FORGET, /* its page tables: what is there is mapped anew */
};

struct watched {
	struct bench_partner partner;
	struct mapper mapper;
};

struct watched_server {
	struct page_store store;
	struct watched one;
	size_t run; /* bytes filled at once */
	char *content;
};

uint64_t watched_touch_each(volatile uint64_t *memory, bool store);
uint64_t watched_touch_all(volatile uint64_t *memory, size_t size, bool store);

/* A process that has the store's memory mapped, on the first CPU. */
void watched_start(struct watched *watched, struct page_store *store);
void watched_order(struct watched *watched, enum watched_order what, size_t size);

void watched_server_start(struct watched_server *server);
/* Until the process has done what it was told: its answer. */
uint64_t watched_serve(struct watched_server *server, bool spin);
/* All pages are absent. */
void watched_empty(struct watched_server *server);
double watched_time_each(struct watched_server *server, enum watched_order what, bool spin);
/* GB/s, at so many pages a run */
double watched_rate(struct watched_server *server, enum watched_order what, size_t pages);

#endif
