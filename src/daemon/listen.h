/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

/*
 * Where the node listens. The lock file beside the socket (PATH.lock, with the keeper's pid in it)
 * is held by whoever of keeper and daemon lives, so a socket without a lock is a dead node's and is
 * taken over. Failures are logged here, with what to do.
 */

#include <stddef.h>
#include <sys/un.h>

#define LISTEN_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* root: /run/causeway/socket; others: in their runtime directory. Makes the directory. */
int listen_default_path(char path[LISTEN_PATH_MAX]);

/* Takes the lock and listens. */
int listen_open(const char *path, int *ret_lock, int *ret_listen);

/* This process's pid into the lock file. */
void listen_sign(int lock);

/* The node ends: socket and lock file go. Only with the lock held. */
void listen_remove(const char *path);

#endif
