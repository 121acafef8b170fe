/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

/* Until peers.c and peer-request.c are here. */
__attribute__((weak)) int manager_peer_address(
	const EnginePeer *peer, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	return -EHOSTUNREACH;
}

__attribute__((weak)) int manager_peer_request(Manager *m, uint32_t node,
	const struct wire_message *request, peer_request_done done, void *userdata)
{
	return -ENOMEM;
}
