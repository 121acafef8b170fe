/* SPDX-License-Identifier: Apache-2.0 */

/* Each thing that a pager is told, and what it does then. */

#include "core/test-page-log.h"

#include "core/pager.h"

#define PAGES 400u
#define HOLD  50000u
#define GROUP 5u

struct test {
	struct page_log log;
	uint8_t table[PAGES];
	Pager *pager;
	uint64_t now;
	int fill_result, aside_result;
	size_t room; /* on the link, in bytes of the log; 0: always */
};

static void on_send(void *userdata, const struct page_message *m, bool aside)
{
	struct test *t = userdata;

	assert_int_equal(m->map, 77);
	log_add(&t->log, "%s %llu+%u%s%s", page_type_name(m->type), (unsigned long long)m->page,
		m->n, page_flags_text(m), aside ? " aside" : "");
}

static int on_fill(void *userdata, uint64_t page, unsigned int n)
{
	struct test *t = userdata;

	log_add(&t->log, "fill %llu+%u", (unsigned long long)page, n);
	return t->fill_result;
}

#define ON_GROUPS(name)                                                                            \
	static void on_##name(void *userdata, uint64_t page, unsigned int n, uint64_t groups)      \
	{                                                                                          \
		log_add(&((struct test *)userdata)->log, #name " %llu+%u of %llx",                 \
			(unsigned long long)page, n, (unsigned long long)groups);                  \
	}
ON_GROUPS(allow)
ON_GROUPS(protect)
ON_GROUPS(wake)

static void on_drop(void *userdata, uint64_t page, unsigned int n)
{
	log_add(&((struct test *)userdata)->log, "drop %llu+%u", (unsigned long long)page, n);
}

static int on_set_aside(void *userdata, uint64_t page, unsigned int n)
{
	struct test *t = userdata;

	log_add(&t->log, "aside %llu+%u", (unsigned long long)page, n);
	return t->aside_result;
}

static void on_forget_aside(void *userdata, uint64_t page, unsigned int n)
{
	log_add(&((struct test *)userdata)->log, "forget %llu+%u", (unsigned long long)page, n);
}

static void on_claim_ready(void *userdata)
{
	log_add(&((struct test *)userdata)->log, "claim");
}

static void on_released(void *userdata)
{
	log_add(&((struct test *)userdata)->log, "released");
}

/* When so much has been said. */
static bool on_full(void *userdata)
{
	struct test *t = userdata;

	return t->room && t->log.n >= t->room;
}

static const struct pager_ops ops = {
	.send = on_send,
	.fill = on_fill,
	.allow = on_allow,
	.protect = on_protect,
	.wake = on_wake,
	.drop = on_drop,
	.set_aside = on_set_aside,
	.forget_aside = on_forget_aside,
	.claim_ready = on_claim_ready,
	.released = on_released,
	.full = on_full,
};

static void begin(struct test *t, bool home)
{
	const struct pager_options options = {
		.n_pages = PAGES, .home = home, .hold = HOLD, .table = t->table, .map = 77};

	t->now = 1000000;
	assert_int_equal(pager_new(&options, &ops, t, &t->pager), 0);
	pager_group_set(t->pager, GROUP, true, t->now);
}

/* A node's, linked, without a page. */
static void test_init(struct test *t)
{
	memset(t, 0, sizeof(*t));
	begin(t, false);
	pager_link(t->pager, true, t->now);
	assert_log(&t->log, "HOLDS 0+1 END");
}

static int tell(struct test *t, uint8_t type, uint64_t page, unsigned int n)
{
	const struct page_message m = page_said(type, page, n);

	return pager_receive(t->pager, &m, t->now);
}

static void fault(struct test *t, uint64_t page, bool write)
{
	pager_fault(t->pager, GROUP, page, write, t->now);
}

/* Here to be read, or to be written, and the hold time is over. */
static void have(struct test *t, uint64_t page, bool write)
{
	fault(t, page, write);
	assert_int_equal(tell(t, write ? PAGE_DATA_M : PAGE_DATA_S, page, 1), 0);
	log_clear(&t->log);
	t->now += HOLD;
}

static void a_read_fault_asks_and_the_answer_wakes(void **state)
{
	struct test t;

	test_init(&t);
	fault(&t, 3, false);
	assert_log(&t.log, "GETS 3+1");
	assert_int_equal(tell(&t, PAGE_DATA_S, 3, 1), 0);
	assert_log(&t.log, "fill 3+1; wake 3+1 of 20");
	assert_int_equal(t.table[3], PAGER_S);
	pager_free(t.pager);
}

static void a_write_fault_asks_and_the_answer_allows(void **state)
{
	struct test t;

	test_init(&t);
	fault(&t, 3, true);
	assert_log(&t.log, "GETX 3+1");
	assert_int_equal(tell(&t, PAGE_DATA_M, 3, 1), 0);
	assert_log(&t.log, "fill 3+1; allow 3+1 of 20");
	assert_int_equal(t.table[3], PAGER_M);
	pager_free(t.pager);
}

static void who_is_given_more_than_he_asked_for_may_write(void **state)
{
	struct test t;

	test_init(&t);
	fault(&t, 3, false);
	assert_log(&t.log, "GETS 3+1");
	assert_int_equal(tell(&t, PAGE_DATA_M, 3, 1), 0);
	assert_log(&t.log, "fill 3+1; allow 3+1 of 20");
	assert_int_equal(t.table[3], PAGER_M);
	pager_free(t.pager);
}

static void what_is_shared_becomes_writable_without_content(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, false);
	fault(&t, 3, true);
	assert_log(&t.log, "GETX 3+1");
	assert_int_equal(tell(&t, PAGE_GRANT_M, 3, 1), 0);
	assert_log(&t.log, "allow 3+1 of 20");
	pager_free(t.pager);
}

static void what_is_here_is_answered_here(void **state)
{
	struct pager_counts counts;
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	fault(&t, 3, true);
	fault(&t, 3, false);
	have(&t, 7, false);
	fault(&t, 7, false);
	assert_log(&t.log, "wake 7+1 of 20");
	pager_counts(t.pager, &counts);
	assert_int_equal(counts.local_faults, 3);
	assert_int_equal(counts.write_faults, 1);
	assert_int_equal(counts.read_faults, 1);
	pager_free(t.pager);
}

static void several_waiters_ask_once(void **state)
{
	struct test t;

	test_init(&t);
	pager_group_set(t.pager, 0, true, t.now);
	fault(&t, 3, false);
	fault(&t, 3, false);
	pager_fault(t.pager, 0, 3, true, t.now);
	assert_log(&t.log, "GETS 3+1");
	assert_int_equal(tell(&t, PAGE_DATA_S, 3, 1), 0);
	assert_log(&t.log, "fill 3+1; wake 3+1 of 20; GETX 3+1");
	assert_int_equal(tell(&t, PAGE_GRANT_M, 3, 1), 0);
	assert_log(&t.log, "allow 3+1 of 1");
	pager_free(t.pager);
}

static void faults_that_follow_each_other_ask_for_more(void **state)
{
	struct test t;

	test_init(&t);
	fault(&t, 3, false);
	tell(&t, PAGE_DATA_S, 3, 1);
	fault(&t, 4, false);
	tell(&t, PAGE_DATA_S, 4, 2);
	fault(&t, 6, false);
	assert_log(&t.log, "GETS 3+1; fill 3+1; wake 3+1 of 20; GETS 4+2; fill 4+2; "
			   "wake 4+1 of 20; GETS 6+4");
	/* Who waits for a page that does not come along asks for it. */
	fault(&t, 8, false);
	assert_log(&t.log, "");
	tell(&t, PAGE_DATA_S, 6, 2);
	assert_log(&t.log, "fill 6+2; wake 6+1 of 20; GETS 8+4");
	pager_free(t.pager);
}

/* While the program goes through the first of them, the others come. */
static void who_reads_on_and_on_is_given_several_runs_at_a_time(void **state)
{
	struct test t;
	uint64_t page = 0;

	test_init(&t);
	for (unsigned int run = 1; run <= 128; page += run, run *= 2) {
		fault(&t, page, false);
		tell(&t, PAGE_DATA_S, page, run);
	}
	log_clear(&t.log);
	fault(&t, page, false);
	assert_log(&t.log, "GETS 255+128; GETS 383+17");
	assert_int_equal(tell(&t, PAGE_DATA_S, page, 128), 0);
	assert_int_equal(tell(&t, PAGE_DATA_S, 383, 17), 0);
	assert_log(&t.log, "fill 255+128; wake 255+1 of 20; fill 383+17");
	pager_free(t.pager);
}

static void a_run_ends_at_what_is_here(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 5, true);
	pager_advise(t.pager, 0, PAGES, PAGER_SEQUENTIAL);
	fault(&t, 2, false);
	assert_log(&t.log, "GETS 2+3; GETS 130+128; GETS 258+128; GETS 386+14");
	fault(&t, 6, true);
	assert_log(&t.log, "GETX 6+64; GETX 70+60");
	assert_int_equal(tell(&t, PAGE_DATA_M, 6, 10), 0);
	assert_log(&t.log, "fill 6+10; allow 6+10 of 20");
	pager_free(t.pager);
}

static void random_advice_asks_for_one_page(void **state)
{
	struct test t;

	test_init(&t);
	pager_advise(t.pager, 0, PAGES, PAGER_SEQUENTIAL);
	pager_advise(t.pager, 10, 10, PAGER_RANDOM);
	fault(&t, 9, false);
	assert_log(&t.log, "GETS 9+128; GETS 137+128; GETS 265+128; GETS 393+7");
	pager_free(t.pager);
	test_init(&t);
	pager_advise(t.pager, 10, 10, PAGER_RANDOM);
	for (uint64_t page = 10; page < 13; page++) {
		fault(&t, page, false);
		tell(&t, PAGE_DATA_S, page, 1);
	}
	assert_log(&t.log, "GETS 10+1; fill 10+1; wake 10+1 of 20; GETS 11+1; fill 11+1; "
			   "wake 11+1 of 20; GETS 12+1; fill 12+1; wake 12+1 of 20");
	pager_free(t.pager);
}

static void what_will_be_needed_is_asked_for(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 10, false);
	pager_will_need(t.pager, 8, 200, t.now);
	assert_log(&t.log, "GETS 8+2; GETS 11+128; GETS 139+69");
	assert_int_equal(tell(&t, PAGE_DATA_S, 8, 2), 0);
	assert_log(&t.log, "fill 8+2");
	pager_free(t.pager);
}

static void a_copy_is_dropped_before_it_is_acknowledged(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, false);
	assert_int_equal(tell(&t, PAGE_INV, 3, 1), 0);
	assert_log(&t.log, "drop 3+1; ACK 3+1");
	assert_int_equal(t.table[3], PAGER_I);
	/* Given up meanwhile: the answer is the same. */
	assert_int_equal(tell(&t, PAGE_INV, 3, 1), 0);
	assert_log(&t.log, "ACK 3+1");
	pager_free(t.pager);
}

static void whoever_waited_gets_on_before_the_page_goes(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, false);
	fault(&t, 4, true);
	tell(&t, PAGE_DATA_M, 4, 1);
	t.now += HOLD / 2;
	log_clear(&t.log);
	assert_int_equal(tell(&t, PAGE_FETCH_M, 4, 1), 0);
	assert_log(&t.log, "");
	assert_true(pager_next(t.pager) == t.now + HOLD / 2);
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "");
	t.now += HOLD / 2;
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "protect 4+1 of 20; aside 4+1; drop 4+1; BACK 4+1 content gone aside");
	assert_true(pager_next(t.pager) == UINT64_MAX);
	pager_free(t.pager);
}

static void what_was_written_stays_readable_when_it_is_to_be_shared(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	assert_int_equal(tell(&t, PAGE_FETCH_S, 3, 1), 0);
	assert_log(&t.log, "protect 3+1 of 20; BACK 3+1 content");
	assert_int_equal(t.table[3], PAGER_D);
	fault(&t, 3, false);
	assert_log(&t.log, "wake 3+1 of 20");
	assert_int_equal(tell(&t, PAGE_KEPT, 3, 1), 0);
	assert_int_equal(t.table[3], PAGER_S);
	pager_free(t.pager);
}

/* Else nobody could tell, after the link broke, whose content is the newer one. */
static void nothing_is_asked_of_a_page_before_its_content_is_confirmed(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	have(&t, 4, true);
	tell(&t, PAGE_FETCH_M, 3, 1);
	tell(&t, PAGE_FETCH_S, 4, 1);
	log_clear(&t.log);
	fault(&t, 3, false);
	fault(&t, 4, true);
	assert_log(&t.log, "");
	pager_link(t.pager, false, t.now);
	pager_link(t.pager, true, t.now);
	assert_log(&t.log, "HOLDS 3+1 L; HOLDS 4+1 D; HOLDS 0+1 END");
	assert_int_equal(tell(&t, PAGE_KEPT, 3, 2), 0);
	assert_log(&t.log, "forget 3+1; GETS 3+1; GETX 4+1");
	pager_free(t.pager);
}

static void content_goes_up_once_on_a_link(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	tell(&t, PAGE_FETCH_M, 3, 1);
	log_clear(&t.log);
	assert_int_equal(tell(&t, PAGE_FETCH_M, 3, 1), 0);
	assert_log(&t.log, "");
	pager_link(t.pager, false, t.now);
	pager_link(t.pager, true, t.now);
	assert_log(&t.log, "HOLDS 3+1 L; HOLDS 0+1 END");
	assert_int_equal(tell(&t, PAGE_FETCH_S, 3, 1), 0);
	assert_log(&t.log, "BACK 3+1 content gone aside");
	pager_free(t.pager);
}

/* Held until the page is back it would take it away from whoever has got it anew. */
static void a_fetch_that_has_crossed_a_put_is_over(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 2, true);
	fault(&t, 3, true);
	tell(&t, PAGE_DATA_M, 3, 1);
	pager_group_set(t.pager, GROUP, false, t.now);
	log_clear(&t.log);
	pager_group_set(t.pager, GROUP, true, t.now);
	assert_int_equal(tell(&t, PAGE_FETCH_M, 3, 1), 0);
	assert_int_equal(tell(&t, PAGE_KEPT, 2, 2), 0);
	fault(&t, 3, true);
	tell(&t, PAGE_DATA_M, 3, 1);
	assert_log(&t.log, "forget 2+2; GETX 3+1; fill 3+1; allow 3+1 of 20");
	pager_tick(t.pager, t.now + 2 * HOLD);
	assert_log(&t.log, "");
	assert_int_equal(t.table[3], PAGER_M);
	pager_free(t.pager);
}

static void a_new_link_hears_what_is_here_and_what_is_wanted(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, false);
	have(&t, 4, false);
	have(&t, 6, true);
	fault(&t, 8, false);
	fault(&t, 4, true);
	tell(&t, PAGE_INV, 3, 1);
	log_clear(&t.log);
	pager_link(t.pager, false, t.now);
	fault(&t, 9, false);
	assert_log(&t.log, "");
	pager_link(t.pager, true, t.now);
	assert_log(&t.log, "HOLDS 4+1 S; HOLDS 6+1 M; HOLDS 0+1 END; GETS 8+1; GETX 4+1; GETS 9+2");
	pager_free(t.pager);
}

static void what_is_here_is_said_by_and_by_and_everything_else_behind_it(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	have(&t, 5, false);
	have(&t, 7, true);
	pager_link(t.pager, false, t.now);
	t.room = 8;
	pager_link(t.pager, true, t.now);
	fault(&t, 9, false);
	pager_release(t.pager, t.now);
	assert_log(&t.log, "HOLDS 3+1 M");
	/* what the home knows it may ask for */
	assert_int_equal(tell(&t, PAGE_FETCH_S, 3, 1), 0);
	assert_log(&t.log, "protect 3+1 of 20; BACK 3+1 content");
	t.now = pager_next(t.pager);
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "HOLDS 5+1 S");
	assert_int_equal(tell(&t, PAGE_HELD, 0, 1), STATUS_BAD_REQUEST);
	t.room = 0;
	t.now = pager_next(t.pager);
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "HOLDS 7+1 M; HOLDS 0+1 END; drop 5+1; PUT 5+1; "
			   "protect 7+1 of 20; aside 7+1; drop 7+1; PUT 7+1 content aside");
	pager_free(t.pager);
}

static void a_doubtful_lease_protects_and_lets_faults_wait(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	have(&t, 5, false);
	pager_freeze(t.pager, true, t.now);
	assert_log(&t.log, "protect 3+1 of 20");
	fault(&t, 3, true);
	fault(&t, 5, false);
	fault(&t, 6, false);
	assert_log(&t.log, "GETS 6+2");
	tell(&t, PAGE_DATA_S, 6, 1);
	assert_log(&t.log, "fill 6+1");
	pager_freeze(t.pager, false, t.now);
	assert_log(&t.log, "allow 3+1 of 20; wake 5+1 of 20; wake 6+1 of 20");
	pager_free(t.pager);
}

static void a_release_gives_everything_back(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	have(&t, 5, false);
	fault(&t, 8, false);
	assert_int_equal(tell(&t, PAGE_HELD, 0, 1), 0);
	log_clear(&t.log);
	pager_release(t.pager, t.now);
	assert_log(&t.log, "protect 3+1 of 20; aside 3+1; drop 3+1; PUT 3+1 content aside; "
			   "drop 5+1; PUT 5+1");
	assert_int_equal(tell(&t, PAGE_KEPT, 3, 1), 0);
	assert_log(&t.log, "forget 3+1");
	fault(&t, 3, false);
	assert_int_equal(tell(&t, PAGE_DATA_S, 8, 1), 0);
	assert_log(&t.log, "fill 8+1; drop 8+1; PUT 8+1; released");
	pager_free(t.pager);
}

/* A grant may have been lost: only the home's answer to HOLDS says that it knows. */
static void a_release_ends_when_the_home_knows_what_was_here(void **state)
{
	struct test t;

	test_init(&t);
	fault(&t, 3, true);
	pager_link(t.pager, false, t.now);
	pager_release(t.pager, t.now);
	assert_log(&t.log, "GETX 3+1");
	pager_link(t.pager, true, t.now);
	assert_log(&t.log, "HOLDS 0+1 END");
	assert_int_equal(tell(&t, PAGE_HELD, 0, 1), 0);
	assert_log(&t.log, "released");
	pager_free(t.pager);
}

static void without_memory_what_was_written_stays_and_is_given_later(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	t.aside_result = -ENOSPC;
	assert_int_equal(tell(&t, PAGE_FETCH_M, 3, 1), 0);
	assert_log(&t.log, "protect 3+1 of 20; aside 3+1");
	assert_int_equal(t.table[3], PAGER_M);
	t.aside_result = 0;
	t.now = pager_next(t.pager);
	assert_true(t.now != UINT64_MAX);
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "protect 3+1 of 20; aside 3+1; drop 3+1; BACK 3+1 content gone aside");
	pager_free(t.pager);
}

static void without_memory_to_show_a_page_who_waits_there_tries_again_later(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	pager_starved(t.pager, 3, t.now);
	assert_log(&t.log, "");
	assert_true(pager_next(t.pager) > t.now + 100000);
	t.now = pager_next(t.pager);
	pager_tick(t.pager, t.now);
	assert_log(&t.log, "wake 3+1 of 20");
	assert_true(pager_next(t.pager) == UINT64_MAX);
	pager_lose(t.pager);
	pager_starved(t.pager, 3, t.now);
	assert_true(pager_next(t.pager) == UINT64_MAX);
	pager_free(t.pager);
}

static void content_that_cannot_be_filled_in_is_the_end(void **state)
{
	struct test t;

	test_init(&t);
	have(&t, 3, true);
	fault(&t, 4, false);
	t.fill_result = -ENOMEM;
	assert_int_equal(tell(&t, PAGE_DATA_S, 4, 1), -ENOMEM);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(t.table[i], PAGER_I);
	log_clear(&t.log);
	fault(&t, 3, true);
	assert_int_equal(tell(&t, PAGE_INV, 3, 1), 0);
	assert_true(pager_next(t.pager) == UINT64_MAX);
	assert_log(&t.log, "");
	pager_free(t.pager);
}

static void a_successor_goes_on_with_the_table(void **state)
{
	struct test t = {.table = {[2] = PAGER_S, [3] = PAGER_S, [5] = PAGER_M, [7] = PAGER_L}};

	begin(&t, false);
	fault(&t, 5, true);
	assert_log(&t.log, "allow 5+1 of 20");
	pager_link(t.pager, true, t.now);
	assert_log(&t.log, "HOLDS 2+2 S; HOLDS 5+1 M; HOLDS 7+1 L; HOLDS 0+1 END");
	assert_int_equal(tell(&t, PAGE_FETCH_M, 7, 1), 0);
	assert_log(&t.log, "BACK 7+1 content gone aside");
	pager_free(t.pager);
}

static void a_home_that_makes_no_sense_is_not_believed(void **state)
{
	static const struct page_message cases[] = {
		{.type = PAGE_DATA_S, .flags = PAGE_CONTENT, .n = 1, .page = 9}, /* unasked */
		{.type = PAGE_DATA_S, .flags = PAGE_CONTENT, .n = 3, .page = 1}, /* too many */
		{.type = PAGE_DATA_S, .flags = 0, .n = 1, .page = 1},
		{.type = PAGE_GRANT_M, .n = 1, .page = 1},
		{.type = PAGE_GRANT_M, .n = 1, .page = 2}, /* not shared */
		{.type = PAGE_DATA_S, .flags = PAGE_CONTENT, .n = 1, .page = 2},
		{.type = PAGE_INV, .n = 1, .page = 4},	    /* is ours */
		{.type = PAGE_FETCH_S, .n = 1, .page = 3},  /* is not */
		{.type = PAGE_FETCH_M, .n = 2, .page = 3},  /* only the second is */
		{.type = PAGE_FETCH_M, .n = 1, .page = 10}, /* is not here */
		{.type = PAGE_KEPT, .n = 1, .page = 4},
		{.type = PAGE_KEPT, .n = 1, .page = 3},
		{.type = PAGE_GETS, .n = 1, .page = 3},
		{.type = PAGE_INV, .n = 2, .page = PAGES - 1},
		{.type = PAGE_INV, .n = 1, .page = UINT64_MAX},
		{.type = PAGE_INV, .n = 129, .page = 0},
		{.type = PAGE_INV, .n = 0, .page = 0},
		{.type = 99, .n = 1, .page = 0},
	};
	struct test t;

	test_init(&t);
	have(&t, 3, false);
	have(&t, 4, true);
	fault(&t, 1, false);
	fault(&t, 2, true);
	log_clear(&t.log);
	for (size_t i = 0; i < ELEMENTS(cases); i++)
		assert_int_equal(pager_receive(t.pager, &cases[i], t.now), STATUS_BAD_REQUEST);
	assert_log(&t.log, "");
	assert_int_equal(t.table[3], PAGER_S);
	assert_int_equal(t.table[4], PAGER_M);
	pager_free(t.pager);
}

/* The home's */

static void home_init(struct test *t)
{
	memset(t, 0, sizeof(*t));
	memset(t->table, PAGER_S, PAGES);
	begin(t, true);
}

static void what_is_claimed_does_not_go(void **state)
{
	struct test t;

	home_init(&t);
	assert_int_equal(pager_claim(t.pager, 3, 4, false, t.now), 4);
	assert_int_equal(tell(&t, PAGE_FETCH_M, 6, 1), 0);
	assert_log(&t.log, "");
	/* What waits for a claim goes before the next one. */
	assert_int_equal(pager_claim(t.pager, 6, 1, false, t.now), 0);
	pager_unclaim(t.pager, 3, 4, t.now);
	assert_log(&t.log, "aside 6+1; drop 6+1; BACK 6+1 content gone aside; claim");
	assert_int_equal(tell(&t, PAGE_KEPT, 6, 1), 0);
	assert_int_equal(t.table[6], PAGER_I);
	assert_log(&t.log, "");
	pager_free(t.pager);
}

static void a_claim_asks_for_what_is_not_here(void **state)
{
	struct test t;

	home_init(&t);
	assert_int_equal(pager_claim(t.pager, 3, 4, true, t.now), 0);
	assert_log(&t.log, "GETX 3+4");
	assert_int_equal(tell(&t, PAGE_GRANT_M, 3, 2), 0);
	assert_log(&t.log, "claim");
	assert_int_equal(pager_claim(t.pager, 3, 4, true, t.now), 2);
	assert_int_equal(pager_claim(t.pager, 5, 2, true, t.now), 0);
	assert_log(&t.log, "GETX 5+2");
	pager_unclaim(t.pager, 3, 2, t.now);
	pager_free(t.pager);
}

static void what_comes_home_by_the_way_wakes_but_answers_nothing(void **state)
{
	struct page_message m = page_said(PAGE_DATA_S, 3, 1);
	struct test t;

	home_init(&t);
	tell(&t, PAGE_FETCH_M, 3, 1);
	tell(&t, PAGE_KEPT, 3, 1);
	fault(&t, 3, false);
	log_clear(&t.log);
	m.flags = 0;
	assert_int_equal(pager_receive(t.pager, &m, t.now), 0);
	assert_log(&t.log, "wake 3+1 of 20");
	assert_int_equal(tell(&t, PAGE_DATA_S, 3, 1), 0);
	assert_log(&t.log, "");
	pager_free(t.pager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_fault_asks_and_the_answer_wakes),
		cmocka_unit_test(a_write_fault_asks_and_the_answer_allows),
		cmocka_unit_test(who_is_given_more_than_he_asked_for_may_write),
		cmocka_unit_test(what_is_shared_becomes_writable_without_content),
		cmocka_unit_test(what_is_here_is_answered_here),
		cmocka_unit_test(several_waiters_ask_once),
		cmocka_unit_test(faults_that_follow_each_other_ask_for_more),
		cmocka_unit_test(who_reads_on_and_on_is_given_several_runs_at_a_time),
		cmocka_unit_test(a_run_ends_at_what_is_here),
		cmocka_unit_test(random_advice_asks_for_one_page),
		cmocka_unit_test(what_will_be_needed_is_asked_for),
		cmocka_unit_test(a_copy_is_dropped_before_it_is_acknowledged),
		cmocka_unit_test(whoever_waited_gets_on_before_the_page_goes),
		cmocka_unit_test(what_was_written_stays_readable_when_it_is_to_be_shared),
		cmocka_unit_test(nothing_is_asked_of_a_page_before_its_content_is_confirmed),
		cmocka_unit_test(content_goes_up_once_on_a_link),
		cmocka_unit_test(a_fetch_that_has_crossed_a_put_is_over),
		cmocka_unit_test(a_new_link_hears_what_is_here_and_what_is_wanted),
		cmocka_unit_test(what_is_here_is_said_by_and_by_and_everything_else_behind_it),
		cmocka_unit_test(a_doubtful_lease_protects_and_lets_faults_wait),
		cmocka_unit_test(a_release_gives_everything_back),
		cmocka_unit_test(a_release_ends_when_the_home_knows_what_was_here),
		cmocka_unit_test(without_memory_what_was_written_stays_and_is_given_later),
		cmocka_unit_test(without_memory_to_show_a_page_who_waits_there_tries_again_later),
		cmocka_unit_test(content_that_cannot_be_filled_in_is_the_end),
		cmocka_unit_test(a_successor_goes_on_with_the_table),
		cmocka_unit_test(a_home_that_makes_no_sense_is_not_believed),
		cmocka_unit_test(what_is_claimed_does_not_go),
		cmocka_unit_test(a_claim_asks_for_what_is_not_here),
		cmocka_unit_test(what_comes_home_by_the_way_wakes_but_answers_nothing),
	};

	return cmocka_run_group_tests_name("pager", tests, NULL, NULL);
}
