/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "daemon/log.h"
#include "daemon/rdma.h"
#include "wire/status.h"

/* Connections that arrived: nobody's until their hello has been heard. */

struct arrival {
	Peers *peers;
	uint64_t since;
	PeerLink *link;
	Stranger *stranger;
};

static void arrival_free(struct arrival *a)
{
	peer_link_free(a->link);
	free(a);
}

void manager_peer_arrival_cut(void *arrival)
{
	arrival_free(arrival);
}

static void arrival_end(struct arrival *a)
{
	stranger_leave(a->stranger);
	arrival_free(a);
}

static void name_address(const struct peer_address *address, char name[NI_MAXHOST])
{
	if (getnameinfo((const struct sockaddr *)&address->address, address->length, name,
		    NI_MAXHOST, NULL, 0, NI_NUMERICHOST))
		strcpy(name, "somewhere");
}

static void on_arrival_closed(void *userdata, PeerLink *link, int error)
{
	struct arrival *a = userdata;
	char name[NI_MAXHOST];
	uint32_t claimed = peer_link_peer(link);

	name_address(peer_link_address(link), name);
	if (error == -EACCES && claimed)
		log_limited("a connection from %s says that it is node %u and has another key than "
			    "we: both nodes' key files need the same key for this pair (causeway "
			    "keygen)",
			name, claimed);
	else if (error == -EACCES)
		log_limited("a connection from %s says that it is a node for which there is no key "
			    "in KeyFile=, or takes this node for another",
			name);
	arrival_end(a);
}

/* Where it can be called back, as far as its connection shows. */
static void learn_address(ManagerPeer *p, PeerLink *link)
{
	const struct member *member = membership_find(p->peers->members, p->number);
	struct peer_address address = *peer_link_address(link);
	in_port_t port = htons((uint16_t)(member ? member->port : 0));

	if (address.address.ss_family == AF_INET)
		((struct sockaddr_in *)&address.address)->sin_port = port;
	else
		((struct sockaddr_in6 *)&address.address)->sin6_port = port;
	p->address = address;
}

/*
 * Both have dialled at once, and the other has agreed to our connection since, and closed this one:
 * a hello that it said before that would end the session which has just begun. What it says later
 * names that session.
 */
static bool is_stale(
	const struct arrival *a, const ManagerPeer *p, const struct wire_peer_hello *hello)
{
	return p->up && a->since < p->since && hello->session != p->engine->session;
}

static int judge_arrival(const struct arrival *a, PeerLink *link,
	const struct wire_message *message, struct wire_message *answer, ManagerPeer **ret_peer)
{
	Manager *m = a->peers->manager;
	ManagerPeer *p = manager_peer_find(m, peer_link_peer(link));
	EnginePeer *peer;
	int r;

	if (message->type != WIRE_PEER_HELLO)
		return STATUS_BAD_REQUEST;
	if (!p || !p->listed)
		return STATUS_NODE_UNKNOWN;
	if (is_stale(a, p, &message->peer_hello))
		return STATUS_IN_USE;
	r = engine_peer_get(m->engine, p->number, &peer);
	if (r)
		return r < 0 ? STATUS_NO_MEMORY : r;
	p->engine = peer;
	peer->userdata = p;
	r = engine_peer_hello(
		peer, &message->peer_hello, manager_peers_now(), &answer->peer_hello_reply);
	if (r)
		return r;
	answer->peer_hello_reply.encryption = manager_peer_offer(p);
	manager_peer_heard_offer(p, message->peer_hello.encryption);
	answer->peer_hello_reply.rdma = rdma_kind(p->peers->manager);
	p->minor = message->peer_hello.minor;
	p->rdma = message->peer_hello.rdma;
	*ret_peer = p;
	return 0;
}

static void on_arrival_packet(void *userdata, PeerLink *link, const struct wire_message *message)
{
	struct wire_message answer = {.type = WIRE_PEER_HELLO_REPLY, .serial = message->serial};
	struct arrival *a = userdata;
	ManagerPeer *p = NULL;

	answer.status = (uint32_t)judge_arrival(a, link, message, &answer, &p);
	a->link = NULL;
	arrival_end(a);
	if (answer.status) {
		peer_link_send(link, &answer);
		peer_link_finish(link);
		return;
	}
	learn_address(p, link);
	manager_peer_take_link(p, link, &answer);
}

/* The hello is still to come. */
static void on_ready(void *userdata, PeerLink *link)
{
}

static const struct peer_link_ops arrival_ops = {
	.ready = on_ready,
	.message = on_arrival_packet,
	.closed = on_arrival_closed,
};

static bool find_key(void *userdata, uint32_t node, uint8_t ret_key[PEER_KEY_SIZE])
{
	const Peers *peers = userdata;
	const ManagerPeer *p = manager_peer_find(peers->manager, node);

	if (!p || !p->listed || !p->has_key)
		return false;
	memcpy(ret_key, p->key, PEER_KEY_SIZE);
	return true;
}

int manager_peer_arrived(void *userdata, int fd, Stranger *stranger, void **ret_arrival)
{
	Peers *peers = userdata;
	struct arrival *a = calloc(1, sizeof(*a));
	struct peer_link_options options = manager_peer_link_options(peers, &arrival_ops, a);
	int r;

	if (!a)
		return -ENOMEM;
	a->peers = peers;
	a->since = manager_peers_now();
	a->stranger = stranger;
	r = peer_link_accept(&options, fd, find_key, peers, &a->link);
	if (r < 0) {
		free(a);
		return r;
	}
	*ret_arrival = a;
	return 0;
}
