/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of data interrupts: what goes in comes out, and nonsense harms neither side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/sisci/lane.h"

#define QUEUE 300u

static struct lane_reader reader;
static uint8_t message[LANE_MESSAGE_MAX];
static uint64_t seed;

/* xorshift64 */
static uint32_t chance(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % n;
}

static int set_up(void **state)
{
	seed = 88172645463325252u;
	reader = (struct lane_reader){.area = calloc(1, sizeof(struct lane_area))};
	return reader.area ? 0 : -1;
}

static int tear_down(void **state)
{
	free(reader.area);
	return 0;
}

static void read_marks(uint32_t lane, uint64_t head[2], uint64_t tail[2])
{
	memcpy(head, &reader.area->heads[lane], sizeof(struct lane_mark));
	memcpy(tail, &reader.area->tails[lane], sizeof(struct lane_mark));
}

static bool begin(struct lane_writer *w, uint32_t lane)
{
	uint64_t head[2], tail[2];

	read_marks(lane, head, tail);
	return lane_writer_begin(w, lane, head, tail);
}

/* As a sender does it; false: no room. */
static bool send(struct lane_writer *w, const void *data, uint32_t length)
{
	uint8_t *records = (uint8_t *)reader.area + lane_offset(w->lane);
	const uint32_t skip = LANE_SKIP;
	uint64_t head[2], tail[2];
	struct lane_place place;

	read_marks(w->lane, head, tail);
	w->tail = tail[0];
	w->taken = tail[1];
	if (!lane_writer_find(w, length, &place))
		return false;
	assert_true(place.at % 8 == 0 && place.at + 8 + length <= lane_size(w->lane));
	if (place.skip)
		memcpy(records + w->head % lane_size(w->lane), &skip, sizeof(skip));
	memcpy(records + place.at, &length, sizeof(length));
	memcpy(records + place.at + 8, data, length);
	w->head = place.next;
	w->count++;
	reader.area->heads[w->lane].count = w->count;
	reader.area->heads[w->lane].position = w->head;
	return true;
}

static void expect(const void *data, uint32_t length)
{
	assert_int_equal(lane_reader_take(&reader, message), length);
	assert_memory_equal(message, data, length);
}

/* Against a queue of lengths and first bytes, around the end many times. */
static void messages_come_out_as_they_went_in(uint32_t lane)
{
	uint8_t out[LANE_MESSAGE_MAX];
	uint32_t lengths[QUEUE], n = 0, first = 0;
	struct lane_writer w;

	assert_true(begin(&w, lane));
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t length = chance(4) ? chance(200) : chance(LANE_MESSAGE_MAX + 1);

		memset(out, (int)length, sizeof(out));
		if (chance(100) < 55 && send(&w, out, length)) {
			lengths[(first + n++) % QUEUE] = length;
			assert_true(n <= LANE_QUEUE_MAX);
		} else if (n > 0) {
			length = lengths[first++ % QUEUE];
			memset(out, (int)length, sizeof(out));
			expect(out, length);
			n--;
		} else {
			assert_int_equal(lane_reader_take(&reader, message), -1);
		}
	}
}

static void the_first_lane_is_a_queue(void **state)
{
	messages_come_out_as_they_went_in(0);
}

static void the_last_lane_is_a_queue(void **state)
{
	messages_come_out_as_they_went_in(LANES - 1);
}

static void the_first_lane_holds_as_many_long_messages(void **state)
{
	static const uint8_t out[LANE_MESSAGE_MAX];
	struct lane_writer w;

	for (int round = 0; round < 5; round++) {
		assert_true(begin(&w, 0));
		for (uint32_t i = 0; i < LANE_QUEUE_MAX; i++)
			assert_true(send(&w, out, LANE_MESSAGE_MAX));
		assert_false(send(&w, out, 0));
		for (uint32_t i = 0; i < LANE_QUEUE_MAX; i++)
			expect(out, LANE_MESSAGE_MAX);
	}
}

static void lanes_take_turns(void **state)
{
	struct lane_writer w[3];

	for (uint8_t i = 0; i < 3; i++) {
		assert_true(begin(&w[i], i * 100u));
		for (int n = 0; n < 2; n++)
			assert_true(send(&w[i], &i, 1));
	}
	for (int n = 0; n < 2; n++)
		for (uint8_t i = 0; i < 3; i++)
			expect(&i, 1);
	assert_int_equal(lane_reader_take(&reader, message), -1);
}

static void the_next_writer_goes_on_where_the_last_one_stopped(void **state)
{
	struct lane_writer w;

	assert_true(begin(&w, 1));
	assert_true(send(&w, "one", 3));
	assert_true(begin(&w, 1));
	assert_true(send(&w, "two", 3));
	expect("one", 3);
	expect("two", 3);
	/* one that died had counted, and not sent */
	reader.area->heads[1].count += 1000;
	assert_true(begin(&w, 1));
	assert_true(send(&w, "three", 5));
	expect("three", 5);
}

/* Words as somebody hostile might store them. */
static uint64_t nonsense(uint64_t near)
{
	static const uint64_t words[] = {0, 1, 7, 8, UINT64_MAX, UINT64_MAX - 7, 1ull << 63,
		LANE_SKIP, LANE_SIZE, LANE_FIRST_SIZE, LANE_MESSAGE_MAX + 1};

	switch (chance(3)) {
	case 0:
		return words[chance(sizeof(words) / sizeof(words[0]))];
	case 1:
		return near + 8 * chance(20) - 80;
	default:
		return near + chance(2 * LANE_SIZE);
	}
}

static void spoil(uint32_t lane)
{
	uint8_t *records = (uint8_t *)reader.area + lane_offset(lane);
	struct lane_mark *head = &reader.area->heads[lane], *tail = &reader.area->tails[lane];
	uint32_t word;

	for (uint32_t i = chance(30); i > 0; i--) {
		word = (uint32_t)nonsense(chance(5000));
		memcpy(records + 8 * chance((uint32_t)lane_size(lane) / 8), &word, sizeof(word));
	}
	if (chance(2))
		tail->position = nonsense(tail->position);
	if (chance(2))
		tail->count = nonsense(tail->count);
	head->count = nonsense(head->count);
	head->position = nonsense(head->position);
}

/* In memory that ends where the lanes do, for the sanitizers. */
static void nonsense_is_thrown_away(void **state)
{
	struct lane_writer w;
	int length;

	for (int i = 0; i < 20000; i++) {
		uint32_t lane = chance(3) ? chance(LANES) : LANES - 1;

		spoil(lane);
		for (int n = 0; (length = lane_reader_take(&reader, message)) >= 0; n++) {
			assert_true(length <= (int)LANE_MESSAGE_MAX);
			assert_true(n < (int)LANE_FIRST_SIZE / 8);
		}
		assert_int_equal(lane_reader_take(&reader, message), -1);
		/* and whoever is honest finds it in order, but for what writers are told */
		reader.area->tails[lane].position = reader.tails[lane].position;
		reader.area->tails[lane].count = reader.tails[lane].count;
		assert_true(begin(&w, lane));
		assert_true(send(&w, "honest", 6));
		expect("honest", 6);
	}
}

static void a_writer_believes_no_tail(void **state)
{
	struct lane_place place;
	struct lane_writer w;

	for (int i = 0; i < 200000; i++) {
		uint64_t head[2] = {nonsense(0), nonsense(0)}, tail[2] = {nonsense(head[0]), 0};
		uint32_t lane = chance(LANES + 2), length = chance(LANE_MESSAGE_MAX + 1);

		if (!lane_writer_begin(&w, lane, head, tail))
			continue;
		assert_true(lane < LANES);
		w.tail = nonsense(w.tail);
		w.taken = nonsense(w.taken);
		if (!lane_writer_find(&w, length, &place))
			continue;
		assert_true(place.at % 8 == 0 && place.at + 8 + length <= lane_size(lane));
		assert_true(w.head % 8 == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_lane_is_a_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_lane_is_a_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_first_lane_holds_as_many_long_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lanes_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_next_writer_goes_on_where_the_last_one_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_thrown_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_writer_believes_no_tail, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
