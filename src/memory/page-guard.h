/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_PAGE_GUARD_H
#define MEMORY_PAGE_GUARD_H

/*
 * Who keeps us from writing to a memory file, or from punching it?
 *
 * The kernel has one lock a file for both, and who has a writable descriptor can hold it for ever:
 * write() from memory whose fault nobody answers (a userfaultfd of its own, a file system in user
 * space) waits with the lock. Our own call then waits uninterruptibly, and with it whoever needs a
 * lock of ours. Reading never waits.
 *
 * So calls that take that lock are announced. While there are any, a thread looks at them every
 * PAGE_GUARD_LOOK; it is made on demand and ends when there has been nothing for a while. A call
 * that is seen waiting in the kernel so often has somebody in its way, and these processes are
 * ended by SIGKILL:
 *
 *   PAGE_GUARD_SOON  with a thread that waits in a writing system call on this file
 *   PAGE_GUARD_LATE  that hold the file open to be written, with a thread that waits in a writing
 *                    system call on anything: the number may mean another file by now
 *   PAGE_GUARD_LAST  with a thread that waits in a writing system call on a descriptor that it has
 *                    closed meanwhile: of that nothing else can be known
 *
 * Ours and our parent (the keeper) never are. Needs CAP_SYS_PTRACE to look and CAP_KILL to end, for
 * processes of other users.
 *
 * Thread safe.
 */

#include <sys/types.h>
#include "base/clock.h"

#define PAGE_GUARD_LOOK (50 * NSEC_PER_MSEC)
#define PAGE_GUARD_SOON 5u
#define PAGE_GUARD_LATE 20u
#define PAGE_GUARD_LAST 40u

/* A call on memory begins; the result is for page_guard_leave(). */
int page_guard_enter(int memory);
void page_guard_leave(int place);

/* Is called, by the guard's thread, with each process that was ended, and with 0 where a call waits
 * and nobody was found (an io_uring, for one). */
void page_guard_tell(void (*tell)(pid_t pid));

#endif
