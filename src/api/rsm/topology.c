/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that can be reached, in one block of memory that the program frees with one call. */
#include <stdlib.h>
#include <string.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "client/connection.h"
#include "wire/message.h"
#include "wire/status.h"

#define REMOTES_OFFSET offsetof(rsm_connections_t, remote_cntlr)

/* One controller with the records that name it; links of one controller stand together. */
static uint32_t count_same(const struct wire_topology_link *links, uint32_t n)
{
	uint32_t same = 1;

	while (same < n && !strcmp(links[same].controller, links[0].controller))
		same++;
	return same;
}

static size_t connections_size(uint32_t n_remotes)
{
	return REMOTES_OFFSET + n_remotes * sizeof(rsm_remote_cntlr_t);
}

static void fill_connections(
	rsm_connections_t *c, uint32_t local, const struct wire_topology_link *links, uint32_t n)
{
	strcpy(c->hdr.cntlr_name, links[0].controller);
	c->hdr.local_hwaddr = local;
	c->hdr.remote_cntlr_count = (int)n;
	for (uint32_t i = 0; i < n; i++) {
		rsm_remote_cntlr_t *remote = &c->remote_cntlr[i];

		remote->remote_nodeid = links[i].node;
		strcpy(remote->remote_cntlrname, links[i].controller);
		remote->remote_hwaddr = links[i].node;
		remote->connection_state = links[i].state;
	}
}

static int build(uint32_t local, const struct wire_topology_link *links, uint32_t n,
	rsm_topology_t **ret_topology)
{
	uint32_t n_controllers = 0;
	size_t head, size;
	rsm_topology_t *t;
	char *at;

	size = head = 0;
	for (uint32_t i = 0; i < n; i += count_same(links + i, n - i)) {
		n_controllers++;
		size += connections_size(count_same(links + i, n - i));
	}
	head = offsetof(rsm_topology_t, connections) + MAX(n_controllers, 1u) * sizeof(void *);
	t = calloc(1, MAX(head, sizeof(*t)) + size);
	if (!t)
		return -ENOMEM;
	t->topology_hdr.local_nodeid = local;
	t->topology_hdr.local_cntlr_count = n_controllers;
	at = (char *)t + MAX(head, sizeof(*t));
	for (uint32_t i = 0, k = 0; i < n; k++) {
		uint32_t same = count_same(links + i, n - i);

		t->connections[k] = (rsm_connections_t *)(void *)at;
		fill_connections(t->connections[k], local, links + i, same);
		at += connections_size(same);
		i += same;
	}
	*ret_topology = t;
	return 0;
}

static int ask(rsm_topology_t **ret_topology)
{
	struct wire_message m = {.type = WIRE_TOPOLOGY};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	_cleanup_free_ struct wire_topology_link *links = NULL;
	const uint8_t *at, *end;
	uint32_t n;
	int r;

	if (!reply)
		return -ENOMEM;
	r = cw_call(&m, NULL, 0, reply);
	if (r)
		return r;
	at = reply->message.tail;
	end = at + reply->message.tail_size;
	n = reply->message.topology_reply.n;
	if (n > reply->message.tail_size)
		return STATUS_VERSION;
	links = calloc(MAX(n, 1u), sizeof(*links));
	if (!links)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		at = wire_get_topology_link(at, end, &links[i]);
		if (!at)
			return STATUS_VERSION;
	}
	return build(reply->message.topology_reply.node, links, n, ret_topology);
}

RSM_API int rsm_get_interconnect_topology(rsm_topology_t **topology_data)
{
	if (!topology_data)
		return RSMERR_BAD_TOPOLOGY_PTR;
	*topology_data = NULL;
	return rsm_code(ask(topology_data), ABOUT_TOPOLOGY);
}

RSM_API void rsm_free_interconnect_topology(rsm_topology_t *topology_data)
{
	free(topology_data);
}
