/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-offer.h"

#include "daemon/rings.h"

bool space_has_offers(uint32_t space)
{
	return space == WIRE_SPACE_SISCI || space == WIRE_SPACE_SISCI_INT ||
	       space == WIRE_SPACE_SISCI_DATA || space == WIRE_SPACE_SISCI_GROUP;
}

static bool has_note(const EngineImport *import)
{
	uint32_t space = import->segment ? import->segment->space : import->space;

	return !import->client->peer && manager_import(import) && space_has_offers(space);
}

/* A client that is being restored gets it when it is whole: its rings are the predecessor's. */
void manager_segment_event(
	void *userdata, EngineSegment *segment, EngineImport *to, uint32_t event, uint32_t node)
{
	EngineClient *client = to ? to->client : segment->owner;
	ManagerClient *c = client->userdata;

	if (!c || !manager_segment(segment))
		return;
	if (to)
		ring_add(&c->status, WIRE_SIDE_IMPORT, to->index, event, node);
	else
		ring_add(&c->status, WIRE_SIDE_EXPORT, segment->index, event, node);
}

void manager_segment_changed(void *userdata, EngineSegment *segment)
{
	if (manager_segment(segment))
		manager_segment_save(userdata, segment);
}

void manager_import_leave(void *userdata, EngineImport *import)
{
	ManagerClient *c = import->client->userdata;

	if (has_note(import))
		note_leave(&c->status, import->index);
}

void manager_import_turn(void *userdata, EngineImport *import, bool away)
{
	ManagerClient *c = import->client->userdata;

	if (has_note(import))
		note_turn(&c->status, import->index, away);
}

void manager_import_state_noted(EngineImport *import)
{
	ManagerClient *c = import->client->userdata;

	if (c && has_note(import))
		note_state(&c->status);
}
