/* SPDX-License-Identifier: Apache-2.0 */
#include "api/rsm/codes.h"

#include <errno.h>
#include "wire/status.h"

/* spec/rsmapi.md, decision 2: what no daemon means to each kind of call */
static int code_no_daemon(enum rsm_about about)
{
	switch (about) {
	case ABOUT_CONTROLLER:
		return RSMERR_CTLR_NOT_PRESENT;
	case ABOUT_TOPOLOGY:
		return RSMERR_INSUFFICIENT_MEM;
	case ABOUT_EXPORT:
		return RSMERR_INSUFFICIENT_RESOURCES;
	case ABOUT_IMPORT:
		return RSMERR_CONN_ABORTED;
	}
	return RSMERR_INSUFFICIENT_RESOURCES;
}

static int code_error(int error)
{
	switch (error) {
	case -ENOMEM:
		return RSMERR_INSUFFICIENT_MEM;
	case -EINTR:
		return RSMERR_INTERRUPTED;
	default:
		return RSMERR_INSUFFICIENT_RESOURCES;
	}
}

int rsm_code(int result, enum rsm_about about)
{
	if (result < 0)
		return code_error(result);
	switch ((enum wire_status)result) {
	case STATUS_OK:
		return RSM_SUCCESS;
	case STATUS_NO_DAEMON:
	case STATUS_NODE_LOST:
	case STATUS_TIMED_OUT:
		return code_no_daemon(about);
	case STATUS_VERSION:
		return about == ABOUT_CONTROLLER ? RSMERR_BAD_LIBRARY_VERSION
						 : code_no_daemon(about);
	case STATUS_INTERRUPTED:
		return RSMERR_INTERRUPTED;
	case STATUS_NO_MEMORY:
	case STATUS_QUOTA_BYTES:
		return RSMERR_INSUFFICIENT_MEM;
	case STATUS_NO_RESOURCES:
	case STATUS_BAD_REQUEST:
	case STATUS_NOT_SUPPORTED:
		return RSMERR_INSUFFICIENT_RESOURCES;
	case STATUS_BAD_HANDLE:
	case STATUS_WRONG_STATE:
		return RSMERR_BAD_SEG_HNDL;
	case STATUS_NOT_CREATOR:
	case STATUS_FORKED:
		return RSMERR_NOT_CREATOR;
	case STATUS_ALREADY_PUBLISHED:
		return RSMERR_SEG_ALREADY_PUBLISHED;
	case STATUS_NOT_PUBLISHED:
	case STATUS_NOT_FOUND:
	case STATUS_WITHDRAWN:
		return RSMERR_SEG_NOT_PUBLISHED;
	case STATUS_ID_RESERVED:
		return RSMERR_RESERVED_SEGID;
	case STATUS_ID_IN_USE:
		return RSMERR_SEGID_IN_USE;
	case STATUS_BAD_ACCESS_LIST:
		return RSMERR_BAD_ACL;
	case STATUS_NOT_LISTED:
		return RSMERR_SEG_NOT_PUBLISHED_TO_NODE;
	case STATUS_DENIED:
		return RSMERR_PERM_DENIED;
	case STATUS_NODE_UNKNOWN:
	case STATUS_NODE_UNREACHABLE:
	case STATUS_NOT_ENCRYPTED:
		return RSMERR_REMOTE_NODE_UNREACHABLE;
	case STATUS_NO_CONTROLLER:
		return RSMERR_CTLR_NOT_PRESENT;
	case STATUS_BAD_SIZE:
		return RSMERR_BAD_LENGTH;
	case STATUS_BAD_OFFSET:
		return RSMERR_BAD_OFFSET;
	case STATUS_REVOKED:
		return RSMERR_CONN_ABORTED;
	case STATUS_BAD_ADDRESS:
	case STATUS_NOT_ADOPTABLE:
		return RSMERR_BAD_ADDR;
	case STATUS_MAP_FAILED:
		return RSMERR_MAP_FAILED;
	case STATUS_IN_USE:
		return RSMERR_SEG_STILL_MAPPED;
	case STATUS_BROKEN:
		return RSMERR_BARRIER_FAILURE;
	}
	return RSMERR_INSUFFICIENT_RESOURCES;
}

int rsm_code_get_controller(int result)
{
	int code = rsm_code(result, ABOUT_CONTROLLER);

	switch (code) {
	case RSM_SUCCESS:
	case RSMERR_CTLR_NOT_PRESENT:
	case RSMERR_BAD_LIBRARY_VERSION:
		return code;
	default:
		return RSMERR_INSUFFICIENT_MEM;
	}
}

int rsm_code_map(int result)
{
	int code = rsm_code(result, ABOUT_IMPORT);

	if (result == STATUS_WRONG_STATE)
		return RSMERR_SEG_ALREADY_MAPPED;
	/* for want of memory or address space */
	if (code == RSMERR_INSUFFICIENT_MEM || code == RSMERR_INSUFFICIENT_RESOURCES)
		return RSMERR_MAP_FAILED;
	return code;
}

int rsm_code_transfer(int result, bool explicit_mode)
{
	int code = rsm_code(result, ABOUT_IMPORT);

	switch (code) {
	case RSM_SUCCESS:
		return code;
	case RSMERR_CONN_ABORTED:
	case RSMERR_BARRIER_FAILURE:
		return explicit_mode ? RSM_SUCCESS : code;
	default:
		return RSMERR_INSUFFICIENT_RESOURCES;
	}
}

int rsm_code_wait_pollfd(int result)
{
	switch (result) {
	case STATUS_OK:
		return RSM_SUCCESS;
	case STATUS_TIMED_OUT:
		return RSMERR_TIMEOUT;
	case STATUS_INTERRUPTED:
		return RSMERR_INTERRUPTED;
	case -EFAULT:
		return RSMERR_BAD_ADDR;
	case -ENOMEM:
		return RSMERR_INSUFFICIENT_MEM;
	case -EINVAL:
		return RSMERR_BAD_ARGS_ERRORS;
	default:
		return RSMERR_INSUFFICIENT_RESOURCES;
	}
}
