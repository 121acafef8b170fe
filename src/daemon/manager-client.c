/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-client.h"

#include <endian.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/hello.h"
#include "daemon/identity.h"
#include "daemon/log.h"
#include "daemon/query.h"
#include "daemon/request.h"
#include "wire/status.h"

#define PACKETS_PER_TURN 16
#define TIME_PER_TURN	 (2 * NSEC_PER_MSEC)
#define UNREAD_MAX	 (64 << 10) /* bytes, as the kernel counts them */

/* The client is not freed here: the packet that is being dealt with is in its hands. */
static void client_cut(ManagerClient *c, const char *reason)
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
		client_cut(c, "it does not read its answers");
	else if (r == -ETOOMANYREFS)
		client_cut(c, "too many descriptors are under way to it");
	else if (r < 0)
		c->cut = true;
}

void manager_client_reply(ManagerClient *c, const struct reply *a)
{
	uint8_t packet[WIRE_PACKET_MAX];
	ssize_t n = wire_encode(&a->message, packet, sizeof(packet));

	if (n < 0)
		client_cut(c, "an answer does not fit its packet");
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

/* The record */

int manager_client_save_groups(ManagerClient *c)
{
	struct record_groups groups = {.client = c->engine->id};
	uint32_t n = c->identity.n_groups;

	c->groups_slot = JOURNAL_NO_SLOT;
	if (n <= RECORD_CLIENT_GROUPS)
		return 0;
	memcpy(groups.groups, c->identity.groups + RECORD_CLIENT_GROUPS,
		(n - RECORD_CLIENT_GROUPS) * sizeof(gid_t));
	return journal_add(
		c->manager->journal, RECORD_GROUPS, &groups, sizeof(groups), &c->groups_slot);
}

int manager_client_save(ManagerClient *c)
{
	Journal *journal = c->manager->journal;
	const struct engine_identity *identity = &c->engine->identity;
	struct record_client record = {
		.id = c->engine->id,
		.serial = c->serial,
		.ending = c->ending,
		.pid = identity->pid,
		.uid = identity->uid,
		.gid = identity->gid,
		.charged_uid = c->engine->user->uid,
		.n_groups = identity->n_groups,
		.groups_slot = c->groups_slot,
	};

	memcpy(record.token, c->token, sizeof(record.token));
	memcpy(record.command, identity->command, sizeof(record.command));
	memcpy(record.groups, identity->groups,
		MIN(identity->n_groups, RECORD_CLIENT_GROUPS) * sizeof(gid_t));
	if (c->slot == JOURNAL_NO_SLOT)
		return journal_add(journal, RECORD_CLIENT, &record, sizeof(record), &c->slot);
	journal_update(journal, c->slot, &record, sizeof(record));
	return 0;
}

void manager_client_announce(ManagerClient *c, uint32_t type, uint32_t index, uint64_t number)
{
	c->ending = (struct record_ending){.type = type, .index = index, .number = number};
	manager_client_save(c);
}

void manager_client_store(ManagerClient *c)
{
	int link = c->manager->link;
	uint64_t id = c->engine->id;

	keeper_link_store(link, KEEP_SOCKET, id, c->socket);
	keeper_link_store(link, KEEP_PROCESS, id, c->process);
	keeper_link_store(link, KEEP_STATUS_PAGE, id, c->status.fd);
	keeper_link_store(link, KEEP_CLIENT_PAGE, id, c->maps);
	keeper_link_store(link, KEEP_UFFD, id, c->uffd);
}

void manager_client_drop(Manager *m, uint64_t id)
{
	static const enum keeper_kind kinds[] = {
		KEEP_SOCKET, KEEP_PROCESS, KEEP_STATUS_PAGE, KEEP_CLIENT_PAGE, KEEP_UFFD};

	for (size_t i = 0; i < ELEMENTS(kinds); i++)
		keeper_link_drop(m->link, kinds[i], id);
}

/* Life */

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	manager_client_free(userdata);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	ManagerClient *c = userdata;

	client_cut(c, "it connected and did not say hello in time");
	manager_client_free(c);
	return 0;
}

static ManagerClient *client_alloc(Manager *m)
{
	ManagerClient *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->manager = m;
	c->socket = c->process = c->uffd = c->maps = -1;
	c->status = STATUS_PAGE_NONE;
	idtable_init(&c->routes, WIRE_CLIENT_ROUTES);
	list_init(&c->link);
	return c;
}

/* An exporter may sleep although a client of its segment has counted its cell up: the client died
 * before it could wake. */
static void kick_exporters(ManagerClient *c)
{
	EngineImport *import;
	uint32_t i;

	idtable_for_each (&c->engine->imports, i, import) {
		ManagerSegment *s = import->holding ? manager_segment(import->holding) : NULL;

		if (s && s->cells.map)
			cells_kick(&s->cells, 0, s->pipe);
	}
}

void manager_client_free(ManagerClient *c)
{
	Manager *m;
	uint64_t id;

	if (!c)
		return;
	m = c->manager;
	sd_event_source_disable_unref(c->readable);
	sd_event_source_disable_unref(c->ended);
	if (c->timeout) {
		sd_event_source_disable_unref(c->timeout);
		m->n_handshakes--;
	}
	list_unlink(&c->link);
	query_forget(c->query);
	if (c->engine) {
		id = c->engine->id;
		c->engine->userdata = c;
		kick_exporters(c);
		engine_client_free(c->engine);
		manager_client_drop(m, id);
		journal_remove(m->journal, c->slot);
		journal_remove(m->journal, c->groups_slot);
	}
	idtable_deinit(&c->routes);
	status_page_deinit(&c->status);
	closer_hang_up(c->socket);
	fd_close(c->process);
	closer_close(c->uffd);
	fd_close(c->maps);
	free(c);
	manager_check_idle(m);
}

int manager_client_listen(ManagerClient *c)
{
	return sd_event_add_io(c->manager->event, &c->readable, c->socket, EPOLLIN, on_readable, c);
}

int manager_client_accept(Manager *m, int socket)
{
	_cleanup_(manager_client_free_p) ManagerClient *c = client_alloc(m);
	int r;

	if (!c) {
		closer_hang_up(socket);
		return -ENOMEM;
	}
	c->socket = socket;
	r = identity_of_peer(socket, &c->identity, &c->process);
	if (r == -EACCES)
		log_limited("a connection from a process in a foreign pid or user namespace is "
			    "refused");
	if (r == -E2BIG)
		log_limited("a connection from a process in more than %u groups is refused",
			ENGINE_GROUPS_MAX);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(m->event, &c->timeout, CLOCK_MONOTONIC,
		m->options.config->handshake_timeout / NSEC_PER_USEC, 1, on_timeout, c);
	if (r < 0)
		return r;
	m->n_handshakes++;
	r = manager_client_listen(c);
	if (r < 0)
		return r;
	list_append(&m->handshakes, &c->link);
	take_ptr(c);
	return 0;
}

int manager_client_enter(ManagerClient *c)
{
	Manager *m = c->manager;
	int r;

	fd_let_pass(c->socket, true);
	c->engine->userdata = c;
	r = sd_event_add_io(m->event, &c->ended, c->process, EPOLLIN, on_ended, c);
	if (r < 0)
		return r;
	if (c->timeout) {
		c->timeout = sd_event_source_disable_unref(c->timeout);
		m->n_handshakes--;
	}
	list_unlink(&c->link);
	list_append(&m->clients, &c->link);
	manager_check_idle(m);
	return 0;
}

ManagerClient *manager_client_find(const Manager *m, uint64_t id)
{
	ManagerClient *c;

	list_for_each (c, &m->clients, link)
		if (c->engine->id == id)
			return c;
	return NULL;
}

bool manager_client_alive(const ManagerClient *c)
{
	struct pollfd p = {.fd = c->process, .events = POLLIN};

	return !c->cut && poll(&p, 1, 0) == 0;
}

/* A predecessor's client */

static int restore_identity(ManagerClient *c, const struct record_client *record)
{
	struct engine_identity *identity = &c->identity;
	struct record_groups groups;

	identity->pid = record->pid;
	identity->uid = record->uid;
	identity->gid = record->gid;
	identity->n_groups = MIN(record->n_groups, ENGINE_GROUPS_MAX);
	memcpy(identity->command, record->command, sizeof(identity->command));
	memcpy(identity->groups, record->groups, sizeof(record->groups));
	if (identity->n_groups <= RECORD_CLIENT_GROUPS)
		return 0;
	if (journal_read(c->manager->journal, record->groups_slot, &groups, sizeof(groups)) !=
			RECORD_GROUPS ||
		groups.client != record->id)
		return -EBADMSG;
	memcpy(identity->groups + RECORD_CLIENT_GROUPS, groups.groups, sizeof(groups.groups));
	c->groups_slot = record->groups_slot;
	return 0;
}

static int restore_descriptors(ManagerClient *c, uint64_t id, struct keeper_stored *stored)
{
	int fd = keeper_stored_take(stored, KEEP_STATUS_PAGE, id), r;

	r = fd < 0 ? -EBADMSG : status_page_open(fd, &c->status);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	c->socket = keeper_stored_take(stored, KEEP_SOCKET, id);
	c->process = keeper_stored_take(stored, KEEP_PROCESS, id);
	c->maps = keeper_stored_take(stored, KEEP_CLIENT_PAGE, id);
	c->uffd = keeper_stored_take(stored, KEEP_UFFD, id);
	return c->socket < 0 || c->process < 0 || c->maps < 0 ? -EBADMSG : 0;
}

int manager_client_restore(
	Manager *m, const struct record_client *record, uint32_t slot, struct keeper_stored *stored)
{
	_cleanup_(manager_client_free_p) ManagerClient *c = client_alloc(m);
	struct engine_client_record client = {.id = record->id, .charged_uid = record->charged_uid};
	int r;

	if (!c)
		return -ENOMEM;
	c->serial = record->serial;
	c->ending = record->ending;
	memcpy(c->token, record->token, sizeof(c->token));
	c->repeats = record->serial;
	c->hello_again = true;
	c->missed_from = c->missed_to = UINT64_MAX;
	c->slot = slot;
	r = restore_descriptors(c, record->id, stored);
	if (r == 0)
		r = restore_identity(c, record);
	if (r == 0)
		r = manager_client_listen(c);
	if (r < 0)
		return r;
	client.identity = c->identity;
	r = engine_client_restore(m->engine, &client, &c->engine);
	if (r == 0)
		r = manager_client_enter(c);
	if (r < 0)
		return r;
	take_ptr(c);
	return 0;
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

static void handle_request(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct request_type *type = request_type(q->message.type);
	bool oneway = q->message.flags & WIRE_ONEWAY;
	int r;

	if (!q->message.serial)
		return client_cut(c, "a request has no number");
	if (!type) {
		if (!oneway)
			client_refuse(c, &q->message, STATUS_NOT_SUPPORTED);
		return;
	}
	if (!to_be_done(c, q->message.serial, oneway))
		return;
	if (q->n_fds != (type->flags & REQUEST_HAS_FD ? 1 : 0))
		return client_cut(c, "descriptors came where none belong, or none where one does");
	r = perform(c, type, q, a);
	if (oneway || r == REQUEST_LATER)
		return;
	if (r)
		client_refuse(c, &q->message, request_status(r));
	else
		manager_client_reply(c, a);
}

static void handle_message(ManagerClient *c, struct request *q)
{
	static struct reply a;

	a.n_fds = 0;
	a.message = (struct wire_message){
		.type = q->message.type | WIRE_REPLY_BIT, .serial = q->message.serial};
	if (q->message.type & WIRE_REPLY_BIT)
		client_cut(c, "it sent an answer");
	else if (q->message.type == WIRE_HELLO && (!c->engine || c->hello_again))
		hello_handle(c, q, &a);
	else if (!c->engine || q->message.type == WIRE_HELLO)
		client_cut(c, "hello must come first, and once");
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
		client_cut(c, "a packet or its descriptors are too large");
	if (n == -EMFILE)
		client_cut(c, "there are no descriptors left to receive those that it sent");
	if (n <= 0) {
		c->cut = true;
		return false;
	}
	r = wire_decode(packet, (size_t)n, &q.message);
	if (r == -EBADMSG)
		client_cut(c, "a packet is malformed");
	else
		handle_message(c, &q);
	closer_close_many(q.fds, q.n_fds);
	return !c->cut;
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
