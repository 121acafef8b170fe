/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_CLIENT_H
#define DAEMON_MANAGER_CLIENT_H

/*
 * One connection: its socket, who the kernel says is there, what was said. It begins in the
 * handshake, without an engine client; after HELLO it is a client until its socket hangs up, its
 * process ends or it breaks the protocol.
 *
 * A request with an effect leaves its number in the client's record after the effect, or, if the
 * effect is the end of an object, before it together with that object (ending). So a successor can
 * tell what has been done: the handlers of requests that may be repetitions look for their number
 * in the client's objects before they act.
 */

#include "base/cleanup.h"
#include "daemon/manager.h"
#include "daemon/record.h"

typedef struct ManagerClient {
	Manager *manager;
	struct list link;     /* manager->clients or ->handshakes */
	EngineClient *engine; /* NULL: in the handshake */
	struct engine_identity identity;
	int socket, process, uffd; /* process: pidfd; uffd: -1 if it gave none */
	int maps;		   /* the client page */
	struct status_page status;
	struct idtable routes; /* Route, by its index < WIRE_CLIENT_ROUTES */
	uint8_t token[16];
	uint64_t serial; /* of the last request */
	uint32_t slot, groups_slot;
	struct record_ending ending;
	uint64_t repeats; /* requests up to this number may be repetitions, after a restart */
	bool restored;	  /* a predecessor's */
	bool uffd_begun;  /* watch_begin() has been said to uffd */
	bool hello_again; /* so may its hello: nothing else has come since the restart */
	/* Numbers in [missed_from, missed_to) were sent before a restart and lost with our
	 * predecessor; they may come after higher ones that were under way already. Both
	 * are UINT64_MAX until the first new number shows where they end. */
	uint64_t missed_from, missed_to;
	struct wire_message again; /* a request that is to be done again; type 0: none */
	struct query *query;	   /* that waits for another node's answer; NULL: none */
	uint32_t shm_version;	   /* of its library, as SHM_HELLO said; 0: it did not */
	uint64_t shm_keys;	   /* partitions that it has asked for keys of clshm: 1 << number */
	bool cut;		   /* to be freed once the packet is dealt with */
	sd_event_source *readable, *ended, *timeout;
} ManagerClient;

/* A connection that was just accepted; socket is the client's from now on. */
int manager_client_accept(Manager *m, int socket);

/* Takes a predecessor's client up again. -EBADMSG: the record cannot be used. */
int manager_client_restore(Manager *m, const struct record_client *record, uint32_t slot,
	struct keeper_stored *stored);

/* NULL: there is none, or it has not said hello. */
ManagerClient *manager_client_find(const Manager *m, uint64_t id);
/* The same if that is its token; the time it takes tells nothing of a wrong one. */
ManagerClient *manager_client_find_by_token(const Manager *m, uint64_t id, const uint8_t token[16]);

/* Ends it and everything it owns. NULL is fine. */
void manager_client_free(ManagerClient *client);
DEFINE_CLEANUP(ManagerClient *, manager_client_free);

/* All its descriptors, to a new keeper. */
void manager_client_store(ManagerClient *client);
/* None of them is needed any more. */
void manager_client_drop(Manager *m, uint64_t id);

static inline bool manager_client_repeats(const ManagerClient *client, uint64_t serial)
{
	return serial <= client->repeats;
}

/* The record into the journal. Only the first time may fail. */
int manager_client_save(ManagerClient *client);

/* Before a request ends this object: its number and the intention go into the record. */
void manager_client_announce(ManagerClient *client, uint32_t type, uint32_t index, uint64_t number);

/* Tells a restored client to say again what was not answered. */
void manager_client_ask_again(ManagerClient *client);

bool manager_client_alive(const ManagerClient *client);

#endif
