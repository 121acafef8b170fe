/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_WATCH_H
#define MEMORY_WATCH_H

/*
 * A process whose mappings are watched by a daemon, through the userfaultfd that it gave: what it
 * tells. What is done with its mappings is in memory/mapper.h.
 *
 * Two sides, at the same time:
 *
 *   reader  one thread a watch: watch_wait(), without any lock, and watch_lock(). It may block
 * there for ever, for the client holds the same description and can clear O_NONBLOCK. holder
 * whoever holds the caller's lock: everything else, here and in memory/mapper.h.
 *
 * The reader may be the holder, too, when it deals with what it has read.
 *
 * Between them there is a store of events that never blocks the holder. Faults may be forgotten
 * when there are too many; then all of the process is to be woken, and whoever still has cause asks
 * again (watch_fault() says so). Changes (fork, mremap, munmap, MADV_REMOVE) are never forgotten:
 * the process waits for each to be read.
 *
 * Changes come first. While the process changes its mappings the kernel refuses to protect them,
 * and what has been read and not been applied yet is not protected by anybody: a forked child runs
 * at once. So mapper_protect() and mapper_arm() end with MAPPER_CHANGED where that may be so, and
 * are to be called again after all of watch_change().
 *
 * The other side is hostile. It can read its own events away, use the ioctls itself, and lie about
 * addresses: it then breaks what it could break as well by storing to a segment that it may write,
 * or itself; a read-only mapping is a private one, with which nothing of that reaches the memory.
 * It can keep the holder waiting, by changing its mappings without end: each process has a credit
 * of such time (WATCH_CREDIT, and a quarter of the time that passes), of which each change that
 * comes in between costs some, too. When it is used up operations end with -EBUSY, and the caller
 * ends the process: by SIGKILL, after which the kernel refuses nothing, and the operation is to be
 * called once more (watch_forgive()). Nothing is ever left unprotected silently.
 *
 * Forked children have a userfaultfd that nobody but the reader's process holds: when that closes
 * it, the child is watched by nobody, and loads and stores as it likes. So it is to be kept until
 * watch_probe() says that the child is gone, and by a keeper too. How many of them a process may
 * have is the caller's to limit.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"
#include "base/error.h"

#define WATCH_CREDIT  (1 * NSEC_PER_SEC)
#define WATCH_CHANGES 64u  /* not taken yet: then the reader waits */
#define WATCH_FAULTS  256u /* not taken yet: then they are forgotten */

typedef struct Watch Watch;

/* UFFDIO_API with all that coherent maps need: MISSING_SHMEM, WP of shmem, EVENT_FORK, REMAP,
 * UNMAP, REMOVE. May be said to a userfaultfd once, so not by a successor. -EPERM: EVENT_FORK needs
 * CAP_SYS_PTRACE of the caller; -EINVAL: this kernel is too old (before 5.19), or it was said
 * before. */
int watch_begin(int uffd);

/* Can this process watch others for coherent maps? device: /dev/userfaultfd or -1. A sentence, or
 * NULL: yes. */
const char *watch_impossible(int device);

/* uffd: borrowed until watch_free(); watch_begin() has been said. Becomes non-blocking. */
int watch_new(int uffd, Watch **ret_watch);
/* The reader is gone before. */
void watch_free(Watch *watch);

int watch_uffd(const Watch *watch);

enum watch_event_type {
	WATCH_FAULT,
	WATCH_FAULTS_FORGOTTEN, /* wake all mappers of the process */
	WATCH_FORK,		/* the child has the same mappings, behind a userfaultfd of its own,
				   for which watch_begin() has been said by inheritance */
	WATCH_MOVED,		/* mremap */
	WATCH_UNMAPPED,
	WATCH_REMOVED, /* the process is about to call MADV_DONTNEED (harmless) or MADV_REMOVE
			  (punches) */
};

struct watch_event {
	enum watch_event_type type;
	uint64_t address, end; /* fault: the page; else what has changed, [address, end) */
	uint64_t to;	       /* moved: where address is now */
	bool write;	       /* fault: by a store */
	bool missing;	       /* fault: the page is absent; else: it is protected */
	pid_t thread;	       /* fault: who waits */
	int uffd;	       /* fork: the caller's from now on; until it is taken, the watch's */
};

/* Reader: waits until the process has something to say and stores that. 0: there is something;
 * -ECANCELED: watch_stop(); another negative errno: the process does what it must not, and is not
 * watched any more. After either the reader ends. */
int watch_wait(Watch *watch);

/*
 * Reader: takes the caller's lock, and goes on storing events while it waits for it. With
 * pthread_mutex_lock() instead it could wait for a holder who waits, in mapper_protect(), for what
 * only the reader can read. -ECANCELED: watch_stop(), and the lock is not taken.
 */
int watch_lock(Watch *watch, pthread_mutex_t *lock);

/* Ends the reader and waits for that, whatever its client does; its two functions above give
 * -ECANCELED. By a signal (SIGURG, which gets a handler), for nothing else wakes a read that a
 * client made block. The caller may hold the lock. */
void watch_stop(Watch *watch, pthread_t reader);

/* Holder: the next change or fault. False: there is none now. */
bool watch_change(Watch *watch, struct watch_event *ret_event);
bool watch_fault(Watch *watch, struct watch_event *ret_event);

/* The process has no memory any more: an operation found out (ESRCH). */
bool watch_gone(const Watch *watch);
/* Finds out. address: a page in a mapper of it, which is protected by that. */
bool watch_probe(Watch *watch, uint64_t address);

/*
 * Processes that belong together (of one user: who is out of credit could begin anew with another
 * process) have one credit. The caller's, for as long as the watch lives; without it each has its
 * own.
 */
struct watch_credit {
	uint64_t left, at; /* ns; when it was last looked at */
};

void watch_credit_init(struct watch_credit *credit);
void watch_share_credit(Watch *watch, struct watch_credit *credit);

/* A full credit of its own again: the process has been killed. */
void watch_forgive(Watch *watch);

#endif
