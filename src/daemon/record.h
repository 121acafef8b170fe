/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

/*
 * What the daemon's records in the journal look like. serial: number of the request that last
 * changed the object, so that a successor recognises a request that has been carried out but not
 * answered.
 */

#include <assert.h>
#include "core/engine.h"
#include "daemon/journal.h"

enum record_kind {
	RECORD_COUNTERS = 1, /* struct engine_counters */
	RECORD_CLIENT,
	RECORD_GROUPS,
	RECORD_SEGMENT,
	RECORD_IMPORT,
	RECORD_BINDING = 40, /* binding.h */
	RECORD_GUEST,
	RECORD_ROUTE,
	RECORD_PEER, /* struct engine_peer_record */
	RECORD_COHERENT,
	RECORD_SHM_NODE, /* shm-record.h */
	RECORD_ESTATE,
	RECORD_SHM_KEY, /* struct engine_shm_key_record */
	RECORD_SHM,	/* struct engine_shm_record */
};

/* Groups that do not fit are in a record of their own, written first. */
#define RECORD_CLIENT_GROUPS 39u

/* What ends an object, which leaves no record, or takes several steps is announced here before. */
struct record_ending {
	uint32_t type;	 /* enum wire_type; 0: nothing */
	uint32_t index;	 /* of the segment or import */
	uint64_t number; /* its instance or generation */
};

struct record_client {
	uint64_t id;
	uint64_t serial; /* the last request that had an effect */
	uint8_t token[16];
	struct record_ending ending;
	int32_t pid;
	uint32_t uid, gid, charged_uid;
	uint32_t n_groups;
	uint32_t groups_slot; /* the RECORD_GROUPS, if n_groups is above RECORD_CLIENT_GROUPS */
	char command[16];
	uint32_t shm_version; /* of the library that said SHM_HELLO; 0: none did */
	gid_t groups[RECORD_CLIENT_GROUPS];
};

struct record_groups {
	uint64_t client;
	gid_t groups[ENGINE_GROUPS_MAX - RECORD_CLIENT_GROUPS];
};

struct record_segment {
	struct engine_segment_record engine;
	uint64_t serial;
	uint32_t moved; /* as in ManagerSegment */
	uint32_t foreign;
	int32_t shmid;
	uint64_t offset;
	uint64_t family;
};

struct record_import {
	struct engine_import_record engine;
	uint64_t serial;
	uint8_t key[16];   /* of a guest's */
	uint32_t route;	   /* of another node's segment: 1 + the route */
	uint32_t coherent; /* it maps: another node's segment here, or ours there */
};

/* A process of another node; its imports are records of their own. */
struct record_guest {
	uint64_t id;	/* here, as a client's */
	uint64_t guest; /* there */
	uint32_t peer;
	int32_t pid;
	uint32_t uid, gid, charged_uid;
	uint32_t word; /* in the done page */
	char command[16];
};

/* In state OPEN the keeper has its descriptor. */
struct record_route {
	uint64_t client;
	uint64_t session; /* that it belongs to; 0: none yet */
	uint64_t done;	  /* as the home said when it was opened */
	uint32_t index, generation, node, state;
	uint32_t used; /* it has been open: the home counts on */
};

/* A segment of this node that others map, or another node's that is mapped here; its descriptors
 * are in the keeper under number. */
struct record_coherent {
	uint64_t number;
	uint64_t instance;
	uint32_t node; /* 0: this one */
	/* another node's */
	uint32_t map;
	uint64_t session, size;
	uint32_t discards;
	uint32_t space;
	uint32_t loss; /* enum wire_shm_loss: it is lost, and still mapped; else 0 */
};

static_assert(sizeof(struct record_client) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_groups) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_segment) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_import) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_guest) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_route) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct record_coherent) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct engine_counters) <= JOURNAL_BODY_SIZE, "fits a slot");

#endif
