/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-import.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "daemon/coherent.h"
#include "daemon/data.h"
#include "daemon/guest.h"
#include "daemon/manager-offer.h"
#include "daemon/route.h"
#include "daemon/shm.h"

int manager_import_new(EngineImport *import, uint64_t serial, ManagerImport **ret_import)
{
	ManagerImport *i = malloc(sizeof(*i));

	if (!i)
		return -ENOMEM;
	*i = (ManagerImport){.engine = import,
		.serial = serial,
		.slot = JOURNAL_NO_SLOT,
		.pipe = -1,
		.cells = CELLS_NONE};
	list_init(&i->route_link);
	list_init(&i->coherent_link);
	import->userdata = *ret_import = i;
	return 0;
}

int manager_import_save(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	struct record_import record = {.serial = i->serial,
		.route = i->route ? 1 + i->route->index : 0,
		.coherent = i->coherent_guest || i->coherent_home || i->coherent_before};

	engine_import_save(import, &record.engine);
	memcpy(record.key, i->key, sizeof(record.key));
	if (i->slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, RECORD_IMPORT, &record, sizeof(record), &i->slot);
	journal_update(m->journal, i->slot, &record, sizeof(record));
	return 0;
}

static uint64_t keep_key(const EngineImport *import)
{
	return keep_import_key(import->client->id, import->index);
}

void manager_import_store(Manager *m, EngineImport *import)
{
	const ManagerImport *i = manager_import(import);

	keeper_link_store(m->link, KEEP_IMPORT_PIPE, keep_key(import), i->pipe);
	keeper_link_store(m->link, KEEP_IMPORT_CELLS, keep_key(import), i->cells.fd);
}

static bool is_final(const EngineImport *import)
{
	return import->state != WIRE_IMPORT_CONNECTED && import->state != WIRE_IMPORT_PENDING;
}

/* Cells of remote imports */

static void bring_up_to_date(EngineImport *import)
{
	ManagerImport *i = manager_import(import);

	cells_put(&i->cells, IMPORT_OWN_CELL, i->totals, i->pipe);
	if (is_final(import))
		cells_look(&i->cells, IMPORT_OWN_CELL, i->pipe);
}

int manager_import_need_cells(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	struct cells cells;
	int r;

	if (i->cells.map)
		return 0;
	if (m->n_mappings >= m->max_mappings)
		return -ENOSPC;
	r = cells_new(&cells);
	if (r < 0)
		return r;
	r = cells_reserve(&cells, IMPORT_OWN_CELL);
	if (r < 0) {
		cells_deinit(&cells);
		return r;
	}
	i->cells = cells;
	m->n_mappings++;
	manager_import_store(m, import);
	bring_up_to_date(import);
	return 0;
}

int manager_import_need_pipe(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	int r = i->pipe >= 0 ? 0 : cell_pipe_new(&i->pipe);

	if (r == 0)
		manager_import_store(m, import);
	return r;
}

int manager_import_restore_cells(Manager *m, EngineImport *import, int *fd)
{
	ManagerImport *i = manager_import(import);
	int r;

	if (*fd < 0)
		return 0;
	r = cells_open(*fd, &i->cells);
	if (r < 0)
		return r;
	take_fd(fd);
	m->n_mappings++;
	r = cells_reserve(&i->cells, IMPORT_OWN_CELL);
	if (r < 0)
		return r;
	i->totals = cells_totals(&i->cells, IMPORT_OWN_CELL);
	/* the predecessor may have died between a signal and the wake-up */
	cells_kick(&i->cells, IMPORT_OWN_CELL, i->pipe);
	return 0;
}

/* Showing */

static _Atomic uint64_t *word_of(const EngineImport *import)
{
	ManagerClient *client = import->client->userdata;

	return &client->status.map->imports[import->index];
}

/* Who waits for another node sleeps on the word; of other imports the cell tells. */
static void show_word(const EngineImport *import, uint32_t state)
{
	uint64_t value = WIRE_IMPORT_WORD(import->generation, state);

	if (import_is_remote(import))
		status_word_show(word_of(import), value);
	else
		atomic_store_explicit(word_of(import), value, memory_order_release);
}

static struct cells *cells_of(const EngineImport *import, uint32_t *ret_cell)
{
	ManagerSegment *s = import->holding ? manager_segment(import->holding) : NULL;

	*ret_cell = import_is_remote(import) ? IMPORT_OWN_CELL : import->cell;
	if (import_is_remote(import))
		return &manager_import(import)->cells;
	return s ? &s->cells : NULL;
}

/* The word first: whoever is woken by the cell must find it. */
void manager_import_show(EngineImport *import)
{
	const ManagerImport *i = manager_import(import);
	struct cells *cells;
	uint32_t cell;

	if (!import_is_guest(import))
		show_word(import, import->state);
	if (!is_final(import))
		return;
	cells = cells_of(import, &cell);
	if (cells && cells->map)
		cells_look(cells, cell, i->pipe);
	else if (i->pipe >= 0)
		cell_pipe_fill(i->pipe);
}

/* The engine's operations. An object without userdata is being made: its maker does the rest. */

void manager_import_changed(void *userdata, EngineImport *import)
{
	if (!manager_import(import))
		return;
	if (import_is_guest(import) && is_final(import)) {
		data_revoke(userdata, import);
		guest_signal(userdata, import);
	}
	manager_import_save(userdata, import);
	manager_import_show(import);
	manager_import_state_noted(import);
	if (is_final(import)) {
		coherent_import_over(userdata, import);
		route_import_over(import);
	}
}

void manager_import_signal(void *userdata, EngineImport *import, uint32_t total, uint32_t once)
{
	ManagerImport *i = manager_import(import);

	if (!i)
		return;
	i->totals = (struct signals){total, once};
	if (i->cells.map)
		cells_put(&i->cells, IMPORT_OWN_CELL, i->totals, i->pipe);
}

/* The memory stays with those who inherited its maps when the import ends. */
static void leave_to_children(Manager *m, EngineImport *import)
{
	const ManagerClient *client = import->client->userdata;

	if (!import->segment || import->segment->handed_out || !client_page_forked(client->maps))
		return;
	import->segment->handed_out = true;
	manager_segment_save(m, import->segment);
}

static void end_local(Manager *m, EngineImport *import)
{
	const ManagerClient *client = import->client->userdata;

	leave_to_children(m, import);
	if (import->holding)
		client_page_add_import(
			client->maps, import->index, &manager_segment(import->holding)->ended);
}

void manager_import_free(void *userdata, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	Manager *m = userdata;

	if (!i)
		return;
	engine_shm_detached(import, shm_now());
	coherent_import_over(m, import);
	if (import_is_guest(import))
		data_revoke(m, import);
	else if (!import_is_remote(import))
		end_local(m, import);
	if (!import_is_guest(import))
		show_word(import, WIRE_IMPORT_FREE);
	journal_remove(m->journal, i->slot);
	if (i->pipe >= 0)
		keeper_link_drop(m->link, KEEP_IMPORT_PIPE, keep_key(import));
	fd_close(i->pipe);
	if (i->cells.map) {
		keeper_link_drop(m->link, KEEP_IMPORT_CELLS, keep_key(import));
		cells_deinit(&i->cells);
		m->n_mappings--;
	}
	route_detach(import);
	import->userdata = NULL;
	free(i);
}
