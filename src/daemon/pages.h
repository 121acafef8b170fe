/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PAGES_H
#define DAEMON_PAGES_H

/*
 * The memory that the daemon shares with its clients (wire/shared.h): making, mapping and what the
 * daemon does with it. Everything is reserved before it is written, so that lack of memory is an
 * error and not a SIGBUS. What clients may write is only ever added to, never believed.
 */

#include "base/error.h"
#include "wire/shared.h"

/* Node page */

int node_page_new(uint32_t node, uint64_t incarnation, int *ret_fd);
int node_page_map(int fd, struct wire_node_page **ret_page);
/* Takes the lock, also after a daemon that died with it, counts the start and wakes who slept. */
int node_page_take_over(struct wire_node_page *page);

/* Status page and client page */

struct status_page {
	int fd;
	struct wire_status_page *map;
	uint32_t n_imports, n_exports, n_routes; /* entries below have their memory */
};

#define STATUS_PAGE_NONE                                                                           \
	(struct status_page)                                                                       \
	{                                                                                          \
		.fd = -1                                                                           \
	}

int status_page_new(uint64_t incarnation, struct status_page *ret_page);
/* fd becomes the page's on success. n_imports: at least those that were ever used. */
int status_page_open(int fd, struct status_page *ret_page);
void status_page_deinit(struct status_page *page);
/* Before the daemon writes below these. */
int status_page_reserve(struct status_page *page, uint32_t n_imports, uint32_t n_exports);
int status_page_reserve_routes(struct status_page *page, uint32_t n_routes);
/* A new value for an import's or a route's word that somebody may sleep on. */
void status_word_show(_Atomic uint64_t *word, uint64_t value);

int client_page_new(uint64_t incarnation, int *ret_fd);
/* One look at a slot; -ERANGE if there is none of that number. */
int client_page_read(int fd, uint32_t slot, struct wire_map *ret_map);

/* The client says that children of it may have its maps. */
bool client_page_forked(int fd);
/* Slots that may be in use. */
uint32_t client_page_maps(int fd);

/* What a client counted; whatever numbers it likes. */
struct traffic {
	uint64_t puts, gets, put_bytes, get_bytes, posts;
};

/* Zero, with memory, for a new import or export. */
int client_page_begin_import(int fd, uint32_t import);
int client_page_begin_export(int fd, uint32_t export);
/* Adds what is there to sum. */
void client_page_add_import(int fd, uint32_t import, struct traffic *sum);
uint64_t client_page_export_posts(int fd, uint32_t export);

/* Cells of a segment */

struct cells {
	int fd;
	struct wire_cell *map; /* NULL: not made yet */
	uint32_t n;	       /* cells below have their memory */
};

#define CELLS_NONE                                                                                 \
	(struct cells)                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}

int cells_new(struct cells *ret_cells);
int cells_open(int fd, struct cells *ret_cells);
void cells_deinit(struct cells *cells);
/* Before the daemon touches this cell. */
int cells_reserve(struct cells *cells, uint32_t cell);
/* For a new owner. */
void cells_clear(struct cells *cells, uint32_t cell);
/* From now on it is a guest's: whoever posts there tells the daemon. */
void cells_begin_guest(struct cells *cells, uint32_t cell);
/* Has the owner look at its status page. pipe: -1 or the writing end of its pipe. */
void cells_look(struct cells *cells, uint32_t cell, int pipe);
/* Wakes the owner, who may have missed a wake-up: a poster died. */
void cells_kick(struct cells *cells, uint32_t cell, int pipe);

/*
 * Signals between nodes. What is taken from a guest's cell is added to its totals, what is put into
 * an importer's is the difference to them; both modulo 2^32. A daemon that is killed between the
 * two counts the same once more, and loses nothing.
 */

struct signals {
	uint32_t total, once;
};

/* Moves what has been posted to a guest into the cell's totals. */
struct signals cells_take(struct cells *cells, uint32_t cell);
/* What has been taken from or put into this cell. */
struct signals cells_totals(const struct cells *cells, uint32_t cell);
/* Brings an importer's cell up to these totals. */
void cells_put(struct cells *cells, uint32_t cell, struct signals totals, int pipe);
/* One signal, as a local process would post it. pipe: as above. Any thread. */
void cell_post(struct wire_cell *cell, bool accumulate, int pipe);

/* The number of operations that were carried out on each guest's data connections */

#define DONE_WORDS 65536u

int done_page_new(int *ret_fd);
/* The memory of all words is there. */
int done_page_map(int fd, _Atomic uint64_t **ret_words);

/* Pipes */

/* Only a writing description; readers are opened with cell_pipe_reader(). */
int cell_pipe_new(int *ret_writer);
int cell_pipe_reader(int writer, int *ret_reader);
/* Puts a byte in unless there is one; of several at once each may. Never waits. Any thread. */
void cell_pipe_fill(int writer);

#endif
