/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/sequence.h"

#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/work.h"
#include "wire/shared.h"

static void sequence_release(struct object *o)
{
	struct sequence *s = container_of(o, struct sequence, object);

	object_put(&s->map->object);
	free(s);
}

/* Of another node's segment, which is mapped coherently: how often stores to it were discarded
 * because a node was lost. */
static uint32_t discards_of(const struct map *m)
{
	const struct wire_status_page *page;
	const struct cw_import *import = m->remote ? m->remote->peek : NULL;

	if (!import || !import->remote)
		return 0;
	page = import->link->status_page;
	if (page->head.size < offsetof(struct wire_status_page, leases))
		return 0;
	return atomic_load(&page->discards[import->index]);
}

static sci_error_t sequence_create(sci_map_t map, sci_sequence_t *ret_sequence)
{
	_cleanup_object_ struct map *m = object_get(map, SISCI_MAP);
	struct sequence *s;
	int r;

	if (!m || !ret_sequence)
		return SCI_ERR_ILLEGAL_PARAMETER;
	s = calloc(1, sizeof(*s));
	if (!s)
		return SCI_ERR_NOSPC;
	s->map = m;
	s->discards = discards_of(m);
	s->object.release = sequence_release;
	r = object_new(&s->object, SISCI_SEQUENCE, m->object.desc);
	if (r) {
		free(s);
		return code_of(CODE_CREATE, r);
	}
	object_ref(&m->object);
	*ret_sequence = object_handle(&s->object);
	return SCI_ERR_OK;
}

SCI_CALL void SCICreateMapSequence(
	sci_map_t map, sci_sequence_t *sequence, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : sequence_create(map, sequence));
}

SCI_CALL void SCIRemoveSequence(sci_sequence_t sequence, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(sequence, SISCI_SEQUENCE));
}

/* No contact with the segment's node at present. */
static bool is_away(const struct remote_segment *s)
{
	const _Atomic uint32_t *note = s->import ? cw_import_note(s->import) : NULL;

	return note && atomic_load(note) & WIRE_NOTE_TURN;
}

/* Whether stores up to now may have been lost, told once. */
static bool take_discards(struct sequence *s)
{
	uint32_t now = discards_of(s->map);
	bool lost;

	pthread_mutex_lock(&s->object.lock);
	lost = now != s->discards;
	s->discards = now;
	pthread_mutex_unlock(&s->object.lock);
	return lost;
}

static sci_sequence_status_t status_of(struct sequence *s)
{
	struct remote_segment *segment = s->map->remote;

	if (atomic_load(&s->map->object.ended))
		return SCI_SEQ_NOT_RETRIABLE;
	if (!segment)
		return SCI_SEQ_OK;
	if (remote_segment_ready(segment))
		return SCI_SEQ_NOT_RETRIABLE;
	if (is_away(segment))
		return SCI_SEQ_PENDING;
	/* the daemon may not be sure yet what has become of pages that we have */
	if (segment->peek && segment->peek->remote && cw_import_believe(segment->peek, false) &&
		remote_segment_ready(segment))
		return SCI_SEQ_NOT_RETRIABLE;
	return take_discards(s) ? SCI_SEQ_RETRIABLE : SCI_SEQ_OK;
}

static sci_error_t sequence_status(sci_sequence_t sequence, sci_sequence_status_t *ret_status)
{
	_cleanup_object_ struct sequence *s = object_get(sequence, SISCI_SEQUENCE);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	atomic_thread_fence(memory_order_seq_cst);
	*ret_status = status_of(s);
	return SCI_ERR_OK;
}

/* What was lost before does not count any more. */
SCI_CALL sci_sequence_status_t SCIStartSequence(
	sci_sequence_t sequence, unsigned int flags, sci_error_t *error)
{
	sci_sequence_status_t status = SCI_SEQ_NOT_RETRIABLE;
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : sequence_status(sequence, &status));
	return status == SCI_SEQ_RETRIABLE ? SCI_SEQ_OK : status;
}

SCI_CALL sci_sequence_status_t SCICheckSequence(
	sci_sequence_t sequence, unsigned int flags, sci_error_t *error)
{
	sci_sequence_status_t status = SCI_SEQ_NOT_RETRIABLE;
	sci_error_t e = call_begin(flags);

	if (!e && work_has_ticks())
		work_tick_settle();
	call_end(error, e ? e : sequence_status(sequence, &status));
	return status;
}
