/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_DATA_H
#define DAEMON_DATA_H

/*
 * The data thread: it serves the data connections of guests, and is there from the first guest on.
 * The main thread grants and revokes; segment bytes are the data thread's alone.
 *
 * A segment that guests import is mapped once, between guard pages; the mapping goes with the last
 * key. Memory that others could shorten is not mapped but reached through its descriptor.
 *
 * What the data thread touches of a segment (memory, cell 0, the exporter's pipe) lives until the
 * last key to it is revoked, and is changed by nobody before.
 */

#include "daemon/manager-import.h"
#include "fabric/fabric.h"

typedef struct CoherentHome CoherentHome; /* coherent.h */

/* Stops the thread; all connections are closed. NULL is fine. */
void data_free(Data *data);

/* A stream of this guest, known by its number in the engine, instead of the former one. fd is the
 * data thread's on success. done: where its operations are counted. */
int data_attach(Manager *m, const EngineClient *guest, int fd, _Atomic uint64_t *done);
/* Nothing of its stream is carried out any more. */
void data_detach(Manager *m, const EngineClient *guest);

/* Opens the import's segment to its guest under manager_import()->key; the segment has cells.
 * STATUS_NOT_ADOPTABLE: memory that we cannot reach. */
int data_grant(Manager *m, EngineImport *import);
/* What the import's key opens; false: nothing, or memory that is not mapped. */
bool data_region(
	const EngineImport *import, struct fabric_key *ret_key, struct fabric_region *ret_region);
/* When it returns nothing of the guest's moves any more under this key, and what it did has been
 * added to the segment's counts. Does nothing if there is no key. */
void data_revoke(Manager *m, EngineImport *import);

/* What goes through any key of the segment is claimed of this one first; NULL: no more. Waits for
 * the data thread, which takes the lock of coherent maps. */
void data_set_coherent(Manager *m, const EngineSegment *segment, CoherentHome *home);
/* Any thread: what got no claim is tried again. */
void data_retry(const Manager *m);

/* Adds what has gone through the import's key. */
void data_add_traffic(Manager *m, const EngineImport *import, struct traffic *sum);

/* The exporter has a pipe now. */
void data_set_pipe(const EngineSegment *segment, int pipe);

#endif
