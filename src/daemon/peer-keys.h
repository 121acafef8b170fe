/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PEER_KEYS_H
#define DAEMON_PEER_KEYS_H

/*
 * The keys that this node shares with each of the others: lines "PEER HEX" (64 digits), comments
 * after #. The file is for the daemon's user or root alone.
 */

#include <stddef.h>
#include "daemon/peer-tls.h"

#define PEER_KEYS_ERROR_MAX 512

typedef struct PeerKeys PeerKeys;

/* On failure, -ENOENT among others, error says what is wrong and what to do; never a key. */
int peer_keys_load(const char *path, PeerKeys **ret_keys, char error[PEER_KEYS_ERROR_MAX]);
void peer_keys_free(PeerKeys *keys); /* NULL is fine */
DEFINE_CLEANUP(PeerKeys *, peer_keys_free);

/* NULL: there is none for this node. */
const uint8_t *peer_keys_find(const PeerKeys *keys, uint32_t node);

#endif
