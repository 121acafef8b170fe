/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_OFFER_H
#define CORE_OFFER_H

/*
 * Offers: the way of SISCI to publish a segment (docs/design/0008-sisci.md). Its id, any number, is
 * taken from the beginning; connects succeed while it is open; its owner may leave it while others
 * have it. Who is attached has a second handle of the same segment: an import that is no
 * connection.
 *
 * An offered segment is PUBLISHED as long as it has its id. One that its owner has left is BOUND as
 * soon as nobody is attached, and goes with its last import.
 */

#include "core/engine.h"

/* flags: WIRE_OFFER_AUTO (the lowest free id from this one on), _GROUP, _UNICAST.
 * ALREADY_PUBLISHED, BAD_REQUEST (flags), ID_IN_USE, NO_RESOURCES (no id left). */
int engine_segment_offer(EngineSegment *segment, uint32_t id, uint32_t flags, uint32_t *ret_id);

/* What is open stays so. NOT_PUBLISHED: not offered. */
int engine_segment_open(EngineSegment *segment);
/* flags: WIRE_CLOSE_… NOT_PUBLISHED; WRONG_STATE: it is closed. */
int engine_segment_close(EngineSegment *segment, uint32_t flags);

/* NOT_PUBLISHED. */
int engine_segment_share(EngineSegment *segment);

/* The owner is done with it. The segment may be gone afterwards. end: its importers lose it now.
 * NOT_PUBLISHED: it is not offered. */
int engine_segment_leave(EngineSegment *segment, bool end);

/* The caller has equipped a client's import of such a segment: its owner hears of it. Guests' are
 * announced when they have been granted. */
void engine_import_announce(EngineImport *import);

/* When everything is restored: what was left and has no imports any more goes. */
void engine_offers_settle(Engine *engine);

/* NOT_FOUND, DENIED (not shared, or not all rights), NO_RESOURCES. */
int engine_import_attach_offer(
	EngineClient *client, uint32_t space, uint32_t id, EngineImport **ret_import);

#endif
