/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_FABRIC_H
#define FABRIC_FABRIC_H

/*
 * What a transport does for us: one-sided operations on the memory of another node.
 *
 * The initiator is a process that imports; it has a path to each home, shared by its threads and
 * imports. The target is the home's daemon: it serves connections and owns two tables, connections
 * and keys. A key opens a range of memory with certain rights, to one connection.
 *
 * Order: the operations of a path are carried out at the target in the order in which they were
 * begun, one after the other, except that a large put or get is done in pieces between which those
 * of other threads may come. A signal comes after the data before it. An operation whose status is
 * 0 has been carried out and is seen by every process of the home.
 *
 * Results: 0; a positive enum wire_status, of this operation alone: STATUS_BAD_HANDLE (no such key,
 * or another connection's), STATUS_BAD_OFFSET, STATUS_DENIED, STATUS_REVOKED, STATUS_BROKEN (see
 * fabric_path_resume()); what check() or repair() returned; or a negative errno of ours.
 *
 * A back end (tcp/, sim/) is a table of operations that fabric.c calls; what it costs to be
 * indirect is nothing beside a system call.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#define FABRIC_KEY_SIZE 16u

struct fabric_key {
	uint8_t bytes[FABRIC_KEY_SIZE];
};

/* --- the initiator --- */

typedef struct FabricPath FabricPath;

/* One import's use of a path; embedded in the import, registered while it may have operations under
 * way. status is sticky: the first failure of an operation that nobody waited for, since
 * fabric_collect() took the last. */
struct fabric_user {
	struct fabric_key key;
	_Atomic int status;
	uint64_t last; /* number of its latest operation; under the path's lock */
	uint32_t tag;  /* fabric_path_add_user() sets it */
	void *more;    /* and this: a back end's own */
};

struct fabric_path_options {
	/* Called without any lock while an operation waits, about once a second: a result that is
	 * not 0 ends the wait, and every later operation, with it. */
	int (*check)(void *userdata);
	/* Called without any lock by one thread at a time when the stream has broken: calls
	 * fabric_path_resume() and returns 0, and all waits go on; or returns why not, which ends
	 * the path as above. May take its time. */
	int (*repair)(void *userdata, FabricPath *path);
	void *userdata;
	uint64_t stall;	    /* ns without any progress after which waits end the path with
			       STATUS_TIMED_OUT */
	bool spin;	    /* spin for some 20 µs before sleeping */
	uint64_t records;   /* TLS records after which an encrypted stream is left for another one:
			       repair() is called, with nothing under way; 0: never */
	size_t span_buffer; /* bytes that an explicit span collects before it sends; 0: nothing */
};

void fabric_path_free(FabricPath *path); /* NULL is fine; nobody is in a call */

int fabric_path_add_user(FabricPath *path, struct fabric_user *user);
/* Waits for nothing: what is under way is the peer's to forget. */
void fabric_path_remove_user(FabricPath *path, struct fabric_user *user);

enum fabric_flags {
	FABRIC_SPAN = 1,    /* put: do not wait; collect. The data may be reused on return */
	FABRIC_AT_ONCE = 2, /* also: -EAGAIN, and nothing done, instead of any system call */
};

/*
 * put and get of n bytes at off. width: 0, or the size of the elements (1, 2, 4, 8) which the
 * target loads and stores whole; off and n are multiples of it. Waits unless FABRIC_SPAN.
 * EINTR is no reason to return.
 */
int fabric_put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags);
int fabric_get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width);

/* Several puts or gets as one: one wait. *ret_done: how many pieces were carried out, from the
 * first, also on failure. */
struct fabric_piece {
	uint64_t off;
	void *local;
	size_t n;
};
int fabric_putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done);
int fabric_getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done);

/*
 * A put or get of bytes that is begun now and waited for later; it may wait for room. What it
 * points to stays as it is until fabric_finish() has returned anything but -EAGAIN, which means
 * that it is still under way after timeout ns (0: a look; UINT64_MAX: no limit). Each that was
 * started must be finished before the path is freed; one thread at a time.
 */
struct fabric_started {
	void *insides; /* the back end's */
	int result;    /* of one that was done at once */
};
int fabric_start(FabricPath *path, struct fabric_user *user, bool put, uint64_t off, void *local,
	size_t n, struct fabric_started *ret_started);
int fabric_finish(FabricPath *path, struct fabric_started *started, uint64_t timeout);

/* On 4 or 8 bytes, aligned; by the target's CPU, so atomic also to the programs there. */
int fabric_fetch_add(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
	uint64_t value, uint64_t *ret_old);
int fabric_compare_swap(FabricPath *path, struct fabric_user *user, uint64_t off,
	unsigned int width, uint64_t expected, uint64_t value, uint64_t *ret_old);

/* Wakes the exporter, after all data before it. Waits until that is done. */
int fabric_signal(FabricPath *path, struct fabric_user *user, bool accumulate);

/* Sends what spans have collected, without waiting. Cheap if that is nothing. */
int fabric_flush(FabricPath *path);

/* Waits until every operation of the user begun before has been carried out or has failed. */
int fabric_order(FabricPath *path, struct fabric_user *user);
/* fabric_order(), then takes the user's sticky status. */
int fabric_collect(FabricPath *path, struct fabric_user *user);

/*
 * From repair(): the path goes on over another stream. The home has carried out its operations up
 * to number done (counted from 1 over all streams of the path); those above are said again. An
 * operation of a span that was sent and not kept (a put of more than 8 KiB) and is above done
 * leaves STATUS_BROKEN in its user's sticky status; an atomic at or below done whose answer is lost
 * returns STATUS_BROKEN; a get is done again. The stream is the path's on success.
 */
int fabric_path_resume(FabricPath *path, int fd, uint64_t done);

/* In a forked child: forgets everything, sends nothing, closes its stream here. */
void fabric_path_abandon(FabricPath *path);

/* A path over a connected stream socket whose hello has been said. fd is the path's on success. */
int fabric_tcp_path_new(int fd, const struct fabric_path_options *options, FabricPath **ret_path);

/* --- the target --- */

typedef struct FabricTarget FabricTarget;

/* What a key opens. Memory is mapped at base, or, where base is NULL, behind fd from offset on
 * (memory that must not be mapped; reached with preadv and pwritev). */
struct fabric_region {
	uint8_t *base;
	int fd;
	uint64_t offset;
	uint64_t size;
	uint32_t rights;     /* WIRE_READ | WIRE_WRITE; signals are always allowed */
	uint64_t connection; /* the only one that may use it */
	void *userdata;	     /* for post() */
	void *coherent;	     /* for claim(); NULL: plain memory, nothing is claimed */
};

/* What went through a key. */
struct fabric_traffic {
	uint64_t puts, gets, put_bytes, get_bytes, posts;
};

struct fabric_target_ops {
	/* Both in the data thread, which may be asked nothing by them. A signal came. */
	void (*post)(void *userdata, void *region, bool accumulate);
	/* The connection is over: its stream ended, or broke the protocol (reason: a sentence;
	 * NULL: it just ended). It is no longer in the table. */
	void (*closed)(void *userdata, uint64_t connection, const char *reason);
	/* In the data thread: how many of the first of these bytes may be touched now, at once
	 * after which they are unclaimed; 0: later, the operation waits for fabric_target_retry().
	 */
	size_t (*claim)(void *userdata, void *coherent, uint64_t off, size_t n, bool write);
	void (*unclaim)(void *userdata, void *coherent, uint64_t off, size_t n);
};

struct fabric_target_options {
	uint64_t spin;		/* ns to look again before sleeping, after the last operation */
	uint64_t frame_timeout; /* ns for the rest of a frame that has begun; the connection ends
				   then */
};

int fabric_target_new(const struct fabric_target_options *options,
	const struct fabric_target_ops *ops, void *userdata, FabricTarget **ret_target);
/* After its thread has ended. Closes every connection. */
void fabric_target_free(FabricTarget *target);

/* The body of the data thread, until fabric_target_stop(). */
void fabric_target_run(FabricTarget *target);
void fabric_target_stop(FabricTarget *target);

/*
 * The rest is called by another thread, one at a time; each takes effect between two turns of the
 * data thread, of at most 64 KiB of data each, or 256 KiB of a get, and waits for that.
 *
 * Serves a stream under this number (not 0, not in use: -EEXIST). fd is the target's on success.
 * done: shared memory in which the number of operations carried out is kept: it begins with what is
 * there.
 */
int fabric_target_attach(FabricTarget *target, uint64_t connection, int fd, _Atomic uint64_t *done);
/* Unknown ones are fine. Not told to closed(). */
void fabric_target_detach(FabricTarget *target, uint64_t connection);

/* -EEXIST */
int fabric_target_grant(
	FabricTarget *target, const struct fabric_key *key, const struct fabric_region *region);
/* When it returns no byte behind the key is read or written any more; what was under way gets
 * STATUS_REVOKED. Unknown keys are fine. The key is remembered as revoked as long as its connection
 * lives, to answer STATUS_REVOKED and not STATUS_BAD_HANDLE. */
void fabric_target_revoke(FabricTarget *target, const struct fabric_key *key);
/* The region of this key is plain memory no more, or again. -ENOENT */
int fabric_target_set_coherent(FabricTarget *target, const struct fabric_key *key, void *coherent);
/* By any thread, under any lock: operations that got no claim try again. */
void fabric_target_retry(FabricTarget *target);
/* -ENOENT */
int fabric_target_traffic(
	FabricTarget *target, const struct fabric_key *key, struct fabric_traffic *ret_traffic);

/* --- data connections before they are served --- */

/* First bytes on a data connection, from the importer's daemon: "C" and so on, never 0x16 in front,
 * so that one port can serve TLS too. */
#define FABRIC_HELLO_SIZE 32u
enum fabric_hello_flags {
	FABRIC_HELLO_TLS = 1, /* a TLS handshake follows, then the kernel encrypts what is said */
};
void fabric_hello_encode(
	uint8_t hello[FABRIC_HELLO_SIZE], uint32_t node, uint32_t flags, const uint8_t grant[16]);
/* -EBADMSG */
int fabric_hello_decode(const uint8_t hello[FABRIC_HELLO_SIZE], uint32_t *ret_node,
	uint32_t *ret_flags, uint8_t ret_grant[16]);

/* Options of a data socket: no delay, keepalive, user timeout (ms), congestion control (words, the
 * first that the kernel has; NULL or empty: its default). Failing to set one is no error. */
void fabric_tcp_tune(int fd, unsigned int user_timeout, const char *congestion);

/* Whether the kernel encrypts what goes through a stream, and how many TLS records have gone, in
 * the direction that had more; 0 where it does not. */
bool fabric_tcp_is_encrypted(int fd);
uint64_t fabric_tcp_records(int fd);

/* sim/sim.h: a target and any number of paths in one process with a clock of its own, for tests. */

#endif
