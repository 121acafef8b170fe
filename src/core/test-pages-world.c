/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The simulated world: chance, the queue of events, page links, sessions and leases.
 */

struct pages_seen pages_seen;

static uint64_t seed_of; /* of the world that runs */

void world_fail(const struct world *w, const char *what, const char *file, int line)
{
	fail_msg("%s:%d: %s does not hold; PAGES_SEED=%llu, event %llu, %llu ns", file, line, what,
		(unsigned long long)seed_of, (unsigned long long)w->n_steps,
		(unsigned long long)w->now);
	abort();
}

/* xorshift64* */
uint32_t world_random(struct world *w, uint32_t below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (uint32_t)((w->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

bool world_chance(struct world *w, uint32_t one_in)
{
	return !w->calm && world_random(w, one_in) == 0;
}

/* Events: a heap by time, and by number within a time. */

static bool before(const struct event *a, const struct event *b)
{
	return a->time != b->time ? a->time < b->time : a->number < b->number;
}

void world_event(struct world *w, struct event e, uint64_t delay)
{
	size_t at = w->n_events++;

	if (at == w->events_size) {
		w->events_size = MAX((size_t)64, 2 * w->events_size);
		w->events = reallocarray(w->events, w->events_size, sizeof(e));
		assert_non_null(w->events);
	}
	e.number = ++w->last_event;
	e.time = w->now + delay;
	for (; at > 0 && before(&e, &w->events[(at - 1) / 2]); at = (at - 1) / 2)
		w->events[at] = w->events[(at - 1) / 2];
	w->events[at] = e;
}

static struct event take(struct world *w)
{
	struct event first = w->events[0], last = w->events[--w->n_events];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < w->n_events) {
		if (child + 1 < w->n_events && before(&w->events[child + 1], &w->events[child]))
			child++;
		if (!before(&w->events[child], &last))
			break;
		w->events[at] = w->events[child];
		at = child;
	}
	w->events[at] = last;
	return first;
}

/* Page links */

void packets_drop(struct list *packets)
{
	struct packet *p, *next;

	list_for_each_safe (p, next, packets, link) {
		list_unlink(&p->link);
		free(p);
	}
}

static void append(struct node *n, bool to_home, struct packet *p)
{
	struct world *w = n->world;
	uint64_t *latest = to_home ? &n->up_latest : &n->down_latest;

	list_append(to_home ? &n->up : &n->down, &p->link);
	*latest = MAX(*latest, w->now + 1 + world_random(w, 20 * US));
	world_event(w,
		(struct event){.kind = to_home ? EVENT_UP : EVENT_DOWN,
			.node = n->number,
			.a = n->connection},
		*latest - w->now);
}

static struct packet *packet_new(const struct page_message *m, const struct bytes *content)
{
	size_t k = m->flags & PAGE_CONTENT ? m->n : 0;
	struct packet *p = calloc(1, sizeof(*p) + k * sizeof(*content));

	assert_non_null(p);
	p->message = *m;
	if (k > 0)
		memcpy(p->content, content, k * sizeof(*content));
	return p;
}

void link_send(
	struct node *n, bool to_home, const struct page_message *m, const struct bytes *content)
{
	uint8_t header[PAGE_HEADER_SIZE];
	struct page_message decoded;

	page_message_encode(m, header);
	HOLDS(n->world, page_message_decode(header, &decoded) == 0);
	HOLDS(n->world, decoded.page == m->page && decoded.type == m->type);
	if (to_home ? n->home_open : n->node_open)
		append(n, to_home, packet_new(m, content));
}

/* As daemons find it: by what their tables say now. */
static const struct frame *source(const struct node *n, bool to_home, uint64_t page)
{
	const struct world *w = n->world;
	const struct node *home = &w->nodes[0];

	if (to_home)
		return n->table[page] == PAGER_L ? &n->aside[page] : &n->memory[page];
	return directory_entry(w->directory, page).owner == DIRECTORY_NOBODY ? &home->memory[page]
									     : &home->aside[page];
}

static void packet_sent(struct node *n, bool to_home, struct packet *p)
{
	const struct page_message *m = &p->message;

	for (unsigned int i = 0; !p->sent && m->flags & PAGE_CONTENT && i < m->n; i++) {
		const struct frame *f = source(n, to_home, m->page + i);

		HOLDS(n->world, f->present && bytes_equal(&f->bytes, &p->content[i]));
	}
	p->sent = true;
}

void link_sent(struct node *n, bool to_home)
{
	struct packet *p;

	list_for_each (p, to_home ? &n->up : &n->down, link)
		packet_sent(n, to_home, p);
}

void link_stop(struct node *n, bool to_home)
{
	struct packet *p;

	list_for_each (p, to_home ? &n->up : &n->down, link)
		p->sent = true;
}

/* Each end gets a part of what was on its way, and then the end. */
static void end(struct node *n, bool to_home)
{
	struct list *queue = to_home ? &n->up : &n->down;
	struct packet *p, *next;
	uint32_t keep = world_random(n->world, 6);

	list_for_each_safe (p, next, queue, link) {
		if (keep > 0) {
			keep--;
			continue;
		}
		list_unlink(&p->link);
		free(p);
	}
	p = calloc(1, sizeof(*p));
	assert_non_null(p);
	p->down = true;
	append(n, to_home, p);
}

void link_break(struct node *n)
{
	if (!n->node_open && !n->home_open)
		return;
	pages_seen.breaks++;
	link_sent(n, true);
	link_sent(n, false);
	if (n->home_open)
		end(n, true);
	if (n->node_open)
		end(n, false);
}

static bool home_runs(const struct world *w)
{
	return w->directory;
}

static void hear_down(struct node *n, bool to_home)
{
	struct world *w = n->world;

	if (to_home) {
		n->home_open = false;
		packets_drop(&n->up);
		if (n->home_session && home_runs(w))
			directory_link(w->directory, n->number, false, w->now);
		return;
	}
	n->node_open = false;
	packets_drop(&n->down);
	if (!n->pager)
		return;
	pager_link(n->pager, false, w->now);
	world_event(w, (struct event){.kind = EVENT_DIAL, .node = n->number, .epoch = n->epoch},
		world_random(w, DETECTION / 8));
}

static void hear(struct node *n, bool to_home, uint32_t connection)
{
	struct list *queue = to_home ? &n->up : &n->down;
	struct packet *p = list_first(queue, struct packet, link);
	struct world *w = n->world;
	int r = 0;

	if (connection != n->connection || !p)
		return;
	if (to_home ? !n->home_open || !home_runs(w) : !n->node_open || !n->pager)
		return;
	packet_sent(n, to_home, p);
	list_unlink(&p->link);
	list_init(&p->link);
	w->receiving = p;
	if (p->down)
		hear_down(n, to_home);
	else if (!to_home)
		r = pager_receive(n->pager, &p->message, w->now);
	else if (n->home_session)
		r = directory_receive(w->directory, n->number, &p->message, w->now);
	w->receiving = NULL;
	HOLDS(w, r == 0 || (r == -ENOMEM && !to_home));
	free(p);
	if (r == -ENOMEM) {
		pages_seen.forgotten++;
		/* it has no table any more, and sends nothing after this */
		link_stop(n, true);
		node_lose(n);
		world_event(w,
			(struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
			US);
	}
}

static void dial(struct node *n)
{
	struct world *w = n->world;

	if (!n->pager || !n->session || n->node_open)
		return;
	if (n->cut || !home_runs(w)) {
		world_event(w,
			(struct event){.kind = EVENT_DIAL, .node = n->number, .epoch = n->epoch},
			DETECTION / 10);
		return;
	}
	if (n->home_session != n->session) {
		node_lose(n);
		world_event(w,
			(struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
			US);
		return;
	}
	packets_drop(&n->up);
	packets_drop(&n->down);
	n->connection++;
	n->home_open = n->node_open = true;
	n->up_latest = n->down_latest = w->now;
	w->dying = &w->nodes[0];
	directory_link(w->directory, n->number, true, w->now);
	w->dying = n;
	pager_link(n->pager, true, w->now);
}

/* Sessions */

static void join(struct node *n)
{
	struct world *w = n->world;

	if (!n->lives || n->session || n->pager)
		return;
	/* Again, if a daemon dies meanwhile. */
	world_event(w, (struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
		DETECTION / 10);
	if (n->cut || !home_runs(w))
		return;
	w->dying = &w->nodes[0];
	if (n->home_session)
		home_remove(w, n->number);
	n->session = n->home_session = ++w->last_session;
	home_add(w, n->number);
	pages_seen.joins++;
	w->dying = n;
	node_begin(n);
	world_event(
		w, (struct event){.kind = EVENT_LEASE, .node = n->number, .epoch = n->epoch}, 1);
	dial(n);
}

static void after_release(struct node *n)
{
	struct world *w = n->world;

	if (!n->released || !home_runs(w) || n->cut)
		return;
	pages_seen.releases++;
	w->dying = &w->nodes[0];
	for (uint64_t i = 0; i < PAGES; i++)
		HOLDS(w, directory_entry(w->directory, i).owner != n->number);
	home_remove(w, n->number);
	w->dying = n;
	node_lose(n);
	world_event(w, (struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
		world_random(w, DETECTION));
}

/* Leases */

static void say_lease(struct node *n)
{
	struct world *w = n->world;

	if (!n->pager || !n->session)
		return;
	if (w->now >= n->since + DETECTION / 4 * 3) {
		pages_seen.losses++;
		node_lose(n);
		world_event(w,
			(struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
			world_random(w, DETECTION));
		return;
	}
	if (!n->frozen && w->now >= n->since + DETECTION / 2) {
		n->frozen = true;
		pager_freeze(n->pager, true, w->now);
		for (uint64_t i = 0; i < PAGES; i++)
			HOLDS(w, all_marked(n, i));
	}
	if (!n->cut)
		world_event(w,
			(struct event){.kind = EVENT_HEARD,
				.node = n->number,
				.a = n->session,
				.b = w->now},
			world_random(w, 30 * US));
	/* A tick is never later than the end of the lease. */
	world_event(w, (struct event){.kind = EVENT_LEASE, .node = n->number, .epoch = n->epoch},
		DETECTION / 12);
}

static void hear_lease(struct node *n, uint64_t session, uint64_t said)
{
	struct world *w = n->world;

	if (!home_runs(w) || n->home_session != session || n->expelled || n->cut)
		return;
	n->heard = w->now;
	world_event(w,
		(struct event){.kind = EVENT_ANSWER, .node = n->number, .a = session, .b = said},
		world_random(w, world_random(w, 10) ? 30 * US : DETECTION / 2));
}

static void hear_answer(struct node *n, uint64_t session, uint64_t said)
{
	struct world *w = n->world;

	if (!n->pager || n->session != session || n->cut || said < n->since)
		return;
	n->since = said;
	n->end = MAX(n->end, said + DETECTION / 4 * 3);
	if (n->frozen && w->now < n->since + DETECTION / 2) {
		n->frozen = false;
		pager_freeze(n->pager, false, w->now);
	}
}

static void look_for_silence(struct world *w)
{
	world_event(w, (struct event){.kind = EVENT_SILENCE}, DETECTION / 20);
	if (!home_runs(w))
		return;
	for (unsigned int i = 1; i < w->n_nodes; i++)
		if (w->nodes[i].home_session && w->now >= w->nodes[i].heard + DETECTION)
			home_remove(w, i);
}

void node_kill(struct node *n, uint64_t back)
{
	if (n->pager)
		daemon_die(n);
	node_lose(n);
	n->lives = false;
	n->epoch++;
	for (unsigned int g = 0; g < GROUPS; g++)
		n->mappers[g].used = false;
	world_event(n->world, (struct event){.kind = EVENT_REBORN, .node = n->number}, back);
}

/* The data thread of the home */

static void claim(struct world *w)
{
	struct node *home = &w->nodes[0];
	uint64_t page;

	if (w->claim_n > 0)
		return;
	if (!w->claiming) {
		w->claim_page = world_random(w, world_random(w, 2) ? 3 : PAGES);
		w->claim_write = world_random(w, 2);
	}
	w->claiming = true;
	w->claim_n = pager_claim(
		home->pager, w->claim_page, 1 + world_random(w, 5), w->claim_write, w->now);
	if (w->claim_n == 0)
		return;
	w->claiming = false;
	pages_seen.claims++;
	for (unsigned int i = 0; i < w->claim_n; i++) {
		page = w->claim_page + i;
		HOLDS(w, home->memory[page].present);
		HOLDS(w, bytes_equal(&home->memory[page].bytes, &w->truth[page]));
		for (unsigned int k = 1; w->claim_write && k < w->n_nodes; k++)
			HOLDS(w, !node_believes(&w->nodes[k]) || !w->nodes[k].memory[page].present);
	}
	world_event(w, (struct event){.kind = EVENT_UNCLAIM, .epoch = home->epoch},
		world_random(w, 100 * US));
}

static void unclaim(struct world *w)
{
	struct node *home = &w->nodes[0];
	unsigned int n = w->claim_n;

	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &home->memory[w->claim_page + i];

		HOLDS(w, f->present);
		if (w->claim_write)
			f->bytes.word[0] = w->truth[w->claim_page + i].word[0] = ++w->last_value;
	}
	w->claim_n = 0;
	world_event(w, (struct event){.kind = EVENT_CLAIM, .epoch = home->epoch},
		world_random(w, 300 * US));
	pager_unclaim(home->pager, w->claim_page, n, w->now);
}

/* The queue */

static void start(struct node *n)
{
	if (!n->lives || n->pager)
		return;
	n->world->dying = n;
	if (n->number == 0)
		n->world->claim_n = 0;
	daemon_start(n);
}

static void handle(struct world *w, const struct event *e)
{
	struct node *n = &w->nodes[e->node];

	if (e->epoch && e->epoch != n->epoch)
		return;
	w->dying = n;
	switch (e->kind) {
	case EVENT_THREAD:
		thread_run(n, (unsigned int)e->a, (unsigned int)e->b);
		break;
	case EVENT_FAULT:
		if (n->pager && n->mappers[e->a].used)
			pager_fault(n->pager, (unsigned int)e->a, e->b, e->c, w->now);
		break;
	case EVENT_UP:
		w->dying = &w->nodes[0];
		hear(n, true, (uint32_t)e->a);
		break;
	case EVENT_DOWN:
		hear(n, false, (uint32_t)e->a);
		break;
	case EVENT_DIAL:
		dial(n);
		break;
	case EVENT_JOIN:
		join(n);
		break;
	case EVENT_LEASE:
		say_lease(n);
		break;
	case EVENT_HEARD:
		hear_lease(n, e->a, e->b);
		break;
	case EVENT_ANSWER:
		hear_answer(n, e->a, e->b);
		break;
	case EVENT_SILENCE:
		look_for_silence(w);
		break;
	case EVENT_START:
		start(n);
		break;
	case EVENT_REBORN:
		n->lives = true;
		n->releasing = false;
		start(n);
		break;
	case EVENT_CLAIM:
		if (home_runs(w))
			claim(w);
		break;
	case EVENT_UNCLAIM:
		unclaim(w);
		break;
	case EVENT_ROOM:
		w->dying = &w->nodes[0];
		n->home_full = false;
		if (home_runs(w))
			directory_room(w->directory, n->number, w->now);
		break;
	}
}

/* Time of the daemons: the node whose tick comes first, and when. */
static uint64_t next_tick(const struct world *w, unsigned int *ret_node)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < w->n_nodes; i++) {
		uint64_t due = w->nodes[i].pager ? pager_next(w->nodes[i].pager) : UINT64_MAX;

		if (i == 0 && w->directory)
			due = MIN(due, directory_next(w->directory));
		if (due < next) {
			next = due;
			*ret_node = i;
		}
	}
	return next;
}

static void tick(struct world *w, unsigned int node)
{
	w->dying = &w->nodes[node];
	if (pager_next(w->dying->pager) <= w->now)
		pager_tick(w->dying->pager, w->now);
	if (node == 0 && directory_next(w->directory) <= w->now)
		directory_tick(w->directory, w->now);
}

static void happen(struct world *w)
{
	unsigned int node = 0;
	uint64_t due = next_tick(w, &node);
	struct event e;

	if (due <= w->events[0].time) {
		w->now = MAX(w->now, due);
		tick(w, node);
	} else {
		e = take(w);
		w->now = e.time;
		handle(w, &e);
	}
	for (unsigned int i = 1; i < w->n_nodes; i++)
		after_release(&w->nodes[i]);
}

bool world_step(struct world *w, uint64_t until)
{
	unsigned int node;

	if (MIN(next_tick(w, &node), w->events[0].time) > until)
		return false;
	w->n_steps++;
	if (setjmp(w->death))
		daemon_die(w->dying);
	else
		happen(w);
	daemon_check(w);
	return true;
}

/* Life */

static void node_init(struct world *w, unsigned int number)
{
	struct node *n = &w->nodes[number];

	n->world = w;
	n->number = number;
	n->lives = true;
	list_init(&n->up);
	list_init(&n->down);
	for (unsigned int g = 0; g < GROUPS; g++)
		for (unsigned int t = 0; t < THREADS; t++)
			world_event(w,
				(struct event){
					.kind = EVENT_THREAD, .node = number, .a = g, .b = t},
				1 + world_random(w, 100 * US));
	if (number > 0) {
		start(n);
		return;
	}
	n->session = ++w->last_session;
	n->end = UINT64_MAX;
	for (uint64_t i = 0; i < PAGES; i++) {
		w->entries[i] = DIRECTORY_NEW;
		n->table[i] = PAGER_S;
		n->memory[i].present = true;
	}
	for (unsigned int g = 0; g < GROUPS; g++)
		mapper_init(n, g);
	start(n);
}

void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	seed_of = seed;
	w->random = seed * 0x9e3779b97f4a7c15ull + 1;
	w->now = 1000 * US;
	w->n_nodes = 2 + world_random(w, NODES - 1);
	w->calm = true;
	for (unsigned int i = 0; i < w->n_nodes; i++)
		node_init(w, i);
	w->calm = false;
	world_event(w, (struct event){.kind = EVENT_SILENCE}, 1);
}

void world_deinit(struct world *w)
{
	for (unsigned int i = 0; i < w->n_nodes; i++) {
		pager_free(w->nodes[i].pager);
		packets_drop(&w->nodes[i].up);
		packets_drop(&w->nodes[i].down);
	}
	directory_free(w->directory);
	free(w->events);
}
