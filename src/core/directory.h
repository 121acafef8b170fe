/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_DIRECTORY_H
#define CORE_DIRECTORY_H

/*
 * The directory: at the home of one coherent segment, who owns and who shares each page. It turns
 * the nodes' messages, their loss and time into messages and into what is to be done with content
 * (docs/design/0007-coherent-maps.md). Slot 0 is the home's own pager, asked like any other.
 *
 * The table is the caller's memory and outlives the directory. Transactions do not: after a restart
 * nodes say again what they want, and the home's own pager, too.
 *
 * Not thread safe; no operation may call the directory again, but send() to slot 0 may deliver to
 * the home's pager, which answers by directory_receive(): the directory queues such messages until
 * its own state is complete.
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "wire/page.h"

#define DIRECTORY_SLOTS	 64u
#define DIRECTORY_HOME	 0u
#define DIRECTORY_NOBODY UINT8_MAX

/* Owner nobody: the home is in sharers and the segment's memory is right. */
struct directory_entry {
	uint64_t sharers; /* a bit a slot; with an owner: the owner's alone */
	uint8_t owner;
	uint8_t reserved[7];
};

enum page_source {
	PAGE_NOWHERE, /* no content */
	PAGE_MEMORY,  /* the segment's memory */
	PAGE_SHADOW,
};

typedef struct Directory Directory;

struct directory_ops {
	/* To the node of this slot; source: where the content is to be read, before the next
	 * operation here. To slot 0: the content of PAGE_MEMORY is where it belongs already. */
	void (*send)(void *userdata, unsigned int slot, const struct page_message *message,
		enum page_source source);
	/* Pages of the message that is being received into the segment's memory or the shadow. From
	 * slot 0 the content is in the shadow already (its pager's aside is the shadow). Negative:
	 * no memory. */
	int (*keep)(void *userdata, uint64_t page, unsigned int n, enum page_source where);
	/* What the shadow has becomes the segment's memory (its owner is lost, or never had it). */
	int (*recover)(void *userdata, uint64_t page, unsigned int n);
	/* Stores to these pages were discarded: their owner is lost. */
	void (*discarded)(void *userdata, uint64_t page, unsigned int n);
	/* This node, or want of memory, keeps a page from all others: the caller ends its maps, by
	 * directory_remove(lost). */
	void (*give_up)(void *userdata, unsigned int slot, const char *reason);
	/* Everything is home: see directory_recall(). */
	void (*recalled)(void *userdata);
};

struct directory_options {
	uint64_t n_pages;
	struct directory_entry *table;
	uint64_t patience;    /* ns for an answer to FETCH or INV of a node that can be reached */
	uint64_t write_pause; /* ns: a run to write leaves out what another node had so lately */
};

/* A new table is all {sharers 1, owner nobody}: the home has everything to read. */
int directory_new(const struct directory_options *options, const struct directory_ops *ops,
	void *userdata, Directory **ret_directory);
void directory_free(Directory *directory);

/* A node maps the segment from now on, in a slot that nobody has (1 … 63); write: it may own pages.
 * Also to change write. */
void directory_add(Directory *directory, unsigned int slot, bool write);
/* It does not any more. lost: what it owned goes back to the shadow's; else it has nothing. */
void directory_remove(Directory *directory, unsigned int slot, bool lost, uint64_t now);
/* It cannot be reached at present: what it was asked is asked again when it can, and waits so long;
 * its own requests are forgotten, and it will say them again. */
void directory_link(Directory *directory, unsigned int slot, bool up, uint64_t now);

/* STATUS_BAD_REQUEST: the node breaks the protocol; the caller ends its link and its maps. */
int directory_receive(
	Directory *directory, unsigned int slot, const struct page_message *message, uint64_t now);

/* Takes everything home, and answers no other node any more; ends with recalled(). */
void directory_recall(Directory *directory, uint64_t now);

uint64_t directory_next(const Directory *directory);
void directory_tick(Directory *directory, uint64_t now);

/* For show: the slot that owns the page, or DIRECTORY_NOBODY, and who shares it. */
struct directory_entry directory_entry(const Directory *directory, uint64_t page);

/* Every invariant; asserts. For tests, and after a restart. */
void directory_check(const Directory *directory);

#endif
