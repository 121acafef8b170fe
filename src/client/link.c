/* SPDX-License-Identifier: Apache-2.0 */
#include "client/link-private.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "client/fork.h"
#include "memory/uffd.h"
#include "wire/status.h"

/* The current link of the process; the lock also makes sure that only one thread opens one. */
static struct {
	pthread_mutex_t lock;
	struct cw_link *link;
} current = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Every link of the process, for fork: objects may hold one that is not current any more. */
static struct {
	pthread_mutex_t lock;
	struct list links;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .links = {&all.links, &all.links}};

struct cw_link *cw_link_ref(struct cw_link *link)
{
	atomic_fetch_add(&link->refs, 1);
	return link;
}

static void unmap_page(const void *page, size_t size)
{
	if (page)
		munmap((void *)page, size);
}

void cw_link_put(struct cw_link *link)
{
	if (!link || atomic_fetch_sub(&link->refs, 1) != 1)
		return;
	pthread_mutex_lock(&all.lock);
	list_unlink(&link->all);
	pthread_mutex_unlock(&all.lock);
	fd_close(link->sock);
	fd_close(atomic_load(&link->uffd));
	fd_close(link->uffd_device);
	unmap_page(link->node_page, sizeof(*link->node_page));
	unmap_page(link->status_page, sizeof(*link->status_page));
	unmap_page(link->client_page, sizeof(*link->client_page));
	pthread_mutex_destroy(&link->lock);
	pthread_mutex_destroy(&link->map_lock);
	free(link->free_maps);
	free(link);
}

DEFINE_CLEANUP(struct cw_link *, cw_link_put);

static struct cw_link *link_new(void)
{
	struct cw_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->refs = 1;
	link->sock = link->uffd_device = -1;
	atomic_init(&link->uffd, -1);
	pthread_mutex_init(&link->lock, NULL);
	pthread_mutex_init(&link->map_lock, NULL);
	pthread_mutex_lock(&all.lock);
	list_append(&all.links, &link->all);
	pthread_mutex_unlock(&all.lock);
	return link;
}

static int link_open(struct cw_link **ret_link)
{
	_cleanup_(cw_link_put_p) struct cw_link *link = link_new();
	int r;

	if (!link)
		return -ENOMEM;
	r = cw_fork_watch();
	if (r < 0)
		return r;
	r = link_meet(link);
	if (r)
		return r;
	*ret_link = take_ptr(link);
	return 0;
}

int cw_link_get(struct cw_link **ret_link)
{
	int r = 0;

	pthread_mutex_lock(&current.lock);
	if (current.link &&
		(atomic_load(&current.link->lost) ||
			(cw_link_suspect(current.link) && cw_link_is_lost(current.link)))) {
		cw_link_put(current.link);
		current.link = NULL;
	}
	if (!current.link)
		r = link_open(&current.link);
	if (!r)
		*ret_link = cw_link_ref(current.link);
	pthread_mutex_unlock(&current.lock);
	return r;
}

/* requests */

/* Nobody answers a fault any more: whoever waits for one goes on, with zeros where the memory is
 * not here. */
static void release_maps(struct cw_link *link)
{
	fd_close(atomic_exchange(&link->uffd, -1));
}

static void mark_lost(struct cw_link *link)
{
	atomic_store(&link->lost, true);
	release_maps(link);
}

bool cw_link_is_lost(struct cw_link *link)
{
	struct pollfd p = {.fd = link->sock};

	if (atomic_load(&link->lost))
		return true;
	if (atomic_load(&link->inherited))
		return false;
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR | POLLNVAL))
		mark_lost(link);
	return atomic_load(&link->lost);
}

/* The packet whose descriptors were cut off, because this process can have no more of them. */
static int decode_cut(struct cw_reply *reply)
{
	const uint8_t *p = reply->packet;
	size_t size = p[0] | p[1] << 8 | (size_t)p[2] << 16;

	reply->n_fds = 0;
	if (size > sizeof(reply->packet) || wire_decode(p, size, &reply->message) < 0)
		return STATUS_VERSION;
	return STATUS_NO_RESOURCES;
}

int link_receive(int sock, struct cw_reply *reply)
{
	uint64_t end = 0;
	ssize_t n;

	/* each signal begins the socket's timeout anew: from the first one on we count ourselves */
	while ((n = fd_recv(sock, reply->packet, sizeof(reply->packet), reply->fds, &reply->n_fds,
			0)) == -EINTR) {
		uint64_t now = clock_now();

		if (!end)
			end = now + link_request_timeout();
		else if (now > end)
			return STATUS_TIMED_OUT;
	}
	if (n == -EAGAIN)
		return STATUS_TIMED_OUT;
	if (n == -EMSGSIZE || n == -EMFILE)
		return decode_cut(reply);
	if (n <= 0)
		return STATUS_NODE_LOST;
	if (wire_decode(reply->packet, (size_t)n, &reply->message) < 0) {
		fd_close_many(reply->fds, reply->n_fds);
		return STATUS_VERSION;
	}
	return 0;
}

static int send_packet(
	struct cw_link *link, const void *packet, size_t len, const int *fds, unsigned int n_fds)
{
	int r = fd_send(link->sock, packet, len, fds, n_fds, 0);

	if (r == -EAGAIN)
		return STATUS_TIMED_OUT;
	if (r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN) {
		mark_lost(link);
		return STATUS_NODE_LOST;
	}
	return r;
}

/* After a restart of the daemon: what it may not have seen, in the old order. */
static int resend_oneway(struct cw_link *link)
{
	for (uint32_t i = 0; i < link->n_oneway; i++) {
		int r = send_packet(link, link->oneway[i].packet, link->oneway[i].len, NULL, 0);

		if (r)
			return r;
	}
	link->starts = link->node_page->starts;
	return 0;
}

static void give_up(struct cw_link *link, uint64_t serial)
{
	link->given_up[link->n_given_up++ % LINK_GIVEN_UP_MAX] = serial;
}

static bool was_given_up(const struct cw_link *link, uint64_t serial)
{
	for (uint32_t i = 0; i < MIN(link->n_given_up, LINK_GIVEN_UP_MAX); i++)
		if (link->given_up[i] == serial)
			return true;
	return false;
}

/* An answer that nobody waits for. What it brings a call that gave up is given back. */
static void discard(struct cw_link *link, struct cw_reply *reply)
{
	struct wire_message m = {.flags = WIRE_ONEWAY}, *got = &reply->message;
	uint8_t packet[LINK_ONEWAY_SIZE];
	ssize_t n;

	fd_close_many(reply->fds, reply->n_fds);
	if (got->status || !was_given_up(link, got->serial))
		return;
	if (got->type == WIRE_IMPORT_CONNECT_REPLY) {
		m.type = WIRE_IMPORT_DISCONNECT;
		m.import_disconnect.import = got->import_connect_reply.import;
	} else if (got->type == WIRE_SEGMENT_CREATE_REPLY) {
		m.type = WIRE_SEGMENT_DESTROY;
		m.segment_destroy.segment = got->segment_create_reply.segment;
	} else {
		return;
	}
	m.serial = ++link->serial;
	n = wire_encode(&m, packet, sizeof(packet));
	if (n > 0)
		send_packet(link, packet, (size_t)n, NULL, 0);
}

static int await_reply(struct cw_link *link, const struct wire_message *request, const void *packet,
	size_t len, const int *fds, unsigned int n_fds, struct cw_reply *reply)
{
	for (;;) {
		int r = link_receive(link->sock, reply);

		if (r) {
			if (r == STATUS_NODE_LOST)
				mark_lost(link);
			else
				give_up(link, request->serial);
			if (r == STATUS_NO_RESOURCES)
				discard(link, reply);
			return r;
		}
		if (reply->message.type == WIRE_RESEND) {
			fd_close_many(reply->fds, reply->n_fds);
			r = resend_oneway(link);
			if (!r)
				r = send_packet(link, packet, len, fds, n_fds);
			if (r) {
				give_up(link, request->serial);
				return r;
			}
		} else if (reply->message.serial != request->serial) {
			discard(link, reply);
		} else {
			return 0;
		}
	}
}

static int ready_locked(struct cw_link *link)
{
	int r;

	if (atomic_load(&link->inherited))
		return STATUS_FORKED;
	if (atomic_load(&link->lost))
		return STATUS_NODE_LOST;
	if (unlikely(link->uid != geteuid() || link->gid != getegid())) {
		r = link_meet_again(link);
		return r ? r : resend_oneway(link);
	}
	if (unlikely(link->starts != link->node_page->starts && link->n_oneway))
		return resend_oneway(link);
	return 0;
}

static int call_locked(struct cw_link *link, struct wire_message *request, const int *fds,
	unsigned int n_fds, struct cw_reply *reply)
{
	uint8_t packet[2048]; /* no request is larger */
	ssize_t n;
	int r;

	r = ready_locked(link);
	if (r)
		return r;
	request->serial = ++link->serial;
	n = wire_encode(request, packet, sizeof(packet));
	if (n < 0)
		return -EINVAL;
	r = send_packet(link, packet, (size_t)n, fds, n_fds);
	if (!r)
		r = await_reply(link, request, packet, (size_t)n, fds, n_fds, reply);
	if (r)
		return r;
	link->n_oneway = 0;
	if (reply->message.status) {
		fd_close_many(reply->fds, reply->n_fds);
		reply->n_fds = 0;
	}
	return (int)reply->message.status;
}

int cw_link_call(struct cw_link *link, struct wire_message *request, const int *fds,
	unsigned int n_fds, struct cw_reply *ret_reply)
{
	int r;

	pthread_mutex_lock(&link->lock);
	r = call_locked(link, request, fds, n_fds, ret_reply);
	pthread_mutex_unlock(&link->lock);
	return r;
}

int cw_link_call_for_fd(
	struct cw_link *link, struct wire_message *request, struct cw_reply *ret_reply)
{
	int r = cw_link_call(link, request, NULL, 0, ret_reply);

	if (!r && ret_reply->n_fds != 1) {
		fd_close_many(ret_reply->fds, ret_reply->n_fds);
		r = STATUS_VERSION;
	}
	return r;
}

static int post_locked(struct cw_link *link, struct wire_message *request)
{
	uint8_t *packet;
	ssize_t n;
	int r;

	r = ready_locked(link);
	if (r)
		return r;
	if (link->n_oneway == LINK_ONEWAY_MAX) {
		struct wire_message ping = {.type = WIRE_PING};
		_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

		r = reply ? call_locked(link, &ping, NULL, 0, reply) : -ENOMEM;
		if (r)
			return r;
	}
	request->flags |= WIRE_ONEWAY;
	request->serial = ++link->serial;
	packet = link->oneway[link->n_oneway].packet;
	n = wire_encode(request, packet, LINK_ONEWAY_SIZE);
	if (n < 0)
		return -EINVAL;
	r = send_packet(link, packet, (size_t)n, NULL, 0);
	if (r)
		return r;
	link->oneway[link->n_oneway++].len = (uint16_t)n;
	return 0;
}

int cw_link_post(struct cw_link *link, struct wire_message *request)
{
	int r;

	pthread_mutex_lock(&link->lock);
	r = post_locked(link, request);
	pthread_mutex_unlock(&link->lock);
	return r;
}

void cw_link_watch(struct cw_link *link)
{
	struct wire_message m = {.type = WIRE_WATCH};
	struct cw_reply *reply;
	enum uffd_kind kind;
	int uffd;

	if (likely(atomic_load(&link->uffd_tried)))
		return;
	pthread_mutex_lock(&link->lock);
	if (!atomic_exchange(&link->uffd_tried, true) && !link->inherited) {
		reply = malloc(sizeof(*reply));
		if (reply && uffd_new(link->uffd_device, &kind, &uffd) == 0) {
			atomic_store(&link->uffd, uffd);
			(void)call_locked(link, &m, &uffd, 1, reply);
		}
		free(reply);
	}
	pthread_mutex_unlock(&link->lock);
}

/* fork */

void cw_link_fork_prepare(void)
{
	struct cw_link *link;

	pthread_mutex_lock(&current.lock);
	pthread_mutex_lock(&all.lock);
	list_for_each (link, &all.links, all) {
		/* a fork waits until somebody has heard of it, if maps are watched */
		if (cw_link_suspect(link))
			(void)cw_link_is_lost(link);
		pthread_mutex_lock(&link->lock);
		pthread_mutex_lock(&link->map_lock);
	}
}

static void unlock_all(void)
{
	struct cw_link *link;

	list_for_each (link, &all.links, all) {
		pthread_mutex_unlock(&link->map_lock);
		pthread_mutex_unlock(&link->lock);
	}
	pthread_mutex_unlock(&all.lock);
	pthread_mutex_unlock(&current.lock);
}

void cw_link_fork_parent(void)
{
	unlock_all();
}

void cw_link_fork_child(void)
{
	struct cw_link *link, *mine = current.link;

	list_for_each (link, &all.links, all) {
		atomic_store(&link->inherited, true);
		link->sock = fd_close(link->sock);
		release_maps(link);
		link->uffd_device = fd_close(link->uffd_device);
	}
	current.link = NULL;
	unlock_all();
	cw_link_put(mine);
}

/* the interface for requests without an object */

int cw_connect(struct cw_node *ret_node)
{
	struct cw_link *link;
	int r = cw_link_get(&link);

	if (r)
		return r;
	if (ret_node)
		*ret_node = link->node;
	cw_link_put(link);
	return 0;
}

int cw_call(struct wire_message *request, const int *fds, unsigned int n_fds,
	struct cw_reply *ret_reply)
{
	_cleanup_(cw_link_put_p) struct cw_link *link = NULL;
	int r = cw_link_get(&link);

	return r ? r : cw_link_call(link, request, fds, n_fds, ret_reply);
}

int cw_post(struct wire_message *request)
{
	_cleanup_(cw_link_put_p) struct cw_link *link = NULL;
	int r = cw_link_get(&link);

	return r ? r : cw_link_post(link, request);
}
