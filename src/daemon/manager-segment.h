/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_SEGMENT_H
#define DAEMON_MANAGER_SEGMENT_H

/*
 * What the daemon has of a segment besides the engine's view: descriptors, cells, the pipe, the
 * record. Hangs on EngineSegment.userdata; freed by the engine's operations, which are here, too.
 */

#include "daemon/manager-client.h"
#include "daemon/record.h"

typedef struct ManagerSegment {
	int memory;	 /* memfd */
	uint64_t family; /* segments of one owner with the same one are siblings; record_segment */
	int fresh;	 /* what a sibling that moves brings; -1: nothing */
	int pipe;	 /* writing end of the exporter's; -1: none */
	struct cells cells; /* made when first needed */
	uint64_t serial;    /* record_segment */
	uint32_t slot;
	bool foreign;	      /* the owner shares the memory with others anyway: it never moves */
	int shmid;	      /* of foreign memory that we cannot open; -1. memory stands for it */
	uint64_t offset;      /* of the segment in memory */
	struct traffic ended; /* counts of imports that are gone; begins anew after a restart */
	bool moved; /* the last unpublish gave it fresh memory, or the one that is announced will */
	bool coherent;		   /* never registered for RDMA (any more); rdma_withdraw() */
	struct data_memory *data;  /* while guests have keys to it; data.c */
	struct CoherentHome *home; /* while other nodes map it; coherent-home.c */
	struct ShmLook *look;	   /* where its pages are is being found out; shm-look.c */
	struct ShmLock *lock;	   /* it is locked in memory; shm-lock.c */
} ManagerSegment;

/* Attach what is there already, from now on owned. */
int manager_segment_new(
	EngineSegment *segment, int *memory, uint64_t serial, ManagerSegment **ret_segment);

static inline ManagerSegment *manager_segment(const EngineSegment *segment)
{
	return segment->userdata;
}

/* Into the journal; the first time may fail. */
int manager_segment_save(Manager *m, EngineSegment *segment);

/* Unpublishes for this request; s->moved says whether to fresh memory, and is in the record. What
 * was announced is finished by a successor: nobody may connect to the fresh memory in between.
 * Nothing fails once it is announced. */
int manager_segment_unpublish(ManagerClient *client, EngineSegment *segment, uint64_t serial);

/*
 * Siblings share their memory, so it can only move if nobody has the right to have it by way of
 * another one. If it cannot move now, what its importers keep is what that one's importers may have
 * as well, and it moves when that one is unpublished.
 */
bool manager_segment_may_move(const EngineSegment *segment);
bool manager_segment_has_siblings(const EngineSegment *segment);
/* This one's importers keep the memory of its published siblings. */
void manager_segment_leave_importers(Manager *m, const EngineSegment *segment);

/* Makes the cells if there are none, with room for all in use. */
int manager_segment_need_cells(Manager *m, EngineSegment *segment);

/* The writing end of a cell's pipe; -1 if it has none or nobody has that cell. */
int manager_segment_pipe(EngineSegment *segment, uint32_t cell);
/* Makes the pipe of a cell in use if there is none. */
int manager_segment_need_pipe(Manager *m, EngineSegment *segment, uint32_t cell);

/* All its descriptors, to the keeper. */
void manager_segment_store(Manager *m, EngineSegment *segment);

/* Tells the exporter's status page how many cells may be in use. */
void manager_segment_show_cells(EngineSegment *segment);

/* The engine's operations; userdata: the manager. */
void manager_segment_free(void *userdata, EngineSegment *segment);
void manager_segment_cells(void *userdata, EngineSegment *segment);

#endif
