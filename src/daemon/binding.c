/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/binding.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/filler.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/manager-segment.h"
#include "daemon/record.h"
#include "wire/status.h"

#define UNSETTLED_TIME	(60 * NSEC_PER_SEC) /* a client binds and says so, or has died */
#define FILLER_PATIENCE 1000		    /* ms until who is killed is gone */

static void fill_record(const struct binding *b, struct record_binding *ret)
{
	*ret = (struct record_binding){
		.shmid = b->shmid,
		.creator = b->creator,
		.pid = b->pid,
		.uid = b->uid,
		.size = b->size,
		.created = b->created,
		.order = b->placement.order,
		.hard = b->placement.hard,
		.huge = b->huge,
		.settled = b->settled,
		.filler_pid = b->filler_pid,
		.instance = b->instance,
	};
	nodeset_put_bytes(&b->placement.nodes, ret->nodes);
}

static void save(struct binding *b)
{
	struct record_binding record;

	fill_record(b, &record);
	journal_update(b->manager->journal, b->slot, &record, sizeof(record));
}

static int insert(Manager *m, const struct binding *content, struct binding **ret_binding)
{
	struct binding *b = malloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	*b = *content;
	b->manager = m;
	b->touched = clock_now();
	b->filler = -1;
	b->filler_pid = 0;
	b->filler_ended = NULL;
	b->slot = JOURNAL_NO_SLOT;
	list_append(&m->bindings, &b->link);
	*ret_binding = b;
	return 0;
}

/* What the keeper has the filler's socket under. */
static uint32_t filler_kind(const struct binding *b)
{
	return b->instance ? KEEP_SHM_FILLER : KEEP_FILLER;
}

static uint64_t filler_key(const struct binding *b)
{
	return b->instance ? b->instance : (uint64_t)b->shmid;
}

static void filler_forget(struct binding *b)
{
	if (b->filler < 0)
		return;
	b->filler_ended = sd_event_source_disable_unref(b->filler_ended);
	b->filler = fd_close(b->filler);
	b->filler_pid = 0;
	keeper_link_drop(b->manager->link, filler_kind(b), filler_key(b));
}

void binding_stop_filler(struct binding *b)
{
	struct pollfd ended = {.fd = b->filler, .events = POLLIN};

	if (b->filler < 0)
		return;
	/* as long as nothing is to be read it lives, and the number is its own */
	if (poll(&ended, 1, 0) == 0 && kill(b->filler_pid, SIGKILL) == 0)
		(void)poll(&ended, 1, FILLER_PATIENCE);
	filler_forget(b);
}

void binding_free(struct binding *b)
{
	filler_forget(b);
	journal_remove(b->manager->journal, b->slot);
	list_unlink(&b->link);
	free(b);
}

struct binding *binding_find(Manager *m, int shmid)
{
	struct binding *b;

	list_for_each (b, &m->bindings, link)
		if (!b->instance && b->shmid == shmid)
			return b;
	return NULL;
}

struct binding *binding_find_instance(Manager *m, uint64_t instance)
{
	struct binding *b;

	list_for_each (b, &m->bindings, link)
		if (b->instance == instance)
			return b;
	return NULL;
}

/* The one that this is to take the place of. */
static struct binding *find_old(Manager *m, const struct binding *content)
{
	return content->instance ? binding_find_instance(m, content->instance)
				 : binding_find(m, content->shmid);
}

static bool has_sysv(Manager *m)
{
	struct binding *b;

	list_for_each (b, &m->bindings, link)
		if (!b->instance)
			return true;
	return false;
}

/* Of clshm: false if the segment is gone. */
static bool refresh_shm(struct binding *b)
{
	EngineSegment *segment = engine_segment_find_instance(b->manager->engine, b->instance);
	struct stat st;

	if (!segment || fstat(manager_segment(segment)->memory, &st) < 0)
		return false;
	b->present = (uint64_t)st.st_blocks * 512;
	return true;
}

static bool refresh_sysv(struct binding *b, const struct sysv_segment *s)
{
	if (!s || s->creator != b->creator || s->size != b->size ||
		(!b->settled && clock_now() - b->touched > UNSETTLED_TIME))
		return false;
	b->present = s->resident + s->swapped;
	return true;
}

int bindings_refresh(Manager *m)
{
	_cleanup_(sysv_list_deinit) struct sysv_list list = {0};
	struct binding *b, *tmp;
	bool known;
	int r;

	r = has_sysv(m) ? sysv_list_read(&list) : 0;
	if (r < 0)
		return r;
	list_for_each_safe (b, tmp, &m->bindings, link) {
		known = b->instance ? refresh_shm(b)
				    : refresh_sysv(b, sysv_list_find(&list, b->shmid));
		if (!known)
			binding_free(b);
	}
	return 0;
}

static struct claim claim_of(const struct binding *b)
{
	uint64_t present = MIN(b->present, b->size);

	return (struct claim){b->placement, b->huge ? 0 : b->size - present};
}

/* The new one first, then all others. */
int binding_admit(Manager *m, const struct binding *content)
{
	_cleanup_free_ struct claim *claims = calloc(BINDINGS_MAX + 1, sizeof(*claims));
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct binding *old = find_old(m, content), *b;
	size_t n = 1;
	int r;

	if (!claims)
		return -ENOMEM;
	claims[0] = claim_of(content);
	list_for_each (b, &m->bindings, link)
		if (b != old && n <= BINDINGS_MAX)
			claims[n++] = claim_of(b);
	if (n > BINDINGS_MAX)
		return STATUS_NO_RESOURCES;
	if (!content->placement.hard)
		return 0;
	r = topology_read("", &topology);
	if (r < 0)
		return r;
	return admission_allows(claims, n, &topology) ? 0 : STATUS_NO_MEMORY;
}

int binding_add(Manager *m, const struct binding *content)
{
	struct binding *old = find_old(m, content), *b;
	struct record_binding record;
	int r;

	r = binding_admit(m, content);
	if (r == 0)
		r = insert(m, content, &b);
	if (r)
		return r;
	fill_record(b, &record);
	r = journal_add(m->journal, RECORD_BINDING, &record, sizeof(record), &b->slot);
	if (r < 0) {
		binding_free(b);
		return r;
	}
	if (old)
		binding_free(old);
	return 0;
}

void binding_settle(struct binding *b)
{
	b->settled = true;
	save(b);
}

/* Fillers */

static int on_filler_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct binding *b = userdata;
	struct filler_end end = {0};
	char name[64];

	if (b->instance)
		snprintf(name, sizeof(name), "clshm segment of instance %" PRIu64, b->instance);
	else
		snprintf(name, sizeof(name), "segment %d", b->shmid);
	if (recv(fd, &end, sizeof(end), MSG_DONTWAIT) == sizeof(end) && end.reason)
		log_info("%s: %s", name, filler_reason_text(end.reason));
	else
		log_warning(
			"%s: the process that followed free memory died; what it chose last stays",
			name);
	filler_forget(b);
	save(b);
	return 0;
}

static int filler_watch(struct binding *b)
{
	return sd_event_add_io(
		b->manager->event, &b->filler_ended, b->filler, EPOLLIN, on_filler_ended, b);
}

int binding_start_filler(struct binding *b, int memory)
{
	static const char *const argv[] = {"causeway-fill", NULL};
	struct filler_order order = {.shmid = b->shmid, .hard = b->placement.hard, .size = b->size};
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], pid, r;

	filler_forget(b);
	nodeset_put_bytes(&b->placement.nodes, order.nodes);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return negative_errno();
	ours = pair[0];
	theirs = pair[1];
	r = fd_send(ours, &order, sizeof(order), &memory, 1, MSG_DONTWAIT);
	if (r == 0)
		r = keeper_spawn(argv, "--filler-fd", theirs, &pid);
	if (r < 0)
		return r;
	b->filler = take_fd(&ours);
	b->filler_pid = pid;
	r = filler_watch(b);
	if (r < 0) {
		filler_forget(b);
		return r;
	}
	keeper_link_store(b->manager->link, filler_kind(b), filler_key(b), b->filler);
	save(b);
	return 0;
}

/* Restart */

int binding_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_binding record;
	struct binding content, *b;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	content = (struct binding){
		.instance = record.instance,
		.shmid = record.shmid,
		.creator = record.creator,
		.size = record.size,
		.placement = {.order = record.order,
			.hard = record.hard,
			.nodes = nodeset_get_bytes(record.nodes)},
		.huge = record.huge,
		.settled = record.settled,
		.uid = record.uid,
		.pid = record.pid,
		.created = record.created,
	};
	if (content.instance && !engine_segment_find_instance(m->engine, content.instance))
		return -EBADMSG;
	r = insert(m, &content, &b);
	if (r < 0)
		return r;
	b->slot = slot;
	b->filler = keeper_stored_take(stored, filler_kind(b), filler_key(b));
	if (b->filler < 0)
		return 0;
	b->filler_pid = record.filler_pid;
	return filler_watch(b);
}

void bindings_store(Manager *m)
{
	struct binding *b;

	list_for_each (b, &m->bindings, link)
		if (b->filler >= 0)
			keeper_link_store(m->link, filler_kind(b), filler_key(b), b->filler);
}
