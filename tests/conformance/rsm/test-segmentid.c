/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment ids reserved for applications: rsmapi.md §4.4, §9.13. The file is looked for where
 * RSM_SEGMENTID_FILE says; that variable is this implementation's.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file has this text from now on. */
static void file_says(const char *text)
{
	static char path[64];
	int fd;

	if (!path[0])
		snprintf(path, sizeof(path), "/tmp/rsm-segmentid-%d", (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	NEED_TRUE(fd >= 0);
	NEED_TRUE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	setenv("RSM_SEGMENTID_FILE", path, 1);
}

static void remove_file(void)
{
	unlink(getenv("RSM_SEGMENTID_FILE"));
}

static void gives(const char *text, const char *appid, rsm_memseg_id_t base, uint32_t length)
{
	rsm_memseg_id_t got_base = 0;
	uint32_t got_length = 0;

	file_says(text);
	EXPECT(rsm_get_segmentid_range(appid, &got_base, &got_length), RSM_SUCCESS);
	CHECK_EQUAL(got_base, base);
	CHECK_EQUAL(got_length, length);
	remove_file();
}

static void fails(const char *text, const char *appid, int code)
{
	rsm_memseg_id_t base;
	uint32_t length;

	file_says(text);
	rig_expect(
		__FILE__, __LINE__, text, rsm_get_segmentid_range(appid, &base, &length), 1, &code);
	remove_file();
}

/* §4.4: any NULL, before the file is looked at */
static void null_is_a_bad_address(void)
{
	rsm_memseg_id_t base;
	uint32_t length;

	file_says("reserved app 0x600000 16\n");
	for (int i = 0; i < 2; i++) {
		EXPECT(rsm_get_segmentid_range(NULL, &base, &length), RSMERR_BAD_ADDR);
		EXPECT(rsm_get_segmentid_range("app", NULL, &length), RSMERR_BAD_ADDR);
		EXPECT(rsm_get_segmentid_range("app", &base, NULL), RSMERR_BAD_ADDR);
		remove_file();
	}
}

/* §4.4 advice, §9.13 beaten */
static void both_spellings_of_the_keyword_are_taken(void)
{
	gives("reserve app 0x600000 100\n", "app", 0x600000, 100);
	gives("reserved app 0x600000 100\n", "app", 0x600000, 100);
	gives("RESERVE app 0x600000 100\n", "app", 0x600000, 100);
	gives("Reserved app 0x600000 100\n", "app", 0x600000, 100);
}

/* §4.4: hexadecimal with and without 0x, decimal length */
static void the_base_is_hexadecimal_and_the_length_decimal(void)
{
	gives("reserved app 0x600010 10\n", "app", 0x600010, 10);
	gives("reserved app 600010 10\n", "app", 0x600010, 10);
	gives("reserved app 0X6abcDE 010\n", "app", 0x6abcde, 10);
	gives("reserved app 0x7fffffff 1\n", "app", 0x7fffffff, 1);
}

/* §4.4 */
static void fields_are_separated_by_blanks_and_tabs(void)
{
	gives("  reserved\t \tapp\t0x600000 \t 100  \n", "app", 0x600000, 100);
	gives("reserved app 0x600000 100", "app", 0x600000, 100);
	gives("reserved app 0x600000 100 what follows is a remark\n", "app", 0x600000, 100);
}

/* §4.4 */
static void applications_are_compared_without_case(void)
{
	gives("reserved MyApp 0x600000 100\n", "mYaPP", 0x600000, 100);
	fails("reserved MyApp 0x600000 100\n", "MyAp", RSMERR_BAD_APPID);
	fails("reserved MyApp 0x600000 100\n", "MyApps", RSMERR_BAD_APPID);
	fails("reserved MyApp 0x600000 100\n", "", RSMERR_BAD_APPID);
	fails("reserved MyApp 0x600000 100\n", "reserved", RSMERR_BAD_APPID);
}

/* §4.4 */
static void the_first_matching_line_wins(void)
{
	static const char text[] = "reserved other 0x610000 1\n"
				   "reserved app 0x620000 2\n"
				   "reserved APP 0x630000 3\n";

	gives(text, "app", 0x620000, 2);
	gives(text, "other", 0x610000, 1);
}

/* §4.4 */
static void comments_are_skipped(void)
{
	gives("# reserved app 0x610000 1\n"
	      "#\n"
	      "  \t# indented\n"
	      "reserved app 0x600000 100\n",
		"app", 0x600000, 100);
	fails("#reserved app 0x610000 1\n", "app", RSMERR_BAD_APPID);
}

/* A comment is one, however long it is */
static void long_comments_are_skipped(void)
{
	static char text[70000];

	memset(text, 'x', 69000);
	text[0] = '#';
	strcpy(text + 69000, "\nreserved app 0x600000 100\n");
	gives(text, "app", 0x600000, 100);
	/* A name may be long too. */
	memset(text, 'y', 400);
	text[400] = '\0';
	fails("reserved app 0x600000 100\n", text, RSMERR_BAD_APPID);
}

/* §9.13 beaten */
static void blank_lines_are_skipped(void)
{
	gives("\n   \n\t\nreserved app 0x600000 100\n", "app", 0x600000, 100);
	fails("\n\n", "app", RSMERR_BAD_APPID);
	fails("", "app", RSMERR_BAD_APPID);
}

/* §4.4: before the match; what stands after it is not looked at */
static void a_short_line_is_a_bad_file(void)
{
	fails("reserved\nreserved app 0x600000 100\n", "app", RSMERR_BAD_CONF);
	fails("reserved other 0x600000\nreserved app 0x600000 100\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000\n", "app", RSMERR_BAD_CONF);
	gives("reserved app 0x600000 100\nreserved other\n", "app", 0x600000, 100);
}

/* §4.4: an unknown keyword is no reservation */
static void an_unknown_keyword_reserves_nothing(void)
{
	rsm_memseg_id_t base;
	uint32_t length;

	file_says("preserved app 0x600000 100\n");
	EXPECT_ONE(
		rsm_get_segmentid_range("app", &base, &length), RSMERR_BAD_CONF, RSMERR_BAD_APPID);
	remove_file();
}

/* §9.13 beaten: no silent zeros */
static void bad_numbers_are_a_bad_file(void)
{
	fails("reserved app base 100\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 many\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x60000g 100\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 0x10\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 10k\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x 100\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 -1\n", "app", RSMERR_BAD_CONF);
	fails("reserved app -1 100\n", "app", RSMERR_BAD_CONF);
}

/* §4.4: ranges that 32 bits do not hold */
static void a_range_that_overflows_is_a_bad_file(void)
{
	fails("reserved app 0x100000000 1\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 4294967296\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 4294967295\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x10000000000600000 1\n", "app", RSMERR_BAD_CONF);
	fails("reserved app 0x600000 18446744073709551617\n", "app", RSMERR_BAD_CONF);
}

/* §4.4 */
static void a_missing_file_is_a_bad_file(void)
{
	rsm_memseg_id_t base;
	uint32_t length;

	setenv("RSM_SEGMENTID_FILE", "/tmp/no-such-directory/rsm.segmentid", 1);
	EXPECT(rsm_get_segmentid_range("app", &base, &length), RSMERR_BAD_CONF);
	setenv("RSM_SEGMENTID_FILE", "/tmp", 1);
	EXPECT(rsm_get_segmentid_range("app", &base, &length), RSMERR_BAD_CONF);
}

/* §4.4, §2.5: what the file gives can be published */
static void an_id_of_the_range_can_be_published(void)
{
	rsm_memseg_export_handle_t export = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t wanted = rig_id(), base = 0;
	uint32_t length = 0;
	char text[64];

	snprintf(text, sizeof(text), "reserved app 0x%x 16\n", wanted);
	file_says(text);
	NEED(rsm_get_segmentid_range("app", &base, &length));
	CHECK_EQUAL(length, 16);
	EXPECT(rsm_memseg_export_publish(export, &base, NULL, 0), RSM_SUCCESS);
	CHECK_EQUAL(base, wanted);
	remove_file();
}

static const rig_test_t tests[] = {
	TEST(null_is_a_bad_address),
	TEST(both_spellings_of_the_keyword_are_taken),
	TEST(the_base_is_hexadecimal_and_the_length_decimal),
	TEST(fields_are_separated_by_blanks_and_tabs),
	TEST(applications_are_compared_without_case),
	TEST(the_first_matching_line_wins),
	TEST(comments_are_skipped),
	TEST(long_comments_are_skipped),
	TEST(blank_lines_are_skipped),
	TEST(a_short_line_is_a_bad_file),
	TEST(an_unknown_keyword_reserves_nothing),
	TEST(bad_numbers_are_a_bad_file),
	TEST(a_range_that_overflows_is_a_bad_file),
	TEST(a_missing_file_is_a_bad_file),
	TEST(an_id_of_the_range_can_be_published),
};

RIG_MAIN(tests)
