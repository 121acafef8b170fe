/* SPDX-License-Identifier: Apache-2.0 */
#include "base/closer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include "base/cleanup.h"

#define IDLE_SECONDS 1
#define STACK_SIZE   (256u << 10)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	int *fds; /* to be closed */
	size_t n_fds, size;
	unsigned int n_threads, n_busy;
} closer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&closer.filled, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* With the lock held. Returns false when there was nothing for too long. */
static bool wait_filled(void)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (closer.n_fds == 0 && r == 0)
		r = pthread_cond_timedwait(&closer.filled, &closer.lock, &until);
	return closer.n_fds > 0;
}

/* Nobody is left who wants the socket's data to arrive; so that a thread is free again sooner. */
static void close_one(int fd)
{
	const struct linger none = {0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	fd_close(fd);
}

static void *closer_thread(void *unused)
{
	pthread_mutex_lock(&closer.lock);
	while (wait_filled()) {
		int fd = closer.fds[--closer.n_fds];

		closer.n_busy++;
		pthread_mutex_unlock(&closer.lock);
		close_one(fd);
		pthread_mutex_lock(&closer.lock);
		closer.n_busy--;
	}
	closer.n_threads--;
	pthread_mutex_unlock(&closer.lock);
	return unused;
}

/* The signals are for the caller's threads. With the lock held. */
static void add_thread(void)
{
	pthread_attr_t attributes;
	sigset_t all, saved;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(&thread, &attributes, closer_thread, NULL) == 0)
		closer.n_threads++;
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static bool push(int fd)
{
	if (closer.n_fds == closer.size) {
		size_t size = closer.size ? 2 * closer.size : 64;
		int *fds = realloc(closer.fds, size * sizeof(*fds));

		if (!fds)
			return false;
		closer.fds = fds;
		closer.size = size;
	}
	closer.fds[closer.n_fds++] = fd;
	return true;
}

static bool hand_over(int fd)
{
	bool done;

	pthread_once(&once, begin);
	pthread_mutex_lock(&closer.lock);
	if (closer.n_fds >= closer.n_threads - closer.n_busy &&
		closer.n_threads < CLOSER_THREADS_MAX)
		add_thread();
	done = closer.n_threads > 0 && push(fd);
	if (done)
		pthread_cond_signal(&closer.filled);
	pthread_mutex_unlock(&closer.lock);
	return done;
}

int closer_close(int fd)
{
	int saved = errno;

	if (fd >= 0 && !hand_over(fd))
		close_one(fd);
	errno = saved;
	return -1;
}

void closer_close_many(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		closer_close(fds[i]);
}

int closer_hang_up(int sock)
{
	int saved = errno;

	if (sock >= 0)
		(void)shutdown(sock, SHUT_RDWR);
	errno = saved;
	return closer_close(sock);
}
