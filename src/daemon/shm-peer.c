/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-peer.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/shm.h"
#include "wire/status.h"

/*
 * Which partitions are up. While a process here uses clshm there is a session with every node that
 * can be a partition, and on each connection both say what they have: PEER_SHM_HELLO. What was said
 * is good until the session ends, or something else is said.
 *
 * peers->shm_keep: sessions are kept. peers->n_shm_first: partners (shm.first) of whom, since that
 * began, it is not known yet whether they are up.
 */

/* PEER_SHM_… are new with it. */
#define MINOR 3u

bool shm_peer_speaks(uint32_t version)
{
	return version >> 16 == CLSHM_DAEM_VERSION >> 16;
}

bool shm_peer_knows(const ManagerPeer *p, uint32_t type)
{
	return p->minor >= MINOR || type < WIRE_PEER_SHM_HELLO || type > WIRE_PEER_SHM_GONE;
}

bool shm_peer_is_foreign(const ManagerPeer *p)
{
	return p->shm.version && !shm_peer_speaks(p->shm.version);
}

static bool is_partner(const ManagerPeer *p)
{
	return p->listed && p->number < WIRE_SHM_PARTITIONS;
}

uint32_t shm_peer_version(const Manager *m)
{
	return shm_settings(m)->shut_down ? 0 : CLSHM_DAEM_VERSION;
}

void shm_peer_host(char ret_host[64])
{
	char host[256];

	if (gethostname(host, sizeof(host)) < 0)
		host[0] = 0;
	host[63] = 0;
	memcpy(ret_host, host, 64);
}

/* What the others say */

static void take_host(ManagerPeer *p, const char *host)
{
	char *to = p->shm.host;
	size_t n = strnlen(host, sizeof(p->shm.host) - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = isascii(host[i]) && isgraph((unsigned char)host[i]) ? host[i] : '?';
	to[n] = 0;
}

static void complain(ManagerPeer *p)
{
	if (!p->shm.complained)
		log_limited("node %u has clshm of another major version than %u: they are no "
			    "partitions for each other",
			p->number, CLSHM_DAEM_VERSION >> 16);
	p->shm.complained = true;
}

void shm_peer_heard(ManagerPeer *p, uint32_t version, const char *host)
{
	p->shm.version = version;
	take_host(p, host);
	if (shm_peer_is_foreign(p))
		complain(p);
	else
		p->shm.complained = false;
}

/* What has been asked in the session ends, too, but that is heard later. */
void shm_peer_lost(ManagerPeer *p)
{
	p->shm.version = 0;
	p->shm.asked = false;
}

void shm_peer_anew(ManagerPeer *p)
{
	p->shm.anew = true;
}

/* What we say */

static struct wire_message hello(const Peers *peers)
{
	struct wire_message m = {.type = WIRE_PEER_SHM_HELLO,
		.peer_shm_hello = {
			.version = shm_peer_version(peers->manager), .keep = peers->shm_keep}};

	shm_peer_host(m.peer_shm_hello.host);
	return m;
}

/* Something has changed here. When there is no connection the next one begins with it, unless an
 * older hello is said there again. */
static void tell(ManagerPeer *p)
{
	struct wire_message m = hello(p->peers);

	p->shm.changed = p->shm.asked;
	m.flags = WIRE_ONEWAY;
	if (p->up && shm_peer_knows(p, m.type))
		peer_link_send(p->link, &m);
}

/* Whoever waited to know which are up. */
static void go_on(Manager *m)
{
	ManagerClient *c, *tmp;

	list_for_each_safe (c, tmp, &m->clients, link)
		if (c->again.type == WIRE_SHM_PARTITION_LIST)
			manager_client_go_on(c);
}

static void say_hello(ManagerPeer *p);

static void on_hello(void *userdata, int status, const struct wire_message *reply)
{
	ManagerPeer *p = userdata;
	Peers *peers = p->peers;

	p->shm.asked = false;
	if (status == 0)
		shm_peer_heard(
			p, reply->peer_shm_hello_reply.version, reply->peer_shm_hello_reply.host);
	else if (status == STATUS_VERSION || status == STATUS_NOT_SUPPORTED)
		p->shm.version = 0;
	if (status == STATUS_VERSION)
		complain(p);
	if (p->shm.changed)
		tell(p);
	if (status == STATUS_TIMED_OUT && p->up && peers->shm_keep)
		say_hello(p);
	if (!p->shm.first)
		return;
	p->shm.first = false;
	if (--peers->n_shm_first == 0)
		go_on(peers->manager);
}

/* Who does not answer in the detection time is not up; and no call may last longer than its bound.
 */
static void say_hello(ManagerPeer *p)
{
	Manager *m = p->peers->manager;
	const struct wire_message message = hello(p->peers);
	uint64_t timeout = MIN(m->options.config->detection_time, shm_settings(m)->timeout);
	int r = manager_peer_request_within(m, p->number, &message, timeout, on_hello, p);

	p->shm.asked = r == 0;
	if (r < 0)
		log_limited("node %u cannot be asked about clshm: %s", p->number, strerror(-r));
}

void shm_peer_connected(ManagerPeer *p)
{
	if (p->shm.anew && is_partner(p))
		engine_shm_maker_gone(p->peers->manager->engine, p->number, 0);
	p->shm.anew = false;
	if (p->peers->shm_keep && is_partner(p) && !p->shm.asked)
		say_hello(p);
}

/* Sessions */

static void begin(ManagerPeer *p)
{
	if (p->shm.asked)
		tell(p);
	else
		say_hello(p);
	if (!p->shm.asked || p->shm.first)
		return;
	p->shm.first = true;
	p->peers->n_shm_first++;
}

/* There was no memory to ask it, or it has nothing. */
static bool is_silent(const ManagerPeer *p)
{
	return p->up && !p->shm.version && !p->shm.asked;
}

void shm_peer_keep(Manager *m, bool keep)
{
	Peers *peers = m->peers;
	bool before;
	int r;

	if (!peers || peers->self >= WIRE_SHM_PARTITIONS)
		return;
	before = peers->shm_keep;
	peers->shm_keep = keep;
	r = engine_keep_sessions(m->engine, keep ? WIRE_SHM_PARTITIONS : 0, manager_peers_now());
	if (r < 0)
		log_limited("not all partitions can be kept in sight: %s", strerror(-r));
	for (uint32_t i = 0; i < peers->n; i++) {
		ManagerPeer *p = peers->by_number[i];

		if (is_partner(p) && keep && (!before || is_silent(p)))
			begin(p);
		else if (is_partner(p) && keep != before)
			tell(p);
	}
}

void shm_peer_settings_changed(Manager *m)
{
	for (uint32_t i = 0; m->peers && i < m->peers->n; i++)
		if (is_partner(m->peers->by_number[i]))
			tell(m->peers->by_number[i]);
}

/* The partitions */

static uint8_t *put_self(Manager *m, uint8_t *at, const uint8_t *end)
{
	struct wire_shm_partition row = {
		.partition = engine_node(m->engine), .version = CLSHM_DAEM_VERSION};

	shm_peer_host(row.host);
	return wire_put_shm_partition(at, end, &row);
}

static uint8_t *put_partner(const ManagerPeer *p, uint8_t *at, const uint8_t *end)
{
	struct wire_shm_partition row = {.partition = p->number, .version = p->shm.version};

	memcpy(row.host, p->shm.host, sizeof(row.host));
	return wire_put_shm_partition(at, end, &row);
}

static bool is_up(const ManagerPeer *p)
{
	return is_partner(p) && p->shm.version && shm_peer_speaks(p->shm.version);
}

int shm_partitions(ManagerClient *c, const struct request *request, struct reply *a)
{
	Manager *m = c->manager;
	const Peers *peers = m->peers;
	uint32_t self = engine_node(m->engine), n = 0, i = 0;
	const uint8_t *end = reply_tail_end(a);
	uint8_t *at = a->tail;

	if (peers && peers->n_shm_first > 0)
		return REQUEST_AGAIN;
	for (; peers && i < peers->n && peers->by_number[i]->number < self; i++)
		if (is_up(peers->by_number[i]) && ++n)
			at = put_partner(peers->by_number[i], at, end);
	if (shm_peer_version(m) && ++n)
		at = put_self(m, at, end);
	for (; peers && i < peers->n; i++)
		if (is_up(peers->by_number[i]) && ++n)
			at = put_partner(peers->by_number[i], at, end);
	a->message.shm_partition_list_reply.n = n;
	reply_set_tail(a, at);
	return 0;
}

/* Processes of ours that made keys elsewhere */

static void on_gone(void *userdata, int status, const struct wire_message *reply)
{
}

/* A predecessor knew where a restored one has made keys. */
static bool may_have_keys(const ManagerClient *c, const ManagerPeer *p)
{
	return c->shm_keys & 1ull << p->number || (c->restored && is_up(p));
}

void shm_peer_client_gone(ManagerClient *c)
{
	const struct wire_message m = {.type = WIRE_PEER_SHM_GONE,
		.peer_shm_gone = {.version = CLSHM_DAEM_VERSION, .client = c->engine->id}};
	Peers *peers = c->manager->peers;

	for (uint32_t i = 0; peers && !peers->leaving && i < peers->n; i++)
		if (is_partner(peers->by_number[i]) && may_have_keys(c, peers->by_number[i]))
			manager_peer_request(
				c->manager, peers->by_number[i]->number, &m, on_gone, NULL);
}
