/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/peer.h"
#include "daemon/test-fake.h"
#include "daemon/test-shm.h"

/*
 * clshm between a daemon, node 1, and node 2, which is the test: what the daemon believes of it,
 * whatever it says or does not say. argv[1]: causewayd.
 */

#define VERSION	     0x00010000u
#define DETECTION    (1500 * NSEC_PER_MSEC)
#define CALL_TIMEOUT (500 * NSEC_PER_MSEC)
#define CONFIG                                                                                     \
	"[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=1500ms\n[Clshm]\nCallTimeout=500ms\n"

static const char *program;

struct scene {
	struct nodes nodes;
	struct client c;
	struct fake peer;
};

/* Without the peer. */
static int begin_alone(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(&s->nodes, program, 3, 1, CONFIG);
	client_new(&s->c, &s->nodes.node[1]);
	*state = s;
	return 0;
}

static int end_alone(void **state)
{
	struct scene *s = *state;

	client_close(&s->c);
	nodes_stop(&s->nodes);
	free(s);
	return 0;
}

/* Everything that is to be said has been said, and what has come since is known. */
static void settle(struct scene *s)
{
	fake_heard(&s->peer, 0);
}

/* --- the peer answers --- */

static void answer(struct scene *s, struct wire_message asked, struct wire_message m)
{
	m.type = asked.type | WIRE_REPLY_BIT;
	m.serial = asked.serial;
	fake_say(&s->peer, &m);
	settle(s);
}

static struct wire_message hello_of(uint32_t version, const char *host)
{
	struct wire_message m = {
		.type = WIRE_PEER_SHM_HELLO, .peer_shm_hello = {.version = version, .keep = 1}};

	strncpy(m.peer_shm_hello.host, host, sizeof(m.peer_shm_hello.host));
	return m;
}

static void answer_hello(struct scene *s, uint32_t version, const char *host)
{
	struct wire_message m = {.peer_shm_hello_reply = {.version = version}};

	strncpy(m.peer_shm_hello_reply.host, host, sizeof(m.peer_shm_hello_reply.host));
	answer(s, fake_hear(&s->peer, WIRE_PEER_SHM_HELLO), m);
}

static void begin_with(void **state, uint32_t minor, uint32_t version)
{
	struct scene *s;

	begin_alone(state);
	s = *state;
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	fake_open_as(&s->peer, &s->nodes, 2, minor, 1002);
	if (minor >= WIRE_MINOR)
		answer_hello(s, version, "two");
}

/* With a peer whose partition is up. */
static int begin(void **state)
{
	begin_with(state, WIRE_MINOR, VERSION);
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	fake_close(&s->peer);
	return end_alone(state);
}

/* The client asks; what it hears when the peer answers so. */
static uint32_t answered(struct scene *s, struct wire_message ask, struct wire_message with)
{
	static const uint16_t types[] = {
		[WIRE_SHM_KEY] = WIRE_PEER_SHM_KEY,
		[WIRE_SHM_GET] = WIRE_PEER_SHM_GET,
		[WIRE_SHM_CONTROL] = WIRE_PEER_SHM_CONTROL,
		[WIRE_SHM_STAT] = WIRE_PEER_SHM_STAT,
		[WIRE_SHM_PLACE] = WIRE_PEER_SHM_PLACE,
		[WIRE_SHM_NODE] = WIRE_PEER_SHM_NODE,
		[WIRE_SHM_LIST] = WIRE_PEER_SHM_LIST,
	};

	ask.serial = 0;
	client_send(&s->c, &ask, NULL, 0);
	answer(s, fake_hear(&s->peer, types[ask.type]), with);
	assert_true(client_receive(&s->c));
	return s->c.reply.status;
}

static const struct wire_message ask_key = {.type = WIRE_SHM_KEY, .shm_key = {2}};
static const struct wire_message ask_get = {
	.type = WIRE_SHM_GET, .shm_get = {0x2000005, 4096, 0640, WIRE_SHM_EXCLUSIVE}};
static const struct wire_message ask_control = {
	.type = WIRE_SHM_CONTROL, .shm_control = {0x2000006, WIRE_SHM_SET, 5, 6, 0644}};
static const struct wire_message ask_stat = {.type = WIRE_SHM_STAT, .shm_stat = {0x2000006}};
static const struct wire_message ask_place = {.type = WIRE_SHM_PLACE,
	.shm_place = {.shmid = 0x2000006, .order = 1, .hard = 1, .nodes = {3}}};
static const struct wire_message ask_node = {.type = WIRE_SHM_NODE, .shm_node = {0x2000006}};
static const struct wire_message ask_list = {.type = WIRE_SHM_LIST, .shm_list = {2, 7}};
static const struct wire_message *const questions[] = {
	&ask_key, &ask_get, &ask_control, &ask_stat, &ask_place, &ask_node, &ask_list};

/* --- which partitions are up --- */

static void who_has_answered_is_up(void **state)
{
	struct scene *s = *state;
	struct wire_shm_partition row;

	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	assert_true(shm_partition_row(&s->c, 2, &row));
	assert_int_equal(row.version, VERSION);
	assert_string_equal(row.host, "two");
	assert_true(shm_partition_row(&s->c, 1, &row));
	assert_true(row.host[0] != 0);
}

static void who_is_not_there_is_not_waited_for(void **state)
{
	struct scene *s = *state;
	uint64_t begin = clock_now();

	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	assert_true(clock_now() - begin < DETECTION);
}

static void who_does_not_answer_is_waited_for_as_long_as_a_call_may_take(void **state)
{
	struct scene *s = *state;
	uint64_t begin;

	fake_open(&s->peer, &s->nodes, 2);
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	begin = clock_now();
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	assert_true(clock_now() - begin > CALL_TIMEOUT / 2);
	assert_true(clock_now() - begin < 2 * CALL_TIMEOUT);
	/* and asked again */
	fake_hear(&s->peer, WIRE_PEER_SHM_HELLO);
	answer_hello(s, VERSION, "two");
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	fake_close(&s->peer);
}

static void what_a_peer_says_of_itself_is_believed_without_being_asked(void **state)
{
	struct wire_message m = hello_of(VERSION + 7, "a\033[2Jb");
	struct scene *s = *state;
	struct wire_shm_partition row;

	fake_call(&s->peer, &m);
	assert_int_equal(s->peer.got.status, STATUS_OK);
	assert_int_equal(s->peer.got.peer_shm_hello_reply.version, VERSION);
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	assert_true(shm_partition_row(&s->c, 2, &row));
	assert_int_equal(row.version, VERSION + 7);
	assert_string_equal(row.host, "a?[2Jb");
}

static void who_shuts_clshm_down_is_up_no_more(void **state)
{
	struct wire_message m = hello_of(0, "two");
	struct scene *s = *state;

	fake_call(&s->peer, &m);
	assert_int_equal(s->peer.got.status, STATUS_OK);
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	m = hello_of(VERSION, "two");
	fake_call(&s->peer, &m);
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
}

static void shutting_clshm_down_is_told_to_all(void **state)
{
	struct wire_message m = {.type = WIRE_SHM_CONFIGURE};
	struct scene *s = *state;

	m.shm_configure.what = WIRE_SHM_SHUTDOWN;
	assert_int_equal(client_call(&s->c, &m), STATUS_OK);
	assert_int_equal(fake_hear(&s->peer, WIRE_PEER_SHM_HELLO).peer_shm_hello.version, 0);
	assert_int_equal(shm_partitions_of(&s->c), 0x4);
	m.serial = 0;
	m.shm_configure.what = WIRE_SHM_STARTUP;
	assert_int_equal(client_call(&s->c, &m), STATUS_OK);
	assert_int_equal(fake_hear(&s->peer, WIRE_PEER_SHM_HELLO).peer_shm_hello.version, VERSION);
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
}

static void the_last_process_lets_the_sessions_go(void **state)
{
	struct scene *s = *state;
	struct client second;

	client_new(&second, &s->nodes.node[1]);
	assert_int_equal(shm_hello(&second), STATUS_OK);
	client_close(&s->c);
	settle(s);
	assert_false(fake_heard(&s->peer, WIRE_PEER_SHM_HELLO));
	client_close(&second);
	assert_int_equal(fake_hear(&s->peer, WIRE_PEER_SHM_HELLO).peer_shm_hello.keep, 0);
	client_new(&s->c, &s->nodes.node[1]);
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	assert_int_equal(fake_hear(&s->peer, WIRE_PEER_SHM_HELLO).peer_shm_hello.keep, 1);
}

static void a_partition_is_up_until_its_session_ends(void **state)
{
	struct scene *s = *state;

	fake_resume(&s->peer, &s->nodes);
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	answer_hello(s, VERSION, "two");
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	fake_close(&s->peer);
	fake_open(&s->peer, &s->nodes, 2);
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	answer_hello(s, VERSION, "two");
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
}

static void a_hello_that_the_session_took_with_it_is_said_again(void **state)
{
	struct scene *s = *state;

	fake_resume(&s->peer, &s->nodes);
	fake_hear(&s->peer, WIRE_PEER_SHM_HELLO);
	fake_close(&s->peer);
	fake_open(&s->peer, &s->nodes, 2);
	answer_hello(s, VERSION, "two");
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
}

/* --- versions --- */

static void a_peer_that_knows_nothing_of_clshm_is_not_asked(void **state)
{
	struct scene *s;
	uint64_t begin;

	begin_with(state, WIRE_MINOR - 1, 0);
	s = *state;
	begin = clock_now();
	for (unsigned int i = 0; i < ELEMENTS(questions); i++)
		assert_int_equal(shm_call(&s->c, *questions[i]), STATUS_NODE_UNREACHABLE);
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	assert_true(clock_now() - begin < CALL_TIMEOUT);
	settle(s);
	assert_int_equal(s->peer.n_asked, 0);
	end(state);
}

static void another_major_version_is_no_partition(void **state)
{
	struct wire_message m = hello_of(0x00020000, "two"),
			    stat = {.type = WIRE_PEER_SHM_STAT, .peer_shm_stat = {0x00020003, 1}};
	struct scene *s;

	begin_with(state, WIRE_MINOR, 0x00020000);
	s = *state;
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
	for (unsigned int i = 0; i < ELEMENTS(questions); i++)
		assert_int_equal(shm_call(&s->c, *questions[i]), STATUS_NODE_UNREACHABLE);
	fake_call(&s->peer, &m);
	assert_int_equal(s->peer.got.status, STATUS_VERSION);
	fake_call(&s->peer, &stat);
	assert_int_equal(s->peer.got.status, STATUS_VERSION);
	end(state);
}

static void who_refuses_our_major_version_is_no_partition(void **state)
{
	struct wire_message refusal = {.status = STATUS_VERSION};
	struct scene *s = *state;

	fake_resume(&s->peer, &s->nodes);
	answer(s, fake_hear(&s->peer, WIRE_PEER_SHM_HELLO), refusal);
	assert_int_equal(shm_partitions_of(&s->c), 0x2);
}

static void another_minor_version_is_a_partition(void **state)
{
	struct wire_message key = {.peer_shm_key_reply = {0x2000009}};
	struct scene *s;

	begin_with(state, WIRE_MINOR + 1, VERSION + 5);
	s = *state;
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
	assert_int_equal(answered(s, ask_key, key), STATUS_OK);
	assert_int_equal(s->c.reply.shm_key_reply.key, 0x2000009);
	end(state);
}

/* --- questions --- */

static void questions_go_as_they_are(void **state)
{
	struct scene *s = *state;
	struct wire_message q;

	client_send(&s->c, &(struct wire_message){.type = WIRE_SHM_GET, .shm_get = ask_get.shm_get},
		NULL, 0);
	q = fake_hear(&s->peer, WIRE_PEER_SHM_GET);
	assert_int_equal(q.peer_shm_get.version, VERSION);
	assert_true(q.peer_shm_get.client == s->c.hello.client);
	assert_true(q.peer_shm_get.serial == s->c.serial);
	assert_int_equal(q.peer_shm_get.key, 0x2000005);
	assert_int_equal(q.peer_shm_get.size, 4096);
	assert_int_equal(q.peer_shm_get.mode, 0640);
	assert_int_equal(q.peer_shm_get.flags, WIRE_SHM_EXCLUSIVE);
	answer(s, q, (struct wire_message){.peer_shm_get_reply = {0x2000001}});
	assert_true(client_receive(&s->c));
	assert_int_equal(s->c.reply.status, STATUS_OK);
	assert_int_equal(s->c.reply.shm_get_reply.shmid, 0x2000001);

	q = ask_control;
	q.serial = 0;
	client_send(&s->c, &q, NULL, 0);
	q = fake_hear(&s->peer, WIRE_PEER_SHM_CONTROL);
	assert_true(q.peer_shm_control.serial == s->c.serial);
	assert_int_equal(q.peer_shm_control.shmid, 0x2000006);
	assert_int_equal(q.peer_shm_control.command, WIRE_SHM_SET);
	assert_int_equal(q.peer_shm_control.uid, 5);
	assert_int_equal(q.peer_shm_control.gid, 6);
	assert_int_equal(q.peer_shm_control.mode, 0644);
	answer(s, q, (struct wire_message){.status = STATUS_NOT_CREATOR});
	assert_true(client_receive(&s->c));
	assert_int_equal(s->c.reply.status, STATUS_NOT_CREATOR);

	q = ask_place;
	q.serial = 0;
	client_send(&s->c, &q, NULL, 0);
	q = fake_hear(&s->peer, WIRE_PEER_SHM_PLACE);
	assert_int_equal(q.peer_shm_place.shmid, 0x2000006);
	assert_int_equal(q.peer_shm_place.order, 1);
	assert_int_equal(q.peer_shm_place.hard, 1);
	assert_int_equal(q.peer_shm_place.nodes[0], 3);
	answer(s, q, (struct wire_message){.status = 0});
	assert_true(client_receive(&s->c));
	assert_int_equal(s->c.reply.status, STATUS_OK);

	q = ask_list;
	q.serial = 0;
	client_send(&s->c, &q, NULL, 0);
	q = fake_hear(&s->peer, WIRE_PEER_SHM_LIST);
	assert_int_equal(q.peer_shm_list.cursor, 7);
	answer(s, q, (struct wire_message){.peer_shm_list_reply = {9, 0}});
	assert_true(client_receive(&s->c));
	assert_int_equal(s->c.reply.shm_list_reply.next, 9);
}

static void a_partition_that_is_no_node_is_unknown(void **state)
{
	struct scene *s = *state;
	struct wire_message m = ask_key;

	m.shm_key.partition = 9;
	assert_int_equal(shm_call(&s->c, m), STATUS_NODE_UNKNOWN);
	m.shm_key.partition = 63;
	assert_int_equal(shm_call(&s->c, m), STATUS_NODE_UNKNOWN);
	m.shm_key.partition = 3;
	assert_int_equal(shm_call(&s->c, m), STATUS_NODE_UNREACHABLE);
}

static void a_question_ends_after_the_bound_of_a_call(void **state)
{
	struct scene *s = *state;
	uint64_t begin;

	for (unsigned int i = 0; i < ELEMENTS(questions); i++) {
		begin = clock_now();
		assert_int_equal(shm_call(&s->c, *questions[i]), STATUS_TIMED_OUT);
		assert_true(clock_now() - begin > CALL_TIMEOUT * 9 / 10);
		assert_true(clock_now() - begin < CALL_TIMEOUT * 2);
		/* so that the session stays */
		settle(s);
		fake_say(&s->peer, &(struct wire_message){.type = WIRE_PEER_PING});
		settle(s);
		s->peer.n_asked = 0;
	}
	/* an answer that comes too late is nobody's */
	assert_int_equal(
		answered(s, ask_key, (struct wire_message){.peer_shm_key_reply = {0x2000001}}),
		STATUS_OK);
}

static void a_question_is_said_again_on_the_next_connection(void **state)
{
	struct scene *s = *state;
	struct wire_message first, again;

	for (unsigned int i = 0; i < ELEMENTS(questions); i++) {
		first = *questions[i];
		first.serial = 0;
		client_send(&s->c, &first, NULL, 0);
		settle(s);
		assert_int_equal(s->peer.n_asked, 1);
		first = s->peer.asked[0];
		s->peer.n_asked = 0;
		fake_resume(&s->peer, &s->nodes);
		again = fake_hear(&s->peer, first.type);
		assert_true(again.serial == first.serial);
		if (first.type == WIRE_PEER_SHM_GET)
			assert_memory_equal(&again.peer_shm_get, &first.peer_shm_get,
				sizeof(first.peer_shm_get));
		answer(s, again, (struct wire_message){.status = STATUS_NOT_FOUND});
		assert_true(client_receive(&s->c));
		assert_int_equal(s->c.reply.status, STATUS_NOT_FOUND);
		answer_hello(s, VERSION, "two");
	}
}

static void a_question_ends_with_the_session(void **state)
{
	struct scene *s = *state;
	struct wire_message m;

	for (unsigned int i = 0; i < ELEMENTS(questions); i++) {
		m = *questions[i];
		m.serial = 0;
		client_send(&s->c, &m, NULL, 0);
		settle(s);
		fake_close(&s->peer);
		fake_open(&s->peer, &s->nodes, 2);
		assert_true(client_receive(&s->c));
		assert_int_equal(s->c.reply.status, STATUS_NODE_UNREACHABLE);
		answer_hello(s, VERSION, "two");
	}
}

static void a_client_that_went_leaves_no_question(void **state)
{
	struct wire_message m = ask_key, asked;
	struct scene *s = *state;

	m.serial = 0;
	client_send(&s->c, &m, NULL, 0);
	asked = fake_hear(&s->peer, WIRE_PEER_SHM_KEY);
	client_close(&s->c);
	settle(s);
	answer(s, asked, (struct wire_message){.peer_shm_key_reply = {0x2000001}});
	client_new(&s->c, &s->nodes.node[1]);
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
}

static void a_process_that_asked_for_keys_is_told_to_be_gone(void **state)
{
	struct scene *s = *state;
	struct wire_message m;
	uint64_t client = s->c.hello.client;
	struct client second;

	client_new(&second, &s->nodes.node[1]);
	assert_int_equal(shm_hello(&second), STATUS_OK);
	assert_int_equal(
		answered(s, ask_key, (struct wire_message){.peer_shm_key_reply = {0x2000001}}),
		STATUS_OK);
	client_close(&s->c);
	m = fake_hear(&s->peer, WIRE_PEER_SHM_GONE);
	assert_true(m.peer_shm_gone.client == client);
	/* until it is answered */
	fake_resume(&s->peer, &s->nodes);
	m = fake_hear(&s->peer, WIRE_PEER_SHM_GONE);
	assert_true(m.peer_shm_gone.client == client);
	answer(s, m, (struct wire_message){.status = 0});
	fake_resume(&s->peer, &s->nodes);
	assert_false(fake_heard(&s->peer, WIRE_PEER_SHM_GONE));
	/* and not those who did not */
	client_new(&s->c, &s->nodes.node[1]);
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	client_close(&s->c);
	settle(s);
	assert_false(fake_heard(&s->peer, WIRE_PEER_SHM_GONE));
	s->c = second;
}

/* --- answers --- */

static void keys_and_ids_of_others_are_not_believed(void **state)
{
	static const uint32_t wrong[] = {0, 1, 0x1000001, 0x2000000, 0x3000001, 0xffffffff};
	struct wire_message m = {0};
	struct scene *s = *state;

	for (unsigned int i = 0; i < ELEMENTS(wrong); i++) {
		m.peer_shm_key_reply.key = wrong[i];
		assert_int_equal(answered(s, ask_key, m), STATUS_NODE_UNREACHABLE);
		m.peer_shm_get_reply.shmid = wrong[i];
		assert_int_equal(answered(s, ask_get, m), STATUS_NODE_UNREACHABLE);
	}
	m.peer_shm_node_reply.node = 1024;
	assert_int_equal(answered(s, ask_node, m), STATUS_NODE_UNREACHABLE);
	m.peer_shm_node_reply.node = 1023;
	assert_int_equal(answered(s, ask_node, m), STATUS_OK);
	assert_int_equal(s->c.reply.shm_node_reply.node, 1023);
}

static struct wire_shm_row row_of(uint32_t shmid, uint32_t key)
{
	return (struct wire_shm_row){
		.shmid = shmid, .key = key, .mode = 0600, .size = 5, .command = "x"};
}

static size_t put_rows(uint8_t *tail, size_t size, const struct wire_shm_row *row, unsigned int n)
{
	uint8_t *at = tail;

	for (unsigned int i = 0; i < n; i++)
		at = wire_put_shm_row(at, tail + size, row);
	assert_non_null(at);
	return (size_t)(at - tail);
}

static void rows_are_believed_of_the_partition_alone(void **state)
{
	struct wire_shm_row rows[] = {
		row_of(0x2000006, 0x2000001),
		row_of(0x2000006, 0),
		row_of(0x2000007, 0x2000001), /* another one */
		row_of(0x1000006, 0x2000001),
		row_of(0x2000006, 0x1000001),
		row_of(0x2000006, 0x2000000),
		row_of(0x2000006, 0x2000001),
		row_of(0x2000006, 0x2000001),
	};
	struct scene *s = *state;
	uint8_t tail[512];
	struct wire_message m = {.tail = tail};

	rows[6].mode = 04600;
	rows[7].flags = 0x100;
	for (unsigned int i = 0; i < ELEMENTS(rows); i++) {
		m.tail_size = put_rows(tail, sizeof(tail), &rows[i], 1);
		assert_int_equal(
			answered(s, ask_stat, m), i < 2 ? STATUS_OK : STATUS_NODE_UNREACHABLE);
	}
	/* none, half, one and a half, two */
	m.tail_size = 0;
	assert_int_equal(answered(s, ask_stat, m), STATUS_NODE_UNREACHABLE);
	m.tail_size = put_rows(tail, sizeof(tail), &rows[0], 1) / 2;
	assert_int_equal(answered(s, ask_stat, m), STATUS_NODE_UNREACHABLE);
	m.tail_size *= 3;
	assert_int_equal(answered(s, ask_stat, m), STATUS_NODE_UNREACHABLE);
	m.tail_size = put_rows(tail, sizeof(tail), &rows[0], 2);
	assert_int_equal(answered(s, ask_stat, m), STATUS_NODE_UNREACHABLE);
}

static void lists_are_as_long_as_they_say_and_have_an_end(void **state)
{
	struct wire_shm_row row = row_of(0x2000007, 0x2000001);
	struct scene *s = *state;
	uint8_t tail[WIRE_PACKET_MAX - 200];
	struct wire_message m = {.tail = tail, .peer_shm_list_reply = {8, 2}};
	size_t size = put_rows(tail, sizeof(tail), &row, 1);

	m.tail_size = 2 * size;
	put_rows(tail, sizeof(tail), &row, 2);
	assert_int_equal(answered(s, ask_list, m), STATUS_OK);
	assert_int_equal(s->c.reply.shm_list_reply.n, 2);
	assert_int_equal(s->c.reply.tail_size, 2 * size);
	m.peer_shm_list_reply.next = 7;
	assert_int_equal(answered(s, ask_list, m), STATUS_NODE_UNREACHABLE);
	m.peer_shm_list_reply.next = 0;
	m.peer_shm_list_reply.n = 1;
	assert_int_equal(answered(s, ask_list, m), STATUS_NODE_UNREACHABLE);
	m.peer_shm_list_reply.n = UINT32_MAX;
	assert_int_equal(answered(s, ask_list, m), STATUS_NODE_UNREACHABLE);
	/* more than an answer to a process holds */
	m.peer_shm_list_reply.n = (uint32_t)(sizeof(tail) / size);
	m.tail_size = put_rows(tail, sizeof(tail), &row, m.peer_shm_list_reply.n);
	answered(s, ask_list, m);
	assert_int_equal(shm_partitions_of(&s->c), 0x6);
}

static void a_process_hears_no_failure_of_the_daemons(void **state)
{
	static const struct {
		uint32_t said, heard;
	} cases[] = {
		{STATUS_NOT_FOUND, STATUS_NOT_FOUND},
		{STATUS_WITHDRAWN, STATUS_WITHDRAWN},
		{STATUS_DENIED, STATUS_DENIED},
		{STATUS_QUOTA_BYTES, STATUS_QUOTA_BYTES},
		{STATUS_NO_DAEMON, STATUS_NODE_UNREACHABLE},
		{STATUS_VERSION, STATUS_NODE_UNREACHABLE},
		{STATUS_NODE_LOST, STATUS_NODE_UNREACHABLE},
		{STATUS_NOT_SUPPORTED, STATUS_NODE_UNREACHABLE},
		{STATUS_FORKED, STATUS_NODE_UNREACHABLE},
		{4711, STATUS_NODE_UNREACHABLE},
		{UINT32_MAX, STATUS_NODE_UNREACHABLE},
	};
	struct scene *s = *state;

	for (unsigned int i = 0; i < ELEMENTS(cases); i++)
		assert_int_equal(answered(s, *questions[i % ELEMENTS(questions)],
					 (struct wire_message){.status = cases[i].said}),
			cases[i].heard);
}

static void answers_that_nobody_asked_for_are_no_harm(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.serial = 1}, asked = ask_key;

	for (uint32_t t = WIRE_PEER_SHM_HELLO_REPLY; t <= WIRE_PEER_SHM_GONE_REPLY; t++)
		for (m.type = (uint16_t)t, m.serial = 1; m.serial < 20; m.serial++)
			fake_say(&s->peer, &m);
	settle(s);
	/* of another type than was asked for */
	asked.serial = 0;
	client_send(&s->c, &asked, NULL, 0);
	asked = fake_hear(&s->peer, WIRE_PEER_SHM_KEY);
	m = (struct wire_message){.type = WIRE_PEER_SHM_GET_REPLY,
		.serial = asked.serial,
		.peer_shm_get_reply = {0x2000001}};
	fake_say(&s->peer, &m);
	answer(s, asked, (struct wire_message){.peer_shm_key_reply = {0x2000002}});
	assert_true(client_receive(&s->c));
	assert_int_equal(s->c.reply.status, STATUS_OK);
	assert_int_equal(s->c.reply.shm_key_reply.key, 0x2000002);
}

/* --- what a peer asks --- */

static uint8_t identity[ENGINE_IDENTITY_SIZE];

/* As a process of this user of the peer's. */
static struct wire_message as_user(uid_t uid, struct wire_message m)
{
	const struct engine_identity who = {.uid = uid, .gid = uid, .pid = 77, .command = "other"};

	m.tail = identity;
	m.tail_size = engine_identity_encode(&who, identity);
	m.peer_shm_hello.version = VERSION;
	return m;
}

static uint32_t peer_asks(struct scene *s, uid_t uid, struct wire_message m)
{
	m = as_user(uid, m);
	fake_call(&s->peer, &m);
	return s->peer.got.status;
}

static uint32_t peer_key(struct scene *s, uid_t uid, uint64_t client, uint64_t serial)
{
	struct wire_message m = {
		.type = WIRE_PEER_SHM_KEY, .peer_shm_key = {.client = client, .serial = serial}};

	assert_int_equal(peer_asks(s, uid, m), STATUS_OK);
	return s->peer.got.peer_shm_key_reply.key;
}

static uint32_t peer_get(struct scene *s, uid_t uid, uint64_t client, uint64_t serial, uint32_t key)
{
	struct wire_message m = {.type = WIRE_PEER_SHM_GET,
		.peer_shm_get = {.client = client,
			.serial = serial,
			.key = key,
			.size = 8192,
			.mode = 0600,
			.flags = WIRE_SHM_EXCLUSIVE}};

	return peer_asks(s, uid, m);
}

static void what_a_peer_says_twice_is_done_once(void **state)
{
	struct scene *s = *state;
	struct wire_message remove = {.type = WIRE_PEER_SHM_CONTROL,
		.peer_shm_control = {.client = 5, .serial = 9, .command = WIRE_SHM_REMOVE}};
	uint32_t key = peer_key(s, 1000, 5, 7), shmid;

	assert_int_equal(WIRE_SHM_PARTITION(key), 1);
	assert_int_equal(peer_key(s, 1000, 5, 7), key);
	assert_int_not_equal(peer_key(s, 1000, 5, 6), key);
	assert_int_equal(peer_get(s, 1000, 5, 8, key), STATUS_OK);
	shmid = s->peer.got.peer_shm_get_reply.shmid;
	assert_int_equal(peer_get(s, 1000, 5, 8, key), STATUS_OK);
	assert_int_equal(s->peer.got.peer_shm_get_reply.shmid, shmid);
	assert_int_equal(peer_get(s, 1000, 6, 8, key), STATUS_ID_IN_USE);
	nodes_kill_daemon(&s->c);
	fake_resume(&s->peer, &s->nodes);
	assert_int_equal(peer_get(s, 1000, 5, 8, key), STATUS_OK);
	assert_int_equal(s->peer.got.peer_shm_get_reply.shmid, shmid);
	remove.peer_shm_control.shmid = shmid;
	assert_int_equal(peer_asks(s, 1000, remove), STATUS_OK);
	assert_int_equal(peer_asks(s, 1000, remove), STATUS_OK);
	nodes_kill_daemon(&s->c);
	fake_resume(&s->peer, &s->nodes);
	assert_int_equal(peer_asks(s, 1000, remove), STATUS_OK);
	remove.peer_shm_control.serial = 10;
	assert_int_equal(peer_asks(s, 1000, remove), STATUS_NOT_FOUND);
}

static void a_peers_process_is_who_the_configuration_says(void **state)
{
	struct scene *s = *state;
	uint32_t key = peer_key(s, 0, 5, 7), shmid;
	struct wire_message stat = {.type = WIRE_PEER_SHM_STAT};
	struct wire_shm_row row;

	if (geteuid() != 0) {
		print_message("skip: who is squashed is seen by root\n");
		skip();
	}
	assert_int_equal(peer_get(s, 0, 5, 8, key), STATUS_OK);
	shmid = s->peer.got.peer_shm_get_reply.shmid;
	assert_int_equal(shm_stat(&s->c, shmid, &row), STATUS_OK);
	assert_int_equal(row.uid, 65534);
	assert_int_equal(row.cuid, 65534);
	stat.peer_shm_stat.shmid = shmid;
	assert_int_equal(peer_asks(s, 1000, stat), STATUS_DENIED);
	assert_int_equal(peer_asks(s, 0, stat), STATUS_OK);
	stat = as_user(0, stat);
	stat.tail_size = 3;
	fake_call(&s->peer, &stat);
	assert_int_equal(s->peer.got.status, STATUS_BAD_REQUEST);
}

static void keys_that_nobody_has_used_go_with_who_made_them(void **state)
{
	struct scene *s = *state;
	struct wire_message gone = {.type = WIRE_PEER_SHM_GONE, .peer_shm_gone = {VERSION, 5}};
	uint32_t five = peer_key(s, 1000, 5, 1), six = peer_key(s, 1000, 6, 1),
		 used = peer_key(s, 1000, 5, 2);

	assert_int_equal(peer_get(s, 1000, 5, 3, used), STATUS_OK);
	fake_call(&s->peer, &gone);
	assert_int_equal(s->peer.got.status, STATUS_OK);
	assert_int_equal(peer_get(s, 1000, 6, 2, five), STATUS_NOT_FOUND);
	assert_int_equal(peer_get(s, 1000, 6, 3, used), STATUS_ID_IN_USE);
	gone.peer_shm_gone.client = 0;
	fake_call(&s->peer, &gone);
	assert_int_equal(s->peer.got.status, STATUS_BAD_REQUEST);
	/* another life of the node */
	fake_close(&s->peer);
	fake_open_as(&s->peer, &s->nodes, 2, WIRE_MINOR, 4711);
	assert_int_equal(peer_get(s, 1000, 6, 2, six), STATUS_NOT_FOUND);
	assert_int_equal(peer_get(s, 1000, 6, 3, used), STATUS_ID_IN_USE);
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static void rubbish_is_refused_and_does_no_harm(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {0};
	uint8_t tail[256];

	for (unsigned int round = 0; round < 4000; round++) {
		uint64_t *body = (uint64_t *)&m.peer_shm_place;

		for (size_t i = 0; i < sizeof(m.peer_shm_place) / sizeof(*body); i++)
			body[i] = random_number();
		for (size_t i = 0; i < sizeof(tail); i++)
			tail[i] = (uint8_t)random_number();
		m.type = (uint16_t)(WIRE_PEER_SHM_HELLO + random_number() % 9);
		if (round % 2)
			m = as_user((uid_t)(random_number() % 3 ? 1000 : random_number()), m);
		else
			m.tail = tail, m.tail_size = random_number() % sizeof(tail);
		if (round % 5 && m.type != WIRE_PEER_SHM_HELLO)
			m.peer_shm_hello.version = VERSION;
		fake_call(&s->peer, &m);
	}
	assert_int_equal(shm_hello(&s->c), STATUS_OK);
	assert_int_equal(peer_get(s, 1000, 5, 1 << 20, peer_key(s, 1000, 5, 1 << 21)), STATUS_OK);
}

static void a_flood_of_questions_keeps_nobody_waiting(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_PEER_SHM_LIST};
	uint64_t begin, longest = 0;
	uint32_t key;

	m = as_user(1000, m);
	for (unsigned int i = 0; i < 40; i++) {
		for (unsigned int n = 0; n < 250; n++)
			fake_say(&s->peer, &m);
		settle(s);
		begin = clock_now();
		assert_int_equal(shm_key(&s->c, WIRE_SHM_HERE, &key), STATUS_OK);
		longest = MAX(longest, clock_now() - begin);
	}
	assert_true(longest < NSEC_PER_SEC / 2);
}

#define with_peer(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define alone(name)	cmocka_unit_test_setup_teardown(name, begin_alone, end_alone)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		with_peer(who_has_answered_is_up),
		alone(who_is_not_there_is_not_waited_for),
		alone(who_does_not_answer_is_waited_for_as_long_as_a_call_may_take),
		with_peer(what_a_peer_says_of_itself_is_believed_without_being_asked),
		with_peer(who_shuts_clshm_down_is_up_no_more),
		with_peer(shutting_clshm_down_is_told_to_all),
		with_peer(the_last_process_lets_the_sessions_go),
		with_peer(a_partition_is_up_until_its_session_ends),
		with_peer(a_hello_that_the_session_took_with_it_is_said_again),
		cmocka_unit_test(a_peer_that_knows_nothing_of_clshm_is_not_asked),
		cmocka_unit_test(another_major_version_is_no_partition),
		with_peer(who_refuses_our_major_version_is_no_partition),
		cmocka_unit_test(another_minor_version_is_a_partition),
		with_peer(questions_go_as_they_are),
		with_peer(a_partition_that_is_no_node_is_unknown),
		with_peer(a_question_ends_after_the_bound_of_a_call),
		with_peer(a_question_is_said_again_on_the_next_connection),
		with_peer(a_question_ends_with_the_session),
		with_peer(a_client_that_went_leaves_no_question),
		with_peer(a_process_that_asked_for_keys_is_told_to_be_gone),
		with_peer(keys_and_ids_of_others_are_not_believed),
		with_peer(rows_are_believed_of_the_partition_alone),
		with_peer(lists_are_as_long_as_they_say_and_have_an_end),
		with_peer(a_process_hears_no_failure_of_the_daemons),
		with_peer(answers_that_nobody_asked_for_are_no_harm),
		with_peer(what_a_peer_says_twice_is_done_once),
		with_peer(a_peers_process_is_who_the_configuration_says),
		with_peer(keys_that_nobody_has_used_go_with_who_made_them),
		with_peer(rubbish_is_refused_and_does_no_harm),
		with_peer(a_flood_of_questions_keeps_nobody_waiting),
	};

	if (argc < 2)
		return EXIT_FAILURE;
	program = argv[1];
	return cmocka_run_group_tests_name("shm-peer", tests, NULL, NULL);
}
