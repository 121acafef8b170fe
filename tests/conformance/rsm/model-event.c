/* SPDX-License-Identifier: Apache-2.0 */
/* Events in the model: rsmapi.md §4.10, §5.5, §5.6. */
#include "model.h"

void model_post(uint32_t *events, uint32_t flags)
{
	*events = flags & RSM_SIGPOST_NO_ACCUMULATE && *events ? *events : *events + 1;
}

segment_t model_segment_at(agent_t *agent, uint32_t slot)
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

codes_t model_event_codes(const segment_t *segment, call_t call)
{
	if (segment->export ? !model_export_lives(segment->export)
			    : !model_import_lives(segment->import))
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
		/* Not written; [M] wants it connected. */
		if (is_broken(segment))
			return OK | C(RSMERR_BAD_SEG_HNDL) | C(RSMERR_CONN_ABORTED);
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
			model_post(&segment->import->target->events, flags);
		return;
	}
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_IMPORTS; j++) {
			import_t *import = &model_agents[i].imports[j];

			if (import->state == CONNECTED && import->target == segment->export)
				model_post(&import->events, flags);
		}
}

void model_event_apply(const segment_t *segment, const call_request_t *q, const call_reply_t *reply)
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
			model_disagree("a descriptor that is readable at the wrong time");
		break;
	default: /* CALL_RELEASE_POLLFD */
		*segment->references -= *segment->references > 0;
		break;
	}
}
