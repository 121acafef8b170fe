/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/guest.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "core/peer.h"
#include "daemon/coherent.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "daemon/rdma.h"
#include "daemon/manager-peer.h"
#include "daemon/record.h"
#include "daemon/shm.h"
#include "wire/status.h"

#define GRANT_SIZE     16u
#define GRANT_LIFE     (10 * NSEC_PER_SEC)
#define GRANTS_MAX     4u    /* of one guest at a time */
#define GUESTS_OF_PEER 4096u /* each may have a data connection, which is a descriptor of ours */

struct Guests {
	int done_fd;
	_Atomic uint64_t *done;
	struct idtable words; /* ManagerGuest by its word in the done page */
};

struct grant {
	uint8_t bytes[GRANT_SIZE];
	uint64_t until; /* CLOCK_MONOTONIC; 0: free */
	bool first;	/* of the first connection of a path: operations count from 0 */
	uint8_t secret[PEER_KEY_SIZE]; /* of the two daemons, if the connection is encrypted */
};

typedef struct ManagerGuest {
	EngineClient *engine;
	uint32_t word; /* in the done page */
	uint32_t slot;
	struct grant grants[GRANTS_MAX];
} ManagerGuest;

static ManagerGuest *manager_guest(const EngineClient *guest)
{
	return guest->userdata;
}

static _Atomic uint64_t *done_of(const Manager *m, const ManagerGuest *g)
{
	return &m->guests->done[g->word];
}

/* The table */

static void guests_free(Guests *guests)
{
	idtable_deinit(&guests->words);
	fd_close(guests->done_fd);
	free(guests);
}
DEFINE_CLEANUP(Guests *, guests_free);

static int guests_new(int *done_fd, Guests **ret_guests)
{
	_cleanup_(guests_free_p) Guests *guests = calloc(1, sizeof(*guests));
	int r;

	if (!guests)
		return -ENOMEM;
	guests->done_fd = -1;
	idtable_init(&guests->words, DONE_WORDS);
	r = done_page_map(*done_fd, &guests->done);
	if (r < 0)
		return r;
	guests->done_fd = take_fd(done_fd);
	*ret_guests = take_ptr(guests);
	return 0;
}

static int guests_need(Manager *m)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (m->guests)
		return 0;
	r = done_page_new(&fd);
	if (r == 0)
		r = guests_new(&fd, &m->guests);
	if (r == 0)
		guests_store(m);
	return r;
}

void guests_store(const Manager *m)
{
	if (m->guests)
		keeper_link_store(m->link, KEEP_DONE, 0, m->guests->done_fd);
}

/* Grants */

static bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint8_t difference = 0;

	/* all of them, so that the time tells nothing */
	for (size_t i = 0; i < n; i++)
		difference |= a[i] ^ b[i];
	return !difference;
}

static int random_bytes(uint8_t *bytes, size_t n)
{
	return getrandom(bytes, n, 0) == (ssize_t)n ? 0 : -EIO;
}

/* In the place of the oldest. It goes to the guest's node at once. */
static int grant_new(ManagerGuest *g, bool first, uint8_t ret_grant[GRANT_SIZE])
{
	const EnginePeer *peer = g->engine->peer;
	struct grant *oldest = &g->grants[0];
	int r;

	for (unsigned int i = 1; i < GRANTS_MAX; i++)
		if (g->grants[i].until < oldest->until)
			oldest = &g->grants[i];
	r = random_bytes(oldest->bytes, GRANT_SIZE);
	if (r == 0 && manager_peer_data(peer) == WIRE_DATA_ENCRYPTED)
		r = manager_peer_secret(peer, oldest->bytes, oldest->secret);
	if (r < 0) {
		oldest->until = 0;
		return r;
	}
	oldest->until = clock_now() + GRANT_LIFE;
	oldest->first = first;
	memcpy(ret_grant, oldest->bytes, GRANT_SIZE);
	return 0;
}

static void grants_forget(ManagerGuest *g)
{
	explicit_bzero(g->grants, sizeof(g->grants));
}

static struct grant *grant_find(ManagerGuest *g, const uint8_t grant[GRANT_SIZE])
{
	struct grant *found = NULL;

	for (unsigned int i = 0; i < GRANTS_MAX; i++)
		if (g->grants[i].until && bytes_equal(g->grants[i].bytes, grant, GRANT_SIZE))
			found = &g->grants[i];
	return found;
}

/* The guest that this grant was given to. */
static ManagerGuest *grant_owner(
	const EnginePeer *peer, const uint8_t grant[GRANT_SIZE], struct grant **ret_grant)
{
	EngineClient *guest;

	list_for_each (guest, &peer->guests, guest_link) {
		ManagerGuest *g = manager_guest(guest);
		struct grant *found = g ? grant_find(g, grant) : NULL;

		if (!found)
			continue;
		*ret_grant = found;
		return found->until > clock_now() ? g : NULL;
	}
	return NULL;
}

/* The same, and the grant is used up. */
static ManagerGuest *grant_take(
	const EnginePeer *peer, const uint8_t grant[GRANT_SIZE], bool *ret_first)
{
	struct grant *found = NULL;
	ManagerGuest *g = grant_owner(peer, grant, &found);

	if (!found)
		return NULL;
	*ret_first = found->first;
	explicit_bzero(found, sizeof(*found));
	return g;
}

bool guest_data_secret(
	Manager *m, uint32_t node, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE])
{
	const EnginePeer *peer = engine_peer_find(m->engine, node);
	struct grant *found;

	if (!peer || manager_peer_data(peer) != WIRE_DATA_ENCRYPTED)
		return false;
	if (!grant_owner(peer, grant, &found))
		return coherent_link_secret(m, node, grant, ret_secret);
	memcpy(ret_secret, found->secret, PEER_KEY_SIZE);
	return true;
}

/* Data connections */

/* No other than both nodes agreed on. */
static bool may_arrive(const EnginePeer *peer, bool encrypted)
{
	return peer &&
	       manager_peer_data(peer) == (encrypted ? WIRE_DATA_ENCRYPTED : WIRE_DATA_PLAIN);
}

void guest_data_arrived(Manager *m, int fd, uint32_t node, const uint8_t grant[16], bool encrypted)
{
	const EnginePeer *peer = engine_peer_find(m->engine, node);
	_cleanup_close_ int stream = fd;
	ManagerGuest *g;
	bool first;
	int r;

	if (peer && !may_arrive(peer, encrypted)) {
		log_limited("a data connection that says it is node %u's is refused: it is %s",
			node, encrypted ? "encrypted, which was not agreed on" : "not encrypted");
		return;
	}
	if (peer && coherent_link_arrived(m, &stream, peer, grant))
		return;
	g = peer ? grant_take(peer, grant, &first) : NULL;
	if (!g) {
		log_limited("a data connection that says it is node %u's is refused: its grant is "
			    "unknown, used or too old",
			node);
		return;
	}
	data_detach(m, g->engine);
	if (first)
		atomic_store(done_of(m, g), 0);
	fabric_tcp_tune(stream, (unsigned int)(g->engine->peer->detection / NSEC_PER_MSEC),
		m->options.config->tcp_congestion);
	r = data_attach(m, g->engine, stream, done_of(m, g));
	if (r < 0)
		log_limited(
			"a data connection of node %u cannot be served: %s", node, strerror(-r));
	else
		take_fd(&stream);
}

int guest_data(void *userdata, EngineClient *guest, uint64_t *ret_done, uint8_t ret_grant[16])
{
	ManagerGuest *g = manager_guest(guest);
	Manager *m = userdata;
	int r;

	if (manager_peer_data(guest->peer) == WIRE_DATA_IMPOSSIBLE)
		return STATUS_NOT_ENCRYPTED;
	data_detach(m, guest);
	grants_forget(g);
	r = grant_new(g, false, ret_grant);
	if (r < 0)
		return r;
	*ret_done = atomic_load(done_of(m, g));
	return 0;
}

/* Guests */

static int guest_save(Manager *m, ManagerGuest *g)
{
	const EngineClient *e = g->engine;
	struct record_guest record = {
		.id = e->id,
		.guest = e->guest,
		.peer = e->peer->number,
		.pid = e->identity.pid,
		.uid = e->identity.uid,
		.gid = e->identity.gid,
		.charged_uid = e->user->uid,
		.word = g->word,
	};

	memcpy(record.command, e->identity.command, sizeof(record.command));
	if (g->slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, RECORD_GUEST, &record, sizeof(record), &g->slot);
	journal_update(m->journal, g->slot, &record, sizeof(record));
	return 0;
}

static bool too_many(const EnginePeer *peer)
{
	const EngineClient *guest;
	uint32_t n = 0;

	list_for_each (guest, &peer->guests, guest_link)
		n++;
	return n > GUESTS_OF_PEER;
}

static int guest_new(Manager *m, EngineClient *guest)
{
	_cleanup_free_ ManagerGuest *g = NULL;
	int r;

	if (too_many(guest->peer))
		return STATUS_NO_RESOURCES;
	r = guests_need(m);
	if (r < 0)
		return r;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->engine = guest;
	g->slot = JOURNAL_NO_SLOT;
	r = idtable_add(&m->guests->words, g, &g->word);
	if (r < 0)
		return r;
	atomic_store(done_of(m, g), 0);
	guest->userdata = take_ptr(g);
	return 0;
}

void guest_free(void *userdata, EngineClient *guest)
{
	ManagerGuest *g = manager_guest(guest);
	Manager *m = userdata;

	if (!g)
		return;
	data_detach(m, guest);
	rdma_detach(m, guest);
	journal_remove(m->journal, g->slot);
	idtable_remove(&m->guests->words, g->word);
	guest->userdata = NULL;
	free(g);
}

/* Imports */

static int cell_prepare(Manager *m, EngineImport *import)
{
	struct cells *cells = &manager_segment(import->segment)->cells;
	int r = manager_segment_need_cells(m, import->segment);

	if (r == 0)
		r = cells_reserve(cells, import->cell);
	if (r < 0)
		return r;
	cells_clear(cells, import->cell);
	cells_begin_guest(cells, import->cell);
	return 0;
}

/* What clshm attaches is mapped: it needs neither key nor cell. */
static bool has_data(const EngineImport *import)
{
	return import->holding && import->holding->space != WIRE_SPACE_CLSHM;
}

static int data_prepare(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	int r = cell_prepare(m, import);

	if (r == 0)
		r = random_bytes(i->key, sizeof(i->key));
	return r ? r : data_grant(m, import);
}

/* The records are there before the key is told. */
static int import_new(Manager *m, EngineImport *import)
{
	EngineClient *guest = import->client;
	ManagerImport *i;
	int r = 0;

	if (!manager_guest(guest))
		r = guest_new(m, guest);
	if (r == 0)
		r = manager_import_new(import, 0, &i);
	if (r == 0 && has_data(import))
		r = data_prepare(m, import);
	if (r == 0)
		r = manager_save_counters(m);
	if (r == 0)
		r = guest_save(m, manager_guest(guest));
	return r ? r : manager_import_save(m, import);
}

int guest_equip(void *userdata, EngineImport *import, bool again, bool data, uint8_t ret_key[16],
	uint8_t ret_grant[16])
{
	Manager *m = userdata;
	int r = 0;

	if (manager_peer_data(import->client->peer) == WIRE_DATA_IMPOSSIBLE)
		return STATUS_NOT_ENCRYPTED;
	if (!again)
		r = import_new(m, import);
	if (r == 0 && data)
		r = grant_new(manager_guest(import->client), true, ret_grant);
	if (r)
		return r;
	engine_shm_attached(import, shm_now());
	memcpy(ret_key, manager_import(import)->key, FABRIC_KEY_SIZE);
	return 0;
}

void guest_signal(Manager *m, EngineImport *import)
{
	struct signals totals;
	struct wire_message said = {.type = WIRE_PEER_SIGNAL};

	if (!has_data(import) || !manager_import(import))
		return;
	totals = cells_take(&manager_segment(import->holding)->cells, import->cell);
	said.peer_signal = (struct wire_peer_signal){
		.client = import->client->guest,
		.index = import->index,
		.generation = import->generation,
		.total = totals.total,
		.once = totals.once,
	};
	manager_engine_ops.peer_send(m, import->client->peer, &said);
}

void guest_resumed(void *userdata, EngineImport *import)
{
	guest_signal(userdata, import);
}

/* After a restart */

static int words_restore(Manager *m, struct keeper_stored *stored)
{
	_cleanup_close_ int fd = -1;

	if (m->guests)
		return 0;
	fd = keeper_stored_take(stored, KEEP_DONE, 0);
	return fd < 0 ? -EBADMSG : guests_new(&fd, &m->guests);
}

/* The groups come with the next thing that the guest asks. */
int guest_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct engine_client_record client;
	struct record_guest record;
	EngineClient *guest;
	ManagerGuest *g;
	int r;

	r = words_restore(m, stored);
	if (r < 0)
		return r;
	journal_read(m->journal, slot, &record, sizeof(record));
	client = (struct engine_client_record){
		.id = record.id,
		.peer = record.peer,
		.guest = record.guest,
		.charged_uid = record.charged_uid,
		.identity = {.pid = record.pid, .uid = record.uid, .gid = record.gid},
	};
	memcpy(client.identity.command, record.command, sizeof(record.command));
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->word = record.word;
	g->slot = slot;
	r = idtable_add_at(&m->guests->words, record.word, g);
	if (r == 0) {
		r = engine_client_restore(m->engine, &client, &guest);
		if (r < 0)
			idtable_remove(&m->guests->words, record.word);
	}
	if (r < 0) {
		free(g);
		return r == -ENOMEM ? r : -EBADMSG;
	}
	g->engine = guest;
	guest->userdata = g;
	return 0;
}

int guest_restore_import(Manager *m, EngineImport *import, const uint8_t key[16])
{
	int r;

	memcpy(manager_import(import)->key, key, FABRIC_KEY_SIZE);
	if (!import->segment || !has_data(import))
		return 0;
	/* its predecessor may have died before it was a guest's */
	cells_begin_guest(&manager_segment(import->segment)->cells, import->cell);
	r = data_grant(m, import);
	/* what it does with memory that cannot be reached any more is refused */
	return MIN(r, 0);
}

void guests_drop_orphans(Manager *m)
{
	ManagerGuest *g;
	uint32_t word;

	if (!m->guests)
		return;
	idtable_for_each (&m->guests->words, word, g)
		if (!g->engine->guest_imports.root)
			engine_client_free(g->engine);
}
