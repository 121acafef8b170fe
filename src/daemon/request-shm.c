/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm.h"

#include "base/clock.h"
#include "daemon/shm-record.h"
#include "wire/status.h"

/* clshm: what processes of this node ask. Questions about another partition go there. */

#define TIMEOUT_MIN (100 * NSEC_PER_MSEC)
#define TIMEOUT_MAX (600 * NSEC_PER_SEC)
#define PAGES_MAX   (1ull << 47)

static uint32_t own_partition(const ManagerClient *c)
{
	return engine_node(c->manager->engine);
}

static uint32_t loss_of(const ManagerClient *c)
{
	return c->manager->options.config->on_loss;
}

static uint32_t major_of(uint32_t version)
{
	return version >> 16;
}

void shm_client_begin(ManagerClient *c, uint32_t version)
{
	struct Shm *shm = c->manager->shm;

	if (!c->shm_version)
		shm->n_clients++;
	c->shm_version = version;
}

void shm_client_gone(Manager *m, ManagerClient *c)
{
	if (!c->shm_version)
		return;
	c->shm_version = 0;
	if (--m->shm->n_clients == 0)
		shm_peer_keep(m, false);
}

int request_shm_hello(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_shm_hello_reply *p = &a->message.shm_hello_reply;
	const struct shm_settings *settings = shm_settings(c->manager);
	uint32_t version = q->message.shm_hello.version;

	if (major_of(version) != major_of(CLSHM_DAEM_VERSION))
		return STATUS_VERSION;
	if (own_partition(c) >= WIRE_SHM_PARTITIONS)
		return STATUS_NODE_UNKNOWN;
	if (settings->shut_down)
		return STATUS_NO_DAEMON;
	shm_client_begin(c, version);
	shm_peer_keep(c->manager, true);
	p->version = CLSHM_DAEM_VERSION;
	p->partition = own_partition(c);
	p->loss = loss_of(c);
	p->max_pages = shm_max_pages(c->manager);
	p->timeout = settings->timeout;
	return 0;
}

/* Whom it is for: WIRE_SHM_HERE, or any number at all. */
static uint32_t partition_of(const struct wire_message *q)
{
	switch (q->type) {
	case WIRE_SHM_KEY:
		return q->shm_key.partition;
	case WIRE_SHM_GET:
		return WIRE_SHM_PARTITION(q->shm_get.key);
	case WIRE_SHM_CONTROL:
		return WIRE_SHM_PARTITION(q->shm_control.shmid);
	case WIRE_SHM_STAT:
		return WIRE_SHM_PARTITION(q->shm_stat.shmid);
	case WIRE_SHM_PLACE:
		return q->shm_place.key ? WIRE_SHM_HERE : WIRE_SHM_PARTITION(q->shm_place.shmid);
	case WIRE_SHM_NODE:
		return WIRE_SHM_PARTITION(q->shm_node.shmid);
	default:
		return q->shm_list.partition;
	}
}

int request_shm(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct engine_shm_asker asker = {.identity = &c->engine->identity,
		.node = own_partition(c),
		.client = c->engine->id,
		.serial = q->message.serial,
		.now = shm_now()};
	uint32_t partition = partition_of(&q->message);

	if (partition == WIRE_SHM_HERE || partition == own_partition(c))
		return shm_serve(c->manager, &asker, &q->message, a);
	if (partition < WIRE_SHM_PARTITIONS)
		return shm_ask(c, q, partition);
	return q->message.type == WIRE_SHM_KEY || q->message.type == WIRE_SHM_LIST
		       ? STATUS_NODE_UNKNOWN
		       : STATUS_NOT_FOUND;
}

int request_shm_partitions(ManagerClient *c, struct request *q, struct reply *a)
{
	return shm_partitions(c, q, a);
}

static int configure(struct shm_settings *settings, uint32_t what, uint64_t value)
{
	switch (what) {
	case WIRE_SHM_STARTUP:
	case WIRE_SHM_SHUTDOWN:
		settings->shut_down = what == WIRE_SHM_SHUTDOWN;
		return 0;
	case WIRE_SHM_MAX_PAGES:
		settings->max_pages = value;
		return value > PAGES_MAX ? STATUS_BAD_REQUEST : 0;
	case WIRE_SHM_TIMEOUT:
		settings->timeout = value;
		return value < TIMEOUT_MIN || value > TIMEOUT_MAX ? STATUS_BAD_REQUEST : 0;
	default:
		return STATUS_BAD_REQUEST;
	}
}

int request_shm_configure(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_shm_configure *p = &q->message.shm_configure;
	struct shm_settings settings = *shm_settings(c->manager), before = settings;
	uid_t uid = c->engine->identity.uid;
	int r;

	if (uid != 0 && uid != geteuid())
		return STATUS_DENIED;
	r = configure(&settings, p->what, p->value);
	if (r)
		return r;
	c->manager->shm->settings = settings;
	r = shm_save_node(c->manager);
	if (r < 0)
		c->manager->shm->settings = before;
	else if (settings.shut_down != before.shut_down)
		shm_peer_settings_changed(c->manager);
	return r;
}
