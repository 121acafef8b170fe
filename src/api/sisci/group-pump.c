/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/group-pump.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/clock.h"
#include "base/error.h"

#define PAGE	 4096u
#define GRANULE	 4u
#define BURST	 4096u /* bytes sent at once */
#define SOON_NS	 (20 * NSEC_PER_USEC)
#define LATE_NS	 (2 * NSEC_PER_MSEC)
#define SHORT	 8u /* bytes: a word, such as programs use to say that something is ready */
#define LATE_MAX 512u
#define SHARE	 4u /* times as long as a look takes, until the next */

/* A short change waits until all longer ones that may have been stored before it have been sent. */
struct late {
	uint64_t offset, n;
	uint8_t bytes[SHORT];
};

struct group_pump {
	uint64_t size;
	uint8_t *map;	/* the program's */
	uint8_t *sent;	/* what members have of it */
	uint64_t pause; /* ns, without changes */
	uint32_t n_late;
	struct late late[LATE_MAX];
};

static uint8_t *make(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

sci_error_t group_pump_new(uint64_t size, struct group_pump **ret_pump, uint8_t **ret_map)
{
	struct group_pump *p = calloc(1, sizeof(*p));

	if (!p)
		return SCI_ERR_NOSPC;
	p->size = size;
	p->pause = SOON_NS;
	p->map = make(size);
	p->sent = make(size);
	if (!p->map || !p->sent) {
		group_pump_free(p);
		return SCI_ERR_NOSPC;
	}
	*ret_pump = p;
	*ret_map = p->map;
	return SCI_ERR_OK;
}

void group_pump_free(struct group_pump *p)
{
	if (!p)
		return;
	if (p->map)
		munmap(p->map, p->size);
	if (p->sent)
		munmap(p->sent, p->size);
	free(p);
}

void group_pump_note(struct group_pump *p, uint64_t offset, const void *from, uint64_t n)
{
	memmove(p->sent + offset, from, n);
	if (p->map + offset != from)
		memmove(p->map + offset, from, n);
}

void group_pump_store(uint8_t *to, const void *from, uint64_t n)
{
	const uint8_t *source = from;

	if (((uintptr_t)to | n) % GRANULE || n > 16 * GRANULE) {
		memcpy(to, from, n);
		return;
	}
	while (n >= 8 && (uintptr_t)to % 8 == 0) {
		uint64_t word;

		memcpy(&word, source, 8);
		__atomic_store_n((uint64_t *)to, word, __ATOMIC_RELEASE);
		to += 8, source += 8, n -= 8;
	}
	for (; n > 0; to += GRANULE, source += GRANULE, n -= GRANULE) {
		uint32_t word;

		memcpy(&word, source, GRANULE);
		__atomic_store_n((uint32_t *)to, word, __ATOMIC_RELEASE);
	}
}

static uint32_t load(const uint8_t *at)
{
	return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
}

/* What others have written comes in where the program has stored nothing. */
static void take_over(struct group_pump *p, const uint8_t *member, uint64_t at)
{
	uint32_t seen = load(p->sent + at), theirs = load(member + at);

	if (theirs != seen && __atomic_compare_exchange_n((uint32_t *)(p->map + at), &seen, theirs,
				      false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		*(uint32_t *)(p->sent + at) = theirs;
}

/* The changed granules from at on that follow each other, into sent. Returns how many bytes. */
static uint64_t take_run(struct group_pump *p, uint64_t at, uint64_t end)
{
	uint64_t begin = at;

	for (; at < end && at - begin < BURST; at += GRANULE) {
		uint32_t now = load(p->map + at);

		if (now == *(uint32_t *)(p->sent + at))
			break;
		*(uint32_t *)(p->sent + at) = now;
	}
	return at - begin;
}

struct run {
	struct group_pump *pump;
	void (*send)(void *data, uint64_t offset, const void *from, uint64_t n);
	void *data;
	bool changed;
};

static void send_late(struct run *r, uint32_t n)
{
	struct group_pump *p = r->pump;

	for (uint32_t i = 0; i < n; i++)
		r->send(r->data, p->late[i].offset, p->late[i].bytes, p->late[i].n);
	memmove(p->late, p->late + n, (p->n_late - n) * sizeof(p->late[0]));
	p->n_late -= n;
}

static void found(struct run *r, uint64_t at, uint64_t n)
{
	struct group_pump *p = r->pump;
	struct late *late;

	r->changed = true;
	if (n > SHORT) {
		r->send(r->data, at, p->sent + at, n);
		return;
	}
	if (p->n_late == LATE_MAX)
		send_late(r, 1);
	late = &p->late[p->n_late++];
	late->offset = at;
	late->n = n;
	memcpy(late->bytes, p->sent + at, n);
}

static void look(struct run *r)
{
	struct group_pump *p = r->pump;
	uint64_t n;

	for (uint64_t page = 0; page < p->size; page += PAGE) {
		if (!memcmp(p->map + page, p->sent + page, PAGE))
			continue;
		for (uint64_t at = page; at < page + PAGE; at += n ? n : GRANULE) {
			n = take_run(p, at, page + PAGE);
			if (n)
				found(r, at, n);
		}
	}
}

static void take_over_all(struct group_pump *p, const uint8_t *member)
{
	for (uint64_t page = 0; page < p->size; page += PAGE)
		if (memcmp(member + page, p->sent + page, PAGE))
			for (uint64_t at = page; at < page + PAGE; at += GRANULE)
				take_over(p, member, at);
}

/* What was stored before a short change that the first look has found is found by the second at the
 * latest. Short changes that the second has found wait for the next run. */
uint64_t group_pump_run(struct group_pump *p, const uint8_t *member,
	void (*send)(void *data, uint64_t offset, const void *from, uint64_t n), void *data)
{
	struct run r = {.pump = p, .send = send, .data = data};
	uint64_t begin = clock_now();
	uint32_t n_late;

	look(&r);
	n_late = p->n_late;
	if (n_late > 0) {
		look(&r);
		send_late(&r, MIN(n_late, p->n_late));
	}
	if (member && p->n_late == 0)
		take_over_all(p, member);
	p->pause = r.changed ? SOON_NS : MIN(p->pause * 2, LATE_NS);
	return p->n_late ? 0 : MAX(p->pause, (clock_now() - begin) * SHARE);
}
