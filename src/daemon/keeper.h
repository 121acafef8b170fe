/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

/*
 * The keeper: the process that stays. It starts the daemon, holds copies of the daemon's
 * descriptors by kind and key without knowing what they are, and starts the daemon again when it
 * dies, giving everything back. It ends when the daemon says that it ends.
 *
 * Packets on the socketpair are struct keeper_packet, with one descriptor for a STORE. The daemon
 * sends nothing between its start and DONE. libc only; one thread besides base/closer.h's; the
 * keeper never waits for the daemon to read.
 */

#include <stdint.h>

enum keeper_op {
	KEEPER_STORE = 1, /* both ways; replaces what has the same kind and key */
	KEEPER_DROP = 2,  /* to the keeper */
	KEEPER_DONE = 3,  /* to the daemon: that was all */
	KEEPER_READY = 4, /* to the keeper: the daemon serves */
	KEEPER_END = 5,	  /* to the keeper: the daemon ends by itself; key: exit status */
};

/* To a keeper that did not start its daemon: a pidfd of the daemon. Never stored. */
#define KEEPER_KIND_DAEMON 0u

struct keeper_packet {
	uint32_t op;
	uint32_t kind;
	uint64_t key;
};

/* Exit status of a daemon that could not start for want of memory or descriptors. Said by a
 * successor it is tried again until there are some. */
#define KEEPER_STATUS_SHORTAGE 75

typedef struct Keeper Keeper;

struct keeper_options {
	const char *const *argv; /* of the daemon; "--daemon-fd N" is appended */
	/* NULL: nobody wants to know */
	void (*ready)(void *userdata);	       /* the daemon serves, for the first time */
	void (*stored)(uint32_t kind, int fd); /* the daemon stored this */
	void *userdata;
};

int keeper_new(const struct keeper_options *options, Keeper **ret_keeper);
void keeper_free(Keeper *keeper);

/* fd is the keeper's from now on, also on failure. */
int keeper_store(Keeper *keeper, uint32_t kind, uint64_t key, int fd);

/* Keeps the living daemon at the other end of link, instead of starting one. */
void keeper_adopt(Keeper *keeper, int link);

/* Until the node ends; returns the exit status. */
int keeper_run(Keeper *keeper);

/* Executes this program anew with argv, then name and fd; no other descriptor but 0 to 2 goes
 * along. The daemon starts a new keeper with it, too. */
int keeper_spawn(const char *const *argv, const char *name, int fd, int *ret_pid);

#endif
