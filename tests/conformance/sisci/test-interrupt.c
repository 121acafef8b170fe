/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: sisci.md §5.8, §6.4, traps T1, T3, T17, T18, T21, T22, T27.
 */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>

static sci_desc_t sd;
static unsigned int number;
static sci_local_interrupt_t local;
static sci_remote_interrupt_t remote;

static sci_remote_interrupt_t connected(unsigned int node)
{
	sci_remote_interrupt_t r = NULL;

	NEED(SCIConnectInterrupt, sd, &r, node, 0, number, SCI_INFINITE_TIMEOUT, 0);
	return r;
}

static void begin(void)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	remote = connected(rig_node());
}

static void numbers_are_fixed_or_chosen(void)
{
	unsigned int fixed[] = {0, 1, 9573, 0x30003}, chosen = 77, other = 78;
	sci_local_interrupt_t a, b;

	sd = rig_open();
	for (int i = 0; i < 4; i++) {
		unsigned int n = fixed[i];

		OK(SCICreateInterrupt, sd, &a, 0, &n, NULL, NULL, SCI_FLAG_FIXED_INTNO);
		CHECK_EQUAL(n, fixed[i]);
		CODE(SCI_ERR_INTNO_USED, SCICreateInterrupt, sd, &b, 0, &n, NULL, NULL,
			SCI_FLAG_FIXED_INTNO);
		OK(SCIRemoveInterrupt, a, 0);
	}
	OK(SCICreateInterrupt, sd, &a, 0, &chosen, NULL, NULL, 0);
	OK(SCICreateInterrupt, sd, &b, 0, &other, NULL, NULL, SCI_FLAG_COUNTING_INT);
	CHECK(chosen != other);
}

static void arguments_are_checked(void)
{
	sci_local_interrupt_t l = NULL;
	sci_remote_interrupt_t r = NULL;
	unsigned int n = rig_id();

	begin();
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateInterrupt, sd, NULL, 0, &n, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateInterrupt, sd, &l, 0, NULL, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateInterrupt, NULL, &l, 0, &n, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCICreateInterrupt, sd, &l, 0, &n, NULL, NULL,
		SCI_FLAG_USE_CALLBACK);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCICreateInterrupt, sd, &l, 5, &n, NULL, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIConnectInterrupt, sd, NULL, rig_node(), 0, number, 0, 0);
	CODE(SCI_ERR_ILLEGAL_NODEID, SCIConnectInterrupt, sd, &r, 3, 0, number, 0, 0);
	CODE(SCI_ERR_ILLEGAL_ADAPTERNO, SCIConnectInterrupt, sd, &r, rig_node(), 128, number, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIWaitForInterrupt, (sci_local_interrupt_t)remote, 0, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerInterrupt, (sci_remote_interrupt_t)local, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerInterrupt, NULL, 0);
	OK(SCIDisconnectInterrupt, remote, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIDisconnectInterrupt, remote, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerInterrupt, remote, 0);
	OK(SCIRemoveInterrupt, local, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveInterrupt, local, 0);
	CHECK(!l && !r);
}

/* T1, T3 */
static void a_missing_number_is_said_at_once(void)
{
	sci_remote_interrupt_t r;
	int64_t now;

	sd = rig_open();
	now = rig_now();
	CODE(SCI_ERR_NO_SUCH_INTNO, SCIConnectInterrupt, sd, &r, rig_node(), 0, rig_id(), 0, 0);
	CODE(SCI_ERR_NO_SUCH_SEGMENT, SCIConnectInterrupt, sd, &r, rig_node(), 0, rig_id(),
		SCI_INFINITE_TIMEOUT, 0);
	CHECK(rig_now() - now < 1000);
}

static void every_trigger_is_taken_once(void)
{
	begin();
	CODE(SCI_ERR_TIMEOUT, SCIWaitForInterrupt, local, 0, 0);
	for (int i = 0; i < 5; i++)
		OK(SCITriggerInterrupt, remote, 0);
	for (int i = 0; i < 5; i++)
		OK(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForInterrupt, local, 20, 0);
}

/* T17 */
static void nobody_need_wait(void)
{
	int64_t now;

	begin();
	now = rig_now();
	for (int i = 0; i < 200000; i++)
		OK(SCITriggerInterrupt, remote, 0);
	CHECK(rig_now() - now < 5000);
	/* T27 */
	OK(SCIRemoveInterrupt, local, 0);
	CHECK(SAYS(SCITriggerInterrupt, remote, 0) != SCI_ERR_OK);
	OK(SCIDisconnectInterrupt, remote, 0);
}

static void *wait_for_ever(void *data)
{
	sci_error_t *ret = data;

	SCIWaitForInterrupt(local, SCI_INFINITE_TIMEOUT, 0, ret);
	return NULL;
}

/* T18 */
static void removal_cancels_who_waits(void)
{
	sci_error_t e[3];
	pthread_t threads[3];

	begin();
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, wait_for_ever, &e[i]);
	rig_sleep(30);
	OK(SCIRemoveInterrupt, local, 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQUAL(e[i], SCI_ERR_CANCELLED);
	}
}

static void waiting_threads_can_be_cancelled(void)
{
	sci_error_t e;
	pthread_t thread;

	begin();
	for (int i = 0; i < 10; i++) {
		pthread_create(&thread, NULL, wait_for_ever, &e);
		rig_sleep(i % 4);
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	OK(SCITriggerInterrupt, remote, 0);
	OK(SCIWaitForInterrupt, local, 1000, 0);
	OK(SCIRemoveInterrupt, local, 0);
}

/* callbacks */

static atomic_int n_calls;
static sci_callback_action_t answer = SCI_CALLBACK_CONTINUE;

static sci_callback_action_t on_interrupt(void *arg, sci_local_interrupt_t i, sci_error_t status)
{
	CHECK(arg == &n_calls && status == SCI_ERR_OK && i != NULL);
	n_calls++;
	return answer;
}

static void begin_with_callback(unsigned int flags)
{
	sd = rig_open();
	number = rig_id();
	NEED(SCICreateInterrupt, sd, &local, 0, &number, on_interrupt, &n_calls,
		SCI_FLAG_FIXED_INTNO | flags);
	remote = connected(rig_node());
}

static void callbacks_count_every_trigger(void)
{
	begin_with_callback(SCI_FLAG_USE_CALLBACK | SCI_FLAG_COUNTING_INT);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIWaitForInterrupt, local, 0, 0);
	for (int i = 0; i < 1000; i++)
		OK(SCITriggerInterrupt, remote, 0);
	EVENTUALLY(n_calls == 1000);
	OK(SCIRemoveInterrupt, local, 0);
	rig_sleep(20);
	CHECK_EQUAL(n_calls, 1000);
}

static void a_cancelled_callback_is_called_no_more(void)
{
	answer = SCI_CALLBACK_CANCEL;
	begin_with_callback(SCI_FLAG_USE_CALLBACK);
	OK(SCITriggerInterrupt, remote, 0);
	EVENTUALLY(n_calls == 1);
	OK(SCITriggerInterrupt, remote, 0);
	rig_sleep(30);
	CHECK_EQUAL(n_calls, 1);
}

/* T22 */
static void a_callback_without_the_flag_is_ignored(void)
{
	begin_with_callback(0);
	OK(SCITriggerInterrupt, remote, 0);
	OK(SCIWaitForInterrupt, local, 1000, 0);
	CHECK_EQUAL(n_calls, 0);
}

/* T21 */
static void the_number_may_lie_in_a_segment(void)
{
	sci_local_segment_t segment;
	unsigned int *n;
	sci_map_t map;

	sd = rig_open();
	segment = rig_segment(sd, rig_id(), 4096);
	n = SCIMapLocalSegment(segment, &map, 0, 4096, NULL, 0, &(sci_error_t){0});
	OK(SCICreateInterrupt, sd, &local, 0, &n[7], NULL, NULL, 0);
	number = n[7];
	OK(SCITriggerInterrupt, connected(rig_node()), 0);
	OK(SCIWaitForInterrupt, local, 1000, 0);
}

static void shared_numbers_reach_all_handlers(void)
{
	sci_local_interrupt_t a, b, c;
	unsigned int n = rig_id();

	sd = rig_open();
	number = n;
	OK(SCICreateInterrupt, sd, &a, 0, &n, NULL, NULL,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_SHARED_INT);
	OK(SCICreateInterrupt, sd, &b, 0, &n, NULL, NULL,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_SHARED_INT);
	CODE(SCI_ERR_INTNO_USED, SCICreateInterrupt, sd, &c, 0, &n, NULL, NULL,
		SCI_FLAG_FIXED_INTNO);
	OK(SCICreateInterrupt, sd, &c, 0, &n, on_interrupt, &n_calls,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_SHARED_INT | SCI_FLAG_USE_CALLBACK);
	remote = connected(rig_node());
	for (int i = 0; i < 10; i++)
		OK(SCITriggerInterrupt, remote, 0);
	for (int i = 0; i < 10; i++) {
		OK(SCIWaitForInterrupt, a, 2000, 0);
		OK(SCIWaitForInterrupt, b, 2000, 0);
	}
	EVENTUALLY(n_calls == 10);
	OK(SCIRemoveInterrupt, b, 0);
	OK(SCITriggerInterrupt, remote, 0);
	OK(SCIWaitForInterrupt, a, 2000, 0);
}

static void has_number(void *data)
{
	(void)data;
	sd = rig_open();
	number = rig_hear_parent();
	NEED(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	rig_tell_parent(1);
	OK(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
	rig_tell_parent(2);
	rig_hear_parent();
}

static void the_death_of_the_owner_frees_the_number(void)
{
	rig_peer_t peer = rig_here(has_number, NULL);

	sd = rig_open();
	number = rig_id();
	rig_tell(peer, number);
	rig_hear(peer);
	remote = connected(rig_node());
	OK(SCITriggerInterrupt, remote, 0);
	CHECK_EQUAL(rig_hear(peer), 2);
	rig_kill(peer);
	EVENTUALLY(SAYS(SCITriggerInterrupt, remote, 0) == SCI_ERR_NOT_CONNECTED);
	OK(SCIDisconnectInterrupt, remote, 0);
	OK(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
}

static const rig_test_t tests[] = {
	TEST(numbers_are_fixed_or_chosen),
	TEST(arguments_are_checked),
	TEST(a_missing_number_is_said_at_once),
	TEST(every_trigger_is_taken_once),
	TEST(nobody_need_wait),
	TEST(removal_cancels_who_waits),
	TEST(waiting_threads_can_be_cancelled),
	TEST(callbacks_count_every_trigger),
	TEST(a_cancelled_callback_is_called_no_more),
	TEST(a_callback_without_the_flag_is_ignored),
	TEST(the_number_may_lie_in_a_segment),
	TEST(shared_numbers_reach_all_handlers),
	TEST(the_death_of_the_owner_frees_the_number),
};

RIG_MAIN(tests)
