/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/tcp/test-fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"

struct tcp_home {
	struct fabric_path_options options;
	pthread_t thread;
	FabricPath *others[8];
	_Atomic uint64_t others_done[8];
	unsigned int n_others;
};

static void *run(void *target)
{
	fabric_target_run(target);
	return NULL;
}

/* Returns our end. */
static int attach(struct home *home, uint64_t connection, _Atomic uint64_t *done)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fabric_target_attach(home->target, connection, pair[1], done), 0);
	return pair[0];
}

static int repair(void *userdata, FabricPath *path)
{
	struct home *home = userdata;
	int with = atomic_load(&home->repair_with), r;

	if (with)
		return with;
	atomic_fetch_add(&home->repairs, 1);
	fabric_target_detach(home->target, CONNECTION);
	r = attach(home, CONNECTION, &home->done);
	assert_int_equal(fabric_path_resume(path, r, atomic_load(&home->done)), 0);
	return 0;
}

static void begin(struct home *home, const struct fabric_path_options *options)
{
	struct fabric_target_options target = {
		.spin = 20 * NSEC_PER_USEC, .frame_timeout = NSEC_PER_SEC};
	struct tcp_home *t = calloc(1, sizeof(*t));
	int r;

	home->insides = t;
	t->options = *options;
	t->options.repair = repair;
	assert_int_equal(fabric_target_new(&target, &home_ops, home, &home->target), 0);
	assert_int_equal(pthread_create(&t->thread, NULL, run, home->target), 0);
	r = attach(home, CONNECTION, &home->done);
	assert_int_equal(fabric_tcp_path_new(r, &t->options, &home->path), 0);
}

static void end(struct home *home)
{
	struct tcp_home *t = home->insides;

	fabric_path_free(home->path);
	for (unsigned int i = 0; i < t->n_others; i++)
		fabric_path_free(t->others[i]);
	fabric_target_stop(home->target);
	pthread_join(t->thread, NULL);
	fabric_target_free(home->target);
	free(t);
}

static FabricPath *connect_path(struct home *home, uint64_t connection)
{
	struct tcp_home *t = home->insides;
	int fd = attach(home, connection, &t->others_done[t->n_others]);

	assert_int_equal(fabric_tcp_path_new(fd, &t->options, &t->others[t->n_others]), 0);
	return t->others[t->n_others++];
}

static void cut(struct home *home)
{
	fabric_target_detach(home->target, CONNECTION);
}

const struct fixture_ops tcp_fixture = {
	.name = "tcp", .begin = begin, .end = end, .connect = connect_path, .cut = cut};
