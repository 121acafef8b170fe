/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_DATA_ARRIVAL_H
#define DAEMON_DATA_ARRIVAL_H

/*
 * Data connections that arrived and are to be encrypted: from their hello to the end of their
 * handshake. Until then they are strangers (port.h), with a stranger's time, bytes and places; and
 * who names no grant gets no handshake. The grant is used up by who has proved to know its secret.
 */

#include "daemon/port.h"

/* For struct port_ops; userdata: Peers. -EACCES: there is no such grant. */
int data_arrival_begin(void *userdata, int fd, uint32_t node, const uint8_t grant[16],
	Stranger *stranger, void **ret_arrival);
void data_arrival_cut(void *arrival);

#endif
