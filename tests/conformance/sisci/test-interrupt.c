/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: sisci.md §5.8, §6.4, traps T1, T3, T17 – T19, T21, T22, T27.
 */
#include "rig.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

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

static atomic_int n_waiting;

static void *wait_for_ever(void *data)
{
	sci_error_t *ret = data;

	n_waiting++;
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
	EVENTUALLY(n_waiting == 3);
	rig_sleep(100);
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

/* Another process that has the number, shared; says each trigger that it got. */
static void shares_number(void *data)
{
	(void)data;
	sd = rig_open();
	number = rig_hear_parent();
	NEED(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL,
		SCI_FLAG_FIXED_INTNO | SCI_FLAG_SHARED_INT);
	rig_tell_parent(1);
	while (rig_hear_parent())
		rig_tell_parent(SAYS(SCIWaitForInterrupt, local, 5000, 0));
}

static void begin_shared(rig_peer_t *peers, int n)
{
	sd = rig_open();
	number = rig_id();
	for (int i = 0; i < n; i++) {
		rig_tell(peers[i], number);
		CHECK_EQUAL(rig_hear(peers[i]), 1);
	}
	remote = connected(rig_node());
}

static unsigned int waits(rig_peer_t peer)
{
	rig_tell(peer, 1);
	return rig_hear(peer);
}

static void processes_may_share_a_number(void)
{
	rig_peer_t peers[3];
	unsigned int n;

	for (int i = 0; i < 3; i++)
		peers[i] = rig_here(shares_number, NULL);
	begin_shared(peers, 3);
	n = number;
	CODE(SCI_ERR_INTNO_USED, SCICreateInterrupt, sd, &local, 0, &n, NULL, NULL,
		SCI_FLAG_FIXED_INTNO);
	for (int round = 0; round < 20; round++) {
		OK(SCITriggerInterrupt, remote, 0);
		for (int i = 0; i < 3; i++)
			CHECK_EQUAL(waits(peers[i]), SCI_ERR_OK);
	}
}

/* Until the last one: triggers go to those who are left. */
static void handlers_who_share_may_die(void)
{
	rig_peer_t peers[4];
	bool got;

	for (int i = 0; i < 4; i++)
		peers[i] = rig_here(shares_number, NULL);
	begin_shared(peers, 4);
	for (int dead = 0; dead < 4; dead++) {
		got = false;
		for (int i = 0; i < 1000 && !got; i++) {
			got = SAYS(SCITriggerInterrupt, remote, 0) == SCI_ERR_OK;
			if (!got)
				rig_sleep(5);
		}
		CHECK(got);
		CHECK_EQUAL(waits(peers[dead]), SCI_ERR_OK);
		rig_kill(peers[dead]);
	}
	EVENTUALLY(SAYS(SCITriggerInterrupt, remote, 0) == SCI_ERR_NOT_CONNECTED);
	OK(SCIDisconnectInterrupt, remote, 0);
	OK(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
}

static void removal_of_one_leaves_the_number_to_the_others(void)
{
	unsigned int flags = SCI_FLAG_FIXED_INTNO | SCI_FLAG_SHARED_INT;
	sci_local_interrupt_t first, second;

	sd = rig_open();
	number = rig_id();
	OK(SCICreateInterrupt, sd, &first, 0, &number, NULL, NULL, flags);
	OK(SCICreateInterrupt, sd, &second, 0, &number, NULL, NULL, flags);
	remote = connected(rig_node());
	for (int i = 0; i < 10; i++)
		OK(SCITriggerInterrupt, remote, 0);
	/* what has come is theirs all the same */
	OK(SCIRemoveInterrupt, first, 0);
	for (int i = 0; i < 10; i++)
		OK(SCIWaitForInterrupt, second, 2000, 0);
	EVENTUALLY(SAYS(SCITriggerInterrupt, remote, 0) == SCI_ERR_OK);
	OK(SCIWaitForInterrupt, second, 2000, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForInterrupt, second, 20, 0);
	OK(SCIRemoveInterrupt, second, 0);
	CODE(SCI_ERR_NOT_CONNECTED, SCITriggerInterrupt, remote, 0);
}

/* A number that somebody else has taken since is not the one that was connected. */
static void a_number_that_is_not_shared_ends_with_its_owner(void)
{
	begin();
	OK(SCIRemoveInterrupt, local, 0);
	OK(SCICreateInterrupt, sd, &local, 0, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	CODE(SCI_ERR_NOT_CONNECTED, SCITriggerInterrupt, remote, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForInterrupt, local, 20, 0);
}

static atomic_int n_taken;

static void *take_all(void *data)
{
	(void)data;
	while (SAYS(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0) == SCI_ERR_OK)
		n_taken++;
	return NULL;
}

static void threads_that_wait_take_each_trigger_once(void)
{
	pthread_t threads[4];

	begin();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_all, NULL);
	for (int i = 0; i < 2000; i++) {
		OK(SCITriggerInterrupt, remote, 0);
		if (i % 100 == 0)
			rig_sleep(1);
	}
	EVENTUALLY(n_taken == 2000);
	OK(SCIRemoveInterrupt, local, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQUAL(n_taken, 2000);
}

static sci_callback_action_t remove_it(void *arg, sci_local_interrupt_t i, sci_error_t status)
{
	(void)arg;
	CHECK_EQUAL(status, SCI_ERR_OK);
	OK(SCIRemoveInterrupt, i, 0);
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

/* §6.4: no dead-lock, and no call after it */
static void a_callback_may_remove_its_interrupt(void)
{
	sd = rig_open();
	for (int i = 1; i <= 20; i++) {
		number = rig_id();
		NEED(SCICreateInterrupt, sd, &local, 0, &number, remove_it, NULL,
			SCI_FLAG_FIXED_INTNO | SCI_FLAG_USE_CALLBACK |
				(i % 2 ? SCI_FLAG_SHARED_INT : 0));
		remote = connected(rig_node());
		OK(SCITriggerInterrupt, remote, 0);
		(void)SAYS(SCITriggerInterrupt, remote, 0);
		EVENTUALLY(n_calls == i);
		EVENTUALLY(SAYS(SCITriggerInterrupt, remote, 0) == SCI_ERR_NOT_CONNECTED);
		CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIRemoveInterrupt, local, 0);
	}
	CHECK_EQUAL(n_calls, 20);
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void signals_do_not_end_a_wait(void)
{
	struct itimerval often = {{0, 2000}, {0, 2000}};
	int64_t now;

	signal(SIGALRM, on_alarm);
	begin();
	setitimer(ITIMER_REAL, &often, NULL);
	now = rig_now();
	CODE(SCI_ERR_TIMEOUT, SCIWaitForInterrupt, local, 100, 0);
	CHECK(rig_now() - now >= 99);
	for (int i = 0; i < 1000; i++) {
		OK(SCITriggerInterrupt, remote, 0);
		OK(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
	}
}

/* T19 */
static void what_is_left_behind_is_released(void)
{
	unsigned int n;

	begin();
	n = number;
	OK(SCIClose, sd, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCITriggerInterrupt, remote, 0);
	OK(SCIOpen, &sd, 0);
	OK(SCICreateInterrupt, sd, &local, 0, &n, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	SCITerminate();
	sd = rig_open();
	OK(SCICreateInterrupt, sd, &local, 0, &n, NULL, NULL, SCI_FLAG_FIXED_INTNO);
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
	TEST(processes_may_share_a_number),
	TEST(handlers_who_share_may_die),
	TEST(removal_of_one_leaves_the_number_to_the_others),
	TEST(a_number_that_is_not_shared_ends_with_its_owner),
	TEST(threads_that_wait_take_each_trigger_once),
	TEST(a_callback_may_remove_its_interrupt),
	TEST(signals_do_not_end_a_wait),
	TEST(what_is_left_behind_is_released),
	TEST(the_death_of_the_owner_frees_the_number),
};

RIG_MAIN(tests)
