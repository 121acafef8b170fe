/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>
#include "api/sisci/call.h"
#include "api/sisci/group.h"
#include "api/sisci/map.h"
#include "api/sisci/node.h"
#include "client/connection.h"
#include "config.h"

/* SCIQuery(). What only hardware knows is 0, or what a program needs to go on. */

#define CACHE_LINE 64u
#define GROUPS	   64u /* of multicast; any id is one */
#define LINK_SPEED 1u
#define DMA_MAX	   (1u << 31)

static sci_error_t answer_text(const sci_query_string_t *q, const char *text)
{
	if (!q->str || q->length == 0)
		return SCI_ERR_ILLEGAL_PARAMETER;
	strncpy(q->str, text, q->length - 1);
	q->str[q->length - 1] = '\0';
	return SCI_ERR_OK;
}

static bool is_alone(void)
{
	uint32_t nodes[2], n = 1;

	(void)node_list(nodes, 2, &n);
	return n < 2;
}

/* 0: as any adapter says that has nothing of the kind. */
static sci_error_t adapter_number(unsigned int subcommand, unsigned int *ret)
{
	switch (subcommand) {
	case SCI_Q_ADAPTER_NODEID:
		return node_sisci_id(0, ret);
	case SCI_Q_ADAPTER_CONFIGURED:
	case SCI_Q_ADAPTER_NUMBER_OF_LINKS:
	case SCI_Q_ADAPTER_LINK_OPERATIONAL:
	case SCI_Q_ADAPTER_LINK_WIDTH:
	case SCI_Q_ADAPTER_LINK_CABLE_INSERTED:
	case SCI_Q_ADAPTER_LINK_ENABLED:
	case SCI_Q_ADAPTER_HW_LINK_STATUS_IS_OK:
	case SCI_Q_ADAPTER_FIRMWARE_OK:
	case SCI_Q_ADAPTER_CONNECTED_TO_EXPECTED_SWITCH_PORT:
		*ret = 1;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_LINK_SPEED:
		*ret = LINK_SPEED;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_CARD_TYPE:
		*ret = is_alone() ? DIS_ADAPTER_TYPE_LOOPBACK : DIS_ADAPTER_TYPE_TCP;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_DMA_MTU:
		*ret = DMA_MAX;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_MCAST_MAX_GROUPS:
		*ret = GROUPS;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_DMA_SIZE_ALIGNMENT:
	case SCI_Q_ADAPTER_DMA_OFFSET_ALIGNMENT:
	case SCI_Q_ADAPTER_SUGGESTED_MIN_DMA_SIZE:
	case SCI_Q_ADAPTER_SUGGESTED_MIN_BLOCK_SIZE:
		*ret = 1;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_NUMBER_OF_STREAMS:
		*ret = 16;
		return SCI_ERR_OK;
	case SCI_Q_ADAPTER_STREAM_BUFFER_SIZE:
		*ret = CACHE_LINE;
		return SCI_ERR_OK;
	default:
		if (subcommand < SCI_Q_ADAPTER_SERIAL_NUMBER ||
			subcommand > SCI_Q_ADAPTER_IO_BUS_FREQUENCY)
			return SCI_ERR_ILLEGAL_QUERY;
		*ret = 0;
		return SCI_ERR_OK;
	}
}

static sci_error_t query_adapter(const sci_query_adapter_t *q)
{
	sci_error_t e = adapter_check(q->localAdapterNo);
	unsigned int value;

	if (e)
		return e;
	if (!q->data)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = adapter_number(q->subcommand, &value);
	if (e)
		return e;
	/* programs give it two bytes */
	if (q->subcommand == SCI_Q_ADAPTER_BDF)
		memset(q->data, 0, sizeof(unsigned short));
	else
		*(unsigned int *)q->data = value;
	return SCI_ERR_OK;
}

static sci_error_t query_system(const sci_query_system_t *q)
{
	unsigned int *data = q->data;

	if (!data)
		return SCI_ERR_ILLEGAL_PARAMETER;
	switch (q->subcommand) {
	case SCI_Q_SYSTEM_CPU_CACHE_LINE_SIZE:
		*data = CACHE_LINE;
		return SCI_ERR_OK;
	case SCI_Q_SYSTEM_HOSTBRIDGE:
		*data = HOSTBRIDGE_NOT_AVAILABLE;
		return SCI_ERR_OK;
	case SCI_Q_SYSTEM_WRITE_POSTING_ENABLED:
	case SCI_Q_SYSTEM_WRITE_COMBINING_ENABLED:
		*data = 1;
		return SCI_ERR_OK;
	default:
		return SCI_ERR_ILLEGAL_QUERY;
	}
}

/* One engine, the work thread's, behind whichever is asked for. */
static sci_error_t query_dma(const sci_query_dma_t *q)
{
	static const sci_dma_capabilities_t capabilities = {
		.num_channels = 1,
		.max_transfer_size = DMA_MAX,
		.max_vector_length = DIS_DMA_MAX_VECLEN,
		.support_mem2io = 1,
		.support_io2mem = 1,
		.support_io2io = 0,
		.min_align_bytes = 1,
		.suggested_align_bytes = CACHE_LINE,
	};
	sci_error_t e = adapter_check(q->localAdapterNo);

	if (e)
		return e;
	if (!q->data)
		return SCI_ERR_ILLEGAL_PARAMETER;
	switch (q->subcommand) {
	case SCI_Q_DMA_AVAILABLE:
		*(unsigned int *)q->data = 1;
		return SCI_ERR_OK;
	case SCI_Q_DMA_CAPABILITIES:
		*(sci_dma_capabilities_t *)q->data = capabilities;
		return SCI_ERR_OK;
	default:
		return SCI_ERR_ILLEGAL_QUERY;
	}
}

/* Bus addresses are the hardware's. */
static sci_error_t query_local(const sci_query_local_segment_t *q)
{
	_cleanup_object_ struct local_segment *s = local_segment_get(q->segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	switch (q->subcommand) {
	case SCI_Q_LOCAL_SEGMENT_IOADDR:
	case SCI_Q_LOCAL_SEGMENT_VIRTUAL_KERNEL_ADDR:
	case SCI_Q_LOCAL_SEGMENT_PHYS_ADDR:
		return SCI_ERR_NOT_SUPPORTED;
	default:
		return SCI_ERR_ILLEGAL_QUERY;
	}
}

static sci_error_t query_remote(const sci_query_remote_segment_t *q)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(q->segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	return q->subcommand == SCI_Q_REMOTE_SEGMENT_IOADDR ? SCI_ERR_NOT_SUPPORTED
							    : SCI_ERR_ILLEGAL_QUERY;
}

static bool is_local_memory(const struct map *m)
{
	return m->local || (m->remote->peek && !m->remote->peek->remote);
}

static sci_error_t query_map(sci_query_map_t *q)
{
	_cleanup_object_ struct object *o = object_get(q->map, SISCI_MAP);

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	switch (q->subcommand) {
	case SCI_Q_MAP_MAPPED_TO_LOCAL_TARGET:
	case SCI_Q_MAP_QUERY_REMOTE_MAPPED_TO_LOCAL_TARGET:
		q->data = is_local_memory(container_of(o, struct map, object));
		return SCI_ERR_OK;
	case SCI_Q_MAP_IOADDR:
	case SCI_Q_MAP_PHYS_ADDR:
		return SCI_ERR_NOT_SUPPORTED;
	default:
		return SCI_ERR_ILLEGAL_QUERY;
	}
}

static sci_error_t query(unsigned int command, void *data)
{
	if (!data)
		return SCI_ERR_ILLEGAL_PARAMETER;
	switch (command) {
	case SCI_Q_API:
		return answer_text(data, "SISCI API of Causeway " CAUSEWAY_VERSION);
	case SCI_Q_VENDORID:
		return answer_text(data, "Causeway");
	case SCI_Q_SISCI_DRIVER_VERSION:
		return answer_text(data, "causewayd " CAUSEWAY_VERSION);
	case SCI_Q_ADAPTER:
		return query_adapter(data);
	case SCI_Q_SYSTEM:
		return query_system(data);
	case SCI_Q_DMA:
		return query_dma(data);
	case SCI_Q_LOCAL_SEGMENT:
		return query_local(data);
	case SCI_Q_REMOTE_SEGMENT:
		return query_remote(data);
	case SCI_Q_MAP:
		return query_map(data);
	case SCI_Q_DEVICE:
		return SCI_ERR_NOT_SUPPORTED;
	default:
		return SCI_ERR_ILLEGAL_QUERY;
	}
}

SCI_CALL void SCIQuery(unsigned int command, void *data, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : query(command, data));
}
