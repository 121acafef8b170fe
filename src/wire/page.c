/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/page.h"

#include "base/error.h"

#define PAGES_MAX (1ull << (64 - PAGE_SIZE_SHIFT))

static void put(uint8_t *at, uint64_t value, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, unsigned int n)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < n; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

void page_message_encode(const struct page_message *message, uint8_t ret[PAGE_HEADER_SIZE])
{
	put(ret, message->type, 1);
	put(ret + 1, message->flags, 1);
	put(ret + 2, message->n, 2);
	put(ret + 4, message->map, 4);
	put(ret + 8, message->page, 8);
}

static bool holds_valid(const struct page_message *m)
{
	switch (m->flags) {
	case PAGE_HOLDS_S:
	case PAGE_HOLDS_M:
	case PAGE_HOLDS_D:
	case PAGE_HOLDS_L:
		return true;
	case PAGE_HOLDS_END:
		return m->n == 1 && m->page == 0;
	default:
		return false;
	}
}

static bool flags_valid(const struct page_message *m)
{
	switch (m->type) {
	case PAGE_GETS:
	case PAGE_GETX:
	case PAGE_ACK:
	case PAGE_GRANT_M:
	case PAGE_INV:
	case PAGE_FETCH_S:
	case PAGE_FETCH_M:
	case PAGE_KEPT:
		return m->flags == 0;
	case PAGE_BACK:
		return (m->flags | PAGE_GONE) == (PAGE_CONTENT | PAGE_GONE);
	case PAGE_PUT:
		return m->flags == 0 || m->flags == PAGE_CONTENT;
	case PAGE_DATA_S:
	case PAGE_DATA_M:
		return m->flags == PAGE_CONTENT;
	case PAGE_HOLDS:
		return holds_valid(m);
	case PAGE_DISCARDED:
		return m->flags == 0 && m->n == 1;
	case PAGE_HELD:
		return m->flags == 0 && m->n == 1 && m->page == 0;
	default:
		return false;
	}
}

int page_message_decode(const uint8_t bytes[PAGE_HEADER_SIZE], struct page_message *ret_message)
{
	const struct page_message m = {
		.type = bytes[0],
		.flags = bytes[1],
		.n = (uint16_t)get(bytes + 2, 2),
		.map = (uint32_t)get(bytes + 4, 4),
		.page = get(bytes + 8, 8),
	};

	if (m.n == 0 || m.n > PAGE_RUN_MAX || m.page > PAGES_MAX - m.n || !flags_valid(&m))
		return -EBADMSG;
	*ret_message = m;
	return 0;
}
