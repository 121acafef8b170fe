/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The suite over libfabric's endpoints of both kinds, and what is theirs alone: what becomes of
 * those who use keys that they should not have, and what goes over the other way when this one is
 * closed. Keys and ranges are
 * checked by libfabric here, by hardware where OFI_PROVIDER names some (tests/vm).
 */
#include "fabric/ofi/test-fixture.h"

#include <pthread.h>
#include "base/clock.h"
#include "base/error.h"
#include "fabric/ofi/link.h"
#include "wire/message.h"
#include "wire/status.h"

static const struct fixture_ops *fixture;
static uint8_t ours[MEMORY_SIZE], back[MEMORY_SIZE];

static int begin(void **state)
{
	struct home *home = calloc(1, sizeof(*home));

	home_begin(home, fixture, 16384, true);
	*state = home;
	return 0;
}

static int end(void **state)
{
	home_end(*state);
	free(*state);
	return 0;
}

static uint64_t count_put(struct home *home, size_t n, unsigned int width, unsigned int flags)
{
	uint64_t before = ofi_path_count();

	assert_int_equal(fabric_put(home->path, &home->user, 0, ours, n, width, flags), 0);
	return ofi_path_count() - before;
}

/* --- which way --- */

static void bytes_go_by_rma_and_elements_do_not(void **state)
{
	struct home *home = *state;
	uint64_t before;
	size_t done;
	struct fabric_piece pieces[2] = {{0, back, 100}, {4096, back + 200, 100000}};

	assert_int_equal(count_put(home, 8, 0, 0), 1);
	assert_int_equal(count_put(home, 1 << 20, 0, 0), 1);
	assert_int_equal(count_put(home, 1 << 20, 0, FABRIC_SPAN), 1);
	assert_int_equal(count_put(home, 8, 0, FABRIC_SPAN), 0);
	assert_int_equal(count_put(home, 8, 8, 0), 0);
	before = ofi_path_count();
	assert_int_equal(fabric_get(home->path, &home->user, 0, back, 1 << 20, 0), 0);
	assert_int_equal(fabric_getv(home->path, &home->user, pieces, 2, &done), 0);
	assert_int_equal(done, 2);
	assert_int_equal(ofi_path_count() - before, 2);
}

static void a_put_comes_after_the_span_before_it(void **state)
{
	struct home *home = *state;
	uint64_t small = 1, large[2048];

	for (uint64_t i = 1; i < 200; i++) {
		assert_int_equal(
			fabric_put(home->path, &home->user, 0, &small, 8, 8, FABRIC_SPAN), 0);
		memset(large, (int)i, sizeof(large));
		assert_int_equal(fabric_put(home->path, &home->user, 0, large, sizeof(large), 0,
					 i % 2 ? FABRIC_SPAN : 0),
			0);
		assert_int_equal(fabric_order(home->path, &home->user), 0);
		assert_memory_equal(home->memory, large, sizeof(large));
	}
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
}

static void what_is_refused_goes_over_tcp(void **state)
{
	struct home *home = *state;

	ofi_home_refuse(home);
	home_fill(ours, 1 << 20, 4);
	assert_int_equal(count_put(home, 1 << 20, 0, 0), 0);
	assert_memory_equal(home->memory, ours, 1 << 20);
}

static void memory_that_is_withdrawn_goes_on_over_tcp(void **state)
{
	struct home *home = *state;
	uint64_t bytes;
	uint32_t n;

	assert_int_equal(count_put(home, 1 << 20, 0, 0), 1);
	ofi_target_count(ofi_home_target(home), &bytes, &n);
	assert_int_equal(bytes, MEMORY_SIZE);
	assert_int_equal(n, 1);
	ofi_home_refuse(home);
	ofi_target_revoke(ofi_home_target(home), &home->user.key);
	ofi_target_count(ofi_home_target(home), &bytes, &n);
	assert_int_equal(n, 0);
	home_fill(ours, 1 << 20, 5);
	assert_int_equal(count_put(home, 1 << 20, 0, 0), 0);
	assert_memory_equal(home->memory, ours, 1 << 20);
	assert_int_equal(atomic_load(&home->repairs), 0);
}

/* One key's end takes the connection along; the others get another one. */
static void others_go_on_by_rma_after_a_pause(void **state)
{
	struct home *home = *state;
	struct fabric_user user;
	uint64_t give_up = clock_now() + 5 * NSEC_PER_SEC;

	home_add_user(home, home->path, &user,
		home_grant(home, CONNECTION, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE));
	assert_int_equal(count_put(home, 100, 0, 0), 1);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 100, 0, 0), 0);
	fabric_target_revoke(home->target, &user.key);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 100, 0, 0), STATUS_REVOKED);
	while (!count_put(home, 100, 0, 0))
		assert_true(clock_now() < give_up);
	fabric_path_remove_user(home->path, &user);
}

/* --- who should not --- */

static struct ofi_offer offer_of(struct home *home, struct fabric_key key, uint64_t connection)
{
	struct ofi_offer offer;

	assert_int_equal(ofi_home_offer(home, connection, &key, &offer), 0);
	return offer;
}

static OfiLink *link_to(const struct ofi_offer *offer)
{
	const struct fabric_path_options options = {.stall = 5 * NSEC_PER_SEC, .spin = true};
	OfiLink *link;

	assert_int_equal(ofi_link_new(offer, &options, &link), 0);
	return link;
}

/* 8 bytes at off, whatever the offer says of the memory's size. */
static int poke(const struct ofi_offer *offer, uint64_t off, bool put)
{
	uint64_t word = 0x0123456789abcdef;
	struct fabric_piece piece = {.off = off, .local = &word, .n = sizeof(word)};
	OfiLink *link = link_to(offer);
	int r = ofi_link_run(link, offer, put, &piece, 1);

	ofi_link_put(link);
	return r;
}

static void a_wrong_key_opens_nothing(void **state)
{
	struct home *home = *state;
	struct ofi_offer offer = offer_of(home, home->user.key, CONNECTION);

	assert_int_equal(poke(&offer, 64, true), 0);
	offer.key ^= 1;
	assert_int_equal(poke(&offer, 128, true), -EIO);
	assert_int_equal(poke(&offer, 128, false), -EIO);
	offer.key = 0;
	assert_int_equal(poke(&offer, 128, true), -EIO);
	for (unsigned int i = 128; i < 136; i++)
		assert_int_equal(home->memory[i], 0);
}

static void a_key_of_another_guest_opens_nothing(void **state)
{
	struct home *home = *state;
	struct ofi_offer own = offer_of(home, home->user.key, CONNECTION), others, mixed;

	home->ops->connect(home, CONNECTION + 1);
	others =
		offer_of(home, home_grant(home, CONNECTION + 1, 4096, 4096, WIRE_READ | WIRE_WRITE),
			CONNECTION + 1);
	assert_true(own.endpoint != others.endpoint);
	assert_memory_not_equal(own.ticket, others.ticket, sizeof(own.ticket));
	assert_int_equal(poke(&others, 0, true), 0);
	mixed = own;
	mixed.key = others.key;
	mixed.base = others.base;
	assert_int_equal(poke(&mixed, 8, true), -EIO);
	assert_int_equal(poke(&mixed, 8, false), -EIO);
	assert_int_equal(home->memory[4096 + 8], 0);
}

static void rights_are_those_of_the_key(void **state)
{
	struct home *home = *state;
	struct ofi_offer readable = offer_of(home, home_grant(home, CONNECTION, 0, 4096, WIRE_READ),
				 CONNECTION),
			 writable = offer_of(home,
				 home_grant(home, CONNECTION, 0, 4096, WIRE_WRITE), CONNECTION);

	assert_int_equal(poke(&readable, 0, false), 0);
	assert_int_equal(poke(&readable, 0, true), -EIO);
	assert_int_equal(home->memory[0], 0);
	assert_int_equal(poke(&writable, 0, true), 0);
	assert_int_equal(poke(&writable, 0, false), -EIO);
}

static void what_lies_outside_is_refused(void **state)
{
	static const uint64_t outside[] = {8192, 8185, 1ull << 32, 1ull << 63, UINT64_MAX - 4095};
	struct home *home = *state;
	struct ofi_offer offer = offer_of(home,
		home_grant(home, CONNECTION, 65536, 8192, WIRE_READ | WIRE_WRITE), CONNECTION);

	for (size_t i = 0; i < ELEMENTS(outside); i++) {
		assert_int_equal(poke(&offer, outside[i], true), -EIO);
		assert_int_equal(poke(&offer, outside[i], false), -EIO);
	}
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		assert_int_equal(home->memory[i], 0);
}

static void a_revoked_key_opens_nothing(void **state)
{
	struct home *home = *state;
	struct ofi_offer offer = offer_of(home, home->user.key, CONNECTION);

	ofi_target_revoke(ofi_home_target(home), &home->user.key);
	assert_int_equal(poke(&offer, 0, true), -EIO);
	assert_int_equal(home->memory[0], 0);
	offer = offer_of(home, home->user.key, CONNECTION);
	assert_int_equal(poke(&offer, 0, true), 0);
}

static void without_a_ticket_nobody_is_let_in(void **state)
{
	const struct fabric_path_options options = {.stall = NSEC_PER_SEC};
	struct home *home = *state;
	struct ofi_offer offer = offer_of(home, home->user.key, CONNECTION);
	OfiLink *link;

	offer.ticket[15] ^= 1;
	assert_true(ofi_link_new(&offer, &options, &link) < 0);
	offer.ticket[15] ^= 1;
	ofi_link_put(link_to(&offer));
	ofi_target_detach(ofi_home_target(home), CONNECTION);
	assert_true(ofi_link_new(&offer, &options, &link) < 0);
}

static void a_guest_that_left_has_no_memory_open(void **state)
{
	struct home *home = *state;
	struct ofi_offer offer = offer_of(home, home->user.key, CONNECTION);
	uint64_t word = 1, bytes;
	struct fabric_piece piece = {.local = &word, .n = sizeof(word)};
	OfiLink *link = link_to(&offer);
	uint32_t n;

	assert_int_equal(ofi_link_run(link, &offer, true, &piece, 1), 0);
	ofi_target_detach(ofi_home_target(home), CONNECTION);
	ofi_target_count(ofi_home_target(home), &bytes, &n);
	assert_int_equal(n, 0);
	word = 2;
	assert_int_equal(ofi_link_run(link, &offer, true, &piece, 1), -EIO);
	assert_int_equal(home->memory[0], 1);
	ofi_link_put(link);
}

/* --- which providers --- */

static void providers_for_tests_are_had_by_name_only(void **state)
{
	enum ofi_kind kind;
	bool automatic;

	assert_int_equal(ofi_kind_parse("auto", &kind, &automatic), 0);
	assert_true(automatic);
	assert_int_equal(kind, OFI_NONE);
	assert_int_equal(ofi_kind_parse("off", &kind, &automatic), 0);
	assert_false(automatic);
	assert_int_equal(kind, OFI_NONE);
	assert_int_equal(ofi_kind_parse("test-tcp-rxm", &kind, &automatic), 0);
	assert_int_equal(kind, OFI_TEST_RDM);
	assert_int_equal(ofi_kind_parse("tcp", &kind, &automatic), -EINVAL);
	assert_true(ofi_hardware() < OFI_TEST_RDM);
}

static void what_is_not_there_says_what_to_do(void **state)
{
	struct ofi_target_options options = {.kind = OFI_TEST_MSG, .address = "192.0.2.1"};
	char why[OFI_WHY_SIZE] = "";
	OfiTarget *target;

	assert_true(ofi_target_new(&options, why, &target) < 0);
	assert_non_null(strstr(why, "RdmaAddress="));
	options = (struct ofi_target_options){.kind = OFI_EFA, .address = "127.0.0.1"};
	assert_true(ofi_target_new(&options, why, &target) < 0);
	assert_non_null(strstr(why, "2.7 or later"));
	options = (struct ofi_target_options){.kind = OFI_VERBS, .address = "127.0.0.1"};
	assert_true(ofi_target_new(&options, why, &target) < 0); /* here is no hardware */
	assert_non_null(strstr(why, "verbs"));
	assert_true(ofi_version()[0] >= '1');
}

static int run(const struct fixture_ops *ops)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(bytes_go_by_rma_and_elements_do_not),
		TEST(a_put_comes_after_the_span_before_it),
		TEST(what_is_refused_goes_over_tcp),
		TEST(memory_that_is_withdrawn_goes_on_over_tcp),
		TEST(others_go_on_by_rma_after_a_pause),
		TEST(a_wrong_key_opens_nothing),
		TEST(a_key_of_another_guest_opens_nothing),
		TEST(rights_are_those_of_the_key),
		TEST(what_lies_outside_is_refused),
		TEST(a_revoked_key_opens_nothing),
		TEST(a_guest_that_left_has_no_memory_open),
	};
	const struct CMUnitTest connected[] = {TEST(without_a_ticket_nobody_is_let_in)};
	int failed;

	fixture = ops;
	failed = cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
	if (ops != &ofi_rdm_fixture)
		failed += cmocka_run_group_tests(connected, NULL, NULL);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(providers_for_tests_are_had_by_name_only),
		cmocka_unit_test(what_is_not_there_says_what_to_do),
	};

	if (getenv("OFI_PROVIDER"))
		return suite_run(&ofi_adapter_fixture) + run(&ofi_adapter_fixture);
	return suite_run(&ofi_msg_fixture) + suite_run(&ofi_rdm_fixture) + run(&ofi_msg_fixture) +
	       run(&ofi_rdm_fixture) + cmocka_run_group_tests(tests, NULL, NULL);
}
