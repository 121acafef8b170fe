/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_BACKING_H
#define CLIENT_BACKING_H

/*
 * The memory behind exports: a range of this process that has been moved into the daemon's memfd,
 * or, if it was shared before, that the daemon knows by its address. Exports of the same range with
 * the same rights share one backing; a range that only overlaps a backing is refused. All backings
 * stand in a tree by address. Private to the client library.
 *
 * Locks: an export's, then its backing's, then the link's. Nobody waits for the lock of a second
 * backing while he holds one.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/list.h"
#include "client/link.h"
#include "memory/adopt.h"

/* What exports that share a backing must have in common. */
struct cw_backing_rights {
	uint32_t space, mode;
	uid_t uid;
	gid_t gid;
};

struct cw_backing {
	void *address;
	uint64_t size;
	struct cw_backing_rights rights;
	uint32_t refs;	/* under the tree's lock */
	bool inherited; /* from the parent process */
	bool shared;	/* by the program with others already: it stays where it is */
	bool made;	/* by us, for this: unmapped with the backing */

	pthread_mutex_t lock; /* of what follows */
	struct list exports;  /* cw_export; empty: the memory is private */
	int fd;		      /* of the memory; -1: not kept */
	dev_t device;	      /* which file is mapped at address */
	ino_t inode;
	bool handed_out; /* published since it is this memory: somebody else may have it */
	bool behind;	 /* the daemon may have given the segments other memory than this */
	struct {
		int fd;
		dev_t device;
		ino_t inode;
	} next; /* where pieces may be mapped already while backing_move() is at work */
};

/* The backing of this very range, locked and with a reference; it may have exports already, unless
 * alone is asked for. STATUS_BAD_ADDRESS: overlaps another, or has other rights; STATUS_BAD_SIZE.
 */
int backing_claim(void *address, uint64_t size, const struct cw_backing_rights *rights, bool alone,
	struct cw_backing **ret_backing);
/* Unlocks it, drops the reference. */
void backing_release(struct cw_backing *backing);
/* Drops the reference of what is not locked. NULL is fine. */
void backing_put(struct cw_backing *backing);

/*
 * Moves the private range, which may be adopted, into the memory fd. reserve: allocate that first.
 * fd is kept or closed on success, the caller's otherwise. STATUS_NOT_ADOPTABLE, STATUS_BAD_ADDRESS
 * …
 */
int backing_adopt(struct cw_backing *backing, struct cw_link *link, int fd, bool reserve);
/* The same for a range that was made for this and that nobody has touched. */
int backing_map(struct cw_backing *backing, int fd, bool reserve);
/* Takes that back; the range stays, without access. */
int backing_unmap(struct cw_backing *backing);
/* Whether that could hold the program's threads now; nothing changes. */
int backing_adopt_try(const struct cw_backing *backing, struct cw_link *link);
/*
 * Moves the content to other memory: fd, which is consumed, or private memory (fd -1). Success
 * means that nothing is handed out or behind any more; where fd is what is mapped already nothing
 * moves and handed_out stays. wary: somebody may write the old memory from now on.
 */
int backing_move(struct cw_backing *backing, struct cw_link *link, int fd, bool wary);

/* 0, or why the range cannot be exported. *ret_shared: it is no private memory. */
int backing_check(const void *address, uint64_t size, bool *ret_shared);

/* Before another export shares it: 0, or STATUS_BAD_ADDRESS: the program has mapped something else
 * there, in part or whole, since it was adopted. */
int backing_look(const struct cw_backing *backing);

void backing_fork_prepare(void);
void backing_fork_parent(void);
/* All of it becomes private. */
void backing_fork_child(void);

#endif
