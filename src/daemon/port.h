/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PORT_H
#define DAEMON_PORT_H

/*
 * The TCP port for other nodes. Until it has shown what it is for, a connection is a stranger: it
 * has two seconds and one of PORT_STRANGERS_MAX places, and when those are taken the address with
 * the most of them loses its oldest. The first byte tells a TLS handshake from the hello of a data
 * connection.
 */

#include "config/config.h"
#include "daemon/manager.h"

#define PORT_STRANGERS_MAX 64u

typedef struct Port Port;
typedef struct Stranger Stranger;

struct port_ops {
	/* A TLS handshake begins. fd is the callee's on 0; it calls stranger_leave() when it knows
	 * who that is or has given up, after which the place is free, and until then
	 * stranger_cut() may come. A negative errno: cut off. */
	int (*tls)(void *userdata, int fd, Stranger *stranger, void **ret_userdata);
	void (*cut)(void *userdata);
	/* A data connection said hello; fd is the callee's. */
	void (*data)(void *userdata, int fd, uint32_t node, const uint8_t grant[16]);
	/* The same, but a handshake follows: as tls() and cut(). */
	int (*data_tls)(void *userdata, int fd, uint32_t node, const uint8_t grant[16],
		Stranger *stranger, void **ret_userdata);
	void (*data_cut)(void *userdata);
};

/* Binds and listens. Failures are logged. */
int port_open(const struct config *config, int *ret_fd);

/* Accepts on fd, which stays the caller's. */
int port_new(Manager *m, int fd, const struct port_ops *ops, void *userdata, Port **ret_port);
/* With all strangers. NULL is fine. */
void port_free(Port *port);

void stranger_leave(Stranger *stranger);

#endif
