/* SPDX-License-Identifier: Apache-2.0 */

/* Frames of a page link. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "wire/page.h"

static void a_frame_is_laid_out_as_described(void **state)
{
	const struct page_message m = {.type = PAGE_BACK,
		.flags = PAGE_CONTENT | PAGE_GONE,
		.n = 0x0078,
		.map = 0x01020304,
		.page = 0x1112131415ull};
	const uint8_t expected[PAGE_HEADER_SIZE] = {
		4, 3, 0x78, 0, 4, 3, 2, 1, 0x15, 0x14, 0x13, 0x12, 0x11, 0, 0, 0};
	uint8_t bytes[PAGE_HEADER_SIZE];
	struct page_message decoded;

	page_message_encode(&m, bytes);
	assert_memory_equal(bytes, expected, sizeof(bytes));
	assert_int_equal(page_message_decode(bytes, &decoded), 0);
	assert_memory_equal(&decoded, &m, sizeof(m));
	assert_int_equal(page_message_content(&m), 0x78 * PAGE_BYTES);
}

static bool decodes(uint8_t type, uint8_t flags, uint16_t n, uint64_t page)
{
	const struct page_message m = {.type = type, .flags = flags, .n = n, .page = page};
	struct page_message untouched = {.map = 99}, decoded = untouched;
	uint8_t bytes[PAGE_HEADER_SIZE];
	int r;

	page_message_encode(&m, bytes);
	r = page_message_decode(bytes, &decoded);
	if (r) {
		assert_int_equal(r, -EBADMSG);
		assert_memory_equal(&decoded, &untouched, sizeof(decoded));
	} else {
		assert_memory_equal(&decoded, &m, sizeof(m));
	}
	return r == 0;
}

/* What flags each type may have. */
static void flags_go_with_types(void **state)
{
	static const uint8_t allowed[][4] = {
		[PAGE_GETS] = {1, 0},
		[PAGE_GETX] = {1, 0},
		[PAGE_ACK] = {1, 0},
		[PAGE_BACK] = {2, PAGE_CONTENT, PAGE_CONTENT | PAGE_GONE},
		[PAGE_PUT] = {2, 0, PAGE_CONTENT},
		[PAGE_DATA_S] = {1, PAGE_CONTENT},
		[PAGE_DATA_M] = {1, PAGE_CONTENT},
		[PAGE_GRANT_M] = {1, 0},
		[PAGE_INV] = {1, 0},
		[PAGE_FETCH_S] = {1, 0},
		[PAGE_FETCH_M] = {1, 0},
		[PAGE_KEPT] = {1, 0},
		[PAGE_DISCARDED] = {1, 0},
	};

	for (unsigned int type = 0; type < 256; type++) {
		for (unsigned int flags = 0; flags < 256; flags++) {
			bool fits = false;

			if (type == PAGE_HOLDS || type == PAGE_HELD)
				continue;
			for (unsigned int i = 0; type < ELEMENTS(allowed) && i < allowed[type][0];
				i++)
				fits |= allowed[type][1 + i] == flags;
			assert_int_equal(decodes((uint8_t)type, (uint8_t)flags, 1, 7), fits);
		}
	}
}

static void holds_says_one_state_and_its_end_nothing(void **state)
{
	for (unsigned int flags = 0; flags < 256; flags++) {
		bool one = flags == PAGE_HOLDS_S || flags == PAGE_HOLDS_M ||
			   flags == PAGE_HOLDS_D || flags == PAGE_HOLDS_L;

		assert_int_equal(decodes(PAGE_HOLDS, (uint8_t)flags, 2, 7), one);
		assert_int_equal(
			decodes(PAGE_HOLDS, (uint8_t)flags, 1, 0), one || flags == PAGE_HOLDS_END);
	}
	assert_true(decodes(PAGE_HELD, 0, 1, 0));
	assert_false(decodes(PAGE_HELD, 0, 1, 1));
	assert_false(decodes(PAGE_HELD, 0, 2, 0));
	assert_false(decodes(PAGE_HELD, PAGE_CONTENT, 1, 0));
}

static void runs_are_bounded(void **state)
{
	assert_false(decodes(PAGE_GETS, 0, 0, 0));
	assert_true(decodes(PAGE_GETS, 0, PAGE_RUN_MAX, 0));
	assert_false(decodes(PAGE_GETS, 0, PAGE_RUN_MAX + 1, 0));
	assert_false(decodes(PAGE_GETS, 0, UINT16_MAX, 0));
	assert_true(decodes(PAGE_GETS, 0, 2, (1ull << 52) - 2));
	assert_false(decodes(PAGE_GETS, 0, 2, (1ull << 52) - 1));
	assert_false(decodes(PAGE_GETS, 0, 1, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_laid_out_as_described),
		cmocka_unit_test(flags_go_with_types),
		cmocka_unit_test(holds_says_one_state_and_its_end_nothing),
		cmocka_unit_test(runs_are_bounded),
	};

	return cmocka_run_group_tests_name("frames of a page link", tests, NULL, NULL);
}
