/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/dma.h"
#include "api/sisci/node.h"

/* DMA channels: engines that hardware has several of. There is one here, which all share, so a
 * channel is a handle that can be asked for, assigned and given back. */

static void channel_release(struct object *o)
{
	free(o);
}

static sci_error_t channel_request(
	sci_desc_t sd, sci_dma_channel_t *channel, unsigned int adapter, sci_dma_type_t type)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	sci_error_t e = adapter_check(adapter);
	struct object *o;
	int r;

	if (!desc || !channel || type < SCI_DMA_TYPE_DONTCARE || type > SCI_DMA_TYPE_TRANSPARENT)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (e)
		return e;
	o = calloc(1, sizeof(*o));
	if (!o)
		return SCI_ERR_NOSPC;
	o->release = channel_release;
	r = object_new(o, SISCI_DMA_CHANNEL, desc);
	if (r) {
		free(o);
		return code_of(CODE_CREATE, r);
	}
	*channel = object_handle(o);
	return SCI_ERR_OK;
}

SCI_CALL void SCIRequestDMAChannel(sci_desc_t sd, sci_dma_channel_t *channel,
	unsigned int localAdapterNo, sci_dma_type_t type, unsigned int channelId,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : channel_request(sd, channel, localAdapterNo, type));
}

SCI_CALL void SCIReturnDMAChannel(sci_dma_channel_t channel, sci_error_t *error)
{
	sci_error_t e = call_begin(0);

	call_end(error, e ? e : object_remove(channel, SISCI_DMA_CHANNEL));
}

/* Both handles must be what they seem. */
static void check(sci_dma_channel_t channel, const void *other, enum sisci_kind kind,
	unsigned int flags, sci_error_t *error)
{
	_cleanup_object_ struct object *c = object_get(channel, SISCI_DMA_CHANNEL);
	_cleanup_object_ struct object *o = object_get(other, kind);
	sci_error_t e = call_begin(flags);

	if (!e && (!c || !o))
		e = SCI_ERR_ILLEGAL_PARAMETER;
	call_end(error, e);
}

SCI_CALL void SCIAssignDMAChannel(
	sci_dma_channel_t channel, sci_dma_queue_t dq, unsigned int flags, sci_error_t *error)
{
	check(channel, dq, SISCI_DMA_QUEUE, flags, error);
}

SCI_CALL void SCIPrepareLocalSegmentForDMA(sci_dma_channel_t channel, sci_local_segment_t segment,
	unsigned int flags, sci_error_t *error)
{
	check(channel, segment, SISCI_LOCAL_SEGMENT, flags, error);
}

SCI_CALL void SCIUnprepareLocalSegmentForDMA(sci_dma_channel_t channel, sci_local_segment_t segment,
	unsigned int flags, sci_error_t *error)
{
	check(channel, segment, SISCI_LOCAL_SEGMENT, flags, error);
}

SCI_CALL void SCIPrepareRemoteSegmentForDMA(sci_dma_channel_t channel, sci_remote_segment_t segment,
	unsigned int flags, sci_error_t *error)
{
	check(channel, segment, SISCI_REMOTE_SEGMENT, flags, error);
}

SCI_CALL void SCIUnprepareRemoteSegmentForDMA(sci_dma_channel_t channel,
	sci_remote_segment_t segment, unsigned int flags, sci_error_t *error)
{
	check(channel, segment, SISCI_REMOTE_SEGMENT, flags, error);
}
