/* SPDX-License-Identifier: Apache-2.0 */

/* Each thing that a directory is told, and what it does then. The home's pager is the test. */

#include "core/test-page-log.h"

#include "core/directory.h"
#include "core/pager.h"

#define PAGES	 300u
#define PATIENCE 1000000u
#define PAUSE	 (10u << 20)

struct test {
	struct page_log log;
	uint64_t table[PAGES];
	Directory *directory;
	uint64_t now;
	int keep_memory, keep_shadow, recover_result;
	unsigned int full; /* this slot; 0: none */
};

static const char *source_text(enum page_source source)
{
	return source == PAGE_MEMORY ? " memory" : source == PAGE_SHADOW ? " shadow" : "";
}

static void on_send(
	void *userdata, unsigned int slot, const struct page_message *m, enum page_source source)
{
	log_add(&((struct test *)userdata)->log, "to %u %s %llu+%u%s", slot,
		page_type_name(m->type), (unsigned long long)m->page, m->n, source_text(source));
}

static int on_keep(void *userdata, uint64_t page, unsigned int n, enum page_source where)
{
	struct test *t = userdata;

	log_add(&t->log, "keep %llu+%u%s", (unsigned long long)page, n, source_text(where));
	return where == PAGE_MEMORY ? t->keep_memory : t->keep_shadow;
}

static int on_recover(void *userdata, uint64_t page, unsigned int n)
{
	struct test *t = userdata;

	log_add(&t->log, "recover %llu+%u", (unsigned long long)page, n);
	return t->recover_result;
}

static void on_forget(void *userdata, uint64_t page, unsigned int n)
{
	log_add(&((struct test *)userdata)->log, "forget %llu+%u", (unsigned long long)page, n);
}

static void on_discarded(void *userdata, unsigned int slot, uint64_t n_pages)
{
	log_add(&((struct test *)userdata)->log, "discarded %llu of %u",
		(unsigned long long)n_pages, slot);
}

static void on_give_up(void *userdata, unsigned int slot, const char *reason)
{
	assert_non_null(reason);
	log_add(&((struct test *)userdata)->log, "give up %u", slot);
}

static void on_recalled(void *userdata)
{
	log_add(&((struct test *)userdata)->log, "recalled");
}

static bool on_full(void *userdata, unsigned int slot)
{
	return slot == ((struct test *)userdata)->full;
}

static const struct directory_ops ops = {
	.send = on_send,
	.keep = on_keep,
	.recover = on_recover,
	.forget = on_forget,
	.discarded = on_discarded,
	.give_up = on_give_up,
	.recalled = on_recalled,
	.full = on_full,
};

static int say(struct test *t, unsigned int slot, uint8_t type, uint8_t flags, uint64_t page,
	unsigned int n)
{
	const struct page_message m = {
		.type = type, .flags = flags, .n = (uint16_t)n, .page = page};
	int r = directory_receive(t->directory, slot, &m, t->now);

	directory_check(t->directory);
	return r;
}

static void must_say(struct test *t, unsigned int slot, uint8_t type, uint8_t flags, uint64_t page,
	unsigned int n)
{
	assert_int_equal(say(t, slot, type, flags, page, n), 0);
}

static void link_up(struct test *t, unsigned int slot)
{
	directory_link(t->directory, slot, true, t->now);
	must_say(t, slot, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
}

static void begin(struct test *t)
{
	const struct directory_options options = {
		.n_pages = PAGES, .table = t->table, .patience = PATIENCE, .write_pause = PAUSE};

	t->now = 1ull << 40;
	assert_int_equal(directory_new(&options, &ops, t, &t->directory), 0);
}

/* With the slots 1 … 3 linked. */
static void test_init(struct test *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned int i = 0; i < PAGES; i++)
		t->table[i] = DIRECTORY_NEW;
	begin(t);
	for (unsigned int slot = 1; slot <= 3; slot++) {
		assert_int_equal(directory_add(t->directory, slot, true), 0);
		link_up(t, slot);
	}
	log_clear(&t->log);
}

static void must_be(const struct test *t, uint64_t page, uint64_t sharers, unsigned int owner)
{
	struct directory_entry e = directory_entry(t->directory, page);

	assert_int_equal(e.sharers, sharers);
	assert_int_equal(e.owner, owner);
}

static void shares(struct test *t, unsigned int slot, uint64_t page)
{
	must_say(t, slot, PAGE_GETS, 0, page, 1);
	log_clear(&t->log);
}

static void owns(struct test *t, unsigned int slot, uint64_t page)
{
	must_say(t, slot, PAGE_GETX, 0, page, 1);
	must_say(t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, page, 1);
	must_be(t, page, 1ull << slot, slot);
	log_clear(&t->log);
}

static void what_the_home_has_is_given_to_read(void **state)
{
	struct test t;

	test_init(&t);
	must_say(&t, 1, PAGE_GETS, 0, 7, 3);
	assert_log(&t.log, "to 1 DATA_S 7+3 memory");
	must_be(&t, 9, 0x3, DIRECTORY_NOBODY);
	must_say(&t, 2, PAGE_GETS, 0, 9, 1);
	assert_log(&t.log, "to 2 DATA_S 9+1 memory");
	must_be(&t, 9, 0x7, DIRECTORY_NOBODY);
	directory_free(t.directory);
}

static void the_home_gives_its_copy_away_to_who_writes(void **state)
{
	struct test t;

	test_init(&t);
	must_say(&t, 1, PAGE_GETX, 0, 7, 3);
	assert_log(&t.log, "to 0 FETCH_M 7+3");
	must_be(&t, 7, 1, DIRECTORY_NOBODY);
	must_say(&t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 3);
	assert_log(&t.log, "to 0 KEPT 7+3; to 1 DATA_M 7+3 shadow");
	must_be(&t, 9, 2, 1);
	directory_free(t.directory);
}

static void who_writes_waits_for_everybody_who_reads(void **state)
{
	struct test t;

	test_init(&t);
	shares(&t, 1, 7);
	shares(&t, 2, 7);
	shares(&t, 3, 7);
	must_say(&t, 1, PAGE_GETX, 0, 7, 1);
	assert_log(&t.log, "to 0 FETCH_M 7+1; to 2 INV 7+1; to 3 INV 7+1");
	must_say(&t, 2, PAGE_ACK, 0, 7, 1);
	must_say(&t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "to 0 KEPT 7+1");
	must_be(&t, 7, 0xa, DIRECTORY_SHADOW);
	must_say(&t, 3, PAGE_ACK, 0, 7, 1);
	assert_log(&t.log, "to 1 GRANT_M 7+1");
	must_be(&t, 7, 2, 1);
	directory_free(t.directory);
}

static void what_another_has_written_comes_home_to_be_read(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	assert_log(&t.log, "to 1 FETCH_S 7+1");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 1 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1; "
			   "to 2 DATA_S 7+1 memory");
	must_be(&t, 7, 0x7, DIRECTORY_NOBODY);
	directory_free(t.directory);
}

static void what_another_has_written_goes_through_the_shadow_to_who_writes(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETX, 0, 7, 1);
	assert_log(&t.log, "to 1 FETCH_M 7+1");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 shadow; to 1 KEPT 7+1; to 2 DATA_M 7+1 shadow");
	must_be(&t, 7, 4, 2);
	directory_free(t.directory);
}

static void the_home_asks_as_the_others_do(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 0, PAGE_GETX, 0, 7, 1);
	assert_log(&t.log, "to 1 FETCH_M 7+1");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 1 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1; "
			   "to 0 GRANT_M 7+1");
	must_be(&t, 7, 1, DIRECTORY_HOME);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	assert_log(&t.log, "to 0 FETCH_S 7+1");
	must_say(&t, 0, PAGE_BACK, PAGE_CONTENT, 7, 1);
	assert_log(&t.log, "to 0 KEPT 7+1; to 2 DATA_S 7+1 memory");
	directory_free(t.directory);
}

static void requests_wait_for_each_other_in_order(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETX, 0, 7, 1);
	must_say(&t, 3, PAGE_GETX, 0, 7, 1);
	must_say(&t, 0, PAGE_GETS, 0, 7, 1);
	assert_log(&t.log, "to 1 FETCH_M 7+1");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 shadow; to 1 KEPT 7+1; to 2 DATA_M 7+1 shadow; "
			   "to 2 FETCH_M 7+1");
	must_say(&t, 2, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 shadow; to 2 KEPT 7+1; to 3 DATA_M 7+1 shadow; "
			   "to 3 FETCH_S 7+1");
	must_say(&t, 3, PAGE_BACK, PAGE_CONTENT, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 3 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1; "
			   "to 0 DATA_S 7+1 memory");
	directory_free(t.directory);
}

static void a_run_takes_pages_that_are_alike(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 4);
	must_say(&t, 2, PAGE_GETS, 0, 0, 100);
	assert_log(&t.log, "to 2 DATA_S 0+4 memory");
	shares(&t, 3, 12);
	must_say(&t, 2, PAGE_GETX, 0, 10, 100);
	assert_log(&t.log, "to 0 FETCH_M 10+2");
	/* What is busy is not taken either. */
	must_say(&t, 3, PAGE_GETS, 0, 5, 50);
	assert_log(&t.log, "to 3 DATA_S 5+5 memory");
	directory_free(t.directory);
}

static void a_run_to_write_leaves_what_another_has_just_had(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 12);
	must_say(&t, 1, PAGE_PUT, PAGE_CONTENT, 12, 1);
	log_clear(&t.log);
	must_say(&t, 2, PAGE_GETX, 0, 10, 64);
	assert_log(&t.log, "to 0 FETCH_M 10+2");
	must_say(&t, 1, PAGE_GETX, 0, 12, 64);
	assert_log(&t.log, "to 0 FETCH_M 12+64");
	t.now += 2 * PAUSE;
	owns(&t, 3, 100);
	must_say(&t, 3, PAGE_PUT, PAGE_CONTENT, 100, 1);
	t.now += 2 * PAUSE;
	log_clear(&t.log);
	must_say(&t, 2, PAGE_GETX, 0, 98, 10);
	assert_log(&t.log, "to 0 FETCH_M 98+10");
	directory_free(t.directory);
}

/* What the node does that has the page, when another one wants it. */
static void give_back(struct test *t, unsigned int slot, uint64_t page)
{
	bool shares = strstr(t->log.text, "FETCH_S");

	must_say(t, slot, PAGE_BACK, shares ? PAGE_CONTENT : PAGE_CONTENT | PAGE_GONE, page, 1);
}

/* Reads it, and writes it if it has not been given to be written. Returns whether it had to ask for
 * that. */
static bool read_and_write(struct test *t, unsigned int slot, unsigned int owner, uint64_t page)
{
	log_clear(&t->log);
	must_say(t, slot, PAGE_GETS, 0, page, 1);
	give_back(t, owner, page);
	if (directory_entry(t->directory, page).owner == slot)
		return false;
	must_say(t, slot, PAGE_GETX, 0, page, 1);
	must_say(t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, page, 1);
	must_say(t, owner, PAGE_ACK, 0, page, 1);
	assert_int_equal(directory_entry(t->directory, page).owner, slot);
	return true;
}

static void a_page_that_readers_write_is_given_to_be_written(void **state)
{
	unsigned int n = 0;
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	for (unsigned int i = 0; i < 100; i++)
		n += read_and_write(&t, 1 + (i + 1) % 2, 1 + i % 2, 7);
	assert_in_range(n, 3, 12);
	/* Until somebody only reads: after a while he has it like others. */
	for (unsigned int i = 0; i < 20 && directory_entry(t.directory, 7).owner < 3; i++) {
		unsigned int owner = directory_entry(t.directory, 7).owner;

		log_clear(&t.log);
		must_say(&t, 3 - owner, PAGE_GETS, 0, 7, 1);
		give_back(&t, owner, 7);
	}
	must_be(&t, 7, 0x7, DIRECTORY_NOBODY);
	shares(&t, 3, 7);
	must_be(&t, 7, 0xf, DIRECTORY_NOBODY);
	directory_free(t.directory);
}

static void what_is_given_up_comes_home(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	shares(&t, 1, 8);
	must_say(&t, 1, PAGE_PUT, PAGE_CONTENT, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 1 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1");
	must_be(&t, 7, 1, DIRECTORY_NOBODY);
	must_say(&t, 1, PAGE_PUT, 0, 8, 1);
	assert_log(&t.log, "");
	must_be(&t, 8, 1, DIRECTORY_NOBODY);
	directory_free(t.directory);
}

static void what_is_given_up_while_it_is_asked_for_answers(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	shares(&t, 2, 8);
	must_say(&t, 3, PAGE_GETX, 0, 7, 1);
	must_say(&t, 1, PAGE_PUT, PAGE_CONTENT, 7, 1);
	assert_log(
		&t.log, "to 1 FETCH_M 7+1; keep 7+1 shadow; to 1 KEPT 7+1; to 3 DATA_M 7+1 shadow");
	/* A copy that is given up does not: the answer to INV comes, too. */
	must_say(&t, 3, PAGE_GETX, 0, 8, 1);
	must_say(&t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 8, 1);
	log_clear(&t.log);
	must_say(&t, 2, PAGE_PUT, 0, 8, 1);
	assert_log(&t.log, "");
	must_say(&t, 2, PAGE_ACK, 0, 8, 1);
	assert_log(&t.log, "to 3 DATA_M 8+1 shadow");
	directory_free(t.directory);
}

static void the_stores_of_a_lost_owner_are_discarded(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	owns(&t, 1, 9);
	shares(&t, 1, 11);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	must_say(&t, 0, PAGE_GETX, 0, 11, 1);
	must_say(&t, 1, PAGE_GETS, 0, 20, 1);
	log_clear(&t.log);
	directory_remove(t.directory, 1, t.now);
	directory_check(t.directory);
	assert_log(&t.log, "discarded 2 of 1; to 2 DATA_S 7+1 shadow; to 0 GRANT_M 11+1");
	must_be(&t, 7, 4, DIRECTORY_SHADOW);
	must_be(&t, 9, 0, DIRECTORY_SHADOW);
	must_be(&t, 20, 1, DIRECTORY_NOBODY);
	must_say(&t, 0, PAGE_GETS, 0, 9, 1);
	assert_log(&t.log, "recover 9+1; to 0 DATA_S 9+1; forget 9+1; to 0 DATA_S 9+1 memory");
	directory_free(t.directory);
}

static void a_node_that_owns_nothing_goes_quietly(void **state)
{
	struct test t;

	test_init(&t);
	shares(&t, 1, 7);
	directory_remove(t.directory, 1, t.now);
	assert_log(&t.log, "");
	must_be(&t, 7, 1, DIRECTORY_NOBODY);
	assert_int_equal(say(&t, 1, PAGE_GETS, 0, 7, 1), STATUS_BAD_REQUEST);
	assert_int_equal(directory_add(t.directory, 1, true), 0);
	link_up(&t, 1);
	assert_log(&t.log, "to 1 HELD 0+1");
	directory_free(t.directory);
}

/* By what the node holds, what was lost. */
static void a_new_link_begins_with_what_the_node_holds(void **state)
{
	static const struct {
		bool owner, sharer;
		uint8_t held; /* 0: nothing */
		const char *said;
		uint64_t sharers;
		unsigned int entry_owner;
	} cases[] = {
		{true, false, PAGE_HOLDS_M, "to 1 HELD 0+1", 2, 1},
		{true, false, PAGE_HOLDS_S, "to 1 HELD 0+1", 2, DIRECTORY_SHADOW},
		{true, false, 0, "to 1 HELD 0+1", 0, DIRECTORY_SHADOW},
		{true, false, PAGE_HOLDS_D, "to 1 FETCH_S 7+1; to 1 HELD 0+1", 2, 1},
		{true, false, PAGE_HOLDS_L, "to 1 FETCH_M 7+1; to 1 HELD 0+1", 2, 1},
		{false, true, PAGE_HOLDS_S, "to 1 HELD 0+1", 3, DIRECTORY_NOBODY},
		{false, true, 0, "to 1 HELD 0+1", 1, DIRECTORY_NOBODY},
		{false, true, PAGE_HOLDS_D, "to 1 KEPT 7+1; to 1 HELD 0+1", 3, DIRECTORY_NOBODY},
		{false, false, PAGE_HOLDS_L, "to 1 KEPT 7+1; to 1 HELD 0+1", 1, DIRECTORY_NOBODY},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct test t;

		test_init(&t);
		if (cases[i].owner)
			owns(&t, 1, 7);
		if (cases[i].sharer)
			shares(&t, 1, 7);
		directory_link(t.directory, 1, true, t.now);
		if (cases[i].held)
			must_say(&t, 1, PAGE_HOLDS, cases[i].held, 7, 1);
		must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
		assert_log(&t.log, cases[i].said);
		must_be(&t, 7, cases[i].sharers, cases[i].entry_owner);
		directory_free(t.directory);
	}
}

static void what_was_asked_of_a_node_is_asked_again_on_its_new_link(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	shares(&t, 1, 9);
	must_say(&t, 2, PAGE_GETX, 0, 7, 1);
	must_say(&t, 2, PAGE_GETX, 0, 9, 1);
	must_say(&t, 0, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 9, 1);
	log_clear(&t.log);
	directory_link(t.directory, 1, false, t.now);
	must_say(&t, 3, PAGE_GETX, 0, 11, 1);
	directory_link(t.directory, 1, true, t.now);
	log_clear(&t.log);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1);
	assert_log(&t.log, "to 1 FETCH_M 7+1");
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_S, 9, 1);
	assert_log(&t.log, "to 1 INV 9+1");
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	must_say(&t, 1, PAGE_ACK, 0, 9, 1);
	assert_log(&t.log, "to 1 HELD 0+1; keep 7+1 shadow; to 1 KEPT 7+1; "
			   "to 2 DATA_M 7+1 shadow; to 2 DATA_M 9+1 shadow");
	directory_free(t.directory);
}

static void what_a_node_wanted_on_its_old_link_is_forgotten(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETX, 0, 7, 1);
	must_say(&t, 3, PAGE_GETS, 0, 7, 1);
	link_up(&t, 2);
	log_clear(&t.log);
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 1 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1; "
			   "to 3 DATA_S 7+1 memory");
	for (unsigned int i = 0; i < 3 * PAGE_REQUESTS_MAX; i++) {
		if (i % PAGE_REQUESTS_MAX == 0)
			link_up(&t, 2);
		must_say(&t, 2, PAGE_GETX, 0, 20 + i % PAGE_REQUESTS_MAX, 1);
		log_clear(&t.log);
	}
	directory_free(t.directory);
}

static void who_is_asked_meanwhile_answers_before_all_is_known_that_he_holds(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETX, 0, 7, 1);
	directory_link(t.directory, 1, true, t.now);
	log_clear(&t.log);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1);
	assert_log(&t.log, "to 1 FETCH_M 7+1");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 shadow; to 1 KEPT 7+1; to 2 DATA_M 7+1 shadow");
	assert_int_equal(say(&t, 1, PAGE_GETS, 0, 8, 1), STATUS_BAD_REQUEST);
	assert_int_equal(say(&t, 1, PAGE_BACK, PAGE_CONTENT, 8, 1), STATUS_BAD_REQUEST);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
	directory_free(t.directory);
}

static void who_has_much_on_its_way_is_given_more_later(void **state)
{
	struct test t;

	test_init(&t);
	t.full = 1;
	must_say(&t, 1, PAGE_GETS, 0, 7, 1);
	must_say(&t, 1, PAGE_GETX, 0, 9, 1);
	assert_log(&t.log, "");
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	assert_log(&t.log, "to 2 DATA_S 7+1 memory");
	directory_room(t.directory, 1, t.now);
	assert_log(&t.log, "");
	t.full = 0;
	directory_room(t.directory, 1, t.now);
	assert_log(&t.log, "to 1 DATA_S 7+1 memory; to 0 FETCH_M 9+1");
	t.full = 1;
	must_say(&t, 1, PAGE_GETS, 0, 8, 1);
	link_up(&t, 1);
	t.full = 0;
	log_clear(&t.log);
	directory_room(t.directory, 1, t.now);
	assert_log(&t.log, "");
	directory_free(t.directory);
}

static void who_does_not_give_a_page_back_is_given_up(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	assert_true(directory_next(t.directory) == UINT64_MAX);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	log_clear(&t.log);
	assert_true(directory_next(t.directory) == t.now + PATIENCE);
	t.now += PATIENCE - 1;
	directory_tick(t.directory, t.now);
	assert_log(&t.log, "");
	t.now++;
	directory_tick(t.directory, t.now);
	assert_log(&t.log, "give up 1");
	t.now += 2 * PATIENCE;
	directory_tick(t.directory, t.now);
	assert_log(&t.log, "");
	directory_remove(t.directory, 1, t.now);
	assert_log(&t.log, "discarded 1 of 1; to 2 DATA_S 7+1 shadow");
	assert_true(directory_next(t.directory) == UINT64_MAX);
	directory_free(t.directory);
}

static void who_makes_new_links_to_keep_a_page_is_given_up(void **state)
{
	uint64_t asked;
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	asked = t.now;
	log_clear(&t.log);
	while (!strstr(t.log.text, "give up 1")) {
		log_clear(&t.log);
		assert_in_range(t.now - asked, 0, 4 * PATIENCE);
		t.now += PATIENCE / 2;
		directory_link(t.directory, 1, true, t.now);
		must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1);
		must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
		directory_tick(t.directory, t.now);
	}
	assert_in_range(t.now - asked, PATIENCE, PATIENCE + PATIENCE / 2);
	directory_free(t.directory);
}

static void the_time_without_a_link_is_not_held_against_a_node(void **state)
{
	uint64_t asked;
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	asked = t.now;
	t.now += PATIENCE / 2;
	directory_link(t.directory, 1, false, t.now);
	t.now += PATIENCE / 4 * 3;
	directory_tick(t.directory, t.now);
	directory_link(t.directory, 1, true, t.now);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1);
	log_clear(&t.log);
	t.now += PATIENCE / 4;
	directory_tick(t.directory, t.now);
	assert_log(&t.log, "");
	while (t.log.n == 0) {
		t.now = directory_next(t.directory);
		directory_tick(t.directory, t.now);
	}
	assert_log(&t.log, "give up 1");
	/* half of it before, half of it behind */
	assert_in_range(t.now - asked, PATIENCE / 4 * 7, PATIENCE / 4 * 7 + PATIENCE / 4);
	directory_free(t.directory);
}

static void content_goes_where_there_is_room(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	owns(&t, 1, 8);
	t.keep_memory = -ENOSPC;
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT, 7, 1);
	assert_log(&t.log, "to 1 FETCH_S 7+1; keep 7+1 memory; keep 7+1 shadow; to 1 KEPT 7+1; "
			   "to 2 DATA_S 7+1 shadow");
	must_be(&t, 7, 0x6, DIRECTORY_SHADOW);
	t.keep_shadow = -ENOSPC;
	must_say(&t, 1, PAGE_PUT, PAGE_CONTENT, 8, 1);
	assert_log(&t.log, "keep 8+1 memory; keep 8+1 shadow; give up 1");
	must_be(&t, 8, 2, 1);
	directory_free(t.directory);
}

static void what_cannot_be_recovered_is_tried_again(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	directory_remove(t.directory, 1, t.now);
	log_clear(&t.log);
	t.recover_result = -ENOMEM;
	must_say(&t, 0, PAGE_GETX, 0, 7, 1);
	assert_log(&t.log, "recover 7+1");
	t.recover_result = 0;
	t.now = directory_next(t.directory);
	assert_true(t.now != UINT64_MAX);
	directory_tick(t.directory, t.now);
	assert_log(&t.log, "recover 7+1; to 0 DATA_S 7+1; forget 7+1; to 0 GRANT_M 7+1");
	assert_true(directory_next(t.directory) == UINT64_MAX);
	directory_free(t.directory);
}

static void a_recall_takes_everything_home(void **state)
{
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	shares(&t, 2, 9);
	owns(&t, 2, 11);
	directory_remove(t.directory, 2, t.now);
	log_clear(&t.log);
	directory_recall(t.directory, t.now);
	assert_log(&t.log, "to 1 FETCH_M 7+1; recover 11+1; to 0 DATA_S 11+1; forget 11+1");
	must_say(&t, 3, PAGE_GETS, 0, 20, 1);
	assert_log(&t.log, "");
	must_say(&t, 1, PAGE_BACK, PAGE_CONTENT | PAGE_GONE, 7, 1);
	assert_log(&t.log, "keep 7+1 memory; to 1 KEPT 7+1; to 0 DATA_S 7+1; forget 7+1; recalled");
	for (unsigned int i = 0; i < PAGES; i++)
		must_be(&t, i, 1, DIRECTORY_NOBODY);
	directory_free(t.directory);
}

/* Whatever the home's daemon was about when it died. */
static void a_successor_brings_both_tables_together(void **state)
{
	uint8_t pager[PAGES] = {[0] = PAGER_S,
		[1] = PAGER_L, /* its content is in the shadow, and perhaps nowhere else */
		[2] = PAGER_M,
		[3] = PAGER_L,
		[4] = PAGER_S, /* not yet said that it is away */
		[5] = PAGER_I};
	struct test t;

	test_init(&t);
	shares(&t, 2, 1);
	must_say(&t, 0, PAGE_GETX, 0, 2, 1);
	must_say(&t, 0, PAGE_GETX, 0, 3, 1);
	owns(&t, 1, 4);
	directory_free(t.directory);
	begin(&t);
	directory_restore(t.directory, pager);
	must_be(&t, 0, 1, DIRECTORY_NOBODY);
	must_be(&t, 1, 4, DIRECTORY_SHADOW);
	must_be(&t, 2, 1, DIRECTORY_NOBODY);
	must_be(&t, 3, 0, DIRECTORY_SHADOW);
	must_be(&t, 4, 2, 1);
	must_be(&t, 5, 1, DIRECTORY_NOBODY);
	assert_int_equal(pager[0], PAGER_S);
	assert_int_equal(pager[1], PAGER_I);
	assert_int_equal(pager[2], PAGER_S);
	assert_int_equal(pager[3], PAGER_I);
	assert_int_equal(pager[4], PAGER_I);
	assert_int_equal(pager[5], PAGER_S);
	assert_log(&t.log, "forget 0+1; forget 2+1; forget 5+295");
	/* Of a session that is over. */
	directory_remove(t.directory, 1, t.now);
	directory_remove(t.directory, 2, t.now);
	assert_log(&t.log, "discarded 1 of 1");
	directory_check(t.directory);
	directory_free(t.directory);
}

static void a_node_that_makes_no_sense_is_not_believed(void **state)
{
	static const struct {
		unsigned int slot;
		struct page_message m;
	} cases[] = {
		{1, {.type = PAGE_ACK, .n = 1, .page = 9}}, /* unasked */
		{2, {.type = PAGE_ACK, .n = 1, .page = 7}},
		{1, {.type = PAGE_ACK, .n = 1, .page = 7}}, /* was asked for content */
		{2, {.type = PAGE_BACK, .flags = PAGE_CONTENT, .n = 1, .page = 7}}, /* another's */
		{1, {.type = PAGE_BACK, .flags = PAGE_CONTENT, .n = 2, .page = 7}},
		{1, {.type = PAGE_BACK, .flags = 0, .n = 1, .page = 7}},
		{2, {.type = PAGE_PUT, .flags = PAGE_CONTENT, .n = 1, .page = 7}},
		{2, {.type = PAGE_PUT, .n = 1, .page = 9}},  /* has no copy */
		{1, {.type = PAGE_PUT, .n = 1, .page = 7}},  /* without what was written */
		{2, {.type = PAGE_GETS, .n = 1, .page = 7}}, /* a second time */
		{3, {.type = PAGE_GETX, .n = 1, .page = 9}}, /* may only read */
		{1, {.type = PAGE_GETS, .n = 1, .page = PAGES}},
		{1, {.type = PAGE_GETS, .n = 2, .page = PAGES - 1}},
		{1, {.type = PAGE_GETS, .n = 1, .page = UINT64_MAX}},
		{1, {.type = PAGE_GETS, .n = 0, .page = 1}},
		{1, {.type = PAGE_GETS, .n = 129, .page = 1}},
		{1, {.type = PAGE_GETS, .flags = PAGE_CONTENT, .n = 1, .page = 1}},
		{1, {.type = PAGE_HOLDS, .flags = PAGE_HOLDS_END, .n = 1}}, /* a second time */
		{1, {.type = PAGE_KEPT, .n = 1, .page = 7}},
		{1, {.type = 0, .n = 1, .page = 7}},
		{4, {.type = PAGE_GETS, .n = 1, .page = 7}}, /* nobody */
		{1000, {.type = PAGE_GETS, .n = 1, .page = 7}},
	};
	struct test t;

	test_init(&t);
	assert_int_equal(directory_add(t.directory, 3, false), 0);
	owns(&t, 1, 7);
	must_say(&t, 2, PAGE_GETS, 0, 7, 1);
	log_clear(&t.log);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		assert_int_equal(directory_receive(t.directory, cases[i].slot, &cases[i].m, t.now),
			STATUS_BAD_REQUEST);
		directory_check(t.directory);
	}
	assert_log(&t.log, "");
	directory_free(t.directory);
}

static void a_node_cannot_hold_what_it_was_not_given(void **state)
{
	static const struct page_message cases[] = {
		{.type = PAGE_HOLDS, .flags = PAGE_HOLDS_M, .n = 1, .page = 8},
		{.type = PAGE_HOLDS, .flags = PAGE_HOLDS_S, .n = 1, .page = 8},
		{.type = PAGE_HOLDS, .flags = PAGE_HOLDS_D, .n = 1, .page = 8},
		{.type = PAGE_HOLDS, .flags = PAGE_HOLDS_M, .n = 2, .page = 7},
		{.type = PAGE_GETS, .n = 1, .page = 8},
		{.type = PAGE_ACK, .n = 1, .page = 8},
	};
	struct test t;

	test_init(&t);
	owns(&t, 1, 7);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		directory_link(t.directory, 1, true, t.now);
		assert_int_equal(
			directory_receive(t.directory, 1, &cases[i], t.now), STATUS_BAD_REQUEST);
	}
	/* Nor say it in another order, or twice. */
	directory_link(t.directory, 1, true, t.now);
	must_say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1);
	assert_int_equal(say(&t, 1, PAGE_HOLDS, PAGE_HOLDS_M, 7, 1), STATUS_BAD_REQUEST);
	assert_log(&t.log, "");
	directory_free(t.directory);
}

static void a_node_may_ask_for_so_much_at_a_time(void **state)
{
	struct test t;

	test_init(&t);
	for (unsigned int i = 0; i < PAGE_REQUESTS_MAX; i++)
		must_say(&t, 1, PAGE_GETX, 0, i, 1);
	assert_int_equal(say(&t, 1, PAGE_GETX, 0, PAGE_REQUESTS_MAX, 1), STATUS_BAD_REQUEST);
	directory_free(t.directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_home_has_is_given_to_read),
		cmocka_unit_test(the_home_gives_its_copy_away_to_who_writes),
		cmocka_unit_test(who_writes_waits_for_everybody_who_reads),
		cmocka_unit_test(what_another_has_written_comes_home_to_be_read),
		cmocka_unit_test(what_another_has_written_goes_through_the_shadow_to_who_writes),
		cmocka_unit_test(the_home_asks_as_the_others_do),
		cmocka_unit_test(requests_wait_for_each_other_in_order),
		cmocka_unit_test(a_run_takes_pages_that_are_alike),
		cmocka_unit_test(a_run_to_write_leaves_what_another_has_just_had),
		cmocka_unit_test(a_page_that_readers_write_is_given_to_be_written),
		cmocka_unit_test(what_is_given_up_comes_home),
		cmocka_unit_test(what_is_given_up_while_it_is_asked_for_answers),
		cmocka_unit_test(the_stores_of_a_lost_owner_are_discarded),
		cmocka_unit_test(a_node_that_owns_nothing_goes_quietly),
		cmocka_unit_test(a_new_link_begins_with_what_the_node_holds),
		cmocka_unit_test(what_was_asked_of_a_node_is_asked_again_on_its_new_link),
		cmocka_unit_test(what_a_node_wanted_on_its_old_link_is_forgotten),
		cmocka_unit_test(who_is_asked_meanwhile_answers_before_all_is_known_that_he_holds),
		cmocka_unit_test(who_has_much_on_its_way_is_given_more_later),
		cmocka_unit_test(who_does_not_give_a_page_back_is_given_up),
		cmocka_unit_test(who_makes_new_links_to_keep_a_page_is_given_up),
		cmocka_unit_test(the_time_without_a_link_is_not_held_against_a_node),
		cmocka_unit_test(content_goes_where_there_is_room),
		cmocka_unit_test(what_cannot_be_recovered_is_tried_again),
		cmocka_unit_test(a_recall_takes_everything_home),
		cmocka_unit_test(a_successor_brings_both_tables_together),
		cmocka_unit_test(a_node_that_makes_no_sense_is_not_believed),
		cmocka_unit_test(a_node_cannot_hold_what_it_was_not_given),
		cmocka_unit_test(a_node_may_ask_for_so_much_at_a_time),
	};

	return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
