/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_CLIENT_MEMORY_H
#define DAEMON_CLIENT_MEMORY_H

/*
 * Memory that a client shares with others already, System V or shared anonymous, as the memory of
 * its segment. A privileged daemon opens it through /proc/PID/map_files; without privilege a System
 * V segment is known by its id, and importers attach it with the rights that the kernel gives them.
 */

#include "daemon/manager-client.h"

struct client_memory {
	int fd;		 /* -1: only the id */
	uint64_t offset; /* of the address in it */
	int shmid;	 /* -1: fd */
	bool foreign;	 /* not the daemon's */
};

/* [address, address + size) of the client, which must have it mapped readable, writable and shared,
 * as one mapping. STATUS_NOT_ADOPTABLE, STATUS_BAD_ADDRESS. */
int client_memory_open(const ManagerClient *client, uint64_t address, uint64_t size,
	struct client_memory *ret_memory);

/* By the kernel's rule, for reading and writing. */
bool client_memory_may_use_sysv(const struct engine_identity *identity, int shmid);

#endif
