/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PEER_LINK_PRIVATE_H
#define DAEMON_PEER_LINK_PRIVATE_H

/* Between peer-link.c (a connection's life and events) and peer-link-packets.c (its packets). */

#include "base/list.h"
#include "daemon/peer-link.h"

enum phase {
	PHASE_START,	 /* dialling: nothing tried yet */
	PHASE_CONNECT,	 /* TCP */
	PHASE_HANDSHAKE, /* TLS */
	PHASE_READY,
	PHASE_LINGER, /* without an owner: sending the rest */
};

struct PeerLink {
	struct peer_link_options options;
	enum phase phase;
	int fd;
	PeerTls *tls;
	sd_event_source *io, *timer;
	sd_event_source *again; /* packets in in are left for the next turn */
	uint32_t events;	/* that io waits for */
	unsigned int busy;	/* in a callback: freed later */
	bool dead;		/* freed by its owner */
	int failed;		/* could not keep what was to be sent */
	bool finished;		/* lingering: all was sent */
	struct list link;	/* lingering ones */

	/* dialling */
	uint32_t peer;
	uint8_t key[PEER_KEY_SIZE];
	unsigned int n_addresses, next;
	struct peer_address addresses[PEER_LINK_ADDRESSES]; /* of an arrived one: the first */
	int error;					    /* the one to tell of all attempts */

	uint8_t *out; /* [out_at, out_end) is to be sent */
	size_t out_at, out_end, out_size;
	uint64_t progress; /* peer_tls_sent() when the stall timer was set; timer is on */
	bool stalling;
	bool awaiting; /* dialled, and nothing heard yet; the timer is on */
	size_t n_in;
	uint8_t in[WIRE_PACKET_MAX + PEER_TLS_READ_MIN];
};

/* --- peer-link.c --- */

int peer_link_set_timer(PeerLink *link, uint64_t timeout);
void peer_link_stop_timer(PeerLink *link);
/* Which events are waited for. */
int peer_link_wait_for(PeerLink *link, uint32_t events);
/* Of a call of the event loop: after that has ended peer_link_flush_all() needs none of its events.
 */
int peer_link_loop_result(int r);

/* --- peer-link-packets.c --- */

/* Sends what can be sent now. */
int peer_link_flush(PeerLink *link);
/* Delivers what has come, for a bounded time. */
int peer_link_receive(PeerLink *link);
/* Nobody is there to hear it; the end is what is waited for. */
int peer_link_receive_end(PeerLink *link);

#endif
