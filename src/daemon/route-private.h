/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_ROUTE_PRIVATE_H
#define DAEMON_ROUTE_PRIVATE_H

/* Between route.c (a route, its imports, its record) and route-open.c (its streams). */

#include "core/peer.h"
#include "daemon/route.h"

static inline Manager *route_manager(const Route *r)
{
	return r->client->manager;
}

/* NULL: the engine has none at present. */
static inline EnginePeer *route_peer(const Route *r)
{
	return engine_peer_find(route_manager(r)->engine, r->node);
}

/* --- route.c --- */

/* Into the journal; the first time may fail. */
int route_save(Route *r);
/* To its client. */
void route_show(const Route *r);
uint32_t route_generation_after(uint32_t generation);
void route_drop_stream(Route *r);

/* --- route-open.c --- */

/* Nothing is under way to another stream any more. */
void route_rest(Route *r);
/* For a grant, and opens it with that. */
void route_ask(Route *r);
/* Opens it with this one. */
void route_dial(Route *r, const uint8_t grant[16]);
/* Looks from now on how much has gone through its stream, if that is encrypted. */
void route_watch_wear(Route *r);

#endif
