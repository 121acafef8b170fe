/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_IMPORT_H
#define DAEMON_MANAGER_IMPORT_H

/*
 * What the daemon has of an import besides the engine's view. There are three kinds:
 *
 *   local    a client's, of a segment of this node: a cell of the segment, perhaps a pipe
 *   remote   a client's, of another node's segment: a route, cells of its own, perhaps a pipe
 *   guest    another node's, of a segment of this node: a cell of the segment, a key
 *
 * Hangs on EngineImport.userdata; freed by the engine's operations, which are here, too.
 */

#include "daemon/manager-segment.h"

typedef struct Route Route; /* daemon/route.h */

typedef struct ManagerImport {
	EngineImport *engine;
	uint64_t serial; /* record_import */
	uint32_t slot;
	int pipe; /* writing end; -1: none */

	/* remote */
	Route *route;
	struct list route_link; /* route->imports */
	struct cells cells;	/* its own is IMPORT_OWN_CELL; made when first needed */
	struct signals totals;	/* as the home last said */

	/* guest */
	uint8_t key[16];
	bool keyed; /* the data thread knows the key */

	/* remote: what is mapped of its segment; the others: what nodes map of it */
	struct CoherentGuest *coherent_guest;
	struct CoherentHome *coherent_home;
	struct list coherent_link; /* their imports */
	bool coherent_before;	   /* a predecessor's had one of them */
} ManagerImport;

#define IMPORT_OWN_CELL 1u

/* Attaches it; the maker of an import does the rest. */
int manager_import_new(EngineImport *import, uint64_t serial, ManagerImport **ret_import);

static inline ManagerImport *manager_import(const EngineImport *import)
{
	return import->userdata;
}

static inline bool import_is_guest(const EngineImport *import)
{
	return import->client->peer;
}

static inline bool import_is_remote(const EngineImport *import)
{
	return import->node;
}

/* Another node's segment that is reached by maps alone has no route. */
static inline bool import_has_route(const EngineImport *import)
{
	return import_is_remote(import) && import->space != WIRE_SPACE_CLSHM;
}

/* Into the journal; the first time may fail. */
int manager_import_save(Manager *m, EngineImport *import);

/* All its descriptors, to the keeper. */
void manager_import_store(Manager *m, EngineImport *import);

/* Shows the import's state to its client; a final one also in its cell. */
void manager_import_show(EngineImport *import);

/* The cells of a remote import, made if there are none. */
int manager_import_need_cells(Manager *m, EngineImport *import);
/* Its pipe. */
int manager_import_need_pipe(Manager *m, EngineImport *import);
/* A predecessor's cells. */
int manager_import_restore_cells(Manager *m, EngineImport *import, int *fd);

/* The engine's operations; userdata: the manager. */
void manager_import_changed(void *userdata, EngineImport *import);
void manager_import_free(void *userdata, EngineImport *import);
void manager_import_signal(void *userdata, EngineImport *import, uint32_t total, uint32_t once);

#endif
