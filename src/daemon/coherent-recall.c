/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include "base/cleanup.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "daemon/request.h"

/* Segments of this node whose pages all come home, for good or for a while; and those of a
 * predecessor. */

/* Recall */

int coherent_home_recall(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;

	if (!home || home->recalled)
		return 0;
	coherent_lock(m->coherent);
	coherent_touch(&home->part);
	if (!home->recalling)
		directory_recall(home->directory, m->coherent->now);
	home->recalling = true;
	home->waits = !home->recalled;
	coherent_unlock(m->coherent);
	return home->waits ? REQUEST_LATER : 0;
}

/* Everything is home: nothing of this node needs to be watched. */
void coherent_home_hold(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;

	if (!home)
		return;
	home->held = true;
	home->head->held = true;
	coherent_show(m, segment, false);
	data_set_coherent(m, segment, NULL);
	coherent_lock(m->coherent);
	coherent_part_end(&home->part);
	coherent_unlock(m->coherent);
}

static void break_links(const CoherentHome *home)
{
	for_each_slot (home, slot) {
		CoherentLink *link = coherent_link_find(
			home->part.coherent, home->head->slots[slot].node, false);

		if (link)
			coherent_link_break(link);
	}
}

static int add_nodes(const CoherentHome *home)
{
	int r = 0;

	for_each_slot (home, slot)
		if (r == 0)
			r = directory_add(home->directory, slot, home->head->slots[slot].write);
	return r;
}

static void put_protocol(CoherentHome *home, Directory *directory, Pager *pager)
{
	pager_free(home->part.pager);
	directory_free(home->directory);
	home->part.pager = pager;
	home->directory = directory;
}

/* With the lock: a new directory, with the nodes that there were. Their links begin anew, so that
 * they say again what they want. Without memory for it the former one stays: it has everything
 * home. */
static int begin_again(Manager *m, CoherentHome *home)
{
	Directory *directory = take_ptr(home->directory);
	Pager *pager = take_ptr(home->part.pager);
	int r = coherent_home_begin(home, coherent_patience(m), false);

	if (r == 0)
		r = add_nodes(home);
	if (r < 0) {
		put_protocol(home, directory, pager);
		return r;
	}
	pager_free(pager);
	directory_free(directory);
	home->recalling = home->recalled = home->part.over = false;
	break_links(home);
	coherent_touch(&home->part);
	return 0;
}

static void end_all(Manager *m, CoherentHome *home, const char *why)
{
	for_each_slot (home, slot) {
		home->given_up[slot] = why;
		coherent_slot_end(m, home, slot);
	}
}

int coherent_home_go_on(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;
	int r;

	if (!home || !home->held)
		return 0;
	home->held = false;
	home->head->held = false;
	coherent_lock(m->coherent);
	r = begin_again(m, home);
	coherent_unlock(m->coherent);
	if (r == 0)
		r = coherent_arm(m, home);
	if (r) {
		end_all(m, home, "the exporter's maps cannot be watched any more");
		coherent_home_discard(m, home);
	} else {
		coherent_home_check_empty(m, home);
	}
	return 0;
}

void coherent_home_free(Manager *m, EngineSegment *segment)
{
	if (manager_segment(segment)->home)
		coherent_home_discard(m, manager_segment(segment)->home);
}

/* After a restart */

void coherent_home_restore_import(CoherentHome *home, EngineImport *import, bool mapped)
{
	unsigned int slot = DIRECTORY_HOME;

	if (import_is_guest(import))
		slot = mapped ? coherent_slot_of(home, import->client->peer->number) : 0;
	if (slot || !import_is_guest(import))
		coherent_home_attach(home, import, slot);
}

int coherent_home_resume(Manager *m, CoherentHome *home)
{
	for_each_slot (home, slot)
		if (list_empty(&home->imports[slot]))
			home->leaving[slot] = home->part.coherent->now + coherent_patience(m);
	return add_nodes(home);
}

static bool has_session(Manager *m, const struct coherent_slot *s)
{
	const EnginePeer *peer = engine_peer_find(m->engine, s->node);

	return peer && peer->session == s->session;
}

static void home_restored(Manager *m, CoherentHome *home)
{
	Coherent *c = m->coherent;

	coherent_lock(c);
	for_each_slot (home, slot)
		if (!has_session(m, &home->head->slots[slot]))
			coherent_slot_free(home, slot);
	home->held = home->head->held;
	if (home->held) {
		home->recalling = true;
		coherent_part_end(&home->part);
		directory_recall(home->directory, c->now);
	}
	coherent_unlock(c);
	if (home->held)
		return;
	coherent_show(m, home->segment, true);
	data_set_coherent(m, home->segment, home);
	coherent_home_check_empty(m, home);
}

void coherent_homes_restored(Manager *m)
{
	EngineSegment *segment = NULL;

	while ((segment = engine_segment_next(m->engine, segment ? segment->instance : 0)))
		if (manager_segment(segment) && manager_segment(segment)->home)
			home_restored(m, manager_segment(segment)->home);
	coherent_peers_settle(m);
}
