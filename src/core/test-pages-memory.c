/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-pages.h"

#include <string.h>

/*
 * Memory, mappers and threads of the simulated nodes. As with the kernel, a page that is present is
 * read without anybody's help, written if it is not marked, and a punch may lose marks.
 */

bool bytes_equal(const struct bytes *a, const struct bytes *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool node_believes(const struct node *n)
{
	return n->lives && n->session && n->world->now < n->end;
}

void mapper_init(struct node *n, unsigned int group)
{
	struct mapper *m = &n->mappers[group];

	m->used = true;
	for (uint64_t p = 0; p < PAGES; p++)
		m->marked[p] = true;
}

bool all_marked(const struct node *n, uint64_t page)
{
	for (unsigned int g = 0; g < GROUPS; g++)
		if (n->mappers[g].used && !n->mappers[g].marked[page])
			return false;
	return true;
}

/* For the pager's operations */

void node_protect(struct node *n, uint64_t page, unsigned int k, uint64_t groups)
{
	for (unsigned int g = 0; g < GROUPS; g++)
		for (unsigned int i = 0; i < k; i++)
			if (groups & 1ull << g)
				n->mappers[g].marked[page + i] = true;
}

void node_allow(struct node *n, uint64_t page, unsigned int k, uint64_t groups)
{
	for (unsigned int g = 0; g < GROUPS; g++)
		for (unsigned int i = 0; i < k; i++)
			if (groups & 1ull << g)
				n->mappers[g].marked[page + i] = false;
	node_wake(n, page, k, groups);
}

void node_wake(struct node *n, uint64_t page, unsigned int k, uint64_t groups)
{
	for (unsigned int g = 0; g < GROUPS; g++) {
		for (unsigned int t = 0; t < THREADS; t++) {
			struct thread *thread = &n->mappers[g].threads[t];

			if (!(groups & 1ull << g) || !thread->blocked || thread->fault - page >= k)
				continue;
			thread->blocked = false;
			world_event(n->world,
				(struct event){
					.kind = EVENT_THREAD, .node = n->number, .a = g, .b = t},
				1 + world_random(n->world, 8 * US));
		}
	}
}

void node_drop(struct node *n, uint64_t page)
{
	n->memory[page].present = false;
	for (unsigned int g = 0; g < GROUPS; g++)
		if (world_random(n->world, 4) == 0)
			n->mappers[g].marked[page] = false;
}

/* Threads */

static void choose(struct node *n, struct thread *t)
{
	struct world *w = n->world;

	t->chosen = true;
	t->act = (enum act)world_random(w, ACTS);
	if (t->act == ACT_CROSS && (w->calm || world_random(w, 4)))
		t->act = ACT_LOAD;
	if (world_random(w, 30) == 0)
		t->sequential = !t->sequential;
	if (t->sequential)
		t->page = (t->page + 1) % PAGES;
	else if (world_random(w, 3))
		t->page = world_random(w, 3);
	else
		t->page = world_random(w, PAGES);
	t->word = world_random(w, WORDS);
	if (t->act == ACT_CROSS)
		t->page = t->page % (PAGES - 1);
}

static bool fault(struct node *n, unsigned int group, struct thread *t, uint64_t page, bool write)
{
	struct world *w = n->world;

	t->blocked = true;
	t->fault = page;
	pages_seen.faults++;
	world_event(w,
		(struct event){.kind = EVENT_FAULT,
			.node = n->number,
			.epoch = n->epoch,
			.a = group,
			.b = page,
			.c = write},
		1 + world_random(w, 5 * US));
	return false;
}

static bool load(struct node *n, unsigned int group, struct thread *t, uint64_t page)
{
	struct world *w = n->world;

	if (!n->memory[page].present)
		return fault(n, group, t, page, false);
	HOLDS(w, n->memory[page].bytes.word[t->word] == w->truth[page].word[t->word]);
	pages_seen.loads++;
	return true;
}

/* Whoever believes what it has must have nothing of this page. */
static void check_alone(const struct node *n, uint64_t page)
{
	struct world *w = n->world;

	for (unsigned int i = 0; i < w->n_nodes; i++)
		HOLDS(w, &w->nodes[i] == n || !node_believes(&w->nodes[i]) ||
				 !w->nodes[i].memory[page].present);
}

static bool store(struct node *n, unsigned int group, struct thread *t, uint64_t page)
{
	struct world *w = n->world;

	if (!n->memory[page].present || n->mappers[group].marked[page])
		return fault(n, group, t, page, true);
	check_alone(n, page);
	HOLDS(w, !n->pager || !n->frozen);
	n->memory[page].bytes.word[t->word] = w->truth[page].word[t->word] = ++w->last_value;
	pages_seen.stores++;
	return true;
}

static bool act(struct node *n, unsigned int group, struct thread *t)
{
	switch (t->act) {
	case ACT_LOAD:
		return load(n, group, t, t->page);
	case ACT_STORE:
		return store(n, group, t, t->page);
	case ACT_ADD:
		return load(n, group, t, t->page) && store(n, group, t, t->page);
	default:
		return load(n, group, t, t->page) && load(n, group, t, t->page + 1);
	}
}

void thread_run(struct node *n, unsigned int group, unsigned int thread)
{
	struct world *w = n->world;
	struct thread *t = &n->mappers[group].threads[thread];
	uint64_t pause = 1 + world_random(w, world_random(w, 10) ? 5 * US : 200 * US);

	if (t->blocked)
		return;
	/* Past the end of the lease nobody reports anything before the daemon has spoken. */
	if (!node_believes(n) || !n->mappers[group].used) {
		pause = 50 * US;
	} else {
		if (!t->chosen)
			choose(n, t);
		if (!act(n, group, t))
			return;
		t->chosen = false;
		t->done++;
	}
	world_event(w,
		(struct event){.kind = EVENT_THREAD, .node = n->number, .a = group, .b = thread},
		pause);
}
