/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/peer-tls.h"
#include "daemon/test-nodes.h"

/* Sessions between real daemons, and between one and somebody who breaks the rules. */

static const char *program;

/* In the tests with this one everything is noticed soon; in the others nothing is by chance. */
#define QUICK	   "[Network]\nDetectionTime=1s\n"
#define SLOW	   "[Network]\nDetectionTime=30s\n"
#define QUICK_TIME NSEC_PER_SEC

/* What daemons are asked */

static uint32_t ping(struct client *c, uint32_t node)
{
	struct wire_message m = {.type = WIRE_PING, .ping = {node}};

	return client_call(c, &m);
}

/* Row of the node list. */
static struct wire_node_row node_row(struct client *c, uint32_t node)
{
	struct wire_message m = {.type = WIRE_NODES, .nodes = {node - 1}};
	struct wire_node_row row;

	assert_int_equal(client_call(c, &m), STATUS_OK);
	assert_true(c->reply.nodes_reply.n >= 1);
	assert_non_null(wire_get_node_row(
		c->reply.tail, (const uint8_t *)c->reply.tail + c->reply.tail_size, &row));
	return row;
}

/* Reads the files again; what is wrong with them. */
static const char *reload(struct client *c)
{
	struct wire_message m = {.type = WIRE_RELOAD};
	uint32_t status = client_call(c, &m);

	assert_true(status == STATUS_OK || status == STATUS_BAD_REQUEST);
	assert_int_equal(status == STATUS_OK, !c->reply.reload_reply.trouble[0]);
	return c->reply.reload_reply.trouble;
}

static void reload_fails(struct client *c, const char *words)
{
	const char *trouble = reload(c);

	if (!strstr(trouble, words))
		fail_msg("\"%s\" lacks \"%s\"", trouble, words);
}

static pid_t daemon_of(struct client *c)
{
	return (pid_t)client_node_status(c).daemon_pid;
}

static bool sleep_until(uint64_t end)
{
	poll(NULL, 0, 5);
	return clock_now() < end;
}

/* Until there is no session, or another; returns how long that took. */
static uint64_t wait_session_end(struct client *c, uint32_t node, uint64_t session)
{
	uint64_t begin = clock_now();

	while (node_row(c, node).session == session)
		assert_true(sleep_until(begin + 20 * NSEC_PER_SEC));
	return clock_now() - begin;
}

/* Nodes with a client each */

struct place {
	struct nodes nodes;
	struct client client[NODES_MAX + 1];
	unsigned int n;
};

static void place_begin(struct place *p, unsigned int n, unsigned int n_started, const char *config)
{
	nodes_start(&p->nodes, program, n, n_started, config);
	p->n = n_started;
	for (unsigned int i = 1; i <= n_started; i++)
		client_new(&p->client[i], &p->nodes.node[i]);
}

static void place_end(struct place *p)
{
	for (unsigned int i = 1; i <= p->n; i++)
		client_close(&p->client[i]);
	nodes_stop(&p->nodes);
}

/* Node 1 gets an import of a segment of node 2, so that they have something in common. */
static void connect_nodes(struct place *p, struct remote *r)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {.space = WIRE_SPACE_RSM, .mode = 0666, .size = 4096}};
	uint32_t segment;

	assert_int_equal(client_call(&p->client[2], &m), STATUS_OK);
	segment = p->client[2].reply.segment_create_reply.segment;
	assert_int_equal(client_publish(&p->client[2], segment, 0x400001, NULL), STATUS_OK);
	assert_int_equal(remote_connect(r, &p->client[1], 2, 0x400001, WIRE_READ), STATUS_OK);
}

/* Somebody who speaks TLS and packets himself */

struct rogue {
	int fd;
	PeerTls *tls;
	size_t n;
	uint8_t in[WIRE_PACKET_MAX + PEER_TLS_READ_MIN];
	uint8_t packet[WIRE_PACKET_MAX];
};

/* from: our address, or NULL; room: bytes that the kernel receives for us, or 0. */
static void rogue_open_as(
	struct rogue *r, const struct nodes *ns, unsigned int to, const char *from, int room)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	memset(r, 0, sizeof(*r));
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	if (room)
		setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (from) {
		inet_pton(AF_INET, from, &address.sin_addr);
		assert_int_equal(bind(r->fd, (struct sockaddr *)&address, sizeof(address)), 0);
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	address.sin_port = htons(ns->port[to]);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void rogue_open(struct rogue *r, const struct nodes *ns, unsigned int to)
{
	rogue_open_as(r, ns, to, NULL, 0);
}

static void rogue_close(struct rogue *r)
{
	peer_tls_free(r->tls);
	close(r->fd);
}

static bool rogue_wait(struct rogue *r, uint64_t patience)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};

	return poll(&p, 1, (int)(patience / NSEC_PER_MSEC)) > 0;
}

/* The other end closes the connection; returns when. */
static uint64_t rogue_wait_end(struct rogue *r)
{
	uint8_t byte;

	do
		assert_true(rogue_wait(r, 20 * NSEC_PER_SEC));
	while (recv(r->fd, &byte, 1, MSG_DONTWAIT) > 0);
	return clock_now();
}

static void parse_key(const char *text, uint8_t key[PEER_KEY_SIZE])
{
	unsigned int byte;

	for (unsigned int i = 0; i < PEER_KEY_SIZE; i++) {
		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		key[i] = (uint8_t)byte;
	}
}

/* Claims to be this node, with this key. */
static int rogue_handshake(struct rogue *r, uint32_t self, uint32_t to, const char *key)
{
	uint8_t bytes[PEER_KEY_SIZE];
	int e;

	parse_key(key, bytes);
	assert_int_equal(peer_tls_new_dialler(r->fd, self, to, bytes, &r->tls), 0);
	while ((e = peer_tls_handshake(r->tls)) == -EAGAIN)
		assert_true(rogue_wait(r, 5 * NSEC_PER_SEC));
	return e;
}

/* False: the connection is over, or the other does not read. */
static bool rogue_send(struct rogue *r, struct wire_message *m)
{
	ssize_t size = wire_encode(m, r->packet, sizeof(r->packet)), n;

	assert_true(size > 0);
	n = peer_tls_write(r->tls, r->packet, (size_t)size);
	return n == size;
}

/* False: the connection is over. */
static bool rogue_receive(struct rogue *r, struct wire_message *ret)
{
	uint32_t size;
	ssize_t n;

	for (;;) {
		memcpy(&size, r->in, sizeof(size));
		if (r->n >= sizeof(size) && r->n >= size)
			break;
		n = peer_tls_read(r->tls, r->in + r->n, sizeof(r->in) - r->n);
		if (n == -EAGAIN && rogue_wait(r, 5 * NSEC_PER_SEC))
			continue;
		if (n <= 0)
			return false;
		r->n += (size_t)n;
	}
	memcpy(r->packet, r->in, size);
	r->n -= size;
	memmove(r->in, r->in + size, r->n);
	assert_int_equal(wire_decode(r->packet, size, ret), 0);
	return true;
}

static struct wire_message hello_of(uint32_t node, uint32_t to)
{
	return (struct wire_message){.type = WIRE_PEER_HELLO,
		.serial = 1,
		.peer_hello = {.major = WIRE_MAJOR,
			.minor = WIRE_MINOR,
			.node = node,
			.to = to,
			.incarnation = 77,
			.detection = 60 * NSEC_PER_SEC}};
}

/* Says hello; returns what it is answered. */
static uint32_t rogue_hello(struct rogue *r, struct wire_message hello)
{
	struct wire_message reply;

	assert_true(rogue_send(r, &hello));
	assert_true(rogue_receive(r, &reply));
	assert_int_equal(reply.type, WIRE_PEER_HELLO_REPLY);
	return reply.status;
}

/* Up to a session as this node with node 1. */
static void rogue_join(struct rogue *r, const struct nodes *ns, uint32_t self, int room)
{
	rogue_open_as(r, ns, 1, NULL, room);
	assert_int_equal(rogue_handshake(r, self, 1, ns->key[1][self]), 0);
	assert_int_equal(rogue_hello(r, hello_of(self, 1)), STATUS_OK);
}

/* Sessions */

static void a_session_begins_when_something_is_asked(void **state)
{
	struct wire_node_row one, two;
	struct place p;

	place_begin(&p, 3, 3, QUICK);
	assert_int_equal(node_row(&p.client[1], 1).state, WIRE_PEER_SELF);
	assert_int_equal(node_row(&p.client[1], 2).state, WIRE_PEER_IDLE);
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	assert_true(p.client[1].reply.ping_reply.round_trip > 0);
	one = node_row(&p.client[1], 2);
	two = node_row(&p.client[2], 1);
	assert_int_equal(one.state, WIRE_PEER_UP);
	assert_int_equal(two.state, WIRE_PEER_UP);
	assert_true(one.session != 0);
	assert_true(one.session == two.session);
	assert_true(one.incarnation == p.client[2].hello.incarnation);
	assert_true(two.incarnation == p.client[1].hello.incarnation);
	assert_int_equal(node_row(&p.client[1], 3).state, WIRE_PEER_IDLE);
	place_end(&p);
}

static void both_may_dial_at_once(void **state)
{
	struct place p;

	for (unsigned int round = 0; round < 5; round++) {
		place_begin(&p, 3, 3, SLOW);
		for (unsigned int i = 1; i <= 3; i++) {
			struct wire_message m = {.type = WIRE_PING, .ping = {i % 3 + 1}};

			client_send(&p.client[i], &m, NULL, 0);
		}
		for (unsigned int i = 1; i <= 3; i++) {
			assert_true(client_receive(&p.client[i]));
			assert_int_equal(p.client[i].reply.status, STATUS_OK);
			assert_int_equal(ping(&p.client[i], (i + 1) % 3 + 1), STATUS_OK);
		}
		for (unsigned int i = 1; i <= 3; i++)
			assert_true(node_row(&p.client[i], i % 3 + 1).session ==
				    node_row(&p.client[i % 3 + 1], i).session);
		place_end(&p);
	}
}

static void two_that_dial_each_other_share_one_session(void **state)
{
	struct wire_message m[3] = {
		{0}, {.type = WIRE_PING, .ping = {2}}, {.type = WIRE_PING, .ping = {1}}};
	struct place p;

	for (unsigned int round = 0; round < 5; round++) {
		place_begin(&p, 2, 2, SLOW);
		for (unsigned int i = 1; i <= 2; i++) {
			m[i].serial = 0;
			client_send(&p.client[i], &m[i], NULL, 0);
		}
		for (unsigned int i = 1; i <= 2; i++) {
			assert_true(client_receive(&p.client[i]));
			assert_int_equal(p.client[i].reply.status, STATUS_OK);
		}
		assert_int_equal(node_row(&p.client[1], 2).state, WIRE_PEER_UP);
		assert_true(node_row(&p.client[1], 2).session == node_row(&p.client[2], 1).session);
		place_end(&p);
	}
}

static void a_node_that_is_not_there_is_unreachable_at_once(void **state)
{
	uint64_t begin;
	struct place p;

	place_begin(&p, 2, 1, SLOW);
	begin = clock_now();
	assert_int_equal(ping(&p.client[1], 2), STATUS_NODE_UNREACHABLE);
	assert_true(clock_now() - begin < 2 * NSEC_PER_SEC);
	assert_non_null(strstr(node_row(&p.client[1], 2).trouble, "nobody listens there"));
	assert_int_equal(ping(&p.client[1], 4), STATUS_NODE_UNKNOWN);
	place_end(&p);
}

static void a_node_that_says_nothing_is_unreachable_after_the_detection_time(void **state)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	uint64_t begin, took;
	struct place p;

	place_begin(&p, 2, 1, QUICK);
	address.sin_port = htons(p.nodes.port[2]);
	setsockopt(silent, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(silent, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(silent, 16), 0);
	begin = clock_now();
	assert_int_equal(ping(&p.client[1], 2), STATUS_NODE_UNREACHABLE);
	took = clock_now() - begin;
	assert_true(took > QUICK_TIME / 2);
	assert_true(took < 2 * QUICK_TIME);
	assert_int_equal(ping(&p.client[1], 1), STATUS_OK);
	close(silent);
	place_end(&p);
}

static void a_stopped_node_is_noticed_in_time(void **state)
{
	uint64_t took, session;
	struct remote r;
	struct place p;
	pid_t daemon;

	place_begin(&p, 2, 2, QUICK);
	connect_nodes(&p, &r);
	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
		session = node_row(&p.client[1], 2).session;
		daemon = daemon_of(&p.client[2]);
		kill(daemon, SIGSTOP);
		took = wait_session_end(&p.client[1], 2, session);
		assert_true(took > QUICK_TIME / 2);
		assert_true(took < QUICK_TIME * 11 / 10);
		assert_int_equal((uint32_t)client_import_word(&p.client[1], r.import),
			WIRE_IMPORT_NODE_LOST);
		kill(daemon, SIGCONT);
		assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
		assert_true(node_row(&p.client[1], 2).session != session);
	}
	place_end(&p);
}

/* What the peer said meanwhile is read before its silence is judged. */
static void a_node_that_was_stopped_does_not_take_its_pause_for_the_others(void **state)
{
	uint64_t session;
	struct remote r;
	struct place p;
	pid_t daemon;

	place_begin(&p, 2, 2, QUICK);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	daemon = daemon_of(&p.client[1]);
	for (unsigned int round = 0; round < 3; round++) {
		kill(daemon, SIGSTOP);
		poll(NULL, 0, 600);
		kill(daemon, SIGCONT);
		poll(NULL, 0, 50);
		assert_true(node_row(&p.client[1], 2).session == session);
		assert_true(node_row(&p.client[2], 1).session == session);
	}
	place_end(&p);
}

static void a_daemon_that_is_back_soon_resumes_its_sessions(void **state)
{
	struct wire_node_row before, after;
	struct remote r;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	before = node_row(&p.client[1], 2);
	for (unsigned int i = 2; i >= 1; i--) {
		nodes_kill_daemon(&p.client[i]);
		assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
		assert_int_equal(ping(&p.client[2], 1), STATUS_OK);
		after = node_row(&p.client[1], 2);
		assert_true(after.session == before.session);
		assert_true(after.incarnation == before.incarnation);
		assert_int_equal((uint32_t)client_import_word(&p.client[1], r.import),
			WIRE_IMPORT_CONNECTED);
	}
	place_end(&p);
}

static void a_daemon_that_is_back_late_begins_anew(void **state)
{
	uint64_t session;
	struct remote r;
	struct place p;
	pid_t daemon;

	place_begin(&p, 2, 2, QUICK);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	daemon = daemon_of(&p.client[2]);
	kill(p.nodes.node[2].keeper, SIGSTOP);
	kill(daemon, SIGKILL);
	wait_session_end(&p.client[1], 2, session);
	kill(p.nodes.node[2].keeper, SIGCONT);
	client_wait_resend(&p.client[2]);
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	assert_true(node_row(&p.client[1], 2).session != session);
	assert_int_equal(
		(uint32_t)client_import_word(&p.client[1], r.import), WIRE_IMPORT_NODE_LOST);
	place_end(&p);
}

static void a_node_that_ends_says_so(void **state)
{
	struct remote r;
	uint64_t begin;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	begin = clock_now();
	node_stop(&p.nodes.node[2]);
	p.nodes.node[2].keeper = 0;
	client_close(&p.client[2]);
	p.n = 1;
	client_wait_import(&p.client[1], r.import, WIRE_IMPORT_NODE_LOST);
	assert_true(clock_now() - begin < 3 * NSEC_PER_SEC);
	assert_true(node_row(&p.client[1], 2).session == 0);
	place_end(&p);
}

/* Keys and lists */

/* Of nodes 1 and 2. */
static void write_key(struct place *p, unsigned int self, const char *key)
{
	char text[128];

	sprintf(text, "# a comment\n\n  %u\t%s \n", 3 - self, key);
	node_write(&p->nodes.node[self], "keys", text);
}

static const char other_key[] = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

static void nodes_whose_keys_differ_do_not_meet(void **state)
{
	struct wire_node_row row;
	struct place p;

	place_begin(&p, 2, 2, QUICK);
	write_key(&p, 2, other_key);
	assert_string_equal(reload(&p.client[2]), "");
	assert_int_equal(ping(&p.client[1], 2), STATUS_NODE_UNREACHABLE);
	row = node_row(&p.client[1], 2);
	assert_non_null(strstr(row.trouble, "does not accept our key"));
	assert_true(row.session == 0);
	assert_int_equal(ping(&p.client[2], 1), STATUS_NODE_UNREACHABLE);
	write_key(&p, 1, other_key);
	assert_string_equal(reload(&p.client[1]), "");
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	assert_string_equal(node_row(&p.client[1], 2).trouble, "");
	place_end(&p);
}

static void a_new_key_ends_the_session_and_begins_another(void **state)
{
	uint64_t session;
	struct remote r;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	assert_string_equal(reload(&p.client[1]), "");
	assert_true(node_row(&p.client[1], 2).session == session);
	write_key(&p, 1, other_key);
	assert_string_equal(reload(&p.client[1]), "");
	assert_true(node_row(&p.client[1], 2).session != session);
	assert_int_equal(
		(uint32_t)client_import_word(&p.client[1], r.import), WIRE_IMPORT_NODE_LOST);
	write_key(&p, 2, other_key);
	assert_string_equal(reload(&p.client[2]), "");
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	place_end(&p);
}

static void a_hangup_signal_reads_the_list_again(void **state)
{
	uint64_t session;
	struct remote r;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	write_key(&p, 1, "no key");
	kill(p.nodes.node[1].keeper, SIGHUP);
	poll(NULL, 0, 100);
	assert_true(node_row(&p.client[1], 2).session == session);
	write_key(&p, 1, other_key);
	kill(p.nodes.node[1].keeper, SIGHUP);
	wait_session_end(&p.client[1], 2, session);
	assert_true(daemon_of(&p.client[1]) == (pid_t)p.client[1].hello.daemon_pid);
	place_end(&p);
}

/* The configuration of node 1, with these lines of [Nodes] after its own. */
static void write_list(struct place *p, const char *others)
{
	char text[512];

	sprintf(text, "[Node]\nNodeId=1\n" SLOW "[Nodes]\n1=127.0.0.1:%u\n%s", p->nodes.port[1],
		others);
	node_write(&p->nodes.node[1], "causeway.conf", text);
}

static void a_node_may_leave_the_list_and_come_back(void **state)
{
	uint64_t session;
	char line[64];
	struct remote r;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	write_list(&p, "");
	assert_string_equal(reload(&p.client[1]), "");
	assert_int_equal(p.client[1].reply.reload_reply.n_nodes, 1);
	assert_int_equal(ping(&p.client[1], 2), STATUS_NODE_UNKNOWN);
	assert_int_equal(
		(uint32_t)client_import_word(&p.client[1], r.import), WIRE_IMPORT_NODE_LOST);
	wait_session_end(&p.client[2], 1, session);
	assert_int_equal(ping(&p.client[2], 1), STATUS_NODE_UNREACHABLE);
	sprintf(line, "2=127.0.0.1:%u\n", p.nodes.port[2]);
	write_list(&p, line);
	assert_string_equal(reload(&p.client[1]), "");
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	place_end(&p);
}

/* A name may have several addresses, of which one is right. */
static void a_node_may_be_given_by_its_name(void **state)
{
	char line[64];
	struct place p;

	place_begin(&p, 2, 2, QUICK);
	sprintf(line, "2=localhost:%u\n", p.nodes.port[2]);
	write_list(&p, line);
	assert_string_equal(reload(&p.client[1]), "");
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	write_list(&p, "2=nowhere.invalid\n");
	assert_string_equal(reload(&p.client[1]), "");
	nodes_kill_daemon(&p.client[1]);
	assert_int_equal(ping(&p.client[1], 2), STATUS_NODE_UNREACHABLE);
	assert_non_null(strstr(node_row(&p.client[1], 2).trouble, "its name has no address"));
	place_end(&p);
}

static void a_flaw_leaves_list_and_keys_as_they_were(void **state)
{
	uint64_t session;
	struct remote r;
	char path[64];
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	connect_nodes(&p, &r);
	session = node_row(&p.client[1], 2).session;
	snprintf(path, sizeof(path), "%s/keys", p.nodes.node[1].dir);
	write_list(&p, "x=1\n");
	reload_fails(&p.client[1], "causeway.conf:7: \"x\" in [Nodes]");
	write_list(&p, "1=127.0.0.1\n");
	reload_fails(&p.client[1], "on line 6 already");
	write_list(&p, "");
	chmod(path, 0640);
	reload_fails(&p.client[1], "can be read or written by others");
	chmod(path, 0600);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 65534, 0), 0);
		reload_fails(&p.client[1], "belongs to user 65534");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	node_write(&p.nodes.node[1], "keys", "2 abc\n");
	reload_fails(&p.client[1], "keys:1: after the node");
	unlink(path);
	write_list(&p, "2=127.0.0.1:1\n");
	reload_fails(&p.client[1], "causeway keygen makes it");
	assert_true(node_row(&p.client[1], 2).session == session);
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	node_write(&p.nodes.node[1], "keys", "");
	place_end(&p);
}

static void a_node_alone_has_no_list_to_read_again(void **state)
{
	struct client c;
	struct node n;

	node_start(&n, program, "", false);
	client_new(&c, &n);
	assert_int_equal(ping(&c, 1), STATUS_NODE_UNKNOWN);
	assert_int_equal(node_row(&c, 1).node, 0);
	assert_int_equal(node_row(&c, 1).state, WIRE_PEER_SELF);
	reload_fails(&c, "without [Nodes]");
	client_close(&c);
	node_stop(&n);
}

/* Strangers */

static void who_has_another_nodes_key_is_not_that_node(void **state)
{
	struct rogue r;
	struct place p;

	place_begin(&p, 3, 1, SLOW);
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(rogue_handshake(&r, 2, 1, p.nodes.key[1][3]), -EACCES);
	rogue_close(&r);
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(rogue_handshake(&r, 9, 1, p.nodes.key[1][3]), -EACCES);
	rogue_close(&r);
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(rogue_handshake(&r, 3, 2, p.nodes.key[1][3]), -EACCES);
	rogue_close(&r);
	/* the key is right, what is said afterwards is not */
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(rogue_handshake(&r, 3, 1, p.nodes.key[1][3]), 0);
	assert_int_equal(rogue_hello(&r, hello_of(2, 1)), STATUS_BAD_REQUEST);
	rogue_close(&r);
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(rogue_handshake(&r, 3, 1, p.nodes.key[1][3]), 0);
	assert_int_equal(rogue_hello(&r, hello_of(3, 2)), STATUS_NODE_UNKNOWN);
	rogue_close(&r);
	rogue_join(&r, &p.nodes, 3, 0);
	assert_int_equal(node_row(&p.client[1], 3).state, WIRE_PEER_UP);
	assert_int_equal(node_row(&p.client[1], 2).state, WIRE_PEER_IDLE);
	rogue_close(&r);
	place_end(&p);
}

static void who_does_not_say_who_he_is_has_two_seconds(void **state)
{
	static const uint8_t half_record[] = {0x16, 3, 1, 2, 0, 1, 0};
	struct rogue r[4];
	uint64_t begin, end;
	struct place p;

	place_begin(&p, 2, 1, SLOW);
	begin = clock_now();
	for (unsigned int i = 0; i < ELEMENTS(r); i++)
		rogue_open(&r[i], &p.nodes, 1);
	assert_int_equal(write(r[1].fd, half_record, sizeof(half_record)), sizeof(half_record));
	assert_int_equal(write(r[2].fd, "Cause", 5), 5);
	/* TLS, and then nothing */
	assert_int_equal(rogue_handshake(&r[3], 2, 1, p.nodes.key[1][2]), 0);
	for (unsigned int i = 0; i < ELEMENTS(r); i++) {
		end = rogue_wait_end(&r[i]);
		assert_true(end - begin > 3 * NSEC_PER_SEC / 2);
		assert_true(end - begin < 4 * NSEC_PER_SEC);
		rogue_close(&r[i]);
	}
	place_end(&p);
}

static void what_is_neither_tls_nor_data_is_cut_off(void **state)
{
	static const uint8_t record[] = {0x16, 3, 1, 0x3f, 0xff};
	uint8_t flood[8192];
	uint64_t begin;
	struct rogue r;
	struct place p;

	place_begin(&p, 2, 1, SLOW);
	begin = clock_now();
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(write(r.fd, "GET / HTTP/1.0\r\n", 16), 16);
	rogue_wait_end(&r);
	rogue_close(&r);
	/* a record that is longer than a stranger may talk */
	memset(flood, 1, sizeof(flood));
	memcpy(flood, record, sizeof(record));
	rogue_open(&r, &p.nodes, 1);
	assert_int_equal(write(r.fd, flood, sizeof(flood)), sizeof(flood));
	rogue_wait_end(&r);
	rogue_close(&r);
	assert_true(clock_now() - begin < NSEC_PER_SEC);
	place_end(&p);
}

static void a_flood_of_strangers_keeps_no_node_out(void **state)
{
	struct rogue *r = calloc(200, sizeof(*r));
	unsigned int n_open = 0;
	uint8_t byte;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	for (unsigned int i = 0; i < 200; i++)
		rogue_open_as(&r[i], &p.nodes, 1, "127.0.0.9", 0);
	assert_int_equal(ping(&p.client[2], 1), STATUS_OK);
	for (unsigned int i = 0; i < 200; i++) {
		n_open += recv(r[i].fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
		rogue_close(&r[i]);
	}
	assert_true(n_open > 0);
	assert_true(n_open <= 64);
	free(r);
	place_end(&p);
}

/* Peers that break the rules */

/* False: the other end has ended the connection. */
static bool rogue_may_write(struct rogue *r, uint64_t patience)
{
	struct pollfd p = {.fd = r->fd, .events = POLLOUT};

	poll(&p, 1, (int)(patience / NSEC_PER_MSEC));
	return !(p.revents & (POLLERR | POLLHUP));
}

/* Asks without reading the answers, so often, and says that it is alive until it is cut off;
 * returns how long that took. Meanwhile clients are served. */
static uint64_t ask_and_do_not_read(struct place *p, struct rogue *r, unsigned int n)
{
	struct wire_message m = {.type = WIRE_PEER_STATUS}, alive = {.type = WIRE_PEER_PING};
	uint64_t begin = clock_now(), asked, longest = 0;

	for (unsigned int i = 0; rogue_may_write(r, 20 * NSEC_PER_MSEC); i++) {
		m.serial = i + 1;
		rogue_send(r, i < n ? &m : &alive);
		assert_true(clock_now() - begin < 15 * NSEC_PER_SEC);
		if (i < n && i % 1024)
			continue;
		asked = clock_now();
		assert_int_equal(ping(&p->client[1], 1), STATUS_OK);
		longest = MAX(longest, clock_now() - asked);
		if (i >= n)
			poll(NULL, 0, 50);
	}
	assert_true(longest < NSEC_PER_SEC / 2);
	return clock_now() - begin;
}

static void a_peer_that_does_not_read_is_cut_off(void **state)
{
	struct rogue r;
	struct place p;

	place_begin(&p, 3, 1, QUICK);
	/* more than the kernels keep, less than the daemon does */
	rogue_join(&r, &p.nodes, 3, 4096);
	assert_true(ask_and_do_not_read(&p, &r, 65000) > QUICK_TIME / 2);
	assert_int_not_equal(node_row(&p.client[1], 3).state, WIRE_PEER_UP);
	rogue_close(&r);
	/* and more than that */
	rogue_join(&r, &p.nodes, 3, 4096);
	ask_and_do_not_read(&p, &r, 1000000);
	rogue_close(&r);
	place_end(&p);
}

static void a_peer_that_breaks_the_protocol_loses_its_connection(void **state)
{
	struct wire_message wrong[] = {
		{.type = WIRE_PEER_HELLO, .serial = 2},
		{.type = WIRE_SEGMENT_CREATE, .serial = 2},
		{.type = WIRE_PEER_CONNECT, .serial = 2},
	};
	static const uint8_t garbage[32] = {0xff, 0xff, 0xff, 0x7f};
	struct wire_message reply;
	struct rogue r;
	struct place p;

	place_begin(&p, 3, 1, SLOW);
	for (unsigned int i = 0; i <= ELEMENTS(wrong); i++) {
		rogue_join(&r, &p.nodes, 3, 0);
		if (i < ELEMENTS(wrong))
			assert_true(rogue_send(&r, &wrong[i]));
		else
			assert_int_equal(
				peer_tls_write(r.tls, garbage, sizeof(garbage)), sizeof(garbage));
		while (rogue_receive(&r, &reply))
			assert_int_not_equal(reply.status, STATUS_OK);
		rogue_close(&r);
		assert_int_equal(ping(&p.client[1], 1), STATUS_OK);
	}
	place_end(&p);
}

static void answers_that_nobody_asked_for_are_no_harm(void **state)
{
	struct wire_message m = {.type = WIRE_PEER_LIST_REPLY, .serial = 12};
	struct wire_message echo = {.type = WIRE_PEER_ECHO, .serial = 13, .peer_echo = {99}};
	struct wire_message reply;
	struct rogue r;
	struct place p;

	place_begin(&p, 3, 1, SLOW);
	rogue_join(&r, &p.nodes, 3, 0);
	assert_true(rogue_send(&r, &m));
	assert_true(rogue_send(&r, &echo));
	do
		assert_true(rogue_receive(&r, &reply));
	while (reply.type != WIRE_PEER_ECHO_REPLY);
	assert_true(reply.serial == 13);
	assert_true(reply.peer_echo_reply.value == 99);
	rogue_close(&r);
	place_end(&p);
}

/* Questions about other nodes */

static uint32_t list(struct client *c, uint32_t node)
{
	struct wire_message m = {.type = WIRE_LIST, .list = {.node = node}};

	return client_call(c, &m);
}

static uint32_t show(struct client *c, uint32_t node, uint32_t id)
{
	struct wire_message m = {
		.type = WIRE_SHOW, .show = {.space = WIRE_SPACE_RSM, .node = node, .id = id}};

	return client_call(c, &m);
}

/* Of node 2: one that root alone may have, and one for everybody. */
static void publish_two(struct client *c)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {.space = WIRE_SPACE_RSM, .mode = 0666, .size = 8192}};
	uint32_t segment;

	assert_int_equal(client_create(c, 4096, &segment, NULL), STATUS_OK);
	assert_int_equal(client_publish(c, segment, 0x400001, NULL), STATUS_OK);
	assert_int_equal(client_call(c, &m), STATUS_OK);
	segment = c->reply.segment_create_reply.segment;
	assert_int_equal(client_publish(c, segment, 0x400002, NULL), STATUS_OK);
}

static void other_nodes_show_what_the_asker_may_see(void **state)
{
	struct wire_list_row row;
	struct client *c;
	struct place p;

	if (geteuid() != 0) {
		print_message("skip: whom another node squashes is root's to see\n");
		skip();
	}
	place_begin(&p, 2, 2, SLOW);
	c = &p.client[1];
	publish_two(&p.client[2]);
	assert_int_equal(list(c, 2), STATUS_OK);
	/* root is nobody there */
	assert_int_equal(c->reply.list_reply.n, 1);
	assert_int_equal(c->reply.list_reply.next, 0);
	assert_non_null(wire_get_list_row(
		c->reply.tail, (const uint8_t *)c->reply.tail + c->reply.tail_size, &row));
	assert_int_equal(row.node, 2);
	assert_int_equal(row.id, 0x400002);
	assert_int_equal(row.size, 8192);
	assert_int_equal(show(c, 2, 0x400001), STATUS_NOT_FOUND);
	assert_int_equal(show(c, 2, 0x400002), STATUS_OK);
	assert_int_equal(c->reply.show_reply.n_imports, 0);
	assert_int_equal(list(c, 0), STATUS_OK);
	assert_int_equal(c->reply.list_reply.n, 0);
	assert_int_equal(list(c, 7), STATUS_NODE_UNKNOWN);
	place_end(&p);
	place_begin(&p, 2, 2, SLOW "[Peers]\nRootSquash=no\n");
	publish_two(&p.client[2]);
	assert_int_equal(list(c, 2), STATUS_OK);
	assert_int_equal(c->reply.list_reply.n, 2);
	assert_int_equal(show(c, 2, 0x400001), STATUS_OK);
	place_end(&p);
	place_begin(&p, 2, 2, SLOW "[Peers]\nAllowUids=1:1000-2000\n");
	publish_two(&p.client[2]);
	assert_int_equal(list(c, 2), STATUS_DENIED);
	assert_int_equal(list(&p.client[2], 1), STATUS_OK);
	place_end(&p);
}

static void other_nodes_tell_their_status(void **state)
{
	struct wire_message m = {.type = WIRE_NODE_STATUS, .node_status = {2}};
	struct wire_node_status_reply mine, theirs;
	struct place p;

	place_begin(&p, 2, 2, SLOW);
	publish_two(&p.client[2]);
	theirs = client_node_status(&p.client[2]);
	assert_int_equal(client_call(&p.client[1], &m), STATUS_OK);
	mine = p.client[1].reply.node_status_reply;
	assert_int_equal(mine.node, 2);
	assert_int_equal(mine.n_segments, 2);
	assert_true(mine.bytes == theirs.bytes);
	assert_true(mine.incarnation == theirs.incarnation);
	assert_true(mine.started == theirs.started);
	assert_string_equal(mine.version, theirs.version);
	place_end(&p);
}

static void a_client_may_go_while_another_node_is_asked(void **state)
{
	struct wire_message m = {.type = WIRE_PING, .ping = {2}};
	struct client second;
	struct place p;
	pid_t daemon;

	place_begin(&p, 2, 2, QUICK);
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	daemon = daemon_of(&p.client[2]);
	kill(daemon, SIGSTOP);
	client_new(&second, &p.nodes.node[1]);
	client_send(&second, &m, NULL, 0);
	/* one at a time; the others wait for nothing */
	assert_int_equal(ping(&second, 2), STATUS_NO_RESOURCES);
	assert_int_equal(ping(&second, 0), STATUS_OK);
	client_close(&second);
	m.serial = 0;
	client_send(&p.client[1], &m, NULL, 0);
	assert_true(client_receive(&p.client[1]));
	assert_int_equal(p.client[1].reply.status, STATUS_NODE_UNREACHABLE);
	kill(daemon, SIGCONT);
	assert_int_equal(ping(&p.client[1], 2), STATUS_OK);
	place_end(&p);
}

static uint32_t controller(struct client *c, const char *name)
{
	struct wire_message m = {.type = WIRE_CONTROLLER};

	snprintf(m.controller.name, sizeof(m.controller.name), "%s", name);
	return client_call(c, &m);
}

static void nodes_with_peers_have_a_tcp_controller(void **state)
{
	struct wire_message m = {.type = WIRE_TOPOLOGY};
	const struct wire_controller_reply *reply;
	struct wire_topology_link link;
	const uint8_t *at, *end;
	struct client *c;
	struct place p;

	place_begin(&p, 3, 1, SLOW);
	c = &p.client[1];
	reply = &c->reply.controller_reply;
	assert_int_equal(controller(c, "TCP0"), STATUS_OK);
	assert_int_equal(reply->kind, WIRE_CONTROLLER_TCP);
	assert_int_equal(controller(c, "sci0"), STATUS_OK);
	assert_int_equal(reply->kind, WIRE_CONTROLLER_TCP);
	assert_string_equal(reply->name, "tcp0");
	assert_int_equal(controller(c, "loopback5"), STATUS_OK);
	assert_int_equal(reply->kind, WIRE_CONTROLLER_LOOPBACK);
	assert_int_equal(controller(c, "tcp1"), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(c, "sci1"), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(c, "tcp"), STATUS_NO_CONTROLLER);
	assert_int_equal(controller(c, "ofi0"), STATUS_NO_CONTROLLER);
	assert_int_equal(ping(c, 3), STATUS_NODE_UNREACHABLE);
	assert_int_equal(client_call(c, &m), STATUS_OK);
	assert_int_equal(c->reply.topology_reply.node, 1);
	assert_int_equal(c->reply.topology_reply.n, 2);
	at = c->reply.tail;
	end = at + c->reply.tail_size;
	for (uint32_t node = 2; node <= 3; node++) {
		at = wire_get_topology_link(at, end, &link);
		assert_non_null(at);
		assert_int_equal(link.node, node);
		assert_string_equal(link.controller, "tcp0");
		/* as RSM says: active, down */
		assert_int_equal(link.state, node == 2 ? 3 : 1);
	}
	place_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_begins_when_something_is_asked),
		cmocka_unit_test(both_may_dial_at_once),
		cmocka_unit_test(two_that_dial_each_other_share_one_session),
		cmocka_unit_test(a_node_that_is_not_there_is_unreachable_at_once),
		cmocka_unit_test(a_node_that_says_nothing_is_unreachable_after_the_detection_time),
		cmocka_unit_test(a_stopped_node_is_noticed_in_time),
		cmocka_unit_test(a_node_that_was_stopped_does_not_take_its_pause_for_the_others),
		cmocka_unit_test(a_daemon_that_is_back_soon_resumes_its_sessions),
		cmocka_unit_test(a_daemon_that_is_back_late_begins_anew),
		cmocka_unit_test(a_node_that_ends_says_so),
		cmocka_unit_test(nodes_whose_keys_differ_do_not_meet),
		cmocka_unit_test(a_new_key_ends_the_session_and_begins_another),
		cmocka_unit_test(a_node_may_leave_the_list_and_come_back),
		cmocka_unit_test(a_hangup_signal_reads_the_list_again),
		cmocka_unit_test(a_node_may_be_given_by_its_name),
		cmocka_unit_test(a_flaw_leaves_list_and_keys_as_they_were),
		cmocka_unit_test(a_node_alone_has_no_list_to_read_again),
		cmocka_unit_test(who_has_another_nodes_key_is_not_that_node),
		cmocka_unit_test(who_does_not_say_who_he_is_has_two_seconds),
		cmocka_unit_test(what_is_neither_tls_nor_data_is_cut_off),
		cmocka_unit_test(a_flood_of_strangers_keeps_no_node_out),
		cmocka_unit_test(a_peer_that_does_not_read_is_cut_off),
		cmocka_unit_test(a_peer_that_breaks_the_protocol_loses_its_connection),
		cmocka_unit_test(answers_that_nobody_asked_for_are_no_harm),
		cmocka_unit_test(other_nodes_show_what_the_asker_may_see),
		cmocka_unit_test(other_nodes_tell_their_status),
		cmocka_unit_test(a_client_may_go_while_another_node_is_asked),
		cmocka_unit_test(nodes_with_peers_have_a_tcp_controller),
	};

	if (argc < 2)
		return EXIT_FAILURE;
	program = argv[1];
	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
