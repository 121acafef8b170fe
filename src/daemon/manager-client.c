/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/coherent.h"
#include "daemon/identity.h"
#include "daemon/log.h"
#include "daemon/query.h"
#include "daemon/request.h"
#include "daemon/shm.h"

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
		.shm_version = c->shm_version,
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

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	manager_client_free(userdata);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	ManagerClient *c = userdata;

	manager_client_cut(c, "it connected and did not say hello in time");
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
	coherent_client_gone(m, c);
	shm_client_gone(m, c);
	if (c->engine) {
		shm_peer_client_gone(c);
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

ManagerClient *manager_client_find_by_token(const Manager *m, uint64_t id, const uint8_t token[16])
{
	ManagerClient *client = manager_client_find(m, id);
	uint8_t difference = 0;

	for (size_t i = 0; client && i < sizeof(client->token); i++)
		difference |= client->token[i] ^ token[i];
	return difference ? NULL : client;
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
	c->restored = true;
	c->missed_from = c->missed_to = UINT64_MAX;
	c->slot = slot;
	if (record->shm_version)
		shm_client_begin(c, record->shm_version);
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
