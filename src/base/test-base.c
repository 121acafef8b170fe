/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/idtable.h"
#include "base/list.h"
#include "base/parse.h"

static void range_within_never_overflows(void **state)
{
	assert_true(range_within(0, 0, 0));
	assert_true(range_within(4, 4, 8));
	assert_false(range_within(4, 5, 8));
	assert_false(range_within(9, 0, 8));
	assert_false(range_within(UINT64_MAX, 2, 8));
	assert_false(range_within(4, UINT64_MAX, 8));
	assert_true(range_within(0, UINT64_MAX, UINT64_MAX));
}

static void parse_takes_whole_numbers_only(void **state)
{
	uint64_t v = 7;
	uint32_t w = 7;

	assert_int_equal(parse_u64("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(parse_u64("0x1F", &v), 0);
	assert_int_equal(v, 31);
	assert_int_equal(parse_u64("18446744073709551616", &v), -ERANGE);
	assert_int_equal(parse_u64("", &v), -EINVAL);
	assert_int_equal(parse_u64("0x", &v), -EINVAL);
	assert_int_equal(parse_u64("-1", &v), -EINVAL);
	assert_int_equal(parse_u64(" 1", &v), -EINVAL);
	assert_int_equal(parse_u64("1 ", &v), -EINVAL);
	assert_int_equal(v, 31);
	assert_int_equal(parse_u32("4294967296", &w), -ERANGE);
	assert_int_equal(w, 7);
}

static void parse_knows_units(void **state)
{
	uint64_t v;
	bool b;

	assert_int_equal(parse_size("16K", &v), 0);
	assert_int_equal(v, 16384);
	assert_int_equal(parse_size("16777217T", &v), -ERANGE);
	assert_int_equal(parse_size("16k", &v), -EINVAL);
	assert_int_equal(parse_duration("100ms", &v), 0);
	assert_int_equal(v, 100 * NSEC_PER_MSEC);
	assert_int_equal(parse_duration("2", &v), 0);
	assert_int_equal(v, 2 * NSEC_PER_SEC);
	assert_int_equal(parse_bool("off", &b), 0);
	assert_false(b);
	assert_int_equal(parse_bool("Yes", &b), -EINVAL);
}

static void idtable_gives_the_lowest_free_index(void **state)
{
	struct idtable t;
	uint32_t i, n;
	void *o;
	int x;

	idtable_init(&t, 20);
	for (n = 0; n < 20; n++) {
		assert_int_equal(idtable_add(&t, &x, &i), 0);
		assert_int_equal(i, n);
	}
	assert_int_equal(idtable_add(&t, &x, &i), -ENOSPC);
	idtable_remove(&t, 7);
	idtable_remove(&t, 3);
	assert_null(idtable_get(&t, 3));
	assert_null(idtable_get(&t, 1000));
	assert_int_equal(idtable_add(&t, &x, &i), 0);
	assert_int_equal(i, 3);
	assert_int_equal(idtable_add_at(&t, 3, &x), -EEXIST);
	assert_int_equal(idtable_add_at(&t, 20, &x), -ERANGE);
	assert_int_equal(idtable_add_at(&t, 7, &x), 0);
	n = 0;
	idtable_for_each (&t, i, o)
		n++;
	assert_int_equal(n, 20);
	idtable_deinit(&t);
}

struct item {
	int value;
	struct list link;
};

static void list_keeps_order_and_allows_unlinking(void **state)
{
	struct list head;
	struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}}, *i, *tmp;
	int sum = 0;

	list_init(&head);
	assert_null(list_first(&head, struct item, link));
	for (int n = 0; n < 3; n++)
		list_append(&head, &items[n].link);
	list_for_each_safe (i, tmp, &head, link) {
		sum = sum * 10 + i->value;
		list_unlink(&i->link);
	}
	assert_int_equal(sum, 12);
	assert_true(list_empty(&head));
	list_unlink(&items[0].link);
}

static void packets_carry_descriptors(void **state)
{
	int s[2], got[FD_PACKET_MAX], m = memfd_create("x", MFD_CLOEXEC), out[2] = {m, m};
	unsigned int n = 0;
	char buf[8];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(fd_send(s[0], "abc", 3, out, 2, 0), 0);
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n, 0), 3);
	assert_int_equal(n, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	fd_close_many(got, n);
	assert_int_equal(fd_send(s[0], "too long a packet", 17, out, 2, 0), 0);
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n, 0), -EMSGSIZE);
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n, MSG_DONTWAIT), -EAGAIN);
	close(s[0]);
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n, 0), 0);
	assert_int_equal(fd_send(s[1], "x", 1, NULL, 0, 0), -EPIPE);
	close(s[1]);
	close(m);
}

static void reopened_readonly_cannot_write(void **state)
{
	int m = memfd_create("x", MFD_CLOEXEC), r;

	assert_int_equal(fd_reopen(m, O_RDONLY, &r), 0);
	assert_int_equal(write(r, "x", 1), -1);
	assert_true(fd_link_is(r, "/memfd:x (deleted)"));
	assert_false(fd_link_is(r, "/memfd:x"));
	close(r);
	close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_within_never_overflows),
		cmocka_unit_test(parse_takes_whole_numbers_only),
		cmocka_unit_test(parse_knows_units),
		cmocka_unit_test(idtable_gives_the_lowest_free_index),
		cmocka_unit_test(list_keeps_order_and_allows_unlinking),
		cmocka_unit_test(packets_carry_descriptors),
		cmocka_unit_test(reopened_readonly_cannot_write),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
