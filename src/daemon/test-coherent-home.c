/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/peer.h"
#include "daemon/test-fake.h"
#include "daemon/test-map.h"
#include "wire/page.h"

/*
 * Nodes that map a segment of node 1 and say on their page links what they like: the tests are
 * nodes 2 and 3 themselves. argv[1]: causewayd.
 */

#define SIZE (64 * PAGE_BYTES)

static const char *program;

struct scene {
	struct nodes nodes;
	struct client a;
	int uffd;
	uint32_t segment, id;
	struct test_map home;
	struct fake two, three;
};

#define CONFIG(detection)                                                                          \
	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=" detection "\n"

static void begin_with(void **state, const char *config)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 1, config);
	client_new(&s->a, &s->nodes.node[1]);
	s->uffd = map_watch_begin(&s->a);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	map_export(&s->home, &s->a, s->segment, fd, SIZE);
	memset(s->home.at, 0x11, SIZE);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	fake_open(&s->two, &s->nodes, 2);
	fake_open(&s->three, &s->nodes, 3);
	*state = s;
}

static int begin(void **state)
{
	begin_with(state, CONFIG("500ms"));
	return 0;
}

/* For what takes long on a loaded machine. */
static int begin_patient(void **state)
{
	begin_with(state, CONFIG("10s"));
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	fake_close(&s->two);
	fake_close(&s->three);
	map_close(&s->home);
	client_close(&s->a);
	close(s->uffd);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

/* The heartbeat of both. */
static void beat(struct scene *s)
{
	struct wire_message ping = {.type = WIRE_PEER_PING, .flags = WIRE_ONEWAY};

	fake_say(&s->two, &ping);
	fake_say(&s->three, &ping);
	fake_heard(&s->two, 0);
	fake_heard(&s->three, 0);
}

/* A node's map and page link. */
struct node_map {
	struct fake *fake;
	int fd;
	uint32_t map;
	uint8_t grant[16];
};

static void import_segment(struct scene *s, struct fake *f, uint32_t rights)
{
	const struct engine_identity identity = {.pid = 7, .command = "fake"};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT,
		.peer_connect = {.client = 5,
			.generation = 1,
			.space = WIRE_SPACE_RSM,
			.id = s->id,
			.rights = rights}};

	m.tail = tail;
	m.tail_size = engine_identity_encode(&identity, tail);
	fake_call(f, &m);
	assert_int_equal(f->got.status, STATUS_OK);
}

static int dial(const struct scene *s, uint32_t node, const uint8_t grant[16])
{
	const struct sockaddr_in to = fake_address(&s->nodes, 1);
	struct timeval patience = {.tv_sec = 5};
	uint8_t hello[FABRIC_HELLO_SIZE];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	fabric_hello_encode(hello, node, 0, grant);
	assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	return fd;
}

static void say(const struct node_map *n, uint8_t type, uint8_t flags, uint16_t count,
	uint64_t page, const void *content)
{
	const struct page_message m = {
		.type = type, .flags = flags, .n = count, .map = n->map, .page = page};
	uint8_t header[PAGE_HEADER_SIZE];

	page_message_encode(&m, header);
	(void)send(n->fd, header, sizeof(header), MSG_NOSIGNAL);
	if (content)
		(void)send(n->fd, content, (size_t)count * PAGE_BYTES, MSG_NOSIGNAL);
}

/* The next frame that is about a page; false: the link has ended. */
static bool hear(const struct node_map *n, struct page_message *m, uint8_t *content)
{
	static uint8_t sink[PAGE_RUN_MAX * PAGE_BYTES];
	uint8_t header[PAGE_HEADER_SIZE];
	size_t size;

	do {
		if (recv(n->fd, header, sizeof(header), MSG_WAITALL) != sizeof(header))
			return false;
		assert_int_equal(page_message_decode(header, m), 0);
		size = page_message_content(m);
		if (size)
			assert_int_equal(
				recv(n->fd, content ? content : sink, size, MSG_WAITALL), size);
	} while (m->type == PAGE_DISCARDED || m->type == PAGE_HELD);
	return true;
}

static void map_segment(struct scene *s, struct fake *f, uint32_t rights, struct node_map *ret)
{
	struct wire_message m = {.type = WIRE_PEER_MAP,
		.peer_map = {.client = 5, .generation = 1, .page_bytes = PAGE_BYTES, .link = 1}};

	import_segment(s, f, rights);
	fake_call(f, &m);
	assert_int_equal(f->got.status, STATUS_OK);
	assert_int_equal(f->got.peer_map_reply.link, 1);
	ret->fake = f;
	ret->map = f->got.peer_map_reply.map;
	memcpy(ret->grant, f->got.peer_map_reply.grant, sizeof(ret->grant));
	ret->fd = dial(s, f->self, ret->grant);
	say(ret, PAGE_HOLDS, PAGE_HOLDS_END, 1, 0, NULL);
}

static void assert_serves(const struct node_map *n, uint64_t page, uint8_t value)
{
	uint8_t content[PAGE_BYTES];
	struct page_message m;

	say(n, PAGE_GETS, 0, 1, page, NULL);
	assert_true(hear(n, &m, content));
	assert_int_equal(m.type, PAGE_DATA_S);
	assert_int_equal(m.page, page);
	for (unsigned int i = 0; i < PAGE_BYTES; i++)
		assert_int_equal(content[i], value);
}

static void assert_cut(struct scene *s, const struct node_map *n)
{
	struct page_message m;

	while (hear(n, &m, NULL))
		;
	for (int i = 0; i < 100 && n->fake->n_lost == 0; i++)
		beat(s);
	assert_int_equal(n->fake->n_lost, 1);
}

static void a_node_gets_what_it_asks_for(void **state)
{
	struct scene *s = *state;
	struct page_message m;
	struct node_map two;

	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	assert_serves(&two, 3, 0x11);
	say(&two, PAGE_GETX, 0, 1, 3, NULL);
	assert_true(hear(&two, &m, NULL));
	assert_int_equal(m.type, PAGE_GRANT_M);
	close(two.fd);
}

static void maps_of_others_are_out_of_reach(void **state)
{
	struct scene *s = *state;
	struct node_map two, three, false_two;
	struct page_message m;

	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	map_segment(s, &s->three, WIRE_READ | WIRE_WRITE, &three);
	say(&three, PAGE_GETX, 0, 1, 1, NULL);
	assert_true(hear(&three, &m, NULL));
	assert_int_equal(m.type, PAGE_DATA_M);
	false_two = two;
	false_two.map = three.map;
	say(&false_two, PAGE_PUT, 0, 1, 1, NULL);
	false_two.map = 77;
	say(&false_two, PAGE_GETX, 0, 1, 2, NULL);
	assert_serves(&two, 2, 0x11);
	/* three still owns it */
	say(&two, PAGE_GETS, 0, 1, 1, NULL);
	assert_true(hear(&three, &m, NULL));
	assert_int_equal(m.type, PAGE_FETCH_S);
	close(two.fd);
	close(three.fd);
}

static void a_grant_is_good_once_and_for_its_node(void **state)
{
	struct scene *s = *state;
	struct node_map two, again;
	struct page_message m;

	map_segment(s, &s->two, WIRE_READ, &two);
	assert_serves(&two, 0, 0x11);
	again = two;
	again.fd = dial(s, 2, two.grant);
	assert_false(hear(&again, &m, NULL));
	close(again.fd);
	again.fd = dial(s, 3, two.grant);
	assert_false(hear(&again, &m, NULL));
	close(again.fd);
	assert_serves(&two, 1, 0x11);
	close(two.fd);
}

static void without_a_map_there_is_no_link(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_PEER_PAGES};

	fake_call(&s->two, &m);
	assert_int_equal(s->two.got.status, STATUS_NOT_FOUND);
	m = (struct wire_message){.type = WIRE_PEER_MAP,
		.peer_map = {.client = 5, .generation = 1, .page_bytes = PAGE_BYTES}};
	fake_call(&s->two, &m);
	assert_int_equal(s->two.got.status, STATUS_REVOKED);
	import_segment(s, &s->two, WIRE_READ);
	m.peer_map.page_bytes = 65536;
	fake_call(&s->two, &m);
	assert_int_equal(s->two.got.status, STATUS_MAP_FAILED);
}

static void who_may_only_read_gets_nothing_to_write(void **state)
{
	struct scene *s = *state;
	struct node_map two;

	map_segment(s, &s->two, WIRE_READ, &two);
	assert_serves(&two, 0, 0x11);
	say(&two, PAGE_GETX, 0, 1, 0, NULL);
	assert_cut(s, &two);
	close(two.fd);
}

static void pages_that_nobody_asked_for_are_not_taken(void **state)
{
	static uint8_t rubbish[PAGE_BYTES];
	struct scene *s = *state;
	struct node_map two;

	memset(rubbish, 0xee, sizeof(rubbish));
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	assert_serves(&two, 0, 0x11);
	say(&two, PAGE_BACK, PAGE_CONTENT, 1, 0, rubbish);
	say(&two, PAGE_PUT, PAGE_CONTENT, 1, 1, rubbish);
	assert_cut(s, &two);
	for (unsigned int i = 0; i < SIZE; i += 64)
		assert_int_equal(s->home.at[i], 0x11);
	close(two.fd);
}

static void pages_beyond_the_segment_end_the_map(void **state)
{
	struct scene *s = *state;
	struct node_map two;

	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	say(&two, PAGE_GETS, 0, PAGE_RUN_MAX, SIZE / PAGE_BYTES, NULL);
	assert_cut(s, &two);
	close(two.fd);
}

static void rubbish_ends_the_link_and_another_one_goes_on(void **state)
{
	struct wire_message pages = {.type = WIRE_PEER_PAGES};
	struct scene *s = *state;
	struct page_message m;
	struct node_map two;
	uint8_t rubbish[64];

	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	for (uint8_t round = 0; round < 4; round++) {
		assert_serves(&two, round, 0x11);
		memset(rubbish, 0xff - round, sizeof(rubbish));
		assert_int_equal(
			send(two.fd, rubbish, sizeof(rubbish), MSG_NOSIGNAL), sizeof(rubbish));
		assert_false(hear(&two, &m, NULL));
		close(two.fd);
		fake_call(&s->two, &pages);
		assert_int_equal(s->two.got.status, STATUS_OK);
		two.fd = dial(s, 2, s->two.got.peer_pages_reply.grant);
		say(&two, PAGE_HOLDS, PAGE_HOLDS_S, (uint16_t)(round + 1), 0, NULL);
		say(&two, PAGE_HOLDS, PAGE_HOLDS_END, 1, 0, NULL);
	}
	assert_int_equal(s->two.n_lost, 0);
	close(two.fd);
}

struct loader {
	pthread_t thread;
	_Atomic bool done;
	const uint8_t *at;
	uint8_t value;
};

static void *load(void *userdata)
{
	struct loader *l = userdata;

	l->value = *(const volatile uint8_t *)l->at;
	atomic_store(&l->done, true);
	return NULL;
}

static void who_keeps_a_page_loses_it(void **state)
{
	struct scene *s = *state;
	struct loader l = {.at = s->home.at + PAGE_BYTES};
	struct page_message m;
	struct node_map two;
	uint64_t since;

	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	say(&two, PAGE_GETX, 0, 1, 1, NULL);
	assert_true(hear(&two, &m, NULL));
	since = clock_now();
	assert_int_equal(pthread_create(&l.thread, NULL, load, &l), 0);
	assert_true(hear(&two, &m, NULL));
	assert_int_equal(m.type, PAGE_FETCH_S);
	/* it lives, and says nothing */
	for (int i = 0; i < 500 && !atomic_load(&l.done); i++)
		beat(s);
	/* and what it has is believed there, until its lease must be over */
	assert_true(clock_now() - since > 900 * NSEC_PER_MSEC);
	assert_int_equal(pthread_join(l.thread, NULL), 0);
	assert_int_equal(l.value, 0x11);
	assert_cut(s, &two);
	close(two.fd);
}

/* Its import is over, its control connection broken, as its daemon has died: it gives back what it
 * had all the same, as long as it may come back. */
static void what_a_node_had_is_waited_for_though_nothing_else_is_in_common(void **state)
{
	static uint8_t content[PAGE_BYTES];
	struct wire_message over = {.type = WIRE_PEER_DISCONNECT,
		.flags = WIRE_ONEWAY,
		.peer_disconnect = {.client = 5, .generation = 1}};
	struct scene *s = *state;
	struct page_message m;
	struct node_map two;

	memset(content, 0xee, sizeof(content));
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	say(&two, PAGE_GETX, 0, 1, 1, NULL);
	assert_true(hear(&two, &m, NULL));
	assert_int_equal(m.type, PAGE_DATA_M);
	fake_say(&s->two, &over);
	beat(s);
	fake_close(&s->two);
	usleep(100000);
	say(&two, PAGE_PUT, PAGE_CONTENT, 1, 1, content);
	assert_true(hear(&two, &m, NULL));
	assert_int_equal(m.type, PAGE_KEPT);
	assert_int_equal(s->home.at[PAGE_BYTES], 0xee);
	close(two.fd);
	fake_open(&s->two, &s->nodes, 2);
}

/* More than the kernel and the daemon keep of what a node does not read. */
#define MANY_RUNS  128u
#define MANY_PAGES (MANY_RUNS * PAGE_RUN_MAX)

/* From now on it is that which is mapped. */
static void create_large(struct scene *s, uint64_t n_pages)
{
	uint32_t segment;
	int fd;

	assert_int_equal(client_create(&s->a, n_pages * PAGE_BYTES, &segment, &fd), STATUS_OK);
	assert_int_equal(client_publish(&s->a, segment, 0, &s->id), STATUS_OK);
	close(fd);
}

static void ask_for_many(const struct node_map *n)
{
	for (uint64_t i = 0; i < MANY_RUNS; i++)
		say(n, PAGE_GETS, 0, PAGE_RUN_MAX, i * PAGE_RUN_MAX, NULL);
}

/* Of KEPT there are others in between. */
static void hear_many(struct scene *s, const struct node_map *n, unsigned int n_kept)
{
	unsigned int n_data = 0;
	struct page_message m;

	while (n_data < MANY_RUNS || n_kept > 0) {
		assert_true(hear(n, &m, NULL));
		assert_int_equal(m.n, PAGE_RUN_MAX);
		assert_true(m.type == PAGE_DATA_S || m.type == PAGE_KEPT);
		if (m.type == PAGE_KEPT)
			n_kept--;
		else
			assert_int_equal(m.page, n_data++ * PAGE_RUN_MAX);
		if (n_data % 16 == 0)
			beat(s);
	}
}

static void more_than_fits_is_answered_by_and_by(void **state)
{
	struct scene *s = *state;
	struct node_map two;

	create_large(s, MANY_PAGES);
	map_segment(s, &s->two, WIRE_READ, &two);
	ask_for_many(&two);
	beat(s);
	hear_many(s, &two, 0);
	close(two.fd);
}

/* A node that gives back much before it reads what it has asked for: were the home to wait for
 * that, both would. */
static void who_is_not_read_reads_all_the_same(void **state)
{
	enum { RUNS = 32 };
	static uint8_t content[PAGE_RUN_MAX * PAGE_BYTES];
	struct timeval patience = {.tv_sec = 5};
	struct scene *s = *state;
	struct page_message m;
	struct node_map two;

	create_large(s, MANY_PAGES + RUNS * PAGE_RUN_MAX);
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	for (uint64_t i = 0; i < RUNS; i++) {
		say(&two, PAGE_GETX, 0, PAGE_RUN_MAX, MANY_PAGES + i * PAGE_RUN_MAX, NULL);
		assert_true(hear(&two, &m, NULL));
		assert_int_equal(m.type, PAGE_DATA_M);
		assert_int_equal(m.n, PAGE_RUN_MAX);
	}
	setsockopt(two.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	ask_for_many(&two);
	for (uint64_t i = 0; i < RUNS; i++) {
		say(&two, PAGE_PUT, PAGE_CONTENT, PAGE_RUN_MAX, MANY_PAGES + i * PAGE_RUN_MAX,
			content);
		if (i % 16 == 0)
			beat(s);
	}
	hear_many(s, &two, RUNS);
	assert_int_equal(s->two.n_lost, 0);
	close(two.fd);
}

static void limit_daemon(struct scene *s, int resource, uint64_t size)
{
	const struct rlimit limit = {.rlim_cur = size, .rlim_max = RLIM_INFINITY};

	assert_int_equal(prlimit((pid_t)s->a.hello.daemon_pid, resource, &limit, NULL), 0);
}

static bool is_present(const struct scene *s, uint64_t page)
{
	unsigned char present;

	assert_int_equal(mincore(s->home.at + page * PAGE_BYTES, PAGE_BYTES, &present), 0);
	return present & 1;
}

/* There is room for half of what a node gives back. */
static void what_could_not_be_kept_is_not_there(void **state)
{
	static uint8_t content[4 * PAGE_BYTES];
	uint64_t page = SIZE / PAGE_BYTES - 4;
	struct scene *s = *state;
	struct wire_message unmap = {.type = WIRE_PEER_UNMAP, .flags = WIRE_ONEWAY};
	struct node_map two, three;
	struct page_message m;

	memset(content, 0xee, sizeof(content));
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	map_segment(s, &s->three, WIRE_READ, &three);
	assert_serves(&three, 0, 0x11);
	say(&two, PAGE_GETX, 0, 4, page, NULL);
	assert_true(hear(&two, &m, NULL));
	assert_int_equal(m.type, PAGE_DATA_M);
	assert_int_equal(m.n, 4);
	limit_daemon(s, RLIMIT_FSIZE, SIZE - 2 * PAGE_BYTES);
	say(&two, PAGE_PUT, PAGE_CONTENT, 4, page, content);
	for (int i = 0; i < 500 && s->two.n_lost == 0; i++)
		beat(s);
	limit_daemon(s, RLIMIT_FSIZE, RLIM_INFINITY);
	assert_int_equal(s->two.n_lost, 1);
	for (uint64_t i = 0; i < 4; i++)
		assert_false(is_present(s, page + i));
	unmap.peer_unmap.map = two.map;
	fake_say(&s->two, &unmap);
	assert_int_equal(s->home.at[(page + 3) * PAGE_BYTES], 0x11);
	assert_serves(&three, page + 3, 0x11);
	close(two.fd);
	close(three.fd);
}

static void hold(struct scene *s, uint32_t segment, uint32_t on)
{
	struct wire_message m = {.type = WIRE_SEGMENT_HOLD, .segment_hold = {segment, on}};

	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
}

/* Its tables are too large for what the daemon has left; mostly, for the allocator may find room in
 * what it has reserved: then only the link begins anew. */
static void without_memory_for_its_maps_a_daemon_goes_on(void **state)
{
	struct scene *s = *state;
	struct page_message m;
	struct node_map two;
	uint32_t segment;
	int fd;

	assert_int_equal(client_create(&s->a, 1ull << 30, &segment, &fd), STATUS_OK);
	assert_int_equal(client_publish(&s->a, segment, 0, &s->id), STATUS_OK);
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	assert_serves(&two, 3, 0);
	say(&two, PAGE_PUT, 0, 1, 3, NULL);
	hold(s, segment, 1);
	limit_daemon(s, RLIMIT_AS, 4096);
	hold(s, segment, 0);
	limit_daemon(s, RLIMIT_AS, RLIM_INFINITY);
	while (hear(&two, &m, NULL))
		;
	assert_int_equal(client_node_status(&s->a).restarts, 0);
	close(two.fd);
	close(fd);
}

static void who_does_not_read_keeps_nobody_waiting(void **state)
{
	struct scene *s = *state;
	struct node_map two, three;

	create_large(s, MANY_PAGES);
	map_segment(s, &s->two, WIRE_READ | WIRE_WRITE, &two);
	map_segment(s, &s->three, WIRE_READ | WIRE_WRITE, &three);
	ask_for_many(&two);
	for (unsigned int i = 0; i < 20; i++) {
		assert_serves(&three, i, 0);
		beat(s);
	}
	close(two.fd);
	close(three.fd);
}

int main(int argc, char **argv)
{
#define TEST(name)    cmocka_unit_test_setup_teardown(name, begin, end)
#define PATIENT(name) cmocka_unit_test_setup_teardown(name, begin_patient, end)
	const struct CMUnitTest tests[] = {
		TEST(a_node_gets_what_it_asks_for),
		TEST(maps_of_others_are_out_of_reach),
		TEST(a_grant_is_good_once_and_for_its_node),
		TEST(without_a_map_there_is_no_link),
		TEST(who_may_only_read_gets_nothing_to_write),
		TEST(pages_that_nobody_asked_for_are_not_taken),
		TEST(pages_beyond_the_segment_end_the_map),
		TEST(rubbish_ends_the_link_and_another_one_goes_on),
		TEST(who_keeps_a_page_loses_it),
		PATIENT(more_than_fits_is_answered_by_and_by),
		PATIENT(who_is_not_read_reads_all_the_same),
		PATIENT(what_could_not_be_kept_is_not_there),
		PATIENT(what_a_node_had_is_waited_for_though_nothing_else_is_in_common),
		TEST(without_memory_for_its_maps_a_daemon_goes_on),
		TEST(who_does_not_read_keeps_nobody_waiting),
	};

	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
