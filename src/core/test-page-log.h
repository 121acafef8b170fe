/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEST_PAGE_LOG_H
#define CORE_TEST_PAGE_LOG_H

/*
 * What a pager or a directory does, as text: "protect 3+2; BACK 3+2 content gone". A test says what
 * must have been done since it looked last.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "wire/page.h"
#include "wire/status.h"

struct page_log {
	char text[4096];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static inline void log_add(
	struct page_log *l, const char *format, ...)
{
	va_list args;

	if (l->n > 0)
		l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "; ");
	va_start(args, format);
	l->n += (size_t)vsnprintf(l->text + l->n, sizeof(l->text) - l->n, format, args);
	va_end(args);
	assert_true(l->n < sizeof(l->text));
}

static inline const char *page_type_name(uint8_t type)
{
	static const char *const names[] = {[PAGE_GETS] = "GETS",
		[PAGE_GETX] = "GETX",
		[PAGE_ACK] = "ACK",
		[PAGE_BACK] = "BACK",
		[PAGE_PUT] = "PUT",
		[PAGE_HOLDS] = "HOLDS",
		[PAGE_DATA_S] = "DATA_S",
		[PAGE_DATA_M] = "DATA_M",
		[PAGE_GRANT_M] = "GRANT_M",
		[PAGE_INV] = "INV",
		[PAGE_FETCH_S] = "FETCH_S",
		[PAGE_FETCH_M] = "FETCH_M",
		[PAGE_KEPT] = "KEPT",
		[PAGE_HELD] = "HELD"};

	assert_true(type < ELEMENTS(names) && names[type]);
	return names[type];
}

/* Of PAGE_HOLDS only the letter. */
static inline const char *page_flags_text(const struct page_message *m)
{
	if (m->flags & (PAGE_HOLDS_S | PAGE_HOLDS_M | PAGE_HOLDS_D | PAGE_HOLDS_L | PAGE_HOLDS_END))
		return m->flags & PAGE_HOLDS_S	 ? " S"
		       : m->flags & PAGE_HOLDS_M ? " M"
		       : m->flags & PAGE_HOLDS_D ? " D"
		       : m->flags & PAGE_HOLDS_L ? " L"
						 : " END";
	if (m->flags & PAGE_GONE)
		return " content gone";
	return m->flags & PAGE_CONTENT ? " content" : "";
}

static inline struct page_message page_said(uint8_t type, uint64_t page, unsigned int n)
{
	struct page_message m = {.type = type, .n = (uint16_t)n, .page = page};

	if (type == PAGE_DATA_S || type == PAGE_DATA_M || type == PAGE_BACK)
		m.flags = PAGE_CONTENT;
	return m;
}

static inline void log_clear(struct page_log *l)
{
	l->n = 0;
	l->text[0] = 0;
}

#define assert_log(log, expected)                                                                  \
	do {                                                                                       \
		assert_string_equal((log)->text, expected);                                        \
		log_clear(log);                                                                    \
	} while (0)

#endif
