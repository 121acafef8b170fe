/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_PAGE_H
#define WIRE_PAGE_H

/*
 * What two daemons say to each other over a page link: frames of a fixed header and, for some, the
 * content of n pages. map: the number that the home gave to this node's use of a segment.
 *
 *   u8 type  u8 flags  u16 n  u32 map  u64 page
 *
 * A decoder believes nothing. Thread safe: no state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE_SHIFT	 12u
#define PAGE_BYTES	 4096u
#define PAGE_RUN_MAX	 128u
#define PAGE_HEADER_SIZE 16u
/* GETS and GETX of one map that have no answer, at most. */
#define PAGE_REQUESTS_MAX 128u

enum page_type {
	/* to the home */
	PAGE_GETS = 1,	/* to read; the first page, and up to n - 1 behind it as convenient: one
			   answer, from the same page on; DATA_M if it will be written next */
	PAGE_GETX = 2,	/* to write; likewise */
	PAGE_ACK = 3,	/* of INV: they are not here any more */
	PAGE_BACK = 4,	/* of FETCH, with content; PAGE_GONE: they are not here any more, else they
			   may still be read */
	PAGE_PUT = 5,	/* given up, unasked; with content if it may have been written */
	PAGE_HOLDS = 6, /* first on a new link: the state of pages that are not I, by runs in
			   order, in flags: one PAGE_HOLDS_…; after the last PAGE_HOLDS_END with n 1
			   and page 0 */
	/* from the home */
	PAGE_DATA_S = 16,  /* with content */
	PAGE_DATA_M = 17,  /* with content */
	PAGE_GRANT_M = 18, /* what is shared here may be written */
	PAGE_INV = 19,
	PAGE_FETCH_S = 20,   /* give back, and share */
	PAGE_FETCH_M = 21,   /* give back */
	PAGE_KEPT = 22,	     /* the content of BACK or PUT is safe */
	PAGE_DISCARDED = 23, /* stores of a lost node were discarded, page times so far (n 1);
				before any DATA without them. The daemon's, not the pager's */
	PAGE_HELD = 24,	     /* answers HOLDS, to its end: the home has compared (page 0, n 1) */
};

enum page_flags {
	PAGE_CONTENT = 1, /* n pages follow: DATA and BACK always, PUT of what was written */
	PAGE_GONE = 2,
	PAGE_HOLDS_S = 4,
	PAGE_HOLDS_M = 8,
	PAGE_HOLDS_D = 16, /* to be read; not confirmed yet */
	PAGE_HOLDS_L = 32, /* aside */
	PAGE_HOLDS_END = 64,
};

struct page_message {
	uint8_t type; /* enum page_type */
	uint8_t flags;
	uint16_t n; /* 1 … PAGE_RUN_MAX */
	uint32_t map;
	uint64_t page;
};

void page_message_encode(const struct page_message *message, uint8_t ret[PAGE_HEADER_SIZE]);
/* -EBADMSG: no such type, flags that do not go with it, n, page + n beyond 2^52. */
int page_message_decode(const uint8_t bytes[PAGE_HEADER_SIZE], struct page_message *ret_message);

static inline size_t page_message_content(const struct page_message *message)
{
	return message->flags & PAGE_CONTENT ? (size_t)message->n * PAGE_BYTES : 0;
}

static inline bool page_message_is_to_home(const struct page_message *message)
{
	return message->type < PAGE_DATA_S;
}

#endif
