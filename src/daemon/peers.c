/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "daemon/data-arrival.h"
#include "daemon/guest.h"
#include "daemon/log.h"
#include "membership/static/static.h"

/* Who the other nodes are; the beginning and the end; time. */

#define LEAVE_TIMEOUT (300 * NSEC_PER_MSEC)

uint64_t manager_peers_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* The place of this number, or where it belongs. */
static uint32_t place_of(const Peers *peers, uint32_t node)
{
	uint32_t low = 0, high = peers->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (peers->by_number[middle]->number < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

ManagerPeer *manager_peer_find(Manager *m, uint32_t node)
{
	const Peers *peers = m->peers;
	uint32_t i;

	if (!peers)
		return NULL;
	i = place_of(peers, node);
	return i < peers->n && peers->by_number[i]->number == node ? peers->by_number[i] : NULL;
}

/* What the files say */

struct listing {
	Membership *members;
	PeerKeys *keys; /* NULL: this node is alone */
};

static void listing_deinit(struct listing *l)
{
	membership_free(l->members);
	peer_keys_free(l->keys);
}

static int read_members(const struct config *config, Membership **ret_members)
{
	_cleanup_free_ struct member *members = calloc(config->n_nodes, sizeof(*members));

	if (!members)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_nodes; i++)
		members[i] = (struct member){.node = config->nodes[i].number,
			.port = config->nodes[i].port,
			.host = config->nodes[i].host};
	return membership_static_new(members, config->n_nodes, ret_members);
}

static int listing_read(
	const struct config *config, struct listing *ret_listing, char error[PEER_KEYS_ERROR_MAX])
{
	_cleanup_(listing_deinit) struct listing l = {NULL, NULL};
	_cleanup_free_ char *path = NULL;
	int r;

	snprintf(error, PEER_KEYS_ERROR_MAX, "out of memory");
	r = read_members(config, &l.members);
	if (r == 0)
		r = config_path(config, config->key_file, &path);
	if (r == 0)
		r = peer_keys_load(path, &l.keys, error);
	if (r == -ENOENT && membership_count(l.members) == 1)
		r = 0;
	if (r < 0)
		return r;
	*ret_listing = l;
	l = (struct listing){NULL, NULL};
	return 0;
}

/* Taking it over */

static ManagerPeer *peer_new(Peers *peers, uint32_t number)
{
	ManagerPeer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->peers = peers;
	p->number = number;
	p->slot = JOURNAL_NO_SLOT;
	list_init(&p->deferred);
	list_init(&p->requests);
	return p;
}

/* Makes what the list needs; in vain if there is not enough memory, but nothing is lost then. */
static int make_peers(Peers *peers, const Membership *members)
{
	const struct member *member = NULL;
	ManagerPeer **grown;
	uint32_t i;

	grown = reallocarray(
		peers->by_number, peers->n + membership_count(members), sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	peers->by_number = grown;
	while ((member = membership_next(members, member ? member->node : 0))) {
		i = place_of(peers, member->node);
		if (member->node == peers->self ||
			(i < peers->n && grown[i]->number == member->node))
			continue;
		memmove(grown + i + 1, grown + i, (peers->n - i) * sizeof(*grown));
		peers->n++;
		grown[i] = peer_new(peers, member->node);
		if (grown[i])
			continue;
		peers->n--;
		memmove(grown + i, grown + i + 1, (peers->n - i) * sizeof(*grown));
		return -ENOMEM;
	}
	return 0;
}

/* May what there is with this peer go on? */
static bool keeps(const ManagerPeer *p, const struct listing *l)
{
	const uint8_t *key = peer_keys_find(l->keys, p->number);

	if (!membership_find(l->members, p->number))
		return false;
	return !p->has_key || (key && !memcmp(key, p->key, PEER_KEY_SIZE));
}

/* Tells the engine the list; without those whose key has changed first, so that it forgets them. */
static int tell_engine(Peers *peers, const struct listing *l)
{
	_cleanup_free_ uint32_t *nodes = calloc(membership_count(l->members), sizeof(*nodes));
	const struct member *member = NULL;
	Engine *engine = peers->manager->engine;
	uint32_t n = 0, n_kept = 0;
	int r;

	if (!nodes)
		return -ENOMEM;
	for (uint32_t i = 0; i < peers->n; i++)
		if (keeps(peers->by_number[i], l))
			nodes[n_kept++] = peers->by_number[i]->number;
	r = engine_set_nodes(engine, nodes, n_kept, manager_peers_now());
	if (r < 0)
		return r;
	while ((member = membership_next(l->members, member ? member->node : 0)))
		nodes[n++] = member->node;
	return engine_set_nodes(engine, nodes, n, manager_peers_now());
}

static void set_key(ManagerPeer *p, const uint8_t *key)
{
	p->has_key = key != NULL;
	if (key)
		memcpy(p->key, key, PEER_KEY_SIZE);
	else
		explicit_bzero(p->key, PEER_KEY_SIZE);
}

static void adopt(Peers *peers, struct listing *l)
{
	for (uint32_t i = 0; i < peers->n; i++) {
		ManagerPeer *p = peers->by_number[i];
		bool kept = keeps(p, l);

		p->listed = membership_find(l->members, p->number) != NULL;
		set_key(p, p->listed ? peer_keys_find(l->keys, p->number) : NULL);
		if (kept)
			continue;
		p->trouble[0] = '\0';
		manager_peer_disconnect(p);
		peer_requests_fail(p, false, p->listed ? STATUS_NODE_LOST : STATUS_NODE_UNKNOWN);
	}
	membership_free(peers->members);
	peers->members = take_ptr(l->members);
}

/* Those that nobody knows any more. */
static void forget_unlisted(Peers *peers)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < peers->n; i++) {
		ManagerPeer *p = peers->by_number[i];

		if (p->listed || p->engine || !list_empty(&p->requests))
			peers->by_number[kept++] = p;
		else
			free(p);
	}
	peers->n = kept;
}

static int take_listing(Peers *peers, struct listing *l)
{
	int r = make_peers(peers, l->members);

	if (r == 0)
		r = tell_engine(peers, l);
	if (r < 0)
		return r;
	adopt(peers, l);
	forget_unlisted(peers);
	return 0;
}

/* Reloading */

static bool same_place(const Peers *peers, const struct config *old, const struct config *new)
{
	const struct member *self = membership_find(peers->members, peers->self);
	const struct config_node *node = config_find_node(new, peers->self);

	return !strcmp(old->listen, new->listen) && !strcmp(self->host, node->host) &&
	       self->port == node->port;
}

static int check_reload(Manager *m, const struct config *config, char *trouble, size_t size)
{
	const char *why = NULL;

	if (!m->peers)
		why = "this node was started without [Nodes]; restart it to join others";
	else if (config->n_nodes == 0)
		why = "[Nodes] is gone from the configuration; restart this node to leave the "
		      "others";
	else if (config->node_id != m->peers->self)
		why = "NodeId= has changed, which takes a restart of the node";
	else if (!same_place(m->peers, m->options.config, config))
		why = "this node's own address has changed, which takes a restart of the node";
	if (!why)
		return 0;
	snprintf(trouble, size, "%s", why);
	return -EINVAL;
}

int manager_peers_reload(Manager *m, char *trouble, size_t size)
{
	const struct config *present = m->options.config;
	_cleanup_(config_free_p) struct config *config = NULL;
	_cleanup_(listing_deinit) struct listing l = {NULL, NULL};
	char error[CONFIG_ERROR_MAX], key_error[PEER_KEYS_ERROR_MAX];
	int r;

	if (config_load(present->dir_named ? present->dir : NULL, &config, error) < 0) {
		snprintf(trouble, size, "%s", error);
		return -EINVAL;
	}
	r = check_reload(m, config, trouble, size);
	if (r < 0)
		return r;
	if (listing_read(config, &l, key_error) < 0) {
		snprintf(trouble, size, "%s", key_error);
		return -EINVAL;
	}
	r = take_listing(m->peers, &l);
	if (r < 0) {
		snprintf(trouble, size, "%s", strerror(-r));
		return -EINVAL;
	}
	log_info("the node list was read again: %u nodes", engine_count_nodes(m->engine));
	return 0;
}

int manager_peers_on_hangup(
	sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	char trouble[512];

	if (manager_peers_reload(userdata, trouble, sizeof(trouble)) < 0)
		log_error("the node list stays as it was: %s", trouble);
	return 0;
}

/* Time */

/* What has come while we were not looking was said in time. */
static void read_pending(Peers *peers)
{
	for (uint32_t i = 0; i < peers->n; i++)
		if (peers->by_number[i]->link)
			peer_link_read_pending(peers->by_number[i]->link);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	Peers *peers = userdata;

	read_pending(peers);
	engine_tick(peers->manager->engine, manager_peers_now());
	return 0;
}

/* Before each wait of the loop: whatever has happened, the engine's next time is known. */
static int on_prepare(sd_event_source *source, void *userdata)
{
	Peers *peers = userdata;
	uint64_t next = engine_next(peers->manager->engine);

	if (next != UINT64_MAX)
		next = next / NSEC_PER_USEC + 1;
	return sd_event_source_set_time(source, next);
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	Peers *peers = userdata;
	ManagerPeer *p;

	while ((p = list_first(&peers->deferred_peers, ManagerPeer, deferred)))
		manager_peer_tell(p);
	peer_requests_tell(peers);
	return 0;
}

static int sources_new(Peers *peers)
{
	sd_event *event = peers->manager->event;
	int r;

	r = sd_event_add_defer(event, &peers->deferred, on_deferred, peers);
	if (r == 0)
		r = sd_event_source_set_enabled(peers->deferred, SD_EVENT_OFF);
	if (r == 0)
		r = sd_event_add_time(
			event, &peers->tick, CLOCK_BOOTTIME, UINT64_MAX, 1, on_tick, peers);
	if (r == 0)
		r = sd_event_source_set_prepare(peers->tick, on_prepare);
	return r < 0 ? r : sd_event_source_set_enabled(peers->tick, SD_EVENT_ON);
}

/* Beginning and end */

static void on_data(void *userdata, int fd, uint32_t node, const uint8_t grant[16])
{
	Peers *peers = userdata;

	guest_data_arrived(peers->manager, fd, node, grant, false);
}

static const struct port_ops port_ops = {
	.tls = manager_peer_arrived,
	.cut = manager_peer_arrival_cut,
	.data = on_data,
	.data_tls = data_arrival_begin,
	.data_cut = data_arrival_cut,
};

/* Who may see and change a daemon's memory is its user; root's daemon speaks for all. */
static int set_self(Manager *m)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return -EIO;
	engine_set_self(m->engine, journal_incarnation(m->journal), geteuid(), secret);
	return 0;
}

static int peers_new(Manager *m, Peers **ret_peers)
{
	Peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return -ENOMEM;
	peers->manager = m;
	peers->self = m->options.config->node_id;
	peers->listen = -1;
	list_init(&peers->deferred_peers);
	list_init(&peers->finished_requests);
	*ret_peers = peers;
	return 0;
}

static int take_port(Manager *m, struct keeper_stored *stored)
{
	Peers *peers = m->peers;
	int r;

	peers->listen = keeper_stored_take(stored, KEEP_PORT, 0);
	if (peers->listen >= 0)
		return 0;
	r = port_open(m->options.config, &peers->listen);
	if (r == 0)
		manager_peers_store(m);
	return r;
}

static int begin_listing(Manager *m)
{
	_cleanup_(listing_deinit) struct listing l = {NULL, NULL};
	char error[PEER_KEYS_ERROR_MAX];
	int r;

	r = listing_read(m->options.config, &l, error);
	if (r < 0) {
		log_error("%s", error);
		return r;
	}
	return take_listing(m->peers, &l);
}

int manager_peers_begin(Manager *m, struct keeper_stored *stored)
{
	int r;

	if (m->options.config->n_nodes == 0 || m->options.embedded)
		return 0;
	r = peers_new(m, &m->peers);
	if (r == 0)
		r = set_self(m);
	if (r == 0)
		r = sources_new(m->peers);
	if (r == 0)
		r = begin_listing(m);
	return r < 0 ? r : take_port(m, stored);
}

int manager_peers_start(Manager *m)
{
	Peers *peers = m->peers;

	return peers ? port_new(m, peers->listen, &port_ops, peers, &peers->port) : 0;
}

void manager_peers_store(Manager *m)
{
	if (m->peers)
		keeper_link_store(m->link, KEEP_PORT, 0, m->peers->listen);
}

void manager_peers_leave(Manager *m)
{
	Peers *peers = m->peers;

	if (!peers)
		return;
	port_free(peers->port);
	peers->port = NULL;
	peers->leaving = true;
	engine_peers_leave(m->engine, manager_peers_now());
	peer_link_flush_all(LEAVE_TIMEOUT);
}
