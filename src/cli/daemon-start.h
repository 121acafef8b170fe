/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DAEMON_START_H
#define CLI_DAEMON_START_H

/* Starting a causewayd: which one, how it is executed, how its readiness shows. */

#include <limits.h>
#include <stdbool.h>

struct daemon_start {
	const char *path;   /* of causewayd */
	const char *socket; /* where it shall listen */
	const char *config; /* directory; NULL: the system's */
	const char *log;    /* file that stderr is appended to; NULL: ours */
	int ready;	    /* descriptor to which it writes when it serves */
};

/* The causewayd to start: the one that the environment names, else the one beside this tool, else
 * the one that was installed with it. buf may hold the result. */
const char *daemon_path(char buf[PATH_MAX]);

/* In a forked child: executes it, with no signal blocked. Never returns. */
__attribute__((noreturn)) void daemon_exec(const struct daemon_start *s);

/* In the parent: reads from the other end of s->ready until the daemon serves. stop: a signalfd
 * that ends the wait, or -1. Returns 0, or EXIT_FAILED after it said why and showed the log. */
int daemon_wait_ready(const struct daemon_start *s, int ready, int stop);

#endif
