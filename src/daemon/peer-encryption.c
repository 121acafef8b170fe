/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

#include <stdio.h>
#include <string.h>
#include "daemon/data-tls.h"
#include "daemon/log.h"
#include "daemon/route.h"

/*
 * Whether data between this node and a peer is encrypted (docs/design/0009-encrypted-data.md). Each
 * says in its hello what it can and what it requires, and both draw the same conclusion from the
 * two; it holds until the next hello.
 */

static uint32_t ours_now(const Manager *m)
{
	uint32_t bits = m->options.config->data_encryption ? WIRE_ENCRYPTION_REQUIRED : 0;

	return data_tls_kernel_can() ? bits | WIRE_ENCRYPTION_POSSIBLE : bits;
}

uint32_t manager_peer_offer(ManagerPeer *p)
{
	p->encryption = ours_now(p->peers->manager);
	return p->encryption;
}

/* Once for each time that it becomes so. */
static void log_impossible(const ManagerPeer *p)
{
	if (!(p->encryption & WIRE_ENCRYPTION_POSSIBLE))
		log_error(
			"no data goes between this node and node %u: it must be encrypted "
			"(DataEncryption=require %s), and this kernel has no TLS: modprobe tls, or "
			"a kernel with CONFIG_TLS",
			p->number, p->encryption & WIRE_ENCRYPTION_REQUIRED ? "here" : "there");
	else
		log_error("no data goes between this node and node %u: it must be encrypted "
			  "(DataEncryption=require %s), and that node's kernel has no TLS, or its "
			  "causewayd is too old",
			p->number, p->encryption & WIRE_ENCRYPTION_REQUIRED ? "here" : "there");
}

void manager_peer_heard_offer(ManagerPeer *p, uint32_t theirs)
{
	enum wire_encryption before = p->data, now = WIRE_DATA_PLAIN;

	if ((p->encryption | theirs) & WIRE_ENCRYPTION_REQUIRED)
		now = p->encryption & theirs & WIRE_ENCRYPTION_POSSIBLE ? WIRE_DATA_ENCRYPTED
									: WIRE_DATA_IMPOSSIBLE;
	p->data = now;
	if (now == WIRE_DATA_IMPOSSIBLE && before != WIRE_DATA_IMPOSSIBLE)
		log_impossible(p);
}

enum wire_encryption manager_peer_data(const EnginePeer *peer)
{
	const ManagerPeer *p = peer->userdata;

	return p ? p->data : WIRE_DATA_UNKNOWN;
}

int manager_peer_secret(
	const EnginePeer *peer, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE])
{
	const ManagerPeer *p = peer->userdata;

	return p && p->link ? peer_link_export(p->link, grant, ret_secret) : -ENOTCONN;
}
