/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/coherent.h"
#include "daemon/log.h"
#include "daemon/rdma.h"
#include "daemon/record.h"
#include "daemon/route.h"
#include "daemon/shm-peer.h"
#include "daemon/shm.h"

/* The connections to one peer: dialled, up. */

#define DIAL_TIMEOUT (2 * NSEC_PER_SEC)

static ManagerPeer *of(EnginePeer *peer)
{
	return peer->userdata;
}

struct peer_link_options manager_peer_link_options(
	Peers *peers, const struct peer_link_ops *ops, void *userdata)
{
	return (struct peer_link_options){
		.event = peers->manager->event,
		.self = peers->self,
		.timeout = DIAL_TIMEOUT,
		.stall = peers->manager->options.config->detection_time,
		.ops = ops,
		.userdata = userdata,
	};
}

/* Trouble: kept for people who ask, logged when it is another than before. */

static void set_trouble(ManagerPeer *p, const char *text)
{
	char trouble[sizeof(p->trouble)];

	snprintf(trouble, sizeof(trouble), "%s", text);
	if (!strcmp(trouble, p->trouble))
		return;
	strcpy(p->trouble, trouble);
	log_warning("node %u cannot be reached: %s", p->number, trouble);
}

static void clear_trouble(ManagerPeer *p)
{
	if (p->trouble[0])
		log_info("node %u can be reached again", p->number);
	p->trouble[0] = '\0';
}

static const char *dial_trouble(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "nobody listens there; is causewayd running, and on this address and port?";
	case -EACCES:
		return "it does not accept our key: both nodes' key files need the same key for "
		       "this pair (causeway keygen)";
	case -ETIMEDOUT:
		return "it does not answer; is the address right, and does a firewall drop the "
		       "port?";
	case -ENODATA:
	case -ECONNRESET:
		return "it closes the connection; its log says why";
	case -EPROTO:
	case -EBADMSG:
		return "what answers there is no causewayd";
	case -ENOKEY:
		return "there is no key for it in KeyFile=; causeway keygen makes one for both "
		       "nodes";
	default:
		return strerror(-error);
	}
}

/* Trying again soon will not help. */
static bool is_final(int error)
{
	return error == -ECONNREFUSED || error == -EACCES || error == -ENOKEY;
}

static const char *refusal_trouble(uint32_t status)
{
	switch (status) {
	case STATUS_VERSION:
		return "it is of another major version";
	case STATUS_NODE_UNKNOWN:
		return "it has another number, or this node is not in its [Nodes]";
	default:
		return "it refuses";
	}
}

/* Ends */

static void drop_dial(ManagerPeer *p)
{
	peer_link_free(p->dial);
	p->dial = NULL;
	resolve_free(p->resolve);
	p->resolve = NULL;
	p->dial_error = 0;
	list_unlink(&p->deferred);
}

void manager_peer_disconnect(ManagerPeer *p)
{
	drop_dial(p);
	peer_link_free(p->link);
	p->link = NULL;
	p->up = false;
	peer_requests_unsend(p);
}

/* Only where the engine may be called. */
static void dial_failed(ManagerPeer *p, bool final)
{
	drop_dial(p);
	if (p->engine)
		engine_peer_down(p->engine, final, manager_peers_now());
	if (final)
		peer_requests_fail(p, false, STATUS_NODE_UNREACHABLE);
}

static void link_failed(ManagerPeer *p)
{
	peer_link_free(p->link);
	p->link = NULL;
	p->up = false;
	peer_requests_unsend(p);
	if (p->engine)
		engine_peer_down(p->engine, false, manager_peers_now());
}

/* A session's connection */

static void break_off(ManagerPeer *p, const char *why)
{
	log_limited("node %u is cut off: %s", p->number, why);
	link_failed(p);
}

static void on_packet(void *userdata, PeerLink *link, const struct wire_message *message)
{
	ManagerPeer *p = userdata;
	uint64_t now = manager_peers_now();

	engine_peer_heard(p->engine, now);
	if (message->type == WIRE_PEER_BYE)
		p->bye = true;
	if ((message->type & WIRE_REPLY_BIT) && message->type != WIRE_PEER_CONNECT_REPLY &&
		message->type != WIRE_PEER_LEASE_REPLY) {
		peer_requests_answer(p, message);
		return;
	}
	if (query_serve(p, message) || coherent_serve(p, message) || shm_peer_serve(p, message))
		return;
	if (engine_peer_receive(p->engine, message, now) && p->link == link)
		break_off(p, "it breaks the protocol");
}

static void on_link_closed(void *userdata, PeerLink *link, int error)
{
	ManagerPeer *p = userdata;

	if (error == -ETIMEDOUT)
		return break_off(p, "it does not read what is sent to it");
	if (error == -ENOBUFS || error == -ENOMEM)
		return break_off(p, "what is to be sent to it does not fit into memory");
	if (error == -EBADMSG)
		return break_off(p, "it breaks the protocol");
	link_failed(p);
}

/* Nothing is ready any more. */
static void on_ready(void *userdata, PeerLink *link)
{
}

static const struct peer_link_ops session_ops = {
	.ready = on_ready,
	.message = on_packet,
	.closed = on_link_closed,
};

void manager_peer_take_link(ManagerPeer *p, PeerLink *link, const struct wire_message *reply)
{
	drop_dial(p);
	peer_link_finish(p->link);
	p->link = link;
	p->since = manager_peers_now();
	peer_link_set_owner(link, &session_ops, p);
	peer_requests_unsend(p);
	if (reply)
		peer_link_send(link, reply);
	p->up = true;
	engine_peer_up(p->engine, manager_peers_now());
	clear_trouble(p);
	if (p->engine)
		routes_encryption_changed(p->peers->manager, p->engine);
	if (p->up)
		peer_requests_send(p);
	if (p->up)
		shm_peer_connected(p);
}

/* Dialling */

static void on_dial_ready(void *userdata, PeerLink *link)
{
	struct wire_message m = {.type = WIRE_PEER_HELLO, .serial = 1};
	ManagerPeer *p = userdata;

	p->address = *peer_link_address(link);
	engine_peer_say_hello(p->engine, &m.peer_hello);
	m.peer_hello.encryption = manager_peer_offer(p);
	m.peer_hello.rdma = rdma_kind(p->peers->manager);
	peer_link_send(link, &m);
}

/* IN_USE: the other's connection is on its way, or here. */
static void on_refusal(ManagerPeer *p, uint32_t status)
{
	if (status != STATUS_IN_USE)
		set_trouble(p, refusal_trouble(status));
	dial_failed(p, status != STATUS_IN_USE);
}

static void on_dial_answer(void *userdata, PeerLink *link, const struct wire_message *message)
{
	ManagerPeer *p = userdata;
	int r;

	if (message->type != WIRE_PEER_HELLO_REPLY)
		return on_refusal(p, STATUS_BAD_REQUEST);
	if (message->status)
		return on_refusal(p, message->status);
	p->dial = NULL;
	r = engine_peer_hello_answer(p->engine, &message->peer_hello_reply, manager_peers_now());
	if (r) {
		peer_link_free(link);
		return on_refusal(p, (uint32_t)r);
	}
	manager_peer_heard_offer(p, message->peer_hello_reply.encryption);
	p->minor = message->peer_hello_reply.minor;
	p->rdma = message->peer_hello_reply.rdma;
	manager_peer_take_link(p, link, NULL);
}

static void on_dial_closed(void *userdata, PeerLink *link, int error)
{
	ManagerPeer *p = userdata;

	set_trouble(p, dial_trouble(error));
	dial_failed(p, is_final(error));
}

static const struct peer_link_ops dial_ops = {
	.ready = on_dial_ready,
	.message = on_dial_answer,
	.closed = on_dial_closed,
};

static int dial(ManagerPeer *p, const struct peer_address *addresses, unsigned int n)
{
	struct peer_link_options options = manager_peer_link_options(p->peers, &dial_ops, p);

	return peer_link_dial(&options, p->number, p->key, addresses, n, &p->dial);
}

static void on_resolved(void *userdata, const struct resolved *resolved)
{
	ManagerPeer *p = userdata;
	char text[sizeof(p->trouble)];
	int r;

	resolve_free(p->resolve);
	p->resolve = NULL;
	if (resolved->error || resolved->n == 0) {
		snprintf(text, sizeof(text), "its name has no address: %s",
			gai_strerror(resolved->error));
		set_trouble(p, text);
		return dial_failed(p, true);
	}
	r = dial(p, resolved->addresses, resolved->n);
	if (r < 0) {
		set_trouble(p, dial_trouble(r));
		dial_failed(p, false);
	}
}

static int dial_begin(ManagerPeer *p)
{
	const struct member *member = membership_find(p->peers->members, p->number);
	struct peer_address address;

	if (!member)
		return -EHOSTUNREACH;
	if (!p->has_key)
		return -ENOKEY;
	if (resolve_address(member->host, member->port, &address))
		return dial(p, &address, 1);
	return resolve_start(
		p->peers->manager->event, member->host, member->port, on_resolved, p, &p->resolve);
}

void manager_peer_wanted(void *userdata, EnginePeer *peer)
{
	Manager *m = userdata;
	ManagerPeer *p = manager_peer_find(m, peer->number);
	int r;

	p->engine = peer;
	peer->userdata = p;
	drop_dial(p);
	r = dial_begin(p);
	if (r == 0)
		return;
	p->dial_error = r;
	list_append(&p->peers->deferred_peers, &p->deferred);
	sd_event_source_set_enabled(p->peers->deferred, SD_EVENT_ONESHOT);
}

void manager_peer_tell(ManagerPeer *p)
{
	int error = p->dial_error;

	set_trouble(p, dial_trouble(error));
	dial_failed(p, is_final(error));
}

/* Operations of the engine */

void manager_peer_send(void *userdata, EnginePeer *peer, const struct wire_message *message)
{
	ManagerPeer *p = of(peer);

	if (message->type == WIRE_PEER_BYE)
		p->bye = true;
	if (p->link)
		peer_link_send(p->link, message);
}

void manager_peer_close(void *userdata, EnginePeer *peer)
{
	ManagerPeer *p = of(peer);

	if (!p)
		return;
	drop_dial(p);
	peer_link_finish(p->link);
	p->link = NULL;
	p->up = false;
	peer_requests_unsend(p);
}

/* What ended without silence ended because nothing was in common, or by the list, or with the
 * peer's node, which session_begun() tells. */
static void session_ended(ManagerPeer *p, const EnginePeer *peer)
{
	uint64_t silence = manager_peers_now() - peer->heard;

	if (!p->bye && !p->peers->leaving && silence >= peer->detection)
		log_warning("node %u is lost: it has said nothing for %llu ms", p->number,
			(unsigned long long)(silence / NSEC_PER_MSEC));
	p->bye = false;
	shm_peer_lost(p);
	peer_requests_fail(p, true, STATUS_NODE_LOST);
}

static void session_begun(ManagerPeer *p, const EnginePeer *peer)
{
	if (p->incarnation && p->incarnation != peer->incarnation) {
		log_info("node %u has begun anew", p->number);
		shm_peer_anew(p);
	}
	p->incarnation = peer->incarnation;
}

void manager_peer_session(void *userdata, EnginePeer *peer)
{
	struct engine_peer_record record;
	Manager *m = userdata;
	ManagerPeer *p = of(peer);
	int r;

	if (!peer->session) {
		journal_remove(m->journal, p->slot);
		p->slot = JOURNAL_NO_SLOT;
		session_ended(p, peer);
		return;
	}
	session_begun(p, peer);
	engine_peer_save(peer, &record);
	r = manager_save_counters(m);
	if (r == 0 && p->slot != JOURNAL_NO_SLOT)
		journal_update(m->journal, p->slot, &record, sizeof(record));
	else if (r == 0)
		r = journal_add(m->journal, RECORD_PEER, &record, sizeof(record), &p->slot);
	if (r < 0)
		log_limited("the session with node %u would not survive a restart of the daemon: "
			    "%s",
			p->number, strerror(-r));
}

void manager_peer_free(void *userdata, EnginePeer *peer)
{
	Manager *m = userdata;
	ManagerPeer *p = of(peer);

	if (!p)
		return;
	journal_remove(m->journal, p->slot);
	p->slot = JOURNAL_NO_SLOT;
	manager_peer_disconnect(p);
	p->engine = NULL;
}

int manager_peer_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct engine_peer_record record;
	EnginePeer *peer;
	ManagerPeer *p;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	p = manager_peer_find(m, record.number);
	if (!p)
		return -EBADMSG;
	r = engine_peer_restore(m->engine, &record, manager_peers_now(), &peer);
	if (r < 0)
		return r;
	p->engine = peer;
	peer->userdata = p;
	p->slot = slot;
	p->incarnation = peer->incarnation;
	return 0;
}

int manager_peer_address(
	const EnginePeer *peer, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	const ManagerPeer *p = peer->userdata;
	const struct member *member;
	struct peer_address address = {.length = 0};

	if (!p)
		return -EHOSTUNREACH;
	member = membership_find(p->peers->members, p->number);
	if (!member || !resolve_address(member->host, member->port, &address))
		address = p->address;
	if (address.length == 0)
		return -EHOSTUNREACH;
	*ret_address = address.address;
	*ret_length = address.length;
	return 0;
}
