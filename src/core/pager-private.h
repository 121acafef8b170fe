/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PAGER_PRIVATE_H
#define CORE_PAGER_PRIVATE_H

/*
 * What the files of the pager share.
 *
 * A spot is a page of which something is wanted: somebody waits there, or a request begins there.
 * It is in one of three lists: to_ask (its turn comes), asked (its request has no answer yet), idle
 * (waits for something else: KEPT, the request of another page that covers it, the end of a
 * freeze).
 *
 * Whatever calls send() may find everything changed when that returns; so only pager_pump() and the
 * ends of the other functions do, and loops look again after each.
 */

#include <stddef.h>
#include "base/list.h"
#include "core/pager.h"
#include "wire/status.h"

#define PAGER_ARRIVALS	32u
#define PAGER_DEFERRED	64u /* because of the hold time */
#define PAGER_CLAIMS	16u
#define PAGER_STREAMS	8u
#define PAGER_ADVICES	32u
#define PAGER_WRITE_RUN 64u
/* Asked for at once, in several requests, where faults follow each other for long enough: while the
 * program goes through the first, the others come. */
#define PAGER_READ_WINDOW  (8 * PAGE_RUN_MAX)
#define PAGER_WRITE_WINDOW (2 * PAGER_WRITE_RUN)
#define PAGER_AHEAD	   4u	      /* requests of pager_will_need() at a time */
#define PAGER_ASIDE_MAX	   1024u      /* pages that a release gives back at a time */
#define PAGER_RETRY	   1000000ull /* ns, after want of memory, or of room on the link */
#define PAGER_HOLDS	   4096u      /* runs said at once on a new link */

enum pager_mark {
	PAGER_BUSY = 1, /* a request without answer covers the page */
	PAGER_SENT = 2, /* D, L: the content went up on this link */
	/* There was no memory to answer this FETCH; it is tried again. */
	PAGER_OWED_S = 4,
	PAGER_OWED_M = 8,
};

enum pager_claimer {
	PAGER_NO_CLAIM,
	PAGER_CLAIM_READ,
	PAGER_CLAIM_WRITE,
};

struct spot {
	struct list link;
	uint64_t page;
	uint64_t readers, writers; /* groups that wait */
	enum pager_claimer claimer;
	uint8_t ahead;	 /* PAGE_GETS, PAGE_GETX: though nobody waits; 0 */
	bool queued;	 /* in to_ask */
	uint8_t request; /* PAGE_GETS, PAGE_GETX: in asked; 0 */
	uint16_t n;	 /* pages of the request; before: at most so many */
};

struct deferred {
	struct page_message message;
	uint64_t due;
};

struct claim {
	uint64_t page;
	unsigned int n; /* 0: free */
};

/* Faults that follow each other: of pages after begin up to end, the first not asked for yet. */
struct stream {
	uint64_t begin, end;
	uint64_t used;	  /* Pager.n_streams then */
	unsigned int run; /* pages asked for at the last one */
	bool write;
};

struct advice {
	uint64_t page, n;
	enum pager_advice advice;
};

struct Pager {
	const struct pager_ops *ops;
	void *userdata;
	struct pager_options options;
	uint8_t *marks;	     /* enum pager_mark, by page */
	struct spot **spots; /* by page */
	struct list to_ask, asked, idle;
	unsigned int n_asked, n_ahead;
	uint64_t groups; /* that have mappers */
	bool linked, frozen, lost;
	bool holding; /* a new link is being told what is here: the pages before holds */
	uint64_t holds;
	bool compared; /* the home knows what was here when the link came up */
	bool release;  /* was asked for; released: and said */
	bool released;
	uint64_t cursor;  /* a release has looked at the pages before */
	uint64_t n_held;  /* pages that are not I */
	uint64_t n_aside; /* of them L */
	uint64_t retry;	  /* what failed for want of memory, then; UINT64_MAX: nothing did */
	uint64_t starved_begin, starved_end; /* faults there were forgotten */

	struct {
		uint64_t page, until;
	} arrivals[PAGER_ARRIVALS];
	unsigned int n_arrivals; /* ever */
	struct deferred *deferred;
	size_t n_deferred, deferred_size; /* room for one a claimed page, always */
	bool owes;			  /* there are marks PAGER_OWED */
	struct claim claims[PAGER_CLAIMS];
	size_t n_claimed; /* pages */
	bool claim_waits; /* for something else than a page */

	struct stream streams[PAGER_STREAMS];
	uint64_t n_streams; /* ever used */
	struct advice advices[PAGER_ADVICES];
	unsigned int n_advices;
	uint64_t need_begin, need_end; /* of pager_will_need() */

	struct pager_counts counts;
};

static inline enum pager_state state_of(const Pager *p, uint64_t page)
{
	return p->options.table[page];
}

/* Sets the state of a run; keeps n_held and n_aside. */
void pager_set(Pager *p, uint64_t page, unsigned int n, enum pager_state state);
/* How many pages from this one on are in its state, at most n. */
unsigned int pager_same(const Pager *p, uint64_t page, unsigned int n);
void pager_say(Pager *p, uint8_t type, uint8_t flags, uint64_t page, unsigned int n, bool aside);
/* Something failed for want of memory. */
void pager_retry(Pager *p, uint64_t now);
/* Everything is to be given back. */
bool pager_leaving(const Pager *p);
/* The groups that are answered. */
uint64_t pager_groups(const Pager *p);

/* pager-ask.c */
/* The spot of the page, made if need be; NULL: no memory. */
struct spot *pager_spot(Pager *p, uint64_t page);
/* Wakes who can go on, and queues the spot if something is still wanted, or frees it. Says nothing.
 * came: the page has just come, for those who waited. */
void pager_settle(Pager *p, struct spot *spot, bool came, uint64_t now);
/* The same for every spot of a run. */
void pager_settle_run(Pager *p, uint64_t page, unsigned int n, bool came, uint64_t now);
/* Says what is to be asked. */
void pager_pump(Pager *p, uint64_t now);
int pager_receive_data(Pager *p, const struct page_message *m, uint64_t now);
/* Requests without answer are to be asked again. */
void pager_ask_again(Pager *p);
void pager_settle_all(Pager *p, uint64_t now);
void pager_forget_spots(Pager *p);

/* pager-give.c */
int pager_receive_give(Pager *p, const struct page_message *m, uint64_t now);
int pager_receive_kept(Pager *p, const struct page_message *m, uint64_t now);
/* What has waited long enough. */
void pager_give_deferred(Pager *p, uint64_t now);
/* What there was no memory for. */
void pager_give_owed(Pager *p, uint64_t now);
uint64_t pager_deferred_next(const Pager *p);
/* Goes on with a release. */
void pager_give_back(Pager *p, uint64_t now);
/* More of it can be done at once. */
bool pager_gives_back(const Pager *p);
/* Begins, or goes on, with what a new link is told first. */
void pager_say_holds(Pager *p, uint64_t now);

/* pager-claim.c */
/* Room for another message that waits, besides those that claims may need. */
bool pager_has_room(const Pager *p);
bool pager_claimed(const Pager *p, uint64_t page, unsigned int n);
void pager_hold(Pager *p, uint64_t page, uint64_t now);
/* Until when; 0: it is not. */
uint64_t pager_held_until(const Pager *p, uint64_t page, unsigned int n, uint64_t now);

/* pager-advice.c */
/* How many pages to ask for at this fault. */
unsigned int pager_window(Pager *p, uint64_t page, bool write);
/* Asks for pages that nobody waits for; begin need not be one of them. Says nothing. */
void pager_ahead(Pager *p, uint64_t begin, uint64_t end, bool write);
/* The next pages of pager_will_need(), as long as there are few requests for it. */
void pager_look_ahead(Pager *p);

#endif
