/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/sleepers.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"

#define WORDS (SLEEPERS_PAGE / 4)
#define BLOCK 64u

/* pthread_mutex_t: lock, count, owner, users, kind. The lock is 2 where somebody sleeps, of robust
 * ones it is the owner with the top bit. */
#define MUTEX_WORDS   5u
#define MUTEX_KIND    4
#define MUTEX_SHARED  0x80u
#define MUTEX_KINDS   0x1ffu
#define ROBUST_WAITED 0x80000000u

/* pthread_rwlock_t: readers, writers, phase, writers' word, two that are 0, writer, shared. */
#define RWLOCK_WORDS  8u
#define RWLOCK_PHASE  2
#define RWLOCK_WRITER 3
#define RWLOCK_SHARED 7
#define RWLOCK_WAITED 2u

static void add(struct sleepers *s, unsigned int word)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->words[i] == word)
			return;
	if (s->n < SLEEPERS_WORDS)
		s->words[s->n++] = (uint16_t)word;
}

static bool is_mutex(const uint32_t *w)
{
	return (w[0] == 2 || w[0] & ROBUST_WAITED) && w[MUTEX_KIND] & MUTEX_SHARED &&
	       !(w[MUTEX_KIND] & ~MUTEX_KINDS);
}

static bool is_rwlock(const uint32_t *w)
{
	return ((w[RWLOCK_PHASE] | w[RWLOCK_WRITER]) & RWLOCK_WAITED) && w[RWLOCK_SHARED] == 1 &&
	       !w[4] && !w[5];
}

/* Locks begin at even words, from first on. */
static void look(const uint32_t *words, unsigned int first, unsigned int end, struct sleepers *s)
{
	for (unsigned int i = first; i < end && i + MUTEX_WORDS <= WORDS; i += 2) {
		if (is_mutex(words + i))
			add(s, i);
		if (i + RWLOCK_WORDS > WORDS || !is_rwlock(words + i))
			continue;
		add(s, i);
		add(s, i + RWLOCK_PHASE);
		add(s, i + RWLOCK_WRITER);
	}
}

/* Is there a word of the rarest kind that a shared lock needs? Most data has none, and is passed
 * quickly. */
typedef uint32_t quad __attribute__((vector_size(16)));

static bool may_be_locks(const uint32_t *words)
{
	quad any = {0}, q;

	for (unsigned int i = 0; i < BLOCK; i += 4) {
		memcpy(&q, words + i, sizeof(q));
		any |= (quad)(q == 1) | (quad)((q & (MUTEX_SHARED | ~MUTEX_KINDS)) == MUTEX_SHARED);
	}
	return any[0] | any[1] | any[2] | any[3];
}

void sleepers_find(const void *page, struct sleepers *ret_sleepers)
{
	const uint32_t *words = page;
	struct sleepers s = {0};

	for (unsigned int i = 0; i < WORDS; i += BLOCK)
		if (may_be_locks(words + i))
			look(words, i < RWLOCK_WORDS ? 0 : i - RWLOCK_WORDS, i + BLOCK, &s);
	*ret_sleepers = s;
}

void sleepers_add(struct sleepers *s, const struct sleepers *more)
{
	for (unsigned int i = 0; i < more->n; i++)
		add(s, more->words[i]);
}

static void wake(const uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int map_page(int memory, uint64_t offset, const uint32_t **ret_words)
{
	void *map = mmap(NULL, SLEEPERS_PAGE, PROT_READ, MAP_SHARED, memory, (off_t)offset);

	if (map == MAP_FAILED)
		return negative_errno();
	*ret_words = map;
	return 0;
}

int sleepers_wake(int memory, uint64_t offset, const struct sleepers *s)
{
	const uint32_t *words;
	int r = map_page(memory, offset, &words);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < s->n; i++)
		wake(words + s->words[i]);
	munmap((void *)words, SLEEPERS_PAGE);
	return 0;
}

int sleepers_wake_all(int memory, uint64_t offset)
{
	const uint32_t *words;
	int r = map_page(memory, offset, &words);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < WORDS; i++)
		wake(words + i);
	munmap((void *)words, SLEEPERS_PAGE);
	return 0;
}
