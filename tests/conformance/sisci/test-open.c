/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning and the end: sisci.md §5.1.
 */
#include "rig.h"

#include <string.h>

static void nothing_goes_before_initialize(void)
{
	sci_desc_t sd = NULL;

	CODE(SCI_ERR_NOT_INITIALIZED, SCIOpen, &sd, 0);
	CODE(SCI_ERR_NOT_INITIALIZED, SCIClose, sd, 0);
	CHECK(!sd);
}

/* program E calls it in several contexts */
static void initialize_may_be_called_again(void)
{
	sci_desc_t sd;

	OK(SCIInitialize, 0);
	OK(SCIInitialize, 0);
	SCITerminate();
	OK(SCIOpen, &sd, 0);
	SCITerminate();
	CODE(SCI_ERR_NOT_INITIALIZED, SCIOpen, &sd, 0);
	SCITerminate();
}

static void terminate_ends_what_is_open(void)
{
	sci_desc_t sd = rig_open();

	SCITerminate();
	OK(SCIInitialize, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIClose, sd, 0);
}

static void a_closed_descriptor_is_an_illegal_parameter(void)
{
	sci_desc_t sd = rig_open(), other;

	OK(SCIClose, sd, 0);
	OK(SCIOpen, &other, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIClose, sd, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIClose, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIClose, (sci_desc_t)&other, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIOpen, NULL, 0);
	OK(SCIClose, other, 0);
}

static void bits_of_no_flag_are_illegal_flags(void)
{
	sci_desc_t sd = NULL;

	CODE(SCI_ERR_ILLEGAL_FLAG, SCIInitialize, 0x80000000u);
	OK(SCIInitialize, 0);
	CODE(SCI_ERR_ILLEGAL_FLAG, SCIOpen, &sd, 0x40000000u);
	OK(SCIOpen, &sd, SCI_FLAG_THREAD_SAFE);
}

/* the limit of the original, which nobody needs to keep */
static void a_hundred_and_twenty_eight_descriptors_open(void)
{
	sci_desc_t sd[128];

	NEED(SCIInitialize, 0);
	for (int i = 0; i < 128; i++)
		OK(SCIOpen, &sd[i], 0);
	for (int i = 0; i < 128; i++)
		OK(SCIClose, sd[i], 0);
}

/* §4 */
static void every_code_has_a_text(void)
{
	const char *success = SCIGetErrorString(SCI_ERR_OK);

	CHECK(success && *success);
	for (unsigned int c = 0x40000900; c <= 0x40000b10; c++)
		CHECK(SCIGetErrorString((sci_error_t)c) != NULL);
	CHECK(strcmp(SCIGetErrorString(SCI_ERR_BUSY), SCIGetErrorString(SCI_ERR_NOSPC)));
	CHECK(SCIGetErrorString((sci_error_t)-1) != NULL);
}

static void errors_may_be_null(void)
{
	sci_desc_t sd;

	SCIInitialize(0, NULL);
	SCIOpen(&sd, 0, NULL);
	SCIClose(sd, 0, NULL);
}

static void a_child_begins_anew(void *data)
{
	sci_desc_t sd = data;

	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIClose, sd, 0);
	OK(SCIInitialize, 0);
	OK(SCIOpen, &sd, 0);
	OK(SCIClose, sd, 0);
}

static void handles_of_the_parent_mean_nothing_in_a_child(void)
{
	sci_desc_t sd = rig_open();

	rig_in_child(a_child_begins_anew, sd);
	OK(SCIClose, sd, 0);
}

static const rig_test_t tests[] = {
	TEST(nothing_goes_before_initialize),
	TEST(initialize_may_be_called_again),
	TEST(terminate_ends_what_is_open),
	TEST(a_closed_descriptor_is_an_illegal_parameter),
	TEST(bits_of_no_flag_are_illegal_flags),
	TEST(a_hundred_and_twenty_eight_descriptors_open),
	TEST(every_code_has_a_text),
	TEST(errors_may_be_null),
	TEST(handles_of_the_parent_mean_nothing_in_a_child),
};

RIG_MAIN(tests)
