/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_LOCATE_H
#define CLIENT_LOCATE_H

/*
 * Where this process's daemon is (DESIGN.md §5), and how one is started where the user may. Plain
 * functions of the environment; no state.
 */

#include <stdbool.h>
#include "base/error.h"
#include "client/connection.h"

#define LOCATE_SYSTEM_DIR "/run/causeway"

struct locate_place {
	char socket[108];
	bool may_spawn; /* the user's own directory */
	bool wait;	/* the node is known to be meant to run: be patient */
};

/* The one place that counts. -ENAMETOOLONG; -EPERM: the user's directory is another user's. */
int locate(struct locate_place *ret_place);

/* All places in the order of §5, whether they count or not: for doctor. Returns their number, ≤ 4.
 */
unsigned int locate_all(struct locate_place places[4]);

/* Connects and checks who listens: uid 0, the user causeway, or our own. timeout_ns bounds this and
 * each later wait on the socket. -EACCES: somebody else; -EAGAIN: nobody accepts. */
int locate_dial(const char *socket, uint64_t timeout_ns, int *ret_sock);

/*
 * Makes the socket's directory (mode 0700), or checks its owner, and starts an embedded daemon
 * there, not a child of ours; waits until it accepts. Safe in a program with threads; no SIGCHLD.
 * -EPERM: a set-uid program, or the directory is another user's; -ENOENT: no causewayd found;
 * -ETIMEDOUT; -ECHILD: it ended at once (its words are in causewayd.log beside the socket).
 */
int locate_spawn(const char *socket, uint64_t timeout_ns);

#endif
