/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a journal, given to the engine in a restarted daemon's order. The input is records
 * one after the other: a byte for the kind, then the record, as long as its kind is. What the
 * engine takes it saves as it was, its invariants hold whatever it took, and all of it can be
 * ended.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "daemon/journal.h"
#include "daemon/record.h"

#define NODE	    3u
#define RECORDS_MAX 100u

static void ignore_import(void *userdata, EngineImport *import)
{
}

static void ignore_segment(void *userdata, EngineSegment *segment)
{
}

static const struct engine_ops ops = {
	.import_state = ignore_import,
	.import_free = ignore_import,
	.segment_free = ignore_segment,
	.segment_cells = ignore_segment,
};

static const struct engine_limits limits = {
	.max_segment_bytes = 1ull << 40,
	.max_bytes_per_user = 1ull << 50,
	.max_segments_per_user = 100,
	.max_imports_per_user = 100,
	.max_clients_per_user = 100,
};

static size_t record_size(uint32_t kind)
{
	switch (kind) {
	case RECORD_COUNTERS:
		return sizeof(struct engine_counters);
	case RECORD_CLIENT:
		return sizeof(struct record_client);
	case RECORD_GROUPS:
		return sizeof(struct record_groups);
	case RECORD_SEGMENT:
		return sizeof(struct record_segment);
	case RECORD_IMPORT:
		return sizeof(struct record_import);
	}
	return 0;
}

static Journal *journal_of(const uint8_t *data, size_t size)
{
	Journal *journal;
	uint32_t slot;
	size_t n;
	int fd;

	MUST(journal_create(1, 1, &fd) == 0 && journal_open(fd, &journal) == 0);
	for (unsigned int i = 0; i < RECORDS_MAX && size > 0; i++) {
		n = record_size(*data);
		if (!n || n >= size)
			break;
		MUST(journal_add(journal, *data, data + 1, n, &slot) == 0);
		data += n + 1;
		size -= n + 1;
	}
	return journal;
}

struct node {
	Engine *engine;
	EngineClient *clients[RECORDS_MAX];
	unsigned int n_clients;
};

static int restore_counters(struct node *node, const void *body)
{
	return engine_counters_restore(node->engine, body);
}

/* Groups have a record of their own only beyond those that the client's holds. */
static int restore_client(struct node *node, const void *body)
{
	const struct record_client *r = body;
	struct engine_client_record record, saved;
	EngineClient *client = NULL;
	int e;

	memset(&record, 0, sizeof(record));
	record.id = r->id;
	record.charged_uid = r->charged_uid;
	record.identity.pid = r->pid;
	record.identity.uid = r->uid;
	record.identity.gid = r->gid;
	record.identity.n_groups = r->n_groups;
	memcpy(record.identity.groups, r->groups, sizeof(r->groups));
	static_assert(sizeof(r->command) == sizeof(record.identity.command), "same length");
	memcpy(record.identity.command, r->command, sizeof(r->command));
	e = engine_client_restore(node->engine, &record, &client);
	if (e)
		return e;
	node->clients[node->n_clients++] = client;
	engine_client_save(client, &saved);
	MUST(saved.id == record.id && saved.charged_uid == record.charged_uid);
	MUST(!memcmp(&saved.identity, &record.identity, sizeof(record.identity)));
	/* What a status page could say. */
	e = engine_generation_restore(client, (uint32_t)r->serial, (uint32_t)(r->serial >> 32));
	MUST(e == 0 || e == -EBADMSG);
	return 0;
}

static int restore_segment(struct node *node, const void *body)
{
	const struct record_segment *r = body;
	struct engine_segment_record saved;
	EngineSegment *segment = NULL;
	int e = engine_segment_restore(node->engine, &r->engine, &segment);

	if (e)
		return e;
	engine_segment_save(segment, &saved);
	MUST(saved.instance == r->engine.instance && saved.id == r->engine.id &&
		saved.size == r->engine.size && saved.n_access == r->engine.n_access);
	MUST(engine_segment_find_instance(node->engine, saved.instance) == segment);
	MUST(!saved.id || engine_segment_find(node->engine, saved.space, saved.id) == segment);
	return 0;
}

static int restore_import(struct node *node, const void *body)
{
	const struct record_import *r = body;
	struct engine_import_record saved;
	EngineImport *import = NULL;
	int e = engine_import_restore(node->engine, &r->engine, &import);

	if (e)
		return e;
	engine_import_save(import, &saved);
	MUST(saved.instance == r->engine.instance && saved.index == r->engine.index &&
		saved.generation == r->engine.generation);
	MUST(engine_import_get(import->client, saved.index) == import);
	return 0;
}

static const struct {
	enum record_kind kind;
	int (*restore)(struct node *node, const void *body);
} order[] = {
	{RECORD_COUNTERS, restore_counters},
	{RECORD_CLIENT, restore_client},
	{RECORD_SEGMENT, restore_segment},
	{RECORD_IMPORT, restore_import},
};

static void restore(struct node *node, const Journal *journal)
{
	uint64_t body[JOURNAL_BODY_SIZE / sizeof(uint64_t)];
	int e;

	static_assert(JOURNAL_BODY_SIZE % sizeof(uint64_t) == 0, "whole words");
	for (size_t i = 0; i < ELEMENTS(order); i++) {
		for (uint32_t slot = 1; slot < journal_end(journal); slot++) {
			if (journal_read(journal, slot, body, sizeof(body)) != order[i].kind)
				continue;
			e = order[i].restore(node, body);
			MUST(e == 0 || e == -EBADMSG);
			engine_check(node->engine);
		}
	}
}

static void end(struct node *node)
{
	struct engine_counts counts;

	while (node->n_clients > 0) {
		engine_client_free(node->clients[--node->n_clients]);
		engine_check(node->engine);
	}
	counts = engine_counts(node->engine);
	MUST(!counts.n_clients && !counts.n_segments && !counts.n_imports && !counts.bytes);
	engine_free(node->engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Journal *journal = journal_of(data, size);
	struct node node = {0};

	MUST(engine_new(NODE, &limits, &ops, NULL, &node.engine) == 0);
	restore(&node, journal);
	end(&node);
	journal_close(journal);
	return 0;
}
