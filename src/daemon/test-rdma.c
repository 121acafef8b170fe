/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/peer.h"
#include "daemon/test-fake.h"
#include "fabric/ofi/link.h"

/*
 * Offers of RDMA, from the point of view of nodes that can say what they like: the tests are node
 * 2, which does RDMA as node 1 does, and node 3, which says that it does none. argv[1]: causewayd.
 */

#define SIZE 65536u

static const char *program;

struct scene {
	struct nodes nodes;
	struct client a;
	uint32_t segment, id;
	uint8_t *memory;
	struct fake two, three;
};

/* --- as importers --- */

static void fake_connect(
	struct fake *f, struct scene *s, uint64_t client, uint32_t index, uint32_t rights)
{
	const struct engine_identity identity = {.pid = 7, .command = "fake"};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT,
		.peer_connect = {.client = client,
			.index = index,
			.generation = 1,
			.space = WIRE_SPACE_RSM,
			.id = s->id,
			.rights = rights,
			.data = 1}};

	m.tail = tail;
	m.tail_size = engine_identity_encode(&identity, tail);
	fake_call(f, &m);
	assert_int_equal(f->got.status, STATUS_OK);
}

static uint32_t ask(struct fake *f, uint64_t client, uint32_t index, uint32_t generation)
{
	struct wire_message m = {.type = WIRE_PEER_RDMA, .peer_rdma = {client, index, generation}};

	fake_call(f, &m);
	return f->got.status;
}

static struct ofi_offer offer(struct fake *f, uint64_t client, uint32_t index)
{
	const struct wire_peer_rdma_reply *p = &f->got.peer_rdma_reply;
	struct ofi_offer o;

	assert_int_equal(ask(f, client, index, 1), STATUS_OK);
	o = (struct ofi_offer){.kind = p->kind,
		.endpoint = p->endpoint,
		.address_size = p->address_size,
		.key = p->key,
		.base = p->base,
		.size = p->size,
		.rights = p->rights};
	memcpy(o.address, p->address, sizeof(o.address));
	memcpy(o.ticket, p->ticket, sizeof(o.ticket));
	assert_int_equal(o.kind, OFI_TEST_MSG);
	assert_int_equal(o.size, SIZE);
	return o;
}

static const struct fabric_path_options options = {.stall = 5 * NSEC_PER_SEC};

static int poke(OfiLink *link, const struct ofi_offer *o, uint64_t word)
{
	const struct fabric_piece piece = {.local = &word, .n = sizeof(word)};

	return ofi_link_run(link, o, true, &piece, 1);
}

/* Over a connection of its own. */
static int try(const struct ofi_offer *o, uint64_t word)
{
	OfiLink *link;
	int r = ofi_link_new(o, &options, &link);

	if (r)
		return r;
	r = poke(link, o, word);
	ofi_link_put(link);
	return r;
}

static uint64_t word_of(const struct scene *s)
{
	uint64_t word;

	memcpy(&word, s->memory, sizeof(word));
	return word;
}

static void an_offer_opens_the_segment(void **state)
{
	struct scene *s = *state;
	struct ofi_offer o;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	o = offer(&s->two, 7, 0);
	assert_int_equal(try(&o, 41), 0);
	assert_int_equal(word_of(s), 41);
}

static void only_imports_are_offered(void **state)
{
	struct scene *s = *state;

	fake_connect(&s->two, s, 7, 3, WIRE_READ | WIRE_WRITE);
	assert_int_equal(ask(&s->two, 7, 3, 2), STATUS_BAD_HANDLE);
	assert_int_equal(ask(&s->two, 7, 4, 1), STATUS_BAD_HANDLE);
	assert_int_equal(ask(&s->two, 8, 3, 1), STATUS_BAD_HANDLE);
	assert_int_equal(ask(&s->two, UINT64_MAX, UINT32_MAX, UINT32_MAX), STATUS_BAD_HANDLE);
	assert_int_equal(ask(&s->two, 7, 3, 1), STATUS_OK);
}

static void who_does_no_rdma_is_offered_none(void **state)
{
	struct scene *s = *state;

	fake_connect(&s->three, s, 7, 0, WIRE_READ | WIRE_WRITE);
	assert_int_equal(ask(&s->three, 7, 0, 1), STATUS_NOT_SUPPORTED);
}

static void a_process_has_only_its_own_keys(void **state)
{
	struct scene *s = *state;
	struct ofi_offer seven, eight, mixed;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	fake_connect(&s->two, s, 8, 0, WIRE_READ | WIRE_WRITE);
	seven = offer(&s->two, 7, 0);
	eight = offer(&s->two, 8, 0);
	assert_true(seven.endpoint != eight.endpoint);
	mixed = seven;
	mixed.key = eight.key;
	assert_int_equal(try(&mixed, 42), -EIO);
	mixed = eight;
	mixed.key = seven.key;
	assert_int_equal(try(&mixed, 42), -EIO);
	assert_int_equal(word_of(s), 0);
	assert_int_equal(try(&eight, 42), 0);
}

static void rights_are_the_imports(void **state)
{
	struct scene *s = *state;
	struct ofi_offer o;

	fake_connect(&s->two, s, 7, 0, WIRE_READ);
	o = offer(&s->two, 7, 0);
	assert_int_equal(o.rights, WIRE_READ);
	assert_int_equal(try(&o, 43), -EIO);
	assert_int_equal(word_of(s), 0);
}

static void asked_twice_it_is_the_same(void **state)
{
	struct scene *s = *state;
	struct ofi_offer first, second;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	first = offer(&s->two, 7, 0);
	second = offer(&s->two, 7, 0);
	assert_int_equal(first.key, second.key);
	assert_int_equal(first.endpoint, second.endpoint);
}

static void nothing_is_open_after_disconnect(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_PEER_DISCONNECT,
		.flags = WIRE_ONEWAY,
		.peer_disconnect = {.client = 7, .index = 0, .generation = 1}};
	struct ofi_offer o;
	OfiLink *link;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	o = offer(&s->two, 7, 0);
	assert_int_equal(ofi_link_new(&o, &options, &link), 0);
	assert_int_equal(poke(link, &o, 44), 0);
	fake_say(&s->two, &m);
	assert_int_equal(ask(&s->two, 7, 0, 1), STATUS_BAD_HANDLE);
	assert_int_equal(poke(link, &o, 45), -EIO);
	ofi_link_put(link);
	assert_true(try(&o, 45) < 0);
	assert_int_equal(word_of(s), 44);
}

static void nothing_is_open_after_unpublish(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH, .segment_unpublish = {s->segment}};
	struct ofi_offer o;
	OfiLink *link;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	o = offer(&s->two, 7, 0);
	assert_int_equal(ofi_link_new(&o, &options, &link), 0);
	assert_int_equal(poke(link, &o, 46), 0);
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	assert_int_equal(poke(link, &o, 47), -EIO);
	ofi_link_put(link);
	assert_int_equal(word_of(s), 46);
}

static void nothing_is_open_when_the_node_has_left(void **state)
{
	struct scene *s = *state;
	struct wire_message bye = {.type = WIRE_PEER_BYE, .flags = WIRE_ONEWAY};
	uint64_t give_up = clock_now() + 5 * NSEC_PER_SEC;
	struct ofi_offer o;
	OfiLink *link;

	fake_connect(&s->two, s, 7, 0, WIRE_READ | WIRE_WRITE);
	o = offer(&s->two, 7, 0);
	assert_int_equal(ofi_link_new(&o, &options, &link), 0);
	assert_int_equal(poke(link, &o, 48), 0);
	fake_say(&s->two, &bye);
	(void)sd_event_run(s->two.event, 20000);
	while (poke(link, &o, 48) == 0)
		assert_true(clock_now() < give_up);
	ofi_link_put(link);
	assert_true(try(&o, 49) < 0);
	assert_int_equal(word_of(s), 48);
}

/* --- as a home --- */

/* not connected yet: there is nothing to offer, and the home is not asked */
static void what_is_not_connected_is_not_asked_for(void **state)
{
	struct scene *s = *state;
	struct wire_message connect = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_OFI, 2, 1, WIRE_READ}};
	struct wire_message m = {.type = WIRE_RDMA, .rdma.import = 4711};

	assert_int_equal(client_call(&s->a, &m), STATUS_BAD_HANDLE);
	assert_int_equal(client_call(&s->a, &connect), STATUS_OK);
	m.rdma.import = s->a.reply.import_connect_reply.import;
	m.serial = 0; /* another request */
	fake_hear(&s->two, WIRE_PEER_CONNECT);
	assert_int_equal(client_call(&s->a, &m), STATUS_NOT_SUPPORTED);
	assert_false(fake_heard(&s->two, WIRE_PEER_RDMA));
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 1,
		"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=10s\n"
		"Rdma=test-tcp\n");
	client_new(&s->a, &s->nodes.node[1]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	fake_open_rdma(&s->two, &s->nodes, 2, OFI_TEST_MSG);
	fake_open(&s->three, &s->nodes, 3);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	fake_close(&s->two);
	fake_close(&s->three);
	munmap(s->memory, SIZE);
	client_close(&s->a);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(an_offer_opens_the_segment),
		TEST(only_imports_are_offered),
		TEST(who_does_no_rdma_is_offered_none),
		TEST(a_process_has_only_its_own_keys),
		TEST(rights_are_the_imports),
		TEST(asked_twice_it_is_the_same),
		TEST(nothing_is_open_after_disconnect),
		TEST(nothing_is_open_after_unpublish),
		TEST(nothing_is_open_when_the_node_has_left),
		TEST(what_is_not_connected_is_not_asked_for),
	};

	if (argc < 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
