/* SPDX-License-Identifier: Apache-2.0 */
/* The suite over TCP's fixture, and what has no counterpart elsewhere. */
#include "fabric/tcp/test-fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/error.h"

#define SMALL_PUTS 20u

struct bulk {
	struct home *home;
	uint8_t *data;
	_Atomic bool begun, over;
};

static void *put_much_in_one_call(void *userdata)
{
	struct bulk *b = userdata;
	struct fabric_piece pieces[64];
	size_t done;

	for (size_t i = 0; i < ELEMENTS(pieces); i++)
		pieces[i] = (struct fabric_piece){.local = b->data, .n = MEMORY_SIZE / 2};
	atomic_store(&b->begun, true);
	assert_int_equal(
		fabric_putv(b->home->path, &b->home->user, pieces, ELEMENTS(pieces), 0, &done), 0);
	atomic_store(&b->over, true);
	return NULL;
}

static void a_large_put_does_not_hold_up_small_ones(void **state)
{
	struct home home;
	struct bulk bulk = {.home = &home, .data = calloc(1, MEMORY_SIZE / 2)};
	unsigned int puts = 0;
	uint64_t value = 0;
	pthread_t thread;

	home_begin(&home, &tcp_fixture, 16384, false);
	assert_int_equal(pthread_create(&thread, NULL, put_much_in_one_call, &bulk), 0);
	while (!atomic_load(&bulk.begun))
		;
	for (; !atomic_load(&bulk.over); puts++) {
		value++;
		assert_int_equal(
			fabric_put(home.path, &home.user, MEMORY_SIZE - 8, &value, 8, 8, 0), 0);
		assert_memory_equal(home.memory + MEMORY_SIZE - 8, &value, 8);
	}
	pthread_join(thread, NULL);
	print_message("%u small puts\n", puts);
	assert_true(puts >= SMALL_PUTS);
	home_end(&home);
	free(bulk.data);
}

static void a_hello_is_known_by_its_first_bytes(void **state)
{
	static const uint8_t grant[16] = "a grant of 16 by";
	uint8_t hello[FABRIC_HELLO_SIZE], back[16];
	uint32_t node = 0, flags = 7;

	fabric_hello_encode(hello, 0x01020304, 0, grant);
	assert_int_equal(hello[0], 'C');
	assert_int_equal(fabric_hello_decode(hello, &node, &flags, back), 0);
	assert_int_equal(node, 0x01020304);
	assert_int_equal(flags, 0);
	assert_memory_equal(back, grant, sizeof(grant));
	for (size_t i = 0; i < 16; i++) {
		if (i >= 8 && i < 12)
			continue; /* the node */
		hello[i] ^= 2;
		node = 7;
		assert_int_equal(fabric_hello_decode(hello, &node, &flags, back), -EBADMSG);
		assert_int_equal(node, 7);
		hello[i] ^= 2;
	}
	fabric_hello_encode(hello, 0x01020304, FABRIC_HELLO_TLS, grant);
	assert_int_equal(fabric_hello_decode(hello, &node, &flags, back), 0);
	assert_int_equal(flags, FABRIC_HELLO_TLS);
}

static void tuning_takes_the_first_congestion_control_there_is(void **state)
{
	char name[16] = "", before[16] = "";
	socklen_t size = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), value = 0;

	fabric_tcp_tune(fd, 3000, "nosuch  anamethatislongerthanthekernels reno cubic");
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
	assert_string_equal(name, "reno");
	size = sizeof(value);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
	assert_int_equal(value, 3000);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
	assert_true(value);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size = sizeof(before);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, before, &size);
	fabric_tcp_tune(fd, 0, NULL);
	fabric_tcp_tune(fd, 0, "  ");
	size = sizeof(name);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size);
	assert_string_equal(name, before);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_put_does_not_hold_up_small_ones),
		cmocka_unit_test(a_hello_is_known_by_its_first_bytes),
		cmocka_unit_test(tuning_takes_the_first_congestion_control_there_is),
	};

	return suite_run(&tcp_fixture) + cmocka_run_group_tests(tests, NULL, NULL);
}
