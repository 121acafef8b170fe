/* SPDX-License-Identifier: Apache-2.0 */
/* Initiators that lie, stop in the middle, or do not read; and revocation under them. */
#include "fabric/tcp/test-fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "fabric/tcp/frame.h"
#include "wire/message.h"
#include "wire/status.h"

#define STRANGER 9u
#define OTHER	 10u

/* A connection that speaks bytes, with a key of its own for all of memory. */
struct scene {
	struct home home;
	int fd;
	_Atomic uint64_t done;
	struct fabric_key key;
};

static void set_timeout(int fd)
{
	struct timeval patience = {.tv_sec = 10};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	home_begin(&s->home, &tcp_fixture, 16384, true);
	s->fd = tcp_home_attach(&s->home, STRANGER, &s->done);
	set_timeout(s->fd);
	s->key = home_grant(&s->home, STRANGER, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE);
	*state = s;
	return 0;
}

/* Whatever the stranger did, the home serves the other. */
static int end(void **state)
{
	struct scene *s = *state;
	uint64_t value = 5;

	assert_int_equal(fabric_put(s->home.path, &s->home.user, 0, &value, 8, 8, 0), 0);
	close(s->fd);
	home_end(&s->home);
	free(s);
	return 0;
}

static void say(struct scene *s, const void *bytes, size_t n)
{
	assert_int_equal(send(s->fd, bytes, n, MSG_NOSIGNAL), n);
}

static struct frame_request request(
	const struct scene *s, enum frame_type type, uint64_t off, uint32_t size)
{
	return (struct frame_request){
		.type = (uint8_t)type, .off = off, .size = size, .key = s->key};
}

static void say_request(struct scene *s, const struct frame_request *f)
{
	uint8_t head[FRAME_REQUEST_SIZE];

	frame_request_encode(head, f);
	say(s, head, sizeof(head));
}

static void hear(struct scene *s, void *to, size_t n)
{
	assert_int_equal(recv(s->fd, to, n, MSG_WAITALL), n);
}

static struct frame_reply hear_reply(struct scene *s)
{
	struct frame_reply reply;
	uint8_t head[FRAME_REPLY_SIZE];

	hear(s, head, sizeof(head));
	assert_int_equal(frame_reply_decode(head, &reply), 0);
	return reply;
}

static void assert_reply(struct scene *s, enum frame_type type, uint64_t number, int status)
{
	struct frame_reply reply = hear_reply(s);

	assert_int_equal(reply.type, type);
	assert_int_equal(reply.number, number);
	assert_int_equal(reply.status, status);
}

static void wait_closed(struct scene *s)
{
	uint8_t byte;

	while (recv(s->fd, &byte, 1, 0) > 0)
		;
	while (!atomic_load(&s->home.closed))
		usleep(100);
}

/* --- what is no frame --- */

static void break_with(struct scene *s, const void *bytes, size_t n, const char *reason)
{
	unsigned int closed = atomic_load(&s->home.closed);

	say(s, bytes, n);
	while (atomic_load(&s->home.closed) == closed)
		usleep(100);
	assert_string_equal(s->home.reason, reason);
	close(s->fd);
	s->fd = tcp_home_attach(&s->home, STRANGER, &s->done);
	set_timeout(s->fd);
}

static void break_with_head(struct scene *s, const struct frame_request *f, const char *reason)
{
	uint8_t head[FRAME_REQUEST_SIZE];

	frame_request_encode(head, f);
	break_with(s, head, sizeof(head), reason);
}

static void break_with_batch(struct scene *s, uint32_t size, uint64_t record, const char *reason)
{
	struct frame_request f = request(s, FRAME_BATCH, 1, size);
	uint8_t bytes[FRAME_REQUEST_SIZE + 16] = {0};

	frame_request_encode(bytes, &f);
	frame_store64(bytes + FRAME_REQUEST_SIZE, record);
	break_with(s, bytes, sizeof(bytes), reason);
}

static void what_is_no_frame_ends_the_connection_with_a_reason(void **state)
{
	struct scene *s = *state;
	uint8_t zeros[64] = {0};
	struct frame_request f;

	break_with(s, zeros, sizeof(zeros), "a frame of unknown type");
	f = request(s, FRAME_DONE, 0, 0);
	break_with_head(s, &f, "a frame of unknown type");
	f = request(s, FRAME_PUT, 0, FRAME_BULK_MAX + 1);
	break_with_head(s, &f, "a frame that is too large");
	f = request(s, FRAME_PUT, 0, UINT32_MAX);
	break_with_head(s, &f, "a frame that is too large");
	f = request(s, FRAME_GET, 0, UINT32_MAX);
	break_with_head(s, &f, "a frame that is too large");
	f = request(s, FRAME_BATCH, 0, FRAME_BATCH_MAX + 1);
	break_with_head(s, &f, "a frame that is too large");
	f = request(s, FRAME_SIGNAL, 0, 1);
	break_with_head(s, &f, "a frame that is too large");
	f = request(s, FRAME_PUT, 0, 9);
	f.width = 3;
	break_with_head(s, &f, "elements of an impossible width");
	f.width = 16;
	break_with_head(s, &f, "elements of an impossible width");
	f = request(s, FRAME_PUT, 0, 8);
	f.flags = 0x8000;
	break_with_head(s, &f, "a frame with unknown flags");
	f = request(s, FRAME_ADD, 0, 8);
	break_with_head(s, &f, "an atomic operation of an impossible width");
	f = request(s, FRAME_SWAP, 0, 2);
	f.width = 2;
	break_with_head(s, &f, "an atomic operation of an impossible width");
	f = request(s, FRAME_GET, 0, 8);
	f.flags = FRAME_CHECK;
	break_with_head(s, &f, "a get that is only checked");
	break_with_batch(s, 16, 9, "a record that is too large");
	break_with_batch(s, 16, 0x3fff, "a record that is too large");
	break_with_batch(s, 7, 0, "a batch that ends within a record");
	break_with_batch(s, 12, 1, "a batch that ends within a record");
}

static void records_outside_the_region_fail_alone(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_BATCH, 3, 48);
	uint8_t bytes[48];
	uint64_t value = 1;

	for (unsigned int i = 0; i < 3; i++) {
		frame_record_encode(
			bytes + 16 * i, i == 1 ? FRAME_OFFSET_MAX : i * 8, frame_width_log2(8), 8);
		memset(bytes + 16 * i + 8, 7, 8);
	}
	say_request(s, &f);
	say(s, bytes, sizeof(bytes));
	assert_reply(s, FRAME_FAILED, 1, STATUS_BAD_OFFSET);
	memcpy(&value, s->home.memory, 8);
	assert_true(value == 0x0707070707070707);
	assert_memory_equal(s->home.memory + 16, &value, 8);
	assert_int_equal(atomic_load(&s->done), 1);
}

static void a_forged_key_opens_nothing(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, 0, 8);
	uint64_t number = 0;

	for (unsigned int i = 0; i < 8 * FABRIC_KEY_SIZE; i++) {
		f.key = s->key;
		f.key.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		say_request(s, &f);
		say(s, "01234567", 8);
		assert_reply(s, FRAME_FAILED, ++number, STATUS_BAD_HANDLE);
	}
	f.key = s->home.user.key; /* another connection's */
	say_request(s, &f);
	say(s, "01234567", 8);
	assert_reply(s, FRAME_FAILED, ++number, STATUS_BAD_HANDLE);
	assert_int_equal(s->home.memory[0], 0);
	/* the rest of a large put that fails is read all the same */
	f.size = FRAME_BULK_MAX;
	say_request(s, &f);
	for (unsigned int i = 0; i < FRAME_BULK_MAX / 8; i++)
		say(s, "01234567", 8);
	assert_reply(s, FRAME_FAILED, ++number, STATUS_BAD_HANDLE);
	f = request(s, FRAME_PUT, 0, 8);
	say_request(s, &f);
	say(s, "01234567", 8);
	assert_reply(s, FRAME_DONE, ++number, 0);
	assert_memory_equal(s->home.memory, "01234567", 8);
}

/* Its own connection may end before the batch does. */
static void a_batch_under_another_connection_s_key_outlives_that_key(void **state)
{
	struct scene *s = *state, other = {.home = s->home};
	struct frame_request f = request(s, FRAME_BATCH, 2, 32);
	uint8_t record[16] = {0};

	other.fd = tcp_home_attach(&s->home, OTHER, &other.done);
	f.key = home_grant(&s->home, OTHER, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE);
	frame_record_encode(record, 0, frame_width_log2(8), 8);
	say_request(s, &f);
	say(s, record, sizeof(record));
	usleep(20000);
	fabric_target_revoke(s->home.target, &f.key);
	fabric_target_detach(s->home.target, OTHER);
	say(s, record, sizeof(record));
	assert_reply(s, FRAME_FAILED, 1, STATUS_BAD_HANDLE);
	close(other.fd);
}

static void a_checked_request_has_no_effect(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, 0, 50000);

	f.flags = FRAME_CHECK;
	say_request(s, &f);
	assert_reply(s, FRAME_DONE, 1, 0);
	f.off = MEMORY_SIZE;
	say_request(s, &f);
	assert_reply(s, FRAME_FAILED, 2, STATUS_BAD_OFFSET);
	f = request(s, FRAME_SIGNAL, 0, 0);
	f.flags = FRAME_CHECK;
	say_request(s, &f);
	assert_reply(s, FRAME_DONE, 3, 0);
	assert_int_equal(atomic_load(&s->home.posts), 0);
	for (size_t i = 0; i < 50000; i++)
		assert_int_equal(s->home.memory[i], 0);
}

/* --- those that stop --- */

static void a_frame_that_does_not_go_on_has_a_deadline(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, 0, 20000);
	uint64_t start;

	say_request(s, &f);
	for (unsigned int i = 0; i < 12; i++) { /* slow is not stopped */
		usleep(100000);
		say(s, "x", 1);
	}
	assert_int_equal(atomic_load(&s->home.closed), 0);
	start = clock_now();
	wait_closed(s);
	assert_in_range((clock_now() - start) / NSEC_PER_MSEC, 900, 5000);
	assert_string_equal(s->home.reason, "the rest of a frame did not come in time");
}

static void who_says_nothing_may_stay(void **state)
{
	struct scene *s = *state;
	struct frame_request f = request(s, FRAME_PUT, 0, 8);

	usleep(1200000);
	say_request(s, &f);
	say(s, "01234567", 8);
	assert_reply(s, FRAME_DONE, 1, 0);
}

/* --- those that do not read --- */

static void fill_memory(struct scene *s, int byte)
{
	memset(s->home.memory, byte, MEMORY_SIZE);
}

/* As many gets as the target takes while nobody reads. */
static unsigned int ask_without_reading(struct scene *s, uint32_t size)
{
	struct frame_request f = request(s, FRAME_GET, 0, size);
	uint8_t head[FRAME_REQUEST_SIZE];
	unsigned int n;

	frame_request_encode(head, &f);
	for (n = 0; n < 100000; n++)
		if (send(s->fd, head, sizeof(head), MSG_NOSIGNAL | MSG_DONTWAIT) !=
			(ssize_t)sizeof(head)) {
			usleep(2000);
			if (send(s->fd, head, sizeof(head), MSG_NOSIGNAL | MSG_DONTWAIT) !=
				(ssize_t)sizeof(head))
				break;
		}
	return n;
}

static void who_does_not_read_stalls_alone(void **state)
{
	static const uint32_t sizes[] = {8, 8192, FRAME_BULK_MAX};
	struct scene *s = *state;
	uint8_t *data = malloc(FRAME_BULK_MAX);
	uint64_t value = 3, number = 0;

	fill_memory(s, 0x11);
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		unsigned int n = ask_without_reading(s, sizes[i]);

		assert_in_range(n, 10, 99999);
		for (unsigned int j = 0; j < 100; j++)
			assert_int_equal(fabric_put(s->home.path, &s->home.user, MEMORY_SIZE - 8,
						 &value, 8, 8, 0),
				0);
		if (i == 1)
			usleep(1100000); /* longer than a frame may take to come */
		for (uint64_t end = number + n; number < end;) {
			struct frame_reply reply = hear_reply(s);

			assert_int_not_equal(reply.type, FRAME_FAILED);
			if (reply.type == FRAME_DONE)
				continue;
			assert_int_equal(reply.number, ++number);
			assert_int_equal(reply.size, sizes[i]);
			hear(s, data, reply.size);
			assert_int_equal(data[0], 0x11);
			assert_int_equal(data[sizes[i] - 1], 0x11);
		}
	}
	assert_int_equal(atomic_load(&s->home.closed), 0);
	free(data);
}

/* --- revocation --- */

static void revoke_under_a_put(struct scene *s, uint32_t sent, uint64_t number)
{
	struct frame_request f = request(s, FRAME_PUT, 4096, FRAME_BULK_MAX);
	uint8_t *data = malloc(FRAME_BULK_MAX);
	struct fabric_traffic t = {0};
	struct fabric_key next;

	fill_memory(s, 0);
	memset(data, 0x22, FRAME_BULK_MAX);
	say_request(s, &f);
	say(s, data, sent);
	for (unsigned int i = 0; t.put_bytes < sent; i++) {
		assert_true(i < 100000);
		usleep(100);
		assert_int_equal(fabric_target_traffic(s->home.target, &s->key, &t), 0);
	}
	next = home_grant(&s->home, STRANGER, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE);
	fabric_target_revoke(s->home.target, &s->key);
	fill_memory(s, 0x33);
	say(s, data, FRAME_BULK_MAX - sent);
	assert_reply(s, FRAME_FAILED, number, STATUS_REVOKED);
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		assert_int_equal(s->home.memory[i], 0x33);
	s->key = next;
	free(data);
}

static void no_byte_of_a_put_moves_after_revoke(void **state)
{
	struct scene *s = *state;

	revoke_under_a_put(s, 1, 1);
	revoke_under_a_put(s, 30000, 2);
	revoke_under_a_put(s, FRAME_BULK_MAX - 1, 3);
}

static void no_byte_is_read_for_a_get_after_revoke(void **state)
{
	struct scene *s = *state;
	uint8_t *data = malloc(FRAME_BULK_MAX);
	unsigned int n, full = 0, zeros = 0, refused = 0;
	bool over = false;

	fill_memory(s, 0x44);
	n = ask_without_reading(s, 65536); /* some of which a socket holds as a whole */
	usleep(20000);
	fabric_target_revoke(s->home.target, &s->key);
	fill_memory(s, 0x55);
	for (uint64_t number = 0; number < n;) {
		struct frame_reply reply = hear_reply(s);

		if (reply.type == FRAME_DONE)
			continue;
		number++;
		assert_int_equal(reply.number, number);
		if (reply.type == FRAME_FAILED) {
			assert_int_equal(reply.status, STATUS_REVOKED);
			over = true;
			refused++;
			continue;
		}
		assert_false(over);
		hear(s, data, reply.size);
		for (size_t i = 0; i < reply.size; i++) {
			assert_true(data[i] == 0x44 || data[i] == 0);
			assert_false(i && data[i] && !data[i - 1]);
		}
		if (data[reply.size - 1]) {
			full++;
			continue;
		}
		zeros++;
		assert_reply(s, FRAME_FAILED, number, STATUS_REVOKED);
		over = true;
	}
	print_message("%u whole, %u ended in zeros, %u refused\n", full, zeros, refused);
	assert_int_equal(full + zeros + refused, n);
	assert_in_range(zeros, 0, 1);
	assert_true(full > 0 && refused > 0);
	free(data);
}

/* Revocation and grants get in while the data thread is as busy as can be. */
static void *put_all_the_time(void *userdata)
{
	struct scene *s = userdata;
	uint8_t *data = calloc(1, 1 << 20);

	while (!atomic_load(&s->home.check_with))
		assert_int_equal(
			fabric_put(s->home.path, &s->home.user, 0, data, 1 << 20, 0, FABRIC_SPAN),
			0);
	fabric_order(s->home.path, &s->home.user);
	free(data);
	return NULL;
}

static void a_busy_data_thread_lets_callers_in(void **state)
{
	struct scene *s = *state;
	struct fabric_region region = {
		.base = s->home.memory, .fd = -1, .size = 4096, .connection = STRANGER};
	pthread_t thread;
	uint64_t start, longest = 0;

	assert_int_equal(pthread_create(&thread, NULL, put_all_the_time, s), 0);
	for (unsigned int i = 0; i < 200; i++) {
		struct fabric_key key = {{(uint8_t)i, 99}};

		start = clock_now();
		assert_int_equal(fabric_target_grant(s->home.target, &key, &region), 0);
		fabric_target_revoke(s->home.target, &key);
		longest = MAX(longest, clock_now() - start);
		usleep(500);
	}
	atomic_store(&s->home.check_with, 1);
	pthread_join(thread, NULL);
	atomic_store(&s->home.check_with, 0);
	print_message("longest: %lu us\n", (unsigned long)(longest / NSEC_PER_USEC));
	assert_true(longest < NSEC_PER_SEC);
}

/* --- memory that is not mapped --- */

static void memory_behind_a_descriptor_does_as_well(void **state)
{
	struct scene *s = *state;
	struct fabric_region region = {.fd = s->home.memory_fd,
		.offset = 4096,
		.size = 1 << 20,
		.rights = WIRE_READ | WIRE_WRITE,
		.connection = CONNECTION};
	struct fabric_user user;
	uint8_t *data = malloc(2 << 20);
	uint64_t old;

	home_fill(data, 1 << 20, 8);
	assert_int_equal(
		fabric_target_grant(s->home.target, &(struct fabric_key){{77}}, &region), 0);
	home_add_user(&s->home, s->home.path, &user, (struct fabric_key){{77}});
	assert_int_equal(fabric_put(s->home.path, &user, 0, data, 1 << 20, 0, 0), 0);
	assert_memory_equal(s->home.memory + 4096, data, 1 << 20);
	assert_int_equal(fabric_get(s->home.path, &user, 100, data + (1 << 20), 200000, 0), 0);
	assert_memory_equal(data + (1 << 20), data + 100, 200000);
	assert_int_equal(fabric_put(s->home.path, &user, 8, "87654321", 8, 8, 0), 0);
	assert_memory_equal(s->home.memory + 4104, "87654321", 8);
	assert_int_equal(
		fabric_put(s->home.path, &user, (1 << 20) - 7, data, 8, 0, 0), STATUS_BAD_OFFSET);
	assert_int_equal(
		fabric_fetch_add(s->home.path, &user, 8, 8, 1, &old), STATUS_NOT_SUPPORTED);
	/* a file that has become shorter */
	assert_int_equal(ftruncate(s->home.memory_fd, 8192), 0);
	assert_int_equal(fabric_get(s->home.path, &user, 0, data, 100000, 0), STATUS_BAD_ADDRESS);
	assert_int_equal(ftruncate(s->home.memory_fd, MEMORY_SIZE), 0);
	fabric_path_remove_user(s->home.path, &user);
	free(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_frame_ends_the_connection_with_a_reason),
		TEST(records_outside_the_region_fail_alone),
		TEST(a_forged_key_opens_nothing),
		TEST(a_batch_under_another_connection_s_key_outlives_that_key),
		TEST(a_checked_request_has_no_effect),
		TEST(a_frame_that_does_not_go_on_has_a_deadline),
		TEST(who_says_nothing_may_stay),
		TEST(who_does_not_read_stalls_alone),
		TEST(no_byte_of_a_put_moves_after_revoke),
		TEST(no_byte_is_read_for_a_get_after_revoke),
		TEST(a_busy_data_thread_lets_callers_in),
		TEST(memory_behind_a_descriptor_does_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
