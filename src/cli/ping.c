/* SPDX-License-Identifier: Apache-2.0 */
/* causeway ping: round trips to the daemon, or between it and another node's */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/peers.h"
#include "cli/times.h"

#define COUNT_DEFAULT 100u
#define COUNT_MAX     1000000u

enum { PING_COUNT, PING_MIN, PING_MEDIAN, PING_P99, PING_MAX };

static const struct column columns[] = {
	[PING_COUNT] = {"COUNT", "round trips", 0},
	[PING_MIN] = {"MIN_NS", "shortest", 0},
	[PING_MEDIAN] = {"MEDIAN_NS", "half of them took at most this", 0},
	[PING_P99] = {"P99_NS", "99 of 100 took at most this", 0},
	[PING_MAX] = {"MAX_NS", "longest", 0},
};

/* One round trip: ours to the daemon, or, with a node, the daemons' to each other. */
static int ping(uint32_t node, uint64_t *ret_time)
{
	struct wire_message request = {.type = WIRE_PING, .ping = {.node = node}};
	uint64_t start = clock_now();
	char trouble[PEER_TROUBLE_MAX];
	struct cw_reply reply;
	int r = cw_call(&request, NULL, 0, &reply);

	if (r && node) {
		peer_trouble(node, trouble);
		return cli_fail("cannot ping node %u: %s%s", node, node_result_text(r), trouble);
	}
	if (r)
		return cli_fail("cannot ping the daemon: %s", node_result_text(r));
	*ret_time = node ? reply.message.ping_reply.round_trip : clock_now() - start;
	return 0;
}

static int measure(uint32_t node, uint64_t *times, uint32_t n)
{
	/* the connection between the nodes is made by whoever needs it first */
	int r = node ? ping(node, &times[0]) : 0;

	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = ping(node, &times[i]);
	if (r == 0)
		times_sort(times, n);
	return r;
}

static void print(const struct invocation *in, const struct node *node, uint32_t to,
	const uint64_t *times, uint32_t n)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	uint64_t median = times_percentile(times, n, 50), p99 = times_percentile(times, n, 99);
	struct json_object *root;

	if (!in->option[OPTION_JSON]) {
		node_print(node, stdout);
		if (to)
			printf("between its daemon and node %u's: ", to);
		printf("%u round trips: min %.1f us, median %.1f us, p99 %.1f us, max %.1f us\n", n,
			(double)times[0] / 1e3, (double)median / 1e3, (double)p99 / 1e3,
			(double)times[n - 1] / 1e3);
		return;
	}
	table_row(t);
	table_number(t, PING_COUNT, n);
	table_number(t, PING_MIN, times[0]);
	table_number(t, PING_MEDIAN, median);
	table_number(t, PING_P99, p99);
	table_number(t, PING_MAX, times[n - 1]);
	root = json_object_new_object();
	json_object_object_add(root, "daemon", node_json(node));
	if (to)
		json_object_object_add(root, "node", json_object_new_int64(to));
	json_object_object_add(root, "round_trips", table_json_row(t));
	json_print(root, stdout);
}

int ping_run(const struct invocation *in)
{
	const char *text = in->option[OPTION_COUNT];
	_cleanup_free_ uint64_t *times = NULL;
	uint32_t n = COUNT_DEFAULT, to = 0;
	struct node node;
	int r = in->n_args ? peer_parse(in->args[0], &to) : 0;

	if (r)
		return r;

	if (text && (parse_u32(text, &n) < 0 || n < 1 || n > COUNT_MAX))
		return cli_usage("--count=%s: must be a number from 1 to %u.", text, COUNT_MAX);
	times = calloc(n, sizeof(*times));
	if (!times)
		return cli_fail("out of memory");
	r = node_find(true, &node);
	if (!r)
		r = measure(to, times, n);
	if (r)
		return r;
	print(in, &node, to, times, n);
	return EXIT_OK;
}
