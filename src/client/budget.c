/* SPDX-License-Identifier: Apache-2.0 */
#include "client/budget.h"

#include <stdatomic.h>
#include <sys/resource.h>

static _Atomic unsigned int n_kept;

static unsigned int budget(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 0;
	return l.rlim_cur / 8 > 4096 ? 4096 : (unsigned int)(l.rlim_cur / 8);
}

bool budget_take(void)
{
	if (atomic_fetch_add(&n_kept, 1) < budget())
		return true;
	atomic_fetch_sub(&n_kept, 1);
	return false;
}

int budget_close(int fd)
{
	if (fd >= 0)
		atomic_fetch_sub(&n_kept, 1);
	return fd_close(fd);
}
