/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that wait for pages which are elsewhere, and what may happen to them meanwhile. */
#include "fabric/tcp/test-fixture.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "fabric/tcp/frame.h"
#include "fabric/test-claims.h"
#include "wire/message.h"
#include "wire/status.h"

#define STRANGER 9u
#define AWAY	 5u /* the page that is */
#define AT	 (AWAY * CLAIM_PAGE)

/* A connection that speaks bytes, beside the home's path. */
struct scene {
	struct home home;
	int fd;
	_Atomic uint64_t done;
	struct fabric_key key;
};

static int begin(void **state)
{
	struct timeval patience = {.tv_sec = 10};
	struct scene *s = calloc(1, sizeof(*s));

	home_begin_coherent(&s->home, &tcp_fixture, 16384, true);
	s->fd = tcp_home_attach(&s->home, STRANGER, &s->done);
	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	s->key = home_grant(&s->home, STRANGER, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE);
	claims_take(s->home.claims, AWAY);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	fd_close(s->fd);
	home_end(&s->home);
	free(s);
	return 0;
}

static struct frame_request request(
	const struct scene *s, enum frame_type type, uint64_t off, uint32_t size)
{
	return (struct frame_request){
		.type = (uint8_t)type, .off = off, .size = size, .key = s->key};
}

static void say(struct scene *s, const struct frame_request *f, const void *tail, size_t n)
{
	uint8_t head[FRAME_REQUEST_SIZE];

	frame_request_encode(head, f);
	assert_int_equal(send(s->fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	if (n)
		assert_int_equal(send(s->fd, tail, n, MSG_NOSIGNAL), n);
}

static void hear(struct scene *s, void *to, size_t n)
{
	assert_int_equal(recv(s->fd, to, n, MSG_WAITALL), n);
}

static void assert_reply(struct scene *s, enum frame_type type, uint64_t number, int status)
{
	struct frame_reply reply;
	uint8_t head[FRAME_REPLY_SIZE];

	hear(s, head, sizeof(head));
	assert_int_equal(frame_reply_decode(head, &reply), 0);
	assert_int_equal(reply.type, type);
	assert_int_equal(reply.number, number);
	assert_int_equal(reply.status, status);
}

static void wait_refused(struct scene *s, unsigned int n)
{
	for (unsigned int i = 0; claims_refused(s->home.claims) < n; i++) {
		assert_true(i < 100000);
		usleep(100);
	}
}

static void wait_parked(struct scene *s)
{
	wait_refused(s, 1);
}

static void give(struct scene *s)
{
	claims_give(s->home.claims, AWAY);
	fabric_target_retry(s->home.target);
}

static void put_8_bytes(struct scene *s, uint64_t off)
{
	struct frame_request f = request(s, FRAME_PUT, off, 8);

	say(s, &f, "01234567", 8);
}

/* The home's other connection gets its turns. */
static void assert_others_go_on(struct scene *s)
{
	uint64_t value = 0x1122334455667788, back = 0;

	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(
			fabric_put(s->home.path, &s->home.user, MEMORY_SIZE - 8, &value, 8, 8, 0),
			0);
		assert_int_equal(
			fabric_get(s->home.path, &s->home.user, MEMORY_SIZE - 8, &back, 8, 8), 0);
		assert_true(back == value);
	}
}

static bool is_zero(const struct scene *s, uint64_t off, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->home.memory[off + i])
			return false;
	return true;
}

static void who_waits_for_a_page_holds_up_nobody_but_himself(void **state)
{
	struct scene *s = *state;

	put_8_bytes(s, AT);
	put_8_bytes(s, 0);
	wait_parked(s);
	assert_others_go_on(s);
	assert_true(is_zero(s, 0, 8) && is_zero(s, AT, 8));
	assert_int_equal(atomic_load(&s->done), 0);
	give(s);
	assert_reply(s, FRAME_DONE, 2, 0);
	assert_memory_equal(s->home.memory + AT, "01234567", 8);
	assert_memory_equal(s->home.memory, "01234567", 8);
}

static void a_retry_without_the_page_changes_nothing(void **state)
{
	struct scene *s = *state;

	put_8_bytes(s, AT);
	wait_parked(s);
	for (unsigned int i = 2; i < 50; i++) {
		fabric_target_retry(s->home.target);
		wait_refused(s, i);
	}
	assert_int_equal(atomic_load(&s->done), 0);
	give(s);
	assert_reply(s, FRAME_DONE, 1, 0);
}

static void revocation_ends_the_wait(void **state)
{
	struct scene *s = *state;

	put_8_bytes(s, AT);
	wait_parked(s);
	fabric_target_revoke(s->home.target, &s->key);
	assert_reply(s, FRAME_FAILED, 1, STATUS_REVOKED);
	assert_true(is_zero(s, AT, 8));
	assert_others_go_on(s);
}

static void what_becomes_plain_memory_is_not_waited_for(void **state)
{
	struct scene *s = *state;

	put_8_bytes(s, AT);
	wait_parked(s);
	mprotect(claims_memory(s->home.claims), MEMORY_SIZE, PROT_READ | PROT_WRITE);
	assert_int_equal(fabric_target_set_coherent(s->home.target, &s->key, NULL), 0);
	assert_reply(s, FRAME_DONE, 1, 0);
	assert_memory_equal(s->home.memory + AT, "01234567", 8);
	assert_int_equal(
		fabric_target_set_coherent(s->home.target, &(struct fabric_key){{1, 2, 3}}, s),
		-ENOENT);
}

static void detaching_ends_the_wait(void **state)
{
	struct scene *s = *state;
	uint8_t byte;

	put_8_bytes(s, AT);
	wait_parked(s);
	fabric_target_detach(s->home.target, STRANGER);
	give(s);
	assert_int_equal(recv(s->fd, &byte, 1, 0), 0);
	assert_others_go_on(s);
	assert_true(is_zero(s, AT, 8));
}

/* Its bytes have come, so they are put; and nobody spins on a stream that is over. */
static void who_hangs_up_meanwhile_is_heard_to_the_end(void **state)
{
	struct scene *s = *state;

	put_8_bytes(s, AT);
	put_8_bytes(s, 0);
	wait_parked(s);
	s->fd = fd_close(s->fd);
	usleep(100000);
	assert_others_go_on(s);
	assert_in_range(claims_refused(s->home.claims), 1, 3);
	assert_int_equal(atomic_load(&s->home.closed), 0);
	give(s);
	while (!atomic_load(&s->home.closed))
		usleep(100);
	assert_memory_equal(s->home.memory + AT, "01234567", 8);
}

static void a_frame_may_take_its_time_while_it_is_we_who_wait(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, AT - 100, 50000);
	uint8_t data[50000];

	home_fill(data, sizeof(data), 3);
	say(s, &f, data, 20000);
	wait_parked(s);
	usleep(1200000);
	assert_int_equal(atomic_load(&s->home.closed), 0);
	assert_memory_equal(s->home.memory + AT - 100, data, 100);
	assert_true(is_zero(s, AT, 20000));
	assert_int_equal(send(s->fd, data + 20000, 30000, MSG_NOSIGNAL), 30000);
	give(s);
	assert_reply(s, FRAME_DONE, 1, 0);
	assert_memory_equal(s->home.memory + AT - 100, data, sizeof(data));
}

/* What is stored before the wait may have been changed by others since. */
static void a_put_goes_on_where_it_was_left(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, AT - 8, 16);
	static const uint8_t digits[16] = {
		'f', 'e', 'd', 'c', 'b', 'a', '9', '8', '7', '6', '5', '4', '3', '2', '1', '0'};
	uint8_t batch[48];

	say(s, &f, "0123456789abcdef", 16);
	wait_parked(s);
	assert_memory_equal(s->home.memory + AT - 8, "01234567", 8);
	memcpy(s->home.memory + AT - 8, "changed!", 8);
	give(s);
	assert_reply(s, FRAME_DONE, 1, 0);
	assert_memory_equal(s->home.memory + AT - 8, "changed!89abcdef", 16);

	claims_take(s->home.claims, AWAY);
	f = request(s, FRAME_BATCH, 2, sizeof(batch));
	frame_record_encode(batch, AT - 8, 0, 16);
	memcpy(batch + 8, digits, 16);
	frame_record_encode(batch + 24, 0, 0, 16);
	memcpy(batch + 32, digits, 16);
	say(s, &f, batch, sizeof(batch));
	wait_refused(s, 2);
	memcpy(s->home.memory + AT - 8, "CHANGED!", 8);
	assert_true(is_zero(s, 0, 16));
	give(s);
	assert_reply(s, FRAME_DONE, 2, 0);
	assert_memory_equal(s->home.memory + AT - 8, "CHANGED!76543210", 16);
	assert_memory_equal(s->home.memory, "fedcba9876543210", 16);
}

static void an_atomic_is_counted_when_it_is_done(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_ADD, AT, 8);
	uint8_t words[FRAME_ATOMIC_SIZE] = {7}, old[8];
	uint64_t value = 35;

	memcpy(s->home.memory + AT, &value, 8);
	f.width = 8;
	say(s, &f, words, sizeof(words));
	wait_parked(s);
	assert_int_equal(atomic_load(&s->done), 0);
	give(s);
	assert_reply(s, FRAME_DATA, 1, 0);
	hear(s, old, 8);
	assert_int_equal(frame_load64(old), 35);
	memcpy(&value, s->home.memory + AT, 8);
	assert_int_equal(value, 42);
}

static void a_get_sends_what_is_here_and_waits_for_the_rest(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_GET, 0, 10 * CLAIM_PAGE);
	uint8_t data[10 * CLAIM_PAGE];

	home_fill(s->home.memory, sizeof(data), 4);
	say(s, &f, NULL, 0);
	put_8_bytes(s, 0);
	assert_reply(s, FRAME_DATA, 1, 0);
	hear(s, data, AT);
	wait_parked(s);
	assert_others_go_on(s);
	assert_int_equal(recv(s->fd, data + AT, 1, MSG_DONTWAIT), -1);
	give(s);
	hear(s, data + AT, sizeof(data) - AT);
	assert_reply(s, FRAME_DONE, 1, 0);
	assert_reply(s, FRAME_DONE, 2, 0);
	memcpy(s->home.memory, data, 8);
	assert_memory_equal(s->home.memory, data, sizeof(data));
}

static void revocation_ends_the_wait_of_a_get(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_GET, 0, 10 * CLAIM_PAGE);
	uint8_t data[10 * CLAIM_PAGE];

	memset(s->home.memory, 0x66, sizeof(data));
	say(s, &f, NULL, 0);
	assert_reply(s, FRAME_DATA, 1, 0);
	wait_parked(s);
	fabric_target_revoke(s->home.target, &s->key);
	hear(s, data, sizeof(data));
	assert_int_equal(data[AT - 1], 0x66);
	for (size_t i = AT; i < sizeof(data); i++)
		assert_int_equal(data[i], 0);
	assert_reply(s, FRAME_FAILED, 1, STATUS_REVOKED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(who_waits_for_a_page_holds_up_nobody_but_himself),
		TEST(a_retry_without_the_page_changes_nothing),
		TEST(revocation_ends_the_wait),
		TEST(what_becomes_plain_memory_is_not_waited_for),
		TEST(detaching_ends_the_wait),
		TEST(who_hangs_up_meanwhile_is_heard_to_the_end),
		TEST(a_frame_may_take_its_time_while_it_is_we_who_wait),
		TEST(a_put_goes_on_where_it_was_left),
		TEST(an_atomic_is_counted_when_it_is_done),
		TEST(a_get_sends_what_is_here_and_waits_for_the_rest),
		TEST(revocation_ends_the_wait_of_a_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
