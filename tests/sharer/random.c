/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random writes against a model, with all the false sharing there can be: word k of each page is
 * worker k mod n's. Who owns a word knows what must be there; of the others' words, which only ever
 * count up, everybody knows what they were at least. Written by stores, memcpy, atomics and
 * system calls.
 */
#include "sharer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct model {
	struct sharer *s;
	uint32_t *known; /* by word: what was there last */
	uint32_t words;
	int pipe[2];
	uint32_t checks, changes;
};

static _Atomic uint32_t *word_at(const struct model *m, uint32_t k)
{
	return word_of(m->s, 0) + k;
}

static bool is_own(const struct model *m, uint32_t k)
{
	return k % m->s->n_workers == m->s->worker;
}

static bool check(struct model *m, uint32_t k, uint32_t found)
{
	if (found < m->known[k] || (is_own(m, k) && found != m->known[k])) {
		printf("word %u (worker %u's): %u after %u\n", k, k % m->s->n_workers, found,
			m->known[k]);
		return false;
	}
	m->checks++;
	m->changes += found != m->known[k];
	m->known[k] = found;
	return true;
}

/* The kernel reads the word, and later writes it. */
static bool through_a_pipe(struct model *m, uint32_t k, uint32_t *value, bool store)
{
	void *word = (void *)word_at(m, k);
	void *from = store ? (void *)value : word, *to = store ? word : (void *)value;

	return write(m->pipe[1], from, sizeof(*value)) == sizeof(*value) &&
	       read(m->pipe[0], to, sizeof(*value)) == sizeof(*value);
}

static bool store(struct model *m, uint32_t k)
{
	uint32_t value = m->known[k] + 1 + draw(m->s, 3);

	switch (draw(m->s, 4)) {
	case 0:
		memcpy((void *)word_at(m, k), &value, sizeof(value));
		break;
	case 1:
		atomic_fetch_add(word_at(m, k), value - m->known[k]);
		break;
	case 2:
		if (!through_a_pipe(m, k, &value, true)) {
			printf("a system call failed\n");
			return false;
		}
		break;
	default:
		atomic_store_explicit(word_at(m, k), value, memory_order_release);
	}
	m->known[k] = value;
	return true;
}

static bool load(struct model *m, uint32_t k)
{
	uint32_t found;

	if (draw(m->s, 8))
		found = atomic_load_explicit(word_at(m, k), memory_order_acquire);
	else if (!through_a_pipe(m, k, &found, false)) {
		printf("a system call failed\n");
		return false;
	}
	return check(m, k, found);
}

static bool step(struct model *m)
{
	uint32_t k = draw(m->s, m->words);

	if (draw(m->s, 3))
		return load(m, k);
	k -= k % m->s->n_workers;
	k += m->s->worker;
	return k < m->words ? store(m, k) : true;
}

bool work_random(struct sharer *s)
{
	struct model m = {.s = s, .words = (uint32_t)((s->pages - WORK_PAGE) * PAGE / 4)};
	bool right = pipe(m.pipe) == 0;

	m.known = calloc(m.words, sizeof(*m.known));
	right = right && m.known;
	for (uint32_t i = 0; right && i < s->rounds; i++) {
		right = step(&m);
		if (draw(s, 16) == 0)
			relax();
	}
	meet(s);
	/* nobody writes any more: everybody must find the same */
	if (right) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < m.words; k++) {
			uint32_t found = atomic_load(word_at(&m, k));

			right = check(&m, k, found) && right;
			sum = sum * 31 + found;
		}
		printf("sum %llu checks %u changes %u\n", (unsigned long long)sum, m.checks,
			m.changes);
	}
	free(m.known);
	return right;
}
