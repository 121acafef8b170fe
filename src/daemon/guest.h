/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_GUEST_H
#define DAEMON_GUEST_H

/*
 * Guests: processes of other nodes that import here. To the engine they are clients; what the
 * daemon has of one is a place in the done page, the grants by which its next data connection will
 * be known, and a record. Hangs on EngineClient.userdata, as a ManagerClient does for a process of
 * this node.
 *
 * A grant is good once, for ten seconds, for the guest and the node that it was given to. A guest
 * has one data connection: a new one replaces the former, of which nothing is carried out once the
 * number of its operations has been told.
 */

#include "daemon/keeper-link.h"
#include "daemon/manager-import.h"
#include "daemon/peer-tls.h"

/* A data connection has said hello, and its handshake is over if there was to be one; fd is ours
 * from now on. */
void guest_data_arrived(Manager *m, int fd, uint32_t node, const uint8_t grant[16], bool encrypted);
/* What the handshake of a data connection with this grant needs; false: no such grant. */
bool guest_data_secret(
	Manager *m, uint32_t node, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE]);

/* Takes what has been posted to the import's cell, and tells its node the totals. */
void guest_signal(Manager *m, EngineImport *import);

/* The engine's operations; userdata: the manager. */
int guest_equip(void *userdata, EngineImport *import, bool again, bool data, uint8_t ret_key[16],
	uint8_t ret_grant[16]);
void guest_free(void *userdata, EngineClient *guest);
int guest_data(void *userdata, EngineClient *guest, uint64_t *ret_done, uint8_t ret_grant[16]);
void guest_resumed(void *userdata, EngineImport *import);

/* Takes a predecessor's guest up again. -EBADMSG: the record cannot be used. */
int guest_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* The same for an import of a guest's, whose segment has its cells already: opens it again. */
int guest_restore_import(Manager *m, EngineImport *import, const uint8_t key[16]);
/* Guests whose imports are all gone. */
void guests_drop_orphans(Manager *m);

/* The descriptors of all guests, to a new keeper. */
void guests_store(const Manager *m);

#endif
