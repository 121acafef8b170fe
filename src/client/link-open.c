/* SPDX-License-Identifier: Apache-2.0 */
#include "client/link-private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"
#include "client/locate.h"
#include "wire/status.h"

/* The beginning of a link: finding a daemon, saying hello, the pages that it gives. */

#define MEET_ATTEMPTS 5

/* A setting in seconds from the environment. */
static uint64_t setting_ns(const char *name, uint64_t seconds)
{
	const char *s = secure_getenv(name);
	uint64_t v;

	if (!s || parse_u64(s, &v) < 0 || v == 0 || v > 3600)
		v = seconds;
	return v * NSEC_PER_SEC;
}

uint64_t link_request_timeout(void)
{
	return setting_ns("CAUSEWAY_TIMEOUT", 30);
}

/* pages */

/* least: what a daemon of the first minor version has of it. */
static int map_page(int fd, size_t size, size_t least, int prot, const void **ret_page)
{
	const struct wire_page_head *p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return negative_errno();
	if (p->magic != WIRE_PAGE_MAGIC || p->version >> 16 != WIRE_MAJOR || p->size < least) {
		munmap((void *)p, size);
		return STATUS_VERSION;
	}
	*ret_page = p;
	return 0;
}

static int take_pages(struct cw_link *link, struct cw_reply *reply)
{
	int r;

	if (reply->n_fds < 3)
		return STATUS_VERSION;
	/* an older daemon has no clshm */
	r = map_page(reply->fds[0], sizeof(*link->node_page),
		offsetof(struct wire_node_page, shm_changes), PROT_READ,
		(const void **)&link->node_page);
	if (r)
		return r;
	/* an older daemon has no routes, nor imports that need one */
	r = map_page(reply->fds[1], sizeof(*link->status_page),
		offsetof(struct wire_status_page, routes), PROT_READ,
		(const void **)&link->status_page);
	if (r)
		return r;
	r = map_page(reply->fds[2], sizeof(*link->client_page), sizeof(*link->client_page),
		PROT_READ | PROT_WRITE, (const void **)&link->client_page);
	if (r)
		return r;
	if (reply->message.hello_reply.flags & WIRE_HELLO_UFFD && reply->n_fds > 3)
		link->uffd_device = take_fd(&reply->fds[3]);
	link->starts = link->node_page->starts;
	link->node.hello = reply->message.hello_reply;
	return 0;
}

/* hello */

/* Until it is answered: a daemon that has died when it knew us, but had not said so, is followed by
 * one that asks us to say again what was not answered. */
static int ask(int sock, const void *packet, size_t size, struct cw_reply *ret_reply)
{
	int r;

	do {
		if (fd_send(sock, packet, size, NULL, 0, 0) < 0)
			return STATUS_NODE_LOST;
		r = link_receive(sock, ret_reply);
	} while (!r && ret_reply->message.type == WIRE_RESEND);
	return r;
}

/* Says HELLO on sock; resume: the client to go on with, or NULL. STATUS_NODE_LOST: the daemon died
 * before it knew us, and took the connection with it; its successor gets another one. */
static int hello(int sock, const struct wire_hello_reply *resume, struct cw_reply *ret_reply)
{
	struct wire_message m = {.type = WIRE_HELLO};
	uint8_t packet[256];
	ssize_t n;
	int r;

	m.hello.major = WIRE_MAJOR;
	m.hello.minor = WIRE_MINOR;
	if (resume) {
		m.hello.resume_client = resume->client;
		memcpy(m.hello.token, resume->token, sizeof(m.hello.token));
	}
	n = wire_encode(&m, packet, sizeof(packet));
	r = n < 0 ? (int)n : ask(sock, packet, (size_t)n, ret_reply);
	if (r)
		return r;
	if (ret_reply->message.type != WIRE_HELLO_REPLY)
		r = STATUS_VERSION;
	else
		r = (int)ret_reply->message.status;
	if (r)
		fd_close_many(ret_reply->fds, ret_reply->n_fds);
	return r;
}

/* A socket to the place's daemon; waits or starts one where the place allows it. */
static int dial(const struct locate_place *place, bool *ret_spawned, int *ret_sock)
{
	uint64_t patience = setting_ns("CAUSEWAY_CONNECT_TIMEOUT", 5), end = clock_now() + patience;
	int r;

	*ret_spawned = false;
	r = locate_dial(place->socket, link_request_timeout(), ret_sock);
	if (r < 0 && r != -EACCES && r != -EAGAIN && place->may_spawn) {
		if (locate_spawn(place->socket, patience) < 0)
			return STATUS_NO_DAEMON;
		*ret_spawned = true;
		r = locate_dial(place->socket, link_request_timeout(), ret_sock);
	}
	while (r < 0 && r != -EACCES && r != -EAGAIN && place->wait && clock_now() < end) {
		usleep(10000);
		r = locate_dial(place->socket, link_request_timeout(), ret_sock);
	}
	return r < 0 ? STATUS_NO_DAEMON : 0;
}

/* Connects and introduces us. */
static int meet_at(struct cw_link *link, const struct locate_place *place, struct cw_reply *reply)
{
	int r = STATUS_NODE_LOST;

	for (int i = 0; i < MEET_ATTEMPTS && r == STATUS_NODE_LOST; i++) {
		bool spawned;

		link->sock = fd_close(link->sock);
		r = dial(place, &spawned, &link->sock);
		if (r)
			return r;
		link->node.spawned |= spawned;
		r = hello(link->sock, NULL, reply);
	}
	return r == STATUS_NODE_LOST ? STATUS_NO_DAEMON : r;
}

int link_meet(struct cw_link *link)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	struct locate_place place;
	int r;

	if (!reply)
		return -ENOMEM;
	if (locate(&place) < 0)
		return STATUS_NO_DAEMON;
	memcpy(link->node.socket, place.socket, sizeof(link->node.socket));
	link->uid = geteuid();
	link->gid = getegid();
	r = meet_at(link, &place, reply);
	if (r)
		return r;
	r = take_pages(link, reply);
	fd_close_many(reply->fds, reply->n_fds);
	return r;
}

int link_meet_again(struct cw_link *link)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	_cleanup_close_ int sock = -1;
	int r = STATUS_NODE_LOST;

	if (!reply)
		return -ENOMEM;
	for (int i = 0; i < MEET_ATTEMPTS && r == STATUS_NODE_LOST; i++) {
		sock = fd_close(sock);
		if (locate_dial(link->node.socket, link_request_timeout(), &sock) < 0)
			return STATUS_NO_DAEMON;
		r = hello(sock, &link->node.hello, reply);
	}
	if (r)
		return r;
	fd_close_many(reply->fds, reply->n_fds);
	/* in its place: other threads look at the number without the lock */
	if (dup3(sock, link->sock, O_CLOEXEC) < 0)
		return negative_errno();
	link->uid = geteuid();
	link->gid = getegid();
	return 0;
}
