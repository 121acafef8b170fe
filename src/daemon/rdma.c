/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rdma.h"

#include <linux/capability.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "fabric/ofi/ofi.h"
#include "wire/status.h"

#define ASKED_MAX 1024u /* at a time: a peer may ask faster than memory can be registered */

struct Rdma {
	Manager *manager;
	uint32_t n_asked;
	enum ofi_kind kind; /* what it would be, if target is NULL */
	OfiTarget *target;
	char address[64];
	char why[OFI_WHY_SIZE]; /* it does not do it */
	int wake;
	sd_event_source *woken;
	pthread_mutex_t mutex; /* answers */
	struct list answers;   /* from the target's thread */
};

/* Somebody waits for an offer: the peer, who may have gone, or be in another session. */
struct asked {
	struct list link; /* in answers, once there is a result */
	Rdma *rdma;
	uint32_t node;
	uint64_t session, serial;
	int result;
	struct ofi_offer offer;
};

/* --- answers --- */

static void on_offered(void *userdata, void *context, int result, const struct ofi_offer *offer)
{
	struct asked *a = context;
	Rdma *rdma = userdata;

	a->result = result;
	if (offer)
		a->offer = *offer;
	pthread_mutex_lock(&rdma->mutex);
	list_append(&rdma->answers, &a->link);
	pthread_mutex_unlock(&rdma->mutex);
	eventfd_write(rdma->wake, 1);
}

/* In the target's thread; stderr is shared by all. */
static void on_say(void *userdata, const char *sentence)
{
	log_warning("%s", sentence);
}

static void fill_offer(const struct ofi_offer *offer, struct wire_peer_rdma_reply *to)
{
	*to = (struct wire_peer_rdma_reply){
		.kind = offer->kind,
		.rights = offer->rights,
		.endpoint = offer->endpoint,
		.key = offer->key,
		.base = offer->base,
		.size = offer->size,
		.address_size = offer->address_size,
	};
	static_assert(sizeof(to->address) == sizeof(offer->address), "part of the protocol");
	memcpy(to->address, offer->address, sizeof(to->address));
	memcpy(to->ticket, offer->ticket, sizeof(to->ticket));
}

static void reply(ManagerPeer *p, uint64_t serial, int status, const struct ofi_offer *offer)
{
	struct wire_message m = {
		.type = WIRE_PEER_RDMA_REPLY, .serial = serial, .status = (uint32_t)status};

	if (offer)
		fill_offer(offer, &m.peer_rdma_reply);
	peer_link_send(p->link, &m);
}

/* One that is not there any more asks again, if it wants. */
static void tell(Rdma *rdma, const struct asked *a)
{
	ManagerPeer *p = manager_peer_find(rdma->manager, a->node);

	if (!p || !p->up || !p->engine || p->engine->session != a->session)
		return;
	if (a->result)
		reply(p, a->serial, STATUS_NOT_SUPPORTED, NULL);
	else
		reply(p, a->serial, 0, &a->offer);
}

static struct asked *next_answer(Rdma *rdma)
{
	struct asked *a;

	pthread_mutex_lock(&rdma->mutex);
	a = list_first(&rdma->answers, struct asked, link);
	if (a)
		list_unlink(&a->link);
	pthread_mutex_unlock(&rdma->mutex);
	return a;
}

static int on_answers(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Rdma *rdma = userdata;
	struct asked *a;
	eventfd_t value;

	(void)eventfd_read(fd, &value);
	while ((a = next_answer(rdma))) {
		tell(rdma, a);
		free(a);
		rdma->n_asked--;
	}
	return 0;
}

/* --- offers --- */

static int ask_target(ManagerPeer *p, EngineImport *import, uint64_t serial)
{
	Rdma *rdma = p->peers->manager->rdma;
	_cleanup_free_ struct asked *a = calloc(1, sizeof(*a));
	struct fabric_region region;
	struct fabric_key key;
	int r;

	if (rdma->n_asked >= ASKED_MAX)
		return STATUS_NO_RESOURCES;
	if (!a)
		return -ENOMEM;
	*a = (struct asked){
		.rdma = rdma, .node = p->number, .session = p->engine->session, .serial = serial};
	if (!data_region(import, &key, &region))
		return STATUS_NOT_SUPPORTED;
	r = ofi_target_offer(rdma->target, &key, &region, a);
	if (r)
		return r;
	rdma->n_asked++;
	take_ptr(a);
	return 0;
}

/* 0: the answer comes later. */
static int serve(ManagerPeer *p, const struct wire_message *m)
{
	const struct wire_peer_rdma *q = &m->peer_rdma;
	EngineImport *import;

	if (!p->engine || !rdma_kind(p->peers->manager) || rdma_kind(p->peers->manager) != p->rdma)
		return STATUS_NOT_SUPPORTED;
	import = engine_guest_import_find(p->engine, q->client, q->index, q->generation);
	if (!import || import->state != WIRE_IMPORT_CONNECTED)
		return STATUS_BAD_HANDLE;
	if (manager_segment(import->segment)->coherent)
		return STATUS_NOT_SUPPORTED;
	return ask_target(p, import, m->serial);
}

void rdma_serve(ManagerPeer *p, const struct wire_message *m)
{
	int r = serve(p, m);

	if (r)
		reply(p, m->serial, (int)request_status(r), NULL);
}

void rdma_revoke(Manager *m, const EngineImport *import)
{
	struct fabric_region region;
	struct fabric_key key;

	if (m->rdma && m->rdma->target && data_region(import, &key, &region))
		ofi_target_revoke(m->rdma->target, &key);
}

void rdma_detach(Manager *m, const EngineClient *guest)
{
	if (m->rdma && m->rdma->target)
		ofi_target_detach(m->rdma->target, guest->id);
}

void rdma_withdraw(Manager *m, EngineSegment *segment)
{
	EngineImport *import;

	manager_segment(segment)->coherent = true;
	list_for_each (import, &segment->imports, link)
		if (import_is_guest(import))
			rdma_revoke(m, import);
}

/* --- what there is --- */

uint32_t rdma_kind(const Manager *m)
{
	return m->rdma && m->rdma->target ? m->rdma->kind : OFI_NONE;
}

bool rdma_may_reach(const Manager *m, const ManagerPeer *p)
{
	uint32_t kind = rdma_kind(m);

	return kind && (p->rdma == kind || !p->incarnation);
}

/* All ones: as much as it likes. */
static uint64_t may_lock(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY ||
		(geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_IPC_LOCK, 0, 0, 0) == 1))
		return UINT64_MAX;
	return limit.rlim_cur;
}

void rdma_fill_status(Manager *m, uint32_t node, struct wire_rdma_status_reply *ret)
{
	const ManagerPeer *p = node && m->peers ? manager_peer_find(m, node) : NULL;
	const Rdma *rdma = m->rdma;

	*ret = (struct wire_rdma_status_reply){
		.kind = rdma_kind(m), .there = p ? p->rdma : 0, .memlock = may_lock()};
	snprintf(ret->setting, sizeof(ret->setting), "%s", m->options.config->rdma);
	snprintf(ret->library, sizeof(ret->library), "%s", ofi_version());
	if (!rdma)
		return;
	snprintf(ret->provider, sizeof(ret->provider), "%s", ofi_kind_name(rdma->kind));
	snprintf(ret->address, sizeof(ret->address), "%s", rdma->address);
	snprintf(ret->why, sizeof(ret->why), "%s", rdma->why);
	if (rdma->target)
		ofi_target_count(rdma->target, &ret->bytes, &ret->n_keys);
}

/* --- beginning and end --- */

/* The adapter's address, in numbers. -errno, and why. */
static int find_address(Rdma *rdma)
{
	const struct config *config = rdma->manager->options.config;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char host[CONFIG_HOST_MAX];
	struct addrinfo *found;
	uint32_t port;
	int r;

	if (config->rdma_address[0])
		config_address_parse(config->rdma_address, host, &port);
	else
		snprintf(host, sizeof(host), "%s",
			membership_find(rdma->manager->peers->members, config->node_id)->host);
	r = getaddrinfo(host, NULL, &hints, &found);
	if (r == 0) {
		r = getnameinfo(found->ai_addr, found->ai_addrlen, rdma->address,
			sizeof(rdma->address), NULL, 0, NI_NUMERICHOST);
		freeaddrinfo(found);
	}
	if (r)
		snprintf(rdma->why, sizeof(rdma->why), "%.100s has no address: %s", host,
			gai_strerror(r));
	return r ? -EHOSTUNREACH : 0;
}

static int start(Rdma *rdma)
{
	struct ofi_target_options options = {
		.kind = rdma->kind,
		.address = rdma->address,
		.say = on_say,
		.offered = on_offered,
		.userdata = rdma,
	};
	int r;

	if (rdma->manager->options.config->data_encryption) {
		snprintf(rdma->why, sizeof(rdma->why),
			"DataEncryption=require, and what goes by RDMA is not encrypted");
		return -EPERM;
	}
	r = find_address(rdma);
	if (r)
		return r;
	rdma->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rdma->wake < 0)
		return negative_errno();
	r = sd_event_add_io(
		rdma->manager->event, &rdma->woken, rdma->wake, EPOLLIN, on_answers, rdma);
	return r < 0 ? r : ofi_target_new(&options, rdma->why, &rdma->target);
}

void rdma_free(Rdma *rdma)
{
	struct asked *a;

	if (!rdma)
		return;
	ofi_target_free(rdma->target);
	while ((a = next_answer(rdma)))
		free(a);
	sd_event_source_disable_unref(rdma->woken);
	fd_close(rdma->wake);
	pthread_mutex_destroy(&rdma->mutex);
	free(rdma);
}

/* A node without others has nobody to do it with. */
void rdma_begin(Manager *m)
{
	enum ofi_kind kind;
	bool automatic;
	Rdma *rdma;
	int r;

	if (!m->peers || ofi_kind_parse(m->options.config->rdma, &kind, &automatic) < 0)
		return;
	if (automatic)
		kind = ofi_hardware();
	if (kind == OFI_NONE)
		return;
	rdma = calloc(1, sizeof(*rdma));
	if (!rdma)
		return;
	rdma->manager = m;
	rdma->kind = kind;
	rdma->wake = -1;
	list_init(&rdma->answers);
	pthread_mutex_init(&rdma->mutex, NULL);
	m->rdma = rdma;
	r = start(rdma);
	if (r < 0 && !rdma->why[0])
		snprintf(rdma->why, sizeof(rdma->why), "%s", strerror(-r));
	if (r < 0)
		log_warning("no RDMA: %s", rdma->why);
	else
		log_info("RDMA by provider %s of libfabric %s at %s", ofi_kind_name(kind),
			ofi_version(), rdma->address);
}
