/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/node.h"

#include <stdlib.h>
#include "api/sisci/codes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/connection.h"
#include "sisci_api.h"
#include "wire/message.h"

#define IDS_PER_NODE 4u
#define LONE_ID	     4u /* of a node that has none */

sci_error_t adapter_check(unsigned int adapter)
{
	if (adapter >= ADAPTERS_MAX)
		return SCI_ERR_ILLEGAL_ADAPTERNO;
	return adapter == 0 ? SCI_ERR_OK : SCI_ERR_NO_SUCH_ADAPTERNO;
}

static sci_error_t own_number(uint32_t *ret_node)
{
	struct cw_node node;
	int r = cw_connect(&node);

	if (r == 0)
		*ret_node = node.hello.node;
	return code_of(CODE_OPERATE, r);
}

sci_error_t node_number(unsigned int sisci_id, uint32_t *ret_node)
{
	uint32_t own = 0;
	sci_error_t e;

	if (sisci_id == SCI_LOCAL_HOST) {
		*ret_node = 0;
		return SCI_ERR_OK;
	}
	if (sisci_id == 0 || sisci_id % IDS_PER_NODE)
		return SCI_ERR_ILLEGAL_NODEID;
	e = own_number(&own);
	if (e)
		return e;
	*ret_node = own == 0 && sisci_id == LONE_ID ? 0 : sisci_id / IDS_PER_NODE;
	return SCI_ERR_OK;
}

sci_error_t node_sisci_id(uint32_t node, unsigned int *ret_id)
{
	sci_error_t e = node ? SCI_ERR_OK : own_number(&node);

	if (e)
		return e;
	*ret_id = node ? node * IDS_PER_NODE : LONE_ID;
	return SCI_ERR_OK;
}

/* A part of the list, from *cursor on. */
static int list_part(uint32_t *cursor, uint32_t *nodes, uint32_t n, uint32_t *ret_n)
{
	struct wire_message m = {.type = WIRE_NODES, .nodes = {.cursor = *cursor}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	const uint8_t *at, *end;
	struct wire_node_row row;
	int r;

	if (!reply)
		return -ENOMEM;
	r = cw_call(&m, NULL, 0, reply);
	if (r)
		return r;
	fd_close_many(reply->fds, reply->n_fds);
	at = reply->message.tail;
	end = at + reply->message.tail_size;
	for (uint32_t i = 0; i < reply->message.nodes_reply.n && at; i++) {
		at = wire_get_node_row(at, end, &row);
		if (at && row.state != WIRE_PEER_SELF && *ret_n < n)
			nodes[(*ret_n)++] = row.node;
	}
	*cursor = reply->message.nodes_reply.next;
	return 0;
}

sci_error_t node_list(uint32_t *nodes, uint32_t n, uint32_t *ret_n)
{
	uint32_t cursor = 0, found = 0, own = 0;
	sci_error_t e = own_number(&own);
	int r = 0;

	if (e)
		return e;
	if (n > 0)
		nodes[found++] = own;
	if (own) {
		do
			r = list_part(&cursor, nodes, n, &found);
		while (r == 0 && cursor);
	}
	if (r == 0)
		*ret_n = found;
	return code_of(CODE_OPERATE, r);
}
