/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent.h"
#include "daemon/guest.h"
#include "daemon/manager-offer.h"
#include "daemon/manager-peer.h"
#include "daemon/route.h"
#include "daemon/shm-record.h"

static void on_peer_session(void *userdata, EnginePeer *peer)
{
	manager_peer_session(userdata, peer);
	routes_session_changed(userdata, peer);
	coherent_session_changed(userdata, peer);
}

/* How the engine's decisions reach the world: which file carries out what. */
const struct engine_ops manager_engine_ops = {
	.import_state = manager_import_changed,
	.import_free = manager_import_free,
	.segment_free = manager_segment_free,
	.segment_cells = manager_segment_cells,
	.peer_wanted = manager_peer_wanted,
	.peer_send = manager_peer_send,
	.peer_close = manager_peer_close,
	.peer_session = on_peer_session,
	.peer_free = manager_peer_free,
	.peer_lease = coherent_lease,
	.guest_identity = manager_guest_identity,
	.guest_equip = guest_equip,
	.guest_free = guest_free,
	.guest_data = guest_data,
	.guest_resumed = guest_resumed,
	.import_granted = route_import_granted,
	.import_has_route = route_import_has,
	.segment_event = manager_segment_event,
	.segment_changed = manager_segment_changed,
	.import_leave = manager_import_leave,
	.import_turn = manager_import_turn,
	.import_signal = manager_import_signal,
	.shm_counted = shm_on_counted,
	.shm_changed = shm_on_changed,
	.shm_key_changed = shm_on_key_changed,
	.shm_key_free = shm_on_key_free,
	.shm_estate_free = shm_on_estate_free,
};
