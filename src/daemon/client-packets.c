/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <endian.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/hello.h"
#include "daemon/log.h"
#include "wire/status.h"

/* What a client says, whether it is to be done, and what it hears. */

#define PACKETS_PER_TURN 16
#define TIME_PER_TURN	 (2 * NSEC_PER_MSEC)
#define UNREAD_MAX	 (64 << 10) /* bytes, as the kernel counts them */

void manager_client_cut(ManagerClient *c, const char *reason)
{
	if (!c->cut)
		log_limited("client %d (%s, uid %u) is cut off: %s", c->identity.pid,
			c->identity.command, c->identity.uid, reason);
	c->cut = true;
}

/* Replies */

/* Descriptors that nobody reads are open files of ours that no limit of the client's counts. */
static bool may_send_fds(ManagerClient *c)
{
	int unread;

	return ioctl(c->socket, SIOCOUTQ, &unread) < 0 || unread <= UNREAD_MAX;
}

static void client_send(
	ManagerClient *c, const void *packet, size_t size, const int *fds, unsigned int n_fds)
{
	int r = -EAGAIN;

	if (n_fds == 0 || may_send_fds(c))
		r = fd_send(c->socket, packet, size, fds, n_fds, MSG_DONTWAIT);
	if (r == -EAGAIN)
		manager_client_cut(c, "it does not read its answers");
	else if (r == -ETOOMANYREFS)
		manager_client_cut(c, "too many descriptors are under way to it");
	else if (r < 0)
		c->cut = true;
}

void manager_client_reply(ManagerClient *c, const struct reply *a)
{
	uint8_t packet[WIRE_PACKET_MAX];
	ssize_t n = wire_encode(&a->message, packet, sizeof(packet));

	if (n < 0)
		manager_client_cut(c, "an answer does not fit its packet");
	else
		client_send(c, packet, (size_t)n, a->fds, a->n_fds);
}

/* A header alone; also for types that this version does not know. */
static void client_refuse(ManagerClient *c, const struct wire_message *m, uint32_t status)
{
	struct {
		uint32_t size;
		uint16_t type, body;
		uint64_t serial;
		uint32_t status, flags;
	} header = {
		.size = htole32(WIRE_HEADER_SIZE),
		.type = htole16(m->type | WIRE_REPLY_BIT),
		.serial = htole64(m->serial),
		.status = htole32(status),
	};

	static_assert(sizeof(header) == WIRE_HEADER_SIZE, "as wire/message.h says");
	client_send(c, &header, sizeof(header), NULL, 0);
}

void manager_client_ask_again(ManagerClient *c)
{
	const struct wire_message again = {.type = WIRE_RESEND};
	uint8_t packet[WIRE_HEADER_SIZE];

	if (wire_encode(&again, packet, sizeof(packet)) > 0)
		client_send(c, packet, sizeof(packet), NULL, 0);
}

/* Requests */

uint32_t request_status(int r)
{
	if (r >= 0)
		return (uint32_t)r;
	if (r == -ENOMEM)
		return STATUS_NO_MEMORY;
	if (r != -EMFILE && r != -ENFILE && r != -ENOSPC)
		log_limited("a request failed: %s", strerror(-r));
	return STATUS_NO_RESOURCES;
}

static int perform(
	ManagerClient *c, const struct request_type *type, struct request *q, struct reply *a)
{
	int r;

	if (manager_client_repeats(c, q->message.serial) && (type->flags & REQUEST_ENDS))
		return 0;
	c->serial = MAX(c->serial, q->message.serial);
	c->hello_again = false;
	r = type->handle(c, q, a);
	if (r == 0 && !(type->flags & (REQUEST_QUERY | REQUEST_ENDS))) {
		c->ending.type = 0;
		manager_client_save(c);
	}
	return r;
}

/* After a restart a client says again what we may have read from the socket already. Done is what
 * is new, what was lost with our predecessor, and, for its answer, what he did without answering.
 */
static bool to_be_done(ManagerClient *c, uint64_t serial, bool oneway)
{
	uint64_t known = MAX(c->serial, c->repeats);

	if (serial > known) {
		if (c->missed_to == UINT64_MAX) {
			c->missed_from = known + 1;
			c->missed_to = serial;
		}
		return true;
	}
	if (serial >= c->missed_from && serial < c->missed_to) {
		c->missed_from = serial + 1;
		return true;
	}
	return !oneway && manager_client_repeats(c, serial);
}

static void do_request(
	ManagerClient *c, const struct request_type *type, struct request *q, struct reply *a)
{
	int r = perform(c, type, q, a);

	if (r == REQUEST_AGAIN) {
		c->again = q->message;
		(void)sd_event_source_set_enabled(c->readable, SD_EVENT_OFF);
		return;
	}
	if ((q->message.flags & WIRE_ONEWAY) || r == REQUEST_LATER)
		return;
	if (r)
		client_refuse(c, &q->message, request_status(r));
	else
		manager_client_reply(c, a);
}

static void handle_request(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct request_type *type = request_type(q->message.type);
	bool oneway = q->message.flags & WIRE_ONEWAY;

	if (!q->message.serial)
		return manager_client_cut(c, "a request has no number");
	if (!type) {
		if (!oneway)
			client_refuse(c, &q->message, STATUS_NOT_SUPPORTED);
		return;
	}
	if (!to_be_done(c, q->message.serial, oneway))
		return;
	if (q->n_fds != (type->flags & REQUEST_HAS_FD ? 1 : 0))
		return manager_client_cut(
			c, "descriptors came where none belong, or none where one does");
	do_request(c, type, q, a);
}

static void begin_reply(const struct request *q, struct reply *a)
{
	a->n_fds = 0;
	a->message = (struct wire_message){
		.type = q->message.type | WIRE_REPLY_BIT, .serial = q->message.serial};
}

static void handle_message(ManagerClient *c, struct request *q)
{
	static struct reply a;

	begin_reply(q, &a);
	if (q->message.type & WIRE_REPLY_BIT)
		manager_client_cut(c, "it sent an answer");
	else if (q->message.type == WIRE_HELLO && (!c->engine || c->hello_again))
		hello_handle(c, q, &a);
	else if (!c->engine || q->message.type == WIRE_HELLO)
		manager_client_cut(c, "hello must come first, and once");
	else
		handle_request(c, q, &a);
	fd_close_many(a.fds, a.n_fds);
}

/* Returns false when there is nothing more to read now. */
static bool client_receive(ManagerClient *c)
{
	uint8_t packet[WIRE_PACKET_MAX];
	struct request q = {.n_fds = 0};
	ssize_t n;
	int r;

	n = fd_recv_from_stranger(
		c->socket, packet, sizeof(packet), q.fds, &q.n_fds, MSG_DONTWAIT, closer_close);
	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n == -EMSGSIZE)
		manager_client_cut(c, "a packet or its descriptors are too large");
	if (n == -EMFILE)
		manager_client_cut(
			c, "there are no descriptors left to receive those that it sent");
	if (n <= 0) {
		c->cut = true;
		return false;
	}
	r = wire_decode(packet, (size_t)n, &q.message);
	if (r == -EBADMSG)
		manager_client_cut(c, "a packet is malformed");
	else
		handle_message(c, &q);
	closer_close_many(q.fds, q.n_fds);
	return !c->cut && !c->again.type;
}

void manager_client_go_on(ManagerClient *c)
{
	static struct reply a;
	struct request q = {.message = c->again};

	c->again.type = 0;
	(void)sd_event_source_set_enabled(c->readable, SD_EVENT_ON);
	begin_reply(&q, &a);
	do_request(c, request_type(q.message.type), &q, &a);
	fd_close_many(a.fds, a.n_fds);
	if (c->cut)
		manager_client_free(c);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	ManagerClient *c = userdata;
	uint64_t end = clock_now() + TIME_PER_TURN;

	for (unsigned int i = 0; i < PACKETS_PER_TURN && clock_now() < end; i++)
		if (!client_receive(c))
			break;
	if (c->cut)
		manager_client_free(c);
	return 0;
}

int manager_client_listen(ManagerClient *c)
{
	return sd_event_add_io(c->manager->event, &c->readable, c->socket, EPOLLIN, on_readable, c);
}
