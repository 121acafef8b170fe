/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle of the model test: what the documents say about every call (rsmapi.md), as a state of
 * all exports and imports, the codes that a call may return in that state, and the change that it
 * makes. model-export.c, model-import.c and model-event.c know one kind of object each,
 * model-choice.c makes up calls, test-model.c has the processes do them.
 */
#ifndef TESTS_CONFORMANCE_RSM_MODEL_H
#define TESTS_CONFORMANCE_RSM_MODEL_H

#include "model-agent.h"

enum {
	N_AGENTS = 4,
	N_IDS = 5,
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

/* Either kind of segment, as events have it: export or import is NULL. */
typedef struct {
	export_t *export;
	import_t *import;
	uint32_t *events, *references;
} segment_t;

/* Sets of codes, all of which are below 64. */
typedef uint64_t codes_t;
#define C(code) ((codes_t)1 << (code))
#define OK	C(RSM_SUCCESS)

extern agent_t model_agents[N_AGENTS];
extern rsm_memseg_id_t model_ids[N_IDS]; /* those that the calls use */

/* Ends the test: what happened is not what the documents say. */
_Noreturn void model_disagree(const char *what);

/* Alive, published: by the model. */
bool model_export_lives(const export_t *export);
bool model_import_lives(const import_t *import);
export_t *model_published_as(rsm_memseg_id_t id);
segment_t model_segment_at(agent_t *agent, uint32_t slot);

/* The codes that the call may return now. */
codes_t model_export_codes(const export_t *export, const call_request_t *q);
codes_t model_import_codes(const import_t *import, const call_request_t *q);
codes_t model_event_codes(const segment_t *segment, call_t call);

/* The call returned one of them: its effect; bytes, ids and counts are compared. */
void model_export_apply(export_t *export, const call_request_t *q, const call_reply_t *reply);
void model_import_apply(
	const agent_t *agent, import_t *import, const call_request_t *q, const call_reply_t *reply);
void model_event_apply(
	const segment_t *segment, const call_request_t *q, const call_reply_t *reply);

void model_break_imports(export_t *export);
void model_post(uint32_t *events, uint32_t flags);

/* Which calls concern what */
static inline bool is_event_call(call_t call)
{
	return call >= CALL_POST && call <= CALL_RELEASE_POLLFD;
}

static inline bool is_memory_call(call_t call)
{
	return call == CALL_STORE || call == CALL_LOAD;
}

static inline bool is_export_call(call_t call)
{
	return call <= CALL_DESTROY;
}

/* Random numbers of the run, and a call with its agent; NULL when nobody can do it now. */
void model_random_start(uint64_t seed);
uint32_t model_random(uint32_t n);
agent_t *model_choose(call_request_t *ret_request);

#endif
