/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/rsm/codes.h"
#include "wire/status.h"

static const enum rsm_about abouts[] = {
	ABOUT_CONTROLLER, ABOUT_TOPOLOGY, ABOUT_EXPORT, ABOUT_IMPORT};

static void every_status_has_an_rsm_code(void **state)
{
	for (int s = 0; wire_status_name(s); s++) {
		for (int a = 0; a < 4; a++) {
			int code = rsm_code(s, abouts[a]);

			assert_true(s ? code > 0 && code <= 45 : code == RSM_SUCCESS);
		}
	}
}

static void an_errno_never_comes_out_as_itself(void **state)
{
	for (int e = 1; e < 134; e++) {
		int code = rsm_code(-e, ABOUT_EXPORT);

		assert_true(code == RSMERR_INSUFFICIENT_MEM ||
			    code == RSMERR_INSUFFICIENT_RESOURCES || code == RSMERR_INTERRUPTED);
	}
	assert_int_equal(rsm_code(-ENOMEM, ABOUT_IMPORT), RSMERR_INSUFFICIENT_MEM);
}

static void unknown_results_are_errors(void **state)
{
	assert_int_equal(rsm_code(9999, ABOUT_IMPORT), RSMERR_INSUFFICIENT_RESOURCES);
}

static void no_daemon_has_the_codes_of_decision_2(void **state)
{
	static const int no_node[] = {STATUS_NO_DAEMON, STATUS_NODE_LOST};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(rsm_code(no_node[i], ABOUT_CONTROLLER), RSMERR_CTLR_NOT_PRESENT);
		assert_int_equal(rsm_code(no_node[i], ABOUT_TOPOLOGY), RSMERR_INSUFFICIENT_MEM);
		assert_int_equal(rsm_code(no_node[i], ABOUT_IMPORT), RSMERR_CONN_ABORTED);
		assert_int_equal(rsm_code(no_node[i], ABOUT_EXPORT), RSMERR_INSUFFICIENT_RESOURCES);
	}
}

static bool is_one_of(int code, const int *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (codes[i] == code)
			return true;
	return false;
}

#define ASSERT_ONE_OF(code, ...)                                                                   \
	do {                                                                                       \
		static const int codes[] = {__VA_ARGS__};                                          \
                                                                                                   \
		assert_true(is_one_of(code, codes, sizeof(codes) / sizeof(codes[0])));             \
	} while (0)

static void calls_that_document_few_codes_give_only_those(void **state)
{
	for (int r = -133; r <= 0 || wire_status_name(r); r++) {
		ASSERT_ONE_OF(rsm_code_get_controller(r), RSM_SUCCESS, RSMERR_CTLR_NOT_PRESENT,
			RSMERR_BAD_LIBRARY_VERSION, RSMERR_INSUFFICIENT_MEM);
		ASSERT_ONE_OF(rsm_code_transfer(r, false), RSM_SUCCESS, RSMERR_CONN_ABORTED,
			RSMERR_BARRIER_FAILURE, RSMERR_INSUFFICIENT_RESOURCES);
		ASSERT_ONE_OF(
			rsm_code_transfer(r, true), RSM_SUCCESS, RSMERR_INSUFFICIENT_RESOURCES);
		ASSERT_ONE_OF(rsm_code_wait_pollfd(r), RSM_SUCCESS, RSMERR_TIMEOUT,
			RSMERR_INTERRUPTED, RSMERR_BAD_ADDR, RSMERR_INSUFFICIENT_MEM,
			RSMERR_BAD_ARGS_ERRORS, RSMERR_INSUFFICIENT_RESOURCES);
		assert_int_not_equal(rsm_code_map(r), RSMERR_INSUFFICIENT_MEM);
		assert_int_not_equal(rsm_code_map(r), RSMERR_INSUFFICIENT_RESOURCES);
	}
}

static void only_success_is_success(void **state)
{
	for (int r = -133; r <= 0 || wire_status_name(r); r++) {
		assert_true((rsm_code_get_controller(r) == RSM_SUCCESS) == (r == 0));
		assert_true((rsm_code_map(r) == RSM_SUCCESS) == (r == 0));
		assert_true((rsm_code_transfer(r, false) == RSM_SUCCESS) == (r == 0));
		assert_true((rsm_code_wait_pollfd(r) == RSM_SUCCESS) == (r == 0));
	}
}

static void a_lost_node_is_39_for_a_connect_and_40_for_data(void **state)
{
	assert_int_equal(rsm_code(STATUS_NODE_UNREACHABLE, ABOUT_IMPORT), 39);
	assert_int_equal(rsm_code(STATUS_NOT_ENCRYPTED, ABOUT_IMPORT), 39);
	assert_int_equal(rsm_code_transfer(STATUS_NODE_LOST, false), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_status_has_an_rsm_code),
		cmocka_unit_test(an_errno_never_comes_out_as_itself),
		cmocka_unit_test(unknown_results_are_errors),
		cmocka_unit_test(no_daemon_has_the_codes_of_decision_2),
		cmocka_unit_test(calls_that_document_few_codes_give_only_those),
		cmocka_unit_test(only_success_is_success),
		cmocka_unit_test(a_lost_node_is_39_for_a_connect_and_40_for_data),
	};

	return cmocka_run_group_tests_name("rsm-codes", tests, NULL, NULL);
}
