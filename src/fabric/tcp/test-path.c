/* SPDX-License-Identifier: Apache-2.0 */
/* A path whose target is this test: answers that are none, no answers, forks, threads. */
#include "fabric/tcp/test-fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "fabric/tcp/frame.h"
#include "wire/message.h"
#include "wire/status.h"

struct scene {
	FabricPath *path;
	struct fabric_user user;
	_Atomic int fd; /* changed by who repairs */ /* the target's end */
	_Atomic int check_with, checks, repairs, mend;
};

static int check(void *userdata)
{
	struct scene *s = userdata;

	atomic_fetch_add(&s->checks, 1);
	return atomic_load(&s->check_with);
}

static int make_pair(struct scene *s)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->fd = pair[1];
	return pair[0];
}

/* With mend set: a new stream, on which nothing has been done yet. */
static int repair(void *userdata, FabricPath *path)
{
	struct scene *s = userdata;

	atomic_fetch_add(&s->repairs, 1);
	if (!atomic_load(&s->mend))
		return STATUS_NODE_LOST;
	close(s->fd);
	return fabric_path_resume(path, make_pair(s), 0);
}

static void scene_init(struct scene *s, uint64_t stall, bool spin)
{
	struct fabric_path_options options = {.check = check,
		.repair = repair,
		.userdata = s,
		.stall = stall,
		.spin = spin,
		.span_buffer = 16384};

	*s = (struct scene){0};
	assert_int_equal(fabric_tcp_path_new(make_pair(s), &options, &s->path), 0);
	assert_int_equal(fabric_path_add_user(s->path, &s->user), 0);
}

static void scene_deinit(struct scene *s)
{
	fabric_path_remove_user(s->path, &s->user);
	fabric_path_free(s->path);
	close(s->fd);
}

/* --- answers that are none --- */

static void answer(struct scene *s, struct frame_reply reply, const void *data, size_t n)
{
	uint8_t head[FRAME_REPLY_SIZE];

	frame_reply_encode(head, &reply);
	assert_int_equal(send(s->fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	assert_int_equal(send(s->fd, data, n, MSG_NOSIGNAL), n);
}

static void answers_that_are_none_break_the_stream(void **state)
{
	static const struct frame_reply bad[] = {
		{.type = 0, .number = 1},
		{.type = FRAME_PUT, .number = 1},
		{.type = FRAME_DONE, .number = 1}, /* a get without data */
		{.type = FRAME_DONE, .number = 2}, /* not said */
		{.type = FRAME_DONE, .number = UINT64_MAX},
		{.type = FRAME_DONE, .number = 1, .status = 3},
		{.type = FRAME_FAILED, .number = 0, .status = 3},
		{.type = FRAME_FAILED, .number = 2, .status = 3},
		{.type = FRAME_FAILED, .number = 1, .status = 0},
		{.type = FRAME_DATA, .number = 1, .size = 7}, /* 8 were asked for */
		{.type = FRAME_DATA, .number = 1, .size = 9},
		{.type = FRAME_DATA, .number = 1, .size = UINT32_MAX},
		{.type = FRAME_DATA, .number = 1, .size = 0},
		{.type = FRAME_DATA, .number = 2, .size = 8},
		{.type = FRAME_DATA, .number = 0, .size = 8},
	};

	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		struct scene s;
		uint64_t value[3] = {1, 2, 3};

		scene_init(&s, 5 * NSEC_PER_SEC, true);
		answer(&s, bad[i], "0123456789012345", 16);
		assert_int_equal(fabric_get(s.path, &s.user, 0, &value[1], 8, 0), STATUS_NODE_LOST);
		assert_int_equal(value[0], 1);
		assert_int_equal(value[2], 3);
		assert_int_equal(atomic_load(&s.repairs), 1);
		scene_deinit(&s);
	}
}

static void data_for_a_put_breaks_the_stream(void **state)
{
	struct scene s;

	scene_init(&s, 5 * NSEC_PER_SEC, true);
	answer(&s, (struct frame_reply){.type = FRAME_DATA, .number = 1, .size = 8}, "01234567", 8);
	assert_int_equal(fabric_put(s.path, &s.user, 0, "01234567", 8, 0, 0), STATUS_NODE_LOST);
	scene_deinit(&s);
}

static void statuses_nobody_knows_are_passed_on(void **state)
{
	struct scene s;

	scene_init(&s, 5 * NSEC_PER_SEC, true);
	answer(&s,
		(struct frame_reply){
			.type = FRAME_FAILED, .number = 1, .status = 999, .size = UINT32_MAX},
		"", 0);
	assert_int_equal(fabric_put(s.path, &s.user, 0, "01234567", 8, 0, 0), 999);
	scene_deinit(&s);
}

/* --- no answers --- */

static void no_progress_ends_the_path_in_time(void **state)
{
	for (int spin = 0; spin < 2; spin++) {
		struct scene s;
		uint64_t start = clock_now(), value;

		scene_init(&s, 200 * NSEC_PER_MSEC, spin);
		assert_int_equal(fabric_get(s.path, &s.user, 0, &value, 8, 0), STATUS_TIMED_OUT);
		assert_in_range((clock_now() - start) / NSEC_PER_MSEC, 200, 2000);
		assert_int_equal(fabric_put(s.path, &s.user, 0, &value, 8, 0, 0), STATUS_TIMED_OUT);
		scene_deinit(&s);
	}
}

static void a_full_stream_is_no_progress_either(void **state)
{
	struct scene s;
	void *data = calloc(1, 4 << 20);

	scene_init(&s, 200 * NSEC_PER_MSEC, false);
	assert_int_equal(fabric_put(s.path, &s.user, 0, data, 4 << 20, 0, 0), STATUS_TIMED_OUT);
	scene_deinit(&s);
	scene_init(&s, 200 * NSEC_PER_MSEC, false);
	assert_int_equal(
		fabric_put(s.path, &s.user, 0, data, 4 << 20, 0, FABRIC_SPAN), STATUS_TIMED_OUT);
	assert_int_equal(fabric_collect(s.path, &s.user), STATUS_TIMED_OUT);
	scene_deinit(&s);
	free(data);
}

static void check_ends_a_wait(void **state)
{
	struct scene s;
	uint64_t start = clock_now(), value;

	scene_init(&s, 0, true);
	atomic_store(&s.check_with, STATUS_REVOKED);
	assert_int_equal(fabric_get(s.path, &s.user, 0, &value, 8, 0), STATUS_REVOKED);
	assert_in_range((clock_now() - start) / NSEC_PER_MSEC, 500, 3000);
	assert_int_equal(atomic_load(&s.checks), 1);
	assert_int_equal(fabric_signal(s.path, &s.user, true), STATUS_REVOKED);
	scene_deinit(&s);
}

static void ignore(int signal)
{
}

/* Signals come all the time; the wait is none the shorter or longer. */
static void interruptions_do_not_return(void **state)
{
	struct sigaction action = {.sa_handler = ignore}, old;
	struct scene s;
	pid_t pid;
	uint64_t value;

	sigaction(SIGUSR1, &action, &old);
	scene_init(&s, 400 * NSEC_PER_MSEC, false);
	pid = fork();
	if (pid == 0) {
		for (unsigned int i = 0; i < 200; i++) {
			usleep(1000);
			kill(getppid(), SIGUSR1);
		}
		_exit(0);
	}
	assert_int_equal(fabric_get(s.path, &s.user, 0, &value, 8, 0), STATUS_TIMED_OUT);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	scene_deinit(&s);
	sigaction(SIGUSR1, &old, NULL);
}

/* --- a stream that broke --- */

static unsigned int hear(struct scene *s, struct frame_request *ret, size_t tail)
{
	uint8_t bytes[FRAME_REQUEST_SIZE];
	uint8_t rest[4096];

	assert_int_equal(recv(s->fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	assert_null(frame_request_decode(bytes, ret));
	assert_true(tail <= sizeof(rest));
	if (tail)
		assert_int_equal(recv(s->fd, rest, tail, MSG_WAITALL), tail);
	return ret->type;
}

static void *add_one(void *userdata)
{
	struct scene *s = userdata;
	uint64_t old;

	return (void *)(intptr_t)fabric_fetch_add(s->path, &s->user, 0, 8, 1, &old);
}

/* The atomic is request 1 and was carried out; the answer is lost. */
static int repair_behind_one(void *userdata, FabricPath *path)
{
	return fabric_path_resume(path, make_pair(userdata), 1);
}

static void an_atomic_whose_answer_is_lost_says_so(void **state)
{
	struct scene s;
	struct fabric_path_options options = {
		.repair = repair_behind_one, .userdata = &s, .stall = 5 * NSEC_PER_SEC};
	struct frame_request f;
	pthread_t thread;
	int old;
	void *r;

	s = (struct scene){0};
	assert_int_equal(fabric_tcp_path_new(make_pair(&s), &options, &s.path), 0);
	assert_int_equal(fabric_path_add_user(s.path, &s.user), 0);
	pthread_create(&thread, NULL, add_one, &s);
	assert_int_equal(hear(&s, &f, FRAME_ATOMIC_SIZE), FRAME_ADD);
	old = s.fd;
	shutdown(old, SHUT_RDWR);
	pthread_join(thread, &r);
	close(old);
	assert_int_equal((intptr_t)r, STATUS_BROKEN);
	scene_deinit(&s);
}

static void a_large_put_of_a_span_is_not_said_again(void **state)
{
	struct scene s;
	struct fabric_user other = {.key = {{1}}};
	struct frame_request f;
	void *data = calloc(1, 80000);
	uint8_t *sink = malloc(100000);

	scene_init(&s, 5 * NSEC_PER_SEC, false);
	assert_int_equal(fabric_path_add_user(s.path, &other), 0);
	atomic_store(&s.mend, 1);
	assert_int_equal(fabric_put(s.path, &other, 0, data, 8, 0, FABRIC_SPAN), 0);
	assert_int_equal(fabric_put(s.path, &s.user, 0, data, 80000, 0, FABRIC_SPAN), 0);
	shutdown(s.fd, SHUT_RDWR);
	/* meets the broken stream, mends it, and collects */
	assert_int_equal(fabric_put(s.path, &other, 8, data, 8, 0, FABRIC_SPAN), 0);
	assert_int_equal(fabric_flush(s.path), 0);
	assert_int_equal(fabric_put(s.path, &other, 8, data, 8, 0, FABRIC_SPAN), 0);
	assert_int_equal(fabric_flush(s.path), 0);
	assert_int_equal(atomic_load(&s.repairs), 1);
	assert_int_equal(hear(&s, &f, 16), FRAME_BATCH);
	assert_memory_equal(&f.key, &other.key, sizeof(f.key));
	assert_int_equal(hear(&s, &f, 16), FRAME_BATCH);
	assert_int_equal(hear(&s, &f, 0), FRAME_BATCH);
	answer(&s, (struct frame_reply){.type = FRAME_DONE, .number = 3}, "", 0);
	assert_int_equal(fabric_collect(s.path, &s.user), STATUS_BROKEN);
	assert_int_equal(fabric_collect(s.path, &other), 0);
	fabric_path_remove_user(s.path, &other);
	scene_deinit(&s);
	free(data);
	free(sink);
}

static void a_home_that_has_forgotten_is_refused(void **state)
{
	struct scene s;
	struct frame_request f;

	scene_init(&s, 5 * NSEC_PER_SEC, false);
	answer(&s, (struct frame_reply){.type = FRAME_DONE, .number = 1}, "", 0);
	assert_int_equal(fabric_put(s.path, &s.user, 0, "01234567", 8, 0, 0), 0);
	assert_int_equal(hear(&s, &f, 8), FRAME_PUT);
	assert_int_equal(fabric_path_resume(s.path, -1, 0), -EBADMSG);
	assert_int_equal(fabric_path_resume(s.path, -1, 2), -EBADMSG);
	scene_deinit(&s);
}

/* --- fork --- */

static void a_child_that_abandons_disturbs_nothing(void **state)
{
	struct scene s;
	pid_t pid;
	int status;

	scene_init(&s, 5 * NSEC_PER_SEC, false);
	assert_int_equal(fabric_put(s.path, &s.user, 0, "01234567", 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_flush(s.path), 0);
	assert_int_equal(fabric_put(s.path, &s.user, 8, "01234567", 8, 8, FABRIC_SPAN), 0);
	pid = fork();
	if (pid == 0) {
		int r;

		fabric_path_abandon(s.path);
		r = fabric_put(s.path, &s.user, 0, "x", 1, 0, 0);
		fabric_path_remove_user(s.path, &s.user);
		fabric_path_free(s.path);
		_exit(r == STATUS_FORKED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	answer(&s, (struct frame_reply){.type = FRAME_DONE, .number = 2}, "", 0);
	assert_int_equal(fabric_collect(s.path, &s.user), 0);
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_are_none_break_the_stream),
		cmocka_unit_test(data_for_a_put_breaks_the_stream),
		cmocka_unit_test(statuses_nobody_knows_are_passed_on),
		cmocka_unit_test(no_progress_ends_the_path_in_time),
		cmocka_unit_test(a_full_stream_is_no_progress_either),
		cmocka_unit_test(check_ends_a_wait),
		cmocka_unit_test(interruptions_do_not_return),
		cmocka_unit_test(an_atomic_whose_answer_is_lost_says_so),
		cmocka_unit_test(a_large_put_of_a_span_is_not_said_again),
		cmocka_unit_test(a_home_that_has_forgotten_is_refused),
		cmocka_unit_test(a_child_that_abandons_disturbs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
