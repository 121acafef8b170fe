/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_EXPORT_H
#define CLIENT_EXPORT_H

/*
 * Exports: memory of this process that others may import; how it gets there is backing.h's matter.
 * Thread safe; one operation on an export at a time.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/list.h"
#include "client/handle.h"
#include "client/link.h"
#include "client/signal.h"

struct cw_backing;

struct cw_export {
	_Atomic uint32_t refs;
	_Atomic bool forked; /* inherited from the parent process */
	_Atomic bool closed; /* destroyed; for those who still sleep on its cell */
	cw_handle handle;
	struct cw_link *link;
	uint32_t flags; /* the interface's, as given at create */
	uint32_t index; /* at the daemon */
	bool reserved;	/* its memory is allocated before it is handed out */

	pthread_mutex_t lock; /* of what follows */
	bool published;
	bool offered;  /* instead; offer.h */
	bool ends_all; /* when it ends: connections to it end, too */
	uint32_t id;
	struct cw_backing *backing;
	struct list on_backing; /* backing->exports, under the backing's lock */
	uint32_t map_slot;
	struct cw_cells cells;
};

/*
 * Exports [address, address + size), page aligned. mode: rights where no access list says
 * otherwise. STATUS_NOT_ADOPTABLE, STATUS_BAD_ADDRESS, STATUS_BAD_SIZE, STATUS_NO_MEMORY (also:
 * several threads and no right to userfaultfd), STATUS_NO_RESOURCES, STATUS_QUOTA_BYTES …
 */
CW_EXPORT int cw_export_create(uint32_t space, void *address, uint64_t size, uint32_t mode,
	uint32_t flags, cw_handle *ret_handle);
/* The same of new memory of our own, all zero, which is gone with the export. reserve: allocate it;
 * else only what is touched. */
CW_EXPORT int cw_export_make(uint32_t space, uint64_t size, uint32_t mode, uint32_t flags,
	bool reserve, void **ret_address, cw_handle *ret_handle);
/* The memory is private again, unless other exports share it. STATUS_BAD_HANDLE; STATUS_IN_USE: its
 * pollfd. In a forked child only the handle ends. */
CW_EXPORT int cw_export_destroy(cw_handle handle);
/* *id 0: the daemon chooses. Statuses as the daemon says; STATUS_FORKED. */
CW_EXPORT int cw_export_publish(
	cw_handle handle, uint32_t *id, const struct wire_access *access, uint32_t n_access);
CW_EXPORT int cw_export_republish(
	cw_handle handle, const struct wire_access *access, uint32_t n_access);
/* When it returns nothing that former importers store reaches this process. */
CW_EXPORT int cw_export_unpublish(cw_handle handle);

/* Other memory for the segment, of the same size and private: its content becomes the segment's.
 * STATUS_BAD_SIZE, STATUS_BAD_ADDRESS, STATUS_NOT_ADOPTABLE, STATUS_NO_RESOURCES (others
 * share the memory), STATUS_NO_MEMORY …: nothing has changed. */
CW_EXPORT int cw_export_rebind(cw_handle handle, void *address, uint64_t size);

/* Has work see the export's memory, which stays where it is meanwhile; its result, or
 * STATUS_BAD_HANDLE, STATUS_FORKED … */
CW_EXPORT int cw_export_with_memory(
	cw_handle handle, int (*work)(void *address, uint64_t size, void *data), void *data);

CW_EXPORT struct cw_export *cw_export_ref(cw_handle handle);
CW_EXPORT void cw_export_put(struct cw_export *export);

/* fork: a handle that only destroy accepts. */
void cw_export_fork_child(void *object);

#endif
