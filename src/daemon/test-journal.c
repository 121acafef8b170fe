/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/journal.h"

/*
 * A daemon killed at any instruction: the change runs in a child that is stepped one instruction at
 * a time, and after each the journal is read as a successor would read it.
 */

#define KIND 3

struct record {
	uint8_t bytes[JOURNAL_BODY_SIZE];
};

static struct record filled(uint8_t with)
{
	struct record r;

	memset(r.bytes, with, sizeof(r.bytes));
	return r;
}

static Journal *open_new(void)
{
	Journal *j;
	int fd;

	assert_int_equal(journal_create(77, 5, &fd), 0);
	assert_int_equal(journal_open(fd, &j), 0);
	return j;
}

/* The record's filling, -1 if the slot is free; fails if the record is a mixture. */
static int filling(const Journal *j, uint32_t slot)
{
	struct record r;
	uint32_t kind = journal_read(j, slot, &r, sizeof(r));

	if (kind == 0)
		return -1;
	assert_int_equal(kind, KIND);
	for (size_t i = 1; i < sizeof(r.bytes); i++)
		assert_int_equal(r.bytes[i], r.bytes[0]);
	return r.bytes[0];
}

/* Steps change() in a child; look() is called after each instruction. Returns their number. */
static unsigned int step_through(Journal *j, void (*change)(Journal *j), void (*look)(Journal *j))
{
	unsigned int steps = 0;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(99);
		raise(SIGSTOP);
		change(j);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status)) {
		look(j);
		steps++;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 99) {
		print_message("skipped: no ptrace here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return steps;
}

static uint32_t slot_a, slot_b;
static int seen;

static void change_update(Journal *j)
{
	struct record r = filled(2);

	journal_update(j, slot_a, &r, sizeof(r));
}

static void look_update(Journal *j)
{
	int now = filling(j, slot_a);

	assert_true(now == 1 || now == 2);
	assert_true(now >= seen);
	seen = now;
	assert_int_equal(filling(j, slot_b), 9);
}

static void an_update_killed_anywhere_leaves_the_old_or_the_new_record(void **state)
{
	struct record r = filled(1), other = filled(9);
	Journal *j = open_new();

	assert_int_equal(journal_add(j, KIND, &r, sizeof(r), &slot_a), 0);
	assert_int_equal(journal_add(j, KIND, &other, sizeof(other), &slot_b), 0);
	/* from the first body to the second, then back */
	for (int i = 0; i < 2; i++) {
		journal_update(j, slot_a, &r, sizeof(r));
		if (i == 1)
			journal_update(j, slot_a, &r, sizeof(r));
		seen = 1;
		assert_true(step_through(j, change_update, look_update) > 20);
		assert_int_equal(seen, 2);
	}
	journal_close(j);
}

static void change_add(Journal *j)
{
	struct record r = filled(4);
	uint32_t slot;

	if (journal_add(j, KIND, &r, sizeof(r), &slot) < 0 || slot != slot_b)
		_exit(1);
}

static void look_add(Journal *j)
{
	int now = journal_end(j) > slot_b ? filling(j, slot_b) : -1;

	assert_true(now == -1 || now == 4);
	assert_true(now >= seen);
	seen = now;
	assert_int_equal(filling(j, slot_a), 1);
}

static void an_addition_killed_anywhere_leaves_nothing_or_all(void **state)
{
	struct record r = filled(1);
	Journal *j = open_new();

	assert_int_equal(journal_add(j, KIND, &r, sizeof(r), &slot_a), 0);
	slot_b = slot_a + 1;
	seen = -1;
	assert_true(step_through(j, change_add, look_add) > 20);
	assert_int_equal(seen, 4);
	journal_close(j);
}

static void change_remove(Journal *j)
{
	journal_remove(j, slot_a);
}

static void look_remove(Journal *j)
{
	seen = filling(j, slot_a);
	assert_true(seen == -1 || seen == 1);
}

static void a_removal_killed_anywhere_leaves_nothing_or_all(void **state)
{
	struct record r = filled(1);
	Journal *j = open_new();

	assert_int_equal(journal_add(j, KIND, &r, sizeof(r), &slot_a), 0);
	step_through(j, change_remove, look_remove);
	assert_int_equal(seen, -1);
	journal_close(j);
}

static void a_successor_reads_what_was_written_and_reuses_what_was_freed(void **state)
{
	uint32_t slots[1000], slot;
	struct record r;
	Journal *j = open_new(), *next;
	int fd;

	for (unsigned int i = 0; i < ELEMENTS(slots); i++) {
		r = filled((uint8_t)i);
		assert_int_equal(journal_add(j, KIND, &r, sizeof(r), &slots[i]), 0);
	}
	journal_remove(j, slots[500]);
	fd = dup(journal_fd(j));
	journal_close(j);
	assert_int_equal(journal_open(fd, &next), 0);
	assert_int_equal(journal_incarnation(next), 77);
	assert_int_equal(journal_started(next), 5);
	for (unsigned int i = 0; i < ELEMENTS(slots); i++)
		assert_int_equal(filling(next, slots[i]), i == 500 ? -1 : (int)(uint8_t)i);
	assert_int_equal(journal_add(next, KIND, &r, sizeof(r), &slot), 0);
	assert_int_equal(slot, slots[500]);
	assert_int_equal(journal_add(next, KIND, &r, sizeof(r), &slot), 0);
	assert_int_equal(slot, journal_end(next) - 1);
	journal_close(next);
}

static void what_is_no_journal_is_not_opened(void **state)
{
	Journal *j = NULL;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(journal_open(fds[0], &j), -EBADMSG);
	assert_null(j);
	/* still the caller's */
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(close(fds[1]), 0);
}

static void a_full_journal_says_so(void **state)
{
	Journal *j = open_new();
	uint32_t slot;
	int r = 0, n = 0;

	while (r == 0) {
		r = journal_add(j, KIND, "", 1, &slot);
		n += r == 0;
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(n, JOURNAL_SLOTS - 1);
	journal_remove(j, 17);
	assert_int_equal(journal_add(j, KIND, "", 1, &slot), 0);
	assert_int_equal(slot, 17);
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_update_killed_anywhere_leaves_the_old_or_the_new_record),
		cmocka_unit_test(an_addition_killed_anywhere_leaves_nothing_or_all),
		cmocka_unit_test(a_removal_killed_anywhere_leaves_nothing_or_all),
		cmocka_unit_test(a_successor_reads_what_was_written_and_reuses_what_was_freed),
		cmocka_unit_test(what_is_no_journal_is_not_opened),
		cmocka_unit_test(a_full_journal_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
