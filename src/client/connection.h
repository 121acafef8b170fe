/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

/*
 * The one connection of this process to its node's daemon. Opened by the first call that needs it,
 * where DESIGN.md §5 says: CAUSEWAY_SOCKET, /run/causeway, the user's runtime directory; in the
 * last a daemon is started if there is none. Survives a restart of the daemon (requests are
 * numbered and said again), does not survive fork (the child opens its own).
 *
 * Every function is thread safe; requests of several threads go one after the other. Results: 0, a
 * positive enum wire_status, or a negative errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/message.h"

#define CW_EXPORT __attribute__((visibility("default")))

/* What came back: the message, its packet (message.tail points into it) and its descriptors. */
struct cw_reply {
	struct wire_message message;
	int fds[8];
	unsigned int n_fds;
	uint8_t packet[WIRE_PACKET_MAX];
};

/* What the daemon said of itself and of our limits. */
struct cw_node {
	struct wire_hello_reply hello;
	char socket[108]; /* path of the socket that answers */
	bool spawned;	  /* this process started the daemon */
};

/* Makes sure that there is a connection. ret_node may be NULL. STATUS_NO_DAEMON, STATUS_VERSION. */
CW_EXPORT int cw_connect(struct cw_node *ret_node);

/*
 * Sends request (serial and flags are filled in) with fds, which stay the caller's, and waits for
 * the answer: message.status as the result, 0 if it is STATUS_OK. The reply's descriptors are the
 * caller's on success and closed otherwise. STATUS_NODE_LOST: daemon and keeper are gone.
 * STATUS_TIMED_OUT: no answer for 30 s (CAUSEWAY_TIMEOUT, seconds).
 */
CW_EXPORT int cw_call(struct wire_message *request, const int *fds, unsigned int n_fds,
	struct cw_reply *ret_reply);

/* The same without waiting for an answer; said again if the daemon restarts before it has acted. */
CW_EXPORT int cw_post(struct wire_message *request);

/* Where a daemon was looked for, in order, and what came of it: for doctor and error messages. */
struct cw_attempt {
	char socket[108];
	int error;	  /* 0: a daemon answered there; else an errno, as a positive number */
	const char *text; /* a sentence for a person */
};

/* Looks everywhere anew, without keeping a connection and without starting a daemon. Returns the
 * number of entries written, at most n. */
CW_EXPORT unsigned int cw_attempts(struct cw_attempt *attempts, unsigned int n);

#endif
