/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

/*
 * What a restarted daemon must know, in a memfd that the keeper holds: slots of 512 bytes, one
 * record each. A slot has two bodies and a selector word that says which one counts and of what
 * kind it is; an update fills the other body and then stores the selector with release order. A
 * daemon killed at any instruction leaves the old record or the new one.
 *
 * The memfd is sparse; its pages are reserved before they are written, so that lack of memory is an
 * error here and not a SIGBUS. Records are native structs: daemon and successor are one executable.
 * One thread.
 */

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_SLOTS	  (1u << 20)
#define JOURNAL_BODY_SIZE 248u

/* Slot 0 is the journal's head; as a slot number 0 means "none". */
#define JOURNAL_NO_SLOT 0u

typedef struct Journal Journal;

/* A new, empty journal. incarnation: not 0. started: CLOCK_REALTIME in ns. */
int journal_create(uint64_t incarnation, uint64_t started, int *ret_fd);

/* fd becomes the journal's on success. -EBADMSG: it is none. */
int journal_open(int fd, Journal **ret_journal);
void journal_close(Journal *journal);

int journal_fd(const Journal *journal);
uint64_t journal_incarnation(const Journal *journal);
uint64_t journal_started(const Journal *journal);

/* A new record; kind: 1 … 255. Errors: -ENOSPC (no slot left), -ENOMEM. */
int journal_add(
	Journal *journal, uint32_t kind, const void *record, size_t size, uint32_t *ret_slot);
/* Replaces the record of a slot in use. Cannot fail. */
void journal_update(Journal *journal, uint32_t slot, const void *record, size_t size);
/* JOURNAL_NO_SLOT is fine. */
void journal_remove(Journal *journal, uint32_t slot);

/* All slots in use are below this number. */
uint32_t journal_end(const Journal *journal);
/* The record's kind, 0 if the slot is free. record gets the first size bytes of it. */
uint32_t journal_read(const Journal *journal, uint32_t slot, void *ret_record, size_t size);

#endif
