/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_ROUTE_H
#define DAEMON_ROUTE_H

/*
 * Routes: a client's data connection to a home, from the importer's side. The client's imports of
 * that home share it; it is lost with the last that is not over, and goes with the last. Its word
 * in the status page tells the client when there is another stream: OPENING, OPEN, and again, each
 * with a generation of its own; LOST is final.
 *
 * The first grant comes with the first connect, later ones are asked for (PEER_DATA): then the home
 * goes on counting. Streams are made in the event loop; one that cannot be made is tried again
 * until the detection time has passed. The daemon keeps what the client has, so that shutting it
 * down wakes whoever waits in it.
 *
 * Where the two nodes have agreed on encryption a stream is handed to the client when both kernels
 * have its keys. The client leaves it in time by itself (ROUTE_REPLY: records); one that has
 * carried more than the cipher allows is taken away from it.
 *
 * A route belongs to one session with its home and is lost with it.
 */

#include "daemon/data-tls.h"
#include "daemon/keeper-link.h"
#include "daemon/manager-import.h"

struct Route {
	ManagerClient *client;
	struct list link;    /* manager->routes */
	struct list imports; /* ManagerImport.route_link */
	uint32_t index;	     /* in client->routes, and in the status page */
	uint32_t generation, node;
	enum wire_route_state state;
	enum route_step {
		ROUTE_RESTING, /* open, lost, or waiting for the grant of a connect */
		ROUTE_PAUSING, /* asks when its time has come */
		ROUTE_ASKED,
		ROUTE_DIALLING,
	} step;
	bool used;	   /* has been open: the client has operations that the home counts */
	uint64_t session;  /* 0: none yet */
	uint64_t done;	   /* operations at the home before this generation */
	uint64_t since;	   /* of the first answer, or trouble, while it opens; 0: none yet */
	uint64_t opened;   /* when last; CLOCK_MONOTONIC, as since */
	int fd;		   /* -1: none */
	uint8_t grant[16]; /* while dialling */
	bool encrypted;	   /* the stream that there is, or is dialled */
	uint8_t secret[PEER_KEY_SIZE]; /* of the grant, while dialling */
	DataTls *tls;		       /* its handshake */
	sd_event_source *wear;	       /* open and encrypted: looks how much has gone through it */
	sd_event_source *io;	       /* while dialling */
	sd_event_source *timer;	       /* while dialling or pausing */
	uint32_t slot;
};

/* The route of a new import of another node, made if need be, into manager_import()->route. */
int route_attach(EngineImport *import);
/* The import is in a final state. With the last one the route is lost: the home forgets the
 * process. */
void route_import_over(EngineImport *import);
/* The import is about to be freed. Frees the route if that was the last. */
void route_detach(EngineImport *import);

/* The client says that this generation is broken. */
void route_renew(Route *route, uint32_t generation);
/* It makes no progress: its imports end. */
void route_give_up(Route *route);

/* The engine's operations; userdata: the manager. */
void route_import_granted(void *userdata, EngineImport *import, const uint8_t grant[16]);
bool route_import_has(void *userdata, const EngineImport *import);

/* A hello has said what the peer can and requires. */
void routes_encryption_changed(Manager *m, const EnginePeer *peer);
/* Another session, or none. */
void routes_session_changed(Manager *m, const EnginePeer *peer);
/* A predecessor's: before imports, and when all of those are there. */
int route_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* number: 1 + the route. -EBADMSG: there is no such. */
int route_restore_import(EngineImport *import, uint32_t number);
void routes_restored(Manager *m);

/* Its descriptor, to a new keeper. */
void route_store(const Route *route);

#endif
