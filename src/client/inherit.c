/* SPDX-License-Identifier: Apache-2.0 */
#include "client/inherit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "client/import-private.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);
DEFINE_CLEANUP(struct cw_link *, cw_link_put);

static bool has_changed(struct cw_link *link)
{
	bool changed;

	pthread_mutex_lock(&link->lock);
	changed = link->uid != geteuid() || link->gid != getegid();
	pthread_mutex_unlock(&link->lock);
	return changed;
}

void cw_import_inherit_prepare(void)
{
	struct wire_message ping = {.type = WIRE_PING};
	_cleanup_free_ struct cw_reply *reply = NULL;
	_cleanup_(cw_link_put_p) struct cw_link *link = NULL;

	if (cw_link_get(&link) || !has_changed(link))
		return;
	reply = malloc(sizeof(*reply));
	if (reply)
		(void)cw_link_call(link, &ping, NULL, 0, reply);
}

/* The parent's numbers are in the memory that is inherited from him. */
static int connect_as_heir(
	const struct cw_import *import, struct cw_link *link, struct connection *ret_connection)
{
	const struct wire_hello_reply *parent = &import->link->node.hello;
	struct wire_shm_inherit what = {.client = parent->client,
		.import = import->index,
		.generation = import->parents_generation};

	static_assert(sizeof(what.token) == sizeof(parent->token), "part of the protocol");
	memcpy(what.token, parent->token, sizeof(what.token));
	return connection_inherit(link, &what, import->rights, ret_connection);
}

static int inherit_locked(struct cw_import *import)
{
	struct cw_link *link;
	struct connection c;
	int r;

	if (!import->forked)
		return 0;
	r = cw_link_get(&link);
	if (r)
		return r;
	cw_link_watch(link);
	r = connect_as_heir(import, link, &c);
	if (r) {
		cw_link_put(link);
		return r;
	}
	r = import_replace(import, &c, NULL);
	return r || !import->map ? r : import_map_in_place(import);
}

int cw_import_inherit(cw_handle handle)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	int r;

	if (!import)
		return STATUS_BAD_HANDLE;
	pthread_mutex_lock(&import->lock);
	r = inherit_locked(import);
	pthread_mutex_unlock(&import->lock);
	return r;
}
