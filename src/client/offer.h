/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_OFFER_H
#define CLIENT_OFFER_H

/*
 * Offers (docs/design/0008-sisci.md): the other way to publish an export. Its id is taken at once,
 * connects succeed while it is open, and who leaves it does not end what others have of it.
 *
 * What has happened to an offered segment, or to an import of one, is told in the status page;
 * these are views of it, good as long as the handle is.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "client/handle.h"
#include "wire/shared.h"

/* flags: WIRE_OFFER_AUTO, _SHARED, _GROUP, _UNICAST. STATUS_ID_IN_USE, STATUS_ALREADY_PUBLISHED …
 */
CW_EXPORT int cw_export_offer(cw_handle handle, uint32_t *id, uint32_t flags);
/* Of an export or an attached import. flags: WIRE_CLOSE_…, when it closes. STATUS_WRONG_STATE. */
CW_EXPORT int cw_offer_open(cw_handle handle, bool open, uint32_t flags);
CW_EXPORT int cw_export_share(cw_handle handle);
/* Ends the export here. end: connections to it, too; else those that there are live on, with the
 * memory. STATUS_BAD_HANDLE. */
CW_EXPORT int cw_export_leave(cw_handle handle, bool end);
/* An import that is a second handle of its owner's; ended by cw_import_disconnect().
 * STATUS_NOT_FOUND, STATUS_DENIED. */
CW_EXPORT int cw_import_attach_offer(uint32_t space, uint32_t id, cw_handle *ret_handle);

/* The ring of an export or an attached import, the note of any other import; NULL: this daemon has
 * none, or a bad handle. */
CW_EXPORT const struct wire_ring *cw_offer_ring(cw_handle handle);
CW_EXPORT const _Atomic uint32_t *cw_import_note(cw_handle handle);
/* Counts all of it, of every handle that was made with the same daemon. */
CW_EXPORT const _Atomic uint32_t *cw_offer_events(cw_handle handle);

#endif
