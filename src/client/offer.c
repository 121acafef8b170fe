/* SPDX-License-Identifier: Apache-2.0 */
#include "client/offer.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/export-private.h"
#include "client/import-private.h"
#include "wire/status.h"

/* the owner */

static int offer_locked(struct cw_export *export, uint32_t *id, uint32_t flags)
{
	struct wire_message m = {.type = WIRE_SEGMENT_OFFER};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.segment_offer.segment = export->index;
	m.segment_offer.id = *id;
	m.segment_offer.flags = flags;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	if (r)
		return r;
	export->offered = true;
	export->id = *id = reply->message.segment_offer_reply.id;
	return 0;
}

int cw_export_offer(cw_handle handle, uint32_t *id, uint32_t flags)
{
	struct cw_export *export;
	int r = export_lock(handle, &export);

	if (r)
		return r;
	r = offer_locked(export, id, flags);
	export_unlock(export);
	return r;
}

int cw_export_share(cw_handle handle)
{
	struct wire_message m = {.type = WIRE_SEGMENT_SHARE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	struct cw_export *export;
	int r;

	if (!reply)
		return -ENOMEM;
	r = export_lock(handle, &export);
	if (r)
		return r;
	m.segment_share.segment = export->index;
	r = cw_link_call(export->link, &m, NULL, 0, reply);
	export_unlock(export);
	return r;
}

/* either side */

static int request_open(
	struct cw_link *link, uint32_t side, uint32_t index, bool open, uint32_t flags)
{
	struct wire_message m = {.type = WIRE_SEGMENT_OPEN};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	if (!reply)
		return -ENOMEM;
	m.segment_open = (struct wire_segment_open){
		.side = side, .index = index, .open = open, .flags = flags};
	return cw_link_call(link, &m, NULL, 0, reply);
}

int cw_offer_open(cw_handle handle, bool open, uint32_t flags)
{
	struct cw_import *import;
	struct cw_export *export;
	int r;

	if (cw_handle_kind(handle) == CW_IMPORT_SEGMENT) {
		import = cw_import_ref(handle);
		r = import ? cw_import_ready(import) : STATUS_BAD_HANDLE;
		if (!r)
			r = request_open(
				import->link, WIRE_SIDE_IMPORT, import->index, open, flags);
		cw_import_put(import);
		return r;
	}
	r = export_lock(handle, &export);
	if (r)
		return r;
	r = request_open(export->link, WIRE_SIDE_EXPORT, export->index, open, flags);
	/* from now on somebody may have the memory */
	export->backing->handed_out |= open;
	export_unlock(export);
	return r;
}

/* who attaches */

int cw_import_attach_offer(uint32_t space, uint32_t id, cw_handle *ret_handle)
{
	struct wire_message m = {
		.type = WIRE_SEGMENT_ATTACH, .segment_attach = {.space = space, .id = id}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	const struct wire_segment_attach_reply *a;
	struct wire_import_connect_reply got;
	struct cw_link *link;
	int r;

	if (!reply)
		return -ENOMEM;
	r = cw_link_get(&link);
	if (r)
		return r;
	r = cw_link_call_for_fd(link, &m, reply);
	if (r) {
		cw_link_put(link);
		return r;
	}
	a = &reply->message.segment_attach_reply;
	got = (struct wire_import_connect_reply){.import = a->import,
		.generation = a->generation,
		.instance = a->instance,
		.size = a->size,
		.rights = WIRE_READ | WIRE_WRITE,
		.cell = a->cell,
		.offset = a->offset,
		.state = WIRE_IMPORT_CONNECTED};
	return import_adopt_connection(link, space, id, &got, reply->fds[0], ret_handle);
}

/* what has happened */

static bool has_rings(const struct cw_link *link)
{
	return link->status_page->head.size >= sizeof(struct wire_status_page);
}

const struct wire_ring *cw_offer_ring(cw_handle handle)
{
	const struct wire_ring *ring = NULL;
	const struct cw_import *import;
	const struct cw_export *export;

	if (cw_handle_kind(handle) == CW_IMPORT_SEGMENT) {
		import = cw_handle_peek(handle, CW_IMPORT_SEGMENT);
		if (import && has_rings(import->link) && import->index < WIRE_CLIENT_RINGS)
			ring = &import->link->status_page->import_rings[import->index];
		return ring;
	}
	export = cw_handle_peek(handle, CW_EXPORT_SEGMENT);
	if (export && has_rings(export->link) && export->index < WIRE_CLIENT_RINGS)
		ring = &export->link->status_page->export_rings[export->index];
	return ring;
}

const _Atomic uint32_t *cw_import_note(cw_handle handle)
{
	const struct cw_import *import = cw_handle_peek(handle, CW_IMPORT_SEGMENT);

	return import && has_rings(import->link) ? &import->link->status_page->notes[import->index]
						 : NULL;
}

const _Atomic uint32_t *cw_offer_events(cw_handle handle)
{
	const struct cw_import *import = cw_handle_peek(handle, CW_IMPORT_SEGMENT);
	const struct cw_export *export = cw_handle_peek(handle, CW_EXPORT_SEGMENT);
	const struct cw_link *link = import ? import->link : export ? export->link : NULL;

	return link && has_rings(link) ? &link->status_page->events : NULL;
}
