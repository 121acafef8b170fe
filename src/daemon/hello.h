/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_HELLO_H
#define DAEMON_HELLO_H

/* The handshake: a connection becomes a new client, or the new socket of an old one. */

#include "daemon/request.h"

/* Answers; after a refusal the connection is marked to be cut. */
void hello_handle(ManagerClient *client, struct request *request, struct reply *reply);

#endif
