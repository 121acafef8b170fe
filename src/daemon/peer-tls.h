/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PEER_TLS_H
#define DAEMON_PEER_TLS_H

/*
 * TLS 1.3 over a non-blocking socket, with the key that two nodes share and a fresh Diffie-Hellman
 * secret each time; no certificates, no tickets, no early data. The identity that the dialler names
 * is "causeway:FROM:TO". Nothing here waits.
 *
 * GnuTLS begins its work with the first of these. The socket stays the caller's. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

#define PEER_KEY_SIZE		32u
#define PEER_TLS_STRANGER_BYTES 4096u  /* that may be read of who has not proved who it is */
#define PEER_TLS_READ_MIN	16384u /* a buffer of peer_tls_read() has at least this size */

typedef struct PeerTls PeerTls;

/* The key shared with a node; false: there is none. */
typedef bool (*peer_tls_find_key)(void *userdata, uint32_t node, uint8_t ret_key[PEER_KEY_SIZE]);

int peer_tls_new_dialler(
	int fd, uint32_t self, uint32_t peer, const uint8_t key[PEER_KEY_SIZE], PeerTls **ret_tls);
int peer_tls_new_acceptor(
	int fd, uint32_t self, peer_tls_find_key find_key, void *userdata, PeerTls **ret_tls);
/* For a data connection, before its handshake: one cipher, which every kernel with TLS has. */
int peer_tls_set_data(PeerTls *tls);
void peer_tls_free(PeerTls *tls); /* NULL is fine */
DEFINE_CLEANUP(PeerTls *, peer_tls_free);

/*
 * Results of the rest: -EAGAIN (wait for the socket to be readable or, if peer_tls_wants_write(),
 * writable), -EACCES (the other does not have our key, or we not its), another errno; after
 * anything but -EAGAIN it is of no more use.
 */
int peer_tls_handshake(PeerTls *tls);
bool peer_tls_wants_write(const PeerTls *tls);

/* Who the other has proved to be; 0 before that. When the handshake failed: who it claimed to be.
 */
uint32_t peer_tls_peer(const PeerTls *tls);

/* After the handshake: bytes that only the two sides can know, others for each context. */
int peer_tls_export(const PeerTls *tls, const uint8_t context[16], uint8_t ret_key[PEER_KEY_SIZE]);

/* After the handshake of a data connection: what the next record in a direction is made with.
 * Nothing is to be read or written here any more. */
struct peer_tls_keys {
	uint8_t key[16], iv[12], number[8];
};
int peer_tls_get_keys(const PeerTls *tls, bool receiving, struct peer_tls_keys *ret_keys);

/* At most one record; leaves nothing behind that the socket does not show. 0: the end. */
ssize_t peer_tls_read(PeerTls *tls, void *buf, size_t size);
/* How much was taken. */
ssize_t peer_tls_write(PeerTls *tls, const void *data, size_t size);
/* Bytes that the socket took, ever: is there progress? */
uint64_t peer_tls_sent(const PeerTls *tls);
/* Says that nothing more comes, as far as that is possible now. */
void peer_tls_finish(PeerTls *tls);

#endif
