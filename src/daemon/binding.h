/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_BINDING_H
#define DAEMON_BINDING_H

/*
 * The node's registry of segments that were bound to NUMA nodes, System V's and clshm's: what each
 * of them may still take counts when another hard binding asks for memory. An entry lives as long
 * as its segment, is looked at only when somebody asks, and is in the journal. The binding itself
 * is in the kernel: it stays if the registry is lost. The manager's thread.
 */

#include "daemon/manager.h"
#include "placement/admission.h"
#include "placement/sysv.h"

#define BINDINGS_MAX 1024u

struct binding {
	struct list link; /* manager->bindings */
	Manager *manager;
	uint64_t instance; /* of a segment of clshm; 0: System V's */
	int shmid;	   /* System V's; else -1 */
	pid_t creator; /* of the segment: with id and size it tells a later one of the same id */
	uint64_t size;
	uint64_t present; /* bytes in memory or swapped out, when last looked at */
	struct placement placement;
	bool huge;	  /* its memory is set aside, it claims none */
	bool settled;	  /* it was bound; until then it is forgotten after a while */
	uint64_t touched; /* CLOCK_MONOTONIC */
	uid_t uid;
	pid_t pid;	  /* who bound it */
	uint64_t created; /* CLOCK_REALTIME */
	uint32_t slot;
	int filler; /* to the process that follows free memory; -1: none */
	pid_t filler_pid;
	sd_event_source *filler_ended;
};

struct record_binding {
	int32_t shmid, creator, pid;
	uint32_t uid;
	uint64_t size, created;
	uint32_t order;
	uint8_t hard, huge, settled, unused;
	int32_t filler_pid;
	uint8_t nodes[NODESET_BYTES];
	uint64_t instance;
};
static_assert(sizeof(struct record_binding) <= JOURNAL_BODY_SIZE, "fits a slot");

/* Forgets entries whose segments are gone and looks at the others. */
int bindings_refresh(Manager *m);

/*
 * A new entry of this content, whose own fields are set here, in place of an older one of that
 * segment. After bindings_refresh(). STATUS_NO_MEMORY: it is hard and could not be kept beside the
 * others; STATUS_NO_RESOURCES: too many entries.
 */
int binding_add(Manager *m, const struct binding *content);
/* What it would say. */
int binding_admit(Manager *m, const struct binding *content);
/* NULL: there is none. */
struct binding *binding_find(Manager *m, int shmid);
struct binding *binding_find_instance(Manager *m, uint64_t instance);
void binding_settle(struct binding *b);
void binding_free(struct binding *b);

/* Starts a process that follows free memory for it; memory: the segment's, stays the caller's. */
int binding_start_filler(struct binding *b, int memory);
/* Returns when it does not choose nodes any more. */
void binding_stop_filler(struct binding *b);

/* What a predecessor left in this slot. */
int binding_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* To a new keeper. */
void bindings_store(Manager *m);

#endif
