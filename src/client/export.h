/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_EXPORT_H
#define CLIENT_EXPORT_H

/*
 * Exports: memory of this process that others may import. Private memory is adopted: moved into a
 * memfd that the daemon made, in place (memory/adopt.h); it becomes private again at the end.
 * Thread safe; one operation on an export at a time.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "client/handle.h"
#include "client/link.h"
#include "client/signal.h"

struct cw_export {
	_Atomic uint32_t refs;
	_Atomic bool forked; /* inherited from the parent process */
	_Atomic bool closed; /* destroyed; for those who still sleep on its cell */
	cw_handle handle;
	struct cw_link *link;
	void *address;
	uint64_t size;
	uint32_t flags; /* the interface's, as given at create */
	uint32_t index; /* at the daemon */

	pthread_mutex_t lock; /* of what follows */
	bool published;
	uint32_t id;
	int fd;		      /* of the memory; -1: not kept */
	dev_t device;	      /* which file is mapped at address */
	ino_t inode;
	uint32_t map_slot;
	struct cw_cells cells;
};

/*
 * Adopts [address, address + size), page aligned. mode: rights where no access list says otherwise.
 * STATUS_NOT_ADOPTABLE, STATUS_BAD_ADDRESS, STATUS_BAD_SIZE, STATUS_NO_MEMORY (also: several threads
 * and no right to userfaultfd), STATUS_NO_RESOURCES, STATUS_QUOTA_BYTES …
 */
CW_EXPORT int cw_export_create(uint32_t space, void *address, uint64_t size, uint32_t mode,
	uint32_t flags, cw_handle *ret_handle);
/* The memory is private again. STATUS_BAD_HANDLE; STATUS_IN_USE: its pollfd. In a forked child only the handle ends. */
CW_EXPORT int cw_export_destroy(cw_handle handle);
/* *id 0: the daemon chooses. Statuses as the daemon says; STATUS_FORKED. */
CW_EXPORT int cw_export_publish(
	cw_handle handle, uint32_t *id, const struct wire_access *access, uint32_t n_access);
CW_EXPORT int cw_export_republish(
	cw_handle handle, const struct wire_access *access, uint32_t n_access);
/* When it returns nothing that former importers store reaches this process. */
CW_EXPORT int cw_export_unpublish(cw_handle handle);

CW_EXPORT struct cw_export *cw_export_ref(cw_handle handle);
CW_EXPORT void cw_export_put(struct cw_export *export);

/* fork: all inherited exports become private memory and handles that only destroy accepts. */
void cw_export_fork_prepare(void);
void cw_export_fork_parent(void);
void cw_export_fork_child(void);

#endif
