/* SPDX-License-Identifier: Apache-2.0 */
/* Is the data that goes between this node and another one encrypted, and if it cannot be, why? */
#include "cli/doctor.h"

#include "cli/peers.h"

#define LOAD                                                                                       \
	"modprobe tls, now and at each start ('echo tls > /etc/modules-load.d/causeway.conf'); a " \
	"kernel without that module needs CONFIG_TLS. Then restart causewayd there. Or "           \
	"DataEncryption=off on both nodes, and who reads the network between them reads the data"

static const char *who_requires(bool here, bool there)
{
	if (here && there)
		return "here and there";
	return here ? "here" : "there";
}

static void explain_impossible(
	const struct wire_node_row *row, uint32_t ours, uint32_t theirs, struct finding *f)
{
	bool can = ours & WIRE_NODE_TLS, they_can = theirs & WIRE_NODE_TLS;
	char where[64], remedy[sizeof(f->remedy)];

	if (can && they_can) {
		finding_set(f, VERDICT_FAILED, "restart causewayd on one of the two nodes",
			"no data goes there: it must be encrypted, and one of the kernels had no "
			"TLS when the two nodes connected");
		return;
	}
	snprintf(where, sizeof(where),
		can	   ? "node %u"
		: they_can ? "this node"
			   : "both nodes",
		row->node);
	snprintf(remedy, sizeof(remedy), "on %s: " LOAD, where);
	finding_set(f, VERDICT_FAILED, remedy,
		"no data goes there, connects are refused: it must be encrypted "
		"(DataEncryption=require %s), and %s",
		who_requires(ours & WIRE_NODE_ENCRYPT, theirs & WIRE_NODE_ENCRYPT),
		!can && !they_can ? "neither kernel has TLS"
		: can		  ? "that node's kernel has no TLS, or its causewayd is too old"
				  : "this kernel has no TLS");
}

static void explain_plain(uint32_t ours, uint32_t theirs, struct finding *f)
{
	if (ours & theirs & WIRE_NODE_TLS)
		finding_set(f, VERDICT_OK, NULL,
			"not encrypted (DataEncryption=off on both nodes); both kernels could");
	else
		finding_set(f, VERDICT_OK, NULL,
			"not encrypted (DataEncryption=off on both nodes); %s no TLS",
			ours & WIRE_NODE_TLS ? "that node's kernel has" : "this kernel has");
}

/* What the other node says of itself: WIRE_NODE_…; 0: nothing. */
static uint32_t ask_flags(uint32_t node)
{
	struct wire_message request = {.type = WIRE_NODE_STATUS, .node_status = {.asked = node}};
	struct cw_reply reply;

	return cw_call(&request, NULL, 0, &reply) ? 0 : reply.message.node_status_reply.flags;
}

void check_encryption(const struct doctor *d, const struct wire_node_row *row, struct finding *f)
{
	uint32_t theirs = ask_flags(row->node);
	_cleanup_(peers_deinit) struct peers peers = {0};
	enum wire_encryption data = WIRE_DATA_UNKNOWN;

	/* Anew: it may just have been connected. */
	if (peers_fetch(&peers) == 0)
		for (size_t i = 0; i < peers.n; i++)
			if (peers.rows[i].node == row->node)
				data = peers.data[i];
	switch (data) {
	case WIRE_DATA_ENCRYPTED:
		finding_set(f, VERDICT_OK, NULL,
			"encrypted by both kernels: TLS 1.3, AES-128-GCM (DataEncryption=require "
			"%s)",
			who_requires(d->node.status.flags & WIRE_NODE_ENCRYPT,
				theirs & WIRE_NODE_ENCRYPT));
		break;
	case WIRE_DATA_IMPOSSIBLE:
		explain_impossible(row, d->node.status.flags, theirs, f);
		break;
	case WIRE_DATA_PLAIN:
		explain_plain(d->node.status.flags, theirs, f);
		break;
	case WIRE_DATA_UNKNOWN:
		finding_set(f, VERDICT_WARNING, "look again",
			"the connection that would show it has ended again");
		break;
	}
}
