/* SPDX-License-Identifier: Apache-2.0 */
/* ipcs, ipcrm and what doctor says of clshm, without a daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/test-cli.h"
#include "wire/status.h"

#define N_ROWS 3u

/* the daemon */

static struct {
	int hello;	      /* its answer */
	uint32_t claim;	      /* rows that an answer claims beyond those it has */
	int list_of_peer;     /* what the partition 7 answers */
	uint32_t controls[8]; /* shmids that were to be removed */
	unsigned int n_controls;
} fake;

void fake_clshm_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

/* The segments of a partition: one that everybody may remove, one that is another user's, one that
 * is removed. */
static struct wire_shm_row row_of(uint32_t partition, uint32_t i)
{
	static const uint32_t flags[N_ROWS] = {
		0, WIRE_SHM_AUTO | WIRE_SHM_LOCKED, WIRE_SHM_REMOVED};

	return (struct wire_shm_row){.shmid = partition << 24 | (i + 1),
		.key = i == 2 ? 0 : partition << 24 | (0x10 + i),
		.mode = 0640,
		.flags = flags[i],
		.size = 4096ull << i,
		.n_attached = i,
		.attached = i ? 1700000000000000000ull : 0,
		.cpid = 55,
		.command = "maker"};
}

/* Two rows a packet. */
static int fake_list(const struct wire_shm_list *q, struct cw_reply *a)
{
	struct wire_shm_list_reply *l = &a->message.shm_list_reply;
	uint8_t *at = a->packet, *end = a->packet + sizeof(a->packet);
	struct wire_shm_row row;
	uint64_t i = q->cursor;

	if (q->partition == FAKE_PEER && fake.list_of_peer)
		return fake.list_of_peer;
	if (q->partition != FAKE_SELF && q->partition != FAKE_PEER)
		return STATUS_NODE_UNREACHABLE;
	for (; i < N_ROWS && l->n < 2; i++, l->n++) {
		row = row_of(q->partition, (uint32_t)i);
		at = wire_put_shm_row(at, end, &row);
	}
	l->next = i < N_ROWS ? i : 0;
	l->n += fake.claim;
	a->message.tail = a->packet;
	a->message.tail_size = (size_t)(at - a->packet);
	return 0;
}

static int fake_partitions(struct cw_reply *a)
{
	static const struct wire_shm_partition rows[] = {
		{FAKE_SELF, 0x10000, "alpha"}, {FAKE_PEER, 0x10000, "be\x1bta"}};
	uint8_t *at = a->packet, *end = a->packet + sizeof(a->packet);

	for (size_t i = 0; i < ELEMENTS(rows); i++)
		at = wire_put_shm_partition(at, end, &rows[i]);
	a->message.shm_partition_list_reply.n = ELEMENTS(rows) + fake.claim;
	a->message.tail = a->packet;
	a->message.tail_size = (size_t)(at - a->packet);
	return 0;
}

static int fake_control(const struct wire_shm_control *q)
{
	assert_int_equal(q->command, WIRE_SHM_REMOVE);
	assert_true(fake.n_controls < ELEMENTS(fake.controls));
	fake.controls[fake.n_controls++] = q->shmid;
	if (WIRE_SHM_PARTITION(q->shmid) == FAKE_DOWN)
		return STATUS_NODE_UNREACHABLE;
	switch (WIRE_SHM_NUMBER(q->shmid)) {
	case 1:
		return 0;
	case 2:
		return STATUS_NOT_CREATOR;
	case 3:
		return STATUS_WITHDRAWN;
	}
	return STATUS_NOT_FOUND;
}

int fake_clshm(const struct wire_message *q, struct cw_reply *a)
{
	switch (q->type) {
	case WIRE_SHM_HELLO:
		a->message.shm_hello_reply.partition = FAKE_SELF;
		return fake.hello;
	case WIRE_SHM_PARTITION_LIST:
		return fake_partitions(a);
	case WIRE_SHM_LIST:
		return fake_list(&q->shm_list, a);
	case WIRE_SHM_CONTROL:
		return fake_control(&q->shm_control);
	}
	return STATUS_NOT_SUPPORTED;
}

/* tests */

static void ipcs_shows_the_segments_of_all_partitions_and_names_those_that_are_down(void **state)
{
	struct result *r;

	fake_peers();
	r = cli("ipcs -n");
	assert_int_equal(r->status, EXIT_OK);
	assert_string_equal(r->out,
		"0x03000010  50331649 root    640  4096      0 -                   3 alpha\n"
		"0x03000011  50331650 root    640  8192      1 auto,locked         3 alpha\n"
		"0x00000000  50331651 root    640 16384      2 dest                3 alpha\n"
		"0x07000010 117440513 root    640  4096      0 -                   7 be?ta\n"
		"0x07000011 117440514 root    640  8192      1 auto,locked         7 be?ta\n"
		"0x00000000 117440515 root    640 16384      2 dest                7 be?ta\n");
	assert_string_equal(r->err, "causeway: partition 8: the node does not answer: nobody ? "
				    "answers; its segments are not shown\n");
}

static void ipcs_of_one_partition_is_its_alone(void **state)
{
	struct result *r;

	fake_peers();
	r = cli("ipcs -n -p 7 -o SHMID");
	assert_string_equal(r->out, "117440513\n117440514\n117440515\n");
	assert_string_equal(r->err, "");
	r = cli("ipcs --partition 8");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->err, "partition 8: the node does not answer"));
	assert_non_null(strstr(cli("ipcs -p 9")->err, "there is no partition 9"));
	assert_int_equal(cli("ipcs -p 64")->status, EXIT_USAGE);
}

static void ipcs_has_the_views_of_its_model(void **state)
{
	assert_non_null(strstr(cli("ipcs -t")->out, "DETACHED"));
	assert_non_null(strstr(cli("ipcs -P")->out, "maker"));
	assert_non_null(strstr(cli("ipcs -mc")->out, "CREATOR"));
	assert_int_equal(cli("ipcs -t -P")->status, EXIT_USAGE);
	assert_int_equal(cli("ipcs -t -o KEY")->status, EXIT_USAGE);
}

static void a_partition_that_goes_down_meanwhile_is_named(void **state)
{
	struct json_object *root, *partition;
	struct result *r;

	fake_peers();
	fake.list_of_peer = STATUS_TIMED_OUT;
	r = cli("ipcs --json");
	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->err, "partition 7: the time allowed"));
	root = parse(r->out);
	assert_int_equal(json_object_array_length(member(root, "segments")), N_ROWS);
	assert_int_equal(json_object_array_length(member(root, "partitions")), 3);
	partition = json_object_array_get_idx(member(root, "partitions"), 1);
	assert_int_equal(json_object_get_int(member(partition, "partition")), 7);
	assert_false(json_object_get_boolean(member(partition, "up")));
	json_object_put(root);
}

static void lists_that_lie_about_their_length_are_refused(void **state)
{
	fake.claim = 1;
	assert_non_null(strstr(cli("ipcs")->err, "list of partitions is cut short"));
	assert_non_null(strstr(cli("ipcrm -M 0x3000010")->err, "row 2 is cut short"));
	fake.claim = 1u << 30;
	assert_non_null(strstr(cli("ipcs")->err, "malformed"));
	assert_non_null(strstr(cli("ipcrm -M 0x3000010")->err, "malformed"));
}

static void ipcrm_removes_by_number_and_by_key(void **state)
{
	assert_int_equal(cli("ipcrm -m 0x3000001 -m 117440513")->status, EXIT_OK);
	assert_int_equal(cli("ipcrm --shmem-key 0x7000010")->status, EXIT_OK);
	assert_int_equal(fake.n_controls, 3);
	assert_int_equal(fake.controls[0], 0x3000001);
	assert_int_equal(fake.controls[1], 0x7000001);
	assert_int_equal(fake.controls[2], 0x7000001);
}

static void ipcrm_says_why_not_and_goes_on(void **state)
{
	struct result *r = cli("ipcrm -m 0x3000002 0x3000003 0x3000004 0x8000001 0x3000001");

	assert_int_equal(r->status, EXIT_FAILED);
	assert_string_equal(r->err,
		"causeway: cannot remove shmid 50331650: only its owner, its creator and root of "
		"partition 3 may\n"
		"causeway: cannot remove shmid 50331651: it is removed, and goes with its last "
		"attach\n"
		"causeway: cannot remove shmid 50331652: partition 3 has no such segment\n"
		"causeway: cannot remove shmid 134217729: partition 8 is not up\n");
	assert_int_equal(fake.n_controls, 5);
	r = cli("ipcrm -M 0x3000011 0x3000012");
	assert_string_equal(r->err,
		"causeway: cannot remove key 0x03000011: only its owner, its creator and root of "
		"partition 3 may\n"
		"causeway: cannot remove key 0x03000012: partition 3 has no such segment\n");
}

static void ipcrm_removes_nothing_if_a_word_is_wrong(void **state)
{
	assert_int_equal(cli("ipcrm -m 0x3000001 -M 0x3000010")->status, EXIT_USAGE);
	assert_int_equal(cli("ipcrm 0x3000001")->status, EXIT_USAGE);
	assert_int_equal(cli("ipcrm -m 0x3000001 five")->status, EXIT_USAGE);
	assert_int_equal(cli("ipcrm -m 0x3000001 0x40000001")->status, EXIT_USAGE);
	assert_int_equal(cli("ipcrm -m 0x3000001 0x3000000")->status, EXIT_USAGE);
	assert_int_equal(fake.n_controls, 0);
}

static void a_node_without_clshm_says_why(void **state)
{
	fake.hello = STATUS_NODE_UNKNOWN;
	assert_non_null(strstr(cli("ipcs")->err, "its number is above 63"));
	assert_non_null(strstr(cli("doctor")->out, "its number is above 63"));
	fake.hello = STATUS_NO_DAEMON;
	assert_non_null(strstr(cli("ipcrm -m 1")->err, "'clshmctl startup' starts it"));
	assert_int_equal(fake.n_controls, 0);
}

static void doctor_counts_the_partitions(void **state)
{
	fake_peers();
	assert_non_null(strstr(cli("doctor")->out, "partition 3, 2 of 3 are up"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int test_clshm(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ipcs_shows_the_segments_of_all_partitions_and_names_those_that_are_down),
		TEST(ipcs_of_one_partition_is_its_alone),
		TEST(ipcs_has_the_views_of_its_model),
		TEST(a_partition_that_goes_down_meanwhile_is_named),
		TEST(lists_that_lie_about_their_length_are_refused),
		TEST(ipcrm_removes_by_number_and_by_key),
		TEST(ipcrm_says_why_not_and_goes_on),
		TEST(ipcrm_removes_nothing_if_a_word_is_wrong),
		TEST(a_node_without_clshm_says_why),
		TEST(doctor_counts_the_partitions),
	};

	return cmocka_run_group_tests_name("clshm tools", tests, NULL, NULL);
}
