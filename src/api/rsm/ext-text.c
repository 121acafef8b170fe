/* SPDX-License-Identifier: Apache-2.0 */
/* The codes in words. */
#include <stddef.h>
#include <rsm/rsmapi_ext.h>
#include "api/rsm/codes.h"
#include "base/error.h"

static const char *const texts[] = {
	[RSM_SUCCESS] = "success",
	[RSMERR_BAD_LIBRARY_VERSION] = "library and daemon are of different versions",
	[RSMERR_BAD_TOPOLOGY_PTR] = "no place for the topology was given",
	[RSMERR_BAD_CTLR_HNDL] = "bad controller handle",
	[RSMERR_CTLR_NOT_PRESENT] = "no such controller",
	[RSMERR_BAD_SEG_HNDL] = "bad segment handle",
	[RSMERR_SEG_ALREADY_PUBLISHED] = "the segment is published already",
	[RSMERR_SEG_NOT_PUBLISHED] = "the segment is not published",
	[RSMERR_SEG_NOT_PUBLISHED_TO_NODE] = "the segment is not published to this node",
	[RSMERR_SEG_ALREADY_MAPPED] = "the segment is mapped already",
	[RSMERR_SEG_STILL_MAPPED] = "the segment is still mapped",
	[RSMERR_SEG_NOT_MAPPED] = "the segment is not mapped",
	[RSMERR_NOT_CREATOR] = "the segment belongs to another process",
	[RSMERR_BAD_BARRIER_PTR] = "bad barrier",
	[RSMERR_BAD_SGIO] = "bad scatter-gather request",
	[RSMERR_BAD_LOCALMEM_HNDL] = "bad local memory handle",
	[RSMERR_BAD_ADDR] = "bad address",
	[RSMERR_BAD_MEM_ALIGNMENT] = "address, offset or size is not aligned",
	[RSMERR_BAD_OFFSET] = "the offset is not within the segment",
	[RSMERR_MISALIGNED_OFFSET] = "the offset is not aligned",
	[RSMERR_BAD_LENGTH] = "the length is zero or too large",
	[RSMERR_BAD_ACL] = "bad access list",
	[RSMERR_BAD_SEGID] = "no place for the segment id was given",
	[RSMERR_RESERVED_SEGID] = "the segment id is reserved",
	[RSMERR_SEGID_IN_USE] = "the segment id is in use",
	[RSMERR_BAD_MODE] = "no such barrier mode",
	[RSMERR_BAD_PERMS] = "more rights than the connection has",
	[RSMERR_PERM_DENIED] = "permission denied",
	[RSMERR_LOCKS_NOT_SUPPORTED] = "lock operations are not supported",
	[RSMERR_LOCKS_NOT_ENABLED] = "lock operations are not enabled",
	[RSMERR_REBIND_NOT_ALLOWED] = "the segment was not created to be rebound",
	[RSMERR_INSUFFICIENT_RESOURCES] = "not enough resources",
	[RSMERR_INSUFFICIENT_MEM] = "not enough memory",
	[RSMERR_MAP_FAILED] = "the segment could not be mapped",
	[RSMERR_POLLFD_IN_USE] = "the segment's poll descriptor is in use",
	[RSMERR_BARRIER_UNINITIALIZED] = "the barrier is not initialised",
	[RSMERR_BARRIER_OPEN_FAILED] = "the barrier could not be opened",
	[RSMERR_BARRIER_NOT_OPENED] = "the barrier is not open",
	[RSMERR_BARRIER_FAILURE] = "a transfer within the barrier's span failed",
	[RSMERR_REMOTE_NODE_UNREACHABLE] = "the node cannot be reached",
	[RSMERR_CONN_ABORTED] = "the connection to the segment is broken",
	[RSMERR_INTERRUPTED] = "interrupted by a signal",
	[RSMERR_TIMEOUT] = "the time is over",
	[RSMERR_BAD_APPID] = "the application has no range of segment ids",
	[RSMERR_BAD_CONF] = "the file of segment ids is missing or malformed",
	[RSMERR_SEG_NOT_CONNECTED] = "the segment is not connected",
	[RSMERR_INTERNAL_ERROR] = "internal error",
	[RSMERR_BAD_ARGS_ERRORS] = "bad arguments",
};

RSM_API const char *rsm_ext_strerror(int code)
{
	if (code < 0 || (size_t)code >= ELEMENTS(texts) || !texts[code])
		return code > RSMERR_INTERNAL_ERROR && code <= RSMERR_QUEUE_FULL ? "driver error"
										 : "unknown error";
	return texts[code];
}
