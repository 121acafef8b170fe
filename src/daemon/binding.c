/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/binding.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/filler.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/record.h"
#include "wire/status.h"

#define UNSETTLED_TIME (60 * NSEC_PER_SEC) /* a client binds and says so, or has died */

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

static void filler_forget(struct binding *b)
{
	if (b->filler < 0)
		return;
	b->filler_ended = sd_event_source_disable_unref(b->filler_ended);
	b->filler = fd_close(b->filler);
	b->filler_pid = 0;
	keeper_link_drop(b->manager->link, KEEP_FILLER, (uint64_t)b->shmid);
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
		if (b->shmid == shmid)
			return b;
	return NULL;
}

static bool is_the_same(const struct binding *b, const struct sysv_segment *s)
{
	return s && s->creator == b->creator && s->size == b->size;
}

int bindings_refresh(Manager *m)
{
	_cleanup_(sysv_list_deinit) struct sysv_list list = {0};
	struct binding *b, *tmp;
	int r;

	if (list_empty(&m->bindings))
		return 0;
	r = sysv_list_read(&list);
	if (r < 0)
		return r;
	list_for_each_safe (b, tmp, &m->bindings, link) {
		const struct sysv_segment *s = sysv_list_find(&list, b->shmid);

		if (!is_the_same(b, s) ||
			(!b->settled && clock_now() - b->touched > UNSETTLED_TIME))
			binding_free(b);
		else
			b->present = s->resident + s->swapped;
	}
	return 0;
}

static struct claim claim_of(const struct binding *b)
{
	uint64_t present = MIN(b->present, b->size);

	return (struct claim){b->placement, b->huge ? 0 : b->size - present};
}

/* The new one first, then all others. */
static int admit(Manager *m, const struct binding *content)
{
	_cleanup_free_ struct claim *claims = calloc(BINDINGS_MAX + 1, sizeof(*claims));
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct binding *b;
	size_t n = 1;
	int r;

	if (!claims)
		return -ENOMEM;
	r = topology_read("", &topology);
	if (r < 0)
		return r;
	claims[0] = claim_of(content);
	list_for_each (b, &m->bindings, link)
		if (b->shmid != content->shmid)
			claims[n++] = claim_of(b);
	if (n > BINDINGS_MAX)
		return STATUS_NO_RESOURCES;
	return admission_allows(claims, n, &topology) ? 0 : STATUS_NO_MEMORY;
}

int binding_add(Manager *m, const struct binding *content)
{
	struct binding *old = binding_find(m, content->shmid), *b;
	struct record_binding record;
	int r;

	r = admit(m, content);
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

	if (recv(fd, &end, sizeof(end), MSG_DONTWAIT) == sizeof(end) && end.reason)
		log_info("segment %d: %s", b->shmid, filler_reason_text(end.reason));
	else
		log_warning("segment %d: the process that followed free memory died; what it chose "
			    "last stays",
			b->shmid);
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
	keeper_link_store(b->manager->link, KEEP_FILLER, (uint64_t)b->shmid, b->filler);
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
	r = insert(m, &content, &b);
	if (r < 0)
		return r;
	b->slot = slot;
	b->filler = keeper_stored_take(stored, KEEP_FILLER, (uint64_t)b->shmid);
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
			keeper_link_store(m->link, KEEP_FILLER, (uint64_t)b->shmid, b->filler);
}
