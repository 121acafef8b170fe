/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_IDENTITY_H
#define DAEMON_IDENTITY_H

/* Who is at the other end of a socket, as the kernel says. */

#include "core/engine.h"

/* ret_process: a pidfd. -EACCES: the process is in no pid namespace that we see. */
int identity_of_peer(int socket, struct engine_identity *ret_identity, int *ret_process);

#endif
