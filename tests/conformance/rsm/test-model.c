/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that do random calls, legal and illegal, and an oracle that knows from rsmapi.md which
 * codes each call may return and what every byte of every buffer is afterwards. Agents are killed
 * and replaced in the midst of it.
 *
 * A run is a function of its seed, which is printed: RSM_MODEL_SEED=n repeats run n alone.
 *
 * Where the documents allow several outcomes the oracle allows all of them and learns from the one
 * that it sees. What the documents leave open altogether (which bytes a broken connection shows,
 * what a process sees of its own export after unpublish) is called, but not compared.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model-agent.h"
#include "optional.h"

enum {
	N_AGENTS = 4,
	N_IDS = 5,
	N_STEPS = 3000,
	MILLISECONDS = 9000, /* for the runs of one test */
	N_REMEMBERED = 50,
};

typedef enum { NONE, BOUND, PUBLISHED, ENDED } export_state_t;

typedef struct {
	export_state_t state;
	uint32_t buffer, id, mode, events, references;
	bool may_rebind;
	uint8_t bytes[N_BUFFERS][SEGMENT_SIZE]; /* the agent's memory, exported or not */
} export_t;

typedef enum { UNUSED, CONNECTED, BROKEN, DISCONNECTED } import_state_t;
typedef enum { UNMAPPED, PERHAPS_MAPPED, MAPPED_BY_ACCESS, MAPPED } mapping_t;
typedef enum { NO_BARRIER, READY, PERHAPS_OPEN, OPEN } barrier_t;

typedef struct {
	import_state_t state;
	export_t *target;
	bool own; /* the exporter's process is the importer's */
	rsm_permission_t permission, map_permission;
	mapping_t mapping;
	uint64_t map_offset, map_length;
	barrier_t barrier;
	uint32_t mode, events, references;
} import_t;

typedef struct {
	pid_t pid;
	int channel;
	export_t exports[N_EXPORTS];
	import_t imports[N_IMPORTS];
} agent_t;

static agent_t agents[N_AGENTS];
static rsm_memseg_id_t ids[N_IDS];
static uint64_t seed, state_of_random;
static uint32_t n_steps;
static char remembered[N_REMEMBERED][160];

/* Sets of codes, all of which are below 64. */
typedef uint64_t codes_t;
#define C(code) ((codes_t)1 << (code))
#define OK	C(RSM_SUCCESS)

static uint32_t random_below(uint32_t n)
{
	/* splitmix64 */
	uint64_t z = state_of_random += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (uint32_t)((z ^ z >> 31) >> 32) % n;
}

static bool once_in(uint32_t n)
{
	return random_below(n) == 0;
}

static _Noreturn void disagree(const char *what)
{
	printf("# seed %ju, step %u: %s\n", (uintmax_t)seed, n_steps, what);
	for (uint32_t i = n_steps < N_REMEMBERED ? 0 : n_steps - N_REMEMBERED + 1; i <= n_steps;
		i++)
		printf("# %s\n", remembered[i % N_REMEMBERED]);
	printf("# repeat with RSM_MODEL_SEED=%ju\n", (uintmax_t)seed);
	fflush(stdout);
	_exit(1);
}

/* Exports */

static bool lives(const export_t *export)
{
	return export->state == BOUND || export->state == PUBLISHED;
}

static export_t *published_as(rsm_memseg_id_t id)
{
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_EXPORTS; j++)
			if (agents[i].exports[j].state == PUBLISHED &&
				agents[i].exports[j].id == id)
				return &agents[i].exports[j];
	return NULL;
}

static bool is_bad_list(const call_request_t *q)
{
	return q->mode != NO_LIST && (q->value != 0 || q->mode > 0666);
}

static codes_t codes_of_create(const call_request_t *q)
{
	if (q->length == 0)
		return C(RSMERR_BAD_LENGTH);
	return q->offset % 4096 || q->length % 4096 ? C(RSMERR_BAD_MEM_ALIGNMENT) : OK;
}

static codes_t codes_of_rebind(const export_t *export, const call_request_t *q)
{
	if (!export->may_rebind)
		return C(RSMERR_REBIND_NOT_ALLOWED);
	if (q->length != SEGMENT_SIZE)
		return C(RSMERR_BAD_LENGTH);
	return q->offset % 4096 ? C(RSMERR_BAD_ADDR) : OK;
}

static codes_t codes_of_publish(const export_t *export, const call_request_t *q)
{
	if (export->state != BOUND)
		return C(RSMERR_SEG_ALREADY_PUBLISHED);
	if (q->id != 0 && (q->id < 0x400000 || q->id >= 0x80000000))
		return C(RSMERR_RESERVED_SEGID);
	if (is_bad_list(q))
		return C(RSMERR_BAD_ACL);
	return published_as(q->id) ? C(RSMERR_SEGID_IN_USE) : OK;
}

static codes_t codes_of_export(const export_t *export, const call_request_t *q)
{
	if (q->call == CALL_CREATE)
		return codes_of_create(q);
	if (!lives(export))
		return C(RSMERR_BAD_SEG_HNDL);
	switch (q->call) {
	case CALL_REBIND:
		return codes_of_rebind(export, q);
	case CALL_PUBLISH:
		return codes_of_publish(export, q);
	case CALL_REPUBLISH:
		if (export->state != PUBLISHED)
			return C(RSMERR_SEG_NOT_PUBLISHED);
		return is_bad_list(q) ? C(RSMERR_BAD_ACL) : OK;
	case CALL_UNPUBLISH:
		return export->state == PUBLISHED ? OK : C(RSMERR_SEG_NOT_PUBLISHED);
	default: /* CALL_DESTROY */
		return export->references ? C(RSMERR_POLLFD_IN_USE) : OK;
	}
}

static void break_imports(export_t *export)
{
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_IMPORTS; j++) {
			import_t *import = &agents[i].imports[j];

			if (import->state == CONNECTED && import->target == export)
				import->state = BROKEN;
		}
}

static void apply_to_export(export_t *export, const call_request_t *q, const call_reply_t *reply)
{
	if (reply->code != RSM_SUCCESS) {
		/* §4.3: *memseg = 0 */
		if (q->call == CALL_CREATE)
			export->state = NONE;
		return;
	}
	switch (q->call) {
	case CALL_CREATE:
		export->state = BOUND;
		export->buffer = q->buffer;
		export->may_rebind = q->flags & RSM_ALLOW_REBIND;
		export->events = export->references = 0;
		break;
	case CALL_REBIND:
		export->buffer = q->buffer;
		break;
	case CALL_PUBLISH:
		if (q->id ? reply->value != q->id : reply->value < 0x80000000)
			disagree("a wrong id");
		export->id = (rsm_memseg_id_t)reply->value;
		export->state = PUBLISHED;
		export->mode = q->mode;
		break;
	case CALL_REPUBLISH:
		export->mode = q->mode;
		break;
	default: /* CALL_UNPUBLISH, CALL_DESTROY */
		export->state = q->call == CALL_UNPUBLISH ? BOUND : ENDED;
		break_imports(export);
		break;
	}
}

/* Imports */

static bool is_live(const import_t *import)
{
	return import->state == CONNECTED || import->state == BROKEN;
}

static codes_t codes_of_connect(const call_request_t *q)
{
	const export_t *target = published_as(q->id);

	if (q->mode & ~(uint32_t)RSM_PERM_RDWR)
		return C(RSMERR_PERM_DENIED);
	if (!target)
		return C(RSMERR_SEG_NOT_PUBLISHED);
	/* Without a list 0755; all agents are the owner, and root may everything (§6.1). */
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

/* What a sound connection says to one access; 0 bits never. */
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
		return C(RSMERR_BAD_MEM_ALIGNMENT) | (is_live(import) ? 0 : C(RSMERR_BAD_SEG_HNDL));
	if (!is_live(import))
		return C(RSMERR_BAD_SEG_HNDL);
	return when_broken(import, codes_of_sound_access(import, q, q->offset, q->length));
}

static codes_t codes_of_vector(const import_t *import, const call_request_t *q)
{
	codes_t codes = OK;

	if (!is_live(import))
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

	if (!is_live(import))
		return C(RSMERR_BAD_SEG_HNDL);
	if (import->mapping == MAPPED || import->mapping == MAPPED_BY_ACCESS)
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
	if (import->mapping == PERHAPS_MAPPED)
		codes |= C(RSMERR_SEG_ALREADY_MAPPED);
	return codes;
}

static codes_t codes_of_unmap(const import_t *import)
{
	if (!is_live(import))
		return C(RSMERR_BAD_SEG_HNDL);
	if (import->mapping == UNMAPPED)
		return C(RSMERR_SEG_NOT_MAPPED);
	return import->mapping == PERHAPS_MAPPED ? OK | C(RSMERR_SEG_NOT_MAPPED) : OK;
}

static codes_t codes_of_disconnect(const import_t *import)
{
	if (!is_live(import))
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
		if (!is_live(import))
			return C(RSMERR_BAD_SEG_HNDL);
		return import->state == BROKEN ? OK | C(RSMERR_CONN_ABORTED) : OK;
	}
	if (import->barrier == NO_BARRIER)
		return C(RSMERR_BARRIER_UNINITIALIZED);
	if (!is_live(import))
		return C(RSMERR_BAD_BARRIER_PTR);
	if (call == CALL_DESTROY_BARRIER)
		return OK;
	if (call == CALL_OPEN_BARRIER)
		return import->state == BROKEN
			       ? OK | C(RSMERR_BARRIER_OPEN_FAILED) | C(RSMERR_CONN_ABORTED)
			       : OK;
	return codes_within_span(import, call);
}

static codes_t codes_of_import(const import_t *import, const call_request_t *q)
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
		if (!is_live(import))
			return C(RSMERR_BAD_SEG_HNDL);
		return q->mode > 1 ? C(RSMERR_BAD_MODE) : OK;
	case CALL_GET_MODE:
		return is_live(import) ? OK : C(RSMERR_BAD_SEG_HNDL);
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
		disagree("an importer has wrong bytes");
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

static void post_to(uint32_t *events, uint32_t flags)
{
	*events = flags & RSM_SIGPOST_NO_ACCUMULATE && *events ? *events : *events + 1;
}

static void apply_vector(import_t *import, const call_request_t *q, const call_reply_t *reply)
{
	uint64_t local = 0;
	uint32_t n_done;

	if (reply->code == RSMERR_BAD_SEG_HNDL)
		return;
	import->mapping = import->mapping == UNMAPPED ? PERHAPS_MAPPED : import->mapping;
	note_access(import, q, reply->code);
	if (reply->value > q->n_entries || (reply->code == RSM_SUCCESS) != (reply->value == 0))
		disagree("a wrong residual");
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
		disagree("the residual names another entry");
	if (import->state == CONNECTED && reply->code == RSM_SUCCESS &&
		q->flags & RSM_IMPLICIT_SIGPOST)
		post_to(&import->target->events, q->flags);
}

static void apply_connect(import_t *import, const agent_t *agent, const call_request_t *q, int code)
{
	memset(import, 0, sizeof(*import));
	if (code != RSM_SUCCESS)
		return;
	import->state = CONNECTED;
	import->target = published_as(q->id);
	import->own =
		import->target >= agent->exports && import->target < agent->exports + N_EXPORTS;
	import->permission = q->mode;
	import->mode = RSM_BARRIER_MODE_IMPLICIT;
}

static void apply_map(import_t *import, const call_request_t *q, int code)
{
	if (code == RSMERR_SEG_ALREADY_MAPPED && import->mapping == PERHAPS_MAPPED)
		import->mapping = MAPPED_BY_ACCESS;
	else if (code != RSMERR_SEG_ALREADY_MAPPED && import->mapping == PERHAPS_MAPPED &&
		 import->state == CONNECTED)
		import->mapping = UNMAPPED;
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
	else if (call == CALL_CLOSE_BARRIER && import->barrier != NO_BARRIER && is_live(import))
		import->barrier = code == RSMERR_CONN_ABORTED ? PERHAPS_OPEN : READY;
}

static void apply_to_import(
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
		if (is_live(import))
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
			disagree("a wrong mode");
		break;
	default:
		apply_barrier(import, q->call, reply->code);
		break;
	}
}

/* Events, of either kind of segment */

typedef struct {
	export_t *export; /* or NULL */
	import_t *import; /* or NULL */
	uint32_t *events, *references;
} segment_t;

static segment_t segment_at(agent_t *agent, uint32_t slot)
{
	segment_t segment = {0};

	if (slot < N_EXPORTS) {
		segment.export = &agent->exports[slot];
		segment.events = &segment.export->events;
		segment.references = &segment.export->references;
	} else {
		segment.import = &agent->imports[slot - N_EXPORTS];
		segment.events = &segment.import->events;
		segment.references = &segment.import->references;
	}
	return segment;
}

static bool is_broken(const segment_t *segment)
{
	return segment->import && segment->import->state == BROKEN;
}

static codes_t codes_of_event(const segment_t *segment, call_t call)
{
	if (segment->export ? !lives(segment->export) : !is_live(segment->import))
		return C(RSMERR_BAD_SEG_HNDL);
	switch (call) {
	case CALL_POST:
		return is_broken(segment)
			       ? OK | C(RSMERR_CONN_ABORTED) | C(RSMERR_REMOTE_NODE_UNREACHABLE)
			       : OK;
	case CALL_WAIT:
		if (is_broken(segment))
			return C(RSMERR_CONN_ABORTED) | (*segment->events ? OK : 0);
		return *segment->events ? OK : C(RSMERR_TIMEOUT);
	case CALL_GET_POLLFD:
		/* [M] has 5 for what is not published. */
		return segment->export && segment->export->state == BOUND
			       ? OK | C(RSMERR_BAD_SEG_HNDL)
			       : OK;
	default: /* CALL_RELEASE_POLLFD */
		return OK;
	}
}

static void apply_post(const segment_t *segment, uint32_t flags)
{
	if (segment->import) {
		if (segment->import->state == CONNECTED)
			post_to(&segment->import->target->events, flags);
		return;
	}
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_IMPORTS; j++) {
			import_t *import = &agents[i].imports[j];

			if (import->state == CONNECTED && import->target == segment->export)
				post_to(&import->events, flags);
		}
}

static void apply_event(
	const segment_t *segment, const call_request_t *q, const call_reply_t *reply)
{
	if (reply->code != RSM_SUCCESS)
		return;
	switch (q->call) {
	case CALL_POST:
		apply_post(segment, q->flags);
		break;
	case CALL_WAIT:
		--*segment->events;
		break;
	case CALL_GET_POLLFD:
		++*segment->references;
		if (!is_broken(segment) && reply->value != (*segment->events > 0))
			disagree("a descriptor that is readable at the wrong time");
		break;
	default: /* CALL_RELEASE_POLLFD */
		*segment->references -= *segment->references > 0;
		break;
	}
}

/* Calls */

static bool is_event_call(call_t call)
{
	return call >= CALL_POST && call <= CALL_RELEASE_POLLFD;
}

static bool is_memory_call(call_t call)
{
	return call == CALL_STORE || call == CALL_LOAD;
}

static bool is_export_call(call_t call)
{
	return call <= CALL_DESTROY;
}

static codes_t expected_codes(agent_t *agent, const call_request_t *q)
{
	segment_t segment;

	if (is_memory_call(q->call))
		return OK;
	if (is_export_call(q->call))
		return codes_of_export(&agent->exports[q->slot], q);
	if (!is_event_call(q->call))
		return codes_of_import(&agent->imports[q->slot], q);
	segment = segment_at(agent, q->slot);
	return codes_of_event(&segment, q->call);
}

static void apply_memory(export_t *export, const call_request_t *q, const call_reply_t *reply)
{
	uint8_t *bytes = export->bytes[q->buffer] + q->offset;

	if (q->call == CALL_STORE)
		memcpy(bytes, q->data, q->length);
	else if (memcmp(bytes, reply->data, q->length) != 0)
		disagree("an exporter has wrong bytes");
}

static void apply(agent_t *agent, const call_request_t *q, const call_reply_t *reply)
{
	segment_t segment;

	if (is_memory_call(q->call)) {
		apply_memory(&agent->exports[q->slot], q, reply);
	} else if (is_export_call(q->call)) {
		apply_to_export(&agent->exports[q->slot], q, reply);
	} else if (!is_event_call(q->call)) {
		apply_to_import(agent, &agent->imports[q->slot], q, reply);
	} else {
		segment = segment_at(agent, q->slot);
		apply_event(&segment, q, reply);
	}
}

static void remember(const agent_t *agent, const call_request_t *q, codes_t expected, int code)
{
	int length = snprintf(remembered[n_steps % N_REMEMBERED], sizeof(remembered[0]),
		"%u: agent %d %s %u, buffer %u id %#x mode %#o flags %u offset %jd length %ju: %d, "
		"expected",
		n_steps, (int)(agent - agents), call_names[q->call], q->slot, q->buffer, q->id,
		q->mode, q->flags, (intmax_t)q->offset, (uintmax_t)q->length, code);

	for (int i = 0; i < 64 && length < 150; i++)
		if (expected & C(i))
			length += snprintf(remembered[n_steps % N_REMEMBERED] + length,
				sizeof(remembered[0]) - (size_t)length, " %d", i);
}

static void do_call(agent_t *agent, const call_request_t *q)
{
	static call_reply_t reply;
	codes_t expected = expected_codes(agent, q);
	bool alive;

	n_steps++;
	remember(agent, q, expected, -1);
	alive = model_agent_call(agent->channel, q, &reply);
	if (!alive)
		disagree("an agent died of this call");
	remember(agent, q, expected, reply.code);
	if (reply.code < 0 || reply.code >= 64 || !(expected & C(reply.code)))
		disagree("an unexpected code");
	apply(agent, q, &reply);
}

/* Choice of calls */

static const uint8_t weights[N_CALLS] = {
	[CALL_CREATE] = 5,
	[CALL_REBIND] = 3,
	[CALL_PUBLISH] = 5,
	[CALL_REPUBLISH] = 2,
	[CALL_UNPUBLISH] = 1,
	[CALL_DESTROY] = 1,
	[CALL_STORE] = 8,
	[CALL_LOAD] = 8,
	[CALL_CONNECT] = 10,
	[CALL_DISCONNECT] = 4,
	[CALL_PUT] = 10,
	[CALL_GET] = 10,
	[CALL_PUT64] = 4,
	[CALL_GET64] = 4,
	[CALL_PUTV] = 6,
	[CALL_GETV] = 6,
	[CALL_MAP] = 6,
	[CALL_UNMAP] = 4,
	[CALL_MAP_STORE] = 10,
	[CALL_MAP_LOAD] = 10,
	[CALL_INIT_BARRIER] = 6,
	[CALL_OPEN_BARRIER] = 3,
	[CALL_ORDER_BARRIER] = 2,
	[CALL_CLOSE_BARRIER] = 3,
	[CALL_DESTROY_BARRIER] = 1,
	[CALL_SET_MODE] = 2,
	[CALL_GET_MODE] = 1,
	[CALL_POST] = 10,
	[CALL_WAIT] = 10,
	[CALL_GET_POLLFD] = 2,
	[CALL_RELEASE_POLLFD] = 3,
};

static bool is_there(call_t call)
{
	switch (call) {
	case CALL_REBIND:
		return rsm_memseg_export_rebind;
	case CALL_PUTV:
	case CALL_GETV:
		return rsm_memseg_import_putv && rsm_memseg_import_getv;
	case CALL_GET_POLLFD:
	case CALL_RELEASE_POLLFD:
		return rsm_memseg_get_pollfd && rsm_memseg_release_pollfd;
	default:
		return true;
	}
}

static call_t choose_call(void)
{
	for (;;) {
		call_t call = (call_t)random_below(N_CALLS);

		if (random_below(10) < weights[call] && is_there(call))
			return call;
	}
}

/* A store through the map of an own export that is broken may or may not reach it (§5.2). */
static bool may_use_map(const import_t *import, call_t call)
{
	if (!is_live(import) || import->mapping != MAPPED)
		return false;
	if (call == CALL_MAP_LOAD)
		return import->map_permission & RSM_PERM_READ;
	return import->map_permission & RSM_PERM_WRITE && !(import->state == BROKEN && import->own);
}

/* A slot in use would lose its handle. */
static bool is_possible(const agent_t *agent, const call_request_t *q)
{
	switch (q->call) {
	case CALL_CREATE:
		return !lives(&agent->exports[q->slot]);
	case CALL_CONNECT:
		return !is_live(&agent->imports[q->slot]);
	case CALL_MAP_STORE:
	case CALL_MAP_LOAD:
		return may_use_map(&agent->imports[q->slot], q->call);
	/* So may a put into it. */
	case CALL_PUT:
	case CALL_PUT64:
	case CALL_PUTV:
		return !(agent->imports[q->slot].state == BROKEN && agent->imports[q->slot].own);
	default:
		return true;
	}
}

static bool makes_sense(agent_t *agent, const call_request_t *q)
{
	segment_t segment;

	switch (q->call) {
	case CALL_STORE:
	case CALL_LOAD:
		return true;
	case CALL_REBIND:
	case CALL_DESTROY:
		return lives(&agent->exports[q->slot]);
	case CALL_PUBLISH:
		return agent->exports[q->slot].state == BOUND;
	case CALL_REPUBLISH:
	case CALL_UNPUBLISH:
		return agent->exports[q->slot].state == PUBLISHED;
	case CALL_DISCONNECT:
		return agent->imports[q->slot].state == BROKEN;
	default:
		break;
	}
	if (is_event_call(q->call)) {
		segment = segment_at(agent, q->slot);
		return segment.export ? segment.export->state == PUBLISHED
				      : segment.import->state == CONNECTED;
	}
	return q->call == CALL_CREATE || q->call == CALL_CONNECT ||
	       agent->imports[q->slot].state == CONNECTED;
}

static uint32_t n_slots(call_t call)
{
	if (is_event_call(call))
		return N_EXPORTS + N_IMPORTS;
	return is_export_call(call) || is_memory_call(call) ? N_EXPORTS : N_IMPORTS;
}

/* NULL when nobody can do that call now. */
static agent_t *choose_agent(call_request_t *q)
{
	bool sensible = !once_in(8);

	for (int i = 0; i < 40; i++) {
		agent_t *agent = &agents[random_below(N_AGENTS)];

		q->slot = random_below(n_slots(q->call));
		if (is_possible(agent, q) && (!sensible || i > 20 || makes_sense(agent, q)))
			return agent;
	}
	return NULL;
}

static void choose_piece(uint64_t size, bool legal, uint64_t *ret_offset, uint64_t *ret_length)
{
	uint64_t length = once_in(20) ? size : random_below(257);
	uint64_t offset = random_below((uint32_t)(size - length + 1));

	if (offset == size || length > size)
		offset = length = 0;
	if (!legal && once_in(12)) {
		static const uint64_t offsets[] = {
			SEGMENT_SIZE, SEGMENT_SIZE - 8, (uint64_t)-8, INT64_MAX - 7};

		offset = offsets[random_below(4)];
		length = once_in(4) ? SEGMENT_SIZE + 8 : 16 + random_below(20) * 8;
	}
	*ret_offset = offset;
	*ret_length = length;
}

static void choose_map(call_request_t *q)
{
	static const uint64_t offsets[] = {0, 0, 0, 4096, 4096, 100, SEGMENT_SIZE};
	static const uint64_t lengths[] = {
		SEGMENT_SIZE, SEGMENT_SIZE, 4096, 1, 5000, 0, SEGMENT_SIZE + 1};
	static const uint32_t modes[] = {0600, 0600, 0400, 0400, 0200, 0, 0700, 0666};

	q->offset = offsets[random_below(7)];
	q->length = lengths[random_below(7)];
	q->mode = modes[random_below(8)];
}

static void choose_publication(call_request_t *q)
{
	static const uint32_t modes[] = {NO_LIST, NO_LIST, NO_LIST, 0666, 0666, 0444, 0222, 0777};

	q->id = once_in(5) ? 0 : ids[random_below(N_IDS)];
	if (once_in(20))
		q->id = once_in(2) ? 0x3FFFFF : 0x80000000;
	q->mode = modes[random_below(8)];
	q->value = once_in(15);
}

static void choose_import_arguments(const agent_t *agent, call_request_t *q)
{
	static const uint32_t permissions[] = {0600, 0600, 0600, 0600, 0400, 0200, 0, 0777};

	switch (q->call) {
	case CALL_CONNECT:
		q->id = ids[random_below(N_IDS)];
		q->mode = permissions[random_below(8)];
		break;
	case CALL_PUTV:
	case CALL_GETV:
		q->n_entries = 1 + random_below(MAX_ENTRIES);
		q->flags = random_below(4);
		q->length = 1;
		for (uint32_t i = 0; i < q->n_entries; i++) {
			choose_piece(SEGMENT_SIZE / 4, false, &q->entries[i].offset,
				&q->entries[i].length);
			if (q->entries[i].length <= 512)
				q->entries[i].offset += once_in(2) ? SEGMENT_SIZE / 2 : 0;
		}
		break;
	case CALL_MAP:
		choose_map(q);
		break;
	case CALL_MAP_STORE:
	case CALL_MAP_LOAD:
		choose_piece(agent->imports[q->slot].map_length, true, &q->offset, &q->length);
		break;
	case CALL_SET_MODE:
		q->mode = once_in(5) ? 2 : random_below(2);
		break;
	default:
		choose_piece(SEGMENT_SIZE, false, &q->offset, &q->length);
		break;
	}
	if (q->call == CALL_PUT64 || q->call == CALL_GET64) {
		q->length &= ~(uint64_t)7;
		q->offset &= once_in(10) ? ~(uint64_t)3 : ~(uint64_t)7;
	}
}

static void choose_arguments(const agent_t *agent, call_request_t *q)
{
	static const uint64_t sizes[] = {0, SEGMENT_SIZE - 8};

	q->buffer = random_below(N_BUFFERS);
	q->flags = random_below(4);
	switch (q->call) {
	case CALL_CREATE:
	case CALL_REBIND:
		q->length = once_in(12) ? sizes[random_below(2)] : SEGMENT_SIZE;
		q->offset = once_in(12) ? 8 : 0;
		break;
	case CALL_PUBLISH:
	case CALL_REPUBLISH:
		choose_publication(q);
		break;
	case CALL_STORE:
	case CALL_LOAD:
		choose_piece(SEGMENT_SIZE, true, &q->offset, &q->length);
		break;
	case CALL_GET_POLLFD:
		/* The agent polls as long: what should be readable may take a moment. */
		q->value = *segment_at((agent_t *)agent, q->slot).events ? 2000 : 0;
		break;
	default:
		if (!is_event_call(q->call))
			choose_import_arguments(agent, q);
		break;
	}
	for (size_t i = 0; i < MAX_DATA; i += 8) {
		uint64_t word = (uint64_t)random_below(UINT32_MAX) * 0x100000001u;

		memcpy(q->data + i, &word, 8);
		/* Most transfers are short. */
		if (i > 2048 && q->length <= 512)
			break;
	}
}

/* Processes that come and go */

static void start_agent(agent_t *agent)
{
	memset(agent, 0, sizeof(*agent));
	agent->pid = model_agent_start(&agent->channel);
}

static void end_agent(agent_t *agent)
{
	kill(agent->pid, SIGKILL);
	waitpid(agent->pid, NULL, 0);
	close(agent->channel);
}

/* The death of an exporter is noticed in a moment (§5.2): wait(0) says 40 then. */
static void await_break(const agent_t *agent, uint32_t slot)
{
	call_request_t q = {.call = CALL_WAIT, .slot = N_EXPORTS + slot};
	int64_t give_up = rig_now() + 5000;
	call_reply_t reply;

	do {
		if (!model_agent_call(agent->channel, &q, &reply))
			disagree("an agent died while it waited for a break");
		if (rig_now() > give_up)
			disagree("the death of an exporter is not noticed");
	} while (reply.code != RSMERR_CONN_ABORTED);
}

/* And its ids become free. */
static void await_free(const agent_t *agent, rsm_memseg_id_t id)
{
	call_request_t q = {.call = CALL_CONNECT, .id = id};
	call_request_t undo = {.call = CALL_DISCONNECT};
	int64_t give_up = rig_now() + 5000;
	call_reply_t reply, undone;

	for (;;) {
		if (!model_agent_call(agent->channel, &q, &reply))
			disagree("an agent died while it waited for an id");
		if (reply.code == RSMERR_SEG_NOT_PUBLISHED)
			return;
		if (reply.code == RSM_SUCCESS)
			model_agent_call(agent->channel, &undo, &undone);
		if (rig_now() > give_up)
			disagree("the id of a dead exporter is not free");
	}
}

static void replace(agent_t *victim)
{
	rsm_memseg_id_t freed[N_EXPORTS] = {0};

	n_steps++;
	snprintf(remembered[n_steps % N_REMEMBERED], sizeof(remembered[0]), "%u: kill agent %d",
		n_steps, (int)(victim - agents));
	end_agent(victim);
	for (int j = 0; j < N_EXPORTS; j++) {
		if (victim->exports[j].state != PUBLISHED)
			continue;
		freed[j] = victim->exports[j].id;
		break_imports(&victim->exports[j]);
	}
	for (int i = 0; i < N_AGENTS; i++)
		for (uint32_t j = 0; j < N_IMPORTS; j++) {
			import_t *import = &agents[i].imports[j];

			if (&agents[i] == victim || import->state != BROKEN ||
				import->target < victim->exports ||
				import->target >= victim->exports + N_EXPORTS)
				continue;
			await_break(&agents[i], j);
			import->events = 0;
		}
	start_agent(victim);
	for (int j = 0; j < N_EXPORTS; j++)
		if (freed[j])
			await_free(victim, freed[j]);
}

static void compare_all_memory(void)
{
	call_request_t q = {.call = CALL_LOAD, .length = SEGMENT_SIZE};

	for (int i = 0; i < N_AGENTS; i++)
		for (q.slot = 0; q.slot < N_EXPORTS; q.slot++)
			for (q.buffer = 0; q.buffer < N_BUFFERS; q.buffer++)
				do_call(&agents[i], &q);
}

static void step(bool with_deaths)
{
	static call_request_t q;
	agent_t *agent;

	if (with_deaths && once_in(150)) {
		replace(&agents[random_below(N_AGENTS)]);
		return;
	}
	memset(&q, 0, sizeof(q));
	q.call = choose_call();
	agent = choose_agent(&q);
	if (!agent)
		return;
	choose_arguments(agent, &q);
	do_call(agent, &q);
	/* Memory moves at these. */
	if (q.call == CALL_UNPUBLISH || q.call == CALL_DESTROY || q.call == CALL_REBIND ||
		once_in(100))
		compare_all_memory();
}

static void run(uint64_t with_seed, bool with_deaths)
{
	seed = state_of_random = with_seed;
	n_steps = 0;
	for (int i = 0; i < N_IDS; i++)
		ids[i] = rig_id();
	for (int i = 0; i < N_AGENTS; i++)
		start_agent(&agents[i]);
	while (n_steps < N_STEPS)
		step(with_deaths);
	compare_all_memory();
	for (int i = 0; i < N_AGENTS; i++)
		end_agent(&agents[i]);
}

static void run_many(bool with_deaths)
{
	const char *wanted = getenv("RSM_MODEL_SEED");
	int64_t end = rig_now() + MILLISECONDS;
	uint64_t first = (uint64_t)getpid() * 1000 + (uint64_t)(rig_now() % 1000);
	uint32_t n_runs = 0;

	umask(022);
	if (wanted) {
		run(strtoull(wanted, NULL, 0), with_deaths);
		return;
	}
	do
		run(first + n_runs++, with_deaths);
	while (rig_now() < end);
	printf("# %u runs of %d steps, first seed %ju\n", n_runs, N_STEPS, (uintmax_t)first);
	fflush(stdout);
}

static void the_model_predicts_every_code_and_byte(void)
{
	run_many(false);
}

static void the_model_holds_while_processes_are_killed(void)
{
	run_many(true);
}

static const rig_test_t tests[] = {
	TEST(the_model_predicts_every_code_and_byte),
	TEST(the_model_holds_while_processes_are_killed),
};

RIG_MAIN(tests)
