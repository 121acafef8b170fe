/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls made up at random: most of them make sense in the state of the model, some do not. Calls
 * are left out that would lose a handle, or whose effect the documents leave open.
 */
#include "model.h"

#include <string.h>

static uint64_t state;

void model_random_start(uint64_t seed)
{
	state = seed;
}

uint32_t model_random(uint32_t n)
{
	/* splitmix64 */
	uint64_t z = state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (uint32_t)((z ^ z >> 31) >> 32) % n;
}

static bool once_in(uint32_t n)
{
	return model_random(n) == 0;
}

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

static call_t choose_call(void)
{
	for (;;) {
		call_t call = (call_t)model_random(N_CALLS);

		if (model_random(10) < weights[call])
			return call;
	}
}

/* A store through the map of an own export that is broken may or may not reach it (§5.2). */
static bool may_use_map(const import_t *import, call_t call)
{
	if (!model_import_lives(import) || import->mapping != MAPPED)
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
		return !model_export_lives(&agent->exports[q->slot]);
	case CALL_CONNECT:
		return !model_import_lives(&agent->imports[q->slot]);
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
		return model_export_lives(&agent->exports[q->slot]);
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
		segment = model_segment_at(agent, q->slot);
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

static agent_t *choose_agent(call_request_t *q)
{
	bool sensible = !once_in(8);

	for (int i = 0; i < 40; i++) {
		agent_t *agent = &model_agents[model_random(N_AGENTS)];

		q->slot = model_random(n_slots(q->call));
		if (is_possible(agent, q) && (!sensible || i > 20 || makes_sense(agent, q)))
			return agent;
	}
	return NULL;
}

static void choose_piece(uint64_t size, bool legal, uint64_t *ret_offset, uint64_t *ret_length)
{
	uint64_t length = once_in(20) ? size : model_random(257);
	uint64_t offset = model_random((uint32_t)(size - length + 1));

	if (offset == size || length > size)
		offset = length = 0;
	if (!legal && once_in(12)) {
		static const uint64_t offsets[] = {
			SEGMENT_SIZE, SEGMENT_SIZE - 8, (uint64_t)-8, INT64_MAX - 7};

		offset = offsets[model_random(4)];
		length = once_in(4) ? SEGMENT_SIZE + 8 : 16 + model_random(20) * 8;
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

	q->offset = offsets[model_random(7)];
	q->length = lengths[model_random(7)];
	q->mode = modes[model_random(8)];
}

static void choose_publication(call_request_t *q)
{
	static const uint32_t modes[] = {NO_LIST, NO_LIST, NO_LIST, 0666, 0666, 0444, 0222, 0777};

	q->id = once_in(5) ? 0 : model_ids[model_random(N_IDS)];
	if (once_in(20))
		q->id = once_in(2) ? 0x3FFFFF : 0x80000000;
	q->mode = modes[model_random(8)];
	q->value = once_in(15);
}

static void choose_import_arguments(const agent_t *agent, call_request_t *q)
{
	static const uint32_t permissions[] = {0600, 0600, 0600, 0600, 0400, 0200, 0, 0777};

	switch (q->call) {
	case CALL_CONNECT:
		q->id = model_ids[model_random(N_IDS)];
		q->mode = permissions[model_random(8)];
		break;
	case CALL_PUTV:
	case CALL_GETV:
		q->n_entries = 1 + model_random(MAX_ENTRIES);
		q->flags = model_random(4);
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
		q->mode = once_in(5) ? 2 : model_random(2);
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

static void choose_arguments(agent_t *agent, call_request_t *q)
{
	static const uint64_t sizes[] = {0, SEGMENT_SIZE - 8};

	q->buffer = model_random(N_BUFFERS);
	q->flags = model_random(4);
	switch (q->call) {
	case CALL_CREATE:
	case CALL_REBIND:
		q->length = once_in(12) ? sizes[model_random(2)] : SEGMENT_SIZE;
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
		q->value = *model_segment_at(agent, q->slot).events ? 2000 : 0;
		break;
	default:
		if (!is_event_call(q->call))
			choose_import_arguments(agent, q);
		break;
	}
	for (size_t i = 0; i < MAX_DATA; i += 8) {
		uint64_t word = (uint64_t)model_random(UINT32_MAX) * 0x100000001u;

		memcpy(q->data + i, &word, 8);
		/* Most transfers are short. */
		if (i > 2048 && q->length <= 512)
			break;
	}
}

agent_t *model_choose(call_request_t *ret_request)
{
	agent_t *agent;

	memset(ret_request, 0, sizeof(*ret_request));
	ret_request->call = choose_call();
	agent = choose_agent(ret_request);
	if (agent)
		choose_arguments(agent, ret_request);
	return agent;
}
