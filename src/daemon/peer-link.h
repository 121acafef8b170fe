/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PEER_LINK_H
#define DAEMON_PEER_LINK_H

/*
 * One connection between two daemons: TCP, TLS, packets of peer.def. Made by dialling, where the
 * addresses are tried one after the other until one proves to be the peer, or of a connection that
 * arrived. It knows nothing of sessions.
 *
 * Its owner may free it at any time, also in its callbacks. What is sent goes out from the event
 * loop, so that sending never fails and never calls back. Whoever does not take what is sent for
 * the time called stall, or lets it pile up, is cut off. One thread.
 */

#include <sys/socket.h>
#include <systemd/sd-event.h>
#include "daemon/peer-tls.h"
#include "wire/message.h"

typedef struct PeerLink PeerLink;

struct peer_address {
	struct sockaddr_storage address;
	socklen_t length;
};

struct peer_link_ops {
	/* The other has proved who it is. */
	void (*ready)(void *userdata, PeerLink *link);
	/* A packet; it and its tail are gone after the call. */
	void (*message)(void *userdata, PeerLink *link, const struct wire_message *message);
	/* Over, or it could not be made: -ECONNREFUSED (no address has anybody listening), -EACCES
	 * (the keys differ), -ETIMEDOUT, -ENODATA (the other closed it), -EBADMSG … The owner frees
	 * it. */
	void (*closed)(void *userdata, PeerLink *link, int error);
};

struct peer_link_options {
	sd_event *event;
	uint32_t self;
	uint64_t timeout; /* ns, for one address to prove itself and send its first packet */
	uint64_t stall;	  /* ns */
	const struct peer_link_ops *ops;
	void *userdata;
};

/* n_addresses: at least 1; more than PEER_LINK_ADDRESSES are not tried. Nothing is called back
 * before it returns. */
#define PEER_LINK_ADDRESSES 8u
int peer_link_dial(const struct peer_link_options *options, uint32_t peer,
	const uint8_t key[PEER_KEY_SIZE], const struct peer_address *addresses,
	unsigned int n_addresses, PeerLink **ret_link);
/* A connection that arrived; fd, non-blocking, is the link's on success. There is no timeout until
 * the other has proved who it is: the caller has one. */
int peer_link_accept(const struct peer_link_options *options, int fd, peer_tls_find_key find_key,
	void *find_userdata, PeerLink **ret_link);

/* Cuts it off. NULL is fine. */
void peer_link_free(PeerLink *link);
DEFINE_CLEANUP(PeerLink *, peer_link_free);
/* The same, but what was sent goes out first, and the other hears the end: for at most two seconds,
 * without its owner. NULL is fine. */
void peer_link_finish(PeerLink *link);

void peer_link_set_owner(PeerLink *link, const struct peer_link_ops *ops, void *userdata);
/* From ready() on who the other is; in closed() who it claimed to be, or 0. */
uint32_t peer_link_peer(const PeerLink *link);
/* Where the other is; of a dialled one the address that is, or was last, tried. */
const struct peer_address *peer_link_address(const PeerLink *link);

/* From ready() on: bytes that only the two sides know, others for each context. -ENOTCONN. */
int peer_link_export(
	const PeerLink *link, const uint8_t context[16], uint8_t ret_key[PEER_KEY_SIZE]);

void peer_link_send(PeerLink *link, const struct wire_message *message);
/* Reads what is there now, up to a bound, calling back. */
void peer_link_read_pending(PeerLink *link);

/* Everything that peer_link_finish() still has to send, for at most so many ns. At the end. */
void peer_link_flush_all(uint64_t timeout);

#endif
