/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "wire/message.h"
#include "wire/shared.h"
#include "wire/status.h"

static void a_message_survives_the_wire(void **state)
{
	struct wire_message m = {.type = WIRE_SEGMENT_PUBLISH,
				    .serial = 0x123456789abcdef0,
				    .flags = WIRE_ONEWAY},
			    got;
	struct wire_access a[2] = {{1, 0666}, {2, 0600}}, b;
	uint8_t buf[WIRE_PACKET_MAX], tail[64], *at = tail;
	const uint8_t *in;
	ssize_t n;

	m.segment_publish =
		(struct wire_segment_publish){.segment = 7, .id = 0x600000, .n_access = 2};
	for (int i = 0; i < 2; i++)
		at = wire_put_access(at, tail + sizeof(tail), &a[i]);
	m.tail = tail;
	m.tail_size = (size_t)(at - tail);
	n = wire_encode(&m, buf, sizeof(buf));
	assert_int_equal(n, WIRE_HEADER_SIZE + 12 + 16);
	assert_int_equal(wire_decode(buf, (size_t)n, &got), 0);
	assert_int_equal(got.type, m.type);
	assert_true(got.serial == m.serial);
	assert_int_equal(got.flags, WIRE_ONEWAY);
	assert_int_equal(got.segment_publish.id, 0x600000);
	in = got.tail;
	for (int i = 0; i < 2; i++) {
		in = wire_get_access(in, (const uint8_t *)got.tail + got.tail_size, &b);
		assert_non_null(in);
		assert_int_equal(b.mode, a[i].mode);
	}
	assert_null(wire_get_access(in, (const uint8_t *)got.tail + got.tail_size, &b));
}

static void every_message_survives_the_wire(void **state)
{
	uint8_t buf[WIRE_PACKET_MAX], again[WIRE_PACKET_MAX];
	unsigned int n_types = 0;

	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		struct wire_message m = {.type = (uint16_t)type}, got;
		ssize_t n;

		if (!wire_type_name(type)) {
			assert_int_equal(wire_encode(&m, buf, sizeof(buf)), -EINVAL);
			continue;
		}
		n_types++;
		memset((char *)&m + offsetof(struct wire_message, hello), 0x55,
			offsetof(struct wire_message, tail) - offsetof(struct wire_message, hello));
		n = wire_encode(&m, buf, sizeof(buf));
		assert_true(n >= (ssize_t)WIRE_HEADER_SIZE);
		assert_int_equal(wire_decode(buf, (size_t)n, &got), 0);
		assert_int_equal(got.tail_size, 0);
		got.tail = NULL;
		assert_int_equal(wire_encode(&got, again, sizeof(again)), n);
		/* TEXT fields come back terminated: compare what a second round gives */
		assert_int_equal(wire_decode(again, (size_t)n, &m), 0);
		assert_int_equal(m.type, type);
	}
	assert_true(n_types > 30);
}

static void a_newer_sender_and_an_older_one_are_understood(void **state)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT}, got;
	uint8_t buf[256];
	ssize_t n;

	m.import_connect = (struct wire_import_connect){1, 2, 3, 4, 5};
	n = wire_encode(&m, buf, sizeof(buf));
	/* older: knows only the first four fields */
	buf[0] = (uint8_t)(n - 4);
	buf[6] = 16;
	assert_int_equal(wire_decode(buf, (size_t)n - 4, &got), 0);
	assert_int_equal(got.import_connect.id, 4);
	assert_int_equal(got.import_connect.rights, 0);
	/* newer: four bytes more than we know */
	memset(buf + n, 0xee, 4);
	buf[0] = (uint8_t)(n + 4);
	buf[6] = 24;
	assert_int_equal(wire_decode(buf, (size_t)n + 4, &got), 0);
	assert_int_equal(got.import_connect.rights, 5);
	assert_int_equal(got.tail_size, 0);
	/* a field cut in two */
	buf[0] = (uint8_t)(n - 2);
	buf[6] = 18;
	assert_int_equal(wire_decode(buf, (size_t)n - 2, &got), -EBADMSG);
}

static void lying_sizes_are_refused(void **state)
{
	struct wire_message m = {.type = WIRE_PING}, got;
	uint8_t buf[64] = {0};
	ssize_t n = wire_encode(&m, buf, sizeof(buf));

	for (size_t len = 0; len < (size_t)n; len++)
		assert_int_equal(wire_decode(buf, len, &got), -EBADMSG);
	assert_int_equal(wire_decode(buf, (size_t)n + 1, &got), -EBADMSG);
	buf[6] = 1; /* body longer than the packet */
	assert_int_equal(wire_decode(buf, (size_t)n, &got), -EBADMSG);
	buf[6] = 0;
	buf[4] = 0xff;
	buf[5] = 0x12;
	assert_int_equal(wire_decode(buf, (size_t)n, &got), -EOPNOTSUPP);
}

static void any_bytes_decode_or_are_refused(void **state)
{
	uint8_t buf[512];

	srand(1);
	for (int round = 0; round < 200000; round++) {
		size_t len = (size_t)rand() % sizeof(buf);
		struct wire_message m;

		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)rand();
		if (len >= 8 && round % 2) {
			uint32_t size = (uint32_t)len;

			memcpy(buf, &size, 4);
			buf[4] = (uint8_t)(rand() % 24);
			buf[5] = rand() % 2 ? 0x80 : 0;
			buf[7] = 0;
		}
		if (wire_decode(buf, len, &m) == 0) {
			assert_true((const uint8_t *)m.tail >= buf);
			assert_true((const uint8_t *)m.tail + m.tail_size == buf + len);
		}
	}
}

static void every_status_has_a_name_and_a_sentence(void **state)
{
	for (int s = 0; s <= STATUS_WITHDRAWN; s++) {
		assert_non_null(wire_status_name(s));
		assert_true(strlen(wire_status_text(s)) > 3);
	}
	assert_null(wire_status_name(STATUS_WITHDRAWN + 1));
	assert_string_equal(wire_status_text(-1), "unknown status");
}

static void shared_pages_have_their_layout(void **state)
{
	assert_int_equal(offsetof(struct wire_node_page, alive), 32);
	assert_int_equal(WIRE_CELLS_SIZE % 4096, 0);
	assert_int_equal(sizeof(struct wire_status_page),
		64 + 8 * WIRE_CLIENT_IMPORTS + 8 * WIRE_CLIENT_EXPORTS + 8 * WIRE_CLIENT_ROUTES +
			16 * WIRE_CLIENT_IMPORTS + 4 * WIRE_CLIENT_EXPORTS + 8 +
			4 * WIRE_CLIENT_IMPORTS + 2 * (8 + 8 * WIRE_RING_SIZE) * WIRE_CLIENT_RINGS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_survives_the_wire),
		cmocka_unit_test(every_message_survives_the_wire),
		cmocka_unit_test(a_newer_sender_and_an_older_one_are_understood),
		cmocka_unit_test(lying_sizes_are_refused),
		cmocka_unit_test(any_bytes_decode_or_are_refused),
		cmocka_unit_test(every_status_has_a_name_and_a_sentence),
		cmocka_unit_test(shared_pages_have_their_layout),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
