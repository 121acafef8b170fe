/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <stddef.h>
#include "core/shm.h"
#include "wire/status.h"

/*
 * A forked child takes over what its parent has attached. That it is the child is shown by the
 * parent's token, which nobody but the parent's memory has, and by the kernel, who says that both
 * are the same user's.
 */

/* The two replies are alike, so that one function fills both. */
static_assert(sizeof(struct wire_shm_inherit_reply) == sizeof(struct wire_import_connect_reply) &&
		      offsetof(struct wire_shm_inherit_reply, shmid) ==
			      offsetof(struct wire_import_connect_reply, shmid) &&
		      offsetof(struct wire_shm_inherit_reply, home_cell) ==
			      offsetof(struct wire_import_connect_reply, home_cell),
	"as IMPORT_CONNECT_REPLY");

static EngineImport *find_parents(const ManagerClient *c, const struct wire_shm_inherit *q)
{
	const ManagerClient *parent = manager_client_find_by_token(c->manager, q->client, q->token);
	EngineImport *import;

	if (!parent || parent->identity.uid != c->identity.uid)
		return NULL;
	import = engine_import_get(parent->engine, q->import);
	return import && import->generation == q->generation ? import : NULL;
}

static int make(ManagerClient *c, const struct wire_shm_inherit *q, uint64_t serial,
	EngineImport **ret_import)
{
	EngineImport *parents = find_parents(c, q), *import;
	int r;

	if (!parents)
		return STATUS_BAD_HANDLE;
	r = request_import_reserve(c);
	if (r < 0)
		return r;
	r = engine_shm_inherit(c->engine, parents, &import);
	if (r == 0)
		r = request_import_begin(c, import, serial);
	if (r == 0)
		*ret_import = import;
	return r;
}

int request_shm_inherit(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineImport *import = request_import_find(c, q->message.serial);
	int r = 0;

	if (!import)
		r = make(c, &q->message.shm_inherit, q->message.serial, &import);
	return r ? r : request_import_reply(import, a);
}
