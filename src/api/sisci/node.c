/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/node.h"

#include <stdatomic.h>
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

/* the daemon's list */

/* The records behind the rows; a daemon before minor version 3 has none. NULL: nonsense. */
static const uint8_t *behind_rows(const uint8_t *at, const uint8_t *end, uint32_t n)
{
	struct wire_node_row row;

	for (uint32_t i = 0; i < n && at; i++)
		at = wire_get_node_row(at, end, &row);
	return at;
}

/* A part of the list, from *cursor on. */
static int each_of_part(
	uint32_t *cursor, void (*take)(void *data, const struct node_seen *node), void *data)
{
	struct wire_message m = {.type = WIRE_NODES, .nodes = {.cursor = *cursor}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	const uint8_t *at, *more, *end;
	struct wire_node_data extra;
	struct node_seen seen;
	uint32_t n;
	int r;

	if (!reply)
		return -ENOMEM;
	r = cw_call(&m, NULL, 0, reply);
	if (r)
		return r;
	fd_close_many(reply->fds, reply->n_fds);
	n = reply->message.nodes_reply.n;
	at = reply->message.tail;
	end = at + reply->message.tail_size;
	more = behind_rows(at, end, n);
	for (uint32_t i = 0; i < n && at; i++) {
		at = wire_get_node_row(at, end, &seen.row);
		more = more ? wire_get_node_data(more, end, &extra) : NULL;
		seen.sisci_id = more ? extra.sisci_id : 0;
		if (at)
			take(data, &seen);
	}
	*cursor = reply->message.nodes_reply.next;
	return 0;
}

int node_each(void (*take)(void *data, const struct node_seen *node), void *data)
{
	uint32_t cursor = 0;
	int r;

	do
		r = each_of_part(&cursor, take, data);
	while (r == 0 && cursor);
	return r;
}

/* ids that were configured (SisciId=) */

struct ids {
	uint32_t n;
	bool failed;
	struct {
		uint32_t node, id;
	} of[];
};

/* Asked for once, and not changed or freed after that. */
static struct ids *_Atomic known;

static void note_id(void *data, const struct node_seen *node)
{
	struct ids **ids = data, *larger;

	if (!node->sisci_id || (*ids)->failed)
		return;
	larger = realloc(*ids, sizeof(*larger) + ((*ids)->n + 1) * sizeof(larger->of[0]));
	if (!larger) {
		(*ids)->failed = true;
		return;
	}
	larger->of[larger->n].node = node->row.node;
	larger->of[larger->n++].id = node->sisci_id;
	*ids = larger;
}

static int ids_ask(struct ids **ret_ids)
{
	_cleanup_free_ struct ids *ids = calloc(1, sizeof(*ids));
	struct ids *others = NULL;
	int r;

	if (!ids)
		return -ENOMEM;
	r = node_each(note_id, &ids);
	if (r == 0 && ids->failed)
		r = -ENOMEM;
	if (r)
		return r;
	if (atomic_compare_exchange_strong(&known, &others, ids))
		others = take_ptr(ids);
	*ret_ids = others;
	return 0;
}

static sci_error_t ids_get(struct ids **ret_ids)
{
	*ret_ids = atomic_load(&known);
	return *ret_ids ? SCI_ERR_OK : code_of(CODE_OPERATE, ids_ask(ret_ids));
}

static uint32_t id_of(const struct ids *ids, uint32_t node)
{
	for (uint32_t i = 0; i < ids->n; i++)
		if (ids->of[i].node == node)
			return ids->of[i].id;
	return node ? node * IDS_PER_NODE : LONE_ID;
}

/* The node of this id, which need not exist. 0: none can have it, or the lone one. */
static uint32_t node_of(const struct ids *ids, uint32_t id)
{
	for (uint32_t i = 0; i < ids->n; i++)
		if (ids->of[i].id == id)
			return ids->of[i].node;
	if (id % IDS_PER_NODE || id_of(ids, id / IDS_PER_NODE) != id)
		return 0;
	return id / IDS_PER_NODE;
}

/* nodes and ids */

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
	struct ids *ids;
	uint32_t own = 0;
	sci_error_t e;

	if (sisci_id == SCI_LOCAL_HOST) {
		*ret_node = 0;
		return SCI_ERR_OK;
	}
	if (sisci_id == 0)
		return SCI_ERR_ILLEGAL_NODEID;
	e = own_number(&own);
	if (!e)
		e = ids_get(&ids);
	if (e)
		return e;
	*ret_node = own == 0 && sisci_id == id_of(ids, 0) ? 0 : node_of(ids, sisci_id);
	return *ret_node == 0 && sisci_id != id_of(ids, own) ? SCI_ERR_ILLEGAL_NODEID : SCI_ERR_OK;
}

sci_error_t node_sisci_id(uint32_t node, unsigned int *ret_id)
{
	sci_error_t e = node ? SCI_ERR_OK : own_number(&node);
	struct ids *ids;

	if (!e)
		e = ids_get(&ids);
	if (!e)
		*ret_id = id_of(ids, node);
	return e;
}

struct found {
	uint32_t *nodes, n, max;
};

static void note_other(void *data, const struct node_seen *node)
{
	struct found *f = data;

	if (node->row.state != WIRE_PEER_SELF && f->n < f->max)
		f->nodes[f->n++] = node->row.node;
}

sci_error_t node_list(uint32_t *nodes, uint32_t n, uint32_t *ret_n)
{
	struct found found = {.nodes = nodes, .max = n};
	uint32_t own = 0;
	sci_error_t e = own_number(&own);
	int r;

	if (e)
		return e;
	if (n > 0)
		nodes[found.n++] = own;
	r = own ? node_each(note_other, &found) : 0;
	if (r == 0)
		*ret_n = found.n;
	return code_of(CODE_OPERATE, r);
}
