/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "api/rsm/segmentid.h"

static int search(const char *text, const char *appid, rsm_memseg_id_t *base, uint32_t *length)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int code;

	assert_non_null(f);
	code = segmentid_search(f, appid, base, length);
	fclose(f);
	return code;
}

static void expect_range(const char *text, const char *appid, uint32_t base, uint32_t length)
{
	rsm_memseg_id_t got_base = 77;
	uint32_t got_length = 77;

	assert_int_equal(search(text, appid, &got_base, &got_length), RSM_SUCCESS);
	assert_int_equal(got_base, base);
	assert_int_equal(got_length, length);
}

static void expect_code(const char *text, int code)
{
	rsm_memseg_id_t base = 77;
	uint32_t length = 77;

	assert_int_equal(search(text, "app", &base, &length), code);
	assert_int_equal(base, 77);
	assert_int_equal(length, 77);
}

static void both_keywords_in_any_case_are_taken(void **state)
{
	expect_range("reserve app 600000 16\n", "app", 0x600000, 16);
	expect_range("reserved\tapp 0x600000\t16", "app", 0x600000, 16);
	expect_range("RESERVED App 0X600000 16\n", "aPP", 0x600000, 16);
}

static void comments_blank_lines_and_stray_words_are_passed_over(void **state)
{
	expect_range("# ids\n\n  # reserve app 1 1\n \t\nhello\nreserve app 600000 16\n", "app",
		0x600000, 16);
}

static void the_first_line_of_an_application_wins_and_what_follows_does_not_matter(void **state)
{
	expect_range(
		"reserve a 1 1\nreserve app 2 3 words\nreserve app 4 5\nreserve\n", "app", 2, 3);
}

static void long_lines_are_one_line(void **state)
{
	char text[2000];

	memset(text, 'x', sizeof(text));
	text[0] = '#';
	strcpy(text + 1000, "\nreserve app 600000 16\n");
	expect_range(text, "app", 0x600000, 16);
}

static void the_last_id_can_be_reserved(void **state)
{
	expect_range("reserve app ffffffff 1\n", "app", UINT32_MAX, 1);
	expect_range("reserve app 80000000 2147483648\n", "app", 0x80000000, 0x80000000);
}

static void an_application_without_a_line_is_unknown(void **state)
{
	expect_code("", RSMERR_BAD_APPID);
	expect_code("reserve apple 600000 16\n", RSMERR_BAD_APPID);
}

static void malformed_lines_are_errors_of_the_file(void **state)
{
	expect_code("reserve app\n", RSMERR_BAD_CONF);
	expect_code("reserve app 600000\n", RSMERR_BAD_CONF);
	expect_code("reserve app 60g000 16\n", RSMERR_BAD_CONF);
	expect_code("reserve app 0x 16\n", RSMERR_BAD_CONF);
	expect_code("reserve app -1 16\n", RSMERR_BAD_CONF);
	expect_code("reserve app 600000 a\n", RSMERR_BAD_CONF);
	expect_code("reserve app 600000 +1\n", RSMERR_BAD_CONF);
	expect_code("reserve app 100000000 1\n", RSMERR_BAD_CONF);
	expect_code("reserve app ffffffff 2\n", RSMERR_BAD_CONF);
	expect_code("reserve other 60g000 16\nreserve app 600000 16\n", RSMERR_BAD_CONF);
	expect_code("keep app 600000 16\n", RSMERR_BAD_CONF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_keywords_in_any_case_are_taken),
		cmocka_unit_test(comments_blank_lines_and_stray_words_are_passed_over),
		cmocka_unit_test(
			the_first_line_of_an_application_wins_and_what_follows_does_not_matter),
		cmocka_unit_test(long_lines_are_one_line),
		cmocka_unit_test(the_last_id_can_be_reserved),
		cmocka_unit_test(an_application_without_a_line_is_unknown),
		cmocka_unit_test(malformed_lines_are_errors_of_the_file),
	};

	return cmocka_run_group_tests_name("rsm-segmentid", tests, NULL, NULL);
}
