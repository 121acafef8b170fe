/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/route-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/manager-peer.h"
#include "fabric/fabric.h"
#include "wire/status.h"

/* How a route gets a stream, and another one when that broke: a grant, then the connection. */

#define PAUSE	    (100 * NSEC_PER_MSEC) /* between two streams of a route */
#define LOOK	    NSEC_PER_SEC
#define RECORDS_MAX 23726566u /* 2^24.5, RFC 8446 5.5 */

/* Whatever was under way to another stream. */
void route_rest(Route *r)
{
	r->io = sd_event_source_disable_unref(r->io);
	r->timer = sd_event_source_disable_unref(r->timer);
	data_tls_free(r->tls);
	r->tls = NULL;
	explicit_bzero(r->secret, sizeof(r->secret));
	r->step = ROUTE_RESTING;
}

/* When that cannot be now */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* Without memory for a timer there is no way on. */
static void pause_for(Route *r, uint64_t ns)
{
	route_rest(r);
	r->step = ROUTE_PAUSING;
	if (sd_event_add_time_relative(route_manager(r)->event, &r->timer, CLOCK_MONOTONIC,
		    ns / NSEC_PER_USEC, 1, on_timer, r) < 0)
		route_give_up(r);
}

static void failed(Route *r, const char *why)
{
	uint64_t patience = route_manager(r)->options.config->detection_time;

	route_rest(r);
	route_drop_stream(r);
	if (r->since && clock_now() - r->since >= patience) {
		log_limited("no data connection to node %u for client %d: %s", r->node,
			r->client->identity.pid, why);
		route_give_up(r);
	} else {
		pause_for(r, PAUSE);
	}
}

/* Wear: clients leave an encrypted stream before this, if their library is of today. */

static int on_wear(sd_event_source *source, uint64_t usec, void *userdata)
{
	Route *r = userdata;

	if (fabric_tcp_records(r->fd) >= RECORDS_MAX)
		route_renew(r, r->generation);
	else if (sd_event_source_set_time_relative(source, LOOK / NSEC_PER_USEC) < 0 ||
		 sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		route_give_up(r);
	return 0;
}

void route_watch_wear(Route *r)
{
	if (r->encrypted && sd_event_add_time_relative(route_manager(r)->event, &r->wear,
				    CLOCK_MONOTONIC, LOOK / NSEC_PER_USEC, 0, on_wear, r) < 0)
		route_give_up(r);
}

/* Dialling */

static void opened(Route *r)
{
	ManagerImport *i, *tmp;

	route_rest(r);
	r->state = WIRE_ROUTE_OPEN;
	r->since = 0;
	r->opened = clock_now();
	r->used = true;
	route_store(r);
	route_save(r);
	route_show(r);
	list_for_each_safe (i, tmp, &r->imports, route_link)
		if (i->engine->state == WIRE_IMPORT_PENDING && i->engine->granted)
			engine_import_ready(i->engine);
	route_watch_wear(r);
}

static int stream_error(int fd)
{
	socklen_t size = sizeof(int);
	int error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? negative_errno() : -error;
}

static int say_hello(const Route *r)
{
	uint8_t hello[FABRIC_HELLO_SIZE];
	ssize_t n;

	fabric_hello_encode(hello, engine_node(route_manager(r)->engine),
		r->encrypted ? FABRIC_HELLO_TLS : 0, r->grant);
	n = send(r->fd, hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return negative_errno();
	return n == sizeof(hello) ? 0 : -EIO;
}

static void on_encrypted(void *userdata, int error)
{
	Route *r = userdata;

	if (error == -EACCES)
		failed(r, "it does not know the secret of its grant");
	else if (error == -EOPNOTSUPP)
		failed(r, "this kernel has no TLS any more");
	else if (error < 0)
		failed(r, strerror(-error));
	else
		opened(r);
}

/* The timer goes on. */
static int begin_tls(Route *r)
{
	const struct data_tls_options options = {
		.event = route_manager(r)->event,
		.fd = r->fd,
		.self = engine_node(route_manager(r)->engine),
		.peer = r->node,
		.dialled = true,
		.secret = r->secret,
		.done = on_encrypted,
		.userdata = r,
	};

	r->io = sd_event_source_disable_unref(r->io);
	return data_tls_begin(&options, &r->tls);
}

static int on_connected(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Route *r = userdata;
	int e = stream_error(fd);

	if (e == 0)
		e = say_hello(r);
	if (e == 0 && r->encrypted)
		e = begin_tls(r);
	else if (e == 0)
		opened(r);
	if (e < 0)
		failed(r, strerror(-e));
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Route *r = userdata;

	if (r->step == ROUTE_DIALLING)
		failed(r, "it takes too long to connect");
	else
		route_ask(r);
	return 0;
}

static int dial(Route *r)
{
	Manager *m = route_manager(r);
	const struct config *config = m->options.config;
	const EnginePeer *peer = route_peer(r);
	struct sockaddr_storage address;
	socklen_t size;
	int e;

	e = peer ? manager_peer_address(peer, &address, &size) : -EHOSTUNREACH;
	if (e < 0)
		return e;
	r->encrypted = manager_peer_data(peer) == WIRE_DATA_ENCRYPTED;
	if (r->encrypted)
		e = manager_peer_secret(peer, r->grant, r->secret);
	if (e < 0)
		return e;
	r->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0)
		return negative_errno();
	fabric_tcp_tune(
		r->fd, (unsigned int)(peer->detection / NSEC_PER_MSEC), config->tcp_congestion);
	if (connect(r->fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return negative_errno();
	e = sd_event_add_io(m->event, &r->io, r->fd, EPOLLOUT, on_connected, r);
	return e < 0 ? e
		     : sd_event_add_time_relative(m->event, &r->timer, CLOCK_MONOTONIC,
			       config->detection_time / NSEC_PER_USEC, 1, on_timer, r);
}

void route_dial(Route *r, const uint8_t grant[16])
{
	int e;

	route_rest(r);
	r->step = ROUTE_DIALLING;
	memcpy(r->grant, grant, sizeof(r->grant));
	e = dial(r);
	if (e < 0)
		failed(r, strerror(-e));
}

/* Asking. The route may be gone, or want something else, when the answer comes. */
struct question {
	Manager *manager;
	uint64_t client;
	uint32_t route, generation;
};

static Route *find_asked(const struct question *q)
{
	ManagerClient *c = manager_client_find(q->manager, q->client);
	Route *r = c ? idtable_get(&c->routes, q->route) : NULL;

	return r && r->step == ROUTE_ASKED && r->generation == q->generation ? r : NULL;
}

static void take_grant(Route *r, const struct wire_peer_data_reply *p)
{
	if (p->done && !r->used) {
		/* counted from before this route: the client's path could not go on from there */
		route_give_up(r);
		return;
	}
	r->done = p->done;
	route_dial(r, p->grant);
}

static void on_answer(void *userdata, int status, const struct wire_message *reply)
{
	_cleanup_free_ struct question *q = userdata;
	Route *r = find_asked(q);

	if (!r)
		return;
	route_rest(r);
	if (!r->since)
		r->since = clock_now();
	if (status == STATUS_NOT_FOUND || status == STATUS_NOT_ENCRYPTED)
		route_give_up(r);
	else if (status || !reply)
		failed(r, wire_status_text(status));
	else
		take_grant(r, &reply->peer_data_reply);
}

static int question_send(Route *r)
{
	const struct wire_message request = {
		.type = WIRE_PEER_DATA, .peer_data = {.client = r->client->engine->id}};
	struct question *q = malloc(sizeof(*q));
	int e;

	if (!q)
		return -ENOMEM;
	*q = (struct question){route_manager(r), r->client->engine->id, r->index, r->generation};
	e = manager_peer_request(route_manager(r), r->node, &request, on_answer, q);
	if (e)
		free(q);
	return e;
}

void route_ask(Route *r)
{
	int e;

	route_rest(r);
	e = question_send(r);
	if (e == 0) {
		r->step = ROUTE_ASKED;
		return;
	}
	if (!r->since)
		r->since = clock_now();
	failed(r, e < 0 ? strerror(-e) : wire_status_text(e));
}

/* Renewing */

void route_renew(Route *r, uint32_t generation)
{
	uint64_t now = clock_now();

	if (r->state != WIRE_ROUTE_OPEN || r->generation != generation)
		return;
	r->state = WIRE_ROUTE_OPENING;
	r->generation = route_generation_after(generation);
	route_save(r);
	route_show(r);
	route_drop_stream(r);
	if (now - r->opened < PAUSE)
		pause_for(r, PAUSE - (now - r->opened));
	else
		route_ask(r);
}
