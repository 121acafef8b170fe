/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_BUS_ERROR_H
#define MEMORY_BUS_ERROR_H

/*
 * SIGBUS for a thread of another process that waits at a fault, where the kernel cannot poison the
 * page (before Linux 6.6; memory/mapper.h). As when the kernel raises it, it cannot be avoided: who
 * blocks or ignores it is killed. Needs CAP_KILL and CAP_SYS_PTRACE for other users' threads.
 * Thread safe.
 */

#include <sys/types.h>

enum bus_error_outcome {
	BUS_ERROR_RAISED = 0,
	/* It waits in a system call, which does not end before it gets the page, whatever is
	 * raised: that has been, for when it ends. */
	BUS_ERROR_IN_CALL = 1,
	BUS_ERROR_KILLED = 2,
	/* It was not seen waiting: it is gone, or it has been told, or it is to be woken, so that
	 * it asks again. */
	BUS_ERROR_NOT_SEEN = 3,
};

/* process: whose thread it must be; 0: it is not known. */
int bus_error_raise(pid_t process, pid_t thread);
/* Kills the process of such a thread. */
void bus_error_kill(pid_t process, pid_t thread);

#endif
