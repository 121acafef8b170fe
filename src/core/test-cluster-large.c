/* SPDX-License-Identifier: Apache-2.0 */

/*
 * 1,000 nodes with 100,000 segments: what a node knows and sends is that of its own connections,
 * through failures of many at once.
 */

#include "core/test-cluster.h"

#include <stdlib.h>
#include <sys/resource.h>

#define NODES	 1000u
#define SEGMENTS 100u /* of each */
#define HOMES	 5u   /* of each node's imports */
#define IMPORTS	 4u   /* of each home */
#define FIRST_ID 0x400000u

static const struct engine_limits limits = {
	.max_segment_bytes = 1ull << 30,
	.max_bytes_per_user = 1ull << 40,
	.max_segments_per_user = 1000,
	.max_imports_per_user = 1000,
	.max_clients_per_user = 1000,
	.max_imports_per_peer = 1000,
	.detection = DETECTION,
};

static EngineClient *client_of(struct cluster *c, uint32_t node)
{
	const struct engine_identity who = {.pid = 1, .uid = 1000, .gid = 100};
	EngineClient *client;

	assert_int_equal(engine_client_new(cluster_node(c, node)->engine, &who, &client), 0);
	return client;
}

static void publish_all(struct cluster *c, uint32_t node)
{
	EngineClient *client = client_of(c, node);
	EngineSegment *s;
	uint32_t id;

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		assert_int_equal(engine_segment_create(client, 1, PAGE, 0666, 0, 0, &s), 0);
		assert_int_equal(engine_segment_publish(s, FIRST_ID + i, NULL, 0, &id), 0);
	}
}

static void import_some(struct cluster *c, uint32_t node)
{
	EngineClient *client = client_of(c, node);
	EngineImport *i;

	for (uint32_t n = 0; n < HOMES; n++) {
		uint32_t home = 1 + (node + cluster_random(c, NODES - 1)) % NODES;

		for (uint32_t k = 0; k < IMPORTS; k++)
			assert_int_equal(
				engine_import_connect(client, 1, WIRE_CONTROLLER_TCP, home,
					FIRST_ID + cluster_random(c, SEGMENTS), WIRE_READ, &i),
				0);
	}
	cluster_after(c, node);
}

/* Returns how many peers all nodes have. */
static uint32_t count_peers(struct cluster *c, uint32_t *ret_most)
{
	uint32_t all = 0, most = 0;

	for (uint32_t node = 1; node <= NODES; node++) {
		Engine *engine = cluster_node(c, node)->engine;
		EnginePeer *p = NULL;
		uint32_t n = 0;

		while (engine && (p = engine_peer_next(engine, p ? p->number : 0)))
			n++;
		most = MAX(most, n);
		all += n;
	}
	*ret_most = most;
	return all;
}

static void check_all(struct cluster *c)
{
	for (uint32_t node = 1; node <= NODES; node++)
		if (cluster_node(c, node)->engine)
			engine_check(cluster_node(c, node)->engine);
	cluster_check_end(c);
}

static void fail_many(struct cluster *c)
{
	for (uint32_t i = 0; i < 50; i++) {
		cluster_kill(c, 1 + cluster_random(c, NODES), DETECTION / 4, i % 2);
		cluster_restart(c, 1 + cluster_random(c, NODES), DETECTION / 4);
	}
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t a = 1 + cluster_random(c, NODES), b = 1 + cluster_random(c, NODES);

		if (a != b)
			cluster_cut(c, a, b, true);
	}
	cluster_run(c, c->now + 3 * DETECTION / 2, NULL);
	for (uint32_t a = 1; a <= NODES; a++)
		for (uint32_t b = 1; b <= NODES; b++)
			cluster_cut(c, a, b, false);
}

static void a_thousand_nodes_go_on_through_failures(void **state)
{
	uint64_t started = clock_now(), packets;
	struct rusage usage;
	struct cluster c;
	uint32_t peers, most;

	cluster_init(&c, NODES, 1, &limits);
	for (uint32_t node = 1; node <= NODES; node++)
		publish_all(&c, node);
	for (uint32_t node = 1; node <= NODES; node++)
		import_some(&c, node);
	cluster_run(&c, c.now + DETECTION, NULL);
	check_all(&c);
	peers = count_peers(&c, &most);
	assert_in_range(peers, NODES, 2 * HOMES * NODES);

	/* At rest: three heartbeats a detection time and session, each way. */
	packets = c.n_packets;
	cluster_run(&c, c.now + 10 * DETECTION, NULL);
	packets = c.n_packets - packets;
	print_message("%u sessions, at most %u of a node; %.1f packets a session and detection "
		      "time\n",
		peers / 2, most, (double)packets / 10 * 2 / peers);
	assert_in_range(packets, peers, 10 * 3 * peers);

	fail_many(&c);
	cluster_run(&c, c.now + 20 * DETECTION, NULL);
	check_all(&c);
	cluster_deinit(&c);
	getrusage(RUSAGE_SELF, &usage);
	print_message("%llu ms, %ld MiB\n",
		(unsigned long long)((clock_now() - started) / NSEC_PER_MSEC),
		usage.ru_maxrss / 1024);
	assert_in_range(usage.ru_maxrss, 1, 1024 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_nodes_go_on_through_failures),
	};

	return cmocka_run_group_tests_name("a large cluster", tests, NULL, NULL);
}
