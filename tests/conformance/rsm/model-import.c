/* SPDX-License-Identifier: Apache-2.0 */
/* Imports in the model: rsmapi.md §4.5 to §4.9, §5.2 to §5.4. */
#include "model.h"

#include <string.h>
#include <unistd.h>

bool model_import_lives(const import_t *import)
{
	return import->state == CONNECTED || import->state == BROKEN;
}

static codes_t codes_of_connect(const call_request_t *q)
{
	const export_t *target = model_published_as(q->id);

	if (q->mode & ~(uint32_t)RSM_PERM_RDWR)
		return C(RSMERR_PERM_DENIED);
	if (!target)
		return C(RSMERR_SEG_NOT_PUBLISHED);
	/* Without a list 0755; all model_agents are the owner, and root may everything (§6.1). */
	if (geteuid() != 0 && target->mode != NO_LIST && (q->mode & ~target->mode))
		return C(RSMERR_PERM_DENIED);
	return OK;
}

/* Decision 1 */
static codes_t range_fault(uint64_t offset, uint64_t length)
{
	if (length > SEGMENT_SIZE)
		return C(RSMERR_BAD_LENGTH);
	return offset > SEGMENT_SIZE - length ? C(RSMERR_BAD_OFFSET) : 0;
}

static bool is_put(call_t call)
{
	return call == CALL_PUT || call == CALL_PUT64 || call == CALL_PUTV;
}

/* Outside of a partial map an access may work or be a bad offset. */
static codes_t codes_within_map(const import_t *import, uint64_t offset, uint64_t length)
{
	if (import->mapping != MAPPED ||
		(offset >= import->map_offset &&
			offset + length <= import->map_offset + import->map_length))
		return OK;
	return OK | C(RSMERR_BAD_OFFSET);
}

/* What a sound connection says to one access */
static codes_t codes_of_sound_access(
	const import_t *import, const call_request_t *q, uint64_t offset, uint64_t length)
{
	rsm_permission_t needed = is_put(q->call) ? RSM_PERM_WRITE : RSM_PERM_READ;
	codes_t fault = range_fault(offset, length);

	if (!(import->permission & needed))
		return C(RSMERR_PERM_DENIED);
	if (fault)
		return fault;
	if (q->n_entries == 0 && import->mode == RSM_BARRIER_MODE_IMPLICIT &&
		import->barrier == NO_BARRIER)
		return C(RSMERR_BARRIER_UNINITIALIZED);
	return codes_within_map(import, offset, length);
}

/* §5.3: 40, or what is wrong with the call anyway; in explicit mode the span tells it. */
static codes_t when_broken(const import_t *import, codes_t sound)
{
	if (import->state != BROKEN)
		return sound;
	if (import->mode == RSM_BARRIER_MODE_IMPLICIT)
		sound &= ~OK;
	return sound | C(RSMERR_CONN_ABORTED);
}

static codes_t codes_of_access(const import_t *import, const call_request_t *q)
{
	bool odd = (q->call == CALL_PUT64 || q->call == CALL_GET64) && q->offset % 8;

	if (import->state == UNUSED)
		return C(RSMERR_BAD_SEG_HNDL);
	/* Alignment comes before the state, but after the handle (§4.6). */
	if (odd)
		return C(RSMERR_BAD_MEM_ALIGNMENT) |
		       (model_import_lives(import) ? 0 : C(RSMERR_BAD_SEG_HNDL));
	if (!model_import_lives(import))
		return C(RSMERR_BAD_SEG_HNDL);
	return when_broken(import, codes_of_sound_access(import, q, q->offset, q->length));
}

static codes_t codes_of_vector(const import_t *import, const call_request_t *q)
{
	codes_t codes = OK;

	if (!model_import_lives(import))
		return C(RSMERR_BAD_SEG_HNDL);
	/* Up to the first entry that cannot succeed. */
	for (uint32_t i = 0; i < q->n_entries && codes & OK; i++)
		codes = (codes & ~OK) | codes_of_sound_access(import, q, q->entries[i].offset,
						q->entries[i].length);
	return when_broken(import, codes);
}

static codes_t codes_of_map(const import_t *import, const call_request_t *q)
{
	codes_t codes, fault = range_fault(q->offset, q->length);

	if (!model_import_lives(import))
		return C(RSMERR_BAD_SEG_HNDL);
	if (import->mapping == MAPPED)
		return C(RSMERR_SEG_ALREADY_MAPPED);
	if (q->mode > RSM_PERM_RDWR)
		codes = C(RSMERR_BAD_PERMS);
	else if (q->length == 0)
		codes = C(RSMERR_BAD_LENGTH);
	else if (fault)
		codes = fault;
	else if (q->offset % 4096)
		codes = C(RSMERR_BAD_MEM_ALIGNMENT);
	else if (q->mode & ~import->permission)
		codes = C(RSMERR_BAD_PERMS);
	else
		codes = OK;
	if (import->state == BROKEN)
		codes = (codes & ~OK) | C(RSMERR_CONN_ABORTED);
	/* test-map and test-access say exactly what an implicit map does to a map. */
	if (import->mapping != UNMAPPED)
		codes |= C(RSMERR_SEG_ALREADY_MAPPED);
	return codes;
}

static codes_t codes_of_unmap(const import_t *import)
{
	if (!model_import_lives(import))
		return C(RSMERR_BAD_SEG_HNDL);
	if (import->mapping == UNMAPPED)
		return C(RSMERR_SEG_NOT_MAPPED);
	return import->mapping == PERHAPS_MAPPED ? OK | C(RSMERR_SEG_NOT_MAPPED) : OK;
}

static codes_t codes_of_disconnect(const import_t *import)
{
	if (!model_import_lives(import))
		return C(RSMERR_BAD_SEG_HNDL);
	if (import->mapping == MAPPED)
		return C(RSMERR_SEG_STILL_MAPPED);
	return import->references ? C(RSMERR_POLLFD_IN_USE) : OK;
}

/* Order and close */
static codes_t codes_within_span(const import_t *import, call_t call)
{
	codes_t codes = 0;

	if (import->barrier != READY)
		codes |= import->state == CONNECTED ? OK : C(RSMERR_CONN_ABORTED);
	if (import->barrier != OPEN)
		codes |= C(RSMERR_BARRIER_NOT_OPENED);
	if (import->state == BROKEN)
		codes |= C(RSMERR_CONN_ABORTED);
	if (import->state == BROKEN && call == CALL_ORDER_BARRIER)
		codes |= OK | C(RSMERR_BARRIER_FAILURE);
	return codes;
}

static codes_t codes_of_barrier(const import_t *import, call_t call)
{
	if (call == CALL_INIT_BARRIER) {
		if (!model_import_lives(import))
			return C(RSMERR_BAD_SEG_HNDL);
		return import->state == BROKEN ? OK | C(RSMERR_CONN_ABORTED) : OK;
	}
	if (import->barrier == NO_BARRIER)
		return C(RSMERR_BARRIER_UNINITIALIZED);
	if (!model_import_lives(import))
		return C(RSMERR_BAD_BARRIER_PTR);
	if (call == CALL_DESTROY_BARRIER)
		return OK;
	if (call == CALL_OPEN_BARRIER)
		return import->state == BROKEN
			       ? OK | C(RSMERR_BARRIER_OPEN_FAILED) | C(RSMERR_CONN_ABORTED)
			       : OK;
	return codes_within_span(import, call);
}

codes_t model_import_codes(const import_t *import, const call_request_t *q)
{
	switch (q->call) {
	case CALL_CONNECT:
		return codes_of_connect(q);
	case CALL_DISCONNECT:
		return codes_of_disconnect(import);
	case CALL_PUT:
	case CALL_GET:
	case CALL_PUT64:
	case CALL_GET64:
		return codes_of_access(import, q);
	case CALL_PUTV:
	case CALL_GETV:
		return codes_of_vector(import, q);
	case CALL_MAP:
		return codes_of_map(import, q);
	case CALL_UNMAP:
		return codes_of_unmap(import);
	case CALL_MAP_STORE:
	case CALL_MAP_LOAD:
		return OK;
	case CALL_SET_MODE:
		if (!model_import_lives(import))
			return C(RSMERR_BAD_SEG_HNDL);
		return q->mode > 1 ? C(RSMERR_BAD_MODE) : OK;
	case CALL_GET_MODE:
		return model_import_lives(import) ? OK : C(RSMERR_BAD_SEG_HNDL);
	default:
		return codes_of_barrier(import, q->call);
	}
}

static uint8_t *segment_bytes(const import_t *import)
{
	return import->target->bytes[import->target->buffer];
}

static void move_bytes(const import_t *import, const call_request_t *q, const call_reply_t *reply,
	uint64_t offset, uint64_t length, uint64_t local)
{
	if (import->state != CONNECTED)
		return;
	if (is_put(q->call) || q->call == CALL_MAP_STORE)
		memcpy(segment_bytes(import) + offset, q->data + local, length);
	else if (memcmp(segment_bytes(import) + offset, reply->data + local, length) != 0)
		model_disagree("an importer has wrong bytes");
}

static void note_access(import_t *import, const call_request_t *q, int code)
{
	if (code == RSMERR_BAD_SEG_HNDL || code == RSMERR_BAD_MEM_ALIGNMENT)
		return;
	if (import->mapping == UNMAPPED)
		import->mapping = code == RSM_SUCCESS && q->length > 0 && import->state == CONNECTED
					  ? MAPPED_BY_ACCESS
					  : PERHAPS_MAPPED;
	/* An access in implicit mode has a span of its own, with the same barrier. */
	if (import->mode == RSM_BARRIER_MODE_IMPLICIT && import->barrier == OPEN)
		import->barrier = PERHAPS_OPEN;
}

static void apply_access(import_t *import, const call_request_t *q, const call_reply_t *reply)
{
	note_access(import, q, reply->code);
	if (reply->code == RSM_SUCCESS)
		move_bytes(import, q, reply, q->offset, q->length, 0);
}

static void apply_vector(import_t *import, const call_request_t *q, const call_reply_t *reply)
{
	uint64_t local = 0;
	uint32_t n_done;

	if (reply->code == RSMERR_BAD_SEG_HNDL)
		return;
	import->mapping = import->mapping == UNMAPPED ? PERHAPS_MAPPED : import->mapping;
	note_access(import, q, reply->code);
	/* All entries moved, and then the signal failed. */
	if (import->state == BROKEN && reply->value == 0 && q->flags & RSM_IMPLICIT_SIGPOST)
		return;
	if (reply->value > q->n_entries || (reply->code == RSM_SUCCESS) != (reply->value == 0))
		model_disagree("a wrong residual");
	n_done = q->n_entries - (uint32_t)reply->value;
	for (uint32_t i = 0; i < n_done; i++) {
		move_bytes(import, q, reply, q->entries[i].offset, q->entries[i].length, local);
		local += q->entries[i].length;
	}
	/* The one that failed is one that fails. */
	if (import->state == CONNECTED && reply->code != RSM_SUCCESS &&
		!(codes_of_sound_access(
			  import, q, q->entries[n_done].offset, q->entries[n_done].length) &
			C(reply->code)))
		model_disagree("the residual names another entry");
	if (import->state == CONNECTED && reply->code == RSM_SUCCESS &&
		q->flags & RSM_IMPLICIT_SIGPOST)
		model_post(&import->target->events, q->flags);
}

static void apply_connect(import_t *import, const agent_t *agent, const call_request_t *q, int code)
{
	memset(import, 0, sizeof(*import));
	if (code != RSM_SUCCESS)
		return;
	import->state = CONNECTED;
	import->target = model_published_as(q->id);
	import->own =
		import->target >= agent->exports && import->target < agent->exports + N_EXPORTS;
	import->permission = q->mode;
	import->mode = RSM_BARRIER_MODE_IMPLICIT;
}

static void apply_map(import_t *import, const call_request_t *q, int code)
{
	if (code == RSMERR_SEG_ALREADY_MAPPED && import->mapping == PERHAPS_MAPPED)
		import->mapping = MAPPED_BY_ACCESS;
	if (code != RSM_SUCCESS)
		return;
	import->mapping = MAPPED;
	import->map_offset = q->offset;
	import->map_length = (q->length + 4095) & ~(uint64_t)4095;
	import->map_permission = q->mode;
}

static void apply_barrier(import_t *import, call_t call, int code)
{
	if (call == CALL_INIT_BARRIER && code == RSM_SUCCESS)
		import->barrier = READY;
	else if (call == CALL_OPEN_BARRIER && import->barrier != NO_BARRIER)
		import->barrier = code == RSM_SUCCESS ? OPEN : PERHAPS_OPEN;
	else if (call == CALL_DESTROY_BARRIER && code == RSM_SUCCESS)
		import->barrier = NO_BARRIER;
	else if (call == CALL_CLOSE_BARRIER && import->barrier != NO_BARRIER &&
		 model_import_lives(import))
		import->barrier = code == RSMERR_CONN_ABORTED ? PERHAPS_OPEN : READY;
}

void model_import_apply(
	const agent_t *agent, import_t *import, const call_request_t *q, const call_reply_t *reply)
{
	bool done = reply->code == RSM_SUCCESS;

	switch (q->call) {
	case CALL_CONNECT:
		apply_connect(import, agent, q, reply->code);
		break;
	case CALL_DISCONNECT:
		if (done)
			import->state = DISCONNECTED;
		break;
	case CALL_PUT:
	case CALL_GET:
	case CALL_PUT64:
	case CALL_GET64:
		apply_access(import, q, reply);
		break;
	case CALL_PUTV:
	case CALL_GETV:
		apply_vector(import, q, reply);
		break;
	case CALL_MAP:
		apply_map(import, q, reply->code);
		break;
	case CALL_UNMAP:
		if (model_import_lives(import))
			import->mapping = UNMAPPED;
		break;
	case CALL_MAP_STORE:
	case CALL_MAP_LOAD:
		move_bytes(import, q, reply, import->map_offset + q->offset, q->length, 0);
		break;
	case CALL_SET_MODE:
		if (done)
			import->mode = q->mode;
		break;
	case CALL_GET_MODE:
		if (done && reply->value != import->mode)
			model_disagree("a wrong mode");
		break;
	default:
		apply_barrier(import, q->call, reply->code);
		break;
	}
}
