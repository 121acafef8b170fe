/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_LINK_PRIVATE_H
#define CLIENT_LINK_PRIVATE_H

/* Between link.c (a link and its requests) and link-open.c (how it begins). */

#include "client/link.h"

/* --- link.c --- */

/* Receives one packet; the socket's own timeout bounds it. STATUS_NO_RESOURCES: without the
 * descriptors that belong to it. */
int link_receive(int sock, struct cw_reply *reply);

/* --- link-open.c --- */

/* How long a request may wait for the daemon. */
uint64_t link_request_timeout(void);
/* A new link's socket and pages. STATUS_NO_DAEMON, STATUS_VERSION. */
int link_meet(struct cw_link *link);
/* The process has changed its effective ids: a new socket shows the daemon who we are. What it had
 * not read from the old one is gone. */
int link_meet_again(struct cw_link *link);

#endif
