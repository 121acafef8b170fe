/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEST_CLUSTER_H
#define CORE_TEST_CLUSTER_H

/*
 * A simulated cluster: engines joined by connections that deliver packets in order and late, break,
 * are cut, and whose ends restart or die. One clock, one queue of events, no thread; the same seed
 * gives the same run.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "core/engine-private.h"

#define PAGE	  4096ull
#define DETECTION NSEC_PER_SEC

struct packet {
	struct list link;
	struct wire_message message; /* decoded from bytes */
	uint8_t bytes[];
};

/* One connection: side 0 has dialled, side 1 was called. */
struct connection {
	struct list link; /* cluster->connections */
	uint32_t node[2];
	bool open[2];	       /* for this side */
	bool broken;	       /* delivers nothing any more */
	struct list queue[2];  /* struct packet, to this side */
	uint64_t latest[2];    /* no later packet arrives before */
	unsigned int n_events; /* that name it */
};

/* What a node has of a peer; EnginePeer.userdata. */
struct ends {
	struct connection *up, *dial;
};

struct import_name {
	uint64_t client;
	uint32_t index, generation;
};

enum event_kind {
	EVENT_TICK,
	EVENT_DIALLED, /* the connection of a dialler is there */
	EVENT_PACKET,  /* arrives at side */
	EVENT_DOWN,    /* side learns that it is over */
	EVENT_FAILED,  /* to dial; refused if side is 1 */
	EVENT_READY,   /* the route of an import has been opened */
	EVENT_START,   /* the daemon is there again */
};

struct event {
	uint64_t time, number;
	enum event_kind kind;
	uint32_t node, epoch;
	struct connection *connection;
	unsigned int side;
	struct import_name import;
};

struct records; /* what a restarted daemon knows */

struct sim_node {
	Engine *engine; /* NULL: the daemon does not run */
	bool host;	/* the machine runs */
	uint32_t epoch; /* +1 each daemon */
	uint64_t incarnation;
	uint64_t died;	  /* silently; UINT64_MAX: no */
	uint64_t started; /* the present daemon */
	uint64_t last_key;
	uint64_t tick; /* the next EVENT_TICK */
	struct records *records;
};

struct cluster {
	uint32_t n_nodes; /* numbered from 1 */
	struct sim_node *nodes;
	uint8_t *cut; /* n × n */
	struct list connections;
	struct event *events; /* a heap */
	uint32_t n_events, events_size;
	uint64_t now, last_event, random, seed;
	struct engine_limits limits;
	bool quiet; /* an engine is being dropped: its operations do nothing */
	uint64_t n_packets;
};

void cluster_init(
	struct cluster *c, uint32_t n_nodes, uint64_t seed, const struct engine_limits *limits);
void cluster_deinit(struct cluster *c);
uint32_t cluster_random(struct cluster *c, uint32_t below);

static inline struct sim_node *cluster_node(struct cluster *c, uint32_t number)
{
	return &c->nodes[number - 1];
}

/* Everything until then happens; looked(c, node) after each event of a node. */
typedef void (*cluster_look)(struct cluster *c, uint32_t node);
void cluster_run(struct cluster *c, uint64_t until, cluster_look look);
/* The caller has called an engine: what it decided goes on its way. */
void cluster_after(struct cluster *c, uint32_t node);

void cluster_cut(struct cluster *c, uint32_t a, uint32_t b, bool cut);
/* Both sides learn it, each in its time. */
void cluster_break(struct cluster *c, struct connection *connection);
/* The daemon is killed; it is back after this time. */
void cluster_restart(struct cluster *c, uint32_t node, uint64_t away);
/* All of the node is gone; another one begins after this time, UINT64_MAX: never. silent: nobody
 * is told. */
void cluster_kill(struct cluster *c, uint32_t node, uint64_t away, bool silent);

/* Fails the test, and says where. */
#define HOLDS(c, what)                                                                             \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			print_error("schedule %llu at %.6f s\n", (unsigned long long)(c)->seed,    \
				(double)(c)->now / 1e9);                                           \
			assert_true(what);                                                         \
		}                                                                                  \
	} while (0)

/* All that is true at any time, of this node and those it knows. */
void cluster_check_node(struct cluster *c, uint32_t node);
/* Everything has healed, and was given time: every pair agrees exactly, nothing is left over. */
void cluster_check_end(struct cluster *c);

/* The connection that both have of each other at present, or NULL. */
struct connection *cluster_common(struct cluster *c, EnginePeer *a, EnginePeer *b);
struct ends *cluster_ends(EnginePeer *peer);

/* --- between the files of the simulation --- */

#define DELAY_MAX    (20 * NSEC_PER_MSEC)
#define DIAL_TIMEOUT NSEC_PER_SEC

uint64_t cluster_delay(struct cluster *c);
void *cluster_allocate(size_t n, size_t size);
void cluster_event_add(struct cluster *c, struct event e);
struct event cluster_event_take(struct cluster *c);
void connection_drop(struct connection *n);
void connection_put(struct connection *n);
struct connection *connection_new(struct cluster *c, uint32_t from, uint32_t to);
unsigned int connection_side(const struct connection *n, uint32_t node);
void connection_send(
	struct cluster *c, struct connection *n, unsigned int from, const struct wire_message *m);
void connection_tell_down(struct cluster *c, struct connection *n, unsigned int side);
void connection_close(struct cluster *c, struct connection *n, unsigned int side);
bool cluster_is_cut(const struct cluster *c, uint32_t a, uint32_t b);
void connection_let_go(struct cluster *c, uint32_t node, struct connection **at);
void cluster_records_free(struct records *r);
void cluster_daemon_start(struct cluster *c, uint32_t number);
void cluster_daemon_end(struct cluster *c, uint32_t number, bool silent);

#endif
