/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_DIRECTORY_H
#define CORE_DIRECTORY_H

/*
 * The directory: at the home of one coherent segment, who owns and who shares each page. It turns
 * the nodes' messages, their loss and time into messages and into what is to be done with content
 * (docs/design/0007-coherent-maps.md). Slot 0 is the home's own pager, asked like any other.
 *
 * The table is the caller's memory and outlives the directory: a word a page, written in one store,
 * so that whoever dies between two instructions leaves it right. Transactions do not outlive it:
 * after a restart nodes say again what they want.
 *
 * A page is at any time owned by a slot (which alone has it, while the shadow has what was last
 * written back), or in the segment's memory and shared by the home, or in the shadow alone. Others
 * may share it in the last two.
 *
 * Memory is taken in directory_add(); after that nothing fails for want of it, runs only become
 * shorter. Not thread safe; no operation may call the directory again, but send() to slot 0
 * delivers to the home's pager, which may answer by directory_receive() at once.
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "wire/page.h"

#define DIRECTORY_SLOTS	 62u
#define DIRECTORY_HOME	 0u
#define DIRECTORY_SHADOW 254u /* nobody; the content is in the shadow */
#define DIRECTORY_NOBODY 255u /* the home shares it, and the segment's memory is right */

/* A page of a new table: the home has it to read. */
#define DIRECTORY_NEW 1ull

/* As the table says it, for show. */
struct directory_entry {
	uint64_t sharers; /* a bit a slot; with an owner: the owner's alone */
	uint8_t owner;	  /* slot, SHADOW, NOBODY */
};

enum page_source {
	PAGE_NOWHERE, /* no content */
	PAGE_MEMORY,  /* the segment's memory */
	PAGE_SHADOW,
};

typedef struct Directory Directory;

struct directory_ops {
	/* To the node of this slot, whose number for the map is the caller's to fill in. source:
	 * where the content is to be read, before the next operation here. To slot 0 DATA is in
	 * the segment's memory already; DATA_S without PAGE_CONTENT is no answer: what came home
	 * for another reason. */
	void (*send)(void *userdata, unsigned int slot, const struct page_message *message,
		enum page_source source);
	/* Pages of the message that is being received into the segment's memory or the shadow. Not
	 * called for slot 0: what it gives back is in the shadow already (its pager's aside is the
	 * shadow), or stays in the memory. Negative: no memory. */
	int (*keep)(void *userdata, uint64_t page, unsigned int n, enum page_source where);
	/* What the shadow has becomes the segment's memory. Negative: no memory; it is tried again
	 * later. */
	int (*recover)(void *userdata, uint64_t page, unsigned int n);
	/* The shadow of these pages is not needed any more. */
	void (*forget)(void *userdata, uint64_t page, unsigned int n);
	/* Stores to so many pages are discarded: their owner is lost. Once a loss, before anybody
	 * can see them without: remembered durably, and told before any later DATA, when this
	 * returns. */
	void (*discarded)(void *userdata, unsigned int slot, uint64_t n_pages);
	/* This node keeps a page from all others, or what it gives back cannot be kept: the caller
	 * ends its maps: tells it so, and calls directory_remove(), not from here, when it has
	 * answered or its lease is over: until then its processes believe what they have. */
	void (*give_up)(void *userdata, unsigned int slot, const char *reason);
	/* Everything is home: see directory_recall(). */
	void (*recalled)(void *userdata);
	/* There is so much on its way to this node already that it is given nothing more before
	 * directory_room(). NULL: never. */
	bool (*full)(void *userdata, unsigned int slot);
};

struct directory_options {
	uint64_t n_pages;
	uint64_t *table;      /* n_pages words; a new one is all DIRECTORY_NEW */
	uint64_t patience;    /* ns for an answer to FETCH or INV of a node that can be reached */
	uint64_t write_pause; /* ns: a run to write leaves out what another node had so lately */
};

/* -ENOMEM. */
int directory_new(const struct directory_options *options, const struct directory_ops *ops,
	void *userdata, Directory **ret_directory);
void directory_free(Directory *directory);

/* After a restart, before anything else: brings the table and that of the home's pager together;
 * the latter may be given to pager_new() then. The caller has protected every mapper, drops the
 * content of pages that are PAGER_I afterwards, and then wakes everybody; and he removes
 * whatever slots are in the table but have no session any more. */
void directory_restore(Directory *directory, uint8_t *pager_table);

/* A node maps the segment from now on, in a slot that nobody has (1 … 61), without link; write: it
 * may own pages. Again: to change write. -ENOMEM. */
int directory_add(Directory *directory, unsigned int slot, bool write);
/* It does not any more. What it still owned is in the shadow then as it was last written back, and
 * discarded() is said. Also of a slot that was not added. */
void directory_remove(Directory *directory, unsigned int slot, uint64_t now);
/* It cannot be reached at present: what it was asked is asked again when it can, and waits so long,
 * but not for ever; its own requests are forgotten, and it will say them again. Up: it begins with
 * HOLDS, before which nothing is said to it. Up again without down is a new link, too. */
void directory_link(Directory *directory, unsigned int slot, bool up, uint64_t now);

/* It is not full any more. */
void directory_room(Directory *directory, unsigned int slot, uint64_t now);

/* STATUS_BAD_REQUEST: the node breaks the protocol; the caller ends its link and its maps. */
int directory_receive(
	Directory *directory, unsigned int slot, const struct page_message *message, uint64_t now);

/* Takes everything home, and answers no other node any more; ends with recalled(), perhaps before
 * it returns. */
void directory_recall(Directory *directory, uint64_t now);

uint64_t directory_next(const Directory *directory);
void directory_tick(Directory *directory, uint64_t now);

/* For show: the slot that owns the page, or DIRECTORY_NOBODY, and who shares it. */
struct directory_entry directory_entry(const Directory *directory, uint64_t page);

/* Every invariant; asserts. For tests, and after a restart. */
void directory_check(const Directory *directory);

#endif
