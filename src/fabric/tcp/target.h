/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_TARGET_H
#define FABRIC_TCP_TARGET_H

/*
 * The target's insides. Everything but `stop` and `retry` is touched with the gate taken: by the
 * data thread for a turn of one connection at a time, by callers of the tables between two turns.
 * No claim outlives the copy that it was made for, and so no turn.
 */

#include "base/list.h"
#include "fabric/backend.h"
#include "fabric/keys.h"
#include "fabric/tcp/frame.h"
#include "fabric/tcp/gate.h"

#define TURN_MAX                                                                                   \
	65536u /* bytes that a connection moves before the next has its turn; and one get */
#define INPUT_SIZE	   32768u
#define OUTPUT_SIZE	   32768u
#define CONNECTION_BUCKETS 256u

/* A get too large for the output buffer, answered from the memory itself. */
struct large_reply {
	struct key *key; /* NULL: none; may be revoked under it */
	uint64_t off;
	uint32_t left;
	uint64_t number;
	unsigned int width; /* of elements of a small one */
	int status;
	bool more;
};

/* What has to happen before the next turn. */
enum awaited {
	AWAITS_INPUT,
	AWAITS_ROOM,  /* the other side must read */
	AWAITS_CLAIM, /* what the connection wants to touch is elsewhere; it is not read meanwhile
		       */
};

enum input_state {
	INPUT_HEADER, /* between two frames */
	INPUT_BATCH,
	INPUT_BULK, /* a large put, read in place; or away, if it has failed */
};

struct connection {
	struct list bucket;
	struct list ready;   /* in target->ready: has something to do */
	struct list halfway; /* in target->halfway: the rest of a frame is awaited since `since` */
	struct list parked;  /* in target->parked: awaits a claim */
	uint64_t since;
	uint64_t number;
	int fd;	       /* -1: over; freed when the data thread cannot know it any more */
	uint32_t edge; /* EPOLLET, if encrypted: epoll of Linux 6.1 is ready again and again as
			  long as half a record has come, which cannot be read */
	enum awaited awaits;
	_Atomic uint64_t *done; /* requests carried out; before the answer that says so */
	uint64_t said;		/* the last number that was answered */
	bool more;		/* the last request's operation goes on */
	bool bulky;		/* it was a large put */
	bool drained;		/* in this turn: a read found less than there was room for */

	enum input_state state;
	struct frame_request frame;
	struct key *key; /* the frame's; NULL: none that is good; may be revoked under it */
	uint64_t off;
	uint32_t left;
	uint32_t n_records;
	int status; /* its first failure */
	uint32_t failed;
	/* of a small put or a record that is still in the buffer, as it waited for a claim: bytes
	 * that have been stored, and must not be stored again */
	uint32_t progress;

	struct large_reply large;
	size_t in_begin, in_end, out_begin, out_end;
	uint8_t in[INPUT_SIZE], out[OUTPUT_SIZE];
};

struct tcp_target {
	FabricTarget base;
	struct fabric_target_options options;
	const struct fabric_target_ops *ops;
	void *userdata;
	struct gate gate;
	struct keys keys;
	struct list connections[CONNECTION_BUCKETS];
	struct list ready, halfway, parked, over;
	struct connection *hot; /* looked at without epoll while spinning */
	int epoll, wake;
	_Atomic bool stop, retry;
};

/* What a turn came to. */
enum turn {
	TURN_IDLE, /* nothing was there */
	TURN_DONE, /* something was, and no more is */
	TURN_MORE, /* there may be more */
};

/* key_claim() for this connection, from memory that the key opens; n is not 0. 0: the turn ends,
 * and the connection is parked. */
size_t connection_claim(struct tcp_target *t, struct connection *c, const struct key *key,
	uint64_t off, size_t n, bool write);

/* One turn. On failure (the stream ended: *ret_reason NULL; or why it must) returns -EPIPE. */
int connection_turn(struct tcp_target *t, struct connection *c, const char **ret_reason);

/* connection-output.c: */

/* Room for the answer to any request but a large get. */
bool output_has_room(const struct connection *c);
uint8_t *output_reserve(struct connection *c, size_t n);
void output_reply(struct connection *c, const struct frame_reply *reply);
/* 0: all is said; 1: something must happen first: the other side must read, or a claim was refused;
 * -EPIPE */
int output_flush(struct tcp_target *t, struct connection *c);

#endif
