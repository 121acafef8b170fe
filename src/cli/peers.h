/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PEERS_H
#define CLI_PEERS_H

/* The nodes that this node knows. */

#include "cli/command.h"
#include "cli/node.h"

struct peers {
	struct wire_node_row *rows; /* by number; this node among them */
	enum wire_encryption *data; /* of each: of the data that goes there */
	size_t n;
};

/* All of the node list; nothing if there is none. Returns 0, or EXIT_FAILED after it said why. */
int peers_fetch(struct peers *ret_peers);
void peers_deinit(struct peers *p);

/* "up" */
const char *peer_state_name(uint32_t state);
/* "encrypted"; NULL: not known */
const char *peer_data_name(enum wire_encryption data);

#define PEER_TROUBLE_MAX 192

/* ": nobody listens there", as the daemon says; "" if there is no trouble with the node. */
void peer_trouble(uint32_t node, char buf[PEER_TROUBLE_MAX]);

/* A node's number as people write it. Returns 0, or EXIT_USAGE after it said what is wrong. */
int peer_parse(const char *text, uint32_t *ret_node);

#endif
