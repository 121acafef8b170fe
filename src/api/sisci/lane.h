/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_LANE_H
#define SISCI_LANE_H

/*
 * The memory of a data interrupt: lanes of messages, one for each connection, which its cell in the
 * segment chooses. A lane is a ring of records with one writer, the connection, and one reader, the
 * interrupt's owner. Between nodes the writer's stores are puts, in this order: the record, then
 * the head.
 *
 * A record: u32 length, 4 bytes unused, the message, up to a multiple of 8; it never goes around
 * the end: where it would, a length of LANE_SKIP says that the next one is at the beginning.
 * Positions count bytes from the lane's first use and never go back.
 *
 * The reader believes nothing: where it is in each lane it keeps to itself, and only tells the
 * writer; what cannot be a record is thrown away with all that the lane holds. The writer believes
 * the reader no more: a tail that cannot be means that there is no room. So whoever may connect can
 * disturb the messages of others who may, and nothing else.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES		 256u
#define LANE_MESSAGE_MAX 4096u /* bytes of a message */
#define LANE_QUEUE_MAX	 256u  /* messages that wait in a lane */
#define LANE_SKIP	 UINT32_MAX

/* The first lane holds 256 messages of any size, the others fewer if they are long. */
#define LANE_FIRST_SIZE (LANE_QUEUE_MAX * (LANE_MESSAGE_MAX + 8u) + 8192u)
#define LANE_SIZE	65536u

/* How far somebody has come. */
struct lane_mark {
	_Atomic uint64_t position;
	_Atomic uint64_t count; /* of messages */
};

struct lane_area {
	struct lane_mark heads[LANES]; /* close together: the reader looks at all of them */
	struct lane_mark tails[LANES];
	uint8_t records[LANE_FIRST_SIZE + (LANES - 1) * LANE_SIZE];
};

static_assert(sizeof(struct lane_mark) == 16, "part of the protocol");
static_assert(offsetof(struct lane_area, records) == 8192, "part of the protocol");
static_assert(LANE_FIRST_SIZE % 8 == 0, "records begin at multiples of 8");

#define LANE_AREA_SIZE ((sizeof(struct lane_area) + 4095) / 4096 * 4096)

static inline uint64_t lane_size(uint32_t lane)
{
	return lane ? LANE_SIZE : LANE_FIRST_SIZE;
}

/* Of the lane's first byte in the area. */
static inline uint64_t lane_offset(uint32_t lane)
{
	return offsetof(struct lane_area, records) +
	       (lane ? LANE_FIRST_SIZE + (uint64_t)(lane - 1) * LANE_SIZE : 0);
}

/* The writer: what it knows of its lane. */
struct lane_writer {
	uint32_t lane;
	uint64_t head, count;
	uint64_t tail, taken; /* as last seen */
};

/* Where a message goes. */
struct lane_place {
	uint64_t skip; /* not 0: bytes up to the end, which are left out */
	uint64_t at;   /* of the record, in the lane */
	uint64_t next; /* position behind it */
};

/* A lane that others have had goes on where they stopped. head and tail: what stands there now.
 * False: that cannot be. */
bool lane_writer_begin(
	struct lane_writer *w, uint32_t lane, const uint64_t head[2], const uint64_t tail[2]);
/* False: as far as is known there is no room. */
bool lane_writer_find(const struct lane_writer *w, uint32_t length, struct lane_place *ret_place);

/* The reader: one thread at a time. */
struct lane_reader {
	struct lane_area *area;
	uint32_t at; /* where the next look begins */
	struct {
		uint64_t position, count;
	} tails[LANES];
};

/* The next message of any lane; they take turns. Returns its length, or -1. to: LANE_MESSAGE_MAX
 * bytes. */
int lane_reader_take(struct lane_reader *r, void *to);

#endif
