/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to segments, waited for or by callback: sisci.md §6.3, §6.4, traps T18, T22, T33.
 */
#include "rig.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PAGE 4096u

static sci_desc_t sd;
static unsigned int id;
static sci_local_segment_t local;
static sci_remote_segment_t remote;

static void begin(void)
{
	sd = rig_open();
	id = rig_id();
	local = rig_segment(sd, id, PAGE);
}

#define LOCAL_EVENT(reason)                                                                        \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON;                                                \
		unsigned int node = 0, adapter = 99;                                               \
                                                                                                   \
		CHECK_EQUAL(                                                                       \
			SCIWaitForLocalSegmentEvent(local, &node, &adapter, 5000, 0, &rig_error),  \
			reason);                                                                   \
		CHECK_EQUAL(rig_error, SCI_ERR_OK);                                                \
		CHECK_EQUAL(node, rig_node());                                                     \
		CHECK_EQUAL(adapter, 0);                                                           \
	} while (0)

#define REMOTE_EVENT(segment, reason)                                                              \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON, status = RIG_POISON;                           \
                                                                                                   \
		CHECK_EQUAL(SCIWaitForRemoteSegmentEvent(segment, &status, 5000, 0, &rig_error),   \
			reason);                                                                   \
		CHECK_EQUAL(rig_error, SCI_ERR_OK);                                                \
		CHECK_EQUAL(status, SCI_ERR_OK);                                                   \
	} while (0)

static void the_owner_hears_of_connect_and_disconnect(void)
{
	sci_remote_segment_t a, b;

	begin();
	a = rig_connect(sd, rig_node(), id);
	b = rig_connect(sd, rig_node(), id);
	OK(SCIDisconnectSegment, a, 0);
	LOCAL_EVENT(SCI_CB_CONNECT);
	LOCAL_EVENT(SCI_CB_CONNECT);
	LOCAL_EVENT(SCI_CB_DISCONNECT);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 0, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 30, 0);
	OK(SCIDisconnectSegment, b, 0);
	OK(SCIWaitForLocalSegmentEvent, local, NULL, NULL, 5000, 0);
}

static void connect_and_wait(void *data)
{
	sd = rig_open();
	id = rig_hear_parent();
	(void)data;
	(void)rig_connect(sd, rig_node(), id);
	rig_tell_parent(1);
	rig_hear_parent();
}

static void the_owner_hears_of_a_process_that_dies(void)
{
	rig_peer_t peer = rig_here(connect_and_wait, NULL);

	begin();
	rig_tell(peer, id);
	LOCAL_EVENT(SCI_CB_CONNECT);
	rig_hear(peer);
	rig_kill(peer);
	LOCAL_EVENT(SCI_CB_DISCONNECT);
}

static void users_hear_when_the_segment_is_removed(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, rig_node(), id);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForRemoteSegmentEvent, r, NULL, 0, 0);
	OK(SCIRemoveSegment, local, 0);
	REMOTE_EVENT(r, SCI_CB_DISCONNECT);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForRemoteSegmentEvent, r, NULL, 30, 0);
	OK(SCIDisconnectSegment, r, 0);
}

static void unavailable_tells_users_only_if_asked_to(void)
{
	sci_remote_segment_t r;

	begin();
	r = rig_connect(sd, rig_node(), id);
	OK(SCISetSegmentUnavailable, local, 0, 0);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForRemoteSegmentEvent, r, NULL, 30, 0);
	OK(SCISetSegmentAvailable, local, 0, 0);
	OK(SCISetSegmentUnavailable, local, 0, SCI_FLAG_NOTIFY);
	REMOTE_EVENT(r, SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, r, 0);
}

static void forced_users_are_cut_off_and_told(void)
{
	sci_remote_segment_t r;
	sci_map_t map;

	begin();
	r = rig_connect(sd, rig_node(), id);
	OK(SCISetSegmentUnavailable, local, 0, SCI_FLAG_FORCE_DISCONNECT);
	REMOTE_EVENT(r, SCI_CB_DISCONNECT);
	CODE(SCI_ERR_NOT_CONNECTED, SCIMapRemoteSegment, r, &map, 0, PAGE, NULL, 0);
	OK(SCIDisconnectSegment, r, 0);
	LOCAL_EVENT(SCI_CB_CONNECT);
	LOCAL_EVENT(SCI_CB_DISCONNECT);
}

static void publish_and_wait(void *data)
{
	(void)data;
	(void)rig_segment(rig_open(), rig_hear_parent(), PAGE);
	rig_tell_parent(1);
	rig_hear_parent();
}

/* Decision 2 */
static void users_hear_of_an_owner_that_dies(void)
{
	rig_peer_t peer = rig_here(publish_and_wait, NULL);
	sci_remote_segment_t r;

	sd = rig_open();
	id = rig_id();
	rig_tell(peer, id);
	rig_hear(peer);
	r = rig_connect(sd, rig_node(), id);
	rig_kill(peer);
	REMOTE_EVENT(r, SCI_CB_DISCONNECT);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForRemoteSegmentEvent, r, NULL, 20, 0);
	OK(SCIDisconnectSegment, r, 0);
}

/* program I: once, and then it clears */
static void overflow_is_told_once(void)
{
	unsigned int n = 0;

	begin();
	for (int i = 0; i < 40; i++)
		OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
	/* the last one has been heard when something else is answered */
	CODE(SCI_ERR_NO_SUCH_SEGMENT, SCIConnectSegment, sd, &remote, rig_node(), id + 1, 0, NULL,
		NULL, 0, 0);
	CODE(SCI_ERR_OVERFLOW, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 0, 0);
	while (SAYS(SCIWaitForLocalSegmentEvent, local, NULL, NULL, 0, 0) == SCI_ERR_OK)
		n++;
	CHECK_EQUAL(n, MAX_CALLBACKS_EVENT);
	CODE(SCI_ERR_TIMEOUT, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 0, 0);
	OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
	LOCAL_EVENT(SCI_CB_CONNECT);
}

static void thirty_two_events_wait_without_overflow(void)
{
	begin();
	for (int i = 0; i < MAX_CALLBACKS_EVENT / 2; i++)
		OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
	for (int i = 0; i < MAX_CALLBACKS_EVENT / 2; i++) {
		LOCAL_EVENT(SCI_CB_CONNECT);
		LOCAL_EVENT(SCI_CB_DISCONNECT);
	}
}

/* waits, and who ends them */

static void *wait_local(void *data)
{
	sci_error_t *ret = data;

	(void)SCIWaitForLocalSegmentEvent(local, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, ret);
	return NULL;
}

static void *wait_remote(void *data)
{
	sci_error_t *ret = data;

	(void)SCIWaitForRemoteSegmentEvent(remote, NULL, SCI_INFINITE_TIMEOUT, 0, ret);
	return NULL;
}

/* T18 */
static void removal_cancels_who_waits(void)
{
	sci_error_t a[4], b = RIG_POISON;
	pthread_t threads[4], other;

	begin();
	remote = rig_connect(sd, rig_node(), id);
	OK(SCIWaitForLocalSegmentEvent, local, NULL, NULL, 5000, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_local, &a[i]);
	pthread_create(&other, NULL, wait_remote, &b);
	rig_sleep(50);
	OK(SCIDisconnectSegment, remote, 0);
	pthread_join(other, NULL);
	CHECK_EQUAL(b, SCI_ERR_CANCELLED);
	for (int i = 0; i < 200; i++) {
		/* also where the waiter is just about to sleep */
		if (i == 100)
			OK(SCIRemoveSegment, local, 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* one of them got the DISCONNECT */
	CHECK(a[0] == SCI_ERR_CANCELLED || a[1] == SCI_ERR_CANCELLED);
}

static void *wait_for_ever(void *data)
{
	(void)data;
	for (;;)
		(void)SCIWaitForLocalSegmentEvent(
			local, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, &(sci_error_t){0});
	return NULL;
}

static void *wait_asynchronously(void *data)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	return wait_for_ever(data);
}

/* §6.4 */
static void waiting_threads_can_be_cancelled(void)
{
	void *(*how[])(void *) = {wait_for_ever, wait_asynchronously};
	pthread_t thread;
	void *result;

	begin();
	for (int i = 0; i < 20; i++) {
		pthread_create(&thread, NULL, how[i % 2], NULL);
		rig_sleep(i % 5);
		CHECK(pthread_cancel(thread) == 0);
		pthread_join(thread, &result);
		CHECK(result == PTHREAD_CANCELED);
	}
	/* nothing is left behind */
	OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
	LOCAL_EVENT(SCI_CB_CONNECT);
	OK(SCIRemoveSegment, local, 0);
}

static atomic_int n_alarms;

static void on_alarm(int signal)
{
	(void)signal;
	n_alarms++;
}

static void signals_do_not_end_a_wait(void)
{
	struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
	int64_t now;

	begin();
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	now = rig_now();
	CODE(SCI_ERR_TIMEOUT, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 150, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK(rig_now() - now >= 140);
	CHECK(n_alarms > 0); /* on a busy machine they merge */
}

/* callbacks */

static atomic_int n_calls, last_reason, in_callback, worst;
static atomic_uint last_node;
static pthread_t callback_thread;
static sci_callback_action_t answer = SCI_CALLBACK_CONTINUE;

static sci_callback_action_t on_local(void *arg, sci_local_segment_t segment,
	sci_segment_cb_reason_t reason, unsigned int node, unsigned int adapter, sci_error_t error)
{
	sigset_t blocked;

	if (atomic_fetch_add(&in_callback, 1))
		worst = 1;
	CHECK(arg == &n_calls && adapter == 0 && error == SCI_ERR_OK);
	CHECK(segment == local || !local);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	CHECK(sigismember(&blocked, SIGALRM) && sigismember(&blocked, SIGINT));
	callback_thread = pthread_self();
	last_reason = (int)reason;
	last_node = node;
	n_calls++;
	in_callback--;
	return answer;
}

static void begin_with_callback(void)
{
	sd = rig_open();
	id = rig_id();
	NEED(SCICreateSegment, sd, &local, id, PAGE, on_local, &n_calls, SCI_FLAG_USE_CALLBACK);
	NEED(SCIPrepareSegment, local, 0, 0);
	NEED(SCISetSegmentAvailable, local, 0, 0);
}

static void callbacks_run_in_order_on_a_thread_of_their_own(void)
{
	begin_with_callback();
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIWaitForLocalSegmentEvent, local, NULL, NULL, 0, 0);
	for (int i = 0; i < 10; i++) {
		remote = rig_connect(sd, rig_node(), id);
		EVENTUALLY(n_calls == 2 * i + 1);
		CHECK(last_reason == SCI_CB_CONNECT && last_node == rig_node());
		OK(SCIDisconnectSegment, remote, 0);
		EVENTUALLY(n_calls == 2 * i + 2);
		CHECK(last_reason == SCI_CB_DISCONNECT);
	}
	CHECK(!pthread_equal(callback_thread, pthread_self()) && !worst);
}

static void a_cancelled_callback_is_called_no_more(void)
{
	answer = SCI_CALLBACK_CANCEL;
	begin_with_callback();
	remote = rig_connect(sd, rig_node(), id);
	EVENTUALLY(n_calls == 1);
	OK(SCIDisconnectSegment, remote, 0);
	OK(SCIDisconnectSegment, rig_connect(sd, rig_node(), id), 0);
	rig_sleep(50);
	CHECK_EQUAL(n_calls, 1);
	OK(SCIRemoveSegment, local, 0);
}

static void no_callback_begins_after_removal(void)
{
	for (int i = 0; i < 30; i++) {
		begin_with_callback();
		remote = rig_connect(sd, rig_node(), id);
		OK(SCIRemoveSegment, local, 0);
		local = NULL;
		n_calls = 0;
		OK(SCIDisconnectSegment, remote, 0);
		CHECK_EQUAL(n_calls, 0);
	}
}

/* T22 */
static void a_callback_without_the_flag_is_ignored(void)
{
	sd = rig_open();
	id = rig_id();
	NEED(SCICreateSegment, sd, &local, id, PAGE, on_local, &n_calls, 0);
	NEED(SCIPrepareSegment, local, 0, 0);
	NEED(SCISetSegmentAvailable, local, 0, 0);
	(void)rig_connect(sd, rig_node(), id);
	LOCAL_EVENT(SCI_CB_CONNECT);
	CHECK_EQUAL(n_calls, 0);
}

static sci_callback_action_t remove_self(void *arg, sci_local_segment_t segment,
	sci_segment_cb_reason_t reason, unsigned int node, unsigned int adapter, sci_error_t error)
{
	sci_error_t e;

	(void)arg, (void)reason, (void)node, (void)adapter, (void)error;
	SCIRemoveSegment(segment, 0, &e);
	CHECK(e == SCI_ERR_OK || e == SCI_ERR_BUSY);
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

static void a_callback_may_remove_its_own_segment(void)
{
	sci_remote_segment_t r;

	sd = rig_open();
	id = rig_id();
	NEED(SCICreateSegment, sd, &local, id, PAGE, remove_self, NULL, SCI_FLAG_USE_CALLBACK);
	NEED(SCIPrepareSegment, local, 0, 0);
	NEED(SCISetSegmentAvailable, local, 0, 0);
	r = rig_connect(sd, rig_node(), id);
	EVENTUALLY(n_calls == 1);
	OK(SCIDisconnectSegment, r, 0);
	/* the thread lives on */
	local = NULL;
	n_calls = 0;
	begin_with_callback();
	(void)rig_connect(sd, rig_node(), id);
	EVENTUALLY(n_calls == 1);
}

/* program C: nearly every function from inside; T33: connects are served while callbacks run */
static sci_callback_action_t make_another(void *arg, sci_local_segment_t segment,
	sci_segment_cb_reason_t reason, unsigned int node, unsigned int adapter, sci_error_t error)
{
	sci_local_segment_t other;
	sci_remote_segment_t r;
	sci_map_t map;
	char *p;

	(void)arg, (void)segment, (void)reason, (void)adapter, (void)error;
	if (n_calls++ > 0)
		return SCI_CALLBACK_CONTINUE;
	other = rig_segment(sd, id + 1, PAGE);
	r = rig_connect(sd, node, id + 1);
	p = (char *)SCIMapRemoteSegment(r, &map, 0, PAGE, NULL, 0, &error);
	NEED_TRUE(p);
	p[0] = 1;
	OK(SCIUnmapSegment, map, 0);
	OK(SCIDisconnectSegment, r, 0);
	OK(SCIWaitForLocalSegmentEvent, other, NULL, NULL, 5000, 0);
	OK(SCIRemoveSegment, other, 0);
	OK(SCIDisconnectSegment, rig_connect(sd, node, id), 0);
	n_calls = 1000;
	return SCI_CALLBACK_CONTINUE;
}

static void a_callback_may_call_everything(void)
{
	sd = rig_open();
	id = rig_id();
	NEED(SCICreateSegment, sd, &local, id, PAGE, make_another, NULL, SCI_FLAG_USE_CALLBACK);
	NEED(SCIPrepareSegment, local, 0, 0);
	NEED(SCISetSegmentAvailable, local, 0, 0);
	(void)rig_connect(sd, rig_node(), id);
	EVENTUALLY(n_calls >= 1002);
}

static sci_callback_action_t on_remote(
	void *arg, sci_remote_segment_t segment, sci_segment_cb_reason_t reason, sci_error_t status)
{
	(void)arg, (void)segment;
	CHECK_EQUAL(status, SCI_ERR_OK);
	last_reason = (int)reason;
	n_calls++;
	return SCI_CALLBACK_CONTINUE;
}

static void remote_segments_have_callbacks(void)
{
	begin();
	NEED(SCIConnectSegment, sd, &remote, rig_node(), id, 0, on_remote, NULL, 0,
		SCI_FLAG_USE_CALLBACK | SCI_FLAG_ASYNCHRONOUS_CONNECT);
	CODE(SCI_ERR_ILLEGAL_OPERATION, SCIWaitForRemoteSegmentEvent, remote, NULL, 0, 0);
	EVENTUALLY(n_calls == 1);
	CHECK_EQUAL(last_reason, SCI_CB_CONNECT);
	OK(SCIRemoveSegment, local, 0);
	EVENTUALLY(n_calls == 2);
	CHECK_EQUAL(last_reason, SCI_CB_DISCONNECT);
	OK(SCIDisconnectSegment, remote, 0);
}

static void two_hundred_segments_have_callbacks(void)
{
	sci_local_segment_t s[200];
	sci_remote_segment_t r[200];

	sd = rig_open();
	id = rig_id() * 1000;
	for (unsigned int i = 0; i < 200; i++) {
		NEED(SCICreateSegment, sd, &s[i], id + i, PAGE, on_local, &n_calls,
			SCI_FLAG_USE_CALLBACK);
		NEED(SCIPrepareSegment, s[i], 0, 0);
		NEED(SCISetSegmentAvailable, s[i], 0, 0);
	}
	for (unsigned int i = 0; i < 200; i++)
		r[i] = rig_connect(sd, rig_node(), id + i);
	EVENTUALLY(n_calls == 200);
	for (unsigned int i = 0; i < 200; i++)
		OK(SCIDisconnectSegment, r[i], 0);
	EVENTUALLY(n_calls == 400);
	CHECK(!worst);
}

static const rig_test_t tests[] = {
	TEST(the_owner_hears_of_connect_and_disconnect),
	TEST(the_owner_hears_of_a_process_that_dies),
	TEST(users_hear_when_the_segment_is_removed),
	TEST(unavailable_tells_users_only_if_asked_to),
	TEST(forced_users_are_cut_off_and_told),
	TEST(users_hear_of_an_owner_that_dies),
	TEST(overflow_is_told_once),
	TEST(thirty_two_events_wait_without_overflow),
	TEST(removal_cancels_who_waits),
	TEST(waiting_threads_can_be_cancelled),
	TEST(signals_do_not_end_a_wait),
	TEST(callbacks_run_in_order_on_a_thread_of_their_own),
	TEST(a_cancelled_callback_is_called_no_more),
	TEST(no_callback_begins_after_removal),
	TEST(a_callback_without_the_flag_is_ignored),
	TEST(a_callback_may_remove_its_own_segment),
	TEST(a_callback_may_call_everything),
	TEST(remote_segments_have_callbacks),
	TEST(two_hundred_segments_have_callbacks),
};

RIG_MAIN(tests)
