/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper-link.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/keeper.h"
#include "daemon/log.h"

#define SEND_TIMEOUT (3 * NSEC_PER_SEC)

struct keeper_item {
	uint64_t key;
	uint32_t kind;
	int fd; /* -1: taken */
};

static int item_compare(const void *a, const void *b)
{
	const struct keeper_item *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

static int stored_add(struct keeper_stored *s, const struct keeper_packet *p, int fd)
{
	/* doubled at each power of 2 */
	if ((s->n_items & (s->n_items - 1)) == 0) {
		size_t n = s->n_items ? 2 * (size_t)s->n_items : 1;
		struct keeper_item *items = realloc(s->items, n * sizeof(*items));

		if (!items)
			return -ENOMEM;
		s->items = items;
	}
	s->items[s->n_items++] = (struct keeper_item){.key = p->key, .kind = p->kind, .fd = fd};
	return 0;
}

int keeper_link_receive(int link, struct keeper_stored *ret_stored)
{
	struct keeper_stored s = {0};
	struct keeper_packet p;
	int fds[FD_PACKET_MAX], r;
	unsigned int n_fds;
	ssize_t n;

	for (;;) {
		n = fd_recv_from_stranger(link, &p, sizeof(p), fds, &n_fds, 0, closer_close);
		if (n == -EINTR)
			continue;
		r = n < 0 ? (int)n : n == 0 ? -EPIPE : -EBADMSG;
		if (n != sizeof(p) || (p.op == KEEPER_STORE && n_fds != 1))
			goto fail;
		if (p.op == KEEPER_DONE)
			break;
		r = p.op == KEEPER_STORE ? stored_add(&s, &p, fds[0]) : -EBADMSG;
		if (r < 0) {
			closer_close_many(fds, n_fds);
			goto fail;
		}
	}
	if (s.n_items)
		qsort(s.items, s.n_items, sizeof(*s.items), item_compare);
	*ret_stored = s;
	return 0;
fail:
	for (uint32_t i = 0; i < s.n_items; i++)
		closer_close(s.items[i].fd);
	free(s.items);
	return r;
}

int keeper_stored_take(struct keeper_stored *s, uint32_t kind, uint64_t key)
{
	struct keeper_item wanted = {.key = key, .kind = kind}, *item;

	item = s->n_items ? bsearch(&wanted, s->items, s->n_items, sizeof(wanted), item_compare)
			  : NULL;
	return item ? take_fd(&item->fd) : -1;
}

int keeper_stored_take_any(struct keeper_stored *s, uint32_t kind, uint64_t *ret_key)
{
	for (uint32_t i = 0; i < s->n_items; i++)
		if (s->items[i].kind == kind && s->items[i].fd >= 0) {
			*ret_key = s->items[i].key;
			return take_fd(&s->items[i].fd);
		}
	return -1;
}

uint32_t keeper_stored_deinit(struct keeper_stored *s, int link)
{
	uint32_t n_left = 0;

	for (uint32_t i = 0; i < s->n_items; i++) {
		struct keeper_item *item = &s->items[i];

		if (item->fd < 0)
			continue;
		keeper_link_drop(link, item->kind, item->key);
		closer_close(item->fd);
		n_left++;
	}
	free(s->items);
	*s = (struct keeper_stored){0};
	return n_left;
}

/* The kernel bounds what is under way, descriptors above all; the keeper reads soon. One that does
 * not is as good as dead, and the manager sees it hang up. */
static void link_send(int link, const struct keeper_packet *p, int fd)
{
	uint64_t deadline = 0;
	int r;

	if (link < 0)
		return;
	for (;;) {
		struct pollfd poll_link = {.fd = link, .events = POLLOUT};

		r = fd_send(link, p, sizeof(*p), &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
		if (r != -ETOOMANYREFS && r != -EAGAIN)
			return;
		if (!deadline)
			deadline = clock_now() + SEND_TIMEOUT;
		else if (clock_now() >= deadline)
			break;
		if (r == -ETOOMANYREFS)
			poll(NULL, 0, 1);
		else
			poll(&poll_link, 1, 100);
	}
	log_error("the keeper does not read");
	shutdown(link, SHUT_RDWR);
}

void keeper_link_store(int link, uint32_t kind, uint64_t key, int fd)
{
	if (fd >= 0)
		link_send(link, &(struct keeper_packet){KEEPER_STORE, kind, key}, fd);
}

void keeper_link_drop(int link, uint32_t kind, uint64_t key)
{
	link_send(link, &(struct keeper_packet){KEEPER_DROP, kind, key}, -1);
}

void keeper_link_ready(int link)
{
	link_send(link, &(struct keeper_packet){.op = KEEPER_READY}, -1);
}

void keeper_link_end(int link, int status)
{
	link_send(link, &(struct keeper_packet){.op = KEEPER_END, .key = (uint64_t)status}, -1);
}
