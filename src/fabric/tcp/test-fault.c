/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each allocation and system call fails once, in turn, at either end: what cannot be made is an
 * error and leaves nothing, what breaks is mended, and every byte is where it belongs.
 */
#include "fabric/tcp/test-fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/error.h"
#include "wire/message.h"
#include "wire/status.h"

static atomic_uint calls, fail_at, fired;
static atomic_int fail_with;

static bool fails(void)
{
	if (!atomic_load(&fail_at) || atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at))
		return false;
	errno = atomic_load(&fail_with);
	atomic_fetch_add(&fired, 1);
	return true;
}

/* What is wrapped, and what it returns when it fails. */
#define WRAP(type, name, failed, parameters, arguments)                                            \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails() ? (failed) : __real_##name arguments;                               \
	}

WRAP(void *, malloc, NULL, (size_t n), (n))
WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size))
WRAP(void *, reallocarray, NULL, (void *p, size_t n, size_t size), (p, n, size))
WRAP(ssize_t, sendmsg, -1, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, poll, -1, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_ctl, -1, (int epoll, int what, int fd, struct epoll_event *event),
	(epoll, what, fd, event))
WRAP(int, epoll_wait, -1, (int epoll, struct epoll_event *events, int n, int timeout),
	(epoll, events, n, timeout))
WRAP(int, eventfd, -1, (unsigned int n, int flags), (n, flags))

static void arm(unsigned int call, int error)
{
	atomic_store(&calls, 0);
	atomic_store(&fired, 0);
	atomic_store(&fail_with, error);
	atomic_store(&fail_at, call);
}

static bool disarm(void)
{
	atomic_store(&fail_at, 0);
	return atomic_load(&fired);
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* --- making --- */

static int make_target(int fd)
{
	struct fabric_target_options options = {0};
	struct fabric_region region = {.size = 1, .fd = -1, .connection = CONNECTION};
	struct fabric_key key = {{3}};
	_Atomic uint64_t done = 0;
	FabricTarget *target;
	int r = fabric_target_new(&options, &home_ops, NULL, &target);

	if (r) {
		close(fd);
		return r;
	}
	r = fabric_target_attach(target, CONNECTION, fd, &done);
	if (r)
		close(fd);
	else
		r = fabric_target_grant(target, &key, &region);
	fabric_target_free(target);
	return r;
}

static int make_path(int fd)
{
	struct fabric_path_options options = {.span_buffer = 16384};
	struct fabric_user user = {0};
	FabricPath *path;
	int r = fabric_tcp_path_new(fd, &options, &path);

	if (r) {
		close(fd);
		return r;
	}
	r = fabric_path_add_user(path, &user);
	if (!r)
		r = fabric_put(path, &user, 0, "x", 1, 0, FABRIC_SPAN);
	if (!r)
		fabric_path_remove_user(path, &user);
	fabric_path_free(path);
	return r;
}

/* Makes one of them with each of its calls failing; returns how often that was an error. */
static unsigned int fail_to_make(int (*make)(int fd))
{
	unsigned int failed = 0;
	bool fires = true;

	for (unsigned int call = 1; fires; call++) {
		int pair[2], r;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		arm(call, ENOMEM);
		r = make(pair[0]);
		fires = disarm();
		close(pair[1]);
		if (r)
			assert_int_equal(r, -ENOMEM);
		failed += r != 0;
	}
	return failed;
}

static void what_cannot_be_made_leaves_nothing(void **state)
{
	unsigned int fds = count_fds();

	assert_int_equal(fail_to_make(make_path), 4);
	assert_int_equal(fail_to_make(make_target), 8);
	assert_int_equal(count_fds(), fds);
}

/* --- working --- */

static uint8_t ours[400000], back[400000];

/* The same again where there was no memory for it. */
#define AGAIN(call)                                                                                \
	({                                                                                         \
		int r_ = (call);                                                                   \
                                                                                                   \
		r_ == -ENOMEM ? (call) : r_;                                                       \
	})

static void work(struct home *home, uint64_t *word)
{
	struct fabric_piece pieces[3] = {
		{0, ours, 5000}, {10000, ours + 10000, 20000}, {300000, ours + 300000, 8}};
	uint64_t old;
	size_t done;
	int r;

	assert_int_equal(AGAIN(fabric_put(home->path, &home->user, 0, ours, 8, 8, 0)), 0);
	assert_int_equal(
		AGAIN(fabric_put(home->path, &home->user, 0, ours, sizeof(ours), 0, 0)), 0);
	for (size_t off = 0; off < 20000; off += 8)
		assert_int_equal(AGAIN(fabric_put(home->path, &home->user, 500000 + off, ours + off,
					 8, 8, FABRIC_SPAN)),
			0);
	assert_int_equal(AGAIN(fabric_get(home->path, &home->user, 0, back, sizeof(back), 0)), 0);
	assert_memory_equal(back, ours, sizeof(back));
	r = AGAIN(fabric_fetch_add(home->path, &home->user, 1 << 20, 8, 1, &old));
	assert_true(r == 0 || r == STATUS_BROKEN);
	*word += 1;
	assert_int_equal(AGAIN(fabric_putv(home->path, &home->user, pieces, 3, 0, &done)), 0);
	assert_int_equal(AGAIN(fabric_signal(home->path, &home->user, true)), 0);
	assert_int_equal(AGAIN(fabric_collect(home->path, &home->user)), 0);
	assert_memory_equal(home->memory, ours, sizeof(ours));
	assert_memory_equal(home->memory + 500000, ours, 20000);
}

static void whatever_fails_all_is_done(void **state)
{
	static const int errors[] = {EINTR, ECONNRESET, ENOMEM};

	home_fill(ours, sizeof(ours), 1);
	for (size_t i = 0; i < ELEMENTS(errors); i++) {
		struct home home;
		uint64_t word = 0, value;
		unsigned int works = 0;

		home_begin(&home, &tcp_fixture, 16384, false);
		for (unsigned int call = 1; call < 200; call += 1 + call / 20) {
			memset(home.memory, 0, 600000);
			arm(call, errors[i]);
			work(&home, &word);
			disarm();
			works++;
		}
		assert_int_equal(atomic_load(&home.posts), works);
		memcpy(&value, home.memory + (1 << 20), 8);
		assert_int_equal(value, word);
		home_end(&home);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_made_leaves_nothing),
		cmocka_unit_test(whatever_fails_all_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
