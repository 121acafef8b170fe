/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "daemon/data-tls.h"
#include "daemon/log.h"
#include "fabric/fabric.h"
#include "wire/status.h"

/*
 * How page links come about. The node that maps dials: with a grant that came with a map, or that
 * it has asked for (PEER_PAGES) because the link broke; until it needs none any more.
 */

#define PAUSE	   (100 * NSEC_PER_MSEC) /* between two attempts */
#define RETRY	   (20 * NSEC_PER_MSEC)	 /* after a link that broke */
#define GRANT_LIFE (10 * NSEC_PER_SEC)
#define GRANTS_MAX 4u /* of one node at a time */

/* --- the home's side --- */

struct page_grant {
	struct list link; /* coherent->grants, the oldest first */
	uint32_t node;
	uint64_t until;
	uint8_t bytes[16];
	uint8_t secret[PEER_KEY_SIZE];
};

static void grant_free(struct page_grant *g)
{
	list_unlink(&g->link);
	explicit_bzero(g, sizeof(*g));
	free(g);
}

/* Those that are too old, and the oldest of this node if it has too many. */
static void grants_thin(Coherent *c, uint32_t node)
{
	struct page_grant *g, *tmp, *oldest = NULL;
	unsigned int n = 0;

	list_for_each_safe (g, tmp, &c->grants, link) {
		if (g->until <= clock_now()) {
			grant_free(g);
		} else if (g->node == node) {
			oldest = oldest ? oldest : g;
			n++;
		}
	}
	if (n >= GRANTS_MAX)
		grant_free(oldest);
}

int coherent_grant_new(Manager *m, const EnginePeer *peer, uint8_t ret_grant[16])
{
	struct page_grant *g;
	int r = 0;

	if (manager_peer_data(peer) == WIRE_DATA_IMPOSSIBLE)
		return STATUS_NOT_ENCRYPTED;
	grants_thin(m->coherent, peer->number);
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	if (getrandom(g->bytes, sizeof(g->bytes), 0) != sizeof(g->bytes))
		r = -EIO;
	if (r == 0 && manager_peer_data(peer) == WIRE_DATA_ENCRYPTED)
		r = manager_peer_secret(peer, g->bytes, g->secret);
	if (r < 0) {
		free(g);
		return r;
	}
	g->node = peer->number;
	g->until = clock_now() + GRANT_LIFE;
	list_append(&m->coherent->grants, &g->link);
	memcpy(ret_grant, g->bytes, sizeof(g->bytes));
	return 0;
}

static struct page_grant *grant_find(Coherent *c, uint32_t node, const uint8_t grant[16])
{
	struct page_grant *g;
	uint8_t difference;

	list_for_each (g, &c->grants, link) {
		difference = 0;
		for (size_t i = 0; i < sizeof(g->bytes); i++)
			difference |= g->bytes[i] ^ grant[i];
		if (g->node == node && !difference && g->until > clock_now())
			return g;
	}
	return NULL;
}

bool coherent_link_secret(
	Manager *m, uint32_t node, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE])
{
	const struct page_grant *g = m->coherent ? grant_find(m->coherent, node, grant) : NULL;

	if (g)
		memcpy(ret_secret, g->secret, PEER_KEY_SIZE);
	return g;
}

bool coherent_link_arrived(Manager *m, int *fd, const EnginePeer *peer, const uint8_t grant[16])
{
	struct page_grant *g = m->coherent ? grant_find(m->coherent, peer->number, grant) : NULL;
	int r;

	if (!g)
		return false;
	grant_free(g);
	fabric_tcp_tune(*fd, (unsigned int)(peer->detection / NSEC_PER_MSEC),
		m->options.config->tcp_congestion);
	r = coherent_link_new(m->coherent, *fd, peer->number, false, peer);
	if (r < 0)
		log_limited(
			"a page link of node %u cannot be served: %s", peer->number, strerror(-r));
	else
		take_fd(fd);
	return true;
}

/* --- the importer's side --- */

struct page_dial {
	Manager *manager;
	struct list link; /* coherent->dials */
	uint32_t node;
	bool asked; /* the answer is on its way, and its question points here */
	bool dropped;
	int fd;
	bool encrypted;
	uint8_t grant[16], secret[PEER_KEY_SIZE];
	DataTls *tls;
	sd_event_source *io, *timer;
};

static void rest(struct page_dial *d)
{
	d->io = sd_event_source_disable_unref(d->io);
	d->timer = sd_event_source_disable_unref(d->timer);
	data_tls_free(d->tls);
	d->tls = NULL;
	explicit_bzero(d->secret, sizeof(d->secret));
	d->fd = closer_hang_up(d->fd);
}

static void dial_free(struct page_dial *d)
{
	rest(d);
	list_unlink(&d->link);
	list_init(&d->link);
	d->dropped = true;
	if (!d->asked)
		free(d);
}

static struct page_dial *dial_find(Coherent *c, uint32_t node)
{
	struct page_dial *d;

	list_for_each (d, &c->dials, link)
		if (d->node == node)
			return d;
	return NULL;
}

static bool is_linked(Coherent *c, uint32_t node)
{
	bool linked;

	coherent_lock(c);
	linked = coherent_link_find(c, node, true);
	coherent_unlock(c);
	return linked;
}

static void ask(struct page_dial *d);

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
	rest(userdata);
	ask(userdata);
	return 0;
}

/* Without memory for a timer: when something else is noted. */
static void pause_for(struct page_dial *d, uint64_t ns)
{
	rest(d);
	if (sd_event_add_time_relative(d->manager->event, &d->timer, CLOCK_MONOTONIC,
		    ns / NSEC_PER_USEC, 1, on_pause, d) < 0)
		dial_free(d);
}

static void failed(struct page_dial *d, const char *why)
{
	log_limited("no page link to node %u yet: %s", d->node, why);
	pause_for(d, PAUSE);
}

static void opened(struct page_dial *d)
{
	const EnginePeer *peer = engine_peer_find(d->manager->engine, d->node);
	int r = -ENOTCONN, fd = take_fd(&d->fd);

	/* nothing here looks at it any more: the page thread may close it at once */
	rest(d);
	if (peer && peer->session)
		r = coherent_link_new(d->manager->coherent, fd, d->node, true, peer);
	if (r < 0) {
		closer_hang_up(fd);
		failed(d, strerror(-r));
		return;
	}
	dial_free(d);
}

static void on_encrypted(void *userdata, int error)
{
	struct page_dial *d = userdata;

	if (error < 0)
		failed(d, strerror(-error));
	else
		opened(d);
}

static int begin_tls(struct page_dial *d)
{
	const struct data_tls_options options = {
		.event = d->manager->event,
		.fd = d->fd,
		.self = engine_node(d->manager->engine),
		.peer = d->node,
		.dialled = true,
		.secret = d->secret,
		.done = on_encrypted,
		.userdata = d,
	};

	d->io = sd_event_source_disable_unref(d->io);
	return data_tls_begin(&options, &d->tls);
}

static int say_hello(const struct page_dial *d)
{
	uint8_t hello[FABRIC_HELLO_SIZE];
	ssize_t n;

	fabric_hello_encode(hello, engine_node(d->manager->engine),
		d->encrypted ? FABRIC_HELLO_TLS : 0, d->grant);
	n = send(d->fd, hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return negative_errno();
	return n == sizeof(hello) ? 0 : -EIO;
}

static int stream_error(int fd)
{
	socklen_t size = sizeof(int);
	int error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? negative_errno() : -error;
}

static int on_connected(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct page_dial *d = userdata;
	int r = stream_error(fd);

	if (r == 0)
		r = say_hello(d);
	if (r == 0 && d->encrypted)
		r = begin_tls(d);
	else if (r == 0)
		opened(d);
	if (r < 0)
		failed(d, strerror(-r));
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	failed(userdata, "it takes too long to connect");
	return 0;
}

static int dial(struct page_dial *d)
{
	Manager *m = d->manager;
	const struct config *config = m->options.config;
	const EnginePeer *peer = engine_peer_find(m->engine, d->node);
	struct sockaddr_storage address;
	socklen_t size;
	int r;

	r = peer ? manager_peer_address(peer, &address, &size) : -EHOSTUNREACH;
	if (r < 0)
		return r;
	d->encrypted = manager_peer_data(peer) == WIRE_DATA_ENCRYPTED;
	if (d->encrypted)
		r = manager_peer_secret(peer, d->grant, d->secret);
	if (r < 0)
		return r;
	d->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return negative_errno();
	fabric_tcp_tune(
		d->fd, (unsigned int)(peer->detection / NSEC_PER_MSEC), config->tcp_congestion);
	if (connect(d->fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return negative_errno();
	r = sd_event_add_io(m->event, &d->io, d->fd, EPOLLOUT, on_connected, d);
	return r < 0 ? r
		     : sd_event_add_time_relative(m->event, &d->timer, CLOCK_MONOTONIC,
			       config->detection_time / NSEC_PER_USEC, 1, on_timeout, d);
}

static void dial_with(struct page_dial *d, const uint8_t grant[16])
{
	int r;

	memcpy(d->grant, grant, sizeof(d->grant));
	r = dial(d);
	if (r < 0)
		failed(d, strerror(-r));
}

static void on_answer(void *userdata, int status, const struct wire_message *reply)
{
	struct page_dial *d = userdata;

	d->asked = false;
	if (d->dropped) {
		free(d);
	} else if (status == STATUS_NOT_FOUND) {
		Manager *m = d->manager;
		uint32_t node = d->node;

		dial_free(d);
		coherent_guests_lose(m, node);
	} else if (status || !reply) {
		failed(d, wire_status_text(status));
	} else {
		dial_with(d, reply->peer_pages_reply.grant);
	}
}

static void ask(struct page_dial *d)
{
	const struct wire_message request = {.type = WIRE_PEER_PAGES};
	int r = manager_peer_request(d->manager, d->node, &request, on_answer, d);

	if (r)
		failed(d, r < 0 ? strerror(-r) : wire_status_text(r));
	else
		d->asked = true;
}

bool coherent_dial_wanted(Manager *m, uint32_t node)
{
	return !is_linked(m->coherent, node) && !dial_find(m->coherent, node);
}

void coherent_dial_need(Manager *m, uint32_t node, const uint8_t *grant)
{
	struct page_dial *d;

	if (!coherent_dial_wanted(m, node))
		return;
	d = calloc(1, sizeof(*d));
	if (!d)
		return;
	d->manager = m;
	d->node = node;
	d->fd = -1;
	list_append(&m->coherent->dials, &d->link);
	if (grant)
		dial_with(d, grant);
	else
		pause_for(d, RETRY);
}

/* The next node above whose segments are mapped here; 0: none. */
static uint32_t next_home(Coherent *c, uint32_t above)
{
	const CoherentPart *part;
	uint32_t node, next = 0;

	coherent_lock(c);
	list_for_each (part, &c->parts, link) {
		node = part->home ? 0 : container_of(part, const CoherentGuest, part)->node;
		if (node > above && !part->over && (!next || node < next))
			next = node;
	}
	coherent_unlock(c);
	return next;
}

static void hang_up(Coherent *c)
{
	CoherentLink *l;

	coherent_lock(c);
	list_for_each (l, &c->links, link)
		if (l->dialled && !coherent_guests_need(c, l->node) &&
			!coherent_opens_need(c, l->node))
			coherent_link_break(l);
	coherent_unlock(c);
}

void coherent_dials_look(Manager *m)
{
	struct page_dial *d, *tmp;
	uint32_t node = 0;

	hang_up(m->coherent);
	list_for_each_safe (d, tmp, &m->coherent->dials, link)
		if (!coherent_guests_need(m->coherent, d->node))
			dial_free(d);
	while ((node = next_home(m->coherent, node)))
		coherent_dial_need(m, node, NULL);
}

/* Links are of a session. Grants and attempts begin anew; who needs them asks again. */
void coherent_dials_session_changed(Manager *m, const EnginePeer *peer)
{
	struct page_dial *d = dial_find(m->coherent, peer->number);
	struct page_grant *g, *tmp;

	if (d)
		dial_free(d);
	list_for_each_safe (g, tmp, &m->coherent->grants, link)
		if (g->node == peer->number)
			grant_free(g);
	coherent_links_cut(m->coherent, peer->number, peer->session);
	coherent_note(m->coherent);
}
