/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "daemon/query.h"
#include "daemon/rdma.h"
#include "wire/status.h"

/* What programs ask about RDMA. An offer is the other node's, and passed on as it is. */

int rdma_fill_question(
	const ManagerClient *c, const struct wire_rdma *asked, struct wire_message *question)
{
	const EngineImport *import = engine_import_get(c->engine, asked->import);

	if (!import)
		return STATUS_BAD_HANDLE;
	question->type = WIRE_PEER_RDMA;
	question->peer_rdma = (struct wire_peer_rdma){
		.client = c->engine->id, .index = import->index, .generation = import->generation};
	return 0;
}

/* Of the provider that our programs are to load, and no other. */
int rdma_pass(const Manager *m, const struct wire_peer_rdma_reply *from, struct wire_rdma_reply *to)
{
	if (from->kind != rdma_kind(m) || from->address_size > sizeof(from->address))
		return STATUS_NOT_SUPPORTED;
	*to = (struct wire_rdma_reply){
		.kind = from->kind,
		.rights = from->rights,
		.endpoint = from->endpoint,
		.key = from->key,
		.base = from->base,
		.size = from->size,
		.address_size = from->address_size,
	};
	memcpy(to->address, from->address, sizeof(to->address));
	memcpy(to->ticket, from->ticket, sizeof(to->ticket));
	return 0;
}

/* Of an import that is connected by a way that has RDMA at both ends. */
int request_rdma(ManagerClient *c, struct request *q, struct reply *a)
{
	const EngineImport *import = engine_import_get(c->engine, q->message.rdma.import);
	const ManagerPeer *p;

	if (!import || !import_is_remote(import))
		return STATUS_BAD_HANDLE;
	p = manager_peer_find(c->manager, import->node);
	if (!p || !rdma_may_reach(c->manager, p) || import->state != WIRE_IMPORT_CONNECTED)
		return STATUS_NOT_SUPPORTED;
	return query_begin(c, q, import->node);
}

int request_rdma_status(ManagerClient *c, struct request *q, struct reply *a)
{
	rdma_fill_status(c->manager, q->message.rdma_status.node, &a->message.rdma_status_reply);
	return 0;
}
