/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the seeds: one valid packet of each type, a journal with one record of each kind, and the
 * frames and texts. seed CORPUS-DIRECTORY; run again after message.def, frame.h or record.h
 * changed.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/stat.h>
#include "daemon/record.h"
#include "fabric/tcp/frame.h"
#include "wire/message.h"
#include "wire/page.h"

static const char *corpus;

static void save(const char *target, const char *name, const void *data, size_t size)
{
	const uint8_t *p = data;
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", corpus, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/seed-%s.hex", corpus, target, name);
	f = fopen(path, "w");
	MUST(f);
	for (size_t i = 0; i < size; i++)
		fprintf(f, "%02x%s", p[i], i % 32 == 31 ? "\n" : "");
	fprintf(f, size % 32 ? "\n" : "");
	MUST(fclose(f) == 0);
}

/* packets */

static uint8_t tail[2048];

static uint8_t *tail_of(uint32_t type)
{
	uint8_t *at = tail, *end = tail + sizeof(tail);
	struct wire_access access = {.node = 0, .mode = 0644};
	struct wire_topology_link link = {.controller = "loopback", .node = 1, .state = 1};
	struct wire_list_row row = {.instance = 5,
		.space = WIRE_SPACE_RSM,
		.id = 0x600001,
		.state = WIRE_SEGMENT_PUBLISHED,
		.size = 4096,
		.n_imports = 1,
		.n_access = 1,
		.command = "program"};
	struct wire_show_import import = {.pid = 7, .rights = 6, .state = 1, .command = "other"};

	switch (type) {
	case WIRE_TOPOLOGY_REPLY:
		return wire_put_topology_link(at, end, &link);
	case WIRE_SEGMENT_PUBLISH:
	case WIRE_SEGMENT_REPUBLISH:
		return wire_put_access(wire_put_access(at, end, &access), end, &access);
	case WIRE_LIST_REPLY:
		return wire_put_list_row(wire_put_list_row(at, end, &row), end, &row);
	case WIRE_SHOW_REPLY:
		at = wire_put_list_row(at, end, &row);
		return wire_put_show_import(wire_put_access(at, end, &access), end, &import);
	}
	return at;
}

static void packet(uint32_t type, const char *name)
{
	static uint8_t buf[WIRE_PACKET_MAX];
	struct wire_message m = {.type = (uint16_t)type, .serial = 0x1122334455667788};
	ssize_t n;

	m.tail = tail;
	m.tail_size = (size_t)(tail_of(type) - tail);
	if (type == WIRE_CONTROLLER)
		strcpy(m.controller.name, "loopback");
	n = wire_encode(&m, buf, sizeof(buf));
	MUST(n > 0);
	save("wire", name, buf, (size_t)n);
}

static void packets(void)
{
#define MESSAGE(NAME, name, number) packet(number, #name);
#define RECORD(name)
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)
#include "wire/message.def"
}

/* journal */

static size_t add(uint8_t *buf, size_t at, uint8_t kind, const void *record, size_t size)
{
	buf[at] = kind;
	memcpy(buf + at + 1, record, size);
	return at + 1 + size;
}

static void journal(void)
{
	struct engine_counters counters = {.last_client = 2, .last_instance = 9};
	struct record_client exporter = {.id = 1, .pid = 100, .n_groups = 1, .command = "exporter"};
	struct record_client importer = {.id = 2, .pid = 101, .uid = 5, .command = "importer"};
	struct record_groups groups = {.client = 1};
	struct record_segment segment = {.engine = {.client = 1,
						 .instance = 9,
						 .size = 8192,
						 .space = WIRE_SPACE_RSM,
						 .mode = 0666,
						 .state = WIRE_SEGMENT_PUBLISHED,
						 .id = 0x600001,
						 .n_access = 1,
						 .access = {{.node = 3, .mode = 0666}}}};
	struct record_segment bound = {.engine = {.client = 1,
					       .instance = 8,
					       .index = 1,
					       .size = 4096,
					       .space = WIRE_SPACE_RSM,
					       .state = WIRE_SEGMENT_BOUND}};
	struct record_import import = {.engine = {.client = 2,
					       .instance = 9,
					       .generation = 1,
					       .rights = 6,
					       .cell = 1,
					       .state = WIRE_IMPORT_CONNECTED}};
	struct record_import revoked = {.engine = {.client = 2,
						.instance = 7,
						.index = 1,
						.generation = 3,
						.cell = 2,
						.state = WIRE_IMPORT_REVOKED}};
	uint8_t buf[4096];
	size_t n = 0;

	n = add(buf, n, RECORD_COUNTERS, &counters, sizeof(counters));
	n = add(buf, n, RECORD_CLIENT, &exporter, sizeof(exporter));
	n = add(buf, n, RECORD_CLIENT, &importer, sizeof(importer));
	n = add(buf, n, RECORD_GROUPS, &groups, sizeof(groups));
	save("journal", "clients", buf, n);
	n = add(buf, n, RECORD_SEGMENT, &segment, sizeof(segment));
	n = add(buf, n, RECORD_SEGMENT, &bound, sizeof(bound));
	save("journal", "segments", buf, n);
	n = add(buf, n, RECORD_IMPORT, &import, sizeof(import));
	n = add(buf, n, RECORD_IMPORT, &revoked, sizeof(revoked));
	save("journal", "imports", buf, n);
}

/* frames: pieces of 48 bytes, nothing revoked but in the last */

static size_t add_request(uint8_t *buf, size_t n, struct frame_request f, int key)
{
	size_t tail;

	memset(&f.key, key, sizeof(f.key));
	tail = frame_request_tail(&f);
	frame_request_encode(buf + n, &f);
	memset(buf + n + FRAME_REQUEST_SIZE, 0x5a, tail);
	return n + FRAME_REQUEST_SIZE + tail;
}

static void frame(const char *name, struct frame_request f, int key, int revoke_at)
{
	static uint8_t buf[20000];

	buf[0] = f.size > 8192 ? 255 : 3;
	buf[1] = (uint8_t)revoke_at;
	save("frame", name, buf, add_request(buf, 2, f, key));
}

static void batch(void)
{
	struct frame_request f = {.type = FRAME_BATCH, .off = 2, .size = 48};
	uint8_t buf[128] = {0};
	size_t n = add_request(buf, 2, f, 'A');

	frame_record_encode(buf + 2 + FRAME_REQUEST_SIZE, 64, 3, 8);
	frame_record_encode(buf + 2 + FRAME_REQUEST_SIZE + 16, 200, 0, 24);
	save("frame", "batch", buf, n);
}

static void frames(void)
{
	frame("put", (struct frame_request){.type = FRAME_PUT, .width = 8, .size = 64}, 'A', 0);
	frame("put-large", (struct frame_request){.type = FRAME_PUT, .off = 99, .size = 9000}, 'A',
		0);
	frame("put-denied", (struct frame_request){.type = FRAME_PUT, .size = 3}, 'B', 0);
	frame("put-others", (struct frame_request){.type = FRAME_PUT, .size = 3}, 'C', 0);
	frame("put-revoked", (struct frame_request){.type = FRAME_PUT, .size = 9000}, 'A', 2);
	frame("put-checked",
		(struct frame_request){.type = FRAME_PUT, .flags = FRAME_CHECK, .size = 9000}, 'A',
		0);
	frame("get", (struct frame_request){.type = FRAME_GET, .width = 2, .size = 64}, 'B', 0);
	frame("get-large", (struct frame_request){.type = FRAME_GET, .size = 65536}, 'B', 0);
	frame("add", (struct frame_request){.type = FRAME_ADD, .width = 8, .off = 32, .size = 8},
		'A', 0);
	frame("swap", (struct frame_request){.type = FRAME_SWAP, .width = 4, .off = 32, .size = 4},
		'A', 0);
	frame("signal", (struct frame_request){.type = FRAME_SIGNAL, .flags = FRAME_ACCUMULATE},
		'B', 0);
	batch();
}

/* page links: each frame behind a byte that says to whom */

struct said {
	uint8_t to;
	struct page_message message;
};

static void page(const char *name, const struct said *said, size_t n)
{
	uint8_t buf[4096], *at = buf;

	for (size_t i = 0; i < n; i++) {
		*at = said[i].to;
		page_message_encode(&said[i].message, at + 1);
		at += 1 + PAGE_HEADER_SIZE;
	}
	save("page", name, buf, (size_t)(at - buf));
}

static void pages(void)
{
	const struct page_message end = {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_END, .n = 1};
	const struct page_message content = {
		.type = PAGE_BACK, .flags = PAGE_CONTENT | PAGE_GONE, .n = 2, .page = 3};
	const struct said home[] = {
		{5, end},
		{6, end},
		{1, {.type = PAGE_GETX, .n = 2, .page = 3}},
		{2, {.type = PAGE_GETS, .n = 1, .page = 3}},
		{1, content},
		{2, {.type = PAGE_GETX, .n = 1, .page = 3}},
		{1, {.type = PAGE_GETS, .n = 1, .page = 5}},
		{2, {.type = PAGE_GETX, .n = 1, .page = 5}},
		{1, {.type = PAGE_ACK, .n = 1, .page = 5}},
		{2, {.type = PAGE_PUT, .flags = PAGE_CONTENT, .n = 1, .page = 5}},
	};
	const struct said resumed[] = {
		{5, end},
		{1, {.type = PAGE_GETX, .n = 2, .page = 3}},
		{5, {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_D, .n = 1, .page = 3}},
		{1, {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_L, .n = 1, .page = 4}},
		{1, end},
	};
	const struct said guest[] = {
		{201, {.type = PAGE_DATA_M, .flags = PAGE_CONTENT, .n = 1, .page = 3}},
		{9, {.type = PAGE_DATA_M, .flags = PAGE_CONTENT, .n = 1, .page = 3}},
		{9, {.type = PAGE_FETCH_S, .n = 1, .page = 3}},
		{9, {.type = PAGE_KEPT, .n = 1, .page = 3}},
		{9, {.type = PAGE_INV, .n = 1, .page = 3}},
	};

	page("home", home, sizeof(home) / sizeof(*home));
	page("resumed", resumed, sizeof(resumed) / sizeof(*resumed));
	page("guest", guest, sizeof(guest) / sizeof(*guest));
}

/* texts */

static void text(const char *target, const char *name, const char *s)
{
	save(target, name, s, strlen(s));
}

static void texts(void)
{
	text("segmentid", "range",
		"app\n# ids\nreserve app 600000 16\nreserved other 0x700000 1 x\n");
	text("segmentid", "malformed", "app\nreserve other zz 1\nreserve app 600000 16\n");
	text("segmentid", "none", "app\n\n");
	text("config", "all",
		"[Node]\nNodeId=7\n[Daemon]\nHandshakeTimeout = 3s\nIdleExit=1min\n"
		"LogLevel=debug\n\n[Limits]\nMaxSegmentBytes=16M\n# c\n; c\n"
		"MaxImportsPerUser=17\n[Rsm]\nControllerAlias=sci wcfl\n");
	text("config", "empty", "");
	text("config", "flaws", "[Nod]\nNodeld=7\n");
}

int main(int argc, char **argv)
{
	MUST(argc == 2);
	corpus = argv[1];
	packets();
	journal();
	frames();
	pages();
	texts();
	return 0;
}
