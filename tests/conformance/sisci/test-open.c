/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning and the end, and codes: sisci.md §4, §5.1, trap T30.
 */
#include "rig.h"

#include <dlfcn.h>
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

/* T30: programs print them, compare them and exit with them */
static void codes_have_the_values_of_the_original(void)
{
	static const struct {
		sci_error_t code;
		unsigned int value;
	} codes[] = {{SCI_ERR_OK, 0}, {SCI_ERR_BUSY, 0x900}, {SCI_ERR_FLAG_NOT_IMPLEMENTED, 0x901},
		{SCI_ERR_ILLEGAL_FLAG, 0x902}, {SCI_ERR_NOSPC, 0x904}, {SCI_ERR_API_NOSPC, 0x905},
		{SCI_ERR_HW_NOSPC, 0x906}, {SCI_ERR_NOT_IMPLEMENTED, 0x907},
		{SCI_ERR_ILLEGAL_ADAPTERNO, 0x908}, {SCI_ERR_NO_SUCH_ADAPTERNO, 0x909},
		{SCI_ERR_TIMEOUT, 0x90A}, {SCI_ERR_OUT_OF_RANGE, 0x90B},
		{SCI_ERR_NO_SUCH_SEGMENT, 0x90C}, {SCI_ERR_NO_SUCH_INTNO, 0x90C},
		{SCI_ERR_ILLEGAL_NODEID, 0x90D}, {SCI_ERR_CONNECTION_REFUSED, 0x90E},
		{SCI_ERR_SEGMENT_NOT_CONNECTED, 0x90F}, {SCI_ERR_SIZE_ALIGNMENT, 0x910},
		{SCI_ERR_OFFSET_ALIGNMENT, 0x911}, {SCI_ERR_ILLEGAL_PARAMETER, 0x912},
		{SCI_ERR_MAX_ENTRIES, 0x913}, {SCI_ERR_SEGMENT_NOT_PREPARED, 0x914},
		{SCI_ERR_ILLEGAL_ADDRESS, 0x915}, {SCI_ERR_ILLEGAL_OPERATION, 0x916},
		{SCI_ERR_ILLEGAL_QUERY, 0x917}, {SCI_ERR_SEGMENTID_USED, 0x918},
		{SCI_ERR_SYSTEM, 0x919}, {SCI_ERR_CANCELLED, 0x91A}, {SCI_ERR_NOT_CONNECTED, 0x91B},
		{SCI_ERR_NOT_AVAILABLE, 0x91C}, {SCI_ERR_INCONSISTENT_VERSIONS, 0x91D},
		{SCI_ERR_COND_INT_RACE_PROBLEM, 0x91E}, {SCI_ERR_OVERFLOW, 0x91F},
		{SCI_ERR_NOT_INITIALIZED, 0x920}, {SCI_ERR_ACCESS, 0x921},
		{SCI_ERR_NO_SUCH_NODEID, 0xA00}, {SCI_ERR_NODE_NOT_RESPONDING, 0xA02},
		{SCI_ERR_NO_REMOTE_LINK_ACCESS, 0xA04}, {SCI_ERR_NO_LINK_ACCESS, 0xA05},
		{SCI_ERR_TRANSFER_FAILED, 0xA06}, {SCI_ERR_EWOULD_BLOCK, 0xB00},
		{SCI_ERR_REMOTE_BUSY, 0xB00}};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		CHECK_EQUAL(codes[i].code, codes[i].value ? 0x40000000u | codes[i].value : 0);
}

static bool has_constant(const char *name, unsigned int value)
{
	const unsigned int *there = dlsym(RTLD_DEFAULT, name);

	return there && *there == value;
}

/* §1.2: programs that were compiled with the vendor's headers */
static void constants_are_objects_as_well(void)
{
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_FLAG_USE_CALLBACK", SCI_FLAG_USE_CALLBACK));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_FLAG_AUTO_ID", SCI_FLAG_AUTO_ID));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_FLAG_NOTIFY", SCI_FLAG_NOTIFY));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY",
		SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_Q_ADAPTER_NODEID", SCI_Q_ADAPTER_NODEID));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_INFINITE_TIMEOUT", SCI_INFINITE_TIMEOUT));
	CHECK(has_constant("_SISCI_PUBLIC_CONST_SCI_LOCAL_HOST", SCI_LOCAL_HOST));
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
	TEST(codes_have_the_values_of_the_original),
	TEST(constants_are_objects_as_well),
	TEST(errors_may_be_null),
	TEST(handles_of_the_parent_mean_nothing_in_a_child),
};

RIG_MAIN(tests)
