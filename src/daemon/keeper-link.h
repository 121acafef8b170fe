/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_KEEPER_LINK_H
#define DAEMON_KEEPER_LINK_H

/*
 * The daemon's side of the keeper: what is stored there under which kind and key, and what the
 * keeper gave at the start. A lost keeper is not an error of a store: the manager sees the link
 * hang up, starts another keeper and stores everything again.
 */

#include <stdint.h>
#include "base/error.h"

enum keeper_kind {
	KEEP_LOCK = 1,	   /* key 0 */
	KEEP_LISTEN,	   /* key 0 */
	KEEP_JOURNAL,	   /* key 0 */
	KEEP_NODE_PAGE,	   /* key 0 */
	KEEP_SOCKET,	   /* client */
	KEEP_PROCESS,	   /* client: its pidfd */
	KEEP_STATUS_PAGE,  /* client */
	KEEP_CLIENT_PAGE,  /* client */
	KEEP_UFFD,	   /* client */
	KEEP_MEMORY,	   /* segment instance */
	KEEP_CELLS,	   /* segment instance */
	KEEP_EXPORT_PIPE,  /* segment instance: the writing end */
	KEEP_IMPORT_PIPE,  /* keep_import_key(): the writing end */
	KEEP_IMPORT_CELLS, /* keep_import_key(): of another node's segment */
	KEEP_ROUTE,	   /* keep_import_key(), of the route: the data connection */
	KEEP_DONE,	   /* key 0: operations done for guests */
	KEEP_PORT,	   /* key 0: for other nodes */
	KEEP_ROWS,	   /* key 0: the table of mappers */
	KEEP_WATCH,	   /* CoherentWatch.number: its userfaultfd */
	KEEP_PAGES_MEMORY, /* record_coherent.number */
	KEEP_PAGES_TABLE,
	KEEP_PAGES_ASIDE,
	KEEP_FILLER = 40, /* shmid: to the process that follows free memory */
	KEEP_SHM_FILLER,  /* segment instance: the same for a segment of clshm */
};

/* index: of the import or route, below WIRE_CLIENT_IMPORTS */
static inline uint64_t keep_import_key(uint64_t client, uint32_t index)
{
	return client << 16 | index;
}

/* What came back. */
struct keeper_stored {
	struct keeper_item *items; /* sorted */
	uint32_t n_items;
};

/* Reads until the keeper is done. link blocks. */
int keeper_link_receive(int link, struct keeper_stored *ret_stored);
/* The descriptor, the caller's from now on, or -1. */
int keeper_stored_take(struct keeper_stored *stored, uint32_t kind, uint64_t key);
/* One of this kind that nobody has taken. */
int keeper_stored_take_any(struct keeper_stored *stored, uint32_t kind, uint64_t *ret_key);
/* Drops what nobody took, here and in the keeper; returns how many. */
uint32_t keeper_stored_deinit(struct keeper_stored *stored, int link);

/* fd stays the caller's. link -1: there is no keeper now. */
void keeper_link_store(int link, uint32_t kind, uint64_t key, int fd);
void keeper_link_drop(int link, uint32_t kind, uint64_t key);
void keeper_link_ready(int link);
void keeper_link_end(int link, int status);

#endif
