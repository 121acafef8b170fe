/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts and data interrupts of another node: sisci.md §5.8, §6.4, §6.5, traps T1, T2, T16,
 * T27, T33, T34. Needs several nodes.
 */
#include "rig.h"

#include <stdatomic.h>
#include <string.h>

static sci_desc_t sd;
static unsigned int number, there;
static rig_peer_t owner;

enum {
	NODE = 1,
	CREATE,
	CREATE_DATA,
	ANSWER,
	WAIT,
	WAIT_DATA,
	REMOVE,
	REMOVE_DATA,
	PUBLISH,
	LOOK,
};
#define PAGE 4096u

/* The owner's side: does what it is told and says how it went. */

static sci_local_interrupt_t plain;
static sci_local_data_interrupt_t data;
static atomic_uint n_answered;

struct question {
	unsigned int node, number, value;
};

/* Program E: the callback connects back to who asks. */
static sci_callback_action_t answer(void *arg, sci_local_data_interrupt_t interrupt, void *message,
	unsigned int length, sci_error_t status)
{
	const struct question *q = message;
	sci_remote_data_interrupt_t back;
	unsigned int value = q->value + 1;

	CHECK(status == SCI_ERR_OK && length == sizeof(*q) && !arg && interrupt);
	while (SAYS(SCIConnectDataInterrupt, sd, &back, q->node, 0, q->number, 0, 0))
		rig_sleep(1);
	OK(SCITriggerDataInterrupt, back, &value, sizeof(value), 0);
	OK(SCIDisconnectDataInterrupt, back, 0);
	n_answered++;
	return SCI_CALLBACK_CONTINUE;
}

static void wait_data(void)
{
	unsigned char message[PAGE];
	unsigned int length = sizeof(message), timeout = rig_hear_parent(), sum = 0;
	sci_error_t e = SAYS(SCIWaitForDataInterrupt, data, message, &length, timeout, 0);

	rig_tell_parent(e);
	if (e)
		return;
	for (unsigned int i = 0; i < length; i++)
		sum += message[i];
	rig_tell_parent(length);
	rig_tell_parent(sum);
}

static const volatile unsigned char *bytes;

static sci_error_t publish(void)
{
	sci_local_segment_t s = rig_segment(sd, rig_hear_parent(), 256 * PAGE);
	sci_error_t e = RIG_POISON;
	sci_map_t map;

	bytes = SCIMapLocalSegment(s, &map, 0, 256 * PAGE, NULL, 0, &e);
	return e;
}

static sci_error_t create(unsigned int what)
{
	unsigned int flags = rig_hear_parent();

	number = rig_hear_parent();
	if (what == CREATE)
		return SAYS(SCICreateInterrupt, sd, &plain, 0, &number, NULL, NULL, flags);
	if (what == CREATE_DATA)
		return SAYS(SCICreateDataInterrupt, sd, &data, 0, &number, NULL, NULL, flags);
	return SAYS(SCICreateDataInterrupt, sd, &data, 0, &number, answer, NULL,
		flags | SCI_FLAG_USE_CALLBACK);
}

static void own(void *unused)
{
	unsigned int what;

	(void)unused;
	sd = rig_open();
	while ((what = rig_hear_parent())) {
		if (what == NODE)
			rig_tell_parent(rig_node());
		else if (what == CREATE || what == CREATE_DATA || what == ANSWER)
			rig_tell_parent(create(what));
		else if (what == WAIT)
			rig_tell_parent(SAYS(SCIWaitForInterrupt, plain, rig_hear_parent(), 0));
		else if (what == WAIT_DATA)
			wait_data();
		else if (what == REMOVE)
			rig_tell_parent(SAYS(SCIRemoveInterrupt, plain, 0));
		else if (what == REMOVE_DATA)
			rig_tell_parent(SAYS(SCIRemoveDataInterrupt, data, 0));
		else if (what == PUBLISH)
			rig_tell_parent(publish());
		else if (what == LOOK)
			rig_tell_parent(bytes[rig_hear_parent()]);
	}
}

static unsigned int ask(unsigned int what)
{
	rig_tell(owner, what);
	return rig_hear(owner);
}

static unsigned int ask_with(rig_peer_t peer, unsigned int what, unsigned int value)
{
	rig_tell(peer, what);
	rig_tell(peer, value);
	return rig_hear(peer);
}

static void make(rig_peer_t peer, unsigned int what, unsigned int flags)
{
	rig_tell(peer, what);
	rig_tell(peer, SCI_FLAG_FIXED_INTNO | flags);
	rig_tell(peer, number);
	CHECK_EQUAL(rig_hear(peer), SCI_ERR_OK);
}

static void begin(unsigned int what)
{
	owner = rig_there(2, own, NULL);
	sd = rig_open();
	number = rig_id();
	there = ask(NODE);
	if (what)
		make(owner, what, 0);
}

static void end(void)
{
	rig_tell(owner, 0);
	rig_end(owner);
}

static sci_remote_interrupt_t connected(void)
{
	sci_remote_interrupt_t r = NULL;

	NEED(SCIConnectInterrupt, sd, &r, there, 0, number, SCI_INFINITE_TIMEOUT, 0);
	return r;
}

static sci_remote_data_interrupt_t data_connected(void)
{
	sci_remote_data_interrupt_t r = NULL;

	NEED(SCIConnectDataInterrupt, sd, &r, there, 0, number, SCI_INFINITE_TIMEOUT, 0);
	return r;
}

static unsigned int wait_there(unsigned int timeout)
{
	return ask_with(owner, WAIT, timeout);
}

/* What came, or the code. */
static sci_error_t wait_data_of(
	rig_peer_t peer, unsigned int timeout, unsigned int *length, unsigned int *sum)
{
	sci_error_t e = (sci_error_t)ask_with(peer, WAIT_DATA, timeout);

	*length = e ? 0 : rig_hear(peer);
	*sum = e ? 0 : rig_hear(peer);
	return e;
}

/* plain */

static void every_trigger_is_taken_once(void)
{
	sci_remote_interrupt_t r;

	begin(CREATE);
	r = connected();
	CHECK_EQUAL(wait_there(0), SCI_ERR_TIMEOUT);
	for (int i = 0; i < 20; i++)
		OK(SCITriggerInterrupt, r, 0);
	for (int i = 0; i < 20; i++)
		CHECK_EQUAL(wait_there(5000), SCI_ERR_OK);
	CHECK_EQUAL(wait_there(20), SCI_ERR_TIMEOUT);
	OK(SCIDisconnectInterrupt, r, 0);
	end();
}

/* T1, T2 */
static void missing_numbers_and_nodes_look_the_same(void)
{
	sci_remote_data_interrupt_t d;
	sci_remote_interrupt_t r;
	int64_t now;

	begin(0);
	now = rig_now();
	for (int i = 0; i < 50; i++) {
		CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectInterrupt, sd, &r, there, 0, number, 0, 0);
		CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectDataInterrupt, sd, &d, there, 0, number,
			SCI_INFINITE_TIMEOUT, 0);
		CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectInterrupt, sd, &r, 200, 0, number, 0, 0);
	}
	CHECK(rig_now() - now < 15000); /* one that waited for something would take 2 s */
	end();
}

/* T27 */
static void removal_there_ends_the_connection(void)
{
	sci_remote_interrupt_t r;

	begin(CREATE);
	r = connected();
	CHECK_EQUAL(ask(REMOVE), SCI_ERR_OK);
	EVENTUALLY(SAYS(SCITriggerInterrupt, r, 0) == SCI_ERR_NOT_CONNECTED);
	OK(SCIDisconnectInterrupt, r, 0);
	end();
}

/* T34 */
static void the_owner_s_death_ends_the_connection(void)
{
	sci_remote_interrupt_t r;

	begin(CREATE);
	r = connected();
	rig_kill(owner);
	EVENTUALLY(SAYS(SCITriggerInterrupt, r, 0) == SCI_ERR_NOT_CONNECTED);
	CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectInterrupt, sd, &r, there, 0, number, 0, 0);
	OK(SCIDisconnectInterrupt, r, 0);
}

/* §14: everything is seen in the sender's order */
static void data_comes_before_the_interrupt(void)
{
	sci_local_segment_t local;
	sci_remote_segment_t remote;
	sci_remote_interrupt_t r;
	sci_dma_queue_t queue;
	unsigned char *p;
	sci_map_t map;

	begin(CREATE);
	CHECK_EQUAL(ask_with(owner, PUBLISH, number), SCI_ERR_OK);
	r = connected();
	remote = rig_connect(sd, there, number);
	local = rig_segment(sd, rig_id(), 256 * PAGE);
	p = SCIMapLocalSegment(local, &map, 0, 256 * PAGE, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(p);
	NEED(SCICreateDMAQueue, sd, &queue, 0, 1, 0);
	for (unsigned int round = 1; round <= 10; round++) {
		memset(p, (int)round, 256 * PAGE);
		OK(SCIStartDmaTransfer, queue, local, remote, 0, 256 * PAGE, 0, NULL, NULL,
			SCI_FLAG_DMA_WAIT);
		OK(SCITriggerInterrupt, r, 0);
		CHECK_EQUAL(wait_there(5000), SCI_ERR_OK);
		CHECK_EQUAL(ask_with(owner, LOOK, 0), round);
		CHECK_EQUAL(ask_with(owner, LOOK, 256 * PAGE - 1), round);
	}
	end();
}

static void a_shared_number_outlives_its_first_handler(void)
{
	rig_peer_t other = rig_there(2, own, NULL);
	sci_remote_interrupt_t r;

	begin(0);
	make(owner, CREATE, SCI_FLAG_SHARED_INT);
	make(other, CREATE, SCI_FLAG_SHARED_INT);
	r = connected();
	OK(SCITriggerInterrupt, r, 0);
	CHECK_EQUAL(wait_there(5000), SCI_ERR_OK);
	CHECK_EQUAL(ask_with(other, WAIT, 5000), SCI_ERR_OK);
	rig_kill(owner);
	EVENTUALLY(SAYS(SCITriggerInterrupt, r, 0) == SCI_ERR_OK &&
		   ask_with(other, WAIT, 500) == SCI_ERR_OK);
	OK(SCIDisconnectInterrupt, r, 0);
	rig_tell(other, 0);
	rig_end(other);
}

/* data */

static void messages_come_in_order_and_whole(void)
{
	sci_remote_data_interrupt_t r;
	unsigned int length, sum;
	unsigned char out[PAGE];

	begin(CREATE_DATA);
	r = data_connected();
	for (unsigned int size = 1; size <= PAGE; size *= 2) {
		memset(out, 3, sizeof(out));
		OK(SCITriggerDataInterrupt, r, out, size, 0);
		OK(SCITriggerDataInterrupt, r, out, size - 1, 0);
	}
	for (unsigned int size = 1; size <= PAGE; size *= 2) {
		for (unsigned int less = 0; less < 2; less++) {
			CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
			CHECK_EQUAL(length, size - less);
			CHECK_EQUAL(sum, 3 * length);
		}
	}
	CHECK_EQUAL(wait_data_of(owner, 20, &length, &sum), SCI_ERR_TIMEOUT);
	OK(SCIDisconnectDataInterrupt, r, 0);
	end();
}

/* T16: and the ring's end is passed many times */
static void a_full_queue_is_nospc_and_goes_on(void)
{
	unsigned int n = 0, length, sum;
	sci_remote_data_interrupt_t r;
	char out[PAGE];
	sci_error_t e;

	begin(CREATE_DATA);
	r = data_connected();
	memset(out, 1, sizeof(out));
	for (int round = 0; round < 3; round++) {
		while ((e = SAYS(SCITriggerDataInterrupt, r, out, 3000, 0)) == SCI_ERR_OK)
			n++;
		CHECK_EQUAL(e, SCI_ERR_NOSPC);
		for (; n > 6; n--) {
			CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
			CHECK_EQUAL(sum, 3000);
		}
		OK(SCITriggerDataInterrupt, r, out, 3000, 0);
		n++;
	}
	CHECK_EQUAL(ask(REMOVE_DATA), SCI_ERR_OK);
	EVENTUALLY(SAYS(SCITriggerDataInterrupt, r, out, 1, 0) == SCI_ERR_NOT_CONNECTED);
	OK(SCIDisconnectDataInterrupt, r, 0);
	end();
}

/* Program E, T33 */
static void callbacks_on_both_sides_may_connect(void)
{
	sci_local_data_interrupt_t answers;
	unsigned int in, length, mine = rig_id();
	sci_remote_data_interrupt_t r;

	begin(ANSWER);
	NEED(SCICreateDataInterrupt, sd, &answers, 0, &mine, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	r = data_connected();
	for (unsigned int i = 0; i < 50; i++) {
		struct question q = {.node = rig_node(), .number = mine, .value = i};

		OK(SCITriggerDataInterrupt, r, &q, sizeof(q), 0);
		length = sizeof(in);
		OK(SCIWaitForDataInterrupt, answers, &in, &length, 5000, 0);
		CHECK_EQUAL(length, sizeof(in));
		CHECK_EQUAL(in, i + 1);
	}
	end();
}

static void send_until_killed(void *unused)
{
	sci_remote_data_interrupt_t r;
	char out[700];

	(void)unused;
	there = rig_hear_parent();
	number = rig_hear_parent();
	sd = rig_open();
	r = data_connected();
	memset(out, 1, sizeof(out));
	rig_tell_parent(1);
	for (;;)
		(void)SAYS(SCITriggerDataInterrupt, r, out, sizeof(out), 0);
}

static void senders_may_die_at_any_time(void)
{
	unsigned int length, sum;
	rig_peer_t senders[5];
	sci_remote_data_interrupt_t r;
	sci_error_t e;
	char out = 7;

	for (int i = 0; i < 5; i++)
		senders[i] = rig_here(send_until_killed, NULL);
	begin(CREATE_DATA);
	for (int i = 0; i < 5; i++) {
		rig_tell(senders[i], there);
		rig_tell(senders[i], number);
		rig_hear(senders[i]);
		for (int n = 0; n < 20; n++) {
			CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
			CHECK(length == 700 && sum == 700);
		}
		rig_kill(senders[i]);
	}
	/* what they have sent is there, whole */
	while ((e = wait_data_of(owner, 1000, &length, &sum)) == SCI_ERR_OK)
		CHECK(length == 700 && sum == 700);
	CHECK_EQUAL(e, SCI_ERR_TIMEOUT);
	r = data_connected();
	for (int i = 0; i < 600; i++) {
		OK(SCITriggerDataInterrupt, r, &out, 1, 0);
		CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
		CHECK(length == 1 && sum == 7);
	}
	end();
}

static void broadcasts_reach_all_nodes(void)
{
	rig_peer_t third = rig_there(3, own, NULL);
	sci_remote_data_interrupt_t all;
	unsigned int length, sum, in;
	sci_local_data_interrupt_t mine;
	unsigned char out[50];

	begin(CREATE_DATA);
	make(third, CREATE_DATA, SCI_FLAG_BROADCAST);
	NEED(SCICreateDataInterrupt, sd, &mine, 0, &number, NULL, NULL,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_BROADCAST);
	NEED(SCIConnectDataInterrupt, sd, &all, DIS_BROADCAST_NODEID_GROUP_ALL, 0, number, 0,
		SCI_FLAG_BROADCAST);
	memset(out, 2, sizeof(out));
	OK(SCITriggerDataInterrupt, all, out, sizeof(out), 0);
	CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
	CHECK(length == 50 && sum == 100);
	CHECK_EQUAL(wait_data_of(third, 5000, &length, &sum), SCI_ERR_OK);
	CHECK(length == 50 && sum == 100);
	length = sizeof(in);
	OK(SCIWaitForDataInterrupt, mine, &in, &length, 5000, 0);
	/* one that goes does not keep the others from it */
	rig_kill(third);
	for (int i = 0; i < 5; i++) {
		OK(SCITriggerDataInterrupt, all, out, sizeof(out), 0);
		CHECK_EQUAL(wait_data_of(owner, 5000, &length, &sum), SCI_ERR_OK);
		rig_sleep(10);
	}
	OK(SCIDisconnectDataInterrupt, all, 0);
	end();
}

/* trouble */

static void daemons_may_be_restarted(void)
{
	static const char *const restarts[] = {"RIG_NODE2_RESTART", "RIG_NODE1_RESTART"};
	sci_remote_data_interrupt_t d;
	sci_remote_interrupt_t r;
	unsigned int length, sum;
	char out[100];

	begin(CREATE_DATA);
	make(owner, CREATE, 0);
	d = data_connected();
	r = connected();
	memset(out, 1, sizeof(out));
	for (int i = 0; i < 2; i++) {
		OK(SCITriggerDataInterrupt, d, out, sizeof(out), 0);
		rig_cluster(restarts[i]);
		OK(SCITriggerDataInterrupt, d, out, sizeof(out), 0);
		for (int n = 0; n < 2; n++) {
			CHECK_EQUAL(wait_data_of(owner, 10000, &length, &sum), SCI_ERR_OK);
			CHECK(length == sizeof(out) && sum == sizeof(out));
		}
		CHECK_EQUAL(wait_data_of(owner, 20, &length, &sum), SCI_ERR_TIMEOUT);
		OK(SCITriggerInterrupt, r, 0);
		CHECK_EQUAL(wait_there(10000), SCI_ERR_OK);
		CHECK_EQUAL(wait_there(20), SCI_ERR_TIMEOUT);
	}
	OK(SCIDisconnectDataInterrupt, d, 0);
	end();
}

static void the_loss_of_the_node_ends_connections(void)
{
	sci_remote_data_interrupt_t d;
	sci_remote_interrupt_t r;
	char out = 1;

	begin(CREATE_DATA);
	d = data_connected();
	make(owner, CREATE, 0);
	r = connected();
	OK(SCITriggerInterrupt, r, 0);
	rig_cluster("RIG_NODE2_KILL");
	EVENTUALLY(SAYS(SCITriggerDataInterrupt, d, &out, 1, 0) == SCI_ERR_NOT_CONNECTED);
	EVENTUALLY(SAYS(SCITriggerInterrupt, r, 0) == SCI_ERR_NOT_CONNECTED);
	CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectInterrupt, sd, &r, there, 0, number, 0, 0);
	OK(SCIDisconnectInterrupt, r, 0);
	OK(SCIDisconnectDataInterrupt, d, 0);
	rig_cluster("RIG_NODE2_START");
	EVENTUALLY(SCIProbeNode(sd, 0, there, 0, &(sci_error_t){0}));
}

static const rig_test_t tests[] = {
	TEST(every_trigger_is_taken_once),
	TEST(missing_numbers_and_nodes_look_the_same),
	TEST(removal_there_ends_the_connection),
	TEST(the_owner_s_death_ends_the_connection),
	TEST(data_comes_before_the_interrupt),
	TEST(a_shared_number_outlives_its_first_handler),
	TEST(messages_come_in_order_and_whole),
	TEST(a_full_queue_is_nospc_and_goes_on),
	TEST(callbacks_on_both_sides_may_connect),
	TEST(senders_may_die_at_any_time),
	TEST(broadcasts_reach_all_nodes),
	TEST(daemons_may_be_restarted),
	TEST(the_loss_of_the_node_ends_connections),
};

RIG_MAIN(tests)
