/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include "daemon/coherent-loss.h"
#include "daemon/coherent-sleep.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "wire/status.h"

/* What a pager does to memory and mappers. */

#define PROTECT_PIECE (1ull << 30) /* bytes of all mappers that are protected at once */

/* Mappers */

static unsigned int choose_group(const CoherentPart *part)
{
	unsigned int best = 0;

	for (unsigned int i = 0; i < PAGER_GROUPS && part->n_mappers[best]; i++)
		if (part->n_mappers[i] < part->n_mappers[best])
			best = i;
	return best;
}

static bool has_room(const CoherentWatch *watch)
{
	return watch->user && watch->n_mappers < COHERENT_MAPPERS &&
	       watch->user->n_mappers < COHERENT_USER_MAPPERS;
}

static CoherentMapper *alloc(
	CoherentPart *part, CoherentWatch *watch, const struct mapper *m, unsigned int group)
{
	CoherentMapper *mapper = malloc(sizeof(*mapper));

	if (!mapper)
		return NULL;
	*mapper = (CoherentMapper){.part = part, .watch = watch, .m = *m, .group = group};
	mapper->m.watch = watch->watch;
	return mapper;
}

static void enter(CoherentMapper *mapper)
{
	CoherentWatch *watch = mapper->watch;

	list_append(&mapper->part->mappers, &mapper->of_part);
	list_append(&watch->mappers, &mapper->of_watch);
	mapper->part->n_mappers[mapper->group]++;
	watch->n_mappers++;
	watch->user->n_mappers++;
}

static CoherentMapper *attach(
	CoherentPart *part, CoherentWatch *watch, const struct mapper *m, unsigned int group)
{
	CoherentMapper *mapper = alloc(part, watch, m, group);

	if (mapper)
		enter(mapper);
	return mapper;
}

void coherent_mapper_free(CoherentMapper *mapper)
{
	CoherentPart *part = mapper->part;

	coherent_row_remove(mapper);
	list_unlink(&mapper->of_part);
	list_unlink(&mapper->of_watch);
	mapper->watch->n_mappers--;
	mapper->watch->user->n_mappers--;
	if (--part->n_mappers[mapper->group] == 0)
		part->emptied |= 1ull << mapper->group;
	coherent_loss_unmapped(part);
	coherent_touch(part);
	free(mapper);
}

/* What has changed before is of mappers that are known already: this one is not among them yet. */
static int arm(const CoherentMapper *mapper)
{
	CoherentWatch *watch = mapper->watch;
	int r;

	while ((r = mapper_arm(&mapper->m)) == MAPPER_CHANGED)
		coherent_watch_apply(watch);
	return r == -EBUSY && watch_gone(watch->watch) ? 0 : r;
}

/* In the table first: a successor that did not know it would read nothing of the process, which
 * then waits at its next munmap for ever. */
static int arm_new(CoherentMapper *mapper)
{
	int r = coherent_row_add(mapper);

	if (r == 0)
		r = arm(mapper);
	if (r < 0)
		coherent_row_remove(mapper);
	else
		enter(mapper);
	return r;
}

int coherent_mapper_new(CoherentPart *part, CoherentWatch *watch, const struct mapper *m)
{
	unsigned int group = choose_group(part);
	CoherentMapper *mapper;
	int r;

	if (!has_room(watch)) {
		log_limited("user %u has too many coherent maps", (unsigned int)watch->uid);
		return STATUS_MAP_FAILED;
	}
	mapper = alloc(part, watch, m, group);
	if (!mapper)
		return -ENOMEM;
	r = arm_new(mapper);
	if (r < 0) {
		free(mapper);
		return r;
	}
	coherent_touch(part);
	if (part->pager && part->n_mappers[group] == 1)
		pager_group_set(part->pager, group, true, part->coherent->now);
	return 0;
}

int coherent_mapper_add(const CoherentMapper *of, const struct mapper *m, CoherentWatch *watch)
{
	CoherentMapper *mapper;
	int r;

	if (!has_room(watch))
		return -ENOSPC;
	mapper = attach(of->part, watch, m, of->group);
	if (!mapper)
		return -ENOMEM;
	r = coherent_row_add(mapper);
	if (r < 0)
		coherent_mapper_free(mapper);
	return r;
}

int coherent_mapper_restore(CoherentPart *part, CoherentWatch *watch, const struct mapper *m,
	CoherentMapper **ret_mapper)
{
	CoherentMapper *mapper = attach(part, watch, m, choose_group(part));

	if (!mapper)
		return -ENOMEM;
	*ret_mapper = mapper;
	return 0;
}

CoherentMapper *coherent_mapper_find(CoherentWatch *watch, uint64_t address, uint64_t *ret_offset)
{
	CoherentMapper *mapper;

	list_for_each (mapper, &watch->mappers, of_watch)
		if (mapper_find(&mapper->m, address, ret_offset))
			return mapper;
	return NULL;
}

/* Protecting. A process may change its mappings at the same time, and fork: then there are mappers
 * that were not there before, and all are protected once more. */

static bool protect_one(CoherentMapper *mapper, uint64_t offset, uint64_t length)
{
	int r = mapper_protect(&mapper->m, offset, length);

	if (r == -EBUSY) {
		coherent_watch_kill(mapper->watch);
		r = mapper_protect(&mapper->m, offset, length);
	}
	if (r == MAPPER_CHANGED)
		coherent_watch_apply(mapper->watch);
	return r != MAPPER_CHANGED;
}

static bool protect_once(CoherentPart *part, uint64_t offset, uint64_t length, uint64_t groups)
{
	CoherentMapper *mapper;

	list_for_each (mapper, &part->mappers, of_part)
		if ((groups >> mapper->group & 1) && !mapper->m.read_only &&
			!protect_one(mapper, offset, length))
			return false;
	return true;
}

static void protect_all(CoherentPart *part, uint64_t page, unsigned int n, uint64_t groups)
{
	while (!protect_once(part, page << PAGE_SIZE_SHIFT, (uint64_t)n << PAGE_SIZE_SHIFT, groups))
		;
}

/* Operations of the pager */

static uint64_t offset_of(uint64_t page)
{
	return page << PAGE_SIZE_SHIFT;
}

static void on_send(void *userdata, const struct page_message *message, bool aside)
{
	CoherentPart *part = userdata;

	if (part->home)
		coherent_home_receive_own(coherent_home_of(part), message);
	else
		coherent_guest_send(coherent_guest_of(part), message);
}

/* Who has no memory loses his maps; the main thread ends them. At the home: who has the others'. */
static int result(CoherentPart *part, int r)
{
	if (r < 0 && !part->failed) {
		part->failed = true;
		coherent_note(part->coherent);
	}
	return r;
}

static int on_fill(void *userdata, uint64_t page, unsigned int n)
{
	CoherentPart *part = userdata;

	if (part->home)
		return 0;
	return result(
		part, page_store_write(&part->store, offset_of(page),
			      part->content + offset_of(page - part->content_page), offset_of(n)));
}

static void on_allow(void *userdata, uint64_t page, unsigned int n, uint64_t groups)
{
	CoherentPart *part = userdata;
	CoherentMapper *mapper;

	list_for_each (mapper, &part->mappers, of_part)
		if (groups >> mapper->group & 1)
			mapper_allow(&mapper->m, offset_of(page), offset_of(n));
}

static void on_protect(void *userdata, uint64_t page, unsigned int n, uint64_t groups)
{
	protect_all(userdata, page, n, groups);
}

static void on_wake(void *userdata, uint64_t page, unsigned int n, uint64_t groups)
{
	CoherentPart *part = userdata;
	CoherentMapper *mapper;

	list_for_each (mapper, &part->mappers, of_part)
		if (groups >> mapper->group & 1)
			mapper_wake(&mapper->m, offset_of(page), offset_of(n));
}

/* The kernel may have lost marks while it punched. */
static void on_drop(void *userdata, uint64_t page, unsigned int n)
{
	CoherentPart *part = userdata;

	coherent_sleep_leave(part, page, n);
	(void)result(part, page_store_punch(&part->store, offset_of(page), offset_of(n)));
	protect_all(part, page, n, UINT64_MAX);
}

static int on_set_aside(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentPart *part = userdata;

	return page_store_save(&part->store, offset_of(page), offset_of(n));
}

/* At the home that is the shadow, which stays as long as the page is away. */
static void on_forget_aside(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentPart *part = userdata;

	if (!part->home)
		(void)page_store_forget_aside(&part->store, offset_of(page), offset_of(n));
}

static void on_claim_ready(void *userdata)
{
	const CoherentPart *part = userdata;

	data_retry(part->coherent->manager);
}

static void on_released(void *userdata)
{
	CoherentPart *part = userdata;

	if (part->home)
		return;
	coherent_guest_of(part)->released = true;
	coherent_note(part->coherent);
}

static bool on_full(void *userdata)
{
	CoherentPart *part = userdata;

	return !part->home && coherent_link_is_full(coherent_link_find(
				      part->coherent, coherent_guest_of(part)->node, true));
}

const struct pager_ops coherent_pager_ops = {
	.send = on_send,
	.fill = on_fill,
	.allow = on_allow,
	.protect = on_protect,
	.wake = on_wake,
	.drop = on_drop,
	.set_aside = on_set_aside,
	.forget_aside = on_forget_aside,
	.claim_ready = on_claim_ready,
	.released = on_released,
	.full = on_full,
};

/* Faults */

/* It should be here and is not: at the home nobody has touched it yet; or a process that may write
 * has punched a hole. False: there is no memory for it, and whoever waits has to; elsewhere than at
 * the home his maps end. */
static bool restore_absent(CoherentPart *part, uint64_t page)
{
	enum pager_state state = pager_state(part->pager, page);
	int r;

	if (state == PAGER_I || state == PAGER_L)
		return true;
	r = page_store_reserve(&part->store, offset_of(page), PAGE_BYTES);
	protect_all(part, page, 1, UINT64_MAX);
	if (r == 0)
		return true;
	if (part->home)
		log_limited("a process waits at a page of segment %llu: %s",
			(unsigned long long)coherent_home_of(part)->instance, strerror(-r));
	else
		(void)result(part, r);
	pager_starved(part->pager, page, part->coherent->now);
	return false;
}

void coherent_mapper_fault(CoherentMapper *mapper, uint64_t page, const struct watch_event *fault)
{
	CoherentPart *part = mapper->part;
	unsigned int group = mapper->group;
	bool write = fault->write && !mapper->m.read_only;

	if (part->loss) {
		coherent_loss_fault(mapper, page, fault);
		return;
	}
	if (part->over || !part->pager) {
		mapper_wake(&mapper->m, offset_of(page), PAGE_BYTES);
		return;
	}
	coherent_touch(part);
	/* mapper may be gone after this */
	if (!fault->missing || restore_absent(part, page))
		pager_fault(part->pager, group, page, write, part->coherent->now);
}

void coherent_part_counts(const CoherentPart *part, struct coherent_counts *ret)
{
	struct pager_counts n;

	pager_counts(part->pager, &n);
	*ret = (struct coherent_counts){
		.read_faults = n.read_faults,
		.write_faults = n.write_faults,
		.local_faults = n.local_faults,
		.pages_in = n.pages_in,
		.pages_out = n.pages_out,
		.invalidated = n.invalidated,
		.holds = n.holds,
	};
}

/* After a restart */

void coherent_part_protect(CoherentPart *part)
{
	for (uint64_t offset = 0; offset < part->store.size; offset += PROTECT_PIECE)
		while (!protect_once(
			part, offset, MIN(PROTECT_PIECE, part->store.size - offset), UINT64_MAX))
			;
}

/* What the table does not know to be here. A run at a time. */
static void drop_strays(CoherentPart *part)
{
	uint64_t n_pages = part->store.size / PAGE_BYTES, begin = 0, end;

	while (begin < n_pages) {
		enum pager_state state = pager_state(part->pager, begin);
		bool stray = state == PAGER_I || state == PAGER_L;

		for (end = begin + 1; end < n_pages; end++) {
			state = pager_state(part->pager, end);
			if ((state == PAGER_I || state == PAGER_L) != stray)
				break;
		}
		if (stray)
			(void)result(part, page_store_punch(&part->store, offset_of(begin),
						   offset_of(end - begin)));
		begin = end;
	}
}

void coherent_part_wake(CoherentPart *part)
{
	CoherentMapper *mapper;

	list_for_each (mapper, &part->mappers, of_part)
		mapper_wake(&mapper->m, mapper->m.offset, mapper->m.length);
}

void coherent_part_resume(CoherentPart *part)
{
	drop_strays(part);
	coherent_part_protect(part);
	for (unsigned int i = 0; i < PAGER_GROUPS; i++)
		if (part->n_mappers[i])
			pager_group_set(part->pager, i, true, part->coherent->now);
	coherent_part_wake(part);
}

/* Beginning and end */

void coherent_part_init(Coherent *c, CoherentPart *part, bool home)
{
	part->coherent = c;
	part->home = home;
	part->store.memory = part->store.table = part->store.aside = -1;
	list_init(&part->link);
	list_init(&part->touched);
	list_init(&part->mappers);
	list_init(&part->sleeping);
}

void coherent_part_end(CoherentPart *part)
{
	CoherentMapper *mapper, *tmp;

	part->over = true;
	list_for_each_safe (mapper, tmp, &part->mappers, of_part) {
		mapper_disarm(&mapper->m);
		coherent_mapper_free(mapper);
	}
}

void coherent_part_deinit(CoherentPart *part)
{
	coherent_sleep_end(part, part->home);
	coherent_part_end(part);
	list_unlink(&part->link);
	list_unlink(&part->touched);
	pager_free(part->pager);
	part->pager = NULL;
	page_store_close(&part->store);
}
