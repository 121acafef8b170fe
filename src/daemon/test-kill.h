/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_KILL_H
#define DAEMON_TEST_KILL_H

/*
 * For tests: a scene in which a request is made, the requests, and a daemon that is stopped between
 * two steps of its own.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "daemon/journal.h"
#include "daemon/test-client.h"

/* A node, two clients, what they have, and the request that is to be disturbed. */
struct scene {
	struct node node;
	pid_t daemon;
	struct client a, b, c; /* a exports, b imports; c has not said hello */
	bool b_open, c_open;
	uint32_t segment, sibling, id, import;
	uint32_t shmid;
	int pipe; /* of the import; -1: none */
	struct wire_cell *cells;
	Journal *journal; /* only read */

	struct client *who;
	struct wire_message request; /* type 0: who closes its connection */
	uint8_t tail[64];
	bool killed;
};

struct kill_case {
	const char *name;
	void (*prepare)(struct scene *s);
	void (*verify)(struct scene *s);
};

/* --- test-kill-cases.c --- */

extern const struct kill_case kill_cases[];
extern const size_t n_kill_cases;

/* --- test-kill-shm.c --- */

extern const struct kill_case kill_shm_cases[];
extern const size_t n_kill_shm_cases;

/* --- test-kill-step.c --- */

/* Calls fn, if any, with each descriptor of a process and what it is until that returns true.
 * Returns how many there were. */
unsigned int each_fd(
	pid_t pid, bool (*fn)(const char *path, const char *what, void *userdata), void *userdata);

/* Takes hold of the daemon, asleep. Returns false if that is not allowed here. */
bool daemon_attach(struct scene *s);
/* It may be anywhere, also asleep. */
void daemon_detach(struct scene *s);
void daemon_kill(struct scene *s);

/* So that a daemon that sleeps is noticed. On only while it is disturbed: nothing else expects to
 * be interrupted. */
void clock_run(bool on);

/* Kills it after n system calls, or n changes of what a successor or client can see. Returns false
 * if the request took less. */
typedef bool (*disturb_fn)(struct scene *s, unsigned int n);
bool kill_after_calls(struct scene *s, unsigned int n);
bool kill_after_changes(struct scene *s, unsigned int n);

#endif
