/* SPDX-License-Identifier: Apache-2.0 */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/node.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "wire/message.h"
#include "wire/status.h"

/* Adapters and nodes, as programs ask for them. */

static sci_error_t local_node_id(unsigned int adapter, unsigned int *node)
{
	sci_error_t e = adapter_check(adapter);

	if (!node)
		return SCI_ERR_ILLEGAL_PARAMETER;
	return e ? e : node_sisci_id(0, node);
}

SCI_CALL void SCIGetLocalNodeId(
	unsigned int localAdapterNo, unsigned int *nodeId, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : local_node_id(localAdapterNo, nodeId));
}

/* Names: a host of the node list, by its address there, or this host. */

static bool is_same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return !memcmp(&((const struct sockaddr_in *)a)->sin_addr,
			&((const struct sockaddr_in *)b)->sin_addr, sizeof(struct in_addr));
	return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		&((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr));
}

/* The host of "host:port" or "[host]:port". */
static void host_of(const char *address, char *ret_host, size_t size)
{
	const char *begin = address[0] == '[' ? address + 1 : address;
	const char *end = address[0] == '[' ? strchr(begin, ']') : strrchr(begin, ':');
	size_t n = end ? (size_t)(end - begin) : strlen(begin);

	n = MIN(n, size - 1);
	memcpy(ret_host, begin, n);
	ret_host[n] = '\0';
}

static bool resolves_to(const struct addrinfo *wanted, const char *host)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found, *i;
	const struct addrinfo *j;
	bool same = false;

	if (!wanted || getaddrinfo(host, NULL, &hints, &found))
		return false;
	for (i = found; i; i = i->ai_next)
		for (j = wanted; j; j = j->ai_next)
			same |= is_same_address(i->ai_addr, j->ai_addr);
	freeaddrinfo(found);
	return same;
}

struct search {
	const char *name;
	struct addrinfo *addresses; /* of the name; NULL: none */
	dis_nodeId_list_t *list;
	unsigned int n;
};

static void look_at(void *data, const struct node_seen *node)
{
	struct search *s = data;
	char host[256];

	if (s->n + 1 >= DIS_MAX_NSCIS)
		return;
	host_of(node->row.address, host, sizeof(host));
	if (!strcmp(host, s->name) || resolves_to(s->addresses, host))
		if (node_sisci_id(node->row.node, &(*s->list)[s->n]) == SCI_ERR_OK)
			s->n++;
}

static bool is_this_host(const char *name)
{
	char own[256] = "";

	gethostname(own, sizeof(own) - 1);
	return !strcmp(name, own) || !strcmp(name, "localhost");
}

/* Nobody of that name: an empty list, and NO_SUCH_NODEID. */
static sci_error_t nodes_by_name(const char *name, dis_nodeId_list_t *list)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct search s = {.name = name, .list = list};
	int r;

	if (!name || !list)
		return SCI_ERR_ILLEGAL_PARAMETER;
	memset(list, 0, sizeof(*list));
	if (is_this_host(name))
		return node_sisci_id(0, &(*list)[0]);
	if (getaddrinfo(name, NULL, &hints, &s.addresses))
		s.addresses = NULL;
	r = node_each(look_at, &s);
	if (s.addresses)
		freeaddrinfo(s.addresses);
	if (r)
		return code_of(CODE_OPERATE, r);
	return s.n ? SCI_ERR_OK : SCI_ERR_NO_SUCH_NODEID;
}

SCI_CALL void SCIGetNodeIdByAdapterName(char *adaptername, dis_nodeId_list_t *nodeIdlist,
	dis_virt_adapter_t *type, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = nodes_by_name(adaptername, nodeIdlist);
	if (!e && type)
		*type = DIS_VIRT_ADAPTER_SINGLE;
	call_end(error, e);
}

static dis_adapter_type_t adapter_type(void)
{
	uint32_t nodes[2], n = 0;

	return node_list(nodes, 2, &n) == SCI_ERR_OK && n > 1 ? DIS_ADAPTER_TYPE_TCP
							      : DIS_ADAPTER_TYPE_LOOPBACK;
}

SCI_CALL void SCIGetNodeInfoByAdapterName(char *adaptername, unsigned int *adapterNo,
	dis_nodeId_list_t *nodeIdlist, dis_adapter_type_t *type, unsigned int flags,
	sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = nodes_by_name(adaptername, nodeIdlist);
	if (!e && adapterNo)
		*adapterNo = 0;
	if (!e && type)
		*type = adapter_type();
	call_end(error, e);
}

SCI_CALL const char *SCIGetAdapterTypeString(dis_adapter_type_t type)
{
	switch (type) {
	case DIS_ADAPTER_TYPE_NONE:
		return "none";
	case DIS_ADAPTER_TYPE_LOOPBACK:
		return "loopback";
	case DIS_ADAPTER_TYPE_TCP:
		return "tcp";
	}
	return "unknown";
}

SCI_CALL const char *SCIGetAdapterFamilyString(dis_adapter_type_t type)
{
	return type == DIS_ADAPTER_TYPE_LOOPBACK || type == DIS_ADAPTER_TYPE_TCP ? "Causeway"
										 : "unknown";
}

/* Asks the node's daemon; our own stands for itself. */
static sci_error_t probe(sci_desc_t sd, unsigned int adapter, unsigned int node)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	struct wire_message m = {.type = WIRE_PING};
	sci_error_t e = adapter_check(adapter);

	if (!desc)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!reply)
		return SCI_ERR_NOSPC;
	if (!e)
		e = node_number(node, &m.ping.node);
	return e ? e : code_of(CODE_PROBE, cw_call(&m, NULL, 0, reply));
}

SCI_CALL int SCIProbeNode(sci_desc_t sd, unsigned int localAdapterNo, unsigned int nodeId,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	if (!e)
		e = probe(sd, localAdapterNo, nodeId);
	call_end(error, e);
	return e == SCI_ERR_OK;
}
