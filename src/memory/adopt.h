/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_ADOPT_H
#define MEMORY_ADOPT_H

/*
 * Adoption: memory that the program already has becomes shared memory in place, and back again.
 * Address and content stay, and no store of another thread is lost: while a piece is copied it is
 * write-protected through a userfaultfd of our own, so writers wait in the kernel; one mmap() over
 * it switches it, then the writers go on and hit the new memory. Pieces of MEMORY_CHUNK bytes bound
 * how long a writer waits. Readers never wait. A process with one thread needs none of that.
 *
 * All functions work on the calling process. Different ranges may be worked on at the same time.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"

#define MEMORY_CHUNK (2ul << 20) /* bytes */

typedef struct MemoryAdopter MemoryAdopter;

/* device: an open /dev/userfaultfd, used during the call only, or -1. Never fails for lack of
 * rights: without userfaultfd other threads are stopped; where that is not allowed either, there
 * must be none. */
int memory_adopter_new(int device, MemoryAdopter **ret_adopter);
void memory_adopter_free(MemoryAdopter *adopter);

enum memory_kind {
	MEMORY_PRIVATE,	    /* private: anonymous, heap, .bss, .data, private file maps */
	MEMORY_SHARED_ANON, /* mmap(MAP_SHARED | MAP_ANONYMOUS) */
	MEMORY_SYSV,	    /* shmat */
};

enum memory_outcome {
	MEMORY_OK = 0,
	MEMORY_BAD_ADDRESS = 1, /* not mapped, or not readable and writable */
	MEMORY_WRONG_KIND = 2,	/* stack, device, hugetlb, shared file: cannot be adopted */
	MEMORY_BUSY = 3,	/* watched by another userfaultfd */
	MEMORY_NO_RIGHT = 4,	/* there are other threads, and no way to hold them */
};

/* What the range is made of: all of one kind, all readable and writable. */
int memory_classify(void *address, size_t size, enum memory_kind *ret_kind);

/*
 * Copies the private range into memfd (reserved, offset 0, not in use by others yet) and maps that
 * in its place, MAP_SHARED. On failure the range is as it was, private and with every store in it.
 * Page aligned. Results: 0, enum memory_outcome, -ENOMEM …
 */
int memory_adopt(MemoryAdopter *adopter, void *address, size_t size, int memfd);

/* Whether memory_adopt() of this range could hold other threads now: 0, or as it would fail. For
 * those who give something up before. */
int memory_adopt_try(MemoryAdopter *adopter, void *address, size_t size);

/*
 * Moves an adopted range to other memory: fd_to >= 0: another memfd (reserved), shared as before
 * (revocation); -1: private memory (undo at destroy). Only pieces that still map the memfd with
 * this device and inode at the right offset are moved; where the program has unmapped or replaced a
 * piece, that piece is left alone (with fd_to >= 0 its last content is still carried over, so that
 * the segment keeps its bytes).
 *
 * fd_from: a descriptor of the memory as it is now, or -1. With it the undo is quicker, and has a
 * last way where memory is short or other threads cannot be held: a private map of fd_from. Then
 * whoever has that memory can still change pages that the program has not stored to since.
 *
 * -ENOMEM: nothing has changed. Once something has moved it goes on to the end. Without a last way
 * stores of threads that can neither be held by userfaultfd nor be stopped may be lost.
 */
int memory_move(MemoryAdopter *adopter, void *address, size_t size, dev_t device, ino_t inode,
	int fd_from, int fd_to);

/* In a forked child, before anything else runs there: makes an inherited adopted range private, by
 * copy on write of fd if fd >= 0, else by copying now. Only pieces that still are ours.
 * Async-signal safe but for the copy's mmap. */
int memory_make_private(void *address, size_t size, dev_t device, ino_t inode, int fd);

#endif
