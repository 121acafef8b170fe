/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an initiator may say: any bytes, in pieces of any size, with keys that exist. The first byte
 * is the size of the pieces (in 16 bytes; 0: all at once), the second after how many of them a key
 * is revoked. Where the first is odd the memory is coherent, and every third claim is refused.
 * Nothing outside the regions changes, nothing of what may only be read or is revoked, and every
 * answer is one, in order.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fabric/tcp/target.h"
#include "wire/message.h"

#define SIZE	   100000u /* of a region */
#define MARGIN	   70000u
#define CONNECTION 5u

static struct {
	uint8_t before[MARGIN], writable[SIZE], between[MARGIN], readable[SIZE], after[MARGIN];
} __attribute__((aligned(4096))) memory;

static uint8_t revoked_state[SIZE];
static struct key *writable;

static void post(void *userdata, void *region, bool accumulate)
{
	MUST(region == memory.writable || region == memory.readable);
}

static struct {
	unsigned int n;
	uint64_t off;
	size_t held;
} claims;

static size_t claim(void *userdata, void *coherent, uint64_t off, size_t n, bool write)
{
	MUST(n && range_within(off, n, SIZE) && !claims.held);
	MUST(!write || coherent == memory.writable);
	if (++claims.n % 3 == 0)
		return 0;
	claims.off = off;
	claims.held = MIN(n, 4096 - off % 4096);
	return claims.held;
}

static void unclaim(void *userdata, void *coherent, uint64_t off, size_t n)
{
	MUST(n && claims.off == off && claims.held == n);
	claims.held = 0;
}

static const struct fabric_target_ops ops = {.post = post, .claim = claim, .unclaim = unclaim};

static void grant(struct tcp_target *t, int name, uint8_t *base, uint32_t rights,
	uint64_t connection, bool coherent)
{
	struct fabric_region region = {.base = base,
		.fd = -1,
		.size = SIZE,
		.rights = rights,
		.connection = connection,
		.userdata = base,
		.coherent = coherent ? base : NULL};
	struct fabric_key key;

	memset(&key, name, sizeof(key));
	MUST(keys_add(&t->keys, &key, &region) == 0);
	if (name == 'A')
		writable = keys_find(&t->keys, &key);
}

static void must_be_zero(const uint8_t *at, size_t n)
{
	static const uint8_t zeros[SIZE];

	MUST(!memcmp(at, zeros, n));
}

/* Reads all answers there are, and what is half there stays in `answers`. */
struct answers {
	uint8_t bytes[1 << 18];
	size_t n;
	uint64_t number;
};

static void judge_answers(struct answers *a, uint64_t done)
{
	struct frame_reply reply;
	size_t at = 0;

	while (a->n - at >= FRAME_REPLY_SIZE) {
		size_t data;

		MUST(frame_reply_decode(a->bytes + at, &reply) == 0);
		data = reply.type == FRAME_DATA ? reply.size : 0;
		MUST(data <= FRAME_BULK_MAX);
		if (a->n - at - FRAME_REPLY_SIZE < data)
			break;
		MUST(reply.number >= a->number && reply.number <= done);
		a->number = reply.number;
		at += FRAME_REPLY_SIZE + data;
	}
	memmove(a->bytes, a->bytes + at, a->n - at);
	a->n -= at;
}

static void hear(int fd, struct answers *a, uint64_t done)
{
	ssize_t n;

	while ((n = recv(fd, a->bytes + a->n, sizeof(a->bytes) - a->n, MSG_DONTWAIT)) > 0) {
		a->n += (size_t)n;
		judge_answers(a, done);
	}
}

static int serve(struct tcp_target *t, struct connection *c, int fd, struct answers *a)
{
	const char *reason;
	int r;

	do {
		r = connection_turn(t, c, &reason);
		hear(fd, a, *c->done);
		MUST(c->in_begin <= c->in_end && c->in_end <= sizeof(c->in));
		MUST(c->out_begin <= c->out_end && c->out_end <= sizeof(c->out));
		MUST(!claims.held);
	} while (r > TURN_IDLE || (r == TURN_IDLE && c->awaits != AWAITS_INPUT));
	MUST(r == TURN_IDLE || r == -EPIPE);
	return r;
}

static void say_all(
	struct tcp_target *t, struct connection *c, int fd, const uint8_t *data, size_t size)
{
	static struct answers answers;
	size_t piece = size && data[0] ? data[0] * 16u : SIZE, revoke_at = size > 1 ? data[1] : 0;
	unsigned int pieces = 0;

	answers.n = 0;
	answers.number = 0;
	for (size_t at = MIN(size, 2u); at < size; at += piece) {
		size_t n = MIN(piece, size - at);

		if (++pieces == revoke_at) {
			keys_revoke(&t->keys, writable, true);
			memcpy(revoked_state, memory.writable, SIZE);
		}
		MUST(send(fd, data + at, n, 0) == (ssize_t)n);
		if (serve(t, c, fd, &answers) < 0)
			break;
	}
	if (revoke_at && pieces >= revoke_at)
		MUST(!memcmp(revoked_state, memory.writable, SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_target t = {.ops = &ops};
	static struct connection c;
	_Atomic uint64_t done = 0;
	bool coherent = size && data[0] % 2;
	int pair[2];

	memset(memory.writable, 0, SIZE);
	keys_init(&t.keys);
	memset(&claims, 0, sizeof(claims));
	grant(&t, 'A', memory.writable, WIRE_READ | WIRE_WRITE, CONNECTION, coherent);
	grant(&t, 'B', memory.readable, WIRE_READ, CONNECTION, coherent);
	grant(&t, 'C', memory.readable, WIRE_READ | WIRE_WRITE, CONNECTION + 1, coherent);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	memset(&c, 0, offsetof(struct connection, in));
	c.number = CONNECTION;
	c.fd = pair[1];
	c.done = &done;
	say_all(&t, &c, pair[0], data, size);
	must_be_zero(memory.before, sizeof(memory.before));
	must_be_zero(memory.between, sizeof(memory.between));
	must_be_zero(memory.readable, sizeof(memory.readable));
	must_be_zero(memory.after, sizeof(memory.after));
	keys_deinit(&t.keys);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
