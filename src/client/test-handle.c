/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "client/handle.h"

static void a_handle_finds_its_object_until_it_is_retired(void **state)
{
	int x = 5;
	cw_handle h;

	assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &x, &h), 0);
	assert_true(h != 0);
	assert_ptr_equal(cw_enter(h, CW_IMPORT_SEGMENT), &x);
	cw_leave();
	assert_null(cw_enter(h, CW_EXPORT_SEGMENT));
	assert_true(cw_handle_retire(h));
	assert_false(cw_handle_retire(h));
	assert_null(cw_enter(h, CW_IMPORT_SEGMENT));
}

static void an_index_used_again_is_another_handle(void **state)
{
	cw_handle first, second;
	int x, y;

	assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &x, &first), 0);
	assert_true(cw_handle_retire(first));
	assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &y, &second), 0);
	assert_int_equal(cw_handle_index(first), cw_handle_index(second));
	assert_true(first != second);
	assert_null(cw_enter(first, CW_IMPORT_SEGMENT));
	assert_ptr_equal(cw_enter(second, CW_IMPORT_SEGMENT), &y);
	cw_leave();
	assert_true(cw_handle_retire(second));
}

static void invented_handles_are_refused(void **state)
{
	assert_null(cw_enter(0, CW_IMPORT_SEGMENT));
	assert_null(cw_enter(UINT64_MAX, CW_IMPORT_SEGMENT));
	assert_null(cw_enter((uintptr_t)&state, CW_IMPORT_SEGMENT));
	assert_false(cw_handle_retire(0));
	assert_false(cw_handle_retire(UINT64_MAX));
	srand(3);
	for (int i = 0; i < 1000000; i++)
		assert_null(
			cw_enter((uint64_t)rand() << 33 ^ (uint64_t)rand() << 2 ^ CW_IMPORT_SEGMENT,
				CW_IMPORT_SEGMENT));
}

#define MANY 5000

static void many_handles_live_side_by_side(void **state)
{
	static int objects[MANY];
	static cw_handle h[MANY];

	for (int i = 0; i < MANY; i++)
		assert_int_equal(cw_handle_new(CW_EXPORT_SEGMENT, &objects[i], &h[i]), 0);
	for (int i = 0; i < MANY; i++)
		assert_ptr_equal(cw_handle_peek(h[i], CW_EXPORT_SEGMENT), &objects[i]);
	for (int i = 0; i < MANY; i++)
		assert_true(cw_handle_retire(h[i]));
}

/* Users read an object that a retire then poisons: none may see the poison. */
#define ROUNDS	3000
#define SECONDS 5 /* on a busy machine, fewer rounds */

static struct {
	_Atomic cw_handle handle;
	_Atomic int stop;
	_Atomic uint64_t uses, wrong;
} shared;

struct victim {
	volatile uint64_t value;
};

static void *use(void *arg)
{
	while (!atomic_load(&shared.stop)) {
		struct victim *v = cw_enter(atomic_load(&shared.handle), CW_IMPORT_SEGMENT);

		if (!v)
			continue;
		for (int i = 0; i < 20; i++)
			if (v->value != 42)
				atomic_fetch_add(&shared.wrong, 1);
		cw_leave();
		atomic_fetch_add(&shared.uses, 1);
	}
	return NULL;
}

static void nobody_uses_an_object_after_its_handle_is_retired(void **state)
{
	struct victim v[2] = {{42}, {42}};
	uint64_t end = clock_now() + SECONDS * NSEC_PER_SEC;
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, use, NULL), 0);
	for (int i = 0; i < ROUNDS && clock_now() < end; i++) {
		cw_handle h;

		v[i % 2].value = 42;
		assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &v[i % 2], &h), 0);
		atomic_store(&shared.handle, h);
		if (i % 8 == 0)
			usleep(50);
		assert_true(cw_handle_retire(h));
		v[i % 2].value = 666;
	}
	atomic_store(&shared.stop, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_true(shared.uses > 0);
	assert_int_equal(shared.wrong, 0);
}

static void only_one_of_two_retires_wins(void **state)
{
	int x;
	cw_handle h;
	int won = 0;

	for (int i = 0; i < 100; i++) {
		assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &x, &h), 0);
		won += cw_handle_retire(h) + cw_handle_retire(h);
	}
	assert_int_equal(won, 100);
}

static void a_child_is_not_held_up_by_threads_it_does_not_have(void **state)
{
	int x, status;
	cw_handle h;
	pid_t pid;

	assert_int_equal(cw_handle_new(CW_IMPORT_SEGMENT, &x, &h), 0);
	/* what fork would copy from a thread in the middle of a call */
	assert_ptr_equal(cw_enter(h, CW_IMPORT_SEGMENT), &x);
	cw_handle_fork_prepare();
	pid = fork();
	if (pid == 0) {
		cw_handle_fork_child();
		alarm(5);
		_exit(cw_handle_retire(h) ? 0 : 1);
	}
	cw_handle_fork_parent();
	cw_leave();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(cw_handle_retire(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handle_finds_its_object_until_it_is_retired),
		cmocka_unit_test(an_index_used_again_is_another_handle),
		cmocka_unit_test(invented_handles_are_refused),
		cmocka_unit_test(many_handles_live_side_by_side),
		cmocka_unit_test(nobody_uses_an_object_after_its_handle_is_retired),
		cmocka_unit_test(only_one_of_two_retires_wins),
		cmocka_unit_test(a_child_is_not_held_up_by_threads_it_does_not_have),
	};

	return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
