/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the vendor's hardware can do is there, and says that it cannot be done: sisci.md §5,
 * the functions marked HARDWARE-ONLY.
 */
#include "rig.h"

static void what_needs_hardware_is_not_supported(void)
{
	sci_address_t nowhere = {0, 0, 0};

	NEED(SCIInitialize, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIAttachPhysicalMemory, 0, NULL, 0, 0, NULL, 0);
	CHECK_EQUAL(SCIGetMapPhysAddr(NULL), 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIphDmaEnqueue, NULL, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIphDmaStart, NULL, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCICreateNamedInterrupt, NULL, NULL, 0, NULL, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIRegisterInterruptFlag, 0, NULL, NULL, 0, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIEnableConditionalInterrupt, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIDisableConditionalInterrupt, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIGetConditionalInterruptTrigCounter, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIGetDeviceList, NULL, NULL, 0, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIBorrowDevice, NULL, NULL, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIReturnDevice, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIReleaseExclusiveBorrow, NULL, 0);
	CHECK_EQUAL(SCIGetFabricDeviceId(NULL), 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIConnectDeviceSegment, NULL, NULL, 0, 0, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIConnectDeviceSegmentPath, NULL, NULL, 0, 0, 0, NULL, NULL,
		0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIConnectDeviceMemory, NULL, NULL, 0, NULL, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCICreateDeviceSegment, NULL, 0, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIMapLocalSegmentForDevice, NULL, 0, NULL, NULL, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIMapRemoteSegmentForDevice, NULL, NULL, NULL, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIUnmapLocalSegmentForDevice, NULL, 0, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIUnmapRemoteSegmentForDevice, NULL, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIRegisterPCIeRequester, NULL, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIUnregisterPCIeRequester, NULL, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIGetCSRRegister, NULL, 0, 0, 0, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCISetCSRRegister, NULL, 0, 0, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIGetLocalCSR, NULL, 0, 0, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCISetLocalCSR, NULL, 0, 0, 0, 0, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIConnectSCISpace, NULL, 0, NULL, nowhere, 0, 0);
}

static void it_needs_to_be_initialized_all_the_same(void)
{
	CODE(SCI_ERR_NOT_INITIALIZED, SCIAttachPhysicalMemory, 0, NULL, 0, 0, NULL, 0);
}

static const rig_test_t tests[] = {
	TEST(what_needs_hardware_is_not_supported),
	TEST(it_needs_to_be_initialized_all_the_same),
};

RIG_MAIN(tests)
