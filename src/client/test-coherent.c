/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of another node's segment, as far as the client library has to do with them: the daemon is a
 * fake that keeps no page coherent, but tells what it is asked. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/import.h"
#include "client/test-home.h"

#define RW   (WIRE_READ | WIRE_WRITE)
#define PAGE 4096u

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

static struct home home;

static int start(void **state)
{
	setenv("CAUSEWAY_TIMEOUT", "1", 1);
	home_start(&home);
	return 0;
}

static int stop(void **state)
{
	home_stop(&home);
	return 0;
}

static cw_handle connected(uint32_t rights)
{
	cw_handle h;

	assert_int_equal(cw_import_connect(WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, HOME_NODE, 0x600000,
				 rights, &h),
		0);
	return h;
}

static void disconnect(cw_handle h)
{
	(void)cw_import_unmap(h);
	assert_int_equal(cw_import_disconnect(h), 0);
}

static struct wire_status_page *status_page(void)
{
	return home.clients[0].status;
}

static bool is_listed(const void *address)
{
	for (uint32_t i = 0; i < atomic_load(&home.clients[0].page->n_maps); i++)
		if (home.clients[0].page->maps[i].address == (uintptr_t)address &&
			home.clients[0].page->maps[i].length)
			return true;
	return false;
}

static bool is_mapped(void *address)
{
	unsigned char resident;

	return mincore(address, PAGE, &resident) == 0;
}

static int believe(cw_handle h, bool take)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(h);

	return cw_import_believe(import, take);
}

static void nobody_can_use_a_map_before_it_is_watched(void **state)
{
	cw_handle h = connected(RW);
	uint8_t *map;
	void *p;

	assert_int_equal(
		cw_import_map(h, NULL, false, PROT_READ | PROT_WRITE, 2 * PAGE, 3 * PAGE, &p), 0);
	map = p;
	assert_int_equal(home.n_watches, 1);
	assert_string_equal(home.watched_access, "---s");
	assert_int_equal(home.watched.address, (uintptr_t)map);
	assert_int_equal(home.watched.length, 3 * PAGE);
	assert_int_equal(home.watched.offset, 2 * PAGE);
	assert_int_equal(home.watched.side, WIRE_SIDE_IMPORT);
	map[0] = map[3 * PAGE - 1] = 1;
	assert_int_equal(cw_import_map(h, NULL, false, PROT_READ, 0, PAGE, &p), STATUS_WRONG_STATE);
	assert_int_equal(cw_import_unmap(h), 0);
	assert_false(is_listed(map));
	assert_false(is_mapped(map));
	assert_int_equal(cw_import_unmap(h), STATUS_WRONG_STATE);
	disconnect(h);
}

static void who_may_only_read_has_a_map_of_his_own(void **state)
{
	cw_handle h = connected(WIRE_READ);
	void *map;

	assert_int_equal(cw_import_map(h, NULL, false, PROT_READ, 0, PAGE, &map), 0);
	assert_string_equal(home.watched_access, "---p");
	assert_int_equal(*(uint8_t *)map, 0);
	disconnect(h);
}

static void a_fixed_map_takes_the_place_of_what_was_there(void **state)
{
	cw_handle h = connected(RW);
	void *there =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *map;

	memset(there, 7, 4 * PAGE);
	assert_int_equal(
		cw_import_map(h, (uint8_t *)there + PAGE, true, PROT_READ, 0, PAGE, &map), 0);
	assert_ptr_equal(map, (uint8_t *)there + PAGE);
	assert_int_equal(*(uint8_t *)map, 0);
	disconnect(h);
	munmap(there, 4 * PAGE);
}

static void assert_refused(cw_handle h)
{
	void *there = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *map = NULL;

	munmap(there, PAGE);
	assert_int_equal(
		cw_import_map(h, there, false, PROT_READ, 0, PAGE, &map), STATUS_MAP_FAILED);
	assert_null(map);
	assert_false(is_mapped(there));
	assert_false(is_listed(there));
	assert_false(cw_import_is_mapped(h));
}

static void what_cannot_be_watched_leaves_nothing_behind(void **state)
{
	cw_handle h = connected(RW);
	void *map;

	home.refuse_memory = STATUS_MAP_FAILED;
	assert_refused(h);
	assert_int_equal(home.n_watches, 0);
	/* a daemon that knows nothing of it */
	home.refuse_memory = STATUS_NOT_SUPPORTED;
	assert_refused(h);
	home.refuse_memory = 0;
	home.refuse_watch = STATUS_MAP_FAILED;
	assert_refused(h);
	home.refuse_watch = 0;
	assert_int_equal(cw_import_map(h, NULL, false, PROT_READ, 0, PAGE, &map), 0);
	disconnect(h);
}

static void advice_is_for_what_is_mapped(void **state)
{
	cw_handle h = connected(RW);
	void *map;

	assert_int_equal(cw_import_advise(h, WIRE_ADVICE_RANDOM, 0, PAGE, 0), STATUS_WRONG_STATE);
	assert_int_equal(cw_import_map(h, NULL, false, PROT_READ, 0, PAGE, &map), 0);
	assert_int_equal(cw_import_advise(h, WIRE_ADVICE_HOLD, PAGE, 5 * PAGE, 777), 0);
	assert_int_equal(home.advised.advice, WIRE_ADVICE_HOLD);
	assert_int_equal(home.advised.offset, PAGE);
	assert_int_equal(home.advised.length, 5 * PAGE);
	assert_int_equal(home.advised.value, 777);
	disconnect(h);
	assert_int_equal(cw_import_advise(h, WIRE_ADVICE_RANDOM, 0, PAGE, 0), STATUS_BAD_HANDLE);
}

/* what is lost */

static void discarded_stores_are_told_once_to_everybody(void **state)
{
	cw_handle a = connected(RW), b = connected(WIRE_READ);

	assert_int_equal(believe(a, true), 0);
	for (uint32_t i = 0; i < HOME_IMPORTS; i++)
		atomic_fetch_add(&status_page()->discards[i], 2);
	assert_int_equal(believe(a, false), STATUS_NODE_LOST);
	assert_int_equal(believe(a, true), STATUS_NODE_LOST);
	assert_int_equal(believe(a, true), 0);
	assert_int_equal(believe(b, true), STATUS_NODE_LOST);
	assert_int_equal(believe(b, true), 0);
	disconnect(a);
	disconnect(b);
	/* what was lost before is no matter of a new connection */
	a = connected(RW);
	assert_int_equal(believe(a, true), 0);
	disconnect(a);
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void set_lease(uint64_t end)
{
	for (uint32_t i = 0; i < HOME_IMPORTS; i++)
		atomic_store(&status_page()->leases[i], end);
}

static void *renew_soon(void *unused)
{
	usleep(100000);
	set_lease(boottime() + NSEC_PER_SEC);
	return NULL;
}

static void *lose_soon(void *unused)
{
	usleep(100000);
	home_lose(&home);
	return NULL;
}

static void an_old_lease_is_waited_for(void **state)
{
	cw_handle h = connected(RW);
	uint64_t now = clock_now();
	pthread_t thread;

	set_lease(boottime() + NSEC_PER_SEC);
	assert_int_equal(believe(h, true), 0);
	assert_true(clock_now() - now < 100 * NSEC_PER_MSEC);
	set_lease(boottime() - 1);
	now = clock_now();
	assert_int_equal(pthread_create(&thread, NULL, renew_soon, NULL), 0);
	assert_int_equal(believe(h, true), 0);
	assert_true(clock_now() - now >= 90 * NSEC_PER_MSEC);
	pthread_join(thread, NULL);
	set_lease(0);
	disconnect(h);
}

static void a_lease_that_nobody_renews_is_not_believed(void **state)
{
	cw_handle h = connected(RW);
	uint64_t now = clock_now();
	pthread_t thread;

	set_lease(boottime() - 1);
	assert_int_equal(believe(h, true), STATUS_NODE_LOST);
	assert_in_range((clock_now() - now) / NSEC_PER_MSEC, 1000, 3000);
	now = clock_now();
	assert_int_equal(pthread_create(&thread, NULL, lose_soon, NULL), 0);
	assert_int_equal(believe(h, true), STATUS_NODE_LOST);
	assert_in_range((clock_now() - now) / NSEC_PER_MSEC, 90, 900);
	pthread_join(thread, NULL);
	set_lease(0);
	disconnect(h);
}

/* fork */

static void run_child(cw_handle h, uint8_t *map)
{
	/* another client: the fake has another status page for it */
	if (map[0] != 9 || !cw_import_is_mapped(h))
		_exit(1);
	if (believe(h, true))
		_exit(2);
	map[0] = 10;
	if (cw_import_unmap(h) || is_mapped(map))
		_exit(3);
	_exit(0);
}

static void a_child_keeps_its_map_and_has_it_believed_anew(void **state)
{
	cw_handle h = connected(RW);
	void *map;
	pid_t pid;
	int status;

	assert_int_equal(cw_import_map(h, NULL, false, PROT_READ | PROT_WRITE, 0, PAGE, &map), 0);
	*(uint8_t *)map = 9;
	pid = fork();
	if (!pid)
		run_child(h, map);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(home.n_memories, 2);
	assert_int_equal(home.n_watches, 1);
	assert_int_equal(*(uint8_t *)map, 10);
	disconnect(h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(nobody_can_use_a_map_before_it_is_watched),
		TEST(who_may_only_read_has_a_map_of_his_own),
		TEST(a_fixed_map_takes_the_place_of_what_was_there),
		TEST(what_cannot_be_watched_leaves_nothing_behind),
		TEST(advice_is_for_what_is_mapped),
		TEST(discarded_stores_are_told_once_to_everybody),
		TEST(an_old_lease_is_waited_for),
		TEST(a_lease_that_nobody_renews_is_not_believed),
		TEST(a_child_keeps_its_map_and_has_it_believed_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
