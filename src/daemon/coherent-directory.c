/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include "base/clock.h"
#include "daemon/log.h"

/* What directories do, and what comes from the nodes; time. */

uint64_t coherent_n_pages(uint64_t size)
{
	return (size + PAGE_BYTES - 1) / PAGE_BYTES;
}

unsigned int coherent_slot_of(const CoherentHome *home, uint32_t node)
{
	for_each_slot (home, slot)
		if (home->head->slots[slot].node == node)
			return slot;
	return 0;
}

CoherentHome *coherent_home_find_map(
	Coherent *c, uint32_t node, uint32_t map, unsigned int *ret_slot)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);
		unsigned int slot = coherent_slot_of(home, node);

		if (slot && home->head->slots[slot].map == map) {
			*ret_slot = slot;
			return home;
		}
	}
	return NULL;
}

/* Discards */

static void say_discards(const CoherentHome *home, unsigned int slot)
{
	const struct coherent_slot *s = &home->head->slots[slot];
	const struct page_message said = {
		.type = PAGE_DISCARDED, .n = 1, .map = s->map, .page = home->head->discards};

	coherent_link_send(coherent_link_find(home->part.coherent, s->node, false), &said);
}

/* Nodes that do not map the segment are told by the main thread: what they read comes another way.
 */
static void on_discarded(void *userdata, unsigned int lost, uint64_t n_pages)
{
	CoherentHome *home = userdata;
	ManagerImport *i;

	home->head->discards++;
	list_for_each (i, &home->imports[DIRECTORY_HOME], coherent_link) {
		const ManagerClient *client = i->engine->client->userdata;

		atomic_fetch_add(&client->status.map->discards[i->engine->index], 1);
	}
	for_each_slot (home, slot)
		if (slot != lost)
			say_discards(home, slot);
	home->untold = true;
	coherent_note(home->part.coherent);
	log_warning(
		"node %u is lost with stores to %llu pages of segment %llu; they are as it last "
		"wrote them back",
		home->head->slots[lost].node, (unsigned long long)n_pages,
		(unsigned long long)home->instance);
}

/* Operations of the directory */

static void on_send(void *userdata, unsigned int slot, const struct page_message *message,
	enum page_source source)
{
	CoherentHome *home = userdata;
	Coherent *c = home->part.coherent;
	struct page_message said = *message;

	if (slot == DIRECTORY_HOME) {
		pager_receive(home->part.pager, message, c->now);
		return;
	}
	said.map = home->head->slots[slot].map;
	coherent_link_send(coherent_link_find(c, home->head->slots[slot].node, false), &said);
}

static uint64_t offset_of(uint64_t page)
{
	return page << PAGE_SIZE_SHIFT;
}

/* Pages that are there are read without asking: a part of them must not stay. */
static int keep_in_memory(CoherentPart *part, uint64_t page, unsigned int n, const void *content)
{
	int r = page_store_write(&part->store, offset_of(page), content, offset_of(n));

	if (r < 0)
		coherent_pager_ops.drop(part, page, n);
	return r;
}

static int on_keep(void *userdata, uint64_t page, unsigned int n, enum page_source where)
{
	CoherentPart *part = &((CoherentHome *)userdata)->part;
	const uint8_t *content = part->content + offset_of(page - part->content_page);

	return where == PAGE_SHADOW ? page_store_write_aside(
					      &part->store, offset_of(page), content, offset_of(n))
				    : keep_in_memory(part, page, n, content);
}

static int on_recover(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentHome *home = userdata;

	return page_store_recover(&home->part.store, offset_of(page), offset_of(n));
}

static void on_forget(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentHome *home = userdata;

	(void)page_store_forget_aside(&home->part.store, offset_of(page), offset_of(n));
}

void coherent_slot_give_up(void *userdata, unsigned int slot, const char *reason)
{
	CoherentHome *home = userdata;

	if (!home->given_up[slot])
		home->given_up[slot] = reason;
	coherent_note(home->part.coherent);
}

static void on_recalled(void *userdata)
{
	CoherentHome *home = userdata;

	home->recalled = true;
	coherent_note(home->part.coherent);
}

static bool on_full(void *userdata, unsigned int slot)
{
	const CoherentHome *home = userdata;

	return coherent_link_is_full(
		coherent_link_find(home->part.coherent, home->head->slots[slot].node, false));
}

const struct directory_ops coherent_directory_ops = {
	.send = on_send,
	.keep = on_keep,
	.recover = on_recover,
	.forget = on_forget,
	.discarded = on_discarded,
	.give_up = coherent_slot_give_up,
	.recalled = on_recalled,
	.full = on_full,
};

/* Frames and time */

void coherent_home_receive_own(CoherentHome *home, const struct page_message *message)
{
	directory_receive(home->directory, DIRECTORY_HOME, message, home->part.coherent->now);
}

/* What comes for a map that is over was said before the node knew. */
int coherent_home_receive(
	Coherent *c, CoherentLink *link, const struct page_message *message, const void *content)
{
	unsigned int slot;
	CoherentHome *home = coherent_home_find_map(c, link->node, message->map, &slot);
	int r;

	if (!home || home->given_up[slot])
		return 0;
	home->part.content = content;
	home->part.content_page = message->page;
	coherent_touch(&home->part);
	r = directory_receive(home->directory, slot, message, c->now);
	home->part.content = NULL;
	if (r)
		coherent_slot_give_up(home, slot, "it breaks the protocol");
	return r;
}

/* As long as a node shares a page it stays as it is; in the shadow, if the home does not share it.
 */
static bool is_in_memory(const CoherentHome *home, uint64_t page)
{
	return directory_entry(home->directory, page).owner == DIRECTORY_NOBODY;
}

int coherent_home_read(
	Coherent *c, uint32_t node, uint32_t map, uint64_t page, unsigned int n, uint8_t *data)
{
	unsigned int slot;
	const CoherentHome *home = coherent_home_find_map(c, node, map, &slot);
	int r = home && !home->given_up[slot] ? 0 : -ESTALE;

	for (unsigned int i = 0, k; i < n && r == 0; i += k) {
		bool here = is_in_memory(home, page + i);

		for (k = 1; i + k < n && is_in_memory(home, page + i + k) == here; k++)
			;
		r = (here ? page_store_read : page_store_read_aside)(&home->part.store,
			offset_of(page + i), data + i * PAGE_BYTES, k * PAGE_BYTES);
	}
	return r;
}

void coherent_homes_room(Coherent *c, uint32_t node)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);
		unsigned int slot = coherent_slot_of(home, node);

		if (!slot || home->given_up[slot])
			continue;
		coherent_touch(part);
		directory_room(home->directory, slot, c->now);
	}
}

void coherent_homes_link(Coherent *c, uint32_t node, bool up)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);
		unsigned int slot = coherent_slot_of(home, node);

		if (!slot || home->given_up[slot])
			continue;
		coherent_touch(part);
		if (up)
			say_discards(home, slot);
		directory_link(home->directory, slot, up, c->now);
	}
}

uint64_t coherent_home_next(const CoherentPart *part)
{
	const CoherentHome *home = container_of(part, const CoherentHome, part);
	uint64_t next = directory_next(home->directory);

	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)
		if (home->leaving[slot])
			next = MIN(next, home->leaving[slot]);
	return next;
}

void coherent_home_tick(CoherentHome *home)
{
	uint64_t now = home->part.coherent->now;

	if (directory_next(home->directory) <= now)
		directory_tick(home->directory, now);
	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)
		if (home->leaving[slot] && home->leaving[slot] <= now) {
			home->leaving[slot] = 0;
			coherent_slot_give_up(home, slot, "it does not give back what it had");
		}
}
