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
 * Page links: frames in and out. Nobody waits for a peer: what cannot be sent at once is kept, and
 * reading never stops because of that, so that two ends which both send much do not wait for each
 * other.
 *
 * What is kept is what is to be said, not the content: that is read when there is room for it. It
 * is the same then, for a page that has been given to a node is not changed before the node gives
 * it back or acknowledges that it is gone, nor what a node gives back before that is confirmed. So
 * what is kept is little, and bounded by what the protocol lets be under way. Above OUT_MANY nodes
 * are given nothing more (directory_room()).
 */

#define IN_SIZE	      (PAGE_HEADER_SIZE + PAGE_RUN_MAX * PAGE_BYTES) /* the largest frame */
#define IN_MIN	      16384u
#define OUT_PIECE     32u /* pages that are copied and sent at once: they are in the cache */
#define OUT_SIZE      (OUT_PIECE * PAGE_BYTES + 4096u)
#define OUT_MANY      (4u << 20) /* bytes of content */
#define QUEUE_MIN     64u
#define QUEUE_MANY    (1u << 16) /* frames */
#define QUEUE_MAX     (1u << 20) /* nobody who keeps to the protocol causes so many */
#define READS	      4u	 /* of one link a turn */
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

static size_t buffered(const CoherentLink *l)
{
	return l->out_end - l->out_at;
}

static bool all_sent(const CoherentLink *l)
{
	return !buffered(l) && !l->n_queued;
}

static void settle_later(CoherentLink *l)
{
	if (list_empty(&l->unsent))
		list_append(&l->coherent->unsent, &l->unsent);
}

static bool is_full(const CoherentLink *l)
{
	return l->content >= OUT_MANY || l->n_queued >= QUEUE_MANY;
}

bool coherent_link_is_full(CoherentLink *l)
{
	bool full = l && !l->broken && is_full(l);

	if (full)
		l->full = true;
	return full;
}

/* Something has begun that must not take too long. */
static void look_soon(CoherentLink *l)
{
	Coherent *c = l->coherent;

	c->look = MIN(c->look, c->now + MIN(FRAME_TIMEOUT, l->detection) / 2);
}

/* The queue */

static int grow(CoherentLink *l)
{
	size_t size = MAX(2 * l->queue_size, (size_t)QUEUE_MIN);
	struct page_message *queue;

	if (size > QUEUE_MAX)
		return -ENOBUFS;
	queue = malloc(size * sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_queued; i++)
		queue[i] = l->queue[(l->first + i) % l->queue_size];
	free(l->queue);
	l->queue = queue;
	l->queue_size = size;
	l->first = 0;
	return 0;
}

void coherent_link_send(CoherentLink *l, const struct page_message *message)
{
	int r = 0;

	if (!l || l->broken)
		return;
	if (l->n_queued == l->queue_size)
		r = grow(l);
	if (r < 0) {
		log_limited("the page link with node %u is cut off: %s", l->node, strerror(-r));
		coherent_link_break(l);
		return;
	}
	l->queue[(l->first + l->n_queued++) % l->queue_size] = *message;
	l->content += page_message_content(message);
	settle_later(l);
}

static void pop(CoherentLink *l)
{
	l->content -= page_message_content(&l->queue[l->first]);
	l->first = (l->first + 1) % l->queue_size;
	l->n_queued--;
	l->begun = false;
	if (l->n_queued || l->queue_size <= QUEUE_MANY)
		return;
	free(l->queue);
	l->queue = NULL;
	l->queue_size = l->first = 0;
}

/* The buffer */

static size_t room(const CoherentLink *l)
{
	return OUT_SIZE - l->out_end;
}

static int read_content(CoherentLink *l, const struct page_message *m, unsigned int n, void *data)
{
	return l->dialled
		       ? coherent_guest_read(l->coherent, l->node, m->map, m->page + l->at, n, data)
		       : coherent_home_read(l->coherent, l->node, m->map, m->page + l->at, n, data);
}

/* As much as there is room for. 0, or -ESTALE: the map is over, and what was said is of no
 * interest. */
static int add_content(CoherentLink *l, const struct page_message *m)
{
	unsigned int n = m->flags & PAGE_CONTENT ? m->n : 0;

	while (l->at < n && room(l) >= PAGE_BYTES) {
		unsigned int k = (unsigned int)MIN(n - l->at, room(l) / PAGE_BYTES);
		int r = read_content(l, m, k, l->out + l->out_end);

		if (r < 0)
			return r;
		l->out_end += k * PAGE_BYTES;
		l->at += k;
	}
	return 0;
}

/* The first frame, or more of it. False: there is no room for more. */
static bool add_frame(CoherentLink *l)
{
	const struct page_message *m = &l->queue[l->first];
	size_t before = l->out_end;
	bool fresh = !l->begun;
	int r;

	if (room(l) < PAGE_HEADER_SIZE + (fresh && page_message_content(m) ? PAGE_BYTES : 0))
		return false;
	if (fresh) {
		page_message_encode(m, l->out + l->out_end);
		l->out_end += PAGE_HEADER_SIZE;
		l->begun = true;
		l->at = 0;
	}
	r = add_content(l, m);
	if (r == -ESTALE && fresh) {
		l->out_end = before;
	} else if (r < 0) {
		log_limited("the page link with node %u is cut off: %s", l->node, strerror(-r));
		coherent_link_break(l);
		return false;
	} else if (page_message_content(m) && l->at < m->n) {
		return false;
	}
	pop(l);
	return true;
}

static void fill(CoherentLink *l)
{
	l->out_at = l->out_end = 0;
	while (l->n_queued && add_frame(l))
		;
}

static void flush(CoherentLink *l)
{
	uint64_t now = l->coherent->now;
	ssize_t n = 0;

	while (!l->broken && n >= 0) {
		if (!buffered(l))
			fill(l);
		if (l->broken || !buffered(l))
			break;
		n = send(l->fd, l->out + l->out_at, buffered(l), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			coherent_link_break(l);
		if (n < 0)
			break;
		l->out_at += (size_t)n;
		l->stalled = now;
	}
	if (l->broken)
		return;
	if (all_sent(l)) {
		l->stalled = 0;
	} else if (!l->stalled) {
		l->stalled = now;
		look_soon(l);
	}
	want(l, EPOLLIN | (all_sent(l) ? 0u : EPOLLOUT));
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

	while (r == 0 && !l->broken && (size = frame(l->in + at, l->n_in - at, &message)) > 0) {
		r = dispatch(l, &message, l->in + at + PAGE_HEADER_SIZE);
		at += (size_t)size;
	}
	l->n_in -= at;
	if (at)
		memmove(l->in, l->in + at, l->n_in);
	if (!l->n_in) {
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

/* Returns false when there is nothing more now. */
static bool receive(CoherentLink *l)
{
	ssize_t n = read_some(l);
	Coherent *c = l->coherent;
	bool more;
	int r = 0;

	if (n == 0)
		return false;
	coherent_lock(c);
	if (n > 0)
		r = deliver(l);
	if (r)
		log_limited(
			"the page link with node %u is cut off: it breaks the protocol", l->node);
	if (n < 0 || r)
		coherent_link_break(l);
	flush(l);
	more = !l->broken;
	coherent_unlock(c);
	return more;
}

void coherent_link_ready(CoherentLink *l, uint32_t events)
{
	Coherent *c = l->coherent;

	if (events & EPOLLOUT) {
		coherent_lock(c);
		settle_later(l);
		coherent_unlock(c);
	}
	if (events & ~EPOLLOUT)
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
		flush(l);
	else if (!l->told)
		tell(l, false);
	l->told = l->broken;
	if (l->full && !l->broken && !is_full(l)) {
		l->full = false;
		if (!l->dialled)
			coherent_homes_room(c, l->node);
	}
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

static void link_discard(CoherentLink *l)
{
	free(l->queue);
	free(l->out);
	free(l->in);
	free(l);
}

static void link_free(CoherentLink *l)
{
	list_unlink(&l->link);
	list_unlink(&l->unsent);
	(void)epoll_ctl(l->coherent->epoll, EPOLL_CTL_DEL, l->fd, NULL);
	closer_hang_up(l->fd);
	link_discard(l);
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
	l->out = malloc(OUT_SIZE);
	if (!l->in || !l->out) {
		link_discard(l);
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
		link_discard(l);
		return r;
	}
	l->events = EPOLLIN;
	tell(l, true);
	look_soon(l);
	coherent_unlock(c);
	return 0;
}
