/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SHM_PEER_H
#define DAEMON_SHM_PEER_H

/*
 * clshm between daemons, as query.c and the connections see it: a process's question about another
 * partition (shm-peer-ask.c), another partition's about this one (shm-peer-serve.c), and which
 * partitions are up (shm-peer.c). What others of the daemon need is in shm.h.
 */

#include "daemon/manager-peer.h"
#include "daemon/request.h"

/* --- shm-peer.c --- */

/* Majors agree. */
bool shm_peer_speaks(uint32_t version);
/* Would it answer a message of this type? Of other types than PEER_SHM_… that is taken for granted.
 */
bool shm_peer_knows(const ManagerPeer *p, uint32_t type);
/* Has clshm, but not of our major version: that is so until another session. */
bool shm_peer_is_foreign(const ManagerPeer *p);
/* What its daemon said of itself. */
void shm_peer_heard(ManagerPeer *p, uint32_t version, const char *host);
/* What this one says of itself: 0, or its version; its host. */
uint32_t shm_peer_version(const Manager *m);
void shm_peer_host(char ret_host[64]);

/* A connection is up; the session is over; the node has begun anew. */
void shm_peer_connected(ManagerPeer *p);
void shm_peer_lost(ManagerPeer *p);
void shm_peer_anew(ManagerPeer *p);

/* --- shm-peer-ask.c --- */

bool shm_is_question(uint32_t type);
/* For another node's daemon, without the tail, which says who asks. */
void shm_fill_question(ManagerClient *client, uint32_t node, const struct wire_message *asked,
	struct wire_message *m);
/* Its answer into that for the process; believed is only what concerns that partition. */
int shm_pass(uint32_t node, const struct wire_message *asked, const struct wire_message *from,
	struct reply *to);
/* What a process hears of a failure. */
int shm_pass_status(int status);

#endif
