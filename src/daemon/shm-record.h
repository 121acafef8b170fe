/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SHM_RECORD_H
#define DAEMON_SHM_RECORD_H

/*
 * The registry of clshm in the journal. What the engine decides is written by its operations, which
 * are here; what a request makes, by shm.c, in this order: numbers, estate, memory, segment, what
 * is beside the segment. Ends go the other way round, the key first (core/shm.h).
 */

#include "core/shm.h"
#include "daemon/record.h"
#include "daemon/shm.h"

/* What there is once. */
struct record_shm_node {
	struct engine_shm_counters counters;
	uint64_t max_pages, timeout;
	uint32_t shut_down, reserved;
};

struct record_estate {
	uint64_t client;
	uint32_t uid, reserved;
};

static_assert(sizeof(struct record_shm_node) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct engine_shm_key_record) <= JOURNAL_BODY_SIZE, "fits a slot");
static_assert(sizeof(struct engine_shm_record) <= JOURNAL_BODY_SIZE, "fits a slot");

/* The first time may fail. */
int shm_save_node(Manager *m);
int shm_save_key(Manager *m, EngineShmKey *key);
int shm_save_estate(Manager *m, EngineShmEstate *estate);
int shm_save_segment(Manager *m, EngineSegment *segment);

int shm_restore_node(Manager *m, uint32_t slot, struct keeper_stored *stored);
int shm_restore_estate(Manager *m, uint32_t slot, struct keeper_stored *stored);
int shm_restore_key(Manager *m, uint32_t slot, struct keeper_stored *stored);
int shm_restore_segment(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* All of it and all clients are there. */
void shm_restored(Manager *m);

/* Descriptors of all segments, to a new keeper. */
void shm_store(Manager *m);

/* The segment is about to be freed: says manager_segment_free(). */
void shm_segment_free(Manager *m, EngineSegment *segment);

/* The engine's operations; userdata: the manager. */
void shm_on_counted(void *userdata);
void shm_on_changed(void *userdata, EngineSegment *segment);
void shm_on_key_changed(void *userdata, EngineShmKey *key);
void shm_on_key_free(void *userdata, EngineShmKey *key);
void shm_on_estate_free(void *userdata, EngineShmEstate *estate);

#endif
