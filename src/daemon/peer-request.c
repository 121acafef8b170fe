/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/shm-peer.h"

/* What we ask other nodes' daemons, and who waits for the answer. */

/* An answer that does not come although the peer lives: it is busy, or hostile. */
#define ANSWER_TIMEOUT (10 * NSEC_PER_SEC)

typedef struct PeerRequest {
	ManagerPeer *peer;
	struct list link; /* peer->requests, or peers->finished_requests */
	bool sent;	  /* on the present connection */
	bool said;	  /* in the present session */
	struct wire_message message;
	peer_request_done done;
	void *userdata;
	uint64_t deadline; /* of the answer */
	sd_event_source *timer;
	int status; /* once it is finished */
	uint8_t tail[];
} PeerRequest;

/* Ends it, when the engine may be called. */
static void request_end(PeerRequest *q, int status, const struct wire_message *reply)
{
	ManagerPeer *p = q->peer;

	list_unlink(&q->link);
	sd_event_source_disable_unref(q->timer);
	q->done(q->userdata, status, reply);
	free(q);
	engine_peer_unwant(p->engine, manager_peers_now());
}

void peer_requests_tell(Peers *peers)
{
	PeerRequest *q;

	while ((q = list_first(&peers->finished_requests, PeerRequest, link)))
		request_end(q, q->status, NULL);
}

static void request_finish(PeerRequest *q, int status)
{
	Peers *peers = q->peer->peers;

	q->status = status;
	list_unlink(&q->link);
	list_append(&peers->finished_requests, &q->link);
	sd_event_source_set_enabled(q->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(peers->deferred, SD_EVENT_ONESHOT);
}

void peer_requests_fail(ManagerPeer *p, bool said, int status)
{
	PeerRequest *q, *tmp;

	list_for_each_safe (q, tmp, &p->requests, link)
		if (q->said || !said)
			request_finish(q, status);
}

/* It may end here. */
static void request_send(PeerRequest *q)
{
	if (!shm_peer_knows(q->peer, q->message.type))
		return request_finish(q, STATUS_NOT_SUPPORTED);
	q->sent = q->said = true;
	peer_link_send(q->peer->link, &q->message);
}

void peer_requests_send(ManagerPeer *p)
{
	PeerRequest *q, *tmp;

	list_for_each_safe (q, tmp, &p->requests, link)
		if (!q->sent)
			request_send(q);
}

void peer_requests_unsend(ManagerPeer *p)
{
	PeerRequest *q;

	list_for_each (q, &p->requests, link)
		q->sent = false;
}

/* A later version, or a hostile one, has others than we. */
static int status_of(const struct wire_message *reply)
{
	int status = (int)MIN(reply->status, (uint32_t)INT32_MAX);

	return status == 0 || wire_status_name(status) ? status : STATUS_NOT_SUPPORTED;
}

void peer_requests_answer(ManagerPeer *p, const struct wire_message *reply)
{
	PeerRequest *q;

	list_for_each (q, &p->requests, link) {
		if (!q->sent || q->message.serial != reply->serial)
			continue;
		if (reply->type == (q->message.type | WIRE_REPLY_BIT))
			request_end(q, status_of(reply), reply->status ? NULL : reply);
		return;
	}
}

/* Without a session the peer has the detection time to appear, with one it answers or is lost. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	PeerRequest *q = userdata;
	const EnginePeer *peer = q->peer->engine;
	uint64_t now = manager_peers_now(), next;

	next = MIN(MAX(peer->detection, NSEC_PER_MSEC), q->deadline - MIN(now, q->deadline));
	if (!peer->session)
		request_end(q, STATUS_NODE_UNREACHABLE, NULL);
	else if (now >= q->deadline)
		request_end(q, STATUS_TIMED_OUT, NULL);
	else if (sd_event_source_set_time_relative(source, next / NSEC_PER_USEC + 1) < 0 ||
		 sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		request_end(q, STATUS_NO_MEMORY, NULL);
	return 0;
}

static int request_new(ManagerPeer *p, const struct wire_message *message, uint64_t timeout,
	PeerRequest **ret_request)
{
	uint64_t detection = p->peers->manager->options.config->detection_time;
	PeerRequest *q = calloc(1, sizeof(*q) + message->tail_size);
	int r;

	if (!q)
		return -ENOMEM;
	q->peer = p;
	q->message = *message;
	q->message.serial = ++p->peers->serial;
	if (message->tail_size > 0)
		memcpy(q->tail, message->tail, message->tail_size);
	q->message.tail = q->tail;
	q->deadline = manager_peers_now() + timeout;
	r = sd_event_add_time_relative(p->peers->manager->event, &q->timer, CLOCK_MONOTONIC,
		MIN(detection, timeout) / NSEC_PER_USEC + 1, 1, on_timer, q);
	if (r < 0) {
		free(q);
		return r;
	}
	*ret_request = q;
	return 0;
}

int manager_peer_request_within(Manager *m, uint32_t node, const struct wire_message *message,
	uint64_t timeout, peer_request_done done, void *userdata)
{
	ManagerPeer *p = manager_peer_find(m, node);
	EnginePeer *peer;
	PeerRequest *q;
	int r;

	if (!p || !p->listed)
		return STATUS_NODE_UNKNOWN;
	r = engine_peer_get(m->engine, node, &peer);
	if (r == 0)
		r = request_new(p, message, timeout, &q);
	if (r)
		return r;
	p->engine = peer;
	peer->userdata = p;
	q->done = done;
	q->userdata = userdata;
	list_append(&p->requests, &q->link);
	engine_peer_want(peer, manager_peers_now());
	if (p->up)
		request_send(q);
	return 0;
}

int manager_peer_request(Manager *m, uint32_t node, const struct wire_message *message,
	peer_request_done done, void *userdata)
{
	uint64_t timeout = m->options.config->detection_time + ANSWER_TIMEOUT;

	return manager_peer_request_within(m, node, message, timeout, done, userdata);
}
