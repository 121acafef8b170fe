/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_NODE_H
#define SISCI_NODE_H

/*
 * Node ids and adapters as SISCI counts them. A node's SISCI id is four times its own, or what
 * SisciId= says of it; a node without configuration, which has id 0, shows 4. There is one adapter,
 * 0. Configured ids are asked for once in a process.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sisci_types.h>
#include "wire/message.h"

#define ADAPTERS_MAX 128u

/* SCI_ERR_ILLEGAL_ADAPTERNO, SCI_ERR_NO_SUCH_ADAPTERNO */
sci_error_t adapter_check(unsigned int adapter);

/* The engine's number of a SISCI id; 0: this node. SCI_ERR_ILLEGAL_NODEID: none can have it. */
sci_error_t node_number(unsigned int sisci_id, uint32_t *ret_node);
/* The other way round; 0 means this node. SCI_ERR_SYSTEM, …: no daemon answers. */
sci_error_t node_sisci_id(uint32_t node, unsigned int *ret_id);

struct node_seen {
	struct wire_node_row row;
	uint32_t sisci_id; /* as configured, or 0 */
};
/* All of the daemon's list, which is this node alone if it has no peers. What cw_call() returns. */
int node_each(void (*take)(void *data, const struct node_seen *node), void *data);

/* Numbers of all nodes of the list, this one first; at most n. */
sci_error_t node_list(uint32_t *nodes, uint32_t n, uint32_t *ret_n);

#endif
