/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_STOP_H
#define MEMORY_STOP_H

/*
 * Holds all other threads of this process still, where userfaultfd cannot protect the memory:
 * private file maps such as .data, or no right to it. A process cannot trace itself, so a helper
 * that shares its memory but not its thread group attaches to every thread but the caller's.
 * Threads stop at their return to user mode, thus also outside of system calls that store for them;
 * calls that sleep are restarted by the kernel, but for those that any signal ends (epoll_wait and
 * the like).
 *
 * Refused where ptrace is (a debugger is attached, seccomp, Yama's stricter modes, not dumpable)
 * and where a thread does not stop in time (waiting for a vfork child, kernel workers of io_uring).
 */

#include <sys/types.h>

struct stop_control;

struct stop {
	struct stop_control *control;
	pid_t helper;
};

/* The caller has all signals blocked. Results: 0, MEMORY_NO_RIGHT, negative errno. */
int stop_others(struct stop *stop);
void stop_release(struct stop *stop);

#endif
