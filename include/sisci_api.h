/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_API_H
#define SISCI_API_H

/*
 * SISCI: shared memory between nodes. sisci(7) tells what it is, a page each what a function does.
 *
 * Every function but those that return a result says in *error how it went; *error is always
 * written. Timeouts are milliseconds.
 */

#include <sisci_api_macros.h>
#include <sisci_error.h>
#include <sisci_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Flags. One bit may mean different things to different functions.
 */
/* create and connect */
#define SCI_FLAG_USE_CALLBACK	      0x1u
#define SCI_FLAG_EMPTY		      0x2u
#define SCI_FLAG_PRIVATE	      0x4u
#define SCI_FLAG_DMA_SOURCE_ONLY      0x8u
#define SCI_FLAG_PHYSICAL	      0x1000u
#define SCI_FLAG_CUDA_BUFFER	      0x2000u
#define SCI_FLAG_SCIF_BUFFER	      0x4000u
#define SCI_FLAG_AUTO_ID	      0x20000000u
#define SCI_FLAG_BROADCAST	      0x40000u
#define SCI_FLAG_ALLOW_UNICAST	      0x80u
#define SCI_FLAG_ASYNCHRONOUS_CONNECT 0x8000u
#define SCI_FLAG_LOCK_USER_MEM	      0x400u
#define SCI_FLAG_FORCE_REMOVE	      0x20u
#define SCI_FLAG_NOTIFY		      0x10000u
#define SCI_FLAG_FORCE_DISCONNECT     0x20000u
#define SCI_FLAG_THREAD_SAFE	      0x1u

/* DMA */
#define SCI_FLAG_DMA_POST	    0x2u
#define SCI_FLAG_DMA_WAIT	    0x4u
#define SCI_FLAG_DMA_RESET	    0x8u
#define SCI_FLAG_DMA_READ	    0x10u
#define SCI_FLAG_DMA_PHDMA	    0x20u
#define SCI_FLAG_DMA_GLOBAL	    0x40u
#define SCI_FLAG_DMA_SYSDMA	    0x100u
#define SCI_FLAG_DMA_USER_MEM	    0x200u
#define SCI_FLAG_DMA_ADAPTER	    0x800u
#define SCI_FLAG_DMA_CHANNEL_SHARED 0x1u

/* maps */
#define SCI_FLAG_FIXED_MAP_ADDR			  0x1u
#define SCI_FLAG_READONLY_MAP			  0x2u
#define SCI_FLAG_LOCK_OPERATION			  0x4u
#define SCI_FLAG_CONDITIONAL_INTERRUPT_MAP	  0x8u
#define SCI_FLAG_UNCONDITIONAL_DATA_INTERRUPT_MAP 0x10u
#define SCI_FLAG_READ_PREFETCH_AGGR_HOLD_MAP	  0x20u
#define SCI_FLAG_READ_PREFETCH_NO_HOLD_MAP	  0x40u
#define SCI_FLAG_IO_MAP_IOSPACE			  0x80u
#define SCI_FLAG_DMOVE_MAP			  0x100u
#define SCI_FLAG_WRITES_DISABLE_GATHER_MAP	  0x200u
#define SCI_FLAG_DISABLE_128_BYTES_PACKETS	  0x400u
#define SCI_FLAG_NO_MEMORY_LOOPBACK		  0x800u
#define SCI_FLAG_NO_MEMORY_LOOPBACK_MAP		  0x800u
#define SCI_FLAG_SHARED_MAP			  0x2000u
#define SCI_FLAG_WRITE_BACK_CACHE_MAP		  0x08000000u

/* interrupts */
#define SCI_FLAG_FIXED_INTNO	       0x2u
#define SCI_FLAG_SHARED_INT	       0x4u
#define SCI_FLAG_CONDITIONAL_INTERRUPT 0x8u
#define SCI_FLAG_COUNTING_INT	       0x20u
#define SCI_FLAG_SHARE_EXTERNAL	       0x40u

/* copies, sequences, caches */
#define SCI_FLAG_BLOCK_READ		0x80000u
#define SCI_FLAG_ERROR_CHECK		0x400000u
#define SCI_FLAG_FAST_BARRIER		0x8000u
#define SCI_FLAG_NO_FLUSH		0x10000u
#define SCI_FLAG_NO_STORE_BARRIER	0x20000u
#define SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY 0x800000u
#define SCI_FLAG_CACHE_FLUSH		0x100000u
#define SCI_FLAG_CACHE_INVALIDATE	0x200000u

/* devices */
#define SCI_FLAG_PCIE_REQUESTER_GLOBAL	 0x1u
#define SCI_FLAG_EXCLUSIVE		 0x1000000u
#define SCI_FLAG_DEVICE_SIDE_ONLY	 0x02001000u
#define SCI_FLAG_LOCAL_ONLY		 0x02002000u
#define SCI_FLAG_DEVICE_PREFER_BANDWIDTH 0x04000001u
#define SCI_FLAG_HOST_PREFER_BANDWIDTH	 0x04000002u
#define SCI_FLAG_SPECIFY_PATH		 0x10000000u
#define SCI_FLAG_SPECIFY_SLOT		 0x20000000u

#define SCI_INFINITE_TIMEOUT	    0xFFFFFFFFu
#define SCI_LOCAL_HOST		    0xFFFFFFF0u /* as a node id: this node */
#define SCI_DMA_CHANNEL_ID_DONTCARE 0xFFFFFFFFu
#define MAX_CALLBACKS_EVENT	    32 /* events that are kept for each object */
#define MAX_DEVICE_NUMBER	    128

#define SCI_MEMTYPE_BAR		      1u
#define SCI_MEMTYPE_PRIVATE	      2u
#define SCI_MEMTYPE_SHARED	      4u
#define SCI_MEMACCESS_DEVICE_READ     1u
#define SCI_MEMACCESS_DEVICE_WRITE    2u
#define SCI_MEMACCESS_HOST_READ	      4u
#define SCI_MEMACCESS_HOST_WRITE      8u
#define SCI_MEMACCESS_MULTIHOST_READ  (0x10u | 4u)
#define SCI_MEMACCESS_MULTIHOST_WRITE (0x10u | 8u)
#define SCI_MEMACCESS_P2P_READ	      (0x20u | 1u)
#define SCI_MEMACCESS_P2P_WRITE	      (0x20u | 2u)

/*
 * Queries
 */
/* commands of SCIQuery(): what data points to */
#define SCI_Q_API		   0x101u
#define SCI_Q_VENDORID		   0x102u
#define SCI_Q_SISCI_DRIVER_VERSION 0x103u
#define SCI_Q_ADAPTER		   0x104u
#define SCI_Q_SYSTEM		   0x105u
#define SCI_Q_DMA		   0x106u
#define SCI_Q_LOCAL_SEGMENT	   0x107u
#define SCI_Q_REMOTE_SEGMENT	   0x108u
#define SCI_Q_MAP		   0x109u
#define SCI_Q_DEVICE		   0x10au

/* subcommands of SCI_Q_ADAPTER */
#define SCI_Q_ADAPTER_SERIAL_NUMBER			0x201u
#define SCI_Q_ADAPTER_CARD_TYPE				0x202u
#define SCI_Q_ADAPTER_NODEID				0x203u
#define SCI_Q_ADAPTER_CONFIGURED			0x204u
#define SCI_Q_ADAPTER_DMA_MTU				0x205u
#define SCI_Q_ADAPTER_MCAST_MAX_GROUPS			0x206u
#define SCI_Q_ADAPTER_BDF				0x207u
#define SCI_Q_ADAPTER_NUMBER_OF_LINKS			0x208u
#define SCI_Q_ADAPTER_LINK_OPERATIONAL			0x209u
#define SCI_Q_ADAPTER_LINK_WIDTH			0x20au
#define SCI_Q_ADAPTER_LINK_SPEED			0x20bu
#define SCI_Q_ADAPTER_LINK_UPTIME			0x20cu
#define SCI_Q_ADAPTER_LINK_DOWNTIME			0x20du
#define SCI_Q_ADAPTER_LINK_CABLE_INSERTED		0x20eu
#define SCI_Q_ADAPTER_LINK_ENABLED			0x20fu
#define SCI_Q_ADAPTER_LINK_PARTNER_PORT_NO		0x210u
#define SCI_Q_ADAPTER_DMA_SIZE_ALIGNMENT		0x211u
#define SCI_Q_ADAPTER_DMA_OFFSET_ALIGNMENT		0x212u
#define SCI_Q_ADAPTER_SUGGESTED_MIN_DMA_SIZE		0x213u
#define SCI_Q_ADAPTER_SUGGESTED_MIN_BLOCK_SIZE		0x214u
#define SCI_Q_ADAPTER_NUMBER_OF_STREAMS			0x215u
#define SCI_Q_ADAPTER_STREAM_BUFFER_SIZE		0x216u
#define SCI_Q_ADAPTER_HW_LINK_STATUS_IS_OK		0x217u
#define SCI_Q_ADAPTER_NUMBER				0x218u
#define SCI_Q_ADAPTER_INSTANCE_NUMBER			0x219u
#define SCI_Q_ADAPTER_FIRMWARE_OK			0x21au
#define SCI_Q_ADAPTER_CONNECTED_TO_SWITCH		0x21bu
#define SCI_Q_ADAPTER_LOCAL_SWITCH_TYPE			0x21cu
#define SCI_Q_ADAPTER_LOCAL_SWITCH_PORT_NUMBER		0x21du
#define SCI_Q_ADAPTER_CONNECTED_TO_EXPECTED_SWITCH_PORT 0x21eu
#define SCI_Q_ADAPTER_ATT_PAGE_SIZE			0x21fu
#define SCI_Q_ADAPTER_ATT_ENTRIES			0x220u
#define SCI_Q_ADAPTER_ATT_AVAILABLE_ENTRIES		0x221u
#define SCI_Q_ADAPTER_PHYS_MEM_NODEID			0x222u
#define SCI_Q_ADAPTER_PHYS_MBX_NODEID			0x223u
#define SCI_Q_ADAPTER_PHYS_LINK_PORT_NODEID		0x224u
#define SCI_Q_ADAPTER_SCI_LINK_FREQUENCY		0x225u
#define SCI_Q_ADAPTER_B_LINK_FREQUENCY			0x226u
#define SCI_Q_ADAPTER_IO_BUS_FREQUENCY			0x227u

/* subcommands of SCI_Q_SYSTEM */
#define SCI_Q_SYSTEM_CPU_CACHE_LINE_SIZE     0x301u
#define SCI_Q_SYSTEM_HOSTBRIDGE		     0x302u
#define SCI_Q_SYSTEM_WRITE_POSTING_ENABLED   0x303u
#define SCI_Q_SYSTEM_WRITE_COMBINING_ENABLED 0x304u

/* subcommands of SCI_Q_DMA */
#define SCI_Q_DMA_AVAILABLE    0x401u
#define SCI_Q_DMA_CAPABILITIES 0x402u

/* subcommands of SCI_Q_LOCAL_SEGMENT */
#define SCI_Q_LOCAL_SEGMENT_IOADDR		0x501u
#define SCI_Q_LOCAL_SEGMENT_VIRTUAL_KERNEL_ADDR 0x502u
#define SCI_Q_LOCAL_SEGMENT_PHYS_ADDR		0x503u

/* subcommand of SCI_Q_REMOTE_SEGMENT */
#define SCI_Q_REMOTE_SEGMENT_IOADDR 0x601u

/* subcommands of SCI_Q_MAP */
#define SCI_Q_MAP_MAPPED_TO_LOCAL_TARGET	      0x701u
#define SCI_Q_MAP_IOADDR			      0x702u
#define SCI_Q_MAP_PHYS_ADDR			      0x703u
#define SCI_Q_MAP_QUERY_REMOTE_MAPPED_TO_LOCAL_TARGET 0x704u

/* subcommand of SCI_Q_DEVICE */
#define SCI_Q_DEVICE_INFO 0x801u

#define HOSTBRIDGE_NOT_AVAILABLE 0u
#define HOSTBRIDGE_UNKNOWN	 1u

/*
 * Functions
 */
/* Library, descriptors, nodes */
SISCI_API_EXPORT void SCIInitialize(unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCITerminate(void);
SISCI_API_EXPORT void SCIOpen(sci_desc_t *sd, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIClose(sci_desc_t sd, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT const char *SCIGetErrorString(sci_error_t error);
SISCI_API_EXPORT void SCIGetLocalNodeId(
	unsigned int localAdapterNo, unsigned int *nodeId, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIGetNodeIdByAdapterName(char *adaptername, dis_nodeId_list_t *nodeIdlist,
	dis_virt_adapter_t *type, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIGetNodeInfoByAdapterName(char *adaptername, unsigned int *adapterNo,
	dis_nodeId_list_t *nodeIdlist, dis_adapter_type_t *type, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT const char *SCIGetAdapterTypeString(dis_adapter_type_t type);
SISCI_API_EXPORT const char *SCIGetAdapterFamilyString(dis_adapter_type_t type);
SISCI_API_EXPORT int SCIProbeNode(sci_desc_t sd, unsigned int localAdapterNo, unsigned int nodeId,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIQuery(
	unsigned int command, void *data, unsigned int flags, sci_error_t *error);

/* Local segments */
SISCI_API_EXPORT void SCICreateSegment(sci_desc_t sd, sci_local_segment_t *segment,
	unsigned int segmentId, size_t size, sci_cb_local_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIPrepareSegment(sci_local_segment_t segment, unsigned int localAdapterNo,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCISetSegmentAvailable(sci_local_segment_t segment,
	unsigned int localAdapterNo, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCISetSegmentUnavailable(sci_local_segment_t segment,
	unsigned int localAdapterNo, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRemoveSegment(
	sci_local_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT unsigned int SCIGetLocalSegmentId(sci_local_segment_t segment);
SISCI_API_EXPORT size_t SCIGetLocalSegmentSize(sci_local_segment_t segment);
SISCI_API_EXPORT sci_segment_cb_reason_t SCIWaitForLocalSegmentEvent(sci_local_segment_t segment,
	unsigned int *sourcenodeId, unsigned int *localAdapterNo, unsigned int timeout,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIShareSegment(
	sci_local_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIAttachLocalSegment(sci_desc_t sd, sci_local_segment_t *segment,
	unsigned int segmentId, size_t *size, sci_cb_local_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRegisterSegmentMemory(void *address, size_t size,
	sci_local_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIAttachPhysicalMemory(sci_ioaddr_t ioaddress, void *address,
	unsigned int busNo, size_t size, sci_local_segment_t segment, unsigned int flags,
	sci_error_t *error);

/* Remote segments */
SISCI_API_EXPORT void SCIConnectSegment(sci_desc_t sd, sci_remote_segment_t *segment,
	unsigned int nodeId, unsigned int segmentId, unsigned int localAdapterNo,
	sci_cb_remote_segment_t callback, void *callbackArg, unsigned int timeout,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIDisconnectSegment(
	sci_remote_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT size_t SCIGetRemoteSegmentSize(sci_remote_segment_t segment);
SISCI_API_EXPORT unsigned int SCIGetRemoteSegmentId(sci_remote_segment_t segment);
SISCI_API_EXPORT unsigned int SCIGetRemoteSegmentNodeId(sci_remote_segment_t segment);
SISCI_API_EXPORT sci_segment_cb_reason_t SCIWaitForRemoteSegmentEvent(sci_remote_segment_t segment,
	sci_error_t *status, unsigned int timeout, unsigned int flags, sci_error_t *error);

/* Maps */
SISCI_API_EXPORT volatile void *SCIMapRemoteSegment(sci_remote_segment_t segment, sci_map_t *map,
	size_t offset, size_t size, void *addr, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void *SCIMapLocalSegment(sci_local_segment_t segment, sci_map_t *map,
	size_t offset, size_t size, void *addr, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIUnmapSegment(sci_map_t map, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT volatile void *SCIGetMapPointer(sci_map_t map);
SISCI_API_EXPORT sci_ioaddr_t SCIGetMapPhysAddr(sci_map_t map);

/* Data moved by the processor */
SISCI_API_EXPORT void SCIMemCpy(sci_sequence_t sequence, void *memAddr, sci_map_t remoteMap,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIMemCpy_dual(sci_sequence_t sequence, void *memAddr, sci_map_t remoteMap,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIMemWrite(void *memAddr, volatile void *remoteAddr, size_t size,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIMemCopy(void *memAddr, sci_map_t remoteMap, size_t remoteOffset,
	size_t size, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCITransferBlock(sci_map_t sourceMap, size_t sourceOffset,
	sci_map_t destinationMap, size_t destinationOffset, size_t size, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCITransferBlockAsync(sci_map_t sourceMap, size_t sourceOffset,
	sci_map_t destinationMap, size_t destinationOffset, size_t size,
	sci_block_transfer_t *block, sci_cb_block_transfer_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIWaitForBlockTransfer(
	sci_block_transfer_t block, unsigned int timeout, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIAbortBlockTransfer(
	sci_block_transfer_t block, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIFlush(sci_sequence_t sequence, unsigned int flags);
SISCI_API_EXPORT void SCIStoreBarrier(sci_sequence_t sequence, unsigned int flags);
SISCI_API_EXPORT void SCIFlushReadBuffers(sci_sequence_t sequence);
SISCI_API_EXPORT void SCICacheSync(
	sci_map_t map, void *addr, size_t length, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SetSciMemCopyFunction(int number);
SISCI_API_EXPORT int GetSciMemCopyFunction(void);

/* Sequences */
SISCI_API_EXPORT void SCICreateMapSequence(
	sci_map_t map, sci_sequence_t *sequence, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRemoveSequence(
	sci_sequence_t sequence, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT sci_sequence_status_t SCIStartSequence(
	sci_sequence_t sequence, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT sci_sequence_status_t SCICheckSequence(
	sci_sequence_t sequence, unsigned int flags, sci_error_t *error);

/* DMA */
SISCI_API_EXPORT void SCICreateDMAQueue(sci_desc_t sd, sci_dma_queue_t *dq,
	unsigned int localAdapterNo, unsigned int maxEntries, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCIRemoveDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIStartDmaTransfer(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t localOffset, size_t size, size_t remoteOffset,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIStartDmaTransferVec(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t vectorLength, dis_dma_vec_t *disDmaVec,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIStartDmaTransferMem(sci_dma_queue_t dq, void *localAddress,
	sci_remote_segment_t remoteSegment, size_t size, size_t remoteOffset, sci_cb_dma_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT sci_dma_queue_state_t SCIDMAQueueState(sci_dma_queue_t dq);
SISCI_API_EXPORT sci_dma_queue_state_t SCIWaitForDMAQueue(
	sci_dma_queue_t dq, unsigned int timeout, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIAbortDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT sci_dma_queue_state_t SCIEnqueueDMATransfer(sci_dma_queue_t dq,
	sci_local_segment_t localSegment, sci_remote_segment_t remoteSegment, size_t localOffset,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIPostDMAQueue(sci_dma_queue_t dq, sci_cb_dma_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIResetDMAQueue(sci_dma_queue_t dq, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIphDmaEnqueue(sci_dma_queue_t dq, size_t size, sci_ioaddr_t localAddress,
	sci_ioaddr_t remoteAddress, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT sci_dma_queue_state_t SCIphDmaStart(sci_dma_queue_t dq, sci_cb_dma_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void DISStartDmaTransfer(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t localOffset, size_t size, size_t remoteOffset,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void DISStartDmaTransferVec(sci_dma_queue_t dq, sci_local_segment_t localSegment,
	sci_remote_segment_t remoteSegment, size_t vectorLength, dis_dma_vec_t *disDmaVec,
	sci_cb_dma_t callback, void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRequestDMAChannel(sci_desc_t sd, sci_dma_channel_t *channel,
	unsigned int localAdapterNo, sci_dma_type_t type, unsigned int channelId,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIReturnDMAChannel(sci_dma_channel_t channel, sci_error_t *error);
SISCI_API_EXPORT void SCIAssignDMAChannel(
	sci_dma_channel_t channel, sci_dma_queue_t dq, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIPrepareLocalSegmentForDMA(sci_dma_channel_t channel,
	sci_local_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIUnprepareLocalSegmentForDMA(sci_dma_channel_t channel,
	sci_local_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIPrepareRemoteSegmentForDMA(sci_dma_channel_t channel,
	sci_remote_segment_t segment, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIUnprepareRemoteSegmentForDMA(sci_dma_channel_t channel,
	sci_remote_segment_t segment, unsigned int flags, sci_error_t *error);

/* Interrupts */
SISCI_API_EXPORT void SCICreateInterrupt(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int localAdapterNo, unsigned int *interruptNo, sci_cb_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRemoveInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIWaitForInterrupt(sci_local_interrupt_t interrupt, unsigned int timeout,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIConnectInterrupt(sci_desc_t sd, sci_remote_interrupt_t *interrupt,
	unsigned int nodeId, unsigned int localAdapterNo, unsigned int interruptNo,
	unsigned int timeout, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIDisconnectInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCITriggerInterrupt(
	sci_remote_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCICreateDataInterrupt(sci_desc_t sd, sci_local_data_interrupt_t *interrupt,
	unsigned int localAdapterNo, unsigned int *interruptNo, sci_cb_data_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRemoveDataInterrupt(
	sci_local_data_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIWaitForDataInterrupt(sci_local_data_interrupt_t interrupt, void *data,
	unsigned int *length, unsigned int timeout, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIConnectDataInterrupt(sci_desc_t sd, sci_remote_data_interrupt_t *interrupt,
	unsigned int nodeId, unsigned int localAdapterNo, unsigned int interruptNo,
	unsigned int timeout, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIDisconnectDataInterrupt(
	sci_remote_data_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCITriggerDataInterrupt(sci_remote_data_interrupt_t interrupt, void *data,
	unsigned int length, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCICreateNamedInterrupt(sci_desc_t sd, sci_local_interrupt_t *interrupt,
	unsigned int localAdapterNo, const char *name, sci_cb_interrupt_t callback,
	void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRegisterInterruptFlag(unsigned int localAdapterNo,
	sci_local_interrupt_t *interrupt, sci_local_segment_t segment, size_t offset,
	sci_cb_interrupt_t callback, void *callbackArg, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIEnableConditionalInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIDisableConditionalInterrupt(
	sci_local_interrupt_t interrupt, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIGetConditionalInterruptTrigCounter(sci_local_interrupt_t interrupt,
	unsigned int *counter, unsigned int flags, sci_error_t *error);

/* Devices of other hosts: not supported */
SISCI_API_EXPORT size_t SCIGetDeviceList(sci_desc_t sd, dis_uint64_t ids[], size_t max,
	sci_smartio_device_info_t *filter, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIBorrowDevice(sci_desc_t sd, sci_smartio_device_t *device,
	dis_uint64_t fdid, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIReturnDevice(
	sci_smartio_device_t device, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIReleaseExclusiveBorrow(
	sci_smartio_device_t device, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT dis_uint64_t SCIGetFabricDeviceId(sci_smartio_device_t device);
SISCI_API_EXPORT void SCIConnectDeviceSegment(sci_smartio_device_t device,
	sci_remote_segment_t *segment, unsigned int id, unsigned int memtype,
	sci_cb_remote_segment_t callback, void *callbackArg, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCIConnectDeviceSegmentPath(sci_smartio_device_t device,
	sci_remote_segment_t *segment, unsigned int id, unsigned int memtype,
	unsigned int localAdapterNo, sci_cb_remote_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIConnectDeviceMemory(sci_desc_t sd, sci_remote_segment_t *segment,
	unsigned int localAdapterNo, sci_smartio_device_t device, unsigned int segmentNo,
	unsigned int reserved, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCICreateDeviceSegment(sci_smartio_device_t device, unsigned int id,
	size_t size, unsigned int memtype, unsigned int accesshints, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCIMapLocalSegmentForDevice(sci_local_segment_t segment,
	unsigned int localAdapterNo, sci_smartio_device_t device, sci_ioaddr_t *address,
	size_t offset, size_t size, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIMapRemoteSegmentForDevice(sci_remote_segment_t segment,
	sci_smartio_device_t device, sci_ioaddr_t *address, size_t offset, size_t size,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIUnmapLocalSegmentForDevice(sci_local_segment_t segment,
	unsigned int localAdapterNo, sci_smartio_device_t device, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCIUnmapRemoteSegmentForDevice(sci_remote_segment_t segment,
	sci_smartio_device_t device, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIRegisterPCIeRequester(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int bus, unsigned int devfn, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIUnregisterPCIeRequester(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int bus, unsigned int devfn, unsigned int flags, sci_error_t *error);

/* Registers of an adapter: not supported */
SISCI_API_EXPORT void SCIGetCSRRegister(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int nodeId, unsigned int offset, unsigned int *value, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCISetCSRRegister(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int nodeId, unsigned int offset, unsigned int value, unsigned int mask,
	unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCIGetLocalCSR(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int offset, unsigned int *value, unsigned int flags, sci_error_t *error);
SISCI_API_EXPORT void SCISetLocalCSR(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int offset, unsigned int value, unsigned int mask, unsigned int flags,
	sci_error_t *error);
SISCI_API_EXPORT void SCIConnectSCISpace(sci_desc_t sd, unsigned int localAdapterNo,
	sci_remote_segment_t *segment, sci_address_t address, size_t size, unsigned int flags,
	sci_error_t *error);

#ifdef __cplusplus
}
#endif

#endif
