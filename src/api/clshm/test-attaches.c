/* SPDX-License-Identifier: Apache-2.0 */
/* The list of attaches beside a table of pages that says the same. */
#include "api/clshm/attaches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE  4096u
#define PAGES 64u
#define BASE  ((char *)0x7f0000000000)

/* Which attach a page belongs to; 0: none. Its first page says how long it is. */
static cw_handle owner[PAGES];
static size_t length[PAGES];
static cw_handle last;

static bool is_free(size_t at, size_t n)
{
	for (size_t i = at; i < at + n; i++)
		if (owner[i])
			return false;
	return true;
}

static void add(size_t at, size_t n)
{
	struct attach a = {.address = BASE + at * PAGE, .size = n * PAGE, .import = ++last};

	assert_int_equal(attaches_reserve(), 0);
	attaches_add(&a);
	for (size_t i = at; i < at + n; i++)
		owner[i] = last;
	length[at] = n;
}

static void forget(size_t at)
{
	memset(&owner[at], 0, length[at] * sizeof(*owner));
	length[at] = 0;
}

static void take(size_t at)
{
	struct attach a;
	bool found = attaches_take(BASE + at * PAGE, &a);

	assert_int_equal(found, length[at] > 0);
	if (!found)
		return;
	assert_int_equal(a.import, owner[at]);
	assert_int_equal(a.size, length[at] * PAGE);
	forget(at);
}

/* Is a part of one inside, and a part outside? */
static bool cuts(size_t at, size_t n)
{
	if (owner[at] && !length[at])
		return true;
	return at + n < PAGES && owner[at + n] && !length[at + n];
}

static void take_within(size_t at, size_t n)
{
	struct attach a;
	bool found = true;
	int r;

	if (cuts(at, n)) {
		r = attaches_take_within(BASE + at * PAGE, n * PAGE, &found, &a);
		assert_int_equal(r, -EINVAL);
		return;
	}
	for (;;) {
		size_t page;

		r = attaches_take_within(BASE + at * PAGE, n * PAGE, &found, &a);
		assert_int_equal(r, 0);
		if (!found)
			break;
		page = (size_t)(a.address - BASE) / PAGE;
		assert_int_equal(a.import, owner[page]);
		forget(page);
	}
	assert_true(is_free(at, n));
}

static void check_order(void)
{
	struct attach a;
	unsigned int n = 0;

	for (size_t at = 0; at < PAGES; at++) {
		if (!length[at])
			continue;
		assert_true(attaches_nth(n++, &a));
		assert_ptr_equal(a.address, BASE + at * PAGE);
	}
	assert_false(attaches_nth(n, &a));
	assert_int_equal(attaches_count_locked(), n);
}

static void the_list_is_what_was_added_and_not_taken(void **state)
{
	srand(4711);
	for (int i = 0; i < 20000; i++) {
		size_t at = (size_t)rand() % PAGES, n = 1 + (size_t)rand() % 8;

		n = MIN(n, PAGES - at);
		if (rand() % 3 && is_free(at, n))
			add(at, n);
		else if (rand() % 4)
			take(at);
		else
			take_within(at, n);
		check_order();
	}
}

static void addresses_inside_and_outside_are_none(void **state)
{
	struct attach a;
	bool found;

	for (size_t at = 0; at < PAGES; at++)
		take(at);
	add(10, 2);
	assert_false(attaches_take(NULL, &a));
	assert_false(attaches_take(BASE, &a));
	assert_false(attaches_take(BASE + 10 * PAGE + 1, &a));
	assert_false(attaches_take(BASE + 11 * PAGE, &a));
	assert_false(attaches_take(BASE + 12 * PAGE, &a));
	assert_false(attaches_take((void *)UINTPTR_MAX, &a));
	assert_int_equal(attaches_take_within(BASE, 10 * PAGE, &found, &a), 0);
	assert_false(found);
	assert_int_equal(attaches_take_within(BASE, 10 * PAGE + 1, &found, &a), -EINVAL);
	take(10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_is_what_was_added_and_not_taken),
		cmocka_unit_test(addresses_inside_and_outside_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
