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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_status_has_an_rsm_code),
		cmocka_unit_test(an_errno_never_comes_out_as_itself),
		cmocka_unit_test(unknown_results_are_errors),
		cmocka_unit_test(no_daemon_has_the_codes_of_decision_2),
	};

	return cmocka_run_group_tests_name("rsm-codes", tests, NULL, NULL);
}
