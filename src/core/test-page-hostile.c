/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A hostile node and a hostile home: messages that fit and that do not, in any order, twice, of
 * other pages, on links that come and go. Nothing is asserted but by the tables' own check; what
 * does not fit is refused; memory stays bounded. And every allocation fails once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/directory.h"
#include "core/pager.h"
#include "wire/status.h"

#define PAGES 24u
#define SLOTS 3u /* hostile ones, and the home */
#define STEPS 150000u

static unsigned int fail_at; /* 1: the next allocation; 0: none */
static size_t live;	     /* allocations */

void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void __real_free(void *p);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void __wrap_free(void *p);

static bool refuse(void)
{
	return fail_at > 0 && --fail_at == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = refuse() ? NULL : __real_calloc(n, size);

	live += p != NULL;
	return p;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return refuse() ? NULL : __real_reallocarray(p, n, size);
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

struct world {
	Directory *directory;
	Pager *home, *guest;
	uint64_t entries[PAGES];
	uint8_t home_table[PAGES], guest_table[PAGES];
	uint64_t random, now, n_good, n_bad, n_woken, n_claims;
	bool used[1 + SLOTS];
};

static uint32_t any(struct world *w, uint32_t below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (uint32_t)((w->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

/* Operations that do nothing, but where memory may be missing. */

static void on_home_send(void *userdata, const struct page_message *m, bool aside)
{
	struct world *w = userdata;

	assert_int_equal(directory_receive(w->directory, 0, m, w->now), 0);
}

static void on_guest_send(void *userdata, const struct page_message *m, bool aside)
{
}

static int on_run_or_not(void *userdata, uint64_t page, unsigned int n)
{
	assert_true(page < PAGES && n <= PAGES - page);
	return any(userdata, 50) == 0 ? -ENOMEM : 0;
}

static void on_run(void *userdata, uint64_t page, unsigned int n)
{
	assert_true(page < PAGES && n <= PAGES - page);
}

static void on_groups(void *userdata, uint64_t page, unsigned int n, uint64_t groups)
{
	on_run(userdata, page, n);
	((struct world *)userdata)->n_woken++;
}

static void on_nothing(void *userdata)
{
	((struct world *)userdata)->n_claims++;
}

static struct pager_ops pager_ops = {
	.fill = on_run_or_not,
	.allow = on_groups,
	.protect = on_groups,
	.wake = on_groups,
	.drop = on_run,
	.set_aside = on_run_or_not,
	.forget_aside = on_run,
	.claim_ready = on_nothing,
	.released = on_nothing,
};

static void on_directory_send(
	void *userdata, unsigned int slot, const struct page_message *m, enum page_source source)
{
	struct world *w = userdata;

	assert_true(slot == 0 || w->used[slot]);
	if (slot == 0)
		assert_int_equal(pager_receive(w->home, m, w->now), 0);
}

static int on_keep(void *userdata, uint64_t page, unsigned int n, enum page_source where)
{
	return on_run_or_not(userdata, page, n);
}

static void on_discarded(void *userdata, unsigned int slot, uint64_t n_pages)
{
}

static void on_give_up(void *userdata, unsigned int slot, const char *reason)
{
	assert_true(slot > 0);
}

static const struct directory_ops directory_ops = {
	.send = on_directory_send,
	.keep = on_keep,
	.recover = on_run_or_not,
	.forget = on_run,
	.discarded = on_discarded,
	.give_up = on_give_up,
	.recalled = on_nothing,
};

/* Worlds */

static int make_directory(struct world *w)
{
	const struct directory_options options = {
		.n_pages = PAGES, .table = w->entries, .patience = 2000000};

	return directory_new(&options, &directory_ops, w, &w->directory);
}

static int make_pager(struct world *w, bool home, Pager **ret_pager)
{
	static struct pager_ops ops[2];
	const struct pager_options options = {.n_pages = PAGES,
		.home = home,
		.hold = 50000,
		.table = home ? w->home_table : w->guest_table};

	ops[home] = pager_ops;
	ops[home].send = home ? on_home_send : on_guest_send;
	return pager_new(&options, &ops[home], w, ret_pager);
}

static void tables_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->random = seed * 0x9e3779b97f4a7c15ull + 1;
	w->now = 1000000;
	for (unsigned int i = 0; i < PAGES; i++) {
		w->entries[i] = DIRECTORY_NEW;
		w->home_table[i] = PAGER_S;
	}
}

static void world_init(struct world *w, uint64_t seed)
{
	tables_init(w, seed);
	assert_int_equal(make_directory(w), 0);
	assert_int_equal(make_pager(w, true, &w->home), 0);
	assert_int_equal(make_pager(w, false, &w->guest), 0);
	pager_group_set(w->home, 0, true, w->now);
	pager_group_set(w->guest, 0, true, w->now);
	pager_link(w->guest, true, w->now);
}

static void world_deinit(struct world *w)
{
	pager_free(w->home);
	pager_free(w->guest);
	directory_free(w->directory);
}

/* Mostly well formed, mostly not what should be said now. */
static struct page_message any_message(struct world *w, bool to_home)
{
	static const uint8_t up[] = {
		PAGE_GETS, PAGE_GETX, PAGE_ACK, PAGE_BACK, PAGE_BACK, PAGE_PUT, PAGE_HOLDS};
	static const uint8_t down[] = {PAGE_DATA_S, PAGE_DATA_M, PAGE_GRANT_M, PAGE_INV,
		PAGE_FETCH_S, PAGE_FETCH_M, PAGE_KEPT, PAGE_HELD};
	struct page_message m = {.page = any(w, PAGES)};

	m.type = to_home ? up[any(w, sizeof(up))] : down[any(w, sizeof(down))];
	m.n = any(w, 3) ? 1 : (uint16_t)(1 + any(w, PAGES - (uint32_t)m.page));
	if (m.type == PAGE_DATA_S || m.type == PAGE_DATA_M || m.type == PAGE_BACK)
		m.flags = PAGE_CONTENT | (m.type == PAGE_BACK && any(w, 2) ? PAGE_GONE : 0);
	else if (m.type == PAGE_PUT)
		m.flags = any(w, 2) ? PAGE_CONTENT : 0;
	else if (m.type == PAGE_HOLDS)
		m.flags = (uint8_t)(PAGE_HOLDS_S << any(w, 5));
	if (any(w, 50) == 0)
		m.flags = (uint8_t)any(w, 256);
	if (any(w, 50) == 0)
		m.n = (uint16_t)any(w, 65536);
	if (any(w, 50) == 0)
		m.page = w->random;
	return m;
}

static void count(struct world *w, int r)
{
	assert_true(r == 0 || r == STATUS_BAD_REQUEST || r == -ENOMEM);
	if (r)
		w->n_bad++;
	else
		w->n_good++;
}

static void touch_home(struct world *w)
{
	uint64_t page = any(w, PAGES);
	unsigned int n;

	if (any(w, 3)) {
		pager_fault(w->home, 0, page, any(w, 2), w->now);
		return;
	}
	n = pager_claim(w->home, page, 1 + any(w, 5), any(w, 2), w->now);
	if (n > 0)
		pager_unclaim(w->home, page, n, w->now);
}

static void change_slot(struct world *w, unsigned int slot)
{
	if (!w->used[slot]) {
		assert_int_equal(directory_add(w->directory, slot, any(w, 4)), 0);
		w->used[slot] = true;
		directory_link(w->directory, slot, true, w->now);
	} else if (any(w, 4)) {
		directory_link(w->directory, slot, any(w, 4), w->now);
	} else {
		directory_remove(w->directory, slot, w->now);
		w->used[slot] = false;
	}
}

static void let_time_pass(struct world *w)
{
	w->now += any(w, 60000);
	if (pager_next(w->home) <= w->now)
		pager_tick(w->home, w->now);
	if (directory_next(w->directory) <= w->now)
		directory_tick(w->directory, w->now);
}

static void hostile_nodes_harm_nobody(void **state)
{
	size_t before = live;
	struct world w;

	world_init(&w, 1);
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int slot = 1 + any(&w, SLOTS);
		struct page_message m = any_message(&w, true);

		if (any(&w, 40) == 0)
			change_slot(&w, slot);
		else if (any(&w, 10) == 0)
			touch_home(&w);
		else
			count(&w, directory_receive(w.directory, slot, &m, w.now));
		let_time_pass(&w);
		directory_check(w.directory);
		/* Works of each slot, those that still wait for answers of former links (a page is
		 * in one), their items, spots. */
		assert_true(live - before < (2 + SLOTS) * PAGE_REQUESTS_MAX + 6 * PAGES + 64);
	}
	assert_true(w.n_good > STEPS / 20 && w.n_bad > STEPS / 20);
	/* Without them everything comes home. */
	for (unsigned int slot = 1; slot <= SLOTS; slot++)
		if (w.used[slot])
			directory_remove(w.directory, slot, w.now);
	w.n_claims = 0;
	directory_recall(w.directory, w.now);
	for (unsigned int i = 0; i < 10000; i++)
		let_time_pass(&w);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(directory_entry(w.directory, i).sharers, 1);
	world_deinit(&w);
	assert_int_equal(live, before);
}

static void touch_guest(struct world *w)
{
	uint64_t page = any(w, PAGES);

	switch (any(w, 8)) {
	case 0:
		pager_link(w->guest, any(w, 3), w->now);
		break;
	case 1:
		pager_freeze(w->guest, any(w, 2), w->now);
		break;
	case 2:
		pager_will_need(w->guest, page, any(w, PAGES), w->now);
		break;
	case 3:
		pager_group_set(w->guest, 1, any(w, 2), w->now);
		break;
	default:
		pager_fault(w->guest, 0, page, any(w, 2), w->now);
		break;
	}
}

static void renew_guest(struct world *w)
{
	pager_free(w->guest);
	assert_int_equal(make_pager(w, false, &w->guest), 0);
	pager_group_set(w->guest, 0, true, w->now);
	pager_link(w->guest, true, w->now);
}

static void a_hostile_home_harms_nobody(void **state)
{
	size_t before = live;
	struct world w;

	world_init(&w, 2);
	for (unsigned int i = 0; i < STEPS; i++) {
		struct page_message m = any_message(&w, false);
		int r = 0;

		if (any(&w, 4) == 0)
			touch_guest(&w);
		else
			r = pager_receive(w.guest, &m, w.now);
		count(&w, r);
		if (r == -ENOMEM || any(&w, 2000) == 0)
			renew_guest(&w);
		w.now += any(&w, 60000);
		if (pager_next(w.guest) <= w.now)
			pager_tick(w.guest, w.now);
		assert_true(live - before < (2 + SLOTS) * PAGE_REQUESTS_MAX + PAGES + 64);
	}
	assert_true(w.n_good > STEPS / 20 && w.n_bad > STEPS / 20);
	world_deinit(&w);
	assert_int_equal(live, before);
}

/* Memory */

#define FAILS_CLEANLY(call)                                                                        \
	do {                                                                                       \
		size_t before_ = live;                                                             \
		for (unsigned int i_ = 1;; i_++) {                                                 \
			int r_;                                                                    \
			fail_at = i_;                                                              \
			r_ = (call);                                                               \
			if (fail_at > 0) {                                                         \
				fail_at = 0;                                                       \
				assert_int_equal(r_, 0);                                           \
				assert_true(i_ > 1);                                               \
				break;                                                             \
			}                                                                          \
			assert_int_equal(r_, -ENOMEM);                                             \
			assert_int_equal(live, before_);                                           \
		}                                                                                  \
	} while (0)

static void whatever_is_made_can_fail(void **state)
{
	struct world w;

	tables_init(&w, 3);
	FAILS_CLEANLY(make_directory(&w));
	FAILS_CLEANLY(make_pager(&w, true, &w.home));
	FAILS_CLEANLY(make_pager(&w, false, &w.guest));
	FAILS_CLEANLY(directory_add(w.directory, 1, true));
	directory_check(w.directory);
	world_deinit(&w);
}

static void a_fault_without_memory_is_woken_later(void **state)
{
	struct world w;

	world_init(&w, 4);
	fail_at = 1;
	pager_fault(w.guest, 0, 7, true, w.now);
	assert_int_equal(fail_at, 0);
	assert_int_equal(w.n_woken, 0);
	w.now = pager_next(w.guest);
	assert_true(w.now != UINT64_MAX);
	pager_tick(w.guest, w.now);
	assert_int_equal(w.n_woken, 1);
	assert_true(pager_next(w.guest) == UINT64_MAX);
	world_deinit(&w);
}

static void a_claim_without_memory_can_be_tried_later(void **state)
{
	const struct page_message get = {.type = PAGE_GETX, .n = 1, .page = 7};
	const struct page_message end = {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_END, .n = 1};
	struct world w;

	world_init(&w, 5);
	assert_int_equal(directory_add(w.directory, 1, true), 0);
	w.used[1] = true;
	directory_link(w.directory, 1, true, w.now);
	assert_int_equal(directory_receive(w.directory, 1, &end, w.now), 0);
	assert_int_equal(directory_receive(w.directory, 1, &get, w.now), 0);
	assert_int_equal(directory_entry(w.directory, 7).owner, 1);
	fail_at = 1;
	assert_int_equal(pager_claim(w.home, 7, 1, false, w.now), 0);
	assert_int_equal(fail_at, 0);
	assert_int_equal(w.n_claims, 0);
	w.now = pager_next(w.home);
	pager_tick(w.home, w.now);
	assert_int_equal(w.n_claims, 1);
	world_deinit(&w);
}

static void without_memory_a_run_is_one_page(void **state)
{
	const struct page_message get = {.type = PAGE_GETX, .n = 16, .page = 2};
	const struct page_message end = {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_END, .n = 1};
	struct world w;

	world_init(&w, 6);
	assert_int_equal(directory_add(w.directory, 1, true), 0);
	w.used[1] = true;
	directory_link(w.directory, 1, true, w.now);
	assert_int_equal(directory_receive(w.directory, 1, &end, w.now), 0);
	fail_at = 1;
	assert_int_equal(directory_receive(w.directory, 1, &get, w.now), 0);
	assert_int_equal(fail_at, 0);
	assert_int_equal(directory_entry(w.directory, 2).owner, 1);
	assert_int_equal(directory_entry(w.directory, 3).owner, DIRECTORY_NOBODY);
	directory_check(w.directory);
	world_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_nodes_harm_nobody),
		cmocka_unit_test(a_hostile_home_harms_nobody),
		cmocka_unit_test(whatever_is_made_can_fail),
		cmocka_unit_test(a_fault_without_memory_is_woken_later),
		cmocka_unit_test(a_claim_without_memory_can_be_tried_later),
		cmocka_unit_test(without_memory_a_run_is_one_page),
	};

	return cmocka_run_group_tests_name("hostile pages", tests, NULL, NULL);
}
