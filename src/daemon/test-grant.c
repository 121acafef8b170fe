/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/peer.h"
#include "daemon/test-fake.h"

/*
 * Grants and keys, from the point of view of a daemon that can say what it likes: the tests are
 * nodes 2 and 3 themselves. argv[1]: causewayd.
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

/* Its process number client connects. */
static uint32_t fake_try(
	struct fake *f, struct scene *s, uint64_t client, uint32_t index, uint32_t data)
{
	const struct engine_identity identity = {.pid = 7, .command = "fake"};
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT,
		.peer_connect = {.client = client,
			.index = index,
			.generation = 1,
			.space = WIRE_SPACE_RSM,
			.id = s->id,
			.rights = WIRE_READ | WIRE_WRITE,
			.data = data}};

	m.tail = tail;
	m.tail_size = engine_identity_encode(&identity, tail);
	fake_call(f, &m);
	return f->got.status;
}

static struct wire_peer_connect_reply fake_connect(
	struct fake *f, struct scene *s, uint64_t client, uint32_t index, uint32_t data)
{
	assert_int_equal(fake_try(f, s, client, index, data), STATUS_OK);
	return f->got.peer_connect_reply;
}

static struct wire_peer_data_reply fake_data(struct fake *f, uint64_t client)
{
	struct wire_message m = {.type = WIRE_PEER_DATA, .peer_data = {client}};

	fake_call(f, &m);
	assert_int_equal(f->got.status, STATUS_OK);
	return f->got.peer_data_reply;
}

/* Data connections */

static int dial(const struct scene *s, uint32_t node, const uint8_t grant[16])
{
	const struct sockaddr_in to = fake_address(&s->nodes, 1);
	uint8_t hello[FABRIC_HELLO_SIZE];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	fabric_hello_encode(hello, node, 0, grant);
	assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	return fd;
}

static bool ends(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;

	return poll(&p, 1, 5000) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void assert_refused(const struct scene *s, uint32_t node, const uint8_t grant[16])
{
	int fd = dial(s, node, grant);

	assert_true(ends(fd));
	close(fd);
}

struct stream {
	FabricPath *path;
	struct fabric_user user;
	const struct scene *scene;
	struct wire_peer_data_reply *again; /* what to go on with when it breaks; NULL: nothing */
};

static int repair(void *userdata, FabricPath *path)
{
	struct stream *t = userdata;

	return t->again ? fabric_path_resume(
				  path, dial(t->scene, 2, t->again->grant), t->again->done)
			: STATUS_NODE_LOST;
}

static void stream_open(struct stream *t, const struct scene *s, uint32_t node,
	const uint8_t grant[16], const uint8_t key[16])
{
	const struct fabric_path_options options = {
		.repair = repair, .userdata = t, .stall = 5 * NSEC_PER_SEC};

	*t = (struct stream){.scene = s};
	memcpy(t->user.key.bytes, key, 16);
	assert_int_equal(fabric_tcp_path_new(dial(s, node, grant), &options, &t->path), 0);
	assert_int_equal(fabric_path_add_user(t->path, &t->user), 0);
}

static void stream_close(struct stream *t)
{
	fabric_path_remove_user(t->path, &t->user);
	fabric_path_free(t->path);
}

static int stream_put(struct stream *t, const char *text)
{
	return fabric_put(t->path, &t->user, 0, text, strlen(text) + 1, 0, 0);
}

/* Tests */

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 1,
		"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=10s\n");
	client_new(&s->a, &s->nodes.node[1]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	fake_open(&s->two, &s->nodes, 2);
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

static void a_grant_is_good_once(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	struct stream t;

	stream_open(&t, s, 2, got.grant, got.key);
	assert_int_equal(stream_put(&t, "once"), 0);
	assert_refused(s, 2, got.grant);
	assert_int_equal(stream_put(&t, "twice"), 0);
	assert_string_equal((char *)s->memory, "twice");
	stream_close(&t);
}

static void a_grant_is_good_for_one_node(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	struct stream t;

	fake_connect(&s->three, s, 7, 0, 1);
	assert_refused(s, 3, got.grant);
	assert_refused(s, 1, got.grant);
	assert_refused(s, 0, got.grant);
	assert_refused(s, 4, got.grant);
	stream_open(&t, s, 2, got.grant, got.key);
	assert_int_equal(stream_put(&t, "two"), 0);
	stream_close(&t);
}

static void nobody_can_guess_a_grant(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	uint8_t other[16] = {0};

	assert_refused(s, 2, other);
	memcpy(other, got.grant, sizeof(other));
	for (unsigned int i = 0; i < sizeof(other); i++) {
		other[i] ^= 1;
		assert_refused(s, 2, other);
		other[i] ^= 1;
	}
	/* a key is none */
	assert_refused(s, 2, got.key);
}

static void who_wants_none_is_given_none(void **state)
{
	static const uint8_t none[16];
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 0);

	assert_memory_equal(got.grant, none, sizeof(none));
	assert_refused(s, 2, none);
}

static void keys_are_good_on_the_connection_of_their_guest(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply mine = fake_connect(&s->two, s, 7, 0, 1);
	struct wire_peer_connect_reply other = fake_connect(&s->two, s, 8, 0, 1);
	struct wire_peer_connect_reply third = fake_connect(&s->three, s, 7, 0, 1);
	struct stream t, u;

	assert_memory_not_equal(mine.key, other.key, 16);
	stream_open(&t, s, 2, mine.grant, other.key);
	assert_int_equal(stream_put(&t, "not yours"), STATUS_BAD_HANDLE);
	stream_open(&u, s, 3, third.grant, mine.key);
	assert_int_equal(stream_put(&u, "not yours"), STATUS_BAD_HANDLE);
	assert_string_equal((char *)s->memory, "");
	stream_close(&t);
	stream_close(&u);
}

static void a_new_connection_takes_the_place_of_the_former(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	struct wire_peer_data_reply again;
	struct stream t;

	stream_open(&t, s, 2, got.grant, got.key);
	assert_int_equal(stream_put(&t, "one"), 0);
	assert_int_equal(stream_put(&t, "two"), 0);
	again = fake_data(&s->two, 7);
	assert_int_equal(again.done, 2);
	/* nothing comes on the former once that has been told */
	t.again = &again;
	assert_int_equal(stream_put(&t, "three"), 0);
	assert_string_equal((char *)s->memory, "three");
	assert_refused(s, 2, again.grant);
	again = fake_data(&s->two, 7);
	assert_int_equal(again.done, 3);
	stream_close(&t);
	/* what was granted before is over */
	got = fake_connect(&s->two, s, 7, 1, 1);
	again = fake_data(&s->two, 7);
	assert_refused(s, 2, got.grant);
}

static void the_latest_grants_count(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got[9];
	struct stream t;

	for (uint32_t i = 0; i < ELEMENTS(got); i++)
		got[i] = fake_connect(&s->two, s, 7, i, 1);
	assert_refused(s, 2, got[0].grant);
	stream_open(&t, s, 2, got[8].grant, got[3].key);
	assert_int_equal(stream_put(&t, "there"), 0);
	stream_close(&t);
}

static void what_is_asked_again_is_the_same_import(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply first = fake_connect(&s->two, s, 7, 0, 1);
	struct wire_peer_connect_reply second = fake_connect(&s->two, s, 7, 0, 1);
	struct stream t;

	assert_memory_equal(first.key, second.key, 16);
	assert_memory_not_equal(first.grant, second.grant, 16);
	assert_int_equal(client_node_status(&s->a).n_imports, 1);
	stream_open(&t, s, 2, second.grant, first.key);
	assert_int_equal(stream_put(&t, "same"), 0);
	stream_close(&t);
}

static void disconnect_takes_the_key(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	struct wire_peer_connect_reply stays = fake_connect(&s->two, s, 7, 1, 0);
	struct wire_message m = {
		.type = WIRE_PEER_DISCONNECT, .flags = WIRE_ONEWAY, .peer_disconnect = {7, 0, 1}};
	struct stream t;

	stream_open(&t, s, 2, got.grant, got.key);
	assert_int_equal(stream_put(&t, "one"), 0);
	fake_say(&s->two, &m);
	fake_connect(&s->two, s, 7, 2, 0);
	assert_int_equal(stream_put(&t, "two"), STATUS_REVOKED);
	memcpy(t.user.key.bytes, stays.key, 16);
	stream_close(&t);
	assert_string_equal((char *)s->memory, "one");
}

static void the_loss_of_a_peer_takes_its_keys_and_connections(void **state)
{
	struct scene *s = *state;
	struct wire_peer_connect_reply got = fake_connect(&s->two, s, 7, 0, 1);
	struct wire_message bye = {.type = WIRE_PEER_BYE, .flags = WIRE_ONEWAY};
	struct stream t;

	stream_open(&t, s, 2, got.grant, got.key);
	assert_int_equal(stream_put(&t, "one"), 0);
	fake_say(&s->two, &bye);
	while (!s->two.over)
		sd_event_run(s->two.event, 100000);
	assert_int_equal(stream_put(&t, "two"), STATUS_NODE_LOST);
	assert_string_equal((char *)s->memory, "one");
	assert_int_equal(client_node_status(&s->a).n_imports, 0);
	stream_close(&t);
}

static void guests_of_one_node_are_bounded(void **state)
{
	struct scene *s = *state;
	uint64_t client = 1;

	while (client < 5000 && fake_try(&s->two, s, client, 0, 0) == STATUS_OK)
		client++;
	assert_int_equal(s->two.got.status, STATUS_NO_RESOURCES);
	assert_int_equal(client, 4097);
	/* another's are counted by themselves, and so are more imports of those there are */
	fake_connect(&s->three, s, 1, 0, 0);
	fake_connect(&s->two, s, 1, 1, 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_grant_is_good_once),
		TEST(a_grant_is_good_for_one_node),
		TEST(nobody_can_guess_a_grant),
		TEST(who_wants_none_is_given_none),
		TEST(keys_are_good_on_the_connection_of_their_guest),
		TEST(a_new_connection_takes_the_place_of_the_former),
		TEST(the_latest_grants_count),
		TEST(what_is_asked_again_is_the_same_import),
		TEST(disconnect_takes_the_key),
		TEST(the_loss_of_a_peer_takes_its_keys_and_connections),
		TEST(guests_of_one_node_are_bounded),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: test-grant CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests_name("daemon, grants and keys", tests, NULL, NULL);
}
