/* SPDX-License-Identifier: Apache-2.0 */
/* Exports in the model: rsmapi.md §4.3, §5.1. */
#include "model.h"

bool model_export_lives(const export_t *export)
{
	return export->state == BOUND || export->state == PUBLISHED;
}

export_t *model_published_as(rsm_memseg_id_t id)
{
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_EXPORTS; j++)
			if (model_agents[i].exports[j].state == PUBLISHED &&
				model_agents[i].exports[j].id == id)
				return &model_agents[i].exports[j];
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
	return model_published_as(q->id) ? C(RSMERR_SEGID_IN_USE) : OK;
}

codes_t model_export_codes(const export_t *export, const call_request_t *q)
{
	if (q->call == CALL_CREATE)
		return codes_of_create(q);
	if (!model_export_lives(export))
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

void model_break_imports(export_t *export)
{
	for (int i = 0; i < N_AGENTS; i++)
		for (int j = 0; j < N_IMPORTS; j++) {
			import_t *import = &model_agents[i].imports[j];

			if (import->state == CONNECTED && import->target == export)
				import->state = BROKEN;
		}
}

void model_export_apply(export_t *export, const call_request_t *q, const call_reply_t *reply)
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
			model_disagree("a wrong id");
		export->id = (rsm_memseg_id_t)reply->value;
		export->state = PUBLISHED;
		export->mode = q->mode;
		break;
	case CALL_REPUBLISH:
		export->mode = q->mode;
		break;
	default: /* CALL_UNPUBLISH, CALL_DESTROY */
		export->state = q->call == CALL_UNPUBLISH ? BOUND : ENDED;
		model_break_imports(export);
		break;
	}
}
