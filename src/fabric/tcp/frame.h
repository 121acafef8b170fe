/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_FRAME_H
#define FABRIC_TCP_FRAME_H

/*
 * What the two ends of a data connection say to each other. All numbers little-endian, every frame
 * a header of fixed size and then, for some types, `size` bytes.
 *
 * A request's number is not said: both count from the number that the connection began with. The
 * target carries requests out and answers them in their order:
 *
 *   PUT	size bytes to off
 *   BATCH	records to their own offsets; off is how many puts they are, size that of all
 *
 *   GET	size bytes from off: a DATA frame, unless it fails at once
 *
 *   ADD, SWAP	two words follow (value; expected, value): a DATA frame of 8 bytes, or failure
 *
 *   SIGNAL	wakes the exporter
 *
 * A request is over with the DONE of its number or of a later one, or with its FAILED. A DATA frame
 * ends nothing: what revocation overtook is filled with zeros, and FAILED follows.
 *
 * FRAME_CHECK: answered as ever, but without effect, nor are a PUT's bytes there: for requests of a
 * broken stream that have been carried out, but whose answers are lost.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <endian.h>
#include "base/error.h"
#include "fabric/fabric.h"

/* Of a PUT, a GET. With pieces of 64 KiB 1 MiB took 205 µs, with 256 KiB 140, in one 117: what
 * counts is how much is given to the kernel at a time. */
#define FRAME_BULK_MAX	  262144u
#define FRAME_BATCH_MAX	  131072u /* all records */
#define FRAME_RECORD_MAX  8192u	  /* bytes of a record */
#define FRAME_RECORD_HEAD 8u
#define FRAME_OFFSET_MAX  ((1ull << 48) - 1) /* of a record */

enum frame_type {
	FRAME_PUT = 1,
	FRAME_BATCH = 2,
	FRAME_GET = 3,
	FRAME_ADD = 4,
	FRAME_SWAP = 5,
	FRAME_SIGNAL = 6,
	FRAME_DONE = 0x81,
	FRAME_FAILED = 0x82,
	FRAME_DATA = 0x83,
};

enum frame_flags {
	FRAME_MORE = 1,	      /* the operation goes on in a further frame, which comes soon */
	FRAME_CHECK = 2,      /* see above */
	FRAME_ACCUMULATE = 4, /* SIGNAL */
};

#define FRAME_REQUEST_SIZE 32u
#define FRAME_ATOMIC_SIZE  16u /* the two words */
#define FRAME_REPLY_SIZE   16u

struct frame_request {
	uint8_t type;
	uint8_t width; /* 0, 1, 2, 4, 8 */
	uint16_t flags;
	uint32_t size;
	uint64_t off;
	struct fabric_key key;
};

struct frame_reply {
	uint8_t type;
	uint16_t status; /* FAILED */
	uint32_t size;	 /* DATA: bytes that follow; FAILED: number of records before the failed */
	uint64_t number;
};

struct frame_record {
	uint64_t off;
	uint32_t size;
	unsigned int width; /* 1, 2, 4, 8 */
};

static inline void frame_store64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
}

static inline uint64_t frame_load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static inline void frame_request_encode(uint8_t *at, const struct frame_request *f)
{
	frame_store64(at, (uint64_t)f->type | (uint64_t)f->width << 8 | (uint64_t)f->flags << 16 |
				  (uint64_t)f->size << 32);
	frame_store64(at + 8, f->off);
	memcpy(at + 16, f->key.bytes, FABRIC_KEY_SIZE);
}

/* NULL, or a sentence that says what is wrong with it. */
const char *frame_request_decode(const uint8_t *at, struct frame_request *ret_f);

/* How many bytes follow the header. */
static inline uint32_t frame_request_tail(const struct frame_request *f)
{
	switch (f->type) {
	case FRAME_PUT:
		return f->flags & FRAME_CHECK ? 0 : f->size;
	case FRAME_BATCH:
		return f->size;
	case FRAME_ADD:
	case FRAME_SWAP:
		return FRAME_ATOMIC_SIZE;
	default:
		return 0;
	}
}

static inline void frame_reply_encode(uint8_t *at, const struct frame_reply *f)
{
	frame_store64(at, (uint64_t)f->type | (uint64_t)f->status << 16 | (uint64_t)f->size << 32);
	frame_store64(at + 8, f->number);
}

/* -EBADMSG */
int frame_reply_decode(const uint8_t *at, struct frame_reply *ret_f);

/* off, log2 of width, size in 48, 2 and 14 bits; size 1 … FRAME_RECORD_MAX */
static inline void frame_record_encode(
	uint8_t *at, uint64_t off, unsigned int width_log2, uint32_t size)
{
	frame_store64(at, off << 16 | (uint64_t)width_log2 << 14 | size);
}

static inline void frame_record_decode(const uint8_t *at, struct frame_record *ret)
{
	uint64_t v = frame_load64(at);

	ret->off = v >> 16;
	ret->width = 1u << (v >> 14 & 3);
	ret->size = v & 0x3fff;
}

static inline unsigned int frame_width_log2(unsigned int width)
{
	return width ? (unsigned int)__builtin_ctz(width) : 0;
}

#endif
