/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"

/*
 * What needs the vendor's hardware: bus addresses, memory of devices, devices of other hosts, the
 * registers of an adapter. All of it is there, to be linked, and says so.
 */

static void not_supported(unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : SCI_ERR_NOT_SUPPORTED);
}

SCI_CALL void SCIAttachPhysicalMemory(sci_ioaddr_t ioaddress, void *address, unsigned int busNo,
	size_t size, sci_local_segment_t segment, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL sci_ioaddr_t SCIGetMapPhysAddr(sci_map_t map)
{
	return 0;
}

SCI_CALL void SCIphDmaEnqueue(sci_dma_queue_t dq, size_t size, sci_ioaddr_t localAddress,
	sci_ioaddr_t remoteAddress, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL sci_dma_queue_state_t SCIphDmaStart(sci_dma_queue_t dq, sci_cb_dma_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
	return SCI_DMAQUEUE_ERROR;
}

SCI_CALL void SCICreateNamedInterrupt(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int localAdapterNo, const char *name, sci_cb_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIRegisterInterruptFlag(unsigned int localAdapterNo,
	sci_local_interrupt_t *interrupt, sci_local_segment_t segment, size_t offset,
	sci_cb_interrupt_t callback, void *callbackArg, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIEnableConditionalInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIDisableConditionalInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIGetConditionalInterruptTrigCounter(sci_local_interrupt_t interrupt,
	unsigned int *counter, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL size_t SCIGetDeviceList(sci_desc_t sd, dis_uint64_t ids[], size_t max,
	sci_smartio_device_info_t *filter, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
	return 0;
}

SCI_CALL void SCIBorrowDevice(sci_desc_t sd, sci_smartio_device_t *device, dis_uint64_t fdid,
	unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIReturnDevice(sci_smartio_device_t device, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIReleaseExclusiveBorrow(
	sci_smartio_device_t device, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL dis_uint64_t SCIGetFabricDeviceId(sci_smartio_device_t device)
{
	return 0;
}

SCI_CALL void SCIConnectDeviceSegment(sci_smartio_device_t device, sci_remote_segment_t *segment,
	unsigned int id, unsigned int memtype, sci_cb_remote_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIConnectDeviceSegmentPath(sci_smartio_device_t device,
	sci_remote_segment_t *segment, unsigned int id, unsigned int memtype,
	unsigned int localAdapterNo, sci_cb_remote_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIConnectDeviceMemory(sci_desc_t sd, sci_remote_segment_t *segment,
	unsigned int localAdapterNo, sci_smartio_device_t device, unsigned int segmentNo,
	unsigned int reserved, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCICreateDeviceSegment(sci_smartio_device_t device, unsigned int id, size_t size,
	unsigned int memtype, unsigned int accesshints, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIMapLocalSegmentForDevice(sci_local_segment_t segment, unsigned int localAdapterNo,
	sci_smartio_device_t device, sci_ioaddr_t *address, size_t offset, size_t size,
	unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIMapRemoteSegmentForDevice(sci_remote_segment_t segment,
	sci_smartio_device_t device, sci_ioaddr_t *address, size_t offset, size_t size,
	unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIUnmapLocalSegmentForDevice(sci_local_segment_t segment,
	unsigned int localAdapterNo, sci_smartio_device_t device, unsigned int flags,
	sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIUnmapRemoteSegmentForDevice(sci_remote_segment_t segment,
	sci_smartio_device_t device, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIRegisterPCIeRequester(sci_desc_t sd, unsigned int localAdapterNo, unsigned int bus,
	unsigned int devfn, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIUnregisterPCIeRequester(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int bus, unsigned int devfn, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIGetCSRRegister(sci_desc_t sd, unsigned int localAdapterNo, unsigned int nodeId,
	unsigned int offset, unsigned int *value, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCISetCSRRegister(sci_desc_t sd, unsigned int localAdapterNo, unsigned int nodeId,
	unsigned int offset, unsigned int value, unsigned int mask, unsigned int flags,
	sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIGetLocalCSR(sci_desc_t sd, unsigned int localAdapterNo, unsigned int offset,
	unsigned int *value, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCISetLocalCSR(sci_desc_t sd, unsigned int localAdapterNo, unsigned int offset,
	unsigned int value, unsigned int mask, unsigned int flags, sci_error_t *error)
{
	not_supported(flags, error);
}

SCI_CALL void SCIConnectSCISpace(sci_desc_t sd, unsigned int localAdapterNo,
	sci_remote_segment_t *segment, sci_address_t address, size_t size, unsigned int flags,
	sci_error_t *error)
{
	not_supported(flags, error);
}
