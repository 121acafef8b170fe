/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PAGER_H
#define CORE_PAGER_H

/*
 * The pager: what one node may do with each page of one coherent segment, its home's node too. It
 * turns faults of mappers, messages of the home's directory and time into what is to be done with
 * memory and mappers, and into messages to the home (docs/design/0007-coherent-maps.md). It touches
 * no byte and calls no kernel.
 *
 * The table is the caller's memory and outlives the pager: a successor begins with what is there.
 * Everything else is forgotten with it, and found out again. Who may write is not known: whoever is
 * protected is protected in every group, and asks again.
 *
 * The home's pager is always linked. Its table after a restart comes from directory_restore(); its
 * aside is the shadow, which the directory forgets, not the pager.
 *
 * now: ns that never go back. Not thread safe: the caller has a lock. No operation may call the
 * pager again, but send() may deliver to a directory that answers by pager_receive(): so the pager
 * is in order whenever it says something.
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "wire/page.h"

#define PAGER_GROUPS                                                                               \
	64u /* of mappers; the caller puts several mappers into one if there are more */

enum pager_state {
	PAGER_I = 0, /* not here */
	PAGER_S = 1, /* to be read */
	PAGER_M = 2, /* to be written, by nobody else */
	PAGER_D = 3, /* as S; what was written has been sent back and is not confirmed yet */
	PAGER_L = 4, /* not here any more; a copy is aside until it is confirmed */
};

enum pager_advice {
	PAGER_NORMAL,	  /* runs grow with sequential faults */
	PAGER_SEQUENTIAL, /* the largest runs at once */
	PAGER_RANDOM,	  /* one page at a time */
};

typedef struct Pager Pager;

struct pager_ops {
	/* To the home. With PAGE_CONTENT: of what is aside (BACK, PUT of L pages), else of the
	 * memory (BACK of D pages). */
	void (*send)(void *userdata, const struct page_message *message, bool aside);
	/* Pages of the message that is being received, from its page number first on, into the
	 * memory, whose pages are absent. Never called at the home, where content is in the memory
	 * before the pager hears of it. Negative: no memory; see pager_receive(). */
	int (*fill)(void *userdata, uint64_t page, unsigned int n);
	/* Mappers of these groups may write, and whoever waits in them goes on. */
	void (*allow)(void *userdata, uint64_t page, unsigned int n, uint64_t groups);
	/* They may not any more; when it returns no store of theirs is under way. */
	void (*protect)(void *userdata, uint64_t page, unsigned int n, uint64_t groups);
	/* Whoever waits for these pages tries again. */
	void (*wake)(void *userdata, uint64_t page, unsigned int n, uint64_t groups);
	/* The memory is punched, and then every mapper protected anew (the kernel may have lost the
	 * marks). */
	void (*drop)(void *userdata, uint64_t page, unsigned int n);
	/* A copy of the pages, which are protected; at the home, into the shadow. Negative: no
	 * memory; the pages stay, and it is tried again. */
	int (*set_aside)(void *userdata, uint64_t page, unsigned int n);
	/* Not called at the home. */
	void (*forget_aside)(void *userdata, uint64_t page, unsigned int n);
	/* A claim that got nothing may try again. */
	void (*claim_ready)(void *userdata);
	/* pager_release() is done: nothing is here and nothing is aside. */
	void (*released)(void *userdata);
	/* So much is on its way to the home already that what is long is said later. NULL: never.
	 */
	bool (*full)(void *userdata);
};

struct pager_options {
	uint64_t n_pages;
	bool home;	/* of the home's own node */
	uint64_t hold;	/* ns */
	uint8_t *table; /* n_pages bytes, enum pager_state */
	uint32_t map;	/* for messages */
};

struct pager_counts {
	uint64_t read_faults, write_faults; /* that needed the home */
	uint64_t local_faults;		    /* that did not */
	uint64_t pages_in, pages_out;	    /* with content */
	uint64_t invalidated;		    /* without */
	uint64_t holds;			    /* messages that waited for the hold time */
};

/* The table is as the predecessor left it (without content: I), or all PAGER_I; at a new home the
 * caller has set it to PAGER_S. A node's begins without link. -ENOMEM. */
int pager_new(const struct pager_options *options, const struct pager_ops *ops, void *userdata,
	Pager **ret_pager);
void pager_free(Pager *pager);

/* A mapper of this group (below PAGER_GROUPS) is stopped at a page. write: at a store. Whoever
 * waits is woken in the end, unless the group is gone, or everything is by pager_release() or
 * pager_lose(): then the caller does that. */
void pager_fault(Pager *pager, unsigned int group, uint64_t page, bool write, uint64_t now);
/* The page is here and the caller cannot show it, for want of memory: whoever is stopped there is
 * woken a little later, and asks again. */
void pager_starved(Pager *pager, uint64_t page, uint64_t now);
/* The group has mappers from now on (said before they can store), or none any more (said when they
 * cannot: it is not protected again). With no group left everything is given back, by and by, until
 * there is one again. */
void pager_group_set(Pager *pager, unsigned int group, bool used, uint64_t now);

/* From the directory. STATUS_BAD_REQUEST: it makes no sense, and the home is not to be believed any
 * more. Negative: the content could not be filled in, and the pager is lost: the caller does what
 * pager_lose() asks for. */
int pager_receive(Pager *pager, const struct page_message *message, uint64_t now);

/*
 * For a put (write) or get of the home's data thread: the first of these pages, as many as may be
 * touched now, are claimed until pager_unclaim(); what is fetched or invalidated waits so long.
 * Returns their number, at most PAGE_RUN_MAX; 0: the first is being fetched, or there are too many
 * claims, and claim_ready() will be called. Each claim is given back as a whole, and soon.
 */
unsigned int pager_claim(Pager *pager, uint64_t page, unsigned int n, bool write, uint64_t now);
void pager_unclaim(Pager *pager, uint64_t page, unsigned int n, uint64_t now);

/* How faults of these pages are to be understood; hold 0: as it is. */
void pager_advise(Pager *pager, uint64_t page, uint64_t n, enum pager_advice advice);
void pager_set_hold(Pager *pager, uint64_t hold);
/* Will be needed: gets what is not here, to read. */
void pager_will_need(Pager *pager, uint64_t page, uint64_t n, uint64_t now);

/* The home cannot be asked at present: nothing is sent; or it can (again): HOLDS is said, what the
 * new link begins with, and then everything that had no answer. */
void pager_link(Pager *pager, bool up, uint64_t now);
/* The lease is doubtful: M pages are protected and faults wait; or it is good again. */
void pager_freeze(Pager *pager, bool on, uint64_t now);
/* Gives everything back, and answers no fault any more; ends with released(), perhaps before it
 * returns, but not without a link: then the home knows that nothing is here. Not at the home
 * (directory_recall()). */
void pager_release(Pager *pager, uint64_t now);
/* The home is lost: nothing is here, nothing will be. The caller empties the memory and releases
 * the mappers; the table is all PAGER_I. */
void pager_lose(Pager *pager);

/* When pager_tick() is due; UINT64_MAX: never. */
uint64_t pager_next(const Pager *pager);
void pager_tick(Pager *pager, uint64_t now);

enum pager_state pager_state(const Pager *pager, uint64_t page);
void pager_counts(const Pager *pager, struct pager_counts *ret_counts);

#endif
