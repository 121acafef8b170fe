/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_DATA_TLS_H
#define DAEMON_DATA_TLS_H

/*
 * Encryption of a data connection: a TLS 1.3 handshake over a connected socket, in the event loop,
 * with a secret that the two daemons have for this connection alone; then the kernel gets the keys
 * (kTLS, AES-128-GCM), and the socket is used like any other, by whoever has its descriptor.
 *
 * It never waits, and has no deadline of its own: its owner has one. What the other side may say
 * before it has proved to know the secret is bounded (PEER_TLS_STRANGER_BYTES). One thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "daemon/peer-tls.h"

/* Whether this kernel has TLS now. Asked anew each time: a module may have been loaded. */
bool data_tls_kernel_can(void);

typedef struct DataTls DataTls;

struct data_tls_options {
	sd_event *event;
	int fd; /* connected, non-blocking; stays the caller's */
	uint32_t self, peer;
	bool dialled;	       /* by us */
	const uint8_t *secret; /* PEER_KEY_SIZE */
	/* Once, from the loop. 0: what goes through fd is encrypted from here on; -EACCES: the
	 * other has another secret; -EOPNOTSUPP: this kernel cannot; another errno. The callee
	 * frees it. */
	void (*done)(void *userdata, int error);
	void *userdata;
};

int data_tls_begin(const struct data_tls_options *options, DataTls **ret_tls);
/* NULL is fine. */
void data_tls_free(DataTls *tls);

#endif
