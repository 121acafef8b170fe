/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "membership/static/static.h"

static void members_are_found_and_listed_by_number(void **state)
{
	char host[] = "three";
	const struct member members[] = {{7, 1, "seven"}, {3, 2, host}, {65535, 3, "last"}};
	const uint32_t order[] = {3, 7, 65535};
	const struct member *m = NULL;
	Membership *list;

	assert_int_equal(membership_static_new(members, 3, &list), 0);
	host[0] = 'T';
	assert_int_equal(membership_count(list), 3);
	for (size_t i = 0; i < ELEMENTS(order); i++) {
		m = membership_next(list, m ? m->node : 0);
		assert_int_equal(m->node, order[i]);
		assert_ptr_equal(membership_find(list, order[i]), m);
	}
	assert_null(membership_next(list, 65535));
	assert_string_equal(membership_find(list, 3)->host, "three");
	assert_int_equal(membership_find(list, 3)->port, 2);
	assert_null(membership_find(list, 4));
	assert_null(membership_find(list, 0));
	membership_free(list);
}

static void a_number_comes_once_and_is_not_0(void **state)
{
	const struct member twice[] = {{7, 1, "a"}, {3, 1, "b"}, {7, 2, "c"}},
			    zero[] = {{0, 1, "a"}};
	Membership *list = NULL;

	assert_int_equal(membership_static_new(twice, 3, &list), -EINVAL);
	assert_int_equal(membership_static_new(zero, 1, &list), -EINVAL);
	assert_null(list);
}

static void a_list_may_be_empty(void **state)
{
	Membership *list;

	assert_int_equal(membership_static_new(NULL, 0, &list), 0);
	assert_int_equal(membership_count(list), 0);
	assert_null(membership_next(list, 0));
	membership_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_found_and_listed_by_number),
		cmocka_unit_test(a_number_comes_once_and_is_not_0),
		cmocka_unit_test(a_list_may_be_empty),
	};

	return cmocka_run_group_tests_name("membership", tests, NULL, NULL);
}
