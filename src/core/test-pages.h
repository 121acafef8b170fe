/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEST_PAGES_H
#define CORE_TEST_PAGES_H

/*
 * A simulated world of coherent maps: one segment, its home (node 0) and other nodes, each with
 * memory, mappers whose pages are protected or not, threads that load and store, and a daemon that
 * may die between any two operations. Page links deliver in order and late, break, are cut. One
 * clock, one queue of events, no thread; the same seed gives the same run.
 *
 * Every load must give what was stored last, in the whole world, and every store be alone; only the
 * loss of an owner takes stores back.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "core/directory.h"
#include "core/pager.h"

#define NODES	  8u
#define PAGES	  40u
#define WORDS	  2u
#define GROUPS	  3u
#define THREADS	  2u /* of a group */
#define US	  1000ull
#define DETECTION (2000 * US)
#define PATIENCE  (2 * DETECTION)
#define HOLD	  (50 * US)

struct bytes {
	uint64_t word[WORDS];
};

struct frame {
	bool present;
	struct bytes bytes;
};

struct packet {
	struct list link;
	struct page_message message;
	bool down; /* the end of the connection */
	bool sent; /* before, daemons read the content only when there is room on the link */
	struct bytes content[];
};

enum act {
	ACT_LOAD,
	ACT_STORE,
	ACT_ADD,   /* load and store at once */
	ACT_CROSS, /* load of two pages at once */
	ACTS,
};

struct thread {
	enum act act;
	bool chosen, blocked, sequential;
	uint64_t page, fault; /* where it is stopped */
	unsigned int word;
	uint64_t done;
};

struct mapper {
	bool used;
	bool marked[PAGES]; /* protected, or would be when the page is back */
	struct thread threads[THREADS];
};

struct node {
	struct world *world;
	unsigned int number;
	struct mapper mappers[GROUPS];
	struct frame memory[PAGES], aside[PAGES]; /* aside: the shadow at home */
	uint8_t table[PAGES];
	Pager *pager; /* NULL: the daemon does not run */
	uint32_t epoch;
	bool lives;	  /* the node as a whole */
	uint64_t session; /* as this node believes; 0: none */
	uint64_t since;	  /* its lease */
	uint64_t end;	  /* of the lease, as mappers see it */
	bool frozen, releasing, released;
	unsigned int fuse; /* operations until the daemon dies; 0: it does not */
	bool home_full;	   /* the link to it is, for the home */

	/* of the page link */
	struct list up, down; /* struct packet, to the home and to the node */
	uint64_t up_latest, down_latest;
	bool node_open, home_open;
	uint32_t connection;
	bool cut;

	/* at home */
	uint64_t home_session; /* durable; 0: none */
	uint64_t heard;
	bool expelled; /* its leases are not answered any more */
};

enum event_kind {
	EVENT_THREAD,  /* a: group, b: thread */
	EVENT_FAULT,   /* a: group, b: page, c: write */
	EVENT_UP,      /* a packet for the home; a: connection */
	EVENT_DOWN,    /* a packet for the node */
	EVENT_DIAL,    /* the node makes its page link */
	EVENT_JOIN,    /* the node begins a session */
	EVENT_LEASE,   /* the node says LEASE */
	EVENT_HEARD,   /* the home hears it; a: session, b: when it was said */
	EVENT_ANSWER,  /* the node hears the answer */
	EVENT_SILENCE, /* the home looks who is silent */
	EVENT_START,   /* the daemon is there again */
	EVENT_REBORN,  /* the node is there again */
	EVENT_CLAIM,   /* the data thread wants something */
	EVENT_UNCLAIM, /* a: page, b: n */
	EVENT_ROOM,    /* the page link to the node is not full any more */
};

struct event {
	uint64_t time, number;
	enum event_kind kind;
	unsigned int node;
	uint32_t epoch; /* of the daemon; 0: any */
	uint64_t a, b, c;
};

struct world {
	uint64_t random, now, last_event, last_session, last_value;
	unsigned int n_nodes;
	struct node nodes[NODES];
	uint64_t entries[PAGES];
	Directory *directory; /* NULL: the home's daemon does not run */
	struct bytes truth[PAGES];
	struct bytes granted[PAGES]; /* as the owner got it */
	struct packet *receiving;
	struct event *events;
	size_t n_events, events_size;
	jmp_buf death;
	struct node *dying; /* whose daemon runs at present */
	bool calm;	    /* nothing fails any more */
	bool recalled;
	uint64_t claim_page;
	unsigned int claim_n;
	bool claim_write, claiming;
	uint64_t n_steps;
};

/* What has been seen, over all worlds. */
extern struct pages_seen {
	uint64_t loads, stores, faults, deaths, breaks, losses, discarded, claims, releases, joins,
		starved, given_up, forgotten, recoveries;
} pages_seen;

/* Says which seed, and when. */
#define HOLDS(w, condition)                                                                        \
	do {                                                                                       \
		if (!(condition))                                                                  \
			world_fail(w, #condition, __FILE__, __LINE__);                             \
	} while (0)
_Noreturn void world_fail(const struct world *w, const char *what, const char *file, int line);

uint32_t world_random(struct world *w, uint32_t below);
/* One in so many, while things may fail. */
bool world_chance(struct world *w, uint32_t one_in);
void world_init(struct world *w, uint64_t seed);
void world_deinit(struct world *w);
void world_event(struct world *w, struct event e, uint64_t delay);
/* Handles the next event; false: there is none before until. */
bool world_step(struct world *w, uint64_t until);

/* test-pages-memory.c: what processes do */
void mapper_init(struct node *n, unsigned int group);
void thread_run(struct node *n, unsigned int group, unsigned int thread);
void node_protect(struct node *n, uint64_t page, unsigned int k, uint64_t groups);
void node_allow(struct node *n, uint64_t page, unsigned int k, uint64_t groups);
void node_wake(struct node *n, uint64_t page, unsigned int k, uint64_t groups);
void node_drop(struct node *n, uint64_t page);
/* Nobody can store there. */
bool all_marked(const struct node *n, uint64_t page);
/* Whoever may see memory that is not the newest. */
bool node_believes(const struct node *n);
bool bytes_equal(const struct bytes *a, const struct bytes *b);

/* test-pages-daemon.c: what daemons do */
void daemon_start(struct node *n);
/* At once, wherever it is. */
void daemon_die(struct node *n);
void daemon_check(struct world *w);
void home_remove(struct world *w, unsigned int slot);
void home_add(struct world *w, unsigned int slot);
/* Everything that the node has of the segment is gone. */
void node_lose(struct node *n);
void node_begin(struct node *n);
void packets_drop(struct list *packets);

/* test-pages-world.c: links and sessions */
void link_send(
	struct node *n, bool to_home, const struct page_message *m, const struct bytes *content);
void link_break(struct node *n);
/* What is on its way is read from the memory, and must be what was said. */
void link_sent(struct node *n, bool to_home);
/* What is on its way was sent before: nothing is any more. */
void link_stop(struct node *n, bool to_home);
void node_kill(struct node *n, uint64_t back);

#endif
