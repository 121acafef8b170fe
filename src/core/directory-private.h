/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_DIRECTORY_PRIVATE_H
#define CORE_DIRECTORY_PRIVATE_H

/*
 * What the files of the directory share.
 *
 * A work is one request: of a node, of the home's pager, or of a recall. It waits in the queue of a
 * page, is ready, active (its pages are its own: no other work touches them, and answers are
 * outstanding), done (none are), or stuck (done, but there was no memory). Its pages began with the
 * same entry, so each node is told once; answers come page by page, and each is put into the table
 * at once.
 *
 * What the home's pager says while the directory works waits in the inbox, so that nothing here is
 * called twice at a time.
 */

#include "base/list.h"
#include "core/directory.h"
#include "wire/status.h"

#define DIRECTORY_RECALL  DIRECTORY_SLOTS /* works of a recall have this slot */
#define DIRECTORY_NONE	  UINT8_MAX	  /* whoever asked is gone */
#define DIRECTORY_RECALLS 8u		  /* works of a recall */
/* The home's pager says one thing a message, and its requests are limited. */
#define DIRECTORY_INBOX (2 * PAGE_REQUESTS_MAX)
#define DIRECTORY_RETRY 10000000ull /* ns, after want of memory */

/* A page of an active work. */
struct item {
	struct work *work;
	uint64_t need;	   /* slots whose answers are outstanding */
	struct list queue; /* struct work: for this page */
};

struct work {
	struct list link; /* slot's free or waiting, an item's queue, directory's ready, active,
			     done, stuck */
	struct list mine; /* slot's works that are in use */
	uint8_t origin;	  /* slot that it belongs to */
	uint8_t slot;	  /* who is answered; DIRECTORY_RECALL, DIRECTORY_NONE */
	bool write;
	uint16_t wanted; /* pages */
	uint16_t n;	 /* its pages; 0: not active yet */
	uint16_t n_open; /* of them with answers outstanding */
	uint64_t page;
	uint64_t began; /* and asked */
	struct item first;
	struct item *more; /* the n - 1 others, or NULL */
};

enum slot_link {
	SLOT_DOWN,
	SLOT_RESUMING, /* its pages before the cursor are known */
	SLOT_UP,
};

struct slot {
	bool used, write;
	bool given_up; /* and said */
	enum slot_link link;
	uint64_t since; /* that it has been reachable, but for times without a link meanwhile: what
			 * it owes on one link it owes on the next */
	uint64_t down;	/* without link since */
	uint64_t cursor;
	unsigned int n_works; /* that belong to it and have not been abandoned */
	struct list works;    /* free */
	struct list mine;     /* in use */
	struct list waiting;  /* of them: ready, but the node is full */
};

struct Directory {
	const struct directory_ops *ops;
	void *userdata;
	struct directory_options options;
	struct item **items; /* by page */
	uint32_t *recent;    /* who got the page last, and when; see directory-run.c */
	struct slot slots[DIRECTORY_SLOTS + 1];
	struct list ready, active, done, stuck;
	struct list late; /* active for so long that patience is tried again and again */
	uint64_t late_at;
	uint64_t retry; /* of stuck */
	bool running;	/* inside an operation */
	bool recalling, recalled;
	uint64_t recall_cursor;
	struct page_message inbox[DIRECTORY_INBOX];
	unsigned int inbox_begin, inbox_end; /* ever */
	uint64_t now;
};

static inline uint64_t slot_bit(unsigned int slot)
{
	return 1ull << slot;
}

/* The table: sharers in the low bits, above them what kind of owner. */
#define ENTRY_OWNED   (1ull << 62)
#define ENTRY_SHADOW  (2ull << 62)
#define ENTRY_KIND    (ENTRY_OWNED | ENTRY_SHADOW)
#define ENTRY_SHARERS (ENTRY_OWNED - 1)

static inline struct directory_entry entry_get(const Directory *d, uint64_t page)
{
	uint64_t word = d->options.table[page];
	struct directory_entry e = {.sharers = word & ENTRY_SHARERS, .owner = DIRECTORY_NOBODY};

	if (word & ENTRY_SHADOW)
		e.owner = DIRECTORY_SHADOW;
	else if (word & ENTRY_OWNED)
		e.owner = (uint8_t)__builtin_ctzll(word);
	return e;
}

static inline void entry_set(Directory *d, uint64_t page, uint64_t sharers, unsigned int owner)
{
	uint64_t word = owner == DIRECTORY_NOBODY   ? sharers
			: owner == DIRECTORY_SHADOW ? sharers | ENTRY_SHADOW
						    : slot_bit(owner) | ENTRY_OWNED;

	__atomic_store_n(&d->options.table[page], word, __ATOMIC_RELEASE);
}

static inline bool entry_owned(struct directory_entry e)
{
	return e.owner < DIRECTORY_SLOTS;
}

static inline struct item *work_item(struct work *w, unsigned int i)
{
	return i == 0 ? &w->first : &w->more[i - 1];
}

/* directory.c */
/* Gives the slot free works until it has so many. -ENOMEM. */
int directory_fill(Directory *d, unsigned int slot, unsigned int n);
void directory_say(Directory *d, unsigned int slot, uint8_t type, uint64_t page, unsigned int n,
	enum page_source source);
/* Memory has the content, and the home's pager is to know. */
void directory_home_shares(Directory *d, uint64_t page, unsigned int n);
/* May the node be told of this page? */
bool directory_reachable(const Directory *d, unsigned int slot, uint64_t page);

/* directory-work.c */
/* A work of the slot's; NULL: it has too many. */
struct work *work_new(Directory *d, unsigned int slot, const struct page_message *m);
/* It is in no list but its slot's. */
void work_free(Directory *d, struct work *w);
/* Nobody waits for it any more: it is forgotten, or ends without an answer. */
void work_abandon(Directory *d, struct work *w);
/* Begins it, or queues it behind another one. */
void work_start(Directory *d, struct work *w);
/* Every answer is there. */
void work_finish(Directory *d, struct work *w);
/* The slot has answered for this page, or has forgotten that it was asked, and the entry says how
 * that stands: whoever must answer now is asked, the slot too. Returns whether that was. */
bool work_replan(Directory *d, uint64_t page, unsigned int slot);

/* directory-run.c */
/* Is it to be able to write? Of a request to read, too, if that has turned out to be the same. */
bool work_writes(Directory *d, const struct work *w);
/* Pages from the work's on that it can have in one transaction. */
unsigned int work_run(const Directory *d, const struct work *w);
void directory_note(Directory *d, uint64_t page, unsigned int n, unsigned int slot);

/* directory-answer.c */
int directory_ack(Directory *d, unsigned int slot, const struct page_message *m);
/* BACK, PUT */
int directory_back(Directory *d, unsigned int slot, const struct page_message *m);
/* The shadow's content becomes the memory's; false: no memory. All are SHADOW. */
bool directory_recover_run(Directory *d, uint64_t page, unsigned int n);

/* directory-resume.c */
int directory_holds(Directory *d, unsigned int slot, const struct page_message *m);

/* directory-recall.c */
/* Returns whether there was something to do. */
bool directory_recall_on(Directory *d);

#endif
