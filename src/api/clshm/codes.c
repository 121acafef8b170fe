/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/codes.h"

#include "base/error.h"
#include "client/connection.h"
#include "wire/status.h"

#define ATTEMPTS_MAX 8u

/* What connect(2) says where a daemon should be; ECONNREFUSED also if one is there, which will have
 * come just now. */
static int code_of_no_daemon(void)
{
	struct cw_attempt attempts[ATTEMPTS_MAX];
	unsigned int n = cw_attempts(attempts, ATTEMPTS_MAX);

	for (unsigned int i = 0; i < n; i++) {
		if (attempts[i].error == EACCES || attempts[i].error == EPERM)
			return EACCES;
		if (attempts[i].error != ENOENT)
			return ECONNREFUSED;
	}
	return ENOENT;
}

int code_of(enum code_context context, int result)
{
	if (result < 0)
		return -result;
	switch ((enum wire_status)result) {
	case STATUS_OK:
		return 0;
	case STATUS_NO_DAEMON:
		return code_of_no_daemon();
	case STATUS_VERSION:
		return EPROTO;
	case STATUS_NODE_UNREACHABLE:
		return context == CODE_PARTITION ? EINVAL : EIO;
	case STATUS_NODE_LOST:
	case STATUS_TIMED_OUT:
	case STATUS_INTERRUPTED:
	case STATUS_REVOKED:
	case STATUS_BROKEN:
	case STATUS_FORKED:
	case STATUS_NOT_ENCRYPTED:
		return EIO;
	case STATUS_NO_MEMORY:
		return ENOMEM;
	case STATUS_NO_RESOURCES:
		return context == CODE_ATTACH ? ENOMEM : ENOSPC;
	case STATUS_QUOTA_BYTES:
		return ENOSPC;
	case STATUS_ID_IN_USE:
		return EEXIST;
	case STATUS_WITHDRAWN:
		return EIDRM;
	case STATUS_DENIED:
	case STATUS_NOT_LISTED:
		return context == CODE_PLACE ? EPERM : EACCES;
	case STATUS_NOT_CREATOR:
		return EPERM;
	case STATUS_MAP_FAILED:
	case STATUS_NOT_SUPPORTED:
		return ENOSYS;
	case STATUS_NODE_UNKNOWN:
	case STATUS_NO_CONTROLLER:
	case STATUS_NOT_FOUND:
	case STATUS_BAD_SIZE:
	case STATUS_BAD_OFFSET:
	case STATUS_BAD_REQUEST:
	case STATUS_BAD_HANDLE:
	case STATUS_BAD_ADDRESS:
	case STATUS_NOT_ADOPTABLE:
	case STATUS_WRONG_STATE:
	case STATUS_IN_USE:
	case STATUS_ALREADY_PUBLISHED:
	case STATUS_NOT_PUBLISHED:
	case STATUS_ID_RESERVED:
	case STATUS_BAD_ACCESS_LIST:
		return EINVAL;
	}
	/* a daemon that knows more outcomes than we do */
	return EIO;
}
