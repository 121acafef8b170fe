/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data interrupts: sisci.md §5.8, Decision 4, traps T1, T15, T16, T19, T20, T22, T27.
 */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static sci_desc_t sd;
static unsigned int number;
static sci_local_data_interrupt_t local;
static sci_remote_data_interrupt_t remote;
static char abc[4] = "abc";

static sci_remote_data_interrupt_t connected(unsigned int node)
{
	sci_remote_data_interrupt_t r = NULL;

	NEED(SCIConnectDataInterrupt, sd, &r, node, 0, number, 0, 0);
	return r;
}

static void begin(void)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateDataInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	remote = connected(rig_node());
}

static void arguments_are_checked(void)
{
	sci_local_data_interrupt_t l = NULL;
	sci_remote_data_interrupt_t r = NULL;
	unsigned int n = rig_id(), length = 1;
	char data[8192] = "";

	begin();
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateDataInterrupt, sd, NULL, 0, &n, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateDataInterrupt, sd, &l, 0, NULL, NULL, NULL, 0);
	CODE(SCI_ERR_INTNO_USED, SCICreateDataInterrupt, sd, &l, 0, &number, NULL, NULL,
		SCI_FLAG_FIXED_INTNO);
	CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectDataInterrupt, sd, &r, rig_node(), 0, rig_id(), 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIConnectDataInterrupt, sd, NULL, rig_node(), 0, number, 0,
		0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerDataInterrupt, remote, NULL, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerDataInterrupt, remote, data, sizeof(data), 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerDataInterrupt, NULL, data, 1, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForDataInterrupt, local, data, NULL, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForDataInterrupt, local, NULL, &length, 0, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForDataInterrupt, local, data, &length, 0, 0);
	OK(SCIDisconnectDataInterrupt, remote, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIDisconnectDataInterrupt, remote, 0);
	OK(SCIRemoveDataInterrupt, local, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveDataInterrupt, local, 0);
	CHECK(!l && !r);
}

/* plain and data numbers are apart */
static void both_kinds_may_have_the_same_number(void)
{
	sci_local_interrupt_t plain;

	begin();
	OK(SCICreateInterrupt, sd, &plain, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
}

/* T15, T20 */
static void messages_come_in_order_and_whole(void)
{
	unsigned char out[4096], in[4096];
	unsigned int length;

	begin();
	for (unsigned int size = 1, n = 0; size <= 4096; size = size * 2 + (n++ % 2 ? 1 : 0)) {
		memset(out, (int)size, sizeof(out));
		OK(SCITriggerDataInterrupt, remote, out, size, 0);
	}
	for (unsigned int size = 1, n = 0; size <= 4096; size = size * 2 + (n++ % 2 ? 1 : 0)) {
		memset(out, (int)size, sizeof(out));
		length = sizeof(in);
		OK(SCIWaitForDataInterrupt, local, in, &length, 1000, 0);
		CHECK_EQUAL(length, size);
		CHECK(!memcmp(in, out, length));
	}
	/* what does not fit is cut */
	OK(SCITriggerDataInterrupt, remote, out, 100, 0);
	length = 10;
	OK(SCIWaitForDataInterrupt, local, in, &length, 1000, 0);
	CHECK_EQUAL(length, 10);
	length = sizeof(in);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForDataInterrupt, local, in, &length, 10, 0);
	OK(SCITriggerDataInterrupt, remote, NULL, 0, 0);
	OK(SCIWaitForDataInterrupt, local, in, &length, 1000, 0);
	CHECK_EQUAL(length, 0);
}

/* T16, Decision 4 */
static void a_full_queue_is_nospc(void)
{
	char message[4096];
	unsigned int length;
	sci_error_t e;
	int n = 0;

	begin();
	memset(message, 'm', sizeof(message));
	while ((e = SAYS(SCITriggerDataInterrupt, remote, message, sizeof(message), 0)) ==
		SCI_ERR_OK)
		n++;
	CHECK_EQUAL(e, SCI_ERR_NOSPC);
	CHECK_EQUAL(n, 256);
	for (int i = 0; i < 10000; i++)
		CODE(SCI_ERR_NOSPC, SCITriggerDataInterrupt, remote, message, 1, 0);
	length = sizeof(message);
	OK(SCIWaitForDataInterrupt, local, message, &length, 0, 0);
	OK(SCITriggerDataInterrupt, remote, message, 1, 0);
	CODE(SCI_ERR_NOSPC, SCITriggerDataInterrupt, remote, message, 1, 0);
	while (n-- > 0) {
		length = sizeof(message);
		OK(SCIWaitForDataInterrupt, local, message, &length, 0, 0);
	}
	CODE(SCI_ERR_TIMEOUT, SCIWaitForDataInterrupt, local, message, &length, 0, 0);
	OK(SCIRemoveDataInterrupt, local, 0);
}

static void a_hundred_thousand_messages_pass(void)
{
	unsigned int in[20], length, sent = 0, got = 0;

	begin();
	while (got < 100000) {
		unsigned int out[20] = {sent};

		if (sent < 100000 &&
			SAYS(SCITriggerDataInterrupt, remote, out, 4 + sent % 76, 0) == SCI_ERR_OK)
			sent++;
		length = sizeof(in);
		if (SAYS(SCIWaitForDataInterrupt, local, in, &length, 0, 0) != SCI_ERR_OK)
			continue;
		CHECK_EQUAL(in[0], got);
		CHECK_EQUAL(length, 4 + got % 76);
		got++;
	}
}

static void many_may_send(void)
{
	sci_remote_data_interrupt_t r[60];
	unsigned int from, length, seen = 0;

	begin();
	for (unsigned int i = 0; i < 60; i++)
		r[i] = connected(rig_node());
	for (unsigned int i = 0; i < 60; i++)
		OK(SCITriggerDataInterrupt, r[i], &i, sizeof(i), 0);
	for (unsigned int i = 0; i < 60; i++) {
		length = sizeof(from);
		OK(SCIWaitForDataInterrupt, local, &from, &length, 1000, 0);
		seen += from;
	}
	CHECK_EQUAL(seen, 59 * 60 / 2);
	for (unsigned int i = 0; i < 60; i++)
		OK(SCIDisconnectDataInterrupt, r[i], 0);
	/* messages of who has left are not lost, and his place is used again */
	for (unsigned int i = 0; i < 100; i++) {
		sci_remote_data_interrupt_t one = connected(rig_node());

		OK(SCITriggerDataInterrupt, one, &i, sizeof(i), 0);
		OK(SCIDisconnectDataInterrupt, one, 0);
	}
	for (unsigned int i = 0; i < 100; i++) {
		length = sizeof(from);
		OK(SCIWaitForDataInterrupt, local, &from, &length, 1000, 0);
	}
}

static atomic_int n_calls, wrong;

static sci_callback_action_t on_data(void *arg, sci_local_data_interrupt_t interrupt, void *data,
	unsigned int length, sci_error_t status)
{
	if (arg != &n_calls || !interrupt || status != SCI_ERR_OK || length != sizeof(int) ||
		*(int *)data != n_calls)
		wrong = 1;
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

static void callbacks_get_every_message(void)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateDataInterrupt, sd, &local, 0, &number, on_data, &n_calls,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_USE_CALLBACK);
	remote = connected(rig_node());
	for (int i = 0; i < 2000; i++)
		while (SAYS(SCITriggerDataInterrupt, remote, &i, sizeof(i), 0) == SCI_ERR_NOSPC)
			rig_sleep(1);
	EVENTUALLY(n_calls == 2000);
	CHECK(!wrong);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIWaitForDataInterrupt, local, &wrong, &(unsigned int){4},
		0, 0);
	OK(SCIRemoveDataInterrupt, local, 0);
}

/* T22: the queue fills */
static void a_callback_without_the_flag_is_ignored(void)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateDataInterrupt, sd, &local, 0, &number, on_data, &n_calls,
		SCI_FLAG_FIXED_INTNO);
	remote = connected(rig_node());
	while (SAYS(SCITriggerDataInterrupt, remote, &wrong, 4, 0) == SCI_ERR_OK)
		;
	CODE(SCI_ERR_NOSPC, SCITriggerDataInterrupt, remote, &wrong, 4, 0);
	CHECK_EQUAL(n_calls, 0);
}

static atomic_int n_waiting;

static void *wait_for_ever(void *data)
{
	unsigned int length = 4;
	int value;

	n_waiting++;
	SCIWaitForDataInterrupt(local, &value, &length, SCI_INFINITE_TIMEOUT, 0, data);
	return NULL;
}

/* T27 */
static void removal_cancels_who_waits(void)
{
	pthread_t thread;
	sci_error_t e;

	begin();
	pthread_create(&thread, NULL, wait_for_ever, &e);
	EVENTUALLY(n_waiting == 1);
	rig_sleep(100);
	OK(SCIRemoveDataInterrupt, local, 0);
	pthread_join(thread, NULL);
	CHECK_EQUAL(e, SCI_ERR_CANCELLED);
	CODE(SCI_ERR_NOT_CONNECTED, SCITriggerDataInterrupt, remote, &e, 4, 0);
	OK(SCIDisconnectDataInterrupt, remote, 0);
}

static void broadcasts_reach_this_node(void)
{
	unsigned int in, out = 5, length = sizeof(in);
	sci_remote_data_interrupt_t all;

	begin();
	OK(SCIConnectDataInterrupt, sd, &all, DIS_BROADCAST_NODEID_GROUP_ALL, 0, number, 0,
		SCI_FLAG_BROADCAST);
	OK(SCITriggerDataInterrupt, all, &out, sizeof(out), 0);
	OK(SCIWaitForDataInterrupt, local, &in, &length, 1000, 0);
	CHECK_EQUAL(in, out);
	OK(SCIDisconnectDataInterrupt, all, 0);
	CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectDataInterrupt, sd, &all,
		DIS_BROADCAST_NODEID_GROUP_ALL, 0, rig_id(), 0, SCI_FLAG_BROADCAST);
}

/* Each message once, and what one thread gets is in order. */
static atomic_int n_taken, out_of_order;

static void *take_all(void *unused)
{
	unsigned int in, length = sizeof(in), last = 0;

	(void)unused;
	while (SAYS(SCIWaitForDataInterrupt, local, &in, &length, SCI_INFINITE_TIMEOUT, 0) ==
		SCI_ERR_OK) {
		if (in <= last)
			out_of_order = 1;
		last = in;
		n_taken++;
	}
	return NULL;
}

static void threads_that_wait_take_each_message_once(void)
{
	pthread_t threads[4];

	begin();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_all, NULL);
	for (unsigned int i = 1; i <= 5000; i++) {
		while (SAYS(SCITriggerDataInterrupt, remote, &i, sizeof(i), 0) == SCI_ERR_NOSPC)
			rig_sleep(1);
		if (i % 500 == 0)
			rig_sleep(2);
	}
	EVENTUALLY(n_taken == 5000);
	OK(SCIRemoveDataInterrupt, local, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(n_taken == 5000 && !out_of_order);
}

static void waiting_threads_can_be_cancelled(void)
{
	unsigned int in, length = sizeof(in);
	pthread_t thread;
	sci_error_t e;

	begin();
	for (int i = 0; i < 10; i++) {
		pthread_create(&thread, NULL, wait_for_ever, &e);
		rig_sleep(i % 4);
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	OK(SCITriggerDataInterrupt, remote, abc, 4, 0);
	OK(SCIWaitForDataInterrupt, local, &in, &length, 1000, 0);
	OK(SCIRemoveDataInterrupt, local, 0);
}

static void there_are_256_connections(void)
{
	sci_remote_data_interrupt_t r[256], more;
	unsigned int in, length = sizeof(in);

	begin();
	r[0] = remote;
	for (int i = 1; i < 256; i++)
		r[i] = connected(rig_node());
	CODE(SCI_ERR_NOSPC, SCIConnectDataInterrupt, sd, &more, rig_node(), 0, number, 0, 0);
	for (unsigned int i = 0; i < 256; i++)
		OK(SCITriggerDataInterrupt, r[i], &i, sizeof(i), 0);
	for (unsigned int i = 0; i < 256; i++) {
		OK(SCIWaitForDataInterrupt, local, &in, &length, 1000, 0);
		CHECK_EQUAL(in, i);
	}
	OK(SCIDisconnectDataInterrupt, r[77], 0);
	r[77] = connected(rig_node());
	OK(SCITriggerDataInterrupt, r[77], &in, sizeof(in), 0);
	OK(SCIWaitForDataInterrupt, local, &in, &length, 1000, 0);
}

static sci_callback_action_t remove_it(void *arg, sci_local_data_interrupt_t interrupt, void *data,
	unsigned int length, sci_error_t status)
{
	(void)arg;
	(void)status;
	OK(SCIRemoveDataInterrupt, interrupt, 0);
	/* the message is there as long as the callback runs */
	CHECK(length == 4 && !memcmp(data, "abc", 4));
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

static void a_callback_may_remove_its_interrupt(void)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateDataInterrupt, sd, &local, 0, &number, remove_it, NULL,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_USE_CALLBACK);
	remote = connected(rig_node());
	for (int i = 0; i < 3; i++)
		(void)SAYS(SCITriggerDataInterrupt, remote, abc, 4, 0);
	EVENTUALLY(n_calls == 1);
	EVENTUALLY(SAYS(SCITriggerDataInterrupt, remote, abc, 4, 0) == SCI_ERR_NOT_CONNECTED);
	CHECK_EQUAL(n_calls, 1);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveDataInterrupt, local, 0);
}

/* Program E creates many of them: memory is for what is used. */
static void five_hundred_cost_little(void)
{
	sci_local_data_interrupt_t l;
	unsigned int n;

	sd = rig_open();
	for (int i = 0; i < 500; i++)
		OK(SCICreateDataInterrupt, sd, &l, 0, &n, NULL, NULL, 0);
}

static void send_until_killed(void *unused)
{
	unsigned char out[700];

	(void)unused;
	number = rig_hear_parent();
	sd = rig_open();
	remote = connected(rig_node());
	rig_tell_parent(1);
	for (unsigned char i = 0;; i++) {
		memset(out, i, sizeof(out));
		(void)SAYS(SCITriggerDataInterrupt, remote, out, 1 + i * 2, 0);
	}
}

static bool is_whole(const unsigned char *in, unsigned int length)
{
	for (unsigned int i = 0; i < length; i++)
		if (in[i] != in[0])
			return false;
	return length == 1 + in[0] * 2u;
}

/* T19: whatever a sender was doing, messages are whole, and his place is good for the next one. */
static void senders_may_die_at_any_time(void)
{
	unsigned char in[1000];
	unsigned int length;
	rig_peer_t senders[8];
	sci_error_t e;

	for (int i = 0; i < 8; i++)
		senders[i] = rig_here(send_until_killed, NULL);
	begin();
	OK(SCIDisconnectDataInterrupt, remote, 0);
	for (int i = 0; i < 8; i++) {
		rig_tell(senders[i], number);
		rig_hear(senders[i]);
		for (int n = 0; n < 300 + 37 * i; n++) {
			length = sizeof(in);
			OK(SCIWaitForDataInterrupt, local, in, &length, 5000, 0);
			CHECK(is_whole(in, length));
		}
		rig_kill(senders[i]);
	}
	do {
		length = sizeof(in);
		e = SAYS(SCIWaitForDataInterrupt, local, in, &length, 0, 0);
	} while (e == SCI_ERR_OK && is_whole(in, length));
	CHECK_EQUAL(e, SCI_ERR_TIMEOUT);
	remote = connected(rig_node());
	for (int i = 0; i < 600; i++) {
		OK(SCITriggerDataInterrupt, remote, abc, 4, 0);
		length = sizeof(in);
		OK(SCIWaitForDataInterrupt, local, in, &length, 1000, 0);
		CHECK(length == 4 && !memcmp(in, abc, 4));
	}
}

static const rig_test_t tests[] = {
	TEST(arguments_are_checked),
	TEST(both_kinds_may_have_the_same_number),
	TEST(messages_come_in_order_and_whole),
	TEST(a_full_queue_is_nospc),
	TEST(a_hundred_thousand_messages_pass),
	TEST(many_may_send),
	TEST(callbacks_get_every_message),
	TEST(a_callback_without_the_flag_is_ignored),
	TEST(removal_cancels_who_waits),
	TEST(broadcasts_reach_this_node),
	TEST(threads_that_wait_take_each_message_once),
	TEST(waiting_threads_can_be_cancelled),
	TEST(there_are_256_connections),
	TEST(a_callback_may_remove_its_interrupt),
	TEST(five_hundred_cost_little),
	TEST(senders_may_die_at_any_time),
};

RIG_MAIN(tests)
