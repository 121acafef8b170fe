/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "daemon/log.h"
#include "fabric/fabric.h"

/*
 * Page links: frames in and out. Nobody waits for a peer: what cannot be sent at once is kept, up
 * to a bound. Above OUT_MANY nothing more is read from a link, and what was read waits, so that
 * nothing more is asked for; what others cause there is little, and above OUT_MAX the link is cut.
 */

#define IN_SIZE	      (PAGE_HEADER_SIZE + PAGE_RUN_MAX * PAGE_BYTES) /* the largest frame */
#define IN_MIN	      16384u
#define OUT_MIN	      65536u
#define OUT_MANY      (4u << 20)
#define OUT_MAX	      (64u << 20)
#define OUT_PIECE     32u /* pages that are copied and sent at once */
#define READS	      4u  /* of one link a turn */
#define FRAME_TIMEOUT (2 * NSEC_PER_SEC)

/* Sending */

static void want(CoherentLink *l, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = l};

	if (events == l->events || l->broken)
		return;
	l->events = events;
	(void)epoll_ctl(l->coherent->epoll, EPOLL_CTL_MOD, l->fd, &e);
}

static size_t unsent(const CoherentLink *l)
{
	return l->out_end - l->out_at;
}

static bool is_full(const CoherentLink *l)
{
	return unsent(l) >= OUT_MANY;
}

static void choose_events(CoherentLink *l)
{
	want(l, (is_full(l) ? 0u : EPOLLIN) | (unsent(l) || l->waits ? EPOLLOUT : 0u));
}

static void all_sent(CoherentLink *l)
{
	l->out_at = l->out_end = l->stalled = 0;
	if (l->out_size <= 2 * OUT_MANY)
		return;
	free(l->out);
	l->out = NULL;
	l->out_size = 0;
}

/* Something has begun that must not take too long. */
static void look_soon(CoherentLink *l)
{
	Coherent *c = l->coherent;

	c->look = MIN(c->look, c->now + MIN(FRAME_TIMEOUT, l->detection) / 2);
}

void coherent_link_flush(CoherentLink *l)
{
	uint64_t now = l->coherent->now;
	ssize_t n;

	if (l->broken)
		return;
	while (unsent(l)) {
		n = send(l->fd, l->out + l->out_at, unsent(l), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		l->out_at += (size_t)n;
		l->stalled = now;
	}
	if (unsent(l) && errno != EAGAIN && errno != EINTR) {
		coherent_link_break(l);
		return;
	}
	if (!unsent(l)) {
		all_sent(l);
	} else if (!l->stalled) {
		l->stalled = now;
		look_soon(l);
	}
	choose_events(l);
}

/* Room for n bytes at the end. */
static int make_room(CoherentLink *l, size_t n)
{
	size_t size = MAX(l->out_size, (size_t)OUT_MIN);
	uint8_t *grown;

	if (l->out_size - l->out_end >= n)
		return 0;
	if (unsent(l) && l->out_at)
		memmove(l->out, l->out + l->out_at, unsent(l));
	l->out_end = unsent(l);
	l->out_at = 0;
	if (l->out_end + n > OUT_MAX)
		return -ENOBUFS;
	while (size < l->out_end + n)
		size *= 2;
	if (size == l->out_size)
		return 0;
	grown = realloc(l->out, size);
	if (!grown)
		return -ENOMEM;
	l->out = grown;
	l->out_size = size;
	return 0;
}

static int read_content(const struct page_store *store, enum coherent_content content,
	uint64_t page, void *data, size_t n)
{
	uint64_t offset = page << PAGE_SIZE_SHIFT;

	return content == COHERENT_ASIDE ? page_store_read_aside(store, offset, data, n)
					 : page_store_read(store, offset, data, n);
}

/* Much is sent while it is in the processor's cache, and the peer has something to do. */
static int add_content(CoherentLink *l, const struct page_message *message,
	const struct page_store *store, enum coherent_content content)
{
	for (unsigned int i = 0, n; i < message->n && !l->broken; i += n) {
		int r;

		n = MIN(message->n - i, OUT_PIECE);
		r = make_room(l, n * PAGE_BYTES);
		if (r == 0)
			r = read_content(store, content, message->page + i, l->out + l->out_end,
				n * PAGE_BYTES);
		if (r < 0)
			return r;
		l->out_end += n * PAGE_BYTES;
		if (n == OUT_PIECE && !l->stalled)
			coherent_link_flush(l);
	}
	return 0;
}

void coherent_link_send(CoherentLink *l, const struct page_message *message,
	const struct page_store *store, enum coherent_content content)
{
	int r;

	if (!l || l->broken)
		return;
	r = make_room(l, PAGE_HEADER_SIZE);
	if (r == 0) {
		page_message_encode(message, l->out + l->out_end);
		l->out_end += PAGE_HEADER_SIZE;
		if (list_empty(&l->unsent))
			list_append(&l->coherent->unsent, &l->unsent);
	}
	if (r == 0 && page_message_content(message))
		r = add_content(l, message, store, content);
	if (r < 0) {
		log_limited("the page link with node %u is cut off: %s", l->node, strerror(-r));
		coherent_link_break(l);
	}
}

/* Receiving */

static int dispatch(CoherentLink *l, const struct page_message *message, const void *content)
{
	if (page_message_is_to_home(message) == l->dialled)
		return -EBADMSG;
	return l->dialled ? coherent_guest_receive(l->coherent, l, message, content)
			  : coherent_home_receive(l->coherent, l, message, content);
}

/* The frame at the beginning of what has come: its size, 0 if it is not all there, -EBADMSG. */
static ssize_t frame(const uint8_t *at, size_t n, struct page_message *ret_message)
{
	size_t size;
	int r;

	if (n < PAGE_HEADER_SIZE)
		return 0;
	r = page_message_decode(at, ret_message);
	if (r < 0)
		return r;
	size = PAGE_HEADER_SIZE + page_message_content(ret_message);
	return size <= n ? (ssize_t)size : 0;
}

static int deliver(CoherentLink *l)
{
	struct page_message message;
	ssize_t size = 0;
	size_t at = 0;
	int r = 0;

	while (r == 0 && !l->broken && !is_full(l) &&
		(size = frame(l->in + at, l->n_in - at, &message)) > 0) {
		r = dispatch(l, &message, l->in + at + PAGE_HEADER_SIZE);
		at += (size_t)size;
	}
	l->n_in -= at;
	if (at)
		memmove(l->in, l->in + at, l->n_in);
	l->waits = l->n_in && is_full(l);
	if (!l->n_in || l->waits) {
		l->partial = 0;
	} else if (!l->partial || at) {
		l->partial = l->coherent->now;
		look_soon(l);
	}
	return size < 0 ? (int)size : r;
}

/* Not what is behind a large frame: it would have to be moved. */
static size_t wanted(const CoherentLink *l)
{
	size_t size = IN_SIZE;
	struct page_message m;

	if (l->n_in >= PAGE_HEADER_SIZE && page_message_decode(l->in, &m) == 0)
		size = MAX(PAGE_HEADER_SIZE + page_message_content(&m), (size_t)IN_MIN);
	return size - l->n_in;
}

/* Bytes; 0: there are none now; negative: never again. */
static ssize_t read_some(CoherentLink *l)
{
	ssize_t n = recv(l->fd, l->in + l->n_in, wanted(l), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	l->n_in += (size_t)n;
	return n;
}

/* What has come, or has waited. Returns false when there is nothing more now. */
static bool receive(CoherentLink *l)
{
	ssize_t n = l->waits ? 0 : read_some(l);
	Coherent *c = l->coherent;
	bool more;
	int r = 0;

	if (n == 0 && !l->waits)
		return false;
	coherent_lock(c);
	if (n >= 0)
		r = deliver(l);
	if (r)
		log_limited(
			"the page link with node %u is cut off: it breaks the protocol", l->node);
	if (n < 0 || r)
		coherent_link_break(l);
	coherent_link_flush(l);
	more = !l->broken && !is_full(l);
	coherent_unlock(c);
	return more;
}

void coherent_link_ready(CoherentLink *l, uint32_t events)
{
	Coherent *c = l->coherent;

	if (events & EPOLLOUT) {
		coherent_lock(c);
		coherent_link_flush(l);
		coherent_unlock(c);
	}
	if (events & ~EPOLLOUT || l->waits)
		for (unsigned int i = 0; i < READS && !l->broken && receive(l); i++)
			;
}

/* Time */

/* A link that has carried as much as its keys may is left for another one. */
static bool is_worn(const CoherentLink *l)
{
	uint32_t max = l->coherent->manager->options.config->data_key_records;

	return fabric_tcp_is_encrypted(l->fd) && fabric_tcp_records(l->fd) >= max;
}

static const char *trouble_of(const CoherentLink *l)
{
	uint64_t now = l->coherent->now;

	if (l->partial && now - l->partial > FRAME_TIMEOUT)
		return "half a frame came";
	if (l->stalled && now - l->stalled > 2 * l->detection)
		return "what is sent to it is not read";
	return NULL;
}

void coherent_links_look(Coherent *c)
{
	CoherentLink *l;

	list_for_each (l, &c->links, link) {
		const char *trouble;

		/* who is not listened to need not go on */
		if (l->partial && !(l->events & EPOLLIN))
			l->partial = c->now;
		trouble = l->broken ? NULL : trouble_of(l);
		if (trouble)
			log_limited("the page link with node %u is cut off: %s", l->node, trouble);
		if (trouble || is_worn(l))
			coherent_link_break(l);
		else if (l->partial || l->stalled || fabric_tcp_is_encrypted(l->fd))
			look_soon(l);
	}
}

/* Beginning and end */

CoherentLink *coherent_link_find(Coherent *c, uint32_t node, bool dialled)
{
	CoherentLink *l;

	list_for_each (l, &c->links, link)
		if (l->node == node && l->dialled == dialled && !l->broken)
			return l;
	return NULL;
}

void coherent_link_break(CoherentLink *l)
{
	Coherent *c = l->coherent;

	if (l->broken)
		return;
	l->broken = true;
	list_unlink(&l->unsent);
	list_append(&c->unsent, &l->unsent);
	shutdown(l->fd, SHUT_RDWR);
	coherent_wake(c);
	coherent_note(c);
}

/* Not in the midst of what a pager or a directory does. */
static void tell(CoherentLink *l, bool up)
{
	if (l->dialled)
		coherent_guests_link(l->coherent, l->node, up);
	else
		coherent_homes_link(l->coherent, l->node, up);
}

bool coherent_links_settle(Coherent *c)
{
	CoherentLink *l = list_first(&c->unsent, CoherentLink, unsent);

	if (!l)
		return false;
	list_unlink(&l->unsent);
	if (!l->broken)
		coherent_link_flush(l);
	else if (!l->told)
		tell(l, false);
	l->told = l->broken;
	return true;
}

void coherent_links_cut(Coherent *c, uint32_t node, uint64_t session)
{
	CoherentLink *l;

	coherent_lock(c);
	list_for_each (l, &c->links, link)
		if (l->node == node && l->session != session)
			coherent_link_break(l);
	coherent_unlock(c);
}

static void link_free(CoherentLink *l)
{
	list_unlink(&l->link);
	list_unlink(&l->unsent);
	(void)epoll_ctl(l->coherent->epoll, EPOLL_CTL_DEL, l->fd, NULL);
	closer_hang_up(l->fd);
	free(l->out);
	free(l->in);
	free(l);
}

void coherent_links_reap(Coherent *c)
{
	CoherentLink *l, *tmp;

	list_for_each_safe (l, tmp, &c->links, link)
		if (l->broken && l->told)
			link_free(l);
}

static CoherentLink *link_alloc(Coherent *c)
{
	CoherentLink *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->in = malloc(IN_SIZE);
	if (!l->in) {
		free(l);
		return NULL;
	}
	l->coherent = c;
	list_init(&l->link);
	list_init(&l->unsent);
	return l;
}

int coherent_link_new(Coherent *c, int fd, uint32_t node, bool dialled, const EnginePeer *peer)
{
	struct epoll_event e = {.events = EPOLLIN};
	CoherentLink *l = link_alloc(c), *old;

	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->node = node;
	l->dialled = dialled;
	l->session = peer->session;
	l->detection = peer->detection;
	e.data.ptr = l;
	coherent_lock(c);
	old = coherent_link_find(c, node, dialled);
	if (old) {
		coherent_link_break(old);
		old->told = true;
		tell(old, false);
	}
	list_append(&c->links, &l->link);
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		int r = negative_errno();

		list_unlink(&l->link);
		coherent_unlock(c);
		free(l->in);
		free(l);
		return r;
	}
	l->events = EPOLLIN;
	tell(l, true);
	look_soon(l);
	coherent_unlock(c);
	return 0;
}
