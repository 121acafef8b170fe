/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_SHARED_H
#define WIRE_SHARED_H

/*
 * Memory that daemon and clients share. All of it is memfds made by the daemon, sealed against
 * change of size. Whoever reads a word that another may write reads it once and checks what it
 * read.
 *
 *   node page    one a node; the daemon writes, clients have a read-only description
 *   status page  one a client; the daemon writes, the client has a read-only description
 *   client page  one a client; the client writes, the daemon reads: the client's maps and counts
 *   cells        one a segment, made with its first import or wait; all who have the segment write
 */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_PAGE_MAGIC 0x79617765u

/* First in every page. */
struct wire_page_head {
	uint32_t magic;
	uint32_t version; /* WIRE_MAJOR << 16 | WIRE_MINOR of the writer */
	uint64_t size;	  /* of the memfd, bytes */
	uint64_t incarnation;
};

static_assert(sizeof(struct wire_page_head) == 24, "part of the protocol");

/*
 * The node page. alive is the lock word of a robust mutex that the daemon's main thread holds as
 * long as it lives: the kernel sets FUTEX_OWNER_DIED in it when that thread ends. The daemon keeps
 * FUTEX_WAITERS set, so that the kernel also wakes one sleeper, who wakes the others.
 */
struct wire_node_page {
	struct wire_page_head head;
	uint32_t node;
	uint32_t starts; /* of the daemon; +1 each */
	union {
		_Atomic uint32_t alive;
		pthread_mutex_t mutex; /* its first word is the lock word */
	};
	/* since minor version 3 */
	/* Goes up, never by 0, before a segment of clshm of this node is answered for as removed or
	 * changed: what was known of any is to be asked for again. */
	_Atomic uint64_t shm_changes;
};

/* One import in the status page: generation << 32 | enum wire_import_state, in one word. */
#define WIRE_IMPORT_WORD(generation, state) ((uint64_t)(generation) << 32 | (state))

#define WIRE_CLIENT_IMPORTS 65536u /* imports of one process */
#define WIRE_CLIENT_EXPORTS 65536u
#define WIRE_CLIENT_ROUTES  4096u /* homes of its imports */

/* What sleeps on an import's or a route's word: its low half, the state. The daemon wakes all. */
static inline const _Atomic uint32_t *wire_word_state(const _Atomic uint64_t *word)
{
	return (const _Atomic uint32_t *)word + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

struct wire_export_status {
	_Atomic uint32_t n_cells; /* cells of this segment that may be in use: 1 + highest index */
	uint32_t reserved;
};

/*
 * What has happened to an offered segment, for its owner or somebody attached: event n is in entry
 * n % WIRE_RING_SIZE, reason << 32 | node. count goes up once the entry is there, so a reader who
 * is more than WIRE_RING_SIZE behind, before or after it has read one, has lost some.
 */
#define WIRE_CLIENT_RINGS 4096u /* of exports, and of imports, below this index */
#define WIRE_RING_SIZE	  32u

struct wire_ring {
	_Atomic uint32_t count;
	uint32_t reserved;
	_Atomic uint64_t entries[WIRE_RING_SIZE];
};

enum wire_event {
	WIRE_EVENT_CONNECT = 1,
	WIRE_EVENT_DISCONNECT = 2,
	WIRE_EVENT_AWAY = 3, /* no contact with the importer's node at present */
	WIRE_EVENT_BACK = 4,
	WIRE_EVENT_LOST = 5,
};

/* What has happened to an import of an offered segment without ending it. */
#define WIRE_NOTE_LEAVE 0x1u /* its owner wants us to disconnect */
#define WIRE_NOTE_TURN                                                                             \
	0x2u /* added each time that contact with the home is lost or back: odd is lost */

struct wire_status_page {
	struct wire_page_head head;
	uint8_t reserved[40];
	_Atomic uint64_t imports[WIRE_CLIENT_IMPORTS];
	struct wire_export_status exports[WIRE_CLIENT_EXPORTS];
	/* since minor version 2 */
	_Atomic uint64_t routes[WIRE_CLIENT_ROUTES];
	/* since minor version 3 */
	/* How often stores to the import's segment were discarded, because a node was lost. */
	_Atomic uint32_t discards[WIRE_CLIENT_IMPORTS];
	/* Until when what this import's map shows may be believed: CLOCK_BOOTTIME, ns; 0: no map of
	 * another node's segment. Past it a barrier waits until the daemon has renewed it, or has
	 * declared the loss. */
	_Atomic uint64_t leases[WIRE_CLIENT_IMPORTS];
	/* Not 0: maps of it must be watched (MAP_WATCH) before they are used. Set before the daemon
	 * looks for maps in the client page, looked at after the map is entered there. */
	_Atomic uint32_t import_coherent[WIRE_CLIENT_IMPORTS];
	_Atomic uint32_t export_coherent[WIRE_CLIENT_EXPORTS];
	/* Offered segments: what has happened to them, and to imports of such. Waiters sleep on a
	 * note, a ring's count, or on events, which counts all of it. */
	_Atomic uint32_t events;
	uint32_t reserved_events;
	_Atomic uint32_t notes[WIRE_CLIENT_IMPORTS]; /* WIRE_NOTE_… */
	struct wire_ring export_rings[WIRE_CLIENT_RINGS];
	struct wire_ring import_rings[WIRE_CLIENT_RINGS]; /* of attached ones */
};

static_assert(offsetof(struct wire_status_page, imports) == 64, "part of the protocol");

/*
 * The client page lists what the process has mapped of its segments, so that the daemon can watch
 * those maps (userfaultfd) once another node wants the memory coherent. The client fills a slot and
 * then sets its length; it clears the length before it unmaps.
 */
#define WIRE_CLIENT_MAPS 65536u

struct wire_map {
	uint64_t address;
	_Atomic uint64_t length; /* bytes; 0: the slot is free */
	uint64_t offset;	 /* in the segment */
	uint32_t side;		 /* enum wire_side */
	uint32_t index;		 /* of the segment or import */
};

static_assert(sizeof(struct wire_map) == 32, "part of the protocol");

/*
 * And it counts what the client does with each import and export, for people who watch. Written
 * with plain loads and stores: calls of several threads at the same instant may count as one. The
 * daemon sets them to zero for a new import or export, shows them, and believes nothing.
 */
struct wire_traffic {
	_Atomic uint64_t puts, gets; /* calls, or entries of vectors, that succeeded */
	_Atomic uint64_t put_bytes, get_bytes;
	_Atomic uint64_t posts; /* signals to the exporter */
	uint64_t reserved[3];
};

static_assert(sizeof(struct wire_traffic) == 64, "part of the protocol");

struct wire_client_page {
	struct wire_page_head head;
	_Atomic uint32_t n_maps; /* slots that may be in use: 1 + highest index */
	_Atomic uint32_t forked; /* not 0: children may have maps of imports */
	uint8_t reserved[32];
	struct wire_map maps[WIRE_CLIENT_MAPS];
	/* since minor version 1 */
	struct wire_traffic imports[WIRE_CLIENT_IMPORTS];
	_Atomic uint64_t export_posts[WIRE_CLIENT_EXPORTS]; /* signals to all importers */
};

static_assert(offsetof(struct wire_client_page, maps) == 64, "part of the protocol");
static_assert(offsetof(struct wire_client_page, imports) % 64 == 0, "a cache line each");

/* Adds to a count that only this process writes. */
static inline void wire_count(_Atomic uint64_t *count, uint64_t n)
{
	atomic_store_explicit(
		count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

/*
 * A cell: where one waiter gets its signals. word: the count in the low 31 bits; WIRE_CELL_LOOK
 * says that the owner's connection is over; a sleeper looks at its status page, nobody posts any
 * more. A poster adds 1 to the count, then wakes (futex on word) if sleepers is not 0, and asks the
 * daemon to fill the pipe if has_pipe is set and the count was 0. All of it is a hint from
 * strangers: the worst they can do is a wrong count.
 *
 * The cell of a guest (an import of another node) has has_pipe set for good: the daemon takes the
 * count over into total, and its node's daemon is told. There a post that must not accumulate sets
 * once instead, which goes over into total_once.
 */
#define WIRE_CELL_LOOK	0x80000000u
#define WIRE_CELL_COUNT 0x7fffffffu
#define WIRE_CELL_PIPE	1u
#define WIRE_CELL_GUEST 2u

struct wire_cell {
	_Atomic uint32_t word;
	_Atomic uint32_t sleepers;
	_Atomic uint32_t has_pipe; /* WIRE_CELL_PIPE, WIRE_CELL_GUEST or 0 */
	_Atomic uint32_t once;
	/* Written by daemons only: at the home what was taken from here, at the importer's node
	 * what has been put here; modulo 2^32. */
	_Atomic uint32_t total, total_once;
	uint32_t reserved[10];
};

static_assert(sizeof(struct wire_cell) == 64, "part of the protocol");

/* Cell 0 is the exporter's; imports have 1 … */
#define WIRE_CELLS_MAX	65536u
#define WIRE_CELLS_SIZE (WIRE_CELLS_MAX * sizeof(struct wire_cell))

#endif
