/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random schedules of coherent maps: nodes that load, store, die, are cut, give pages back. After
 * every event what must hold at the home; at the end everything heals, every thread gets on, all
 * pages come home, and nothing is missing.
 *
 * PAGES_SEED=n runs only that schedule, PAGES_SCHEDULES=n so many.
 */

#include "core/test-pages.h"

#include <stdio.h>
#include <stdlib.h>

#define SCHEDULES 50u
#define ACTIONS	  60u

static void run(struct world *w, uint64_t span)
{
	uint64_t until = w->now + span;

	while (world_step(w, until))
		;
	w->now = until;
}

static void light_fuse(struct world *w, struct node *n)
{
	if (n->pager)
		n->fuse = 1 + world_random(w, 60);
}

static void kill_node(struct world *w, struct node *n)
{
	if (n->number > 0 && n->lives)
		node_kill(n, world_random(w, 3 * DETECTION));
}

static void cut(struct world *w, struct node *n)
{
	if (n->number == 0)
		return;
	n->cut = true;
	link_break(n);
}

static void heal(struct world *w, struct node *n)
{
	n->cut = false;
}

static void break_link(struct world *w, struct node *n)
{
	if (n->number > 0)
		link_break(n);
}

static void release(struct world *w, struct node *n)
{
	if (n->number == 0 || !n->pager || n->releasing)
		return;
	n->releasing = true;
	w->dying = n;
	pager_release(n->pager, w->now);
}

/* A process ends, or comes. */
static void change_group(struct world *w, struct node *n)
{
	unsigned int g = world_random(w, GROUPS);

	if (!n->pager)
		return;
	w->dying = n;
	n->mappers[g].used = !n->mappers[g].used;
	if (n->mappers[g].used)
		mapper_init(n, g);
	pager_group_set(n->pager, g, n->mappers[g].used, w->now);
	node_wake(n, 0, PAGES, 1ull << g);
}

static void advise(struct world *w, struct node *n)
{
	uint64_t page = world_random(w, PAGES);

	if (!n->pager)
		return;
	w->dying = n;
	if (world_random(w, 3) == 0)
		pager_will_need(n->pager, page, 1 + world_random(w, PAGES), w->now);
	else
		pager_advise(n->pager, page, 1 + world_random(w, PAGES),
			(enum pager_advice)world_random(w, 3));
}

static const struct {
	void (*act)(struct world *w, struct node *n);
	uint32_t weight;
} actions[] = {
	{light_fuse, 25},
	{kill_node, 3},
	{cut, 6},
	{heal, 12},
	{break_link, 15},
	{release, 4},
	{change_group, 10},
	{advise, 10},
};

static void act(struct world *w)
{
	struct node *n = &w->nodes[world_random(w, w->n_nodes)];
	uint32_t sum = 0, at;

	for (size_t i = 0; i < ELEMENTS(actions); i++)
		sum += actions[i].weight;
	at = world_random(w, sum);
	for (size_t i = 0; i < ELEMENTS(actions); i++) {
		if (at < actions[i].weight) {
			if (setjmp(w->death))
				daemon_die(w->dying);
			else
				actions[i].act(w, n);
			return;
		}
		at -= actions[i].weight;
	}
}

static void calm_down(struct world *w)
{
	w->calm = true;
	for (unsigned int i = 0; i < w->n_nodes; i++) {
		w->nodes[i].cut = false;
		w->nodes[i].fuse = 0;
	}
	run(w, 8 * DETECTION);
	for (unsigned int i = 0; i < w->n_nodes; i++) {
		HOLDS(w, w->nodes[i].pager && w->nodes[i].session);
		w->dying = &w->nodes[i];
		for (unsigned int g = 0; g < GROUPS; g++) {
			if (w->nodes[i].mappers[g].used)
				continue;
			mapper_init(&w->nodes[i], g);
			pager_group_set(w->nodes[i].pager, g, true, w->now);
			node_wake(&w->nodes[i], 0, PAGES, 1ull << g);
		}
	}
}

/* But who needs two pages at once, while seven nodes want them too. */
static void must_get_on(struct world *w, const struct thread *t, uint64_t before)
{
	HOLDS(w, t->done > before || t->act == ACT_CROSS);
}

static void everybody_gets_on(struct world *w)
{
	uint64_t before[NODES][GROUPS][THREADS];

	for (unsigned int i = 0; i < w->n_nodes; i++)
		for (unsigned int g = 0; g < GROUPS; g++)
			for (unsigned int t = 0; t < THREADS; t++)
				before[i][g][t] = w->nodes[i].mappers[g].threads[t].done;
	run(w, 6 * DETECTION);
	for (unsigned int i = 0; i < w->n_nodes; i++)
		for (unsigned int g = 0; g < GROUPS; g++)
			for (unsigned int t = 0; t < THREADS; t++)
				must_get_on(w, &w->nodes[i].mappers[g].threads[t], before[i][g][t]);
}

static void all_comes_home(struct world *w)
{
	w->dying = &w->nodes[0];
	directory_recall(w->directory, w->now);
	run(w, DETECTION);
	HOLDS(w, w->recalled);
	for (uint64_t i = 0; i < PAGES; i++) {
		HOLDS(w, w->nodes[0].memory[i].present);
		HOLDS(w, bytes_equal(&w->nodes[0].memory[i].bytes, &w->truth[i]));
		for (unsigned int k = 1; k < w->n_nodes; k++)
			HOLDS(w, !w->nodes[k].memory[i].present && !w->nodes[k].aside[i].present);
	}
}

static void run_schedule(uint64_t seed)
{
	static struct world w;

	world_init(&w, seed);
	for (unsigned int i = 0; i < ACTIONS; i++) {
		run(&w, world_random(&w, world_random(&w, 4) ? DETECTION / 10 : DETECTION));
		act(&w);
	}
	calm_down(&w);
	everybody_gets_on(&w);
	all_comes_home(&w);
	world_deinit(&w);
}

static void loads_see_the_last_store_whatever_happens(void **state)
{
	const char *one = getenv("PAGES_SEED"), *n = getenv("PAGES_SCHEDULES");
	uint64_t schedules = n ? strtoull(n, NULL, 10) : SCHEDULES;
	const struct pages_seen *s = &pages_seen;

	if (one) {
		run_schedule(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t i = 1; i <= schedules; i++)
		run_schedule(i);
	print_message("%llu loads, %llu stores, %llu faults, %llu claims\n",
		(unsigned long long)s->loads, (unsigned long long)s->stores,
		(unsigned long long)s->faults, (unsigned long long)s->claims);
	print_message(
		"%llu daemons died, %llu links broke, %llu leases ended, %llu pages lost, "
		"%llu released, %llu sessions, %llu given up, %llu fills failed, %llu recovered\n",
		(unsigned long long)s->deaths, (unsigned long long)s->breaks,
		(unsigned long long)s->losses, (unsigned long long)s->discarded,
		(unsigned long long)s->releases, (unsigned long long)s->joins,
		(unsigned long long)s->given_up, (unsigned long long)s->forgotten,
		(unsigned long long)s->recoveries);
	assert_true(s->deaths > schedules && s->breaks > schedules && s->discarded > schedules / 2);
	assert_true(s->releases > schedules / 10 && s->claims > schedules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_see_the_last_store_whatever_happens),
	};

	return cmocka_run_group_tests_name("coherent pages", tests, NULL, NULL);
}
