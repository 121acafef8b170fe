/* SPDX-License-Identifier: Apache-2.0 */
#include "api/shmbind/codes.h"

#include "base/error.h"

int shmbind_code(int result)
{
	switch (result) {
	case 0:
		return 0;
	case -EINVAL:
	case -EPERM:
	case -EFAULT:
	case -ENODATA:
	case -ENOTSUP:
	case -ENOSYS:
		errno = -result;
		return -1;
	default:
		errno = ENOMEM;
		return -1;
	}
}
