/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/peers.h"

#include <ctype.h>
#include "base/error.h"
#include "base/parse.h"
#include "cli/keys.h"
#include "wire/status.h"

void peers_deinit(struct peers *p)
{
	free(p->rows);
	free(p->data);
	*p = (struct peers){0};
}

/* What follows the rows. A daemon before minor version 3 has nothing there, and encrypts nothing.
 */
static void take_data(const uint8_t *at, const uint8_t *end, struct peers *p, size_t first)
{
	struct wire_node_data data;

	for (size_t i = first; i < p->n; i++) {
		at = at ? wire_get_node_data(at, end, &data) : NULL;
		p->data[i] =
			at && data.node == p->rows[i].node ? data.encryption : WIRE_DATA_UNKNOWN;
	}
}

static int grow(struct peers *p, uint32_t n)
{
	struct wire_node_row *rows = reallocarray(p->rows, p->n + n + 1, sizeof(*rows));
	enum wire_encryption *data;

	if (!rows)
		return cli_fail("out of memory");
	p->rows = rows;
	data = reallocarray(p->data, p->n + n + 1, sizeof(*data));
	if (!data)
		return cli_fail("out of memory");
	p->data = data;
	return 0;
}

/* Appends the rows of one answer. */
static int take_rows(const struct cw_reply *reply, struct peers *p)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	uint32_t n = reply->message.nodes_reply.n;
	size_t first = p->n;

	if (n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's node list is malformed: %u rows in one packet", n);
	if (grow(p, n))
		return EXIT_FAILED;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_node_row(at, end, &p->rows[p->n]);
		if (!at)
			return cli_fail(
				"the daemon's node list is malformed: row %u is cut short", i);
		p->n++;
	}
	take_data(at, end, p, first);
	return 0;
}

int peers_fetch(struct peers *ret_peers)
{
	_cleanup_(peers_deinit) struct peers p = {0};
	struct wire_message request;
	struct cw_reply reply;
	uint32_t cursor = 0;
	int r;

	do {
		request = (struct wire_message){.type = WIRE_NODES, .nodes = {.cursor = cursor}};
		r = cw_call(&request, NULL, 0, &reply);
		if (r == STATUS_NOT_SUPPORTED)
			break; /* older than node lists */
		if (r)
			return cli_fail("cannot list the nodes: %s", node_result_text(r));
		r = take_rows(&reply, &p);
		if (r)
			return r;
		cursor = reply.message.nodes_reply.next;
	} while (cursor);
	*ret_peers = p;
	p = (struct peers){0};
	return 0;
}

const char *peer_state_name(uint32_t state)
{
	switch (state) {
	case WIRE_PEER_IDLE:
		return "idle";
	case WIRE_PEER_DIALLING:
		return "dialling";
	case WIRE_PEER_UP:
		return "up";
	case WIRE_PEER_AWAY:
		return "away";
	case WIRE_PEER_SELF:
		return "self";
	}
	return "?";
}

const char *peer_data_name(enum wire_encryption data)
{
	switch (data) {
	case WIRE_DATA_UNKNOWN:
		return NULL;
	case WIRE_DATA_PLAIN:
		return "plain";
	case WIRE_DATA_ENCRYPTED:
		return "encrypted";
	case WIRE_DATA_IMPOSSIBLE:
		return "impossible";
	}
	return "?";
}

void peer_trouble(uint32_t node, char buf[PEER_TROUBLE_MAX])
{
	_cleanup_(peers_deinit) struct peers peers = {0};

	buf[0] = '\0';
	if (peers_fetch(&peers))
		return;
	for (size_t i = 0; i < peers.n; i++)
		if (peers.rows[i].node == node && peers.rows[i].trouble[0])
			snprintf(buf, PEER_TROUBLE_MAX, ": %s", peers.rows[i].trouble);
	for (char *p = buf; *p; p++)
		if (!isascii(*p) || iscntrl((unsigned char)*p))
			*p = '?';
}

int peer_parse(const char *text, uint32_t *ret_node)
{
	uint32_t node;

	if (parse_u32(text, &node) < 0 || node == 0 || node > KEYS_NODE_MAX)
		return cli_usage("'%s' must be a node's number from 1 to %u.", text, KEYS_NODE_MAX);
	*ret_node = node;
	return 0;
}
