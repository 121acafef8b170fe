/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/test-claims.h"

#include <pthread.h>
#include <sys/mman.h>
#include "base/error.h"

#define PAGES (MEMORY_SIZE / CLAIM_PAGE)

struct claims {
	pthread_mutex_t lock;
	uint8_t *memory;
	FabricTarget *chance;
	uint64_t random;
	bool lucky; /* the last claim was refused: the next is not */
	bool away[PAGES];
	/* the one claim there may be */
	uint64_t off;
	size_t n;
	unsigned int refused;
};

struct claims *claims_new(int memory_fd)
{
	struct claims *c = calloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->memory = mmap(NULL, MEMORY_SIZE, PROT_NONE, MAP_SHARED, memory_fd, 0);
	assert_ptr_not_equal(c->memory, MAP_FAILED);
	return c;
}

void claims_free(struct claims *c)
{
	if (!c)
		return;
	assert_int_equal(c->n, 0);
	munmap(c->memory, MEMORY_SIZE);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

uint8_t *claims_memory(struct claims *c)
{
	return c->memory;
}

void claims_set_chance(struct claims *c, FabricTarget *target)
{
	pthread_mutex_lock(&c->lock);
	c->chance = target;
	pthread_mutex_unlock(&c->lock);
}

static void set_away(struct claims *c, uint64_t page, bool away)
{
	pthread_mutex_lock(&c->lock);
	c->away[page] = away;
	pthread_mutex_unlock(&c->lock);
}

void claims_take(struct claims *c, uint64_t page)
{
	set_away(c, page, true);
}

void claims_give(struct claims *c, uint64_t page)
{
	set_away(c, page, false);
}

unsigned int claims_refused(struct claims *c)
{
	unsigned int n;

	pthread_mutex_lock(&c->lock);
	n = c->refused;
	pthread_mutex_unlock(&c->lock);
	return n;
}

static uint64_t draw(struct claims *c, uint64_t below)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return (c->random >> 33) % below;
}

static bool has_bad_luck(struct claims *c)
{
	c->lucky = c->chance && !c->lucky && draw(c, 3) == 0;
	return c->lucky;
}

/* Up to the first page that is away, or by chance up to any page. */
static size_t here(struct claims *c, uint64_t off, size_t n)
{
	size_t got = 0;

	while (got < n && !c->away[(off + got) / CLAIM_PAGE]) {
		if (got && c->chance && draw(c, 4) == 0)
			break;
		got = MIN(n, (off + got) / CLAIM_PAGE * CLAIM_PAGE + CLAIM_PAGE - off);
	}
	return got;
}

static void protect(struct claims *c, uint64_t off, size_t n, int prot)
{
	uint64_t start = off / CLAIM_PAGE * CLAIM_PAGE;

	assert_int_equal(mprotect(c->memory + start, off + n - start, prot), 0);
}

static size_t claim_locked(struct claims *c, uint64_t off, size_t n, bool write)
{
	bool unlucky = has_bad_luck(c);

	n = unlucky ? 0 : here(c, off, n);
	if (!n) {
		c->refused++;
		if (unlucky)
			fabric_target_retry(c->chance);
		return 0;
	}
	protect(c, off, n, write ? PROT_READ | PROT_WRITE : PROT_READ);
	c->off = off;
	c->n = n;
	return n;
}

size_t claims_claim(struct claims_part *part, uint64_t off, size_t n, bool write)
{
	struct claims *c = part->claims;

	off += part->offset;
	assert_true(n && range_within(off, n, MEMORY_SIZE));
	pthread_mutex_lock(&c->lock);
	assert_int_equal(c->n, 0);
	n = claim_locked(c, off, n, write);
	pthread_mutex_unlock(&c->lock);
	return n;
}

void claims_unclaim(struct claims_part *part, uint64_t off, size_t n)
{
	struct claims *c = part->claims;

	pthread_mutex_lock(&c->lock);
	assert_true(n && c->n == n && c->off == off + part->offset);
	protect(c, c->off, n, PROT_NONE);
	c->n = 0;
	pthread_mutex_unlock(&c->lock);
}
