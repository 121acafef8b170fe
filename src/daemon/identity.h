/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_IDENTITY_H
#define DAEMON_IDENTITY_H

/* Who is at the other end of a socket, as the kernel says. */

#include "core/engine.h"

/* ret_process: a pidfd. -EACCES: its pid, uid or gid is none in our namespaces. -E2BIG: it is in
 * more groups than are kept. */
int identity_of_peer(int socket, struct engine_identity *ret_identity, int *ret_process);

#endif
