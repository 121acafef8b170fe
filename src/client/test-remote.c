/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/import.h"
#include "client/remote.h"
#include "client/route.h"
#include "client/test-home.h"

#define RW (WIRE_READ | WIRE_WRITE)

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

static struct home home;

static int start(void **state)
{
	home_start(&home);
	return 0;
}

static int stop(void **state)
{
	home_stop(&home);
	return 0;
}

static int connect_rw(cw_handle *ret_handle)
{
	return cw_import_connect(
		WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, HOME_NODE, 0x600000, RW, ret_handle);
}

static cw_handle connected(void)
{
	cw_handle h;

	assert_int_equal(connect_rw(&h), 0);
	return h;
}

static int put(cw_handle h, uint64_t off, const void *src, size_t n, unsigned int width, bool span)
{
	struct cw_import *import = cw_enter(h, CW_IMPORT_SEGMENT);

	assert_non_null(import);
	return cw_remote_put(import, off, src, n, width, span);
}

static int get(cw_handle h, uint64_t off, void *dst, size_t n, unsigned int width)
{
	struct cw_import *import = cw_enter(h, CW_IMPORT_SEGMENT);

	assert_non_null(import);
	return cw_remote_get(import, off, dst, n, width);
}

static int order(cw_handle h)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(h);

	return cw_remote_order(import);
}

static int collect(cw_handle h)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(h);

	return cw_remote_collect(import);
}

/* That the answer comes after the store TSan cannot see. */
__attribute__((no_sanitize("thread"), noinline)) static uint64_t at(uint64_t off)
{
	return __atomic_load_n((uint64_t *)(void *)(home.memory + off), __ATOMIC_ACQUIRE);
}

#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		uint64_t end_ = clock_now() + 10 * NSEC_PER_SEC;                                   \
                                                                                                   \
		while (!(condition) && clock_now() < end_)                                         \
			usleep(1000);                                                              \
		assert_true(condition);                                                            \
	} while (0)

/* connect */

static void *answer_late(void *unused)
{
	usleep(50000);
	home_answer(&home);
	return unused;
}

static void connect_waits_for_the_home(void **state)
{
	uint64_t begin = clock_now();
	pthread_t thread;
	cw_handle h;

	home.hold = true;
	assert_int_equal(pthread_create(&thread, NULL, answer_late, NULL), 0);
	assert_int_equal(connect_rw(&h), 0);
	assert_true(clock_now() - begin >= 40 * NSEC_PER_MSEC);
	pthread_join(thread, NULL);
	assert_int_equal(cw_import_disconnect(h), 0);
	EVENTUALLY(home.n_disconnects == 1);
}

static void connect_tells_why_it_was_refused(void **state)
{
	cw_handle h;

	home.refuse = STATUS_NOT_FOUND;
	assert_int_equal(connect_rw(&h), STATUS_NOT_FOUND);
	home.refuse = STATUS_NOT_LISTED;
	assert_int_equal(connect_rw(&h), STATUS_NOT_LISTED);
	home.refuse = STATUS_NODE_LOST;
	assert_int_equal(connect_rw(&h), STATUS_NODE_UNREACHABLE);
	home.refuse = STATUS_OK;
	assert_int_equal(connect_rw(&h), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	assert_int_equal(
		cw_import_connect(WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, 9, 0x600000, RW, &h),
		STATUS_NODE_UNKNOWN);
	/* what has failed is forgotten already */
	EVENTUALLY(home.n_disconnects == 1);
}

static void on_alarm(int number)
{
}

static void a_signal_ends_the_wait_of_connect(void **state)
{
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
	cw_handle h;

	sigaction(SIGALRM, &action, &before);
	home.hold = true;
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(connect_rw(&h), STATUS_INTERRUPTED);
	EVENTUALLY(home.n_disconnects == 1);
	home.hold = false;
	assert_int_equal(connect_rw(&h), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	sigaction(SIGALRM, &before, NULL);
}

static void imports_share_a_route(void **state)
{
	uint64_t one = 1, two = 2;
	cw_handle a = connected(), b = connected();

	assert_int_equal(put(a, 0, &one, 8, 8, false), 0);
	assert_int_equal(put(b, 8, &two, 8, 8, false), 0);
	assert_int_equal(home.clients[0].route_generation, 1);
	assert_int_equal(cw_import_disconnect(a), 0);
	assert_int_equal(put(b, 16, &two, 8, 8, false), 0);
	assert_int_equal(cw_import_disconnect(b), 0);
	/* the next one begins anew, with numbers of its own */
	a = connected();
	assert_int_equal(put(a, 24, &one, 8, 8, false), 0);
	assert_int_equal(home.clients[0].route_generation, 2);
	assert_true(at(0) == 1 && at(8) == 2 && at(16) == 2 && at(24) == 1);
	assert_int_equal(cw_import_disconnect(a), 0);
}

static void *come_and_go(void *unused)
{
	for (uint64_t i = 0; i < 100; i++) {
		cw_handle h = connected();

		assert_int_equal(put(h, 64, &i, 8, 8, i % 2), 0);
		assert_int_equal(cw_import_disconnect(h), 0);
	}
	return unused;
}

static void routes_survive_imports_that_come_and_go(void **state)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(home.n_renews, 0);
}

/* data */

static void what_was_put_can_be_got(void **state)
{
	static uint8_t out[300016], in[300016];
	const size_t sizes[] = {0, 1, 7, 8, 4096, 8192, 8193, 65536, 300000};
	cw_handle h = connected();

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		memset(in, 0, sizeof(in));
		assert_int_equal(put(h, 3 + i, out + i, sizes[i], 0, i % 2), 0);
		assert_int_equal(get(h, 3 + i, in, sizes[i], 0), 0);
		assert_memory_equal(in, out + i, sizes[i]);
	}
	for (unsigned int width = 1; width <= 8; width *= 2) {
		assert_int_equal(put(h, 512, out, 1024, width, false), 0);
		assert_int_equal(get(h, 512, in, 1024, width), 0);
		assert_memory_equal(in, out, 1024);
	}
	assert_int_equal(collect(h), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void elements_are_swapped_for_a_home_of_the_other_order(void **state)
{
	static uint32_t out[10000], in[10000];
	cw_handle h;

	home.import_flags = WIRE_IMPORT_FOREIGN_ENDIAN;
	h = connected();
	for (uint32_t i = 0; i < ELEMENTS(out); i++)
		out[i] = i * 0x01020304u;
	assert_int_equal(put(h, 0, out, sizeof(out), 4, false), 0);
	for (uint32_t i = 0; i < ELEMENTS(out); i++)
		assert_int_equal(
			__atomic_load_n((uint32_t *)(void *)home.memory + i, __ATOMIC_RELAXED),
			__builtin_bswap32(out[i]));
	assert_int_equal(get(h, 0, in, sizeof(in), 4), 0);
	assert_memory_equal(in, out, sizeof(out));
	assert_int_equal(put(h, HOME_SIZE / 2, out, sizeof(out), 0, false), 0);
	assert_memory_equal(home.memory + HOME_SIZE / 2, out, sizeof(out));
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void vectors_are_done_in_one(void **state)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = NULL;
	uint64_t values[3] = {1, 2, 3}, back[3] = {0};
	struct fabric_piece pieces[3];
	cw_handle h = connected();
	size_t done;

	import = cw_import_ref(h);
	for (size_t i = 0; i < 3; i++)
		pieces[i] = (struct fabric_piece){4096 * i, &values[i], 8};
	assert_int_equal(cw_remote_putv(import, pieces, 3, false, &done), 0);
	assert_int_equal(done, 3);
	for (size_t i = 0; i < 3; i++)
		pieces[i].local = &back[i];
	assert_int_equal(cw_remote_getv(import, pieces, 3, &done), 0);
	assert_int_equal(done, 3);
	assert_memory_equal(values, back, sizeof(values));
	home_revoke(&home, false);
	assert_int_equal(cw_remote_getv(import, pieces, 3, &done), STATUS_REVOKED);
	assert_int_equal(done, 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void atomics_are_done_at_the_home(void **state)
{
	cw_handle h = connected();
	uint64_t old;

	memset(home.memory, 0, 16);
	assert_int_equal(cw_import_fetch_add(h, 8, 8, 5, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(cw_import_fetch_add(h, 8, 4, 5, &old), 0);
	assert_int_equal(old, 5);
	assert_int_equal(cw_import_compare_swap(h, 8, 8, 10, 99, &old), 0);
	assert_int_equal(old, 10);
	assert_int_equal(cw_import_compare_swap(h, 8, 8, 10, 100, &old), 0);
	assert_int_equal(old, 99);
	assert_int_equal(at(8), 99);
	assert_int_equal(cw_import_fetch_add(h, 4, 8, 5, &old), STATUS_BAD_OFFSET);
	assert_int_equal(cw_import_fetch_add(h, HOME_SIZE, 8, 5, &old), STATUS_BAD_OFFSET);
	assert_int_equal(cw_import_fetch_add(h, 0, 2, 5, &old), STATUS_BAD_SIZE);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static int start_transfer(
	cw_handle h, bool is_put, uint64_t off, void *local, size_t n, cw_handle *ret_transfer)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(h);

	return cw_remote_start(import, is_put, off, local, n, ret_transfer);
}

static void transfers_are_under_way_together(void **state)
{
	static uint8_t out[8][100000], in[8][100000];
	cw_handle h = connected(), puts[8], gets[8];

	for (size_t i = 0; i < 8; i++)
		memset(out[i], (int)i + 1, sizeof(out[i]));
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(start_transfer(h, true, i * sizeof(out[i]), out[i], sizeof(out[i]),
					 &puts[i]),
			0);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(
			start_transfer(h, false, i * sizeof(in[i]), in[i], sizeof(in[i]), &gets[i]),
			0);
	/* the stream may break meanwhile */
	home_cut(&home);
	for (size_t i = 8; i-- > 0;)
		assert_int_equal(cw_remote_finish(gets[i], UINT64_MAX), 0);
	for (size_t i = 0; i < 8; i++) {
		int r;

		while ((r = cw_remote_finish(puts[i], 0)) == -EAGAIN)
			;
		assert_int_equal(r, 0);
		assert_memory_equal(in[i], out[i], sizeof(in[i]));
		assert_int_equal(cw_remote_finish(puts[i], 0), STATUS_BAD_HANDLE);
	}
	assert_int_equal(start_transfer(h, true, 0, out[0], 0, &puts[0]), 0);
	assert_int_equal(cw_remote_finish(puts[0], 0), 0);
	home_revoke(&home, false);
	assert_int_equal(start_transfer(h, true, 0, out[0], 8, &puts[0]), 0);
	assert_int_equal(cw_remote_finish(puts[0], UINT64_MAX), STATUS_REVOKED);
	assert_int_equal(start_transfer(h, true, 0, out[0], 8, &puts[0]), STATUS_REVOKED);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void a_transfer_outlives_its_import(void **state)
{
	cw_handle h = connected(), transfer;
	uint64_t value = 8;

	assert_int_equal(start_transfer(h, true, 0, &value, 8, &transfer), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	assert_int_equal(cw_remote_finish(transfer, UINT64_MAX), 0);
	assert_int_equal(at(0), 8);
	EVENTUALLY(home.n_disconnects == 1);
}

static void signals_go_behind_the_data(void **state)
{
	cw_handle h = connected();
	uint64_t value = 31;

	assert_int_equal(put(h, 0, &value, 8, 8, true), 0);
	assert_int_equal(cw_signal_post(h, true), 0);
	assert_int_equal(at(0), 31);
	assert_int_equal(cw_signal_post(h, true), 0);
	assert_int_equal(cw_signal_post(h, false), 0);
	assert_int_equal(home.n_posts, 2);
	assert_int_equal(home.n_single_posts, 1);
	assert_int_equal(cw_signal_wait(h, NSEC_PER_MSEC), STATUS_TIMED_OUT);
	atomic_store(&home.clients[0].cells[1].word, 1);
	assert_int_equal(cw_signal_wait(h, 0), 0);
	assert_int_equal(cw_signal_wait(h, 0), STATUS_TIMED_OUT);
	assert_int_equal(cw_import_disconnect(h), 0);
}

/* spans */

static void a_wait_sends_what_a_span_has_collected(void **state)
{
	cw_handle h = connected();

	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(put(h, 8 * i, &i, 8, 8, true), 0);
	assert_int_equal(cw_signal_wait(h, NSEC_PER_MSEC), STATUS_TIMED_OUT);
	EVENTUALLY(at(800) == 100);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void disconnect_sends_what_a_span_has_collected(void **state)
{
	cw_handle h = connected();

	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(put(h, 8 * i, &i, 8, 8, true), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	assert_int_equal(at(800), 100);
}

static void a_span_tells_its_failure_at_the_end(void **state)
{
	cw_handle h = connected();
	uint64_t value = 1;

	assert_int_equal(put(h, 0, &value, 8, 8, true), 0);
	assert_int_equal(order(h), 0);
	home_revoke(&home, false);
	assert_int_equal(put(h, 8, &value, 8, 8, true), 0);
	assert_int_equal(order(h), STATUS_REVOKED);
	assert_int_equal(collect(h), STATUS_REVOKED);
	/* for good */
	assert_int_equal(collect(h), STATUS_REVOKED);
	assert_int_equal(put(h, 8, &value, 8, 8, false), STATUS_REVOKED);
	assert_int_equal(get(h, 8, &value, 8, 8), STATUS_REVOKED);
	assert_int_equal(at(8), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void an_import_that_is_told_of_its_end_says_nothing_more(void **state)
{
	cw_handle h = connected();
	uint64_t value = 1, old;

	home_revoke(&home, true);
	assert_int_equal(put(h, 0, &value, 8, 8, false), STATUS_REVOKED);
	assert_int_equal(cw_signal_post(h, true), STATUS_REVOKED);
	assert_int_equal(cw_signal_wait(h, UINT64_MAX), STATUS_REVOKED);
	assert_int_equal(cw_import_fetch_add(h, 0, 8, 1, &old), STATUS_REVOKED);
	assert_int_equal(home.n_posts, 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	/* others of the route are not concerned */
	h = connected();
	assert_int_equal(put(h, 0, &value, 8, 8, false), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void there_is_something_to_unmap_once_put_or_get_were_here(void **state)
{
	cw_handle h = connected();
	uint64_t value;

	assert_int_equal(cw_import_unmap(h), STATUS_WRONG_STATE);
	/* programs may unmap what put or get have mapped elsewhere */
	assert_int_equal(get(h, 0, &value, 8, 8), 0);
	assert_int_equal(cw_import_unmap(h), 0);
	assert_int_equal(cw_import_unmap(h), STATUS_WRONG_STATE);
	assert_int_equal(cw_import_disconnect(h), 0);
}

/* trouble */

static _Atomic bool enough;

static void *cut_now_and_then(void *unused)
{
	unsigned int seed = 7;

	while (!enough) {
		usleep(500 + (unsigned int)rand_r(&seed) % 3000);
		home_cut(&home);
	}
	return unused;
}

/* Each element is written once; spans, waited puts and gets mixed. */
static void a_broken_connection_is_mended(void **state)
{
	const uint64_t n_elements = HOME_SIZE / 8;
	cw_handle h = connected();
	unsigned int seed = 3;
	pthread_t thread;
	uint64_t back, n;

	enough = false;
	assert_int_equal(pthread_create(&thread, NULL, cut_now_and_then, NULL), 0);
	for (uint64_t i = 0; i < n_elements && (i < 20000 || home.n_renews < 3); n = ++i) {
		int kind = rand_r(&seed) % 256;

		assert_int_equal(put(h, 8 * i, &i, 8, 8, kind > 1), 0);
		if (kind == 2) {
			assert_int_equal(get(h, 8 * i, &back, 8, 8), 0);
			assert_int_equal(back, i);
		}
		if (kind == 3)
			assert_int_equal(collect(h), 0);
	}
	assert_int_equal(collect(h), 0);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(at(8 * i), i);
	assert_true(home.n_renews >= 3);
	enough = true;
	pthread_join(thread, NULL);
	assert_int_equal(cw_import_disconnect(h), 0);
}

/* An atomic whose answer is lost says so; all others were done once. */
static void no_atomic_is_done_twice(void **state)
{
	cw_handle h = connected();
	uint64_t old, sure = 0, unsure = 0;
	pthread_t thread;

	memset(home.memory, 0, 8);
	enough = false;
	assert_int_equal(pthread_create(&thread, NULL, cut_now_and_then, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		int r = cw_import_fetch_add(h, 0, 8, 1, &old);

		assert_true(r == 0 || r == STATUS_BROKEN);
		sure += r == 0;
		unsure += r != 0;
	}
	enough = true;
	pthread_join(thread, NULL);
	assert_true(at(0) >= sure && at(0) <= sure + unsure);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void *put_until_it_fails(void *handle)
{
	uint64_t value = 1;
	intptr_t r;

	while ((r = put(*(cw_handle *)handle, 0, &value, 8, 8, false)) == 0)
		;
	return (void *)r;
}

static void the_loss_of_the_node_ends_every_wait(void **state)
{
	cw_handle h = connected();
	pthread_t threads[3];
	uint64_t value = 1;
	void *r;

	home.keep_broken = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_until_it_fails, &h), 0);
	usleep(10000);
	home_cut(&home);
	EVENTUALLY(home.n_renews > 0);
	home_lose(&home);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &r);
		assert_int_equal((intptr_t)r, STATUS_NODE_LOST);
	}
	assert_int_equal(collect(h), STATUS_NODE_LOST);
	assert_int_equal(cw_signal_wait(h, UINT64_MAX), STATUS_NODE_LOST);
	assert_int_equal(cw_import_disconnect(h), 0);
	/* and the next life begins */
	home.keep_broken = false;
	h = connected();
	assert_int_equal(put(h, 0, &value, 8, 8, false), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void an_import_left_over_from_a_lost_node_hinders_nobody(void **state)
{
	cw_handle old = connected(), h;
	uint64_t value = 1;

	home_lose(&home);
	h = connected();
	assert_int_equal(put(h, 0, &value, 8, 8, false), 0);
	assert_int_equal(put(old, 0, &value, 8, 8, false), STATUS_NODE_LOST);
	assert_int_equal(cw_import_disconnect(old), 0);
	assert_int_equal(put(h, 0, &value, 8, 8, false), 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void a_home_that_does_nothing_is_reported(void **state)
{
	uint64_t value = 1, begin;
	cw_handle h, transfer;
	int r;

	home.detection = 10 * NSEC_PER_MSEC;
	h = connected();
	assert_int_equal(put(h, 0, &value, 8, 8, false), 0);
	home_freeze(&home);
	begin = clock_now();
	assert_int_equal(start_transfer(h, true, 0, &value, 8, &transfer), 0);
	assert_int_equal(cw_remote_finish(transfer, 0), -EAGAIN);
	assert_int_equal(cw_remote_finish(transfer, 10 * NSEC_PER_MSEC), -EAGAIN);
	assert_true(clock_now() - begin < NSEC_PER_SEC);
	while ((r = cw_remote_finish(transfer, 0)) == -EAGAIN)
		usleep(10000);
	assert_int_equal(r, STATUS_NODE_LOST);
	assert_int_equal(put(h, 0, &value, 8, 8, false), STATUS_NODE_LOST);
	assert_true(clock_now() - begin < 5 * NSEC_PER_SEC);
	EVENTUALLY(home.n_stuck == 1);
	assert_int_equal(put(h, 0, &value, 8, 8, false), STATUS_NODE_LOST);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void disconnect_does_not_wait_for_a_broken_route(void **state)
{
	cw_handle h = connected();
	pthread_t thread;
	void *r;

	home.keep_broken = true;
	assert_int_equal(pthread_create(&thread, NULL, put_until_it_fails, &h), 0);
	usleep(10000);
	home_cut(&home);
	EVENTUALLY(home.n_renews > 0);
	assert_int_equal(cw_import_disconnect(h), 0);
	home_lose(&home);
	pthread_join(thread, &r);
	assert_int_equal((intptr_t)r, STATUS_NODE_LOST);
	EVENTUALLY(home.n_disconnects == 1);
}

/* fork */

/* cmocka's asserts are the parent's alone */
static void child_needs(bool holds)
{
	if (!holds)
		_exit(1);
}

static void join(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_child_connects_anew(void **state)
{
	uint64_t one = 1, two = 2, three = 3, back;
	cw_handle h = connected();
	cw_handle transfer;
	pid_t child;

	assert_int_equal(put(h, 0, &one, 8, 8, false), 0);
	assert_int_equal(start_transfer(h, true, 32, &three, 8, &transfer), 0);
	assert_int_equal(put(h, 8, &one, 8, 8, true), 0);
	child = fork();
	if (child == 0) {
		child_needs(get(h, 0, &back, 8, 8) == 0 && back == 1);
		child_needs(put(h, 16, &two, 8, 8, true) == 0 && collect(h) == 0);
		child_needs(cw_signal_post(h, true) == 0);
		child_needs(cw_remote_finish(transfer, 0) == STATUS_REVOKED);
		child_needs(cw_import_disconnect(h) == 0);
		_exit(0);
	}
	join(child);
	assert_int_equal(cw_remote_finish(transfer, UINT64_MAX), 0);
	assert_int_equal(put(h, 24, &three, 8, 8, false), 0);
	assert_int_equal(collect(h), 0);
	assert_true(at(0) == 1 && at(8) == 1 && at(16) == 2 && at(24) == 3);
	assert_int_equal(home.n_renews, 0);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static void a_child_does_not_meet_another_life_of_the_home(void **state)
{
	cw_handle h = connected();
	uint64_t value = 1;
	pid_t child;

	home.incarnation++;
	child = fork();
	if (child == 0) {
		child_needs(put(h, 0, &value, 8, 8, false) == STATUS_REVOKED);
		child_needs(collect(h) == STATUS_REVOKED);
		child_needs(cw_import_disconnect(h) == 0);
		_exit(0);
	}
	join(child);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static int ping(void)
{
	struct wire_message m = {.type = WIRE_PING};
	static struct cw_reply reply;

	return cw_call(&m, NULL, 0, &reply);
}

static void a_daemon_that_dies_within_hello_hears_it_again(void **state)
{
	home.deaf = 1;
	home.forgets = 1;
	assert_int_equal(cw_connect(NULL), 0);
	assert_int_equal(ping(), 0);
}

static void also_when_it_is_to_hear_of_other_ids(void **state)
{
	gid_t gid = getegid();

	assert_int_equal(cw_connect(NULL), 0);
	if (setegid(gid + 1) < 0) {
		print_message("skip: only root may change its ids\n");
		skip();
	}
	home.deaf = 1;
	home.forgets = 1;
	assert_int_equal(ping(), 0);
	assert_int_equal(home.deaf + home.forgets, 0);
	assert_int_equal(setegid(gid), 0);
	assert_int_equal(ping(), 0);
}

#define REMOTE_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REMOTE_TEST(connect_waits_for_the_home),
		REMOTE_TEST(connect_tells_why_it_was_refused),
		REMOTE_TEST(a_signal_ends_the_wait_of_connect),
		REMOTE_TEST(imports_share_a_route),
		REMOTE_TEST(routes_survive_imports_that_come_and_go),
		REMOTE_TEST(what_was_put_can_be_got),
		REMOTE_TEST(elements_are_swapped_for_a_home_of_the_other_order),
		REMOTE_TEST(vectors_are_done_in_one),
		REMOTE_TEST(atomics_are_done_at_the_home),
		REMOTE_TEST(transfers_are_under_way_together),
		REMOTE_TEST(a_transfer_outlives_its_import),
		REMOTE_TEST(signals_go_behind_the_data),
		REMOTE_TEST(a_wait_sends_what_a_span_has_collected),
		REMOTE_TEST(disconnect_sends_what_a_span_has_collected),
		REMOTE_TEST(a_span_tells_its_failure_at_the_end),
		REMOTE_TEST(an_import_that_is_told_of_its_end_says_nothing_more),
		REMOTE_TEST(there_is_something_to_unmap_once_put_or_get_were_here),
		REMOTE_TEST(a_broken_connection_is_mended),
		REMOTE_TEST(no_atomic_is_done_twice),
		REMOTE_TEST(the_loss_of_the_node_ends_every_wait),
		REMOTE_TEST(an_import_left_over_from_a_lost_node_hinders_nobody),
		REMOTE_TEST(a_home_that_does_nothing_is_reported),
		REMOTE_TEST(disconnect_does_not_wait_for_a_broken_route),
		REMOTE_TEST(a_child_connects_anew),
		REMOTE_TEST(a_child_does_not_meet_another_life_of_the_home),
		REMOTE_TEST(a_daemon_that_dies_within_hello_hears_it_again),
		REMOTE_TEST(also_when_it_is_to_hear_of_other_ids),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
