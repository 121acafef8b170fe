/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

/*
 * The daemon proper: one event loop that owns the engine, the journal, the pages and the clients.
 * It begins with what the keeper gives it, be that a new node's empty journal or all that a
 * predecessor left. One thread; besides there are data.h's, resolve.h's and base/closer.h's.
 */

#include <systemd/sd-event.h>
#include "base/list.h"
#include "config/config.h"
#include "core/engine.h"
#include "daemon/journal.h"
#include "daemon/keeper-link.h"
#include "daemon/pages.h"

#define MANAGER_HANDSHAKES_MAX 64u

struct manager_options {
	const struct config *config;
	const char *const *argv; /* to start a keeper with; "--keeper-fd N" is appended */
	bool embedded;
};

typedef struct Manager Manager;
typedef struct Guests Guests;
typedef struct Data Data;
typedef struct Coherent Coherent;
typedef struct Rdma Rdma;

struct Manager {
	struct manager_options options;
	sd_event *event;
	sd_event_source *accepting, *keeper_lost, *idle;

	Engine *engine;
	bool restoring; /* not all that a predecessor left is in the engine yet */
	Journal *journal;
	uint32_t counters_slot; /* RECORD_COUNTERS */

	int link; /* to the keeper; -1: none */
	int keeper_pid;
	unsigned int keeper_deaths; /* quick ones in a row */
	uint64_t keeper_started;    /* CLOCK_MONOTONIC */

	int lock, listen; /* only kept, and listened on */
	int spare;	  /* given up to refuse a client when descriptors have run out */
	int uffd_device;  /* /dev/userfaultfd; -1: not allowed */
	int node_fd;
	struct wire_node_page *node_page;

	/* Mappings are few (vm.max_map_count), and whoever made them was allowed to. */
	uint32_t n_mappings, max_mappings; /* of cells and of segments for guests */

	Guests *guests;	    /* guest.c; NULL: there has been none */
	Data *data;	    /* the same; data.c */
	Coherent *coherent; /* coherent.c; NULL: there has been no map of other nodes' segments */
	Rdma *rdma;	    /* rdma.c; NULL: nothing suggests that there is any */
	struct list routes; /* Route */

	struct Peers *peers; /* manager-peer.h; NULL: a node without others */

	struct Shm *shm; /* shm.h */

	struct list clients;	/* ManagerClient that said hello */
	struct list handshakes; /* that did not yet */
	uint32_t n_handshakes;
	struct list bindings; /* struct binding */
};

/* Until the node ends. link: to the keeper, who has just started us. Returns the exit status. */
int manager_run(const struct manager_options *options, int link);

/* The engine's counters into the journal: before the first record that depends on them. */
int manager_save_counters(Manager *m);

/* accept4() on this socket failed with r: sees that it does not wake us for ever. */
void manager_accept_failed(Manager *m, int listen, int r);

/* A client came or went. */
void manager_check_idle(Manager *m);

/* In restore.c: everything that a predecessor left. */
int manager_restore(Manager *m, struct keeper_stored *stored);

extern const struct engine_ops manager_engine_ops;

#endif
