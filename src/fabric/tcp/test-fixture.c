/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/tcp/test-fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"

struct tcp_home {
	struct fabric_path_options options;
	pthread_t thread;
	pthread_mutex_t mutex; /* the target may be replaced */
	bool reborn;
	FabricPath *others[8];
	_Atomic uint64_t others_done[8];
	unsigned int n_others;
};

static uint64_t records;

void tcp_home_set_records(uint64_t n)
{
	records = n;
}

static void *run(void *target)
{
	fabric_target_run(target);
	return NULL;
}

int tcp_home_attach(struct home *home, uint64_t connection, _Atomic uint64_t *done)
{
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r = fabric_target_attach(home->target, connection, pair[1], done);
	if (r) /* a test made that fail once */
		r = fabric_target_attach(home->target, connection, pair[1], done);
	assert_int_equal(r, 0);
	return pair[0];
}

static void start_target(struct home *home)
{
	struct fabric_target_options options = {
		.spin = 20 * NSEC_PER_USEC, .frame_timeout = NSEC_PER_SEC};
	struct tcp_home *t = home->insides;

	assert_int_equal(fabric_target_new(&options, &home_ops, home, &home->target), 0);
	assert_int_equal(pthread_create(&t->thread, NULL, run, home->target), 0);
}

static void stop_target(struct home *home)
{
	fabric_target_stop(home->target);
	pthread_join(((struct tcp_home *)home->insides)->thread, NULL);
	fabric_target_free(home->target);
}

void tcp_home_kill(struct home *home)
{
	struct tcp_home *t = home->insides;

	pthread_mutex_lock(&t->mutex);
	fabric_target_detach(home->target, CONNECTION);
	pthread_mutex_unlock(&t->mutex);
}

void tcp_home_set_reborn(struct home *home)
{
	((struct tcp_home *)home->insides)->reborn = true;
}

static void renew_target(struct home *home)
{
	struct tcp_home *t = home->insides;

	if (!t->reborn) {
		fabric_target_detach(home->target, CONNECTION);
		return;
	}
	stop_target(home);
	start_target(home);
	home_grant_again(home);
}

static int repair(void *userdata, FabricPath *path)
{
	struct home *home = userdata;
	struct tcp_home *t = home->insides;
	int with = atomic_load(&home->repair_with), fd, r;

	if (with)
		return with;
	atomic_fetch_add(&home->repairs, 1);
	pthread_mutex_lock(&t->mutex);
	renew_target(home);
	fd = tcp_home_attach(home, CONNECTION, &home->done);
	pthread_mutex_unlock(&t->mutex);
	/* the old connection is over, the new one has not been spoken on */
	r = fabric_path_resume(path, fd, atomic_load(&home->done));
	if (r == -ENOMEM)
		r = fabric_path_resume(path, fd, atomic_load(&home->done));
	assert_int_equal(r, 0);
	return 0;
}

static void begin(struct home *home, const struct fabric_path_options *options)
{
	struct tcp_home *t = calloc(1, sizeof(*t));
	int fd;

	home->insides = t;
	t->options = *options;
	t->options.repair = repair;
	t->options.records = records;
	pthread_mutex_init(&t->mutex, NULL);
	start_target(home);
	fd = tcp_home_attach(home, CONNECTION, &home->done);
	assert_int_equal(fabric_tcp_path_new(fd, &t->options, &home->path), 0);
}

static void end(struct home *home)
{
	struct tcp_home *t = home->insides;

	fabric_path_free(home->path);
	for (unsigned int i = 0; i < t->n_others; i++)
		fabric_path_free(t->others[i]);
	stop_target(home);
	pthread_mutex_destroy(&t->mutex);
	free(t);
}

static FabricPath *connect_path(struct home *home, uint64_t connection)
{
	struct tcp_home *t = home->insides;
	int fd = tcp_home_attach(home, connection, &t->others_done[t->n_others]);

	assert_int_equal(fabric_tcp_path_new(fd, &t->options, &t->others[t->n_others]), 0);
	return t->others[t->n_others++];
}

static void cut(struct home *home)
{
	fabric_target_detach(home->target, CONNECTION);
}

const struct fixture_ops tcp_fixture = {
	.name = "tcp", .begin = begin, .end = end, .connect = connect_path, .cut = cut};
