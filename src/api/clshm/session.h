/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_SESSION_H
#define API_CLSHM_SESSION_H

/*
 * The process's connection to its daemon with SHM_HELLO said on it: once for each connection and
 * each life of the daemon. Results: 0, a positive enum wire_status, or a negative errno. Thread
 * safe.
 */

#include "client/link.h"

struct session {
	struct cw_link *link; /* a reference */
	uint32_t starts;      /* of the daemon that was greeted */
	struct wire_shm_hello_reply node;
};

/* The caller's until session_put(). STATUS_VERSION; -ECONNREFUSED: clshm is shut down here;
 * -ENOSYS: this node can have none. */
int session_get(struct session *ret_session);
void session_put(struct session *session);

/* A request and its answer, which has no descriptors. */
int session_call(
	const struct session *session, struct wire_message *request, struct cw_reply *ret_reply);
/* The same with a session of its own. */
int session_ask(struct wire_message *request, struct cw_reply *ret_reply);
/* The same where nothing but the outcome is wanted. */
int session_tell(struct wire_message *request);

int session_partition(uint32_t *ret_partition);

/* For fork.c; the child has no session. How long a call may take, ns; 0: not known. */
uint64_t session_patience_locked(void);
void session_fork_prepare(void);
void session_fork_parent(void);
void session_fork_child(void);

#endif
