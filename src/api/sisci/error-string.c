/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"

#include <stddef.h>
#include "base/error.h"

static const struct {
	sci_error_t code;
	const char *text;
} texts[] = {
	{SCI_ERR_OK, "success"},
	{SCI_ERR_BUSY, "something else still uses it"},
	{SCI_ERR_FLAG_NOT_IMPLEMENTED, "this flag is not supported here"},
	{SCI_ERR_ILLEGAL_FLAG, "there is no such flag"},
	{SCI_ERR_NOSPC, "out of memory or of space in a queue"},
	{SCI_ERR_API_NOSPC, "out of resources of the library"},
	{SCI_ERR_HW_NOSPC, "no room for the map"},
	{SCI_ERR_NOT_IMPLEMENTED, "not implemented"},
	{SCI_ERR_ILLEGAL_ADAPTERNO, "no adapter can have this number"},
	{SCI_ERR_NO_SUCH_ADAPTERNO, "no adapter has this number"},
	{SCI_ERR_TIMEOUT, "the time has passed"},
	{SCI_ERR_OUT_OF_RANGE, "beyond the end"},
	{SCI_ERR_NO_SUCH_SEGMENT, "no such segment or interrupt"},
	{SCI_ERR_ILLEGAL_NODEID, "no node can have this id"},
	{SCI_ERR_CONNECTION_REFUSED, "the other side refuses the connection"},
	{SCI_ERR_SEGMENT_NOT_CONNECTED, "the segment is not connected"},
	{SCI_ERR_SIZE_ALIGNMENT, "the size is not aligned"},
	{SCI_ERR_OFFSET_ALIGNMENT, "the offset is not aligned"},
	{SCI_ERR_ILLEGAL_PARAMETER, "a parameter is not legal"},
	{SCI_ERR_MAX_ENTRIES, "more entries than the queue holds"},
	{SCI_ERR_SEGMENT_NOT_PREPARED, "the segment is not prepared for this adapter"},
	{SCI_ERR_ILLEGAL_ADDRESS, "memory at this address cannot be used for this"},
	{SCI_ERR_ILLEGAL_OPERATION, "not possible in this state"},
	{SCI_ERR_ILLEGAL_QUERY, "there is no such query"},
	{SCI_ERR_SEGMENTID_USED, "this number is in use on this node"},
	{SCI_ERR_SYSTEM, "an error of the operating system"},
	{SCI_ERR_CANCELLED, "what was waited for has been removed"},
	{SCI_ERR_NOT_CONNECTED, "not connected any more"},
	{SCI_ERR_NOT_AVAILABLE, "not available"},
	{SCI_ERR_INCONSISTENT_VERSIONS, "library and daemon are of different versions"},
	{SCI_ERR_COND_INT_RACE_PROBLEM, "a conditional interrupt came at the wrong moment"},
	{SCI_ERR_OVERFLOW, "more events came than are kept"},
	{SCI_ERR_NOT_INITIALIZED, "SCIInitialize() has not been called"},
	{SCI_ERR_ACCESS, "not permitted"},
	{SCI_ERR_NOT_SUPPORTED, "not supported on this platform"},
	{SCI_ERR_DEPRECATED, "this function is gone"},
	{SCI_ERR_DMA_NOT_AVAILABLE, "no such DMA engine"},
	{SCI_ERR_DMA_DISABLED, "DMA is disabled"},
	{SCI_ERR_SEMAPHORE_COUNT_EXCEEDED, "a semaphore's count is exceeded"},
	{SCI_ERR_IRQL_ILLEGAL, "not at this interrupt level"},
	{SCI_ERR_LOCAL_BUSY, "the local side is busy"},
	{SCI_ERR_ALL_BUSY, "all sides are busy"},
	{SCI_ERR_NO_SUCH_FDID, "no such device"},
	{SCI_ERR_NO_SUCH_NODEID, "no node has this id"},
	{SCI_ERR_NODE_NOT_RESPONDING, "the node does not answer"},
	{SCI_ERR_NO_REMOTE_LINK_ACCESS, "the node cannot be reached"},
	{SCI_ERR_NO_LINK_ACCESS, "this node has no link"},
	{SCI_ERR_TRANSFER_FAILED, "the data may not have arrived"},
	{SCI_ERR_EWOULD_BLOCK, "it would have to wait"},
};

SCI_CALL const char *SCIGetErrorString(sci_error_t error)
{
	for (size_t i = 0; i < ELEMENTS(texts); i++)
		if (texts[i].code == error)
			return texts[i].text;
	return "unknown error";
}
