/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MANAGER_OFFER_H
#define DAEMON_MANAGER_OFFER_H

/*
 * What the engine's decisions about offered segments (core/offer.h) mean to clients: rings and
 * notes of their status pages.
 */

#include "core/offer.h"
#include "daemon/manager-import.h"

/* Are segments of this space offered, or connects in it to such? Then imports have notes. */
bool space_has_offers(uint32_t space);

/* A local or remote import has changed its state, which its word tells. */
void manager_import_state_noted(EngineImport *import);

/* The engine's operations; userdata: the manager. */
void manager_segment_event(
	void *userdata, EngineSegment *segment, EngineImport *to, uint32_t event, uint32_t node);
void manager_segment_changed(void *userdata, EngineSegment *segment);
void manager_import_leave(void *userdata, EngineImport *import);
void manager_import_turn(void *userdata, EngineImport *import, bool away);

#endif
