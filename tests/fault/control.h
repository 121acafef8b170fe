/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_CONTROL_H
#define TESTS_FAULT_CONTROL_H

/*
 * What a test and inject.so, in this or another process, agree about: a file that both map, named
 * by FAULT_CONTROL. The test fills in n and kind, sets count to 0 and then target; from there on
 * calls are counted and the n-th one fails.
 */

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_FRAMES 6

enum fault_target {
	FAULT_NOBODY,
	FAULT_PROCESS,	  /* the libraries' calls in process pid */
	FAULT_DAEMON,	  /* all calls of the daemon process */
	FAULT_WHOLE_NODE, /* all calls of daemon and keeper */
};

enum fault_kind {
	FAULT_SHORTAGE,	 /* from the n-th on all fail that need the process's memory or descriptors
			  */
	FAULT_RESOURCES, /* no memory, no descriptors, no space */
	FAULT_INTERRUPTION, /* EINTR; only calls that can give it are counted */
	FAULT_CUT,	    /* a packet comes without its descriptors; only such are counted */
};

struct fault_control {
	_Atomic uint32_t target;
	uint32_t kind;
	int32_t pid;
	uint32_t n;
	_Atomic uint32_t count;
	/* Set by the daemon process when it begins. */
	_Atomic uint32_t daemon_starts;
	_Atomic int32_t daemon_pid;
	/* Which call it was, and through which places in object, from the inside out, for
	 * addr2line. */
	char call[32];
	char object[128];
	uint64_t offsets[FAULT_FRAMES];
};

#endif
