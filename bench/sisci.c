/* SPDX-License-Identifier: Apache-2.0 */
#include "sisci.h"

#include <string.h>

void bench_sisci(sci_error_t error, const char *what)
{
	if (error)
		bench_fail("%s: %s", what, SCIGetErrorString(error));
}

sci_desc_t sisci_desc(void)
{
	static sci_desc_t desc;
	sci_error_t e;

	if (desc)
		return desc;
	SCIInitialize(0, &e);
	bench_sisci(e, "SCIInitialize");
	SCIOpen(&desc, 0, &e);
	bench_sisci(e, "SCIOpen");
	return desc;
}

unsigned int sisci_node(void)
{
	unsigned int node;
	sci_error_t e;

	sisci_desc();
	SCIGetLocalNodeId(0, &node, 0, &e);
	bench_sisci(e, "SCIGetLocalNodeId");
	return node;
}

struct sisci_own sisci_own(size_t size, bool available)
{
	struct sisci_own own;
	sci_error_t e;
	sci_map_t map;

	SCICreateSegment(sisci_desc(), &own.segment, 1, size, NULL, NULL,
		available ? SCI_FLAG_AUTO_ID : SCI_FLAG_PRIVATE, &e);
	bench_sisci(e, "SCICreateSegment");
	own.id = SCIGetLocalSegmentId(own.segment);
	SCIPrepareSegment(own.segment, 0, available ? 0 : SCI_FLAG_DMA_SOURCE_ONLY, &e);
	bench_sisci(e, "SCIPrepareSegment");
	if (available)
		SCISetSegmentAvailable(own.segment, 0, 0, &e);
	bench_sisci(e, "SCISetSegmentAvailable");
	own.memory = SCIMapLocalSegment(own.segment, &map, 0, size, NULL, 0, &e);
	bench_sisci(e, "SCIMapLocalSegment");
	memset(own.memory, 1, size);
	return own;
}

struct sisci_other sisci_other(unsigned int node, unsigned int id, size_t size, bool mapped)
{
	struct sisci_other other = {0};
	sci_error_t e;

	SCIConnectSegment(
		sisci_desc(), &other.segment, node, id, 0, NULL, NULL, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIConnectSegment");
	if (mapped)
		other.memory = SCIMapRemoteSegment(other.segment, &other.map, 0, size, NULL, 0, &e);
	bench_sisci(e, "SCIMapRemoteSegment");
	return other;
}

void sisci_copy_begin(struct sisci_copy *copy, unsigned int node, unsigned int id,
	size_t segment_size, bool mapped)
{
	sci_error_t e;

	copy->from = sisci_own(segment_size, false);
	copy->to = sisci_other(node, id, segment_size, mapped);
	SCICreateDMAQueue(sisci_desc(), &copy->queue, 0, 1, 0, &e);
	bench_sisci(e, "SCICreateDMAQueue");
	if (mapped)
		SCICreateMapSequence(copy->to.map, &copy->sequence, 0, &e);
	bench_sisci(e, "SCICreateMapSequence");
}

static void transfer(struct sisci_copy *copy, unsigned int flags)
{
	sci_error_t e;

	SCIStartDmaTransfer(copy->queue, copy->from.segment, copy->to.segment, 0, copy->size, 0,
		NULL, NULL, flags, &e);
	bench_sisci(e, "SCIStartDmaTransfer");
	if (flags & SCI_FLAG_DMA_WAIT)
		return;
	SCIWaitForDMAQueue(copy->queue, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIWaitForDMAQueue");
}

void sisci_dma_write(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		transfer(context, 0);
}

void sisci_dma_read(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		transfer(context, SCI_FLAG_DMA_READ);
}

void sisci_dma_wait(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		transfer(context, SCI_FLAG_DMA_WAIT);
}

void sisci_dma_vector(void *context, unsigned long n)
{
	struct sisci_copy *copy = context;
	unsigned int piece = (unsigned int)(copy->size / SISCI_PIECES);
	dis_dma_vec_t vector[SISCI_PIECES];
	sci_error_t e;

	for (unsigned int i = 0; i < SISCI_PIECES; i++)
		vector[i] = (dis_dma_vec_t){
			.size = piece, .local_offset = i * piece, .remote_offset = i * piece};
	for (unsigned long i = 0; i < n; i++) {
		SCIStartDmaTransferVec(copy->queue, copy->from.segment, copy->to.segment,
			SISCI_PIECES, vector, NULL, NULL, 0, &e);
		bench_sisci(e, "SCIStartDmaTransferVec");
		SCIWaitForDMAQueue(copy->queue, SCI_INFINITE_TIMEOUT, 0, &e);
		bench_sisci(e, "SCIWaitForDMAQueue");
	}
}

static void by_memcpy(struct sisci_copy *copy, unsigned int flags)
{
	sci_error_t e;

	SCIMemCpy(copy->sequence, copy->from.memory, copy->to.map, 0, copy->size, flags, &e);
	bench_sisci(e, "SCIMemCpy");
}

void sisci_memcpy_write(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		by_memcpy(context, 0);
}

void sisci_memcpy_read(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		by_memcpy(context, SCI_FLAG_BLOCK_READ);
}
