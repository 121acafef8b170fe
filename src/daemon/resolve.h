/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_RESOLVE_H
#define DAEMON_RESOLVE_H

/*
 * From a host's name to its addresses, without making the main thread wait: names are asked for by
 * a thread each, which ends with the answer.
 */

#include <systemd/sd-event.h>
#include "daemon/peer-link.h"

typedef struct Resolve Resolve;

struct resolved {
	int error; /* 0, or of getaddrinfo(3) */
	unsigned int n;
	struct peer_address addresses[PEER_LINK_ADDRESSES];
};

/* True if host is an address. */
bool resolve_address(const char *host, uint32_t port, struct peer_address *ret_address);

/* Asks; done() comes from the loop, and frees it first thing. -EAGAIN: too many are under way. */
int resolve_start(sd_event *event, const char *host, uint32_t port,
	void (*done)(void *userdata, const struct resolved *resolved), void *userdata,
	Resolve **ret_resolve);
/* done() is not called any more. NULL is fine. */
void resolve_free(Resolve *resolve);

/* Asks and waits: at the start. 0, or of getaddrinfo(3). */
int resolve_now(const char *host, uint32_t port, struct resolved *ret_resolved);

#endif
