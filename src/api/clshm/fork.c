/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/fork.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include "api/clshm/attaches.h"
#include "api/clshm/known.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/fork.h"
#include "client/inherit.h"

#define PATIENCE_DEFAULT (10 * NSEC_PER_SEC)

/* One fork at a time: the parent waits without the other locks, and no other child may have the
 * pipe. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
/* The child holds its end open until it has everything, or has ended. */
static int wait_end = -1, child_end = -1;

static void prepare_heir(void)
{
	int pair[2];

	cw_import_inherit_prepare();
	/* without descriptors nobody waits */
	if (pipe2(pair, O_CLOEXEC) == 0) {
		wait_end = pair[0];
		child_end = pair[1];
	}
}

static void prepare(void)
{
	pthread_mutex_lock(&one_at_a_time);
	attaches_fork_prepare();
	known_fork_prepare();
	session_fork_prepare();
	if (attaches_count_locked())
		prepare_heir();
}

static void await_child(uint64_t patience)
{
	struct pollfd p = {.fd = wait_end};
	uint64_t end = clock_now() + patience, now;

	while ((now = clock_now()) < end) {
		struct timespec left = clock_timespec(end - now);

		if (ppoll(&p, 1, &left, NULL) >= 0 || errno != EINTR)
			return;
	}
}

static void parent(void)
{
	uint64_t patience = session_patience_locked();
	int saved = errno;

	child_end = fd_close(child_end);
	session_fork_parent();
	known_fork_parent();
	attaches_fork_parent();
	if (wait_end >= 0)
		await_child(patience ? patience : PATIENCE_DEFAULT);
	wait_end = fd_close(wait_end);
	pthread_mutex_unlock(&one_at_a_time);
	errno = saved;
}

/* What cannot be inherited stays mapped, and is told by who owns it: lost, or no more attached. */
static void inherit(const struct attach *a)
{
	(void)cw_import_inherit(a->import);
}

static void child(void)
{
	struct session s;
	int saved = errno;

	wait_end = fd_close(wait_end);
	session_fork_child();
	known_fork_child();
	if (attaches_count_locked() && session_get(&s) == 0) {
		attaches_for_each_locked(inherit);
		session_put(&s);
	}
	attaches_fork_child();
	child_end = fd_close(child_end);
	pthread_mutex_unlock(&one_at_a_time);
	errno = saved;
}

static int result;

static void install(void)
{
	/* after the client library's, so that ours run first before a fork and last after it */
	result = cw_fork_watch();
	if (!result)
		result = -pthread_atfork(prepare, parent, child);
}

int fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return result;
}
