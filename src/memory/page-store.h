/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_PAGE_STORE_H
#define MEMORY_PAGE_STORE_H

/*
 * The memory behind one coherent segment on one node: memfds, each sealed against change of size
 * and owned by the daemon, whose descriptors a keeper can hold, so that a successor opens the same
 * store again (page_store_open).
 *
 *   memory  the segment's content, as far as it is here; mapped by the processes. At the home the
 *           segment's own memfd, elsewhere one of ours, all holes at first
 *   table   what the engine writes: a node's bytes, or the home's entries; mapped here
 *   shadow  at the home: copies of pages that are away, at the same offsets
 *   aside   elsewhere: copies of pages given back and not confirmed
 *
 * Sizes are bytes; offsets and lengths whole pages. Nothing here is ever a SIGBUS: content is moved
 * with pread and pwrite, never through a mapping. Whoever keeps such a call waiting for ever is
 * ended (memory/page-guard.h). Errors: negative errno (-ENOSPC, -ENOMEM: no memory). Not thread
 * safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct page_store {
	uint64_t size;	 /* of the segment */
	int memory;	 /* at the home borrowed */
	uint64_t offset; /* of the segment in memory; not 0 only at a home */
	bool home;
	int table, aside; /* aside: the shadow at the home */
	uint8_t *map;	  /* the table */
	size_t map_size;
	uint64_t aside_bytes; /* at most, of a node: what it may hold aside at a time */
};

/* A node's: memory, table (a byte a page) and aside are made. */
int page_store_new(uint64_t size, struct page_store *ret_store);
/* A home's: table with table_size bytes, and shadow. memory stays the caller's. */
int page_store_new_home(int memory, uint64_t offset, uint64_t size, size_t table_size,
	struct page_store *ret_store);
/* What a predecessor left; the descriptors are the store's on success. -EBADMSG: sizes do not fit.
 */
int page_store_open(bool home, int memory, uint64_t offset, uint64_t size, size_t table_size,
	int table, int aside, struct page_store *ret_store);
void page_store_close(struct page_store *store);

int page_store_read(const struct page_store *store, uint64_t offset, void *data, size_t n);
int page_store_write(const struct page_store *store, uint64_t offset, const void *data, size_t n);
/* Absent pages become zeros that are there; others stay. For a fault at a page that should be there
 * (event.missing): a process that may write has punched it. */
int page_store_reserve(const struct page_store *store, uint64_t offset, uint64_t n);
/* The pages are absent from every mapping, and read as zeros from here. */
int page_store_punch(const struct page_store *store, uint64_t offset, uint64_t n);
/* Calls for each run of pages that are there, in order. */
int page_store_present(const struct page_store *store,
	void (*each)(void *userdata, uint64_t offset, uint64_t n), void *userdata);

/* memory → aside, and back; both ends whole pages at the same offsets. */
int page_store_save(const struct page_store *store, uint64_t offset, uint64_t n);
int page_store_recover(const struct page_store *store, uint64_t offset, uint64_t n);
int page_store_read_aside(const struct page_store *store, uint64_t offset, void *data, size_t n);
int page_store_write_aside(
	const struct page_store *store, uint64_t offset, const void *data, size_t n);
int page_store_forget_aside(const struct page_store *store, uint64_t offset, uint64_t n);

/* Fresh descriptions of the memory for a process: read-only ones cannot be written through, nor
 * opened anew for writing. */
int page_store_lend(const struct page_store *store, bool read_only, int *ret_fd);

#endif
