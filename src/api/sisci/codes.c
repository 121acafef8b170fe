/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/codes.h"

#include <errno.h>
#include "wire/status.h"

static sci_error_t code_of_errno(int error)
{
	switch (error) {
	case ENOMEM:
	case ENOSPC:
	case EAGAIN:
	case EMFILE:
	case ENFILE:
		return SCI_ERR_NOSPC;
	default:
		errno = error;
		return SCI_ERR_SYSTEM;
	}
}

/* No node, no segment, not for us: to who connects all of it is one. */
static sci_error_t code_of_absence(enum code_context context)
{
	switch (context) {
	case CODE_ATTACH:
	case CODE_CONNECT:
		return SCI_ERR_NO_SUCH_SEGMENT;
	case CODE_PROBE:
		return SCI_ERR_NO_SUCH_NODEID;
	case CODE_TRANSFER:
		return SCI_ERR_TRANSFER_FAILED;
	case CODE_CREATE:
	case CODE_OPERATE:
	case CODE_MAP:
		return SCI_ERR_NOT_CONNECTED;
	}
	return SCI_ERR_NOT_CONNECTED;
}

static sci_error_t code_of_silence(enum code_context context)
{
	return context == CODE_PROBE ? SCI_ERR_NO_REMOTE_LINK_ACCESS : code_of_absence(context);
}

/* This node's own daemon is not there. */
static sci_error_t code_of_no_daemon(enum code_context context)
{
	if (context == CODE_TRANSFER)
		return SCI_ERR_TRANSFER_FAILED;
	if (context == CODE_PROBE)
		return SCI_ERR_NO_LINK_ACCESS;
	errno = ECONNREFUSED;
	return SCI_ERR_SYSTEM;
}

sci_error_t code_of(enum code_context context, int result)
{
	if (result < 0)
		return code_of_errno(-result);
	switch ((enum wire_status)result) {
	case STATUS_OK:
		return SCI_ERR_OK;
	case STATUS_NO_DAEMON:
		return code_of_no_daemon(context);
	case STATUS_VERSION:
		return SCI_ERR_INCONSISTENT_VERSIONS;
	case STATUS_NODE_LOST:
	case STATUS_NODE_UNREACHABLE:
	case STATUS_NOT_ENCRYPTED:
	case STATUS_TIMED_OUT:
		return code_of_silence(context);
	case STATUS_NODE_UNKNOWN:
	case STATUS_NOT_FOUND:
	case STATUS_NOT_LISTED:
	case STATUS_NO_CONTROLLER:
		return code_of_absence(context);
	case STATUS_WITHDRAWN:
		return SCI_ERR_CONNECTION_REFUSED;
	case STATUS_DENIED:
		return context == CODE_CONNECT ? SCI_ERR_CONNECTION_REFUSED : SCI_ERR_ACCESS;
	case STATUS_NO_MEMORY:
	case STATUS_NO_RESOURCES:
	case STATUS_QUOTA_BYTES:
		return SCI_ERR_NOSPC;
	case STATUS_ID_IN_USE:
		return SCI_ERR_SEGMENTID_USED;
	case STATUS_ALREADY_PUBLISHED:
	case STATUS_NOT_PUBLISHED:
	case STATUS_WRONG_STATE:
	case STATUS_IN_USE:
	case STATUS_ID_RESERVED:
	case STATUS_BAD_ACCESS_LIST:
		return SCI_ERR_ILLEGAL_OPERATION;
	case STATUS_BAD_SIZE:
		return context == CODE_CREATE ? SCI_ERR_NOSPC : SCI_ERR_OUT_OF_RANGE;
	case STATUS_BAD_OFFSET:
		return SCI_ERR_OUT_OF_RANGE;
	case STATUS_BAD_ADDRESS:
	case STATUS_NOT_ADOPTABLE:
		return SCI_ERR_ILLEGAL_ADDRESS;
	case STATUS_MAP_FAILED:
		return SCI_ERR_HW_NOSPC;
	case STATUS_NOT_SUPPORTED:
		return SCI_ERR_NOT_SUPPORTED;
	case STATUS_REVOKED:
	case STATUS_BROKEN:
		return context == CODE_TRANSFER ? SCI_ERR_TRANSFER_FAILED : SCI_ERR_NOT_CONNECTED;
	case STATUS_BAD_HANDLE:
	case STATUS_FORKED:
	case STATUS_NOT_CREATOR:
		return context == CODE_TRANSFER ? SCI_ERR_TRANSFER_FAILED
						: SCI_ERR_ILLEGAL_PARAMETER;
	case STATUS_INTERRUPTED:
	case STATUS_BAD_REQUEST:
		return code_of_errno(EINTR);
	}
	return code_of_errno(EPROTO);
}
