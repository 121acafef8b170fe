/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_TCP_PATH_H
#define FABRIC_TCP_PATH_H

/*
 * The initiator's insides.
 *
 * Requests are numbered in the order in which they are said; each has a place in `flights` until it
 * is answered, with all that is needed to say it again. Three locks, taken in this order:
 *
 *   gate	to say something: numbers, the batch that spans fill, writing to the stream
 *   reader	the role of reading the stream, answers and what follows from them; taken by a
 *		thread that waits, handed on when that has what it waits for
 *   mutex	short: who waits, who has the role, the state
 *
 * A wait registers its op first; whatever the reader or resume does with a number reaches it
 * there. An op whose thread has returned is known to nobody: a thread returns when its op is
 * complete, or when the path has ended and nobody reads.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include "base/idtable.h"
#include "base/list.h"
#include "fabric/backend.h"
#include "fabric/tcp/frame.h"
#include "fabric/tcp/gate.h"

#define FLIGHTS	     1024u	  /* requests said and not yet answered, at most */
#define KEPT_MAX     (256u << 10) /* bytes of spans, likewise */
#define BATCHES_MIN  2u
#define BATCHES_MAX  64u
#define REPLIES_SIZE 16384u
#define RECORDS_MAX  64u /* of a batch that is gathered from its pieces */
#define TAG_INDEX    0xffffu

enum path_state {
	PATH_UP,
	PATH_BROKEN, /* the stream; to be mended by the next who waits */
	PATH_ENDED,
};

/* Something to wait for; on the stack of who waits. */
struct path_op {
	struct list waiting; /* in path->waiting, under the mutex */
	pthread_cond_t wake;
	bool asleep;	       /* on it */
	_Atomic uint64_t last; /* number of its last request; 0: none yet */
	int status;	       /* of its first failed piece; the reader's until complete */
	size_t failed;	       /* that piece */
	const struct fabric_piece *pieces;
	size_t n_pieces;
	unsigned int width;
};

/* A place in an op's pieces. */
struct cursor {
	size_t piece;
	size_t at; /* bytes of it */
};

struct flight {
	struct frame_request frame;
	struct path_op *op; /* NULL: nobody waits, failure goes to the user */
	uint32_t tag;
	bool kept;	     /* a PUT whose data is where `at` says */
	bool answered;	     /* GET and atomics: the data has come */
	struct cursor at;    /* into op->pieces */
	struct batch *batch; /* collected by a span */
	uint64_t words[2];   /* of an atomic */
	uint8_t *old;	     /* its answer, as it comes */
};

/* What a span collects: one BATCH request, kept until it is answered. */
struct batch {
	uint64_t number; /* when it has been said */
	uint32_t used;
	uint8_t bytes[];
};

struct tcp_path {
	FabricPath base;
	struct fabric_path_options options;

	struct gate gate;
	_Atomic uint64_t said; /* the number of the latest request */
	uint64_t look_at;      /* when that is said it is looked whether the stream is worn */
	struct flight *flights;
	/* The batch being filled; NULL: none. The rest is of it. */
	struct batch *_Atomic batch;
	const struct fabric_user *batch_user;
	uint32_t batch_tag;
	struct frame_request batch_frame;
	uint8_t *run;	   /* the head of the latest record */
	uint64_t run_next; /* the offset behind it */
	uint32_t run_size, run_width;
	uint32_t limit, batch_size; /* when a batch is said; what fits */
	struct batch *batches[BATCHES_MAX];
	unsigned int n_batches, next_batch;

	pthread_mutex_t mutex;
	pthread_cond_t changed; /* state, mending, or the reader's role is free */
	_Atomic int state;
	int ended; /* why; with PATH_ENDED */
	bool reading, mending;
	struct list waiting;
	struct idtable users;
	uint32_t tags;
	bool abandoned;

	_Atomic uint64_t acked;	   /* all numbers up to here are answered; written with the role */
	_Atomic uint64_t progress; /* goes up whenever something moves */
	int fd;			   /* changed with gate and role */

	/* The reader's. */
	size_t in_begin, in_end;
	uint8_t *to; /* where the rest of a DATA frame goes */
	size_t to_left;
	uint8_t in[REPLIES_SIZE];
};

static inline struct tcp_path *tcp_path(FabricPath *path)
{
	return container_of(path, struct tcp_path, base);
}

static inline struct flight *path_flight(struct tcp_path *p, uint64_t number)
{
	return &p->flights[number % FLIGHTS];
}

static inline uint64_t path_acked(const struct tcp_path *p)
{
	return atomic_load_explicit(&p->acked, memory_order_acquire);
}

static inline uint64_t path_said(const struct tcp_path *p)
{
	return atomic_load_explicit(&p->said, memory_order_acquire);
}

static inline int path_state(const struct tcp_path *p)
{
	return atomic_load_explicit(&p->state, memory_order_acquire);
}

/* path-wait.c: waiting, the role, what becomes of the path */

void path_op_begin(struct tcp_path *p, struct path_op *op);
/* Until the op's last request is answered. Takes the op out again. 0 or why the path ended; the
 * op's own status is in it. */
int path_op_end(struct tcp_path *p, struct path_op *op);
struct patience;
/* The same, but until end (CLOCK_MONOTONIC, UINT64_MAX: none): -EAGAIN: the op goes on. */
int path_op_until(struct tcp_path *p, struct path_op *op, struct patience *patience, uint64_t end);
/* Until this number is answered. */
int path_wait(struct tcp_path *p, uint64_t number);
/* Until all that was said is answered, or the stream is not up. With the gate. */
void path_drain(struct tcp_path *p);
bool path_take_role(struct tcp_path *p); /* if it is free */
void path_leave_role(struct tcp_path *p);
/* The stream is of no use any more. Any lock but the mutex may be held. */
void path_broke(struct tcp_path *p);
void path_end(struct tcp_path *p, int why);
/* 0 when the stream is up (again), or why the path ended. Without locks. */
int path_mend(struct tcp_path *p);

/* How long nothing has moved. */
struct patience {
	uint64_t progress, since, checked;
	bool half; /* poll() says that there is something, and there is nothing to be read */
};
/* Waits for events of poll() on the stream: spins first, then sleeps for at most a second, asks
 * check(), ends the path on a stall. With the role where events has POLLIN. */
void path_poll(struct tcp_path *p, struct patience *patience, short events, uint64_t end);

/* path-read.c, with the role */

/* Reads once and digests. 1: something came; 0: nothing was there; negative: the stream broke. */
int path_read(struct tcp_path *p);
/* Forgets what a former stream has left half read. */
void path_read_reset(struct tcp_path *p);
/* The user's first failure. With the mutex. */
void path_fail_user(struct tcp_path *p, uint32_t tag, int status);

/* path-write.c, with the gate */

enum path_write_flags {
	WRITE_WITH_ROLE = 1,
	WRITE_MORE = 2, /* more follows soon: the kernel need not send the last, short segment */
};
/* All of it, unless the stream breaks. Reads while the stream is full: with the role, or if that is
 * to be had. */
void path_write(struct tcp_path *p, struct iovec *iov, size_t n_iov, unsigned int flags);
/* Gives the next request its number and place. There must be room. */
void path_add_flight(struct tcp_path *p, struct fabric_user *user, const struct flight *flight);
/* Enters the gate with room for n requests and a batch on a stream that is up. again: between two
 * pieces; lets others in. Returns 0 or why the path ended. */
int path_enter(struct tcp_path *p, unsigned int n, bool again);
/* The batch as a request of its own, to be said before anything else. Returns 0 or 1 iov used. */
size_t path_seal_batch(struct tcp_path *p, struct iovec *iov);

/* path-worn.c, with the gate */

/* Another stream begins. */
void path_worn_begin(struct tcp_path *p);
/* Has the stream carried as much as it may? */
bool path_is_worn(struct tcp_path *p);
/* Leaves it when nothing is under way: to be mended. There must be room for a request. */
void path_retire(struct tcp_path *p);

/* path-put.c */

/* The next request of a put: its frame and where its bytes are. */
struct put_request {
	uint8_t head[FRAME_REQUEST_SIZE];
	uint8_t records[RECORDS_MAX][FRAME_RECORD_HEAD];
	struct iovec iov[2 + 2 * RECORDS_MAX]; /* the first is left to a sealed batch */
	size_t n_iov;
	struct frame_request frame;
};
void put_request_build(struct put_request *r, const struct path_op *op, struct cursor *at);
/* The piece that record `index` of a request that begins at `at` belongs to. */
size_t put_request_piece(const struct path_op *op, struct cursor at, uint32_t index);
int path_put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags);
int path_putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done);

/* All of it; who: the op that waits for it, or NULL. */
int path_say_puts(
	struct tcp_path *p, struct fabric_user *user, struct path_op *op, struct path_op *who);

/* path-get.c */

int path_say_gets(struct tcp_path *p, struct fabric_user *user, struct path_op *op);

int path_get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width);
int path_getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done);

/* path-span.c */

int path_span_put(struct tcp_path *p, struct fabric_user *user, uint64_t off, const void *src,
	size_t n, unsigned int width);
/* False, and nothing done, if that cannot be without waiting or saying anything. */
bool path_span_put_at_once(struct tcp_path *p, struct fabric_user *user, uint64_t off,
	const void *src, size_t n, unsigned int width);
int path_flush(FabricPath *path);

/* path-start.c */

int path_start(FabricPath *path, struct fabric_user *user, bool put, uint64_t off, void *local,
	size_t n, struct fabric_started *started);
int path_finish(FabricPath *path, struct fabric_started *started, uint64_t timeout);

/* path-resume.c */

int path_resume(FabricPath *path, int fd, uint64_t done);

#endif
